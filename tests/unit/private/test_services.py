"""Dealer, owner and user as services: answers and figures."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.private_parties import run, three
from tests.support.private_services import ALL, MODES, SHAPE, greedy, model
from tests.support.programs import small_model
from veracity.engine import load_engine
from veracity.errors import UsageError
from veracity.mpc.material import Label
from veracity.mpc.modes import find_mode
from veracity.mpc.sessions import Outcome
from veracity.mpc.weights import masked_bytes
from veracity.private.parties import passes as schedule
from veracity.private.parties.passes import passes_of, price_of
from veracity.private.sampling import Sampling

ENGINE = load_engine("cpu")


@ALL
@pytest.mark.parametrize("style", ["llama", "gpt2"])
def test_an_answer_and_its_figures(mode: str, style: str, tmp_path: Path) -> None:
    example = model(style)
    prompt = example.tokens[:4]

    async def session() -> None:
        async with three(example, mode, tmp_path) as parties:
            first = await parties.ask(prompt, 3)
            again = await parties.ask(prompt, 3)
        assert first.setup_bytes == masked_bytes(example.program)
        assert again.setup_bytes == 0  # kept on disk
        for answer in (first, again):
            assert len(answer.tokens) == 3
            assert [(r.start, r.rows) for r in answer.reports] == [(0, 4), (4, 1), (5, 1)]
            for report in answer.reports:
                assert report.online_bytes == report.formula_bytes
                price = (
                    find_mode(mode).plan(ENGINE, example.program, report.rows, report.start).cost
                )
                assert report.sent_bytes == price.bytes_to_owner * report.attempts
                offline = price.offline_bytes_owner + price.offline_bytes_user
                assert report.offline_bytes == offline * report.attempts
                assert 0 < report.round_trips <= price.round_trips * report.attempts
                assert report.online_s > 0 < report.offline_s
        if mode == "shuffled":
            assert first.tokens == again.tokens == greedy(example, prompt, 3)

    run(session())


@MODES
def test_a_long_prompt_is_fed_in_several_passes(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    example = small_model(shape=SHAPE, prompt=7)
    prompt = example.tokens[:7]
    price = price_of(ENGINE, example.program, mode)
    monkeypatch.setattr(schedule, "PASS_BYTES", price(0, 4))
    passes = passes_of(7, 3, price)
    assert passes[0] == (0, 4)
    assert passes[-2:] == [(7, 1), (8, 1)]

    async def session() -> None:
        async with three(example, mode, tmp_path) as parties:
            answer = await parties.ask(prompt, 3)
        if mode == "shuffled":
            assert answer.tokens == greedy(example, prompt, 3)
        assert [(r.start, r.rows, r.attempts) for r in answer.reports] == [
            (0, 7, len(passes) - 2), (7, 1, 1), (8, 1, 1),
        ]  # fmt: skip
        plan = find_mode(mode).plan
        plans = [plan(ENGINE, example.program, n, at) for at, n in passes_of(7, 1, price)]
        assert answer.reports[0].online_bytes == sum(p.cost.online_bytes for p in plans)
        assert answer.reports[0].formula_bytes == answer.reports[0].online_bytes

    run(session())


@MODES
def test_clients_at_once(mode: str, tmp_path: Path) -> None:
    example = model()
    prompts = [example.tokens[:2], example.tokens[:3], example.tokens[1:5]]

    async def session() -> None:
        async with three(example, mode, tmp_path) as parties:
            found = await asyncio.gather(*(parties.ask(prompt, 2) for prompt in prompts))
        for answer, prompt in zip(found, prompts, strict=True):
            assert [r.rows for r in answer.reports] == [len(prompt), 1]

    run(session())


@MODES
def test_a_session_before_its_prompt(mode: str, tmp_path: Path) -> None:
    """All material is there and used up before the prompt exists; then nothing waits."""
    example = model()

    async def session() -> None:
        async with three(example, mode, tmp_path) as parties, parties.session(3, 2) as (user, _):
            await user.dealt(2)
            await user.ready()
            await user.ready()  # once is enough
            first = await user.feed(example.tokens[:3])
            with pytest.raises(UsageError, match="do not fit"):
                await user.feed([first, first])
            await user.feed([first])
            with pytest.raises(UsageError, match="all passes"):
                await user.feed([first])

    run(session())


@MODES
def test_a_pass_without_result_is_repeated(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both parties see that the second pass has no result: they go on with other material."""
    example = model()
    honest = find_mode(mode).party
    used: list[tuple[int, int, int]] = []

    class Fails:
        def __init__(self, index: int, side: Any) -> None:
            self.index, self.side, self.left = index, side, 2

        async def introduce(self) -> None:
            await self.side.introduce()

        async def ready(self, label: Label, material: Any) -> Any:
            used.append((self.index, label.number, label.start))
            if label.start and self.left:
                return None
            return await self.side.ready(label, material)

        async def run(self, ready: Any, tokens: Any = ()) -> Outcome:
            if ready is None:
                self.left -= 1
                return Outcome(False, None)
            return await self.side.run(ready, tokens)

    def party(engine: Any, index: int, *rest: Any) -> Any:
        return Fails(index, honest(engine, index, *rest))

    monkeypatch.setattr(find_mode(mode), "party", party)

    async def session() -> None:
        async with three(example, mode, tmp_path) as parties:
            answer = await parties.ask(example.tokens[:3], 3)
        assert [r.attempts for r in answer.reports] == [1, 3, 1]
        if mode == "shuffled":
            assert answer.tokens == greedy(example, example.tokens[:3], 3)

    run(session())
    for index in (0, 1):
        numbers = [(n, start) for i, n, start in used if i == index]
        assert [start for _, start in numbers] == [0, 3, 3, 3, 4]
        assert sorted({n for n, _ in numbers}) == [n for n, _ in numbers]  # never the same twice


def test_sampling_draws_by_the_softmax() -> None:
    program = model().program
    unit = 2.0 ** -program.exponents.get(program.ops[-1].name, 0)
    logits = np.round(np.log([4.0, 2.0, 1.0, 1.0]) / unit).astype(np.int64)
    pick = Sampling(1.0).chooser(program, "shuffled").pick
    counts = np.bincount([int(pick(logits)[0]) for _ in range(4000)], minlength=4)
    weights = np.exp(logits * unit)
    wanted = 4000 * weights / weights.sum()
    assert ((counts - wanted) ** 2 / wanted).sum() < 30  # 3 degrees of freedom: 1e-6
    among = Sampling(1.0, 2).chooser(program, "shuffled").pick
    assert {int(among(logits)[0]) for _ in range(200)} == {0, 1}
    for temperature, top_k in ((0.0, 1), (-1.0, 1), (float("nan"), 0), (1.0, -1)):
        with pytest.raises(UsageError, match="temperature"):
            Sampling(temperature, top_k)
