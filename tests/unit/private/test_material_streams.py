"""Material that is used as it comes: parties and dealer hold a window of a pass."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.private_parties import run, three
from tests.support.private_services import hello, model, register
from veracity.engine import load_engine
from veracity.errors import PeerError, UsageError
from veracity.mpc.material import Label
from veracity.mpc.modes import find_mode
from veracity.mpc.secure.session import PartySession
from veracity.mpc.sessions import Outcome
from veracity.net import Channel, pair
from veracity.private.parties.dealer import DealerLimits
from veracity.private.parties.owner import ServiceLimits
from veracity.private.parties.passes import price_of, stored
from veracity.private.parties.preprocessing_client import (
    ACCEPT,
    HEADER,
    REQUEST,
    Kind,
    PreprocessingClient,
)
from veracity.private.parties.spool import SHARE, Spool
from veracity.private.parties.wire import MessageTag, receive_object

ENGINE = load_engine("cpu")
WHAT = os.urandom(100_000)


def parts_of(data: bytes) -> list[bytes]:
    """Of all lengths, more than a window among them."""
    found, size = [], 1
    while data:
        found.append(data[:size])
        data, size = data[size:], size * 3 % 2003 + 1
    return found


@pytest.mark.parametrize("window", [1, 700, 100_000, 200_000])
def test_all_passes_through_a_window(window: int, tmp_path: Path) -> None:
    data = WHAT[: 2000 if window == 1 else None]

    async def session() -> None:
        spool = Spool(tmp_path, 1 << 20)
        (piece,) = await spool.take(len(data), window=window)
        assert piece.whole == (window >= len(data))
        assert spool.used == min(window, len(data))

        def write() -> None:
            for part in parts_of(data):
                piece.write(part)
            piece.end()

        writing = asyncio.create_task(asyncio.to_thread(write))
        got = b""
        while part := await piece.part(997):
            got += part
            assert os.fstat(piece._file.fileno()).st_size <= window
        await writing
        assert got == data
        piece.close()

        (piece,) = await spool.take(len(data), window=window)
        reading = asyncio.create_task(asyncio.to_thread(lambda: b"".join(piece.read())))
        for part in parts_of(data):
            await piece.fill(part)
            await piece.room(1)
        piece.end()
        assert await reading == data
        await asyncio.sleep(0)
        assert spool.used == 0

    run(session())


@pytest.mark.parametrize("end", ["writes", "reads"])
@pytest.mark.parametrize("how", ["close", "fail"])
def test_who_waits_is_told(end: str, how: str, tmp_path: Path) -> None:
    async def session() -> None:
        (piece,) = await Spool(tmp_path, 100).take(100, window=10)
        work = (lambda: piece.write(b"x" * 20)) if end == "writes" else lambda: list(piece.read())
        waiting = asyncio.create_task(asyncio.to_thread(work))
        here = asyncio.create_task(piece.room(1) if end == "writes" else piece.part(5))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        if how == "close":
            piece.close()
        else:
            piece.fail(PeerError("nobody is there"))
        match = {"close": "nobody takes", "fail": "nobody is there"}[how]
        with pytest.raises(PeerError, match=match):
            await waiting
        with pytest.raises(PeerError, match=match):
            await here
        piece.close()

    run(session())


def test_prompts_are_answered_with_less_room_than_a_pass_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Passes that have no result among them; no party holds more than its cap."""
    example, count = model(), 3
    prompt = (example.tokens * 3)[:20]
    price = price_of(ENGINE, example.program, "secure")
    plan = find_mode("secure").plan(ENGINE, example.program, len(prompt), 0).cost
    cap = price(len(prompt) + count - 2, 1)
    assert min(plan.offline_bytes_owner, plan.offline_bytes_user) > cap / SHARE * 4
    spools: list[Spool] = []
    honest, evaluate = Spool.__init__, PartySession.evaluate
    left = {0: 2, 1: 2}

    def noted(self: Spool, folder: Path, most: int) -> None:
        honest(self, folder, most)
        spools.append(self)

    async def fails(self: PartySession, ready: Any, tokens: Any) -> Outcome:
        outcome = await evaluate(self, ready, tokens)
        if left[self.index]:
            left[self.index] -= 1
            return Outcome(False, None)
        return outcome

    monkeypatch.setattr(Spool, "__init__", noted)
    monkeypatch.setattr(PartySession, "evaluate", fails)

    async def session() -> None:
        limits = ServiceLimits(idle=5, disk=cap)
        dealer = DealerLimits(idle=5, disk=cap)
        async with three(
            example, "secure", tmp_path, limits=limits, dealer_limits=dealer
        ) as parties:
            answer = await parties.ask(prompt, count)
        assert len(answer.tokens) == count
        report = answer.reports[0]
        assert report.attempts == 3
        both = plan.offline_bytes_owner + plan.offline_bytes_user
        assert report.offline_bytes == 3 * both
        assert min(report.deal_s, report.fetch_s) > 0
        assert len(spools) == 3
        assert all(0 < spool.peak <= cap < both for spool in spools)

    run(session(), 60)


def test_a_cap_has_room_for_the_last_token() -> None:
    def price(start: int, rows: int) -> int:
        return rows * (100 + start)

    assert stored([(0, 8), (8, 4), (12, 1), (13, 1)], price, "secure") == 113
    assert stored([(0, 8)], price, "secure") == 107
    assert stored([(0, 8), (8, 4), (12, 1)], price, "shuffled") == 800


def test_a_party_that_takes_nothing_keeps_no_thread(tmp_path: Path) -> None:
    """It asks for a pass, accepts none of it, and leaves: the dealer goes on with others."""
    example = model()
    cap = price_of(ENGINE, example.program, "secure")(30, 1)

    def dealing() -> int:
        return sum(t.name.startswith("dealing") for t in threading.enumerate())

    async def session() -> None:
        limits = DealerLimits(idle=5, disk=cap)
        async with three(
            example, "secure", tmp_path, dealer_limits=limits, limits=ServiceLimits(disk=cap)
        ) as parties:
            name = "ab" * 16
            owner = await register(parties, name, mode="secure", rows=20)
            user = await hello(parties, "user", name)
            await receive_object(user, MessageTag.ANSWER, {"ok": bool})
            for channel in (owner, user):
                await channel.send(MessageTag.REQUEST, REQUEST.pack(0, 0))
                header = HEADER.unpack(await channel.receive(MessageTag.HEADER, HEADER.size))
                assert header[0] == Kind.MATERIAL
            await user.send(MessageTag.ACCEPT, ACCEPT.pack(1 << 40))
            received = 0
            while received < header[3] // 2:
                kind, _, _, size, *_ = HEADER.unpack(
                    await user.receive(MessageTag.HEADER, HEADER.size)
                )
                if kind == Kind.WAIT:  # the owner's window is full
                    break
                await user.receive(MessageTag.CHUNK, size)
                received += size
            assert kind == Kind.WAIT
            assert dealing() == 1
            owner.abort()
            until = time.monotonic() + 5
            while dealing() and time.monotonic() < until:
                await asyncio.sleep(0.01)
            assert dealing() == 0
            assert len((await parties.ask(example.tokens[:20], 2)).tokens) == 2

    run(session(), 60)


LIES = {
    "more than was accepted": [(Kind.PART, 40, b"x" * 40)],
    "nothing": [(Kind.PART, 0, b"")],
    "less than it says": [(Kind.PART, 5, b"x" * 5), (Kind.END, 50, b"")],
    "no kind": [(9, 5, b"x" * 5)],
    "another pass": [(Kind.MATERIAL, 5, b"x" * 5)],
}


@pytest.mark.parametrize("lie", LIES)
def test_a_dealer_that_lies_is_told_apart(lie: str, tmp_path: Path) -> None:
    async def dealer(channel: Channel) -> None:
        await channel.receive(MessageTag.REQUEST, REQUEST.size)
        label = Label(bytes(32), bytes(16), 1, 0, 2, 1).encode()
        await channel.send(
            MessageTag.HEADER, HEADER.pack(Kind.MATERIAL, label, bytes(32), 100, 0, 0)
        )
        accepted = ACCEPT.unpack(await channel.receive(MessageTag.ACCEPT, ACCEPT.size))
        assert accepted == (30,)
        for kind, size, data in LIES[lie]:
            await channel.send(MessageTag.HEADER, HEADER.pack(kind, b"", b"", size, 0, 0))
            if data:
                await channel.send(MessageTag.CHUNK, data)
        await channel.receive(MessageTag.REQUEST, REQUEST.size)

    async def session() -> None:
        near, far = pair(timeout=5)
        lying = asyncio.create_task(dealer(far))
        client = PreprocessingClient(near, Spool(tmp_path, 30 * SHARE), [(0, 2)], 1, True)
        client.start()
        await client.full(1)  # nothing waits but what is used as it comes
        material = await client.next()
        with pytest.raises(PeerError, match="the dealer"):
            await asyncio.to_thread(lambda: list(material.piece.read()))
        with pytest.raises(PeerError, match="the dealer"):
            await client.next()
        material.piece.close()
        await client.close()
        with pytest.raises(PeerError):
            await lying

    run(session())


def test_a_pass_that_is_not_wanted_any_more_is_given_back(tmp_path: Path) -> None:
    """The pass before it is repeated: the dealer is told to drop what it has dealt ahead."""

    async def session() -> None:
        near, far = pair(timeout=5)
        client = PreprocessingClient(near, Spool(tmp_path, 30 * SHARE), [(0, 2), (2, 2)], 4, True)
        client._next = 1  # the first pass is under way
        client.start()
        assert await far.receive(MessageTag.REQUEST, REQUEST.size) == REQUEST.pack(0, 1)
        label = Label(bytes(32), bytes(16), 1, 2, 2, 1).encode()
        await far.send(MessageTag.HEADER, HEADER.pack(Kind.MATERIAL, label, bytes(32), 100, 0, 0))
        await asyncio.sleep(0.02)
        await client.repeat(0)
        assert await far.receive(MessageTag.ACCEPT, ACCEPT.size) == ACCEPT.pack(0)
        assert await far.receive(MessageTag.REQUEST, REQUEST.size) == REQUEST.pack(1, 0)
        assert client._spool.used == 0
        await client.close()

    run(session())


def test_too_much_is_refused(tmp_path: Path) -> None:
    async def session() -> None:
        (piece,) = await Spool(tmp_path, 100).take(100, window=10)
        with pytest.raises(UsageError, match="more material"):
            piece.write(b"x" * 101)
        with pytest.raises(UsageError, match="over the cap"):
            await piece._spool.take(101)
        piece.close()

    run(session())
