"""A server outlives everybody: attackers, silent clients, signals."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys

import pytest

from tests.support.sockets import PLAIN, Identities, asks, echo, run
from veracity.errors import PeerError, UsageError
from veracity.net import Channel, Server, connect
from veracity.net.frames import Header, Kind


def frame(sequence: int, payload: bytes, tag: int = 1, length: int | None = None) -> bytes:
    size = len(payload) if length is None else length
    return Header(Kind.DATA, tag, sequence, 1, size).encode() + payload


HELLO = frame(0, b"veracity private", tag=0)
WORD = frame(1, bytes(1000))
ATTACKS: dict[str, bytes] = {
    "dies at once": b"",
    "dies in the greeting": HELLO[:30],
    "dies in a message": HELLO + WORD[:-1],
    "garbage": os.urandom(5000),
    "another protocol": b"GET / HTTP/1.0\r\n\r\n",
    "another greeting": frame(0, b"voracity private", tag=0),
    "garbage after the greeting": HELLO + b"\xff" * 5000,
    "replays the greeting": HELLO * 2,
    "replays a message": HELLO + WORD * 2,
    "wrong step": HELLO + frame(1, bytes(1000), tag=2),
    "wrong size": HELLO + frame(1, bytes(999)),
    "huge length": HELLO + frame(1, bytes(5000), length=1 << 34),
    "empty": HELLO + frame(1, b""),
}


@pytest.mark.parametrize("stays", [False, True], ids=["and leaves", "and stays"])
@pytest.mark.parametrize("name", ATTACKS)
def test_the_server_lives_on(name: str, stays: bool) -> None:
    """A session beside the attacker's, and one after it, work as if it was not there."""
    faults: list[PeerError] = []

    async def handler(channel: Channel) -> None:
        try:
            await echo(channel)
        except PeerError as fault:
            faults.append(fault)
            raise

    async def session() -> None:
        async with Server(handler, **PLAIN, timeout=1.0, sessions=2) as server:
            beside = await connect("127.0.0.1", server.port, peer="owner", **PLAIN)
            await asks(beside)
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(ATTACKS[name])
            if not stays:
                writer.close()
            await asks(beside)
            if stays:  # the server closes the connection
                with contextlib.suppress(ConnectionError):
                    async with asyncio.timeout(5):
                        await reader.read()
                writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            while server.active > 1:
                await asyncio.sleep(0.001)
            if server.active:  # the time-out may have ended it while the attacker was waited for
                beside.abort()
            async with await connect("127.0.0.1", server.port, peer="owner", **PLAIN) as after:
                await asks(after)

    run(session())
    in_session = ATTACKS[name].startswith(HELLO) and name != "dies in the greeting"
    assert len(faults) >= 1 + in_session


def test_a_silent_client_is_dropped_within_the_time_out(identities: Identities) -> None:
    async def session() -> None:
        loop = asyncio.get_running_loop()
        async with Server(echo, identity=identities["owner"], timeout=0.2) as server:
            channel = await connect(
                "127.0.0.1", server.port, peer="owner", identity=identities["user"]
            )
            begun = loop.time()
            with pytest.raises(PeerError):
                await channel.receive(1, 1, timeout=10)
            assert 0.15 < loop.time() - begun < 5
            assert server.active == 0

    run(session())


def test_several_sessions_at_once_and_no_more(identities: Identities) -> None:
    async def session() -> None:
        async with Server(echo, identity=identities["owner"], sessions=3) as server:

            async def call() -> Channel:
                return await connect(
                    "127.0.0.1", server.port, peer="owner", identity=identities["user"]
                )

            channels = await asyncio.gather(*(call() for _ in range(3)))
            with pytest.raises(PeerError, match="refused: all sessions are taken"):
                await call()
            letters = (b"a", b"b", b"c")
            for _ in range(5):
                await asyncio.gather(*(asks(*both) for both in zip(channels, letters, strict=True)))
            await channels.pop().close()
            while server.active == 3:
                await asyncio.sleep(0.001)
            channels.append(await call())
            await asks(channels[-1])
            for channel in channels:
                await channel.close()

    run(session())


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (RuntimeError("the prompt"), "cannot go on"),
        (UsageError("the path"), "cannot go on"),
        (PeerError("gone"), "ended the session"),
        (None, "ended the session"),
    ],
)
def test_a_handler_s_fault_ends_its_session_only(
    fault: Exception | None, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(channel: Channel) -> None:
        await channel.receive(1, 1)
        if fault:
            raise fault

    async def session() -> None:
        async with Server(handler, **PLAIN) as server:
            for _ in range(2):
                channel = await connect("127.0.0.1", server.port, peer="owner", **PLAIN)
                await channel.send(1, b"x")
                with pytest.raises(PeerError, match=words):
                    await channel.receive(1, 1)

    run(session())
    assert "the prompt" not in caplog.text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_server_and_tells_its_clients(number: signal.Signals) -> None:
    async def session() -> None:
        server = Server(echo, **PLAIN, grace=0.1)
        await server.start()
        serving = asyncio.create_task(server.serve())
        channel = await connect("127.0.0.1", server.port, peer="owner", **PLAIN)
        port = server.port
        await asks(channel)
        os.kill(os.getpid(), number)
        with pytest.raises(PeerError, match="shutting down"):
            await channel.receive(1, 1)
        await serving
        assert server.active == 0
        with pytest.raises(PeerError, match="nobody listens"):
            await connect("127.0.0.1", port, peer="owner", **PLAIN)

    run(session())


def test_a_client_may_wait_for_the_server() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    async def session() -> None:
        calling = asyncio.create_task(connect("localhost", port, peer="owner", **PLAIN, wait=10))
        await asyncio.sleep(0.15)
        async with Server(echo, **PLAIN, port=port), await calling as channel:
            await asks(channel)

    run(session())


def test_callers_on_their_way_are_limited(
    identities: Identities, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who says nothing at all makes room for who comes next, and is dropped in time."""
    monkeypatch.setattr("veracity.net.server.WAITING", 2)
    monkeypatch.setattr("veracity.net.server.HANDSHAKE", 3.0)
    user = identities["user"]

    async def session() -> None:
        async with Server(echo, identity=identities["owner"]) as server:
            at = ("127.0.0.1", server.port)
            idle = [await asyncio.open_connection(*at) for _ in range(5)]
            async with await connect(*at, peer="owner", identity=user) as channel:
                await asks(channel)
            assert len(server._waiting) <= 2
            for reader, writer in idle:
                assert await reader.read() == b""
                writer.close()
            async with await connect(*at, peer="owner", identity=user) as channel:
                await asks(channel)

    run(session())


@pytest.mark.parametrize("secure", [True, False])
def test_a_client_that_takes_nothing_is_dropped(identities: Identities, secure: bool) -> None:
    """And what is held for it in the meantime is little."""
    ended = asyncio.Event()

    async def handler(channel: Channel) -> None:
        sending = asyncio.create_task(channel.send(1, bytes(50_000_000)))
        await asyncio.sleep(0.1)
        assert channel._link._transport.get_write_buffer_size() < 2**20
        with pytest.raises(PeerError, match="takes nothing"):
            await sending
        ended.set()

    async def session() -> None:
        mine = {"identity": identities["owner"]} if secure else PLAIN
        yours = {"identity": identities["user"]} if secure else PLAIN
        async with Server(handler, **mine, timeout=0.2) as server:
            channel = await connect("127.0.0.1", server.port, peer="owner", **yours)
            await ended.wait()
            channel.abort()

    run(session())


CLIENT = """
import asyncio, sys
from pathlib import Path
from veracity.net import Identity, connect
async def main():
    identity = Identity(Path(sys.argv[2]))
    channel = await connect("127.0.0.1", int(sys.argv[1]), peer="owner", identity=identity)
    await channel.send(1, bytes(1000))
    await channel.receive(1, 1000)
    await channel.send(1, bytes(1000))
    await asyncio.sleep(60)
asyncio.run(main())
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_process_that_dies_or_freezes(identities: Identities, number: signal.Signals) -> None:
    faults: list[PeerError] = []
    ready = asyncio.Event()

    async def handler(channel: Channel) -> None:
        await channel.send(1, await channel.receive(1, 1000))
        await channel.receive(1, 1000)
        ready.set()
        try:
            await channel.receive(1, 1000)
        except PeerError as fault:
            faults.append(fault)
            raise

    async def session() -> None:
        loop = asyncio.get_running_loop()
        async with Server(handler, identity=identities["owner"], timeout=1) as server:
            client = await asyncio.create_subprocess_exec(
                sys.executable, "-c", CLIENT, str(server.port), identities["user"].folder
            )
            try:
                await ready.wait()
                client.send_signal(number)
                begun = loop.time()
                while not faults:
                    await asyncio.sleep(0.01)
                assert loop.time() - begun < 5
            finally:
                with contextlib.suppress(ProcessLookupError):
                    client.kill()
                await client.wait()
            ready.clear()
            async with await connect(
                "127.0.0.1", server.port, peer="owner", identity=identities["user"]
            ) as channel:
                await asks(channel)

    run(session())
