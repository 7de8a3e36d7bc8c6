"""An audit: which receipts of a log are to be proved, and what is found about each.

The log's head is fixed before a public beacon speaks; the beacon chooses receipts; each chosen one
has to be proved. Of n false receipts at least one is chosen with probability 1 - (1 - p)^n, where p
is the fraction. Checked for each place: that its receipt is in the tree under the head, that the
server signed it, that its opening is what was signed, and that a proof keeps its promise.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from veracity.errors import UsageError, VerificationError
from veracity.formats.commitment import Commitment
from veracity.formats.dsse import Envelope
from veracity.formats.log import LogHead
from veracity.formats.merkle import leaf_hash, verify_inclusion
from veracity.formats.receipt import RECEIPT_TYPE, Receipt
from veracity.proving.receipts import certified_key

__all__ = [
    "QUICKNET",
    "Beacon",
    "Finding",
    "caught",
    "check_placed",
    "chosen",
    "excuse",
    "read_beacon",
    "read_fraction",
    "require_fixed_before",
    "summary",
]

_DOMAIN = b"veracity audit 1"
#: drand's quicknet: when its first round was, and seconds between two.
QUICKNET = (1692803367, 3)
MAX_ROUND = 1 << 48
#: Most receipts of a log that is audited: the beacon is asked about each, some 10^6 in a second.
MAX_AUDITED = 1 << 27
#: What may be said of a place.
STATUSES = ("proved", "failed", "refusal", "not auditable", "expired")


@dataclass(frozen=True)
class Beacon:
    """What a public source of randomness said in one round."""

    round: int
    value: bytes


@dataclass(frozen=True)
class Finding:
    """What an audit found at one place of the log.

    Attributes
    ----------
    place : int
        From 0.
    status : str
        ``proved``; ``failed``; or why no proof is due: ``refusal``, ``not auditable``, ``expired``.
    reason : str
        For people.
    ident : str
        The receipt's; empty where the server showed none.
    """

    place: int
    status: str
    reason: str = ""
    ident: str = ""


def read_beacon(text: str) -> Beacon:
    """A beacon from ``ROUND:HEX``; raises :class:`UsageError`."""
    match = re.fullmatch(r"([0-9]{1,15}):((?:[0-9a-fA-F]{2}){16,64})", text)
    if match is None or not 0 < int(match[1]) < MAX_ROUND:
        raise UsageError("a beacon is ROUND:HEX, with the 16 to 64 bytes of its randomness")
    return Beacon(int(match[1]), bytes.fromhex(match[2]))


def read_fraction(text: str) -> Fraction:
    """A fraction in (0, 1]; raises :class:`UsageError`."""
    try:
        found = Fraction(text) if re.fullmatch(r"[0-9./]{1,20}", text) else Fraction(0)
    except (ValueError, ZeroDivisionError):
        found = Fraction(0)
    if not 0 < found <= 1:
        raise UsageError("a fraction is above 0 and at most 1, such as 0.01")
    return found


def chosen(root: bytes, size: int, beacon: Beacon, fraction: Fraction) -> list[int]:
    """The places of a log that an audit asks for.

    Parameters
    ----------
    root : bytes
        The head's.
    size : int
        Number of receipts.
    beacon : Beacon
        What was said after the head was fixed.
    fraction : Fraction
        Share of receipts, in expectation.

    Raises
    ------
    VerificationError
        The server signed that its log has more receipts than can be gone through.
    """
    if size > MAX_AUDITED:
        raise VerificationError(f"a log of {size} receipts is longer than any is audited", "audit")
    said = beacon.round.to_bytes(8, "little") + beacon.value
    state = hashlib.sha256(_DOMAIN + root + len(said).to_bytes(8, "little") + said)
    bound = int(fraction * (1 << 64))
    found = []
    for place in range(size):
        one = state.copy()
        one.update(place.to_bytes(8, "little"))
        if int.from_bytes(one.digest()[:8], "big") < bound:
            found.append(place)
    return found


def caught(false: int, fraction: Fraction) -> float:
    """Probability that at least one of so many false receipts is chosen."""
    return float(1 - (1 - fraction) ** false)


def require_fixed_before(head: LogHead, beacon: Beacon, chain: tuple[int, int]) -> None:
    """Raise :class:`VerificationError` unless the head's time lies before the beacon's.

    Parameters
    ----------
    head : LogHead
        The log when it was fixed. Its time is the server's word: witnesses make it a fact.
    beacon : Beacon
        What chose.
    chain : tuple of int
        Time of the beacon's first round, and seconds between two.
    """
    spoken = chain[0] + (beacon.round - 1) * chain[1]
    if head.time >= spoken:
        raise VerificationError(
            "the log was not fixed before the beacon spoke: its server could have chosen what is "
            "audited; take a later round",
            "audit",
        )


def check_placed(
    place: int,
    envelope: Envelope,
    path: Sequence[bytes],
    head: LogHead,
    certificate: Envelope,
    publisher: Ed25519PublicKey,
    commitment: Commitment,
) -> Receipt:
    """The receipt that stands at a place of the log.

    Parameters
    ----------
    place : int
        Where.
    envelope : Envelope
        What the server says stands there.
    path : sequence of bytes
        Hashes beside the way to the root.
    head : LogHead
        The checked head.
    certificate : Envelope
        The publisher's word for the key that signed the receipt.
    publisher : Ed25519PublicKey
        The key that the auditor trusts to speak for the model's publisher.
    commitment : Commitment
        The model.

    Raises
    ------
    VerificationError
        Something else stands there, or the server did not sign it.
    FormatError
        It does not parse.
    """
    leaf = leaf_hash(envelope.to_bytes())
    verify_inclusion(leaf, place, head.size, path, bytes.fromhex(head.root))
    _, key = certified_key(certificate, publisher, commitment)
    return Receipt.from_bytes(envelope.verify(key, RECEIPT_TYPE))


def excuse(receipt: Receipt, now: int) -> tuple[str, str] | None:
    """Why no proof is due for a signed receipt, if so: a status, and a reason for people.

    Only what the server signed counts: it cannot say afterwards that a client did not consent, or
    that it kept nothing.
    """
    if receipt.kind == "refused":
        return "refusal", "the server refused this prompt"
    if not receipt.auditable:
        return "not auditable", "its client did not let auditors read it"
    if receipt.retention == 0 or now > receipt.time + receipt.retention:
        return "expired", "the server had promised to keep it for a shorter time"
    if now > receipt.prove_by:
        return "expired", "the time in which a proof was owed is over"
    return None


def summary(findings: Sequence[Finding]) -> dict[str, int]:
    """How many places there are of each status."""
    return {name: sum(f.status == name for f in findings) for name in STATUSES}
