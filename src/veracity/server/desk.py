"""The desk that issues receipts: signed, on the disk, then sent.

Heads of the log are signed here, too.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from veracity.codec import make_folder, read_file, write_file
from veracity.codec.files import Source
from veracity.errors import RequestError, UsageError
from veracity.formats.commitment import Commitment
from veracity.formats.drawing import Drawing
from veracity.formats.dsse import Envelope, load_private_key, sign
from veracity.formats.log import HEAD_TYPE, LogHead, LogProof
from veracity.formats.receipt import (
    CERTIFICATE_TYPE,
    RECEIPT_TYPE,
    KeyCertificate,
    Opening,
    Receipt,
    ReceiptFile,
    json_of,
)
from veracity.server.shelf import Entry, Shelf
from veracity.text.chat import Message

__all__ = ["Answered", "Desk", "open_desk"]

MAX_CERTIFICATE = 1 << 16
#: Seconds between two heads of the log.
HEAD_PERIOD = 60


@dataclass(frozen=True)
class Answered:
    """An answer, or a refusal, that a receipt is wanted for.

    Attributes
    ----------
    frame : str
        What stands around the words.
    prompt, answer : tuple of int
        Token ids; a refusal has no answer.
    text : str
        What was sent.
    max_tokens : int
        Most tokens there might have been.
    stops : tuple of str
        Texts that end the answer.
    finish : str
        ``stop``, ``length`` or, for a refusal, ``none``.
    stopped : str or None
        ``range`` where a value left its range after some tokens.
    messages : tuple of Message
        The conversation that the prompt is.
    drawing : Drawing or None
        How the answer was drawn; None for a greedy one.
    auditable : bool
        Whether the client lets auditors read it.
    """

    frame: str
    prompt: tuple[int, ...]
    answer: tuple[int, ...]
    text: str
    max_tokens: int
    stops: tuple[str, ...]
    finish: str
    stopped: str | None
    messages: tuple[Message, ...] = ()
    drawing: Drawing | None = None
    auditable: bool = False


class _Heads:
    """The last head that was signed."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.last: tuple[LogHead, Envelope] | None = None


@dataclass(frozen=True)
class Desk:
    """Issues receipts.

    Attributes
    ----------
    key : Ed25519PrivateKey
        The server's.
    certificate : Envelope
        The publisher's word for it.
    certified : KeyCertificate
        What that says.
    commitment : Commitment
        The model.
    shelf : Shelf
        Where receipts are stored.
    prove_within : int
        Seconds for which a proof can be demanded.
    clock : callable
        Seconds since 1970; for tests.
    retention : int
        Seconds for which the server keeps token ids and salts, too, for audits; 0 for not at all.
    policy : bool
        Whether all receipts are for auditors to read, as the server publishes.
    former : mapping
        Certificates of the keys that signed before, by the keys' names.
    """

    key: Ed25519PrivateKey
    certificate: Envelope
    certified: KeyCertificate
    commitment: Commitment
    shelf: Shelf
    prove_within: int
    clock: Callable[[], float] = time.time
    retention: int = 0
    policy: bool = False
    former: Mapping[str, Envelope] = field(default_factory=dict)
    _heads: _Heads = field(default_factory=_Heads, repr=False)

    def require_valid(self) -> None:
        """Raise :class:`RequestError` while the certificate does not count."""
        if not self.certified.not_before <= int(self.clock()) <= self.certified.not_after:
            raise RequestError(
                "the server's certificate is not valid now, so it signs no answers",
                "certificate_expired",
                status=503,
            )

    def issue(self, answered: Answered, owner: str) -> ReceiptFile:
        """Sign and store; what comes back may be sent."""
        file, stored = self.prepare(answered, owner)
        stored.result()
        return file

    def prepare(self, answered: Answered, owner: str) -> tuple[ReceiptFile, Future[None]]:
        """Sign; what comes back may be sent when the future is done."""
        now = int(self.clock())
        drawn = answered.drawing or Drawing(0)
        opening = Opening.fresh(
            answered.prompt, answered.answer, answered.messages, drawn.server_nonce
        )
        metadata = self.commitment.metadata
        receipt = Receipt(
            ident=os.urandom(16).hex(),
            kind="answer" if answered.answer else "refused",
            commitment=self.commitment.digest,
            program=metadata.program_digest,
            tokenizer=metadata.tokenizer_digest,
            frame=answered.frame,
            rule="drawn" if drawn.temperature else "greedy",
            temperature=drawn.temperature,
            client_nonce=drawn.user_nonce.hex(),
            server_nonce=drawn.server_digest,
            max_tokens=answered.max_tokens,
            stops=answered.stops,
            **opening.hashes(answered.text),
            finish=answered.finish,
            stopped=answered.stopped,
            time=now,
            prove_by=now + self.prove_within,
            retention=self.retention,
            auditable=answered.auditable or self.policy,
            url=self.certified.url,
        )
        envelope = sign(self.key, RECEIPT_TYPE, receipt.to_bytes())
        file = ReceiptFile(envelope, self.certificate, opening)
        kept = file.to_bytes() if self.retention and receipt.auditable else None
        entry = Entry(receipt.ident, owner, now, envelope, kept, now + self.retention)
        return file, self.shelf.put(entry)

    def head(self) -> tuple[LogHead, Envelope]:
        """The log's head; a new one when the last is a minute old and receipts were added."""
        with self._heads.lock:
            now, last = int(self.clock()), self._heads.last
            if last is None or now >= last[0].time + HEAD_PERIOD:
                size, root = self.shelf.summary()
                certified = self.certified
                head = LogHead(size, root.hex(), now, certified.commitment, certified.url)
                if last is None or head.size != last[0].size:
                    last = head, sign(self.key, HEAD_TYPE, head.to_bytes())
                    self._heads.last = last
            return last

    def included(self, leaf: bytes) -> LogProof | None:
        """The proof that a receipt is in the log, once a head covers it."""
        head, envelope = self.head()
        found = self.shelf.inclusion(leaf, head.size)
        return None if found is None else LogProof(envelope, found[0], tuple(found[1]))

    def grown(self, old: int) -> LogProof | None:
        """The proof that the log begins with what it was when it had ``old`` receipts."""
        head, envelope = self.head()
        if old > head.size:
            return None
        return LogProof(envelope, old, tuple(self.shelf.consistency(old, head.size)))

    def certificate_of(self, key: str) -> Envelope:
        """The certificate of the key that signed something; today's where it is unknown."""
        return self.former.get(key, self.certificate)

    def described(self) -> dict[str, Any]:
        """What anybody may know: the publisher's certificate of the server's key."""
        return {
            "certificate": self.certificate.to_plain(),
            "commitment": self.commitment.digest,
            "auditable": self.policy,
            "retention": self.retention,
            "former": [e.to_plain() for e in self.former.values()],
        }


def open_desk(
    key: Source,
    certificate: Source,
    state: str | Path,
    commitment: Commitment,
    prove_within: int,
    *,
    retention: int = 0,
    policy: bool = False,
) -> Desk:
    """A desk from its files.

    Parameters
    ----------
    key : path
        The server's private key, PEM.
    certificate : path
        The publisher's certificate of it.
    state : path
        Folder for what must not be lost.
    commitment : Commitment
        The model.
    prove_within : int
        Seconds for which a proof can be demanded.
    retention : int
        Seconds for which the server keeps token ids and salts for audits.
    policy : bool
        Whether auditors may read all receipts.

    Raises
    ------
    UsageError
        They do not belong together.
    FormatError
        A file is damaged.
    """
    own = load_private_key(key)
    text = read_file(certificate, MAX_CERTIFICATE, "certificate")
    envelope = Envelope.from_plain(json_of(text, "certificate"), "certificate")
    if envelope.kind != CERTIFICATE_TYPE:
        raise UsageError("the certificate is of another kind; see `veracity sign server -h`")
    certified = KeyCertificate.from_bytes(envelope.payload)
    if certified.key != own.public_key().public_bytes_raw().hex():
        raise UsageError("the certificate is of another key than the server's")
    if certified.commitment != commitment.digest:
        raise UsageError("the certificate is for another model than the one that is served")
    folder = Path(state)
    make_folder(folder)
    shelf = Shelf(folder / "receipts.sqlite")
    former = _certificates(folder / "certificates", envelope, certified)
    return Desk(
        *(own, envelope, certified, commitment, shelf, prove_within),
        retention=retention,
        policy=policy,
        former=former,
    )


def _certificates(
    folder: Path, envelope: Envelope, certified: KeyCertificate
) -> dict[str, Envelope]:
    """Certificates of all keys that have signed here, today's among them."""
    make_folder(folder)
    own = hashlib.sha256(bytes.fromhex(certified.key)).hexdigest()
    write_file(folder / f"{own}.json", envelope.to_bytes())
    found = {}
    for path in sorted(folder.glob("*.json")):
        text = read_file(path, MAX_CERTIFICATE, "certificate")
        found[path.stem] = Envelope.from_plain(json_of(text, "certificate"), "certificate")
    return found
