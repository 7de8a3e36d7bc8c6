"""The desk that issues receipts: signed, on the disk, then sent.

A receipt is stored before its client sees it, with the disk told to keep it: a server that forgot
one after a power cut might sign another answer later. What is stored holds hashes only.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from veracity.codec import make_folder, read_file
from veracity.codec.files import Source, reason_of
from veracity.errors import RequestError, UsageError
from veracity.formats.commitment import Commitment
from veracity.formats.drawing import Drawing
from veracity.formats.dsse import Envelope, load_private_key, sign
from veracity.formats.log import HEAD_TYPE, LogHead, LogProof
from veracity.formats.merkle import MerkleTree, leaf_hash
from veracity.formats.receipt import (
    CERTIFICATE_TYPE,
    RECEIPT_TYPE,
    KeyCertificate,
    Opening,
    Receipt,
    ReceiptFile,
    json_of,
)
from veracity.text.chat import Message

__all__ = ["Answered", "Desk", "Shelf", "open_desk"]

MAX_CERTIFICATE = 1 << 16
#: Seconds between two heads of the log.
HEAD_PERIOD = 60
_VERSION = 1
_TABLES = """
CREATE TABLE receipts (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, owner TEXT NOT NULL,
    time INTEGER NOT NULL, envelope BLOB NOT NULL
) STRICT
"""


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


class Shelf:
    """Receipts on disk, by id and by whose they are, and the log of all of them in their order.

    One server at a time has the file: two would sign heads of two logs.

    Parameters
    ----------
    path : Path
        The database; made where it is not there.

    Raises
    ------
    UsageError
        It cannot be opened, or is of another version.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._database.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = FULL")
            version = self._database.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                self._database.executescript(
                    f"BEGIN IMMEDIATE; {_TABLES}; PRAGMA user_version = {_VERSION}; COMMIT"
                )
            elif version != _VERSION:
                raise UsageError(f"{path.name!r} was written by another version")
            rows = self._database.execute("SELECT envelope FROM receipts ORDER BY number")
            leaves = [leaf_hash(bytes(row[0])) for row in rows]
        except OSError as error:
            raise UsageError(f"cannot open {path.name!r}: {reason_of(error)}") from None
        except sqlite3.Error as error:
            busy = "locked" in str(error)
            what = "in use by another server" if busy else "no database of receipts"
            raise UsageError(f"{path.name!r} is {what}") from None
        self._tree = MerkleTree(leaves)
        self._places = {leaf: index for index, leaf in enumerate(leaves)}

    def put(self, ident: str, owner: str, when: int, envelope: Envelope) -> None:
        """Store a receipt; it is on the disk when this returns.

        Parameters
        ----------
        ident : str
            The receipt's.
        owner : str
            The name of the key that asked.
        when : int
            Seconds since 1970.
        envelope : Envelope
            The signed receipt.
        """
        data = envelope.to_bytes()
        with self._lock:
            self._database.execute(
                "INSERT INTO receipts (id, owner, time, envelope) VALUES (?, ?, ?, ?)",
                (ident, owner, when, data),
            )
            leaf = leaf_hash(data)
            self._places[leaf] = len(self._tree)
            self._tree.append(leaf)

    def get(self, ident: str, owner: str) -> bytes | None:
        """A signed receipt, for whoever asked for its answer and for nobody else."""
        with self._lock:
            row = self._database.execute(
                "SELECT envelope FROM receipts WHERE id = ? AND owner = ?", (ident, owner)
            ).fetchone()
        return None if row is None else bytes(row[0])

    def summary(self) -> tuple[int, bytes]:
        """Size and root of the log."""
        with self._lock:
            return len(self._tree), self._tree.root(len(self._tree))

    def inclusion(self, leaf: bytes, size: int) -> tuple[int, list[bytes]] | None:
        """Where a leaf is in the log of so many, and the proof; None where it is not."""
        with self._lock:
            place = self._places.get(leaf)
            if place is None or place >= size:
                return None
            return place, self._tree.inclusion(place, size)

    def consistency(self, old: int, size: int) -> list[bytes]:
        """The proof that the log of ``size`` begins with the one of ``old``."""
        with self._lock:
            return self._tree.consistency(old, size)

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._database.close()


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
    """

    key: Ed25519PrivateKey
    certificate: Envelope
    certified: KeyCertificate
    commitment: Commitment
    shelf: Shelf
    prove_within: int
    clock: Callable[[], float] = time.time
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
            retention=0,
            auditable=answered.auditable,
            url=self.certified.url,
        )
        envelope = sign(self.key, RECEIPT_TYPE, receipt.to_bytes())
        self.shelf.put(receipt.ident, owner, now, envelope)
        return ReceiptFile(envelope, self.certificate, opening)

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

    def described(self) -> dict[str, Any]:
        """What anybody may know: the publisher's certificate of the server's key."""
        return {"certificate": self.certificate.to_plain(), "commitment": self.commitment.digest}


def open_desk(
    key: Source, certificate: Source, state: str | Path, commitment: Commitment, prove_within: int
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
    return Desk(own, envelope, certified, commitment, shelf, prove_within)
