"""A witness keeps heads of a log that only grows, and keeps what shows that one does not."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.support.desks import PUBLISHER, URL
from veracity.cli.display import date
from veracity.errors import FormatError, VerificationError
from veracity.formats.commitment import Commitment
from veracity.formats.dsse import Envelope, sign
from veracity.formats.log import HEAD_TYPE, LogHead, LogProof, SeenHead, load_head, load_witness
from veracity.formats.merkle import MerkleTree, leaf_hash
from veracity.formats.receipt import CERTIFICATE_TYPE, KeyCertificate
from veracity.proving.log import check_witness
from veracity.server.client import Api
from veracity.server.witness import Witness

MODEL = cast(Commitment, SimpleNamespace(digest="ab" * 32))
SERVER = Ed25519PrivateKey.from_private_bytes(bytes(32))
OWN = Ed25519PrivateKey.from_private_bytes(bytes([7] * 32))
NOW = 1000


@dataclass(frozen=True)
class LogServer(Api):
    """A server's log without HTTP."""

    tree: MerkleTree = field(default_factory=MerkleTree)
    #: What each reply to the next questions says of the log; the truth where none is left.
    lies: list[Any] = field(default_factory=list)
    key: Ed25519PrivateKey = SERVER
    time: int = NOW

    def grow(self, *leaves: bytes) -> None:
        for leaf in leaves:
            self.tree.append(leaf_hash(leaf))

    def head(self, tree: MerkleTree | None = None, size: int | None = None) -> Envelope:
        held = self.tree if tree is None else tree
        size = len(held) if size is None else size
        found = LogHead(size, held.root(size).hex(), self.time, MODEL.digest, URL)
        return sign(self.key, HEAD_TYPE, found.to_bytes())

    def get(self, path: str) -> Any:
        if path == "/v1/log/head":
            return {"head": (self.lies.pop(0) if self.lies else self.head()).to_plain()}
        own = SERVER.public_key().public_bytes_raw().hex()
        certificate = KeyCertificate(own, MODEL.digest, URL, 0, 1 << 40)
        return {"certificate": sign(PUBLISHER, CERTIFICATE_TYPE, certificate.to_bytes()).to_plain()}

    def file(self, path: str, most: int) -> bytes:
        old = int(path.rpartition("=")[2])
        if self.lies:
            return json.dumps(self.lies.pop(0).to_plain()).encode()
        return json.dumps(self.growth(old).to_plain()).encode()

    def growth(self, old: int, tree: MerkleTree | None = None) -> LogProof:
        held = self.tree if tree is None else tree
        return LogProof(self.head(held), old, tuple(held.consistency(old, len(held))))


@pytest.fixture
def log() -> LogServer:
    made = LogServer("http://127.0.0.1")
    made.grow(b"a", b"b", b"c")
    return made


def witness(log: LogServer, folder: Path, **more: Any) -> Witness:
    return Witness(log, PUBLISHER.public_key(), MODEL, folder, OWN, lambda: NOW, **more)


def other(*leaves: bytes) -> MerkleTree:
    return MerkleTree(map(leaf_hash, leaves))


def refused(folder: Path) -> list[Any]:
    return [json.loads(p.read_text())["shown"][0] for p in folder.glob("refused-*")]


def test_heads_of_a_log_that_grows_are_kept_and_signed(log: LogServer, tmp_path: Path) -> None:
    follower = witness(log, tmp_path / "heads")
    first = follower.look()
    assert (first.head.size, first.before, first.new) == (3, None, True)
    assert not follower.look().new
    log.grow(b"d", b"e")
    second = follower.look()
    assert (second.head.size, second.before, second.new) == (5, first.head, True)
    assert sorted(p.name for p in (tmp_path / "heads").iterdir()) == [
        "head-000000000000003.json",
        "head-000000000000005.json",
    ]
    assert LogHead.from_bytes(load_head(second.path).payload) == second.head
    said = load_witness(second.path)
    assert check_witness(said, OWN.public_key(), second.head) == SeenHead(second.head, NOW)
    with pytest.raises(VerificationError, match="another head"):
        check_witness(said, OWN.public_key(), first.head)
    with pytest.raises(VerificationError):
        check_witness(said, PUBLISHER.public_key(), second.head)
    with pytest.raises(VerificationError):  # a server's own signature of a head is no witness's
        check_witness(load_head(second.path), SERVER.public_key(), second.head)
    unsigned = replace(follower, folder=tmp_path / "unsigned", key=None).look()
    with pytest.raises(FormatError, match="no witness"):
        load_witness(unsigned.path)


def test_a_log_that_was_rewritten_is_refused_and_the_evidence_kept(
    log: LogServer, tmp_path: Path
) -> None:
    follower = witness(log, tmp_path)
    follower.look()
    kept = sorted(tmp_path.iterdir())
    rewritten = other(b"a", b"b", b"x", b"d")
    for lies, reason in (
        ([log.head(other(b"a", b"b", b"x"))], "FRAUD"),
        ([log.head(other(b"a", b"b"))], "shorter"),
        ([log.head(rewritten), log.growth(3, rewritten)], "begin"),
        # The proof is of another log than the head beside it.
        ([log.head(rewritten), log.growth(3, other(b"a", b"b", b"c", b"d"))], "FRAUD"),
        (
            [
                log.head(other(b"a", b"b", b"c", b"d", b"e")),
                log.growth(3, other(b"a", b"b", b"c", b"d")),
            ],
            "shorter",
        ),
        ([replace(log, key=OWN).head()], "another key"),
        ([replace(log, time=NOW + 10_000).head()], "future"),
    ):
        log.lies[:] = lies
        first = lies[0]
        with pytest.raises(VerificationError, match=reason):
            follower.look()
        assert first.to_plain() in refused(tmp_path)
        assert [p for p in sorted(tmp_path.iterdir()) if "refused" not in p.name] == kept
    log.lies.clear()
    assert not follower.look().new


def test_a_log_may_grow_while_it_is_asked(log: LogServer, tmp_path: Path) -> None:
    follower = witness(log, tmp_path)
    follower.look()
    log.grow(b"d")
    early = log.head()
    log.grow(b"e")
    assert follower.follow(early).head.size == 5
    fork = other(b"a", b"b", b"c", b"x")
    log.grow(b"f")
    log.lies[:] = [log.growth(5)]
    with pytest.raises(VerificationError):  # shown between, and no part of the log
        follower.follow(log.head(fork))
    log.grow(b"g")
    moving = [other(*[bytes([c]) for c in b"abcdefghijklmnop"[:n]]) for n in range(7, 14)]
    log.lies[:] = [log.growth(5 if i % 2 == 0 else 6, tree) for i, tree in enumerate(moving)]
    with pytest.raises(VerificationError, match="each time"):
        follower.follow(log.head(moving[0], 6))


def test_hostile_replies_are_typed_errors(log: LogServer, tmp_path: Path) -> None:
    class Odd(LogServer):
        def get(self, path: str) -> Any:
            return {"head": 5}

    with pytest.raises(FormatError):
        witness(Odd("http://127.0.0.1"), tmp_path).look()
    assert date(0).startswith("1970-01-01")
    assert date(1 << 53) == f"{1 << 53} s after 1970"
