"""Links proved in several processes: valid like any other, and masked anew in each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.soundness.test_chain import ENGINE, KEY, make, masks, thirds
from veracity.errors import RangeError, UsageError
from veracity.graph import execute
from veracity.work.links import Workers, prove_chain, setup_message
from veracity.work.links import _tasks as tasks_of
from veracity.work.messages import Message
from veracity.work.pool import WorkerPool
from veracity.zk.transcript import Span
from veracity.zkml import Statement, verify
from veracity.zkml.job import Job

FROZEN = "tests.support.pool_work:open_chain_without_randomness"
TWO = Workers(jobs=2, threads=2)


@pytest.fixture(scope="module")
def llama() -> tuple[Any, Statement, Any]:
    return make("llama")


@pytest.mark.parametrize("jobs", [1, 2, 5])
def test_any_number_of_jobs_proves_the_same_statement(llama: Any, jobs: int) -> None:
    e, statement, opening = llama
    cut = thirds(statement)
    seen: dict[str, list[float]] = {}
    proof = prove_chain(
        ENGINE, cut, e.weights, opening, Workers(jobs, 2),
        lambda phase, share: seen.setdefault(phase, []).append(share),
    )  # fmt: skip
    verify(ENGINE, cut, proof, key=KEY)
    for phase in ("evaluate", "commit", "lookups", "products", "opening"):
        assert seen[phase] == sorted(seen[phase])
        assert 0 <= seen[phase][0] <= seen[phase][-1] <= 1
    assert seen["opening"][-1] == pytest.approx(1)


def test_a_chain_without_cuts_and_one_with_every_cut(llama: Any) -> None:
    e, statement, opening = llama
    for cuts in ((), tuple(range(1, len(statement.program.ops), 5))):
        cut = replace(statement, cuts=cuts)
        verify(ENGINE, cut, prove_chain(ENGINE, cut, e.weights, opening, TWO), key=KEY)


def test_weights_may_lie_on_a_disk(llama: Any, tmp_path: Path) -> None:
    """Mapped weights are not sent; a part of a mapped array is not taken for the whole."""
    e, statement, opening = llama
    cut = thirds(statement)
    weights: dict[str, Any] = {}
    for name, array in e.weights.items():
        np.save(tmp_path / f"{name}.npy", np.stack([array + 1, array]))
        both = np.load(tmp_path / f"{name}.npy", mmap_mode="r")
        weights[name] = both[1]
    for name in list(weights)[::2]:
        np.save(tmp_path / f"one-{name}.npy", e.weights[name])
        weights[name] = np.load(tmp_path / f"one-{name}.npy", mmap_mode="r")
    setup = setup_message(ENGINE, Job(cut, weights, opening), TWO)
    mapped = {name for name, place in setup.body["weights"].items() if "file" in place}
    assert mapped == set(list(weights)[::2])
    verify(ENGINE, cut, prove_chain(ENGINE, cut, weights, opening, TWO), key=KEY)


def test_the_parent_hands_over_what_a_link_hands_over(llama: Any) -> None:
    e, statement, opening = llama
    cut = replace(statement, cuts=tuple(range(1, len(statement.program.ops), 3)))
    whole = execute(cut.program, e.weights, cut.public_inputs(), cut.sizes)
    for link, values in Job(cut, e.weights, opening).handed_values():
        assert set(values) == set(link.hands)
        for name in link.hands:
            assert np.array_equal(values[name], whole.values[name])


def test_a_fault_in_a_worker_is_told_like_one_here(llama: Any) -> None:
    e, statement, opening = llama
    cut = thirds(statement)
    (answer,) = cut.outputs.values()
    false = replace(cut, outputs={"answer": (np.asarray(answer) + 1) % 5})
    with pytest.raises(UsageError, match="another answer"):
        prove_chain(ENGINE, false, e.weights, opening, TWO)
    large: Mapping[str, Any] = {n: w * 200 for n, w in e.weights.items()}
    with pytest.raises(RangeError):
        prove_chain(ENGINE, cut, large, opening, TWO)


# ---- randomness ----------------------------------------------------------------------------------
def proved(job: Job, messages: list[Message], entry: str) -> list[tuple[bytes, list[Span]]]:
    """Links of a job, proved by two workers that open ``entry``."""
    with WorkerPool(entry, setup_message(ENGINE, job, TWO), 2, 2) as pool:
        results = pool.run(messages)
    return [(r.parts[0], [Span(*span) for span in r.body["spans"]]) for r in results]


def test_two_workers_mask_one_link_differently(llama: Any) -> None:
    e, statement, opening = llama
    job = Job(thirds(statement), e.weights, opening)
    first = next(tasks_of(ENGINE, job, {}, KEY))
    found = proved(job, [first, first, first], "veracity.work.links:open_chain")
    assert len(set(masks(found))) == 3


def test_workers_with_a_source_that_repeats_itself_repeat_no_mask(llama: Any) -> None:
    """One link, three times, frozen bytes from the system, another context each time."""
    e, statement, opening = llama
    found = []
    for context in (b"a", b"b", b"c"):
        cut = replace(thirds(statement), context=context)
        job = Job(cut, e.weights, opening, cut_seed=bytes(32))
        found += masks(proved(job, [next(tasks_of(ENGINE, job, {}, KEY))], FROZEN))
    assert len(set(found)) == 3
