"""Parties over real sockets: who gets in, and that the server outlives everybody."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import ssl
import stat
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from veracity.errors import PeerError, UsageError
from veracity.net import Channel, Identity, Server, connect
from veracity.net.frames import Header, Kind
from veracity.net.tls import role_name

PLAIN = {"identity": None, "insecure": True}
Identities = dict[str, Identity]


def run(session: Coroutine[Any, Any, Any], seconds: float = 20) -> Any:
    async def within() -> Any:
        async with asyncio.timeout(seconds):
            return await session

    return asyncio.run(within())


async def echo(channel: Channel) -> None:
    """Give back messages of 1000 bytes until the client leaves."""
    while True:
        await channel.send(1, await channel.receive(1, 1000))


async def asks(channel: Channel, letter: bytes = b"x") -> None:
    assert await channel.exchange(1, letter * 1000) == letter * 1000


@pytest.mark.parametrize("secure", [True, False])
def test_a_session(identities: Identities, secure: bool) -> None:
    """Large messages both ways at once; counts start behind the greeting."""
    x = np.random.default_rng(0).integers(0, 2**64, (3, 2**18), dtype=np.uint64)
    seen: list[Any] = []

    async def handler(channel: Channel) -> None:
        seen.append(channel.peer)
        seen.append(channel.traffic)
        seen.append(await channel.exchange_array(5, x + np.uint64(1)))
        seen.append(channel.traffic)

    async def session() -> None:
        mine = {"identity": identities["owner"]} if secure else PLAIN
        yours = {"identity": identities["user"]} if secure else PLAIN
        async with Server(handler, **mine) as server:
            channel = await connect("127.0.0.1", server.port, peer="owner", **yours)
            async with channel:
                assert channel.peer == ("owner" if secure else "")
                assert np.array_equal(await channel.exchange_array(5, x), x + np.uint64(1))
                nodelay = channel._link.info("socket").getsockopt(
                    socket.IPPROTO_TCP, socket.TCP_NODELAY
                )
                assert nodelay
                while len(seen) < 4:
                    await asyncio.sleep(0.001)
                assert channel.traffic == seen[3]

    run(session())
    assert seen[0] == ("user" if secure else "")
    assert seen[1].sent_bytes == seen[1].hops == 0
    assert np.array_equal(seen[2], x)
    assert (seen[3].sent_bytes, seen[3].received_messages, seen[3].hops) == (x.nbytes, 1, 1)


def test_only_parties_of_our_authority_get_in(identities: Identities) -> None:
    async def session() -> None:
        async with Server(echo, identity=identities["owner"], timeout=2) as server:
            at = ("127.0.0.1", server.port)
            with pytest.raises(PeerError, match="authority"):
                await connect(*at, peer="owner", identity=identities["foreign"], timeout=2)
            with pytest.raises(PeerError, match="authority"):
                # The owner is asked for as the dealer.
                await connect(*at, peer="dealer", identity=identities["user"], timeout=2)
            with pytest.raises(PeerError):
                await connect(*at, peer="owner", **PLAIN, timeout=2)
            for identity in (identities["dealer"], None):
                # A dealer's certificate is not for calling; and none at all.
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                context.load_verify_locations(identities["user"].folder / "ca.pem")
                if identity:
                    context = identity.client_context()
                await refused_by(at, context)
            with pytest.raises(PeerError, match="no business"):
                await connect(*at, peer="owner", identity=identities["owner"], timeout=2)
            async with await connect(*at, peer="owner", identity=identities["user"]) as channel:
                await asks(channel)

    run(session())


async def refused_by(at: tuple[str, int], context: ssl.SSLContext) -> None:
    """The server closes the connection before it sends a byte of payload."""
    with pytest.raises((OSError, asyncio.IncompleteReadError)):
        reader, writer = await asyncio.open_connection(
            *at, ssl=context, server_hostname=role_name("owner")
        )
        try:
            assert await reader.readexactly(1) == b"nothing may come"
        finally:
            writer.close()


def test_a_foreign_server_is_not_trusted(identities: Identities, tmp_path: Path) -> None:
    """Right role, wrong authority; and old TLS is not spoken."""
    certificates = pytest.importorskip("veracity.private.certificates")
    foreign = Identity(certificates.make_certificates(tmp_path / "set")["owner"])

    async def session() -> None:
        async with Server(echo, identity=foreign) as server:
            with pytest.raises(PeerError, match="authority"):
                await connect(
                    "127.0.0.1", server.port, peer="owner", identity=identities["user"], timeout=2
                )
        context = identities["user"].client_context()
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        async with Server(echo, identity=identities["owner"]) as server:
            await refused_by(("127.0.0.1", server.port), context)

    run(session())


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
        async with Server(handler, **PLAIN, timeout=0.3, sessions=2) as server:
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
    """Who says nothing at all is dropped in time, and there are never many of them."""
    monkeypatch.setattr("veracity.net.server.WAITING", 2)
    monkeypatch.setattr("veracity.net.server.HANDSHAKE", 0.3)
    user = identities["user"]

    async def session() -> None:
        async with Server(echo, identity=identities["owner"]) as server:
            at = ("127.0.0.1", server.port)
            idle = [await asyncio.open_connection(*at) for _ in range(2)]
            with pytest.raises(PeerError):
                await connect(*at, peer="owner", identity=user)
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


# Identities and their files.


def test_files_of_a_set(tmp_path: Path) -> None:
    certificates = pytest.importorskip("veracity.private.certificates")
    made = certificates.make_certificates(tmp_path / "a" / "set", days=1)
    assert set(made) == {"owner", "user", "dealer"}
    for home in made.values():
        assert stat.S_IMODE(home.stat().st_mode) == 0o700
        assert {f.name for f in home.iterdir()} == {"ca.pem", "certificate.pem", "key.pem"}
        assert all(stat.S_IMODE(f.stat().st_mode) == 0o600 for f in home.iterdir())
    # One authority, whose key is nowhere; nothing half-written beside it.
    assert len({(home / "ca.pem").read_bytes() for home in made.values()}) == 1
    assert len({(home / "key.pem").read_bytes() for home in made.values()}) == 3
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["set"]
    with pytest.raises(UsageError, match="in use"):
        certificates.make_certificates(tmp_path / "a" / "set")
    with pytest.raises(UsageError, match="days"):
        certificates.make_certificates(tmp_path / "b", days=0)
    (tmp_path / "file").touch()
    with pytest.raises(UsageError):
        certificates.make_certificates(tmp_path / "file" / "set")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda home: (home / "key.pem").chmod(0o640), "read by others"),
        (lambda home: (home / "key.pem").unlink(), "no party's folder"),
        (lambda home: (home / "ca.pem").write_text("nothing"), "cannot be used"),
        (lambda home: (home / "certificate.pem").write_text(""), "cannot be used"),
        (lambda home: (home / "ca.pem").unlink(), "no party's folder"),
    ],
)
def test_unusable_identities(tmp_path: Path, spoil: Callable[[Path], Any], words: str) -> None:
    certificates = pytest.importorskip("veracity.private.certificates")
    home = certificates.make_certificates(tmp_path / "set")["owner"]
    spoil(home)
    with pytest.raises(UsageError, match=words):
        Server(echo, identity=Identity(home))
    with pytest.raises(UsageError, match=words):
        Identity(home).client_context()


def test_plain_tcp_has_to_be_asked_for(identities: Identities) -> None:
    with pytest.raises(UsageError, match="insecure"):
        Server(echo, identity=None)
    with pytest.raises(UsageError, match="contradict"):
        Server(echo, identity=identities["owner"], insecure=True)
    for wrong in ({"peers": ()}, {"peers": ("guest",)}, {"sessions": 0}):
        with pytest.raises(UsageError):
            Server(echo, **PLAIN, **wrong)

    async def session() -> None:
        with pytest.raises(UsageError, match="insecure"):
            await connect("127.0.0.1", 1, peer="owner", identity=None)
        with pytest.raises(UsageError, match="no party"):
            await connect("127.0.0.1", 1, peer="guest", **PLAIN)
        async with Server(echo, **PLAIN) as server:
            with pytest.raises(UsageError, match="cannot listen"):
                async with Server(echo, **PLAIN, port=server.port):
                    pass

    run(session())
