"""Parties over real sockets: who gets in, and by which files."""

from __future__ import annotations

import asyncio
import socket
import ssl
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.sockets import PLAIN, Identities, asks, echo, run
from veracity.errors import PeerError, UsageError
from veracity.net import Channel, Identity, Server, connect
from veracity.net.tls import role_name


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
