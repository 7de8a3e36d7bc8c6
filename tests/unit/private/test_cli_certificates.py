"""``veracity private certificates``: one command makes what the parties need."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from veracity.cli import main
from veracity.net import Channel, Identity, Server, connect

x509 = pytest.importorskip("cryptography.x509")
certificates = pytest.importorskip("veracity.private.certificates")


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["private", "certificates", *map(str, arguments)])


def test_parties_meet_with_what_it_makes(tmp_path: Path) -> None:
    done = call(tmp_path / "parties", "--days", 2, "--json")
    assert done.exit_code == 0, done.output
    made = json.loads(done.stdout)
    assert {"owner", "user", "dealer", "days"} == set(made)

    async def handler(channel: Channel) -> None:
        await channel.send(1, b"material")

    async def session() -> bytes:
        dealer = Identity(Path(made["dealer"]))
        async with Server(handler, identity=dealer, peers=("owner", "user")) as server:
            for role in ("owner", "user"):
                caller = Identity(Path(made[role]))
                at = ("127.0.0.1", server.port)
                async with await connect(*at, peer="dealer", identity=caller) as channel:
                    word = await channel.receive(1, 8)
        return bytes(word)

    assert asyncio.run(asyncio.wait_for(session(), 20)) == b"material"


def test_it_tells_where_the_folders_are(tmp_path: Path) -> None:
    done = call(tmp_path / "p")
    assert done.exit_code == 0
    assert "for the dealer" in done.stdout
    assert "365 days" in done.stdout


def test_a_set_is_never_overwritten(tmp_path: Path) -> None:
    assert call(tmp_path / "p").exit_code == 0
    before = {f: f.read_bytes() for f in tmp_path.rglob("*.pem")}
    done = call(tmp_path / "p")
    assert done.exit_code == 2
    assert "is in use" in done.stderr
    assert len(done.stderr.splitlines()) == 2  # the fault and a hint
    assert {f: f.read_bytes() for f in tmp_path.rglob("*.pem")} == before
    assert call(tmp_path / "q", "--days", 0).exit_code == 2


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "veracity.private.certificates", raising=False)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    done = call(tmp_path / "p")
    assert done.exit_code == 2
    assert "veracity[private]" in done.stderr


def test_persons_and_an_authority_that_is_kept(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    done = call(folder, "--user", "alice", "--user", "bob@x", "--keep-authority", "--days", 3)
    assert done.exit_code == 0, done.output
    assert "serial of alice" in done.stdout
    assert sorted(p.name for p in folder.iterdir()) == ["authority", "dealer", "owner", "users"]
    for path in folder.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path
    assert "key.pem" not in {p.name for p in folder.glob("*.pem")}
    added = call(folder, "--add", "--user", "carol", "--json")
    assert added.exit_code == 0, added.output
    assert json.loads(added.stdout) == {"carol": str(folder / "users" / "carol"), "days": 365}
    dan = call(folder, "--add", "--user", "dan")
    assert certificates.serial_of(folder / "users" / "dan") in dan.stdout

    async def handler(channel: Channel) -> None:
        assert channel.person is not None
        await channel.send(1, channel.person.name.encode())

    async def session() -> bytes:
        async with Server(handler, identity=Identity(folder / "owner")) as server:
            who = Identity(folder / "users" / "carol")
            async with await connect(
                "127.0.0.1", server.port, peer="owner", identity=who
            ) as channel:
                return bytes(await channel.receive_up_to(1, 64))

    assert asyncio.run(asyncio.wait_for(session(), 20)) == b"carol"


def test_a_certificate_ends_with_its_authority(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    assert call(folder, "--keep-authority", "--days", 2).exit_code == 0
    assert call(folder, "--add", "--user", "alice", "--days", 300).exit_code == 0
    ends = [
        x509.load_pem_x509_certificate((home / "certificate.pem").read_bytes()).not_valid_after_utc
        for home in (folder / "owner", folder / "users" / "alice")
    ]
    assert abs((ends[1] - ends[0]).total_seconds()) < 60


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (("--user", "../x"), "cannot be a user's name"),
        (("--user", "owner"), "cannot be a user's name"),
        (("--user", "a", "--user", "a"), "same name"),
        (("--add", "--user", "alice"), "no authority's key"),
        (("--add",), "name users"),
        (("--add", "--keep-authority", "--user", "a"), "exclude each other"),
    ],
)
def test_persons_that_cannot_be(given: tuple[str, ...], says: str, tmp_path: Path) -> None:
    done = call(tmp_path / "set", *given)
    assert (done.exit_code, says in done.stderr) == (2, True), done.stderr
    assert not (tmp_path / "set").exists()


def test_an_authority_that_is_damaged_taken_or_open_to_others(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    assert call(folder, "--keep-authority").exit_code == 0
    assert call(folder, "--add", "--user", "alice").exit_code == 0
    assert "already" in call(folder, "--add", "--user", "alice").stderr
    key = folder / "authority" / "key.pem"
    key.chmod(0o644)
    assert "others than you" in call(folder, "--add", "--user", "bob").stderr
    key.chmod(0o600)
    key.write_bytes((folder / "owner" / "key.pem").read_bytes())
    assert "damaged" in call(folder, "--add", "--user", "bob").stderr
    key.write_text("no key")
    assert "damaged" in call(folder, "--add", "--user", "bob").stderr
    assert not (folder / "users" / "bob").exists()
    assert [p.name for p in (folder / "users").iterdir()] == ["alice"]
