"""Several turns in one session: caches live on, masks do not come twice, places are given up."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from pathlib import Path

import pytest

from tests.support.private_parties import Three, run, three
from tests.support.private_services import MODES, greedy, model, parties_busy
from tests.support.programs import Example, small_model
from veracity.errors import PeerError, UsageError
from veracity.mpc.material import Label
from veracity.mpc.modes import find_mode
from veracity.mpc.sessions import Ready
from veracity.net.person import Quota
from veracity.private.parties.dealer import DealerLimits
from veracity.private.parties.owner import ServiceLimits
from veracity.private.parties.passes import passes_of
from veracity.private.parties.user import UserSession
from veracity.private.parties.wire import MessageTag, receive_object, send_object


async def answered(user: UserSession, feed: list[int], count: int) -> list[int]:
    found = [await user.feed(feed)]
    while len(found) < count:
        found.append(await user.feed(found[-1:]))
    return found


def test_passes_behind_what_stays() -> None:
    def growing(start: int, rows: int) -> int:
        return (start + rows) * rows

    assert passes_of(5, 3, growing, 7) == [(7, 5), (12, 1), (13, 1)]
    assert passes_of(5, 3, growing) == passes_of(5, 3, growing, 0)
    long = passes_of(150, 1, growing, 40)
    assert (long[0][0], sum(rows for _, rows in long)) == (40, 150)


@MODES
@pytest.mark.parametrize("style", ["llama", "gpt2"])
def test_three_turns_answer_as_the_whole_prompt_does(
    style: str, mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each turn keeps the last prompt and not the passes behind it; no label, no seed twice."""
    example = model(style)
    ids = example.tokens[:2]
    labels: list[bytes] = []
    seeds: list[bytes] = []
    honest = find_mode(mode).party

    def watched(engine: object, index: int, *rest: object) -> object:
        side = honest(engine, index, *rest)  # type: ignore[arg-type]
        ready = side.ready

        async def noted(label: Label, material: object) -> object:
            if index == 1:
                labels.append(label.encode())
                seeds.append(material.seed)  # type: ignore[attr-defined]
            return await ready(label, material)  # type: ignore[arg-type]

        side.ready = noted  # type: ignore[method-assign, assignment]
        return side

    monkeypatch.setattr(find_mode(mode), "party", watched)

    async def session() -> None:
        nonlocal ids
        async with three(example, mode, tmp_path) as parties, parties.session(2, 2) as (user, _):
            found = await answered(user, ids, 2)
            for new in ([5, 6], [7]):
                if mode == "shuffled":
                    assert found == greedy(example, ids, 2)
                start = len(ids)
                ids = [*ids, *found[:1], *new]
                await user.turn(start, len(ids) - start, 2)
                found = await answered(user, ids[start:], 2)
            if mode == "shuffled":
                assert found == greedy(example, ids, 2)
            assert [(r.start, r.rows) for r in user.reports] == [
                (0, 2), (2, 1), (2, 3), (5, 1), (5, 2), (7, 1),
            ]  # fmt: skip
            for report in user.reports:
                assert report.online_bytes == report.formula_bytes

    run(session())
    assert len(set(labels)) == len(labels) >= 6
    assert len(set(seeds)) == len(seeds)


def test_the_second_turn_depends_on_the_first(tmp_path: Path) -> None:
    example = model()

    async def second(first: list[int]) -> list[int]:
        async with (
            three(example, "shuffled", tmp_path) as parties,
            parties.session(3, 1) as (user, _),
        ):
            await user.feed(first)
            await user.turn(3, 2, 2)
            return await answered(user, [1, 2], 2)

    prompts = [[1, 2, 3], [9, 8, 7]]
    assert [run(second(p)) for p in prompts] == [greedy(example, [*p, 1, 2], 2) for p in prompts]


@pytest.mark.parametrize(
    ("turn", "says"),
    [((9, 1, 1), "does not follow"), ((3, 10**6, 1), "context"), ((3, 1, 10**6), "context")],
)
def test_turns_that_cannot_follow(turn: tuple[int, int, int], says: str, tmp_path: Path) -> None:
    start, rows, count = turn
    example = model()

    async def session() -> None:
        async with three(example, "secure", tmp_path) as parties:
            async with parties.session(3, 1) as (user, _):
                await user.feed(example.tokens[:3])
                await send_object(user.owner, MessageTag.ASK, start=start, rows=rows, passes=count)
                with pytest.raises(PeerError, match=says):
                    await receive_object(user.owner, MessageTag.ANSWER, {"ok": bool})
            while parties_busy(parties):
                await asyncio.sleep(0.01)

    run(session())


def test_a_turn_before_the_last_one_has_ended(tmp_path: Path) -> None:
    example = model()

    async def session() -> None:
        async with (
            three(example, "secure", tmp_path) as parties,
            parties.session(3, 2) as (user, _),
        ):
            await user.feed(example.tokens[:3])
            with pytest.raises(UsageError, match="have ended"):
                await user.turn(3, 1, 1)

    run(session())


async def turned(parties: Three, example: Example) -> None:
    async with parties.session(3, 1) as (user, _):
        await user.feed(example.tokens[:3])
        await user.turn(3, 1, 1)


@pytest.mark.parametrize("what", ["passes", "disk", "order"])
def test_the_dealer_checks_a_turn_itself(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The owner asks for too much, or for what does not follow."""
    example = small_model(prompt=5)
    limits = DealerLimits(passes=1) if what == "passes" else DealerLimits()

    async def session() -> None:
        async with three(example, "secure", tmp_path, timeout=5, dealer_limits=limits) as parties:
            if what == "order":
                monkeypatch.setattr("veracity.private.parties.owner.OwnerService._turn", wrong_turn)
            if what == "disk":
                monkeypatch.setattr("veracity.private.parties.dealer.stored", Growing())
            with pytest.raises(PeerError):
                await turned(parties, example)
            while parties_busy(parties):
                await asyncio.sleep(0.01)

    async def wrong_turn(_owner: object, channel: object, _passes: object) -> tuple[int, int, int]:
        await receive_object(
            channel,
            MessageTag.ASK,
            {"start": int, "rows": int, "passes": int},  # type: ignore[arg-type]
        )
        return 9, 1, 1

    class Growing:
        calls = 0

        def __call__(self, *_given: object) -> int:
            self.calls += 1
            return 0 if self.calls == 1 else 1 << 50

    run(session())


def test_a_session_that_waits_makes_room(tmp_path: Path) -> None:
    """Between two turns a place is given up where somebody else needs it; never during passes."""
    example = model()

    async def session() -> None:
        async with three(example, "shuffled", tmp_path) as parties:
            parties.owner.sessions = Quota("sessions", 1, 1)
            async with parties.session(3, 1) as (waits, _):
                await waits.feed(example.tokens[:3])
                while not parties.owner._between:
                    await asyncio.sleep(0.01)
                other = await parties.ask(example.tokens[:2], 1)
                assert other.tokens == greedy(example, example.tokens[:2], 1)
                with pytest.raises(PeerError):
                    await waits.turn(3, 1, 1)
            while parties.owner.sessions.taken:  # the owner hears later that both have ended
                await asyncio.sleep(0.01)
            async with parties.session(3, 2) as (runs, _):
                await runs.feed(example.tokens[:3])
                with pytest.raises(PeerError, match="are taken"):
                    await parties.ask(example.tokens[:2], 1)

    run(session())


def test_who_takes_no_turn_is_dropped(tmp_path: Path) -> None:
    example = model()

    async def session() -> None:
        limits = ServiceLimits(turn=0.1)
        async with (
            three(example, "shuffled", tmp_path, limits=limits) as parties,
            parties.session(3, 1) as (user, _),
        ):
            await user.feed(example.tokens[:3])
            while parties.owner.sessions.taken:
                await asyncio.sleep(0.01)
            with pytest.raises(PeerError):
                await user.turn(3, 1, 1)

    run(session())


@pytest.mark.parametrize("others", [0, 1])
def test_a_token_alone_is_evaluated_where_its_messages_arrive(
    others: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No thread takes turns with the loop at every message, unless the owner serves others, too."""
    example = model()
    honest = find_mode("secure").party
    seen: set[tuple[int, int, bool]] = set()
    loop = threading.get_ident()

    def watched(engine: object, index: int, *rest: object) -> object:
        side = honest(engine, index, *rest)  # type: ignore[arg-type]
        evaluate = side.evaluate

        async def noted(ready: Ready, tokens: object) -> object:
            seen.add((index, ready.label.rows, threading.get_ident() == loop))
            return await evaluate(ready, tokens)  # type: ignore[arg-type]

        side.evaluate = noted  # type: ignore[method-assign, assignment]
        return side

    monkeypatch.setattr(find_mode("secure"), "party", watched)

    async def session() -> None:
        async with (
            three(example, "secure", tmp_path) as parties,
            contextlib.AsyncExitStack() as all_,
        ):
            for _ in range(others):
                await all_.enter_async_context(parties.session(2, 1))
            await parties.ask(example.tokens[:3], 3)

    run(session())
    alone = not others
    seen.discard((0, 2, False))  # the other session, whose user thinks
    assert seen == {(0, 3, False), (1, 3, False), (0, 1, alone), (1, 1, True)}
