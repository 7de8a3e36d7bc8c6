"""How many passes an answer takes: what the other parties see of its length."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import cast

import pytest

from veracity.errors import PeerError, UsageError
from veracity.private.answer import AnswerState, Token, read_apart
from veracity.private.card import Card
from veracity.private.parties.report import PassReport

REPORT = PassReport(0, 1, 1, 0.0, 0.0, 0.0, 0.0, 0.0, 0, 0, 0, 0, 0.0)
END = 9


class Letters:
    """A card whose tokens are letters; one of them ends answers."""

    def ends(self, tokens: list[int]) -> bool:
        return tokens[-1] == END

    def piece(self, token: int) -> bytes:
        return b"" if token == END else bytes([97 + token])


CARD = cast(Card, Letters())


async def passes(
    state: AnswerState, tokens: list[int], fault: Exception | None = None
) -> AsyncGenerator[Token, None]:
    for given in tokens:
        await asyncio.sleep(0)
        if state.over:
            return
        token = state.add(CARD, given, REPORT)
        if token is not None:
            yield token
    if fault is not None:
        raise fault


@pytest.mark.parametrize(
    ("step", "end", "run"),
    [(0, 1, 8), (0, 8, 8), (1, 3, 3), (4, 1, 4), (4, 4, 4), (4, 5, 8), (5, 6, 8), (100, 2, 8)],
)
def test_passes_hide_the_end(step: int, end: int, run: int) -> None:
    """The answer has ``end`` tokens, the session ``run`` passes."""
    state = AnswerState(8, step)
    tokens = [*[1] * (end - 1), END, *[2] * 20]

    async def read() -> list[Token]:
        return [token async for token in read_apart(passes(state, tokens), state)]

    found = asyncio.run(read())
    assert [token.id for token in found] == tokens[:end]
    assert [token.ended for token in found] == [*[None] * (end - 1), "stop"]
    assert state.found == tokens[:run]


def test_an_answer_without_an_end_is_as_long_as_was_asked_for() -> None:
    state = AnswerState(3)

    async def read() -> list[Token]:
        return [token async for token in read_apart(passes(state, [1] * 9), state)]

    found = asyncio.run(read())
    assert [token.ended for token in found] == [None, None, "length"]
    assert "".join(token.text for token in found) == "bbb"


@pytest.mark.parametrize(("step", "run"), [(0, 8), (1, 2), (4, 4)])
def test_a_pass_that_means_nothing_ends_the_answer_and_not_the_passes(step: int, run: int) -> None:
    """The reader gets what came before it; the others see as many passes as of any answer."""
    state, fault = AnswerState(8, step), PeerError("no token")
    faults = [None, fault, None, fault]
    given = []
    while not state.over:
        given.append(state.add(CARD, 1, REPORT, faults[len(given) % 4]))
    assert len(given) == run
    assert [one is None for one in given] == [False, *[True] * (run - 1)]
    assert (state.end, state.fault) == (2, fault)


def test_a_fault_behind_the_end_is_none() -> None:
    state = AnswerState(3)
    assert state.add(CARD, END, REPORT) is not None
    state.add(CARD, 1, REPORT, PeerError("no token"))
    assert (state.end, state.fault) == (1, None)


def test_the_models_end_can_be_ignored() -> None:
    state = AnswerState(4, to_the_end=True)
    found = [state.add(CARD, token, REPORT) for token in (1, END, END, END)]
    assert [one.ended for one in found if one is not None] == [None, None, None, "length"]
    assert state.over


@pytest.mark.parametrize(("step", "run"), [(0, 8), (1, 2), (6, 6)])
def test_a_reader_that_leaves(step: int, run: int) -> None:
    state = AnswerState(8, step)

    async def read() -> None:
        answer = read_apart(passes(state, [1] * 20), state)
        async with contextlib.aclosing(answer):
            await anext(answer)
            if step <= 1:
                await anext(answer)

    asyncio.run(read())
    assert len(state.found) == run


def test_who_reads_slowly_does_not_slow_the_passes() -> None:
    state = AnswerState(8)

    async def read() -> None:
        answer = read_apart(passes(state, [1] * 20), state)
        async with contextlib.aclosing(answer):
            await anext(answer)
            while not state.over:
                await asyncio.sleep(0)

    asyncio.run(read())


@pytest.mark.parametrize(("cancels", "run"), [(1, 8), (2, 1)])
def test_one_cancellation_is_waited_for_two_cut(cancels: int, run: int) -> None:
    state = AnswerState(8)

    async def check() -> None:
        go = asyncio.Event()

        async def slow() -> AsyncGenerator[Token, None]:
            async for token in passes(state, [1] * 20):
                yield token
                await go.wait()

        async def read() -> None:
            async with contextlib.aclosing(read_apart(slow(), state)) as answer:
                async for _ in answer:
                    pass

        reader = asyncio.create_task(read())
        while not state.found:
            await asyncio.sleep(0)
        for _ in range(cancels):
            await asyncio.sleep(0)
            reader.cancel()
            for _ in range(5):
                await asyncio.sleep(0)
        assert reader.done() == (cancels == 2)
        go.set()
        with pytest.raises(asyncio.CancelledError):
            await reader

    asyncio.run(check())
    assert len(state.found) == run


def test_before_the_first_token_one_leaves_at_once() -> None:
    """A download or a long prompt is not waited for."""
    state = AnswerState(8)

    async def check() -> None:
        async def never() -> AsyncGenerator[Token, None]:
            await asyncio.Event().wait()
            yield Token(1, "", REPORT)

        async def read() -> None:
            async with contextlib.aclosing(read_apart(never(), state)) as answer:
                async for _ in answer:
                    pass

        reader = asyncio.create_task(read())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader

    asyncio.run(asyncio.wait_for(check(), 20))
    assert state.found == []


def test_what_breaks_behind_the_end_is_told() -> None:
    state = AnswerState(8)

    async def read() -> list[int]:
        found = []
        with pytest.raises(PeerError, match="gone"):
            async for token in read_apart(passes(state, [1, END, 3], PeerError("gone")), state):
                found.append(token.id)
        return found

    assert asyncio.run(read()) == [1, END]


def test_lengths_that_mean_nothing() -> None:
    with pytest.raises(UsageError, match="at least one token"):
        AnswerState(0)
    with pytest.raises(UsageError, match="multiple"):
        AnswerState(1, -1)
