"""Messages between two parties in one process: order, counts, limits and faults."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import numpy as np
import pytest

from veracity.errors import PeerError, UsageError
from veracity.net import Channel, Traffic, pair
from veracity.net.frames import HEADER_BYTES, Header, Kind


def run(parties: Coroutine[Any, Any, Any]) -> Any:
    async def within() -> Any:
        async with asyncio.timeout(20):
            return await parties

    return asyncio.run(within())


async def both(*parties: Coroutine[Any, Any, Any]) -> list[Any]:
    return await asyncio.gather(*parties)


def test_send_and_receive() -> None:
    async def parties() -> None:
        a, b = pair()
        await a.send(7, b"word")
        await a.send(8, b"")
        assert await b.receive(7, 4) == b"word"
        assert await b.receive(8, 0) == b""

    run(parties())


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 5_000_001])
def test_exchange_of_any_size(size: int) -> None:
    data = np.random.default_rng(size).bytes(size)

    async def parties() -> None:
        a, b = pair()
        got = await both(a.exchange(1, data), b.exchange(1, data[::-1]))
        assert got == [data[::-1], data]
        await both(a.exchange(2, data, 3), b.exchange(2, b"abc", size))

    run(parties())


def test_arrays_keep_shape_and_can_be_written_to() -> None:
    x = np.arange(2**19, dtype=np.uint64).reshape(2, -1, 4)

    async def parties() -> None:
        a, b = pair()
        y, z = await both(a.exchange_array(1, x), b.exchange_array(1, x + np.uint64(1)))
        assert np.array_equal(y, x + np.uint64(1))
        assert np.array_equal(z, x)
        y += np.uint64(1)
        part = x[:, ::2, 1:3]  # not contiguous
        _, got = await both(a.send_array(2, part), b.receive_array(2, part.shape))
        assert np.array_equal(got, part)
        await a.send_array(3, x[:0])
        assert (await b.receive_array(3, (0, 4))).shape == (0, 4)
        await a.send(4, x[0, 0])
        assert len(await b.receive_up_to(4, 100)) == 32

    run(parties())


def test_traffic_counts_payload_messages_and_hops() -> None:
    async def parties() -> tuple[Traffic, Traffic]:
        a, b = pair()

        async def owner() -> None:
            await a.exchange(1, bytes(10))
            await a.receive(2, 30)
            await a.exchange(3, bytes(5))

        async def user() -> None:
            await b.exchange(1, bytes(10))
            await b.send(2, bytes(30))
            await b.exchange(3, bytes(5))

        await both(owner(), user())
        before = a.traffic
        other = b.traffic
        await both(a.exchange(4, bytes(8)), b.exchange(4, bytes(8)))
        assert b.traffic - other == Traffic(8, 8, 1, 1, 0)
        assert max(a.traffic.hops, b.traffic.hops) - max(before.hops, other.hops) == 1
        return before, other

    a, b = run(parties())
    assert a == Traffic(15, 45, 2, 3, hops=2)
    assert b == Traffic(45, 15, 3, 2, hops=3)
    assert a.framing_bytes == 5 * HEADER_BYTES


def test_an_exchange_is_one_hop_whoever_is_first() -> None:
    async def parties() -> None:
        a, b = pair()
        for tag in range(4):
            first, second = (a, b) if tag % 2 else (b, a)
            begun = asyncio.create_task(first.exchange(tag, b"x"))
            for _ in range(10):
                await asyncio.sleep(0)  # the first message has arrived when the other is sent
            await second.exchange(tag, b"y")
            await begun
        assert a.traffic.hops == b.traffic.hops == 4

    run(parties())


def test_a_message_ahead_is_sent_before_the_others_is_waited_for() -> None:
    """However large, nobody waits for ever; and it is caused by no more than the first one."""

    async def parties() -> None:
        a, b = pair()
        for tag, size in ((0, 3), (2, 10**7)):
            mine, more, theirs = bytes(size), bytes([1]) * size, bytes([2]) * size

            async def first(tag: int = tag, mine: bytes = mine, more: bytes = more) -> bytes:
                return await a.exchange(tag, mine, ahead=(tag + 1, more))

            async def second(tag: int = tag, theirs: bytes = theirs) -> tuple[bytes, bytes]:
                got = await b.exchange(tag, theirs)
                return got, await b.receive(tag + 1, len(got))

            assert await both(first(), second()) == [theirs, (mine, more)]
        assert a.traffic.hops == b.traffic.hops == 2
        assert a.traffic.sent_messages == 4

    run(parties())


def test_an_array_ahead() -> None:
    async def parties() -> None:
        a, b = pair()
        x = np.arange(6, dtype=np.uint64)
        begun = asyncio.create_task(a.exchange_array(1, x, ahead=(2, x + np.uint64(1))))
        assert np.array_equal(await b.exchange_array(1, x), x)
        assert np.array_equal(await b.receive_array(2, 6), x + np.uint64(1))
        await begun

    run(parties())


def test_hops_are_the_longest_chain_of_both() -> None:
    """Messages in parallel are one hop, a message and its answer are two."""

    async def parties() -> None:
        a, b = pair()
        for tag in range(3):
            await a.send(tag, b"x")
        for tag in range(3):
            await b.receive(tag, 1)
        assert b.traffic.hops == 1
        await b.send(3, b"y")
        await a.receive(3, 1)
        assert max(a.traffic.hops, b.traffic.hops) == 2

    run(parties())


def test_tasks_may_share_a_channel_when_both_sides_call_in_one_order() -> None:
    async def parties() -> None:
        a, b = pair()
        calls = range(20)
        mine = both(*(a.exchange(t, bytes([t]) * 300_000) for t in calls))
        theirs = both(*(b.exchange(t, bytes([100 + t]) * 300_000) for t in calls))
        got, other = await both(mine, theirs)
        assert [g[0] for g in got] == [100 + t for t in calls]
        assert [g[0] for g in other] == list(calls)

    run(parties())


def test_a_sender_is_held_back_until_the_other_side_receives() -> None:
    async def parties() -> None:
        a, b = pair()
        sending = asyncio.create_task(a.send(1, bytes(10**7)))
        for _ in range(100):
            await asyncio.sleep(0)
        assert not sending.done()
        assert a._link._transport.get_write_buffer_size() < 2**20
        assert len(await b.receive(1, 10**7)) == 10**7
        await sending

    run(parties())


@pytest.mark.parametrize(
    ("tag", "size", "words"),
    [(2, 4, "sent step 1 where 2 was due"), (1, 5, "4 bytes"), (1, 3, "4 bytes")],
)
def test_another_step_or_size_is_the_peers_fault(tag: int, size: int, words: str) -> None:
    async def parties() -> None:
        a, b = pair()
        await a.send(1, b"word")
        with pytest.raises(PeerError, match=words):
            await b.receive(tag, size)
        with pytest.raises(PeerError, match=words):  # once and for all
            await b.send(9, b"")
        with pytest.raises(PeerError):
            await a.receive(9, 1)

    run(parties())


def test_silence_ends_in_a_time_out() -> None:
    async def parties() -> None:
        a, b = pair(timeout=0.05)
        with pytest.raises(PeerError, match=r"sends nothing for 0\.05 seconds"):
            await a.receive(1, 1)
        a, b = pair(timeout=0.05)
        with pytest.raises(PeerError, match="takes nothing"):
            await a.send(1, bytes(10**7))
        a, b = pair(timeout=0.05)
        waiting = asyncio.create_task(a.receive(1, 1, timeout=5))
        await asyncio.sleep(0.15)
        await b.send(1, b"x")
        assert await waiting == b"x"

    run(parties())


def test_signs_of_life_are_not_silence() -> None:
    async def parties() -> None:
        a, b = pair(timeout=0.2)
        waiting = asyncio.create_task(a.receive(1, 1 << 18))
        await asyncio.sleep(0)
        header = Header(Kind.DATA, tag=1, sequence=0, hop=1, length=1 << 18)
        b._link._transport.write(header.encode())
        for _ in range(4):
            await asyncio.sleep(0.1)
            b._link._transport.write(b"z" * (1 << 16))
        assert await waiting == b"z" * (1 << 18)

    run(parties())


def test_the_end_of_a_session() -> None:
    async def parties() -> None:
        a, b = pair()
        await a.send(1, b"last")
        await a.close()
        await a.close()
        with pytest.raises(UsageError, match="closed"):
            await a.send(2, b"")
        assert await b.receive(1, 4) == b"last"  # said before the goodbye
        with pytest.raises(PeerError, match="ended the session"):
            await b.receive(2, 1)
        a, b = pair()
        await a.refuse("no room\x1b[31m\ntry later" + "." * 500)
        with pytest.raises(PeerError, match=r"refused: no room \[31m try later\.+$") as fault:
            await b.receive(1, 1)
        assert len(str(fault.value)) < 300
        a, b = pair()
        a.abort()
        with pytest.raises(PeerError, match="closed the connection"):
            await b.receive(1, 1)

    run(parties())


def test_an_interrupted_wait_ends_the_channel() -> None:
    """The message would otherwise be taken for the answer to the next question."""

    async def parties() -> None:
        a, b = pair()
        waiting = asyncio.create_task(a.receive(1, 1))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        for call in (a.receive(1, 1), a.send(1, b"x"), a.exchange(1, b"x")):
            with pytest.raises(PeerError, match="interrupted"):
                await call
        await b.send(1, b"too late")
        await a.refuse("no time")
        with pytest.raises(PeerError, match="refused: no time"):
            await b.receive(1, 1)

    run(parties())


def test_misuse_is_the_callers_fault() -> None:
    async def parties() -> None:
        a, b = pair()
        for tag in (-1, 2**32):
            with pytest.raises(UsageError, match="does not fit"):
                await a.exchange(tag, b"")
        with pytest.raises(UsageError, match="contiguous"):
            await a.send(1, np.zeros((4, 4))[:, 1])
        with pytest.raises(UsageError, match="uint64"):
            await a.send_array(1, np.zeros(3, dtype=np.int64))  # type: ignore[arg-type]
        with pytest.raises(UsageError):
            await a.receive(1, -1)
        for seconds in (0, -1, float("nan"), float("inf")):
            with pytest.raises(UsageError):
                Channel(b._link, timeout=seconds)
        await both(a.exchange(1, b"fine"), b.exchange(1, b"fine"))

    run(parties())
