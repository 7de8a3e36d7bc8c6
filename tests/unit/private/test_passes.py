"""How a prompt is cut into passes, and room for their material: nobody waits for ever."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.private_parties import run
from veracity.errors import PeerError, UsageError
from veracity.private.parties import passes as schedule
from veracity.private.parties.passes import heaviest, passes_of, weight_of
from veracity.private.parties.spool import Spool
from veracity.private.parties.wire import in_time


def growing(start: int, rows: int) -> int:
    """Like attention: every token meets all before it."""
    return rows * (100 + start + rows)


@pytest.mark.parametrize("limit", [1, 200, 3_000, 20_000, 10**9])
@pytest.mark.parametrize("rows", [1, 2, 63, 64, 65, 193, 257, 321, 1000])
def test_passes_cover_a_prompt_and_keep_to_the_price(
    rows: int, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule, "PASS_BYTES", limit)
    passes = passes_of(rows, 3, growing)
    assert passes[0][0] == 0
    assert all(start + n == after for (start, n), (after, _) in pairwise(passes))
    assert passes[-2:] == [(rows, 1), (rows + 1, 1)]
    assert all(n <= schedule.LONGEST for _, n in passes)
    assert all(n == 1 or growing(start, n) <= limit for start, n in passes)
    assert heaviest(passes, growing) == max(growing(*one) for one in passes)


def test_few_prices_are_asked_for() -> None:
    """They are plans of whole passes, and take a while."""
    asked: list[tuple[int, int]] = []

    def price(start: int, rows: int) -> int:
        asked.append((start, rows))
        return growing(start, rows) * 100_000

    passes = passes_of(1000, 1, price)
    assert len(passes) > 40
    assert len(asked) < 45


def test_two_files_are_reserved_at_once(tmp_path: Path) -> None:
    """Each of two passes needs two files; one after the other, each would hold half of the room."""

    async def session() -> None:
        spool = Spool(tmp_path, 100)

        async def one() -> None:
            pieces = await spool.take(40, 40)
            await asyncio.sleep(0.01)
            for piece in pieces:
                piece.close()

        await asyncio.wait_for(asyncio.gather(*(one() for _ in range(4))), 20)
        assert spool.peak == 80
        with pytest.raises(UsageError, match="--cap"):
            await spool.take(60, 60)

    run(session())


def test_signs_of_life_do_not_put_off_the_end(tmp_path: Path) -> None:
    async def session() -> None:
        with pytest.raises(PeerError, match="did not come within 0 s"):
            async with in_time(0.05):
                while True:
                    await asyncio.sleep(0.01)

    run(session())


def test_the_weight_of_a_session() -> None:
    def linear(start: int, rows: int) -> int:
        return rows * (100 + 7 * (start + rows))

    passes = passes_of(70, 31, linear)
    assert weight_of(passes, linear) == sum(linear(*one) for one in passes)
    assert weight_of([(0, 4)], linear) == linear(0, 4)
    assert weight_of([(3, 1)], linear) == linear(3, 1)
