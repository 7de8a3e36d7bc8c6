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

pytest.importorskip("cryptography")


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
