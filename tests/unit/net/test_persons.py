"""Who is let in: one certificate for each person, limits for each, a deny list."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.support.sockets import asks, echo, run
from veracity.errors import PeerError, UsageError
from veracity.net import Channel, Identity, Server, connect
from veracity.net.person import DenyList, Person, Quota, plain_serial

certificates = pytest.importorskip("veracity.private.certificates")


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Identity]:
    folder = tmp_path_factory.mktemp("people") / "set"
    made = certificates.make_certificates(folder, days=1, users=("alice", "bob"))
    return {name: Identity(home) for name, home in made.items()}


async def call(server: Server, who: Identity) -> Channel:
    return await connect("127.0.0.1", server.port, peer="owner", identity=who, timeout=5)


def test_a_server_knows_who_calls(people: dict[str, Identity]) -> None:
    seen: list[Person] = []

    async def handler(channel: Channel) -> None:
        assert channel.person is not None
        seen.append(channel.person)
        await channel.send(1, b"x")

    async def session() -> None:
        async with Server(handler, identity=people["owner"]) as server:
            for name in ("alice", "bob"):
                async with await call(server, people[name]) as channel:
                    await channel.receive(1, 1)
                    assert channel.person is not None
                    assert channel.person.name == "owner"

    run(session())
    assert [person.name for person in seen] == ["alice", "bob"]
    assert [p.serial for p in seen] == [
        certificates.serial_of(people[name].folder) for name in ("alice", "bob")
    ]


def test_one_certificate_does_not_take_all_sessions(people: dict[str, Identity]) -> None:
    async def session() -> None:
        async with Server(echo, identity=people["owner"], sessions=3, each=2) as server:
            mine = [await call(server, people["alice"]) for _ in range(2)]
            with pytest.raises(PeerError, match="you have 2 sessions already"):
                await call(server, people["alice"])
            async with await call(server, people["bob"]) as beside:
                await asks(beside)
                with pytest.raises(PeerError, match="all sessions are taken"):
                    await call(server, people["alice"])
            await mine.pop().close()
            while server.active > 1:
                await asyncio.sleep(0.001)
            async with await call(server, people["alice"]) as again:
                await asks(again)

    run(session())


def test_who_is_denied_is_refused_from_then_on(
    people: dict[str, Identity], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "denied"
    path.write_text("# nobody yet\n\n")

    async def session() -> None:
        async with Server(echo, identity=people["owner"], denied=DenyList(path)) as server:
            async with await call(server, people["alice"]) as channel:
                await asks(channel)
            serial = certificates.serial_of(people["alice"].folder).upper()
            path.write_text(f"0x0{serial}  # alice left\n")
            with pytest.raises(PeerError, match="not valid any more"):
                await call(server, people["alice"])
            async with await call(server, people["bob"]) as channel:
                await asks(channel)
            path.unlink()  # unreadable: nobody gets in, rather than everybody
            with pytest.raises(PeerError, match="not valid any more"):
                await call(server, people["bob"])

    run(session())
    assert "certificate of alice" in caplog.text


def test_deny_lists_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "denied"
    with pytest.raises(UsageError):
        DenyList(path)
    path.write_text("12ab\nalice\n")
    with pytest.raises(UsageError, match="line 2"):
        DenyList(path)
    assert plain_serial(" 00:AB:0c ") == "ab0c"


def test_a_quota_is_given_back() -> None:
    quota = Quota("downloads", 2, 1)
    alice, bob = Person("alice", "1"), Person("bob", "2")
    with quota.held(alice):
        with pytest.raises(PeerError, match="you have 1 downloads"), quota.held(alice):
            pass
        with quota.held(bob), pytest.raises(PeerError, match="taken"), quota.held(None):
            pass
    with pytest.raises(ZeroDivisionError), quota.held(alice):
        _ = 1 / 0
    assert quota.full(alice) is None
