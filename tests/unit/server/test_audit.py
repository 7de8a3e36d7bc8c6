"""Whom a beacon chooses, and how surely it chooses one that is false."""

from __future__ import annotations

import hashlib
import math
import random
from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.unit.server.test_receipt_files import CERTIFICATE, RECEIPT
from veracity.errors import UsageError, VerificationError
from veracity.formats.dsse import sign
from veracity.formats.log import LogHead
from veracity.formats.merkle import MerkleTree, leaf_hash
from veracity.formats.receipt import CERTIFICATE_TYPE, RECEIPT_TYPE, Receipt
from veracity.proving import audit as auditing
from veracity.proving.audit import (
    MAX_ROUND,
    QUICKNET,
    Beacon,
    Finding,
    caught,
    check_placed,
    chosen,
    read_beacon,
    read_fraction,
    require_fixed_before,
)
from veracity.server import auditor
from veracity.server.auditor import Audit

ROOT = bytes(range(32))


def test_the_formula_of_the_guide() -> None:
    share = read_fraction("0.01")
    assert caught(68, share) < 0.5 < caught(69, share)
    assert caught(458, share) < 0.99 < caught(459, share)
    assert caught(5, Fraction(1)) == 1
    assert caught(0, share) == 0


@pytest.mark.parametrize(("false", "share"), [(1, "0.1"), (7, "0.1"), (30, "0.05"), (3, "1/2")])
def test_a_simulation_confirms_it(false: int, share: str) -> None:
    """Many beacons: how often at least one of the false receipts is chosen, within 4 sigma."""
    size, tries, fraction = 60, 1500, read_fraction(share)
    lies = set(random.Random(false).sample(range(size), false))
    hits = sum(
        bool(
            lies & set(chosen(ROOT, size, Beacon(n, hashlib.sha256(b"%d" % n).digest()), fraction))
        )
        for n in range(1, tries + 1)
    )
    p = caught(false, fraction)
    assert abs(hits - tries * p) <= 4 * math.sqrt(tries * p * (1 - p)) + 1


def test_the_choice_depends_on_everything() -> None:
    half = Fraction(1, 2)
    base = chosen(ROOT, 200, Beacon(5, bytes(32)), half)
    assert 60 < len(base) < 140
    assert base == chosen(ROOT, 200, Beacon(5, bytes(32)), half)
    assert base != chosen(bytes(32), 200, Beacon(5, bytes(32)), half)
    assert base != chosen(ROOT, 200, Beacon(6, bytes(32)), half)
    assert base != chosen(ROOT, 200, Beacon(5, bytes(31)), half)
    assert chosen(ROOT, 9, Beacon(5, bytes(32)), Fraction(1)) == list(range(9))
    fewer = chosen(ROOT, 200, Beacon(5, bytes(32)), Fraction(1, 10))
    assert set(fewer) <= set(base)


def test_a_log_that_is_said_to_be_endless_is_not_gone_through(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    beacon = Beacon(5, bytes(32))
    monkeypatch.setattr(auditing, "MAX_AUDITED", 9)
    assert len(chosen(ROOT, 9, beacon, Fraction(1))) == 9
    with pytest.raises(VerificationError, match="a log of 10 receipts"):
        chosen(ROOT, 10, beacon, Fraction(1))


def test_a_proof_that_takes_long_to_check_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    server = SimpleNamespace(get=lambda path: {"status": "done"}, file=lambda path, most: b"")
    audit = Audit(server, None, None, wait=70.0)  # type: ignore[arg-type]
    checked: Any = SimpleNamespace(receipt=RECEIPT)

    def verify(proof: object, commitment: object, *, max_time: float) -> None:
        raise UsageError(f"longer than {max_time:g} s")

    monkeypatch.setattr(auditor, "verify", verify)
    monkeypatch.setattr(auditor.Proof, "from_bytes", lambda data, where: None)
    found = audit._proved(3, checked, math.inf)
    assert (found.place, found.status, found.ident) == (3, "failed", RECEIPT.ident)
    assert "longer than all of the audit may" in found.reason
    monkeypatch.setattr(auditor, "verify", lambda *given, **more: None)
    monkeypatch.setattr(auditor, "check_kept", lambda *given: None)
    assert audit._proved(3, checked, math.inf).status == "proved"


@pytest.mark.parametrize(("wait", "looked"), [(0.0, 6), (800.0, 8)])
def test_a_server_that_shows_its_receipts_slowly_does_not_hold_an_audit(
    wait: float, looked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]

    def look(self: Audit, place: int, head: LogHead) -> Finding:
        now[0] += 100.0  # each reply comes in time
        return Finding(place, "excused", "a refusal")

    monkeypatch.setattr(Audit, "_look", look)
    monkeypatch.setattr(auditor, "time", SimpleNamespace(monotonic=lambda: now[0]))
    audit = Audit(None, None, None, wait=wait, clock=lambda: 0.0)  # type: ignore[arg-type]
    head = LogHead(20, ROOT.hex(), 9, "1" * 64, "http://x")
    found = audit.run(head, Beacon(5, bytes(32)), Fraction(1))
    assert [f.status for f in found] == ["excused"] * looked + ["failed"] * (20 - looked)
    assert "too slowly" in found[-1].reason


def test_a_receipt_that_takes_long_to_check_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def check(*given: object) -> None:
        assert given[-1] == 70.0
        raise UsageError("longer")

    monkeypatch.setattr(auditor, "check_receipt", check)
    monkeypatch.setattr(auditor.Opening, "from_plain", lambda *_: None)
    monkeypatch.setattr(Audit, "_keep", lambda *_: None)
    monkeypatch.setattr(auditor.ReceiptFile, "to_bytes", lambda _: b"")
    audit = Audit(None, None, None, wait=70.0)  # type: ignore[arg-type]
    with pytest.raises(VerificationError, match="longer than all of the audit may"):
        audit._open(3, RECEIPT, None, None, {})  # type: ignore[arg-type]


def test_a_server_that_answers_at_once_is_asked_again_after_a_pause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Long polls that do not wait are not asked thousands of times in a second."""
    now, asked = [0.0], [0]

    def get(path: str) -> dict[str, str]:
        asked[0] += 1
        now[0] += 1e-3
        return {"status": "running"}

    def sleep(seconds: float) -> None:
        now[0] += seconds

    fake = SimpleNamespace(monotonic=lambda: now[0], sleep=sleep)
    monkeypatch.setattr(auditor, "time", fake)
    audit = Audit(SimpleNamespace(get=get), None, None, clock=lambda: 0.0)  # type: ignore[arg-type]
    checked: Any = SimpleNamespace(receipt=RECEIPT)
    assert "within the time" in audit._proved(3, checked, 100.0).reason
    assert asked[0] < 20
    assert now[0] < 101


def test_a_head_is_fixed_before_the_beacon() -> None:
    spoken = QUICKNET[0] + 9 * QUICKNET[1]
    head = LogHead(1, "0" * 64, spoken - 1, "1" * 64, "http://x")
    require_fixed_before(head, Beacon(10, b""), QUICKNET)
    with pytest.raises(VerificationError, match="before the beacon"):
        require_fixed_before(
            LogHead(1, "0" * 64, spoken, "1" * 64, "http://x"), Beacon(10, b""), QUICKNET
        )


@pytest.mark.parametrize("text", ["", "5", "5:", "5:ab", "0:" + "ab" * 32, "-1:" + "ab" * 32, "x",
                                  f"{MAX_ROUND}:" + "ab" * 32])  # fmt: skip
def test_what_is_no_beacon(text: str) -> None:
    assert read_beacon(f"{MAX_ROUND - 1}:" + "ab" * 16).round == MAX_ROUND - 1
    with pytest.raises(UsageError):
        read_beacon(text)


@pytest.mark.parametrize("text", ["", "0", "-1", "2", "1/0", "nan", "1e-3", "1/2/3", "..", "/"])
def test_what_is_no_fraction(text: str) -> None:
    with pytest.raises(UsageError):
        read_fraction(text)


PUBLISHER, SERVER = (Ed25519PrivateKey.from_private_bytes(bytes([i]) * 32) for i in (1, 2))


def placed(place: int = 1, **changes: Any) -> Receipt:
    """The receipt at a place of a log of three, unless one thing is changed."""
    receipts = [sign(SERVER, RECEIPT_TYPE, replace(RECEIPT, time=i).to_bytes()) for i in range(3)]
    tree = MerkleTree(leaf_hash(r.to_bytes()) for r in receipts)
    key = SERVER.public_key().public_bytes_raw().hex()
    given = {
        "envelope": receipts[place],
        "path": tree.inclusion(place, 3),
        "head": LogHead(3, tree.root(3).hex(), 9, "1" * 64, "http://x"),
        "certificate": sign(PUBLISHER, CERTIFICATE_TYPE, replace(CERTIFICATE, key=key).to_bytes()),
        "publisher": PUBLISHER.public_key(),
        "commitment": SimpleNamespace(digest=CERTIFICATE.commitment),
    }
    return check_placed(place, **given | changes)


def test_what_stands_in_the_log_is_what_was_signed() -> None:
    assert placed(1).time == 1
    unlogged = sign(SERVER, RECEIPT_TYPE, replace(RECEIPT, time=7).to_bytes())
    with pytest.raises(VerificationError, match="not in this tree"):
        placed(envelope=unlogged)
    with pytest.raises(VerificationError, match="another model"):
        placed(commitment=SimpleNamespace(digest="0" * 64))
    with pytest.raises(VerificationError, match="another key"):
        placed(publisher=SERVER.public_key())
    other = sign(PUBLISHER, RECEIPT_TYPE, RECEIPT.to_bytes())
    head = LogHead(1, leaf_hash(other.to_bytes()).hex(), 9, "1" * 64, "http://x")
    with pytest.raises(VerificationError, match="another key"):
        placed(0, envelope=other, path=[], head=head)
