"""A witness of a server's log: keeps signed heads, and insists that the log only grows.

A server can show one log to some and another to others. Whoever keeps heads notices when their own
view is rewritten; heads that many keep, sign and compare leave the server one log.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from veracity.codec import make_folder, write_file
from veracity.errors import VerificationError
from veracity.formats.commitment import Commitment
from veracity.formats.dsse import Envelope, sign
from veracity.formats.log import MAX_FILE, WITNESS_TYPE, LogHead, LogProof, SeenHead
from veracity.formats.log import load_head as read_head
from veracity.proving.log import check_growth
from veracity.server.auditor import head_certificate
from veracity.server.client import Api

__all__ = ["Seen", "Witness"]

#: Seconds by which a server's clock may be ahead; tries while the log grows.
_AHEAD, _TRIES = 300, 3


@dataclass(frozen=True)
class Seen:
    """A head that was accepted.

    Attributes
    ----------
    head : LogHead
        The head.
    before : LogHead or None
        The one that was kept before.
    path : Path
        Where it is kept.
    """

    head: LogHead
    before: LogHead | None
    path: Path

    @property
    def new(self) -> bool:
        """Whether the log had grown."""
        return self.before is None or self.before.size != self.head.size


@dataclass(frozen=True)
class Witness:
    """Follows one server's log.

    Parameters
    ----------
    api : Api
        The server.
    publisher : Ed25519PublicKey
        The key that the witness trusts to speak for the model's publisher.
    commitment : Commitment
        The model.
    folder : Path
        Where heads are kept: one log, one folder.
    key : Ed25519PrivateKey, optional
        Signs that a head was seen.
    clock : callable
        Seconds since 1970; for tests.
    """

    api: Api
    publisher: Ed25519PublicKey
    commitment: Commitment
    folder: Path
    key: Ed25519PrivateKey | None = None
    clock: Callable[[], float] = time.time

    def look(self) -> Seen:
        """Fetch the head, check it, keep it.

        Raises
        ------
        VerificationError
            The head is of no certified server, or the log is not the one that was kept; what was
            shown is kept as evidence.
        RequestError, PeerError, FormatError
            The server does not show a head.
        """
        return self.follow(Envelope.from_plain(self.api.get("/v1/log/head").get("head"), "head"))

    def follow(self, envelope: Envelope) -> Seen:
        """Accept a head that the server showed, here or in a proof; raises as :meth:`look`."""
        shown = [envelope]
        try:
            head, last = self._checked(envelope), self.last()
            if last is not None and head.size <= last.size:
                _require_same(last, head)
            elif last is not None:
                envelope, head = self._grown(last, head, shown)
        except VerificationError:
            self._keep_evidence(shown)
            raise
        path = self.folder / f"head-{head.size:015d}.json"
        if last is None or head.size != last.size:
            self._keep(path, envelope, head)
        return Seen(head, last, path)

    def _grown(
        self, last: LogHead, head: LogHead, shown: list[Envelope]
    ) -> tuple[Envelope, LogHead]:
        """The newest head, which begins with the one kept and with the one shown a moment ago."""
        for _ in range(_TRIES):
            newer = self._over(last, shown)
            if newer[1].size <= head.size:
                _require_same(head, newer[1])
                return newer
            latest = self._over(head, shown)
            if latest[1].size == newer[1].size:
                _require_same(newer[1], latest[1])
                return newer
        raise VerificationError("the log shows another head each time it is asked", "log")

    def _over(self, old: LogHead, shown: list[Envelope]) -> tuple[Envelope, LogHead]:
        """The head of today, which begins with an older one."""
        reply = self.api.file(f"/v1/log/consistency?from={old.size}", MAX_FILE)
        proof = LogProof.load(reply)
        shown.append(proof.head)
        found = self._checked(proof.head)
        check_growth(old, found, proof)
        return proof.head, found

    def last(self) -> LogHead | None:
        """The largest head that is kept; :class:`FormatError` where its file is damaged."""
        paths = sorted(self.folder.glob("head-*.json"))
        if not paths:
            return None
        return LogHead.from_bytes(read_head(paths[-1]).payload, paths[-1].name)

    def _checked(self, envelope: Envelope) -> LogHead:
        head = head_certificate(self.api, envelope, self.publisher, self.commitment)
        if head.time > self.clock() + _AHEAD:
            raise VerificationError("the head was signed in the future", "log")
        return head

    def _keep(self, path: Path, envelope: Envelope, head: LogHead) -> None:
        make_folder(self.folder)
        plain: dict[str, Any] = {"head": envelope.to_plain()}
        if self.key is not None:
            said = SeenHead(head, int(self.clock())).to_bytes()
            plain["witness"] = sign(self.key, WITNESS_TYPE, said).to_plain()
        write_file(path, json.dumps(plain, sort_keys=True, indent=1).encode("ascii") + b"\n")

    def _keep_evidence(self, shown: list[Envelope]) -> None:
        """What the server showed, the head that is kept last beside it."""
        make_folder(self.folder)
        plain = {"shown": [envelope.to_plain() for envelope in shown]}
        data = json.dumps(plain, sort_keys=True, indent=1).encode("ascii") + b"\n"
        name = f"refused-{int(self.clock())}-{hashlib.sha256(data).hexdigest()[:8]}.json"
        write_file(self.folder / name, data)


def _require_same(last: LogHead, head: LogHead) -> None:
    """A head that is no larger than another is the same."""
    if head.size < last.size:
        raise VerificationError("the log is shorter than it was", "log")
    if head.root != last.root:
        raise VerificationError(
            "FRAUD: the server signed two logs of one size; both heads together show it to anybody",
            "log",
        )
