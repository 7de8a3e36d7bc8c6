"""One prover, many proofs: each as good as one made alone, nothing shared that must not be."""

from __future__ import annotations

import re
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import combinations
from os import kill
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import veracity
from tests.support.network_files import save_network
from tests.support.talking import Talker, talker
from tests.support.toy_vision import network
from tests.unit.test_pool import alive, ended
from veracity import Prover, UsageError
from veracity.proving import opened
from veracity.work import links, pool
from veracity.work.kept import KeptPool
from veracity.work.messages import Message

pytest.importorskip("jinja2")
pytest.importorskip("tokenizers")

PAGE = Path(__file__).parents[2] / "docs/howto/use-in-a-service.md"
TOY = "tests.support.pool_work:open_toy"


class Cancelled(Exception):
    """Raised by a callback."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Talker:
    return talker(tmp_path_factory.mktemp("talker"))


def words(proof: Any) -> set[bytes]:
    """The argument's points and scalars."""
    return {proof.argument[i : i + 32] for i in range(0, len(proof.argument) - 31, 32)}


def test_proofs_are_those_of_the_functions(model: Talker) -> None:
    with Prover(model.model, model.secret, threads=2) as prover:
        for prompt in ("a", "hello", "a"):
            found = prover.prove(prompt, max_new_tokens=3, context="case 7")
            alone = veracity.prove(model.model, model.secret, prompt, max_new_tokens=3)
            assert (found.answer, found.proof.tokens) == (alone.answer, alone.proof.tokens)
            shown = veracity.verify(found.proof, model.commitment, prompt=prompt, context="case 7")
            assert shown.answer == found.answer
        several = prover.prove_answers(["a", "hello"], max_new_tokens=2)
        assert len(veracity.verify_answers(several.proof, model.commitment)) == 2
        drawn = prover.prove("a", temperature=1.5, nonce="ab", max_new_tokens=2)
        assert veracity.verify(drawn.proof, model.commitment, nonce="ab").answer == drawn.answer


@pytest.mark.parametrize("jobs", [1, 2])
def test_no_two_proofs_share_a_blind(model: Talker, jobs: int) -> None:
    """Of one and the same statement, also where the same processes prove it."""
    with Prover(model.model, model.secret, jobs=jobs) as prover:
        proofs = [prover.prove("a", max_new_tokens=2).proof for _ in range(3)]
    seen = [words(proof) for proof in proofs]
    assert min(map(len, seen)) > 100
    for one, other in combinations(seen, 2):
        assert not one & other
    for proof in proofs:
        veracity.verify(proof, model.commitment, prompt="a")


def test_files_and_generators_are_read_once(model: Talker, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = {"weights_digest": 0, "load_key": 0}

    def counting(name: str) -> None:
        original = getattr(opened, name)

        def counted(*given: Any) -> Any:
            calls[name] += 1
            return original(*given)

        monkeypatch.setattr(opened, name, counted)

    for name in calls:
        counting(name)
    with Prover(model.model, model.secret) as prover:
        for _ in range(3):
            prover.prove("a", max_new_tokens=1)
    assert calls == {"weights_digest": 1, "load_key": 1}


def test_processes_live_on_and_end_with_the_prover(
    model: Talker, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[int] = []
    original = pool._Worker.__init__

    def noting(self: Any, threads: int) -> None:
        original(self, threads)
        started.append(self.process.pid)

    monkeypatch.setattr(pool._Worker, "__init__", noting)
    with Prover(model.model, model.secret, jobs=2) as prover:
        for prompt in ("a", "hello"):
            proof = prover.prove(prompt, max_new_tokens=2).proof
            veracity.verify(proof, model.commitment, prompt=prompt)
        assert len(started) == 2
        assert all(map(alive, started))
        kill(started[0], signal.SIGKILL)  # ended from outside between two proofs: others start
        assert ended(started[0])
        veracity.verify(prover.prove("a", max_new_tokens=2).proof, model.commitment, prompt="a")
        assert len(started) == 4
    assert all(map(ended, started))


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_cancelled_proof_leaves_the_prover_as_it_was(model: Talker, jobs: int) -> None:
    def cancel(phase: str, _share: float) -> None:
        if phase == "lookups":
            raise Cancelled

    with Prover(model.model, model.secret, jobs=jobs) as prover:
        with pytest.raises(Cancelled):
            prover.prove("a", max_new_tokens=2, progress=cancel)
        found = prover.prove("a", max_new_tokens=2)
    assert veracity.verify(found.proof, model.commitment, prompt="a").answer == found.answer


def test_threads_take_turns(model: Talker, monkeypatch: pytest.MonkeyPatch) -> None:
    inside, most = [0], [0]
    original = links.prove_chain

    def watched(*given: Any, **more: Any) -> bytes:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        try:
            return original(*given, **more)
        finally:
            inside[0] -= 1

    monkeypatch.setattr(opened, "prove_chain", watched)
    prompts = ["a", "hello", "a b", "hi"]
    with Prover(model.model, model.secret) as prover, ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda p: prover.prove(p, max_new_tokens=2).proof, prompts))
    for prompt, proof in zip(prompts, found, strict=True):
        veracity.verify(proof, model.commitment, prompt=prompt)
    assert most == [1]


def test_closing_waits_for_the_proof_under_way(model: Talker) -> None:
    begun, proofs = threading.Event(), []
    prover = Prover(model.model, model.secret)

    def work() -> None:
        proofs.append(prover.prove("a", max_new_tokens=2, progress=lambda *_: begun.set()).proof)

    thread = threading.Thread(target=work)
    thread.start()
    assert begun.wait(60)
    prover.close()
    prover.close()
    assert len(proofs) == 1
    thread.join()
    with pytest.raises(UsageError, match="closed"):
        prover.prove("a")


def test_files_that_do_not_belong_together(model: Talker) -> None:
    other = replace(model.secret, weights_digest=bytes(32))
    with pytest.raises(UsageError, match="other weights"):
        Prover(model.model, other)
    for wrong in ({"jobs": 0}, {"memory": "much"}, {"threads": 0}, {"backend": 7}, {"ray": 7}):
        with pytest.raises(UsageError):
            Prover(model.model, model.secret, **wrong)  # type: ignore[arg-type]


def test_questions_that_are_none_are_refused_before_any_work(model: Talker) -> None:
    with Prover(model.model, model.secret) as prover:
        for wrong in (
            {}, {"prompt": "a", "messages": [("user", "b")]}, {"prompt": 7},
            {"prompt": "a", "max_new_tokens": 0}, {"prompt": "a", "stop": "x"},
            {"prompt": "a", "nonce": "ab"}, {"prompt": "a", "context": 7},
            {"prompt": "a", "progress": 7}, {"prompt": "a", "raw": 1},
        ):  # fmt: skip
            with pytest.raises(UsageError):
                prover.prove(**wrong)  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="1 to 32 prompts"):
            prover.prove_answers([])
        with pytest.raises(UsageError, match="a language model"):
            prover.prove_tensors(np.zeros(3))
        with pytest.raises(UsageError, match="a language model"):
            prover.evaluate("samples.npz")


def test_a_cap_of_memory_holds_for_every_proof(model: Talker) -> None:
    with Prover(model.model, model.secret, memory=180_000_000) as prover:
        for _ in range(2):
            veracity.verify(prover.prove("a", max_new_tokens=1).proof, model.commitment)
    with (
        Prover(model.model, model.secret, memory=1 << 20) as prover,
        pytest.raises(UsageError, match="raise --memory"),
    ):
        prover.prove("a")


def test_networks(tmp_path: Path) -> None:
    program = save_network(tmp_path)
    commitment, secret = veracity.commit(program)
    x = network().inputs["x"] / 256
    with Prover(program, secret) as prover:
        for _ in range(2):
            found = prover.prove_tensors(x, context="case 7")
            veracity.verify_tensors(found.proof, commitment, x, found.outputs, context="case 7")
        with pytest.raises(UsageError, match="a network over arrays"):
            prover.prove("a")


def test_the_pages_prover(model: Talker) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (block,) = (b for b in blocks if "veracity.Prover(" in b)
    names: dict[str, Any] = {}
    exec(compile(block, PAGE.name, "exec"), names)
    proofs = list(names["proofs"](model.model, model.secret, ["a", "hello"]))
    for prompt, proof in zip(("a", "hello"), proofs, strict=True):
        veracity.verify(proof, model.commitment, prompt=prompt)


# ---- processes that are kept ---------------------------------------------------------------------
def setup(name: str) -> Message:
    return Message("toy", {"name": name}, (name.encode(),))


PART = Message("part", {"do": "answer"})


def test_a_kept_pool_opens_job_after_job() -> None:
    kept = KeptPool()
    pids = []
    for name, jobs in (("one", 2), ("two", 2), ("three", 1), ("four", 3)):
        with kept.opened(TOY, setup(name), jobs, 3) as workers:
            found = workers.run([PART] * 4)
            assert {r.body["setup"] for r in found} == {name}
            assert {r.parts for r in found} == {(name.encode(),)}
            pids.append(workers.pids)
    assert pids[0] == pids[1] == pids[2]
    assert len(pids[3]) == 3
    assert all(map(ended, pids[0]))
    kept.close()
    kept.close()
    assert all(map(ended, pids[3]))


def test_a_failing_job_ends_its_workers() -> None:
    kept = KeptPool()
    with pytest.raises(veracity.RangeError), kept.opened(TOY, setup("one"), 1) as workers:
        (pid,) = workers.pids
        workers.run([Message("part", {"do": "range"})])
    assert ended(pid)
    with kept.opened(TOY, setup("two"), 1) as workers:
        assert workers.run([PART])[0].body["setup"] == "two"
    kept.close()
