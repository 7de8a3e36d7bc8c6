"""An audit over HTTP: asks for chosen receipts, orders their proofs, checks what comes.

The server is the one that is audited: whatever it says is checked, and what it does not say is a
finding against it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from veracity.codec import make_folder, write_file
from veracity.errors import FormatError, PeerError, RequestError, UsageError, VerificationError
from veracity.formats.commitment import Commitment
from veracity.formats.dsse import Envelope
from veracity.formats.log import LogHead
from veracity.formats.proof import MAX_BYTES, Proof
from veracity.formats.receipt import Opening, Receipt, ReceiptFile
from veracity.proving.audit import Beacon, Finding, check_placed, chosen, excuse
from veracity.proving.log import check_head
from veracity.proving.receipts import (
    CheckedReceipt,
    check_kept,
    check_receipt,
    require_no_equivocation,
)
from veracity.proving.verify import verify
from veracity.server.client import Api

__all__ = ["Audit", "head_certificate"]

#: Proofs that are ordered ahead; seconds of one long poll.
_AHEAD, _POLL = 4, 30
#: Seconds between two questions where a server answers a long poll at once: at first, and at most.
_PAUSE, _LONGEST_PAUSE = 0.25, 8.0
#: Seconds that showing all chosen receipts may take, where proofs may take less.
_SHOWN = 600.0
_MAX_PATH = 128
TOO_LONG = "its check would take longer than all of the audit may"


@dataclass
class Audit:
    """One audit of one log.

    Parameters
    ----------
    api : Api
        The server.
    publisher : Ed25519PublicKey
        The key that the auditor trusts to speak for the model's publisher.
    commitment : Commitment
        The model.
    wait : float
        Seconds that all proofs together may take, and the check of each; as long, but ten minutes
        at least, may the server take to show the receipts.
    folder : Path, optional
        Where receipts and proofs are kept as evidence.
    on_finding : callable
        Told each finding as it comes.
    clock : callable
        Seconds since 1970; for tests.
    """

    api: Api
    publisher: Ed25519PublicKey
    commitment: Commitment
    wait: float = 3600.0
    folder: Path | None = None
    on_finding: Callable[[Finding], None] = lambda finding: None
    clock: Callable[[], float] = time.time
    _opened: dict[int, CheckedReceipt] = field(default_factory=dict)
    _idents: dict[str, int] = field(default_factory=dict)

    def run(self, head: LogHead, beacon: Beacon, fraction: Fraction) -> list[Finding]:
        """Audit the log under a checked head.

        Parameters
        ----------
        head : LogHead
            The log when it was fixed.
        beacon : Beacon
            What chooses.
        fraction : Fraction
            Share of receipts.

        Raises
        ------
        PeerError
            The server cannot be reached at all.
        """
        if self.folder is not None:
            make_folder(self.folder)
        deadline = time.monotonic() + self.wait
        places = chosen(bytes.fromhex(head.root), head.size, beacon, fraction)
        findings: list[Finding] = []

        def found(finding: Finding) -> None:
            findings.append(finding)
            self.on_finding(finding)

        due: list[tuple[int, CheckedReceipt]] = []
        shown_by = time.monotonic() + max(self.wait, _SHOWN)
        for place in places:
            try:
                if time.monotonic() >= shown_by:
                    raise VerificationError("the server shows its receipts too slowly", "log")
                settled = self._look(place, head)
            except (VerificationError, FormatError) as error:
                settled = Finding(place, "failed", str(error), self._name(place))
            except RequestError as error:
                settled = Finding(place, "failed", f"the server does not show it: {error.code}")
            if settled is not None:
                found(settled)
                continue
            due.append((place, self._opened[place]))
        ordered = 0
        for index, (place, checked) in enumerate(due):
            while ordered < min(len(due), index + _AHEAD):
                self._order(due[ordered][0])
                ordered += 1
            found(self._proved(place, checked, deadline))
        return sorted(findings, key=lambda f: f.place)

    def _name(self, place: int) -> str:
        return next((i for i, p in self._idents.items() if p == place), "")

    def _look(self, place: int, head: LogHead) -> Finding | None:
        """Why no proof of a place is due, or None; raises where something is wrong with it."""
        entry = self.api.get(f"/v1/audit/{place}?size={head.size}")
        envelope, certificate, path = _parts(entry)
        receipt = check_placed(
            place, envelope, path, head, certificate, self.publisher, self.commitment
        )
        if receipt.ident in self._idents:
            first = self._idents[receipt.ident]
            raise VerificationError(f"the receipt stands in the log twice, also at {first}", "log")
        self._idents[receipt.ident] = place
        self._keep(place, envelope.to_bytes(), "receipt.json")
        settled = excuse(receipt, int(self.clock()))
        if settled is not None:
            return Finding(place, *settled, receipt.ident)
        self._opened[place] = self._open(place, receipt, envelope, certificate, entry["opening"])
        return None

    def _open(
        self,
        place: int,
        receipt: Receipt,
        envelope: Envelope,
        certificate: Envelope,
        opening: object,
    ) -> CheckedReceipt:
        if opening is None:
            raise VerificationError(
                "the server signed that it keeps this receipt for auditors, and does not show it",
                "receipt",
            )
        file = ReceiptFile(envelope, certificate, Opening.from_plain(opening, "receipt, opening"))
        self._keep(place, file.to_bytes(), "opened.json")
        try:
            checked = check_receipt(file, self.publisher, self.commitment, self.wait)
        except UsageError as error:
            raise VerificationError(TOO_LONG, "receipt") from error
        for other in self._opened.values():
            require_no_equivocation([other, checked])
        return checked

    def _order(self, place: int) -> None:
        try:
            self.api.post(f"/v1/audit/{place}/proof", {})
        except (RequestError, PeerError, FormatError):
            return  # what this means is said when the proof is asked for

    def _proved(self, place: int, checked: CheckedReceipt, deadline: float) -> Finding:
        ident, pause = checked.receipt.ident, _PAUSE
        try:
            while True:
                asked = time.monotonic()
                job = self._state(place)
                if job in ("done", "failed"):
                    break
                now = time.monotonic()
                if now >= deadline:
                    return Finding(place, "failed", "no proof within the time of the audit", ident)
                if now - asked < pause:  # the server did not wait, so that the auditor has to
                    time.sleep(min(pause, deadline - now))
                    pause = min(2 * pause, _LONGEST_PAUSE)
            if job == "failed":
                return Finding(place, "failed", "the server could not prove its own answer", ident)
            data = self.api.file(f"/v1/audit/{place}/proof/file", MAX_BYTES)
            self._keep(place, data, "vproof")
            self._check(checked, Proof.from_bytes(data, "proof"))
        except (VerificationError, FormatError) as error:
            return Finding(place, "failed", str(error), ident)
        except (RequestError, PeerError) as error:
            return Finding(place, "failed", f"no proof: {error}", ident)
        return Finding(place, "proved", "the committed model gives this answer", ident)

    def _check(self, checked: CheckedReceipt, proof: Proof) -> None:
        try:
            verify(proof, self.commitment, max_time=self.wait)
        except UsageError as error:  # how long a check takes is the server's choice: no way out
            raise VerificationError(TOO_LONG, "proof") from error
        check_kept(checked, proof)

    def _state(self, place: int) -> str:
        try:
            return str(self.api.get(f"/v1/audit/{place}/proof?wait={_POLL}").get("status"))
        except RequestError as error:
            if error.status != 404:
                raise
        self.api.post(f"/v1/audit/{place}/proof", {})  # its queue was full before
        return "queued"

    def _keep(self, place: int, data: bytes, ending: str) -> None:
        if self.folder is not None:
            write_file(self.folder / f"{place:08d}.{ending}", data, 0o600)


def _parts(entry: Any) -> tuple[Envelope, Envelope, list[bytes]]:
    """Receipt, certificate and path as the server sent them."""
    if entry.keys() != {"receipt", "certificate", "opening", "path", "place"}:
        raise FormatError("entry", "other fields than expected")
    path = entry["path"]
    try:
        if not isinstance(path, list) or len(path) > _MAX_PATH:
            raise ValueError
        nodes = [bytes.fromhex(node) for node in path]
    except (ValueError, TypeError):
        raise FormatError("entry", "a path that is none") from None
    return (
        Envelope.from_plain(entry["receipt"], "receipt"),
        Envelope.from_plain(entry["certificate"], "certificate"),
        nodes,
    )


def head_certificate(
    api: Api, head: Envelope, publisher: Ed25519PublicKey, commitment: Commitment
) -> LogHead:
    """A signed head, checked under one of the certificates that its server publishes.

    Parameters
    ----------
    api : Api
        The server.
    head : Envelope
        What was kept of its log.
    publisher : Ed25519PublicKey
        The key that the auditor trusts to speak for the model's publisher.
    commitment : Commitment
        The model.

    Raises
    ------
    VerificationError, FormatError, PeerError
    """
    known = api.get("/.well-known/veracity.json")
    former = known.get("former")
    given = [known.get("certificate"), *(former if isinstance(former, list) else [])]
    fault: VerificationError | None = None
    for plain in given[:1000]:
        try:
            return check_head(
                head, Envelope.from_plain(plain, "certificate"), publisher, commitment
            )
        except VerificationError as error:
            fault = fault or error
    raise fault or VerificationError("the server shows no certificate", "log")
