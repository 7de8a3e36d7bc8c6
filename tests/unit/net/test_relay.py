"""The emulated network keeps its word: delay, rate, order, and ends that reach the other side.

It is never faster than stated; how much slower depends on what else the machine does, so upper
limits are generous and settings are compared with each other.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pytest

from veracity.errors import PeerError, UsageError
from veracity.net import Channel, Server, connect
from veracity.net.relay import LATE, TIMESTAMPS, Relay, TokenBucket, age

PLAIN = {"identity": None, "insecure": True}


@asynccontextmanager
async def network(
    rtt_ms: float, mbps: float
) -> AsyncIterator[tuple[Channel, Channel, asyncio.AbstractEventLoop]]:
    """Client's channel, server's channel, and the clock."""
    loop = asyncio.get_running_loop()
    met: asyncio.Future[Channel] = loop.create_future()
    over = asyncio.Event()

    async def handler(channel: Channel) -> None:
        met.set_result(channel)
        await over.wait()

    async with (
        asyncio.timeout(20),
        Server(handler, **PLAIN) as server,
        Relay(server.port, rtt_ms, mbps) as port,
        await connect("127.0.0.1", port, peer="owner", **PLAIN) as channel,
    ):
        yield channel, await met, loop
        over.set()


async def round_trip(rtt_ms: float) -> float:
    """Seconds for a small message and its answer, the fastest of some."""
    async with network(rtt_ms, 1000) as (a, b, loop):
        times = []
        for _ in range(9):
            begun = loop.time()
            await a.send(1, b"x")
            await b.receive(1, 1)
            await b.send(1, b"x")
            await a.receive(1, 1)
            times.append(loop.time() - begun)
        assert min(times) >= rtt_ms / 1000
        return min(times)


def test_round_trip_time() -> None:
    fast, slow = asyncio.run(round_trip(10)), asyncio.run(round_trip(40))
    assert 2 < slow / fast < 6
    assert slow < 0.08


def test_an_exchange_takes_half_of_it() -> None:
    async def session() -> None:
        async with network(40, 1000) as (a, b, loop):
            times = []
            for tag in range(4):
                begun = loop.time()
                await asyncio.gather(a.exchange(tag, b"x"), b.exchange(tag, b"y"))
                times.append(loop.time() - begun)
            assert 0.020 <= min(times) < 0.035
            assert max(a.traffic.hops, b.traffic.hops) == 4

    asyncio.run(session())


async def transfer(mbps: float, size: int = 1_000_000) -> tuple[float, float]:
    """Seconds for ``size`` bytes one way, and for as many in both directions at once."""
    data = np.random.default_rng(0).bytes(size)
    async with network(0, mbps) as (a, b, loop):
        begun = loop.time()
        _, got = await asyncio.gather(a.send(1, data), b.receive(1, size))
        one = loop.time() - begun
        assert got == data
        begun = loop.time()
        assert await asyncio.gather(a.exchange(2, data), b.exchange(2, data)) == [data, data]
        both = loop.time() - begun
    assert min(one, both) >= 8 * (size - 3000) / (mbps * 1e6) - 1e-3
    return one, both


def test_rate() -> None:
    one, both = asyncio.run(transfer(40))
    faster, _ = asyncio.run(transfer(160))
    assert one < 0.4  # 0.2 as stated
    assert 2 < one / faster < 6
    assert both / one < 1.7  # directions do not share the rate


def test_bytes_are_on_their_way_since_the_system_took_them() -> None:
    def stamped(ago: float, kind: int = TIMESTAMPS) -> list[tuple[int, int, bytes]]:
        seconds, rest = divmod(time.time() - ago, 1)
        return [(socket.SOL_SOCKET, kind, struct.pack("@ll", int(seconds), int(rest * 1e9)))]

    assert 0.5 * LATE <= age(stamped(0.5 * LATE)) <= LATE
    assert age(stamped(10)) == LATE  # no more than that, whatever the clock did
    assert age(stamped(-10)) == age([]) == age(stamped(0.5 * LATE, kind=1)) == 0
    assert age([(socket.SOL_SOCKET, TIMESTAMPS, b"short")]) == 0


def test_connections_share_the_rate() -> None:
    async def echo(channel: Channel) -> None:
        await channel.send(1, await channel.receive(1, 300_000))

    async def session() -> None:
        loop = asyncio.get_running_loop()
        async with Server(echo, **PLAIN) as server, Relay(server.port, 0, 40) as port:
            channels = [await connect("127.0.0.1", port, peer="owner", **PLAIN) for _ in range(2)]
            begun = loop.time()
            await asyncio.gather(*(c.exchange(1, bytes(300_000)) for c in channels))
            assert loop.time() - begun >= 0.115  # 600 kB at 5 MB/s
            for channel in channels:
                await channel.close()

    asyncio.run(asyncio.wait_for(session(), 20))


def test_the_bucket_by_the_clock() -> None:
    bucket = TokenBucket(rate=1000, burst=500)
    assert bucket.passed(500, now=10.0) == 10.0  # the burst is free
    assert bucket.passed(100, now=10.0) == pytest.approx(10.1)
    assert bucket.passed(1000, now=10.0) == pytest.approx(11.1)
    assert bucket.passed(1000, now=11.6) == pytest.approx(12.1)  # it had half-filled till now
    assert bucket.passed(600, now=100.0) == pytest.approx(100.1)  # never more than full
    # Bytes that were looked at late have not kept the link idle.
    late = TokenBucket(rate=1000, burst=0)
    assert late.passed(100, now=1.0) == pytest.approx(1.1)
    assert late.passed(100, now=1.15, since=1.0) == pytest.approx(1.2)
    assert late.passed(10, now=1.5, since=1.4) == 1.5  # and nothing is through before it is seen
    # However the bytes are cut, they leave at the same time.
    pieces = TokenBucket(rate=1000, burst=500)
    assert [pieces.passed(10, now=0.0) for _ in range(300)][-1] == pytest.approx(2.5)


def test_the_end_of_a_party_reaches_the_other() -> None:
    async def session() -> None:
        async with network(10, 100) as (a, b, _):
            await a.send(1, bytes(200_000))
            await a.close()
            assert await b.receive(1, 200_000) == bytes(200_000)
            with pytest.raises(PeerError, match="ended the session"):
                await b.receive(2, 1)
        async with network(10, 100) as (a, b, _):
            b.abort()
            with pytest.raises(PeerError):
                await a.receive(1, 1, timeout=10)

    asyncio.run(session())


def test_the_line_holds_no_more_than_a_line() -> None:
    """A sender is held back by a receiver that does not take."""

    async def session() -> None:
        async with network(2, 1000) as (a, b, _):
            sending = asyncio.create_task(a.send(1, bytes(60_000_000)))
            done, _ = await asyncio.wait((sending,), timeout=1)
            assert not done
            a.abort()
            with pytest.raises(PeerError):
                await sending
            b.abort()

    asyncio.run(session())


def test_no_target_and_no_threads_left() -> None:
    async def session() -> None:
        async with Relay(1, 0, 100) as port:
            with pytest.raises(PeerError):
                await connect("127.0.0.1", port, peer="owner", **PLAIN, timeout=5)
            with pytest.raises(UsageError, match="port"):
                async with Relay(1, 0, 100, port=port):
                    pass

    asyncio.run(session())
    assert not [t for t in threading.enumerate() if t.name == "relay"]


@pytest.mark.parametrize(
    ("rtt_ms", "mbps"), [(-1, 10), (10, 0), (10, -5), (float("nan"), 1), (1, float("inf"))]
)
def test_networks_that_cannot_be(rtt_ms: float, mbps: float) -> None:
    with pytest.raises(UsageError):
        Relay(1, rtt_ms, mbps)
