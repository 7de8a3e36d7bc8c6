"""Receipts on disk, and the log of all of them in their order.

A receipt is on the disk before its client sees it: a server that forgot one after a power cut might
sign another answer later. The disk takes milliseconds, so one thread writes whatever waits in one
transaction, while answers are evaluated. What is stored of a receipt holds hashes only; its opening
is kept beside it where the server promised to, and deleted when that time is over.
"""

from __future__ import annotations

import os
import queue
import sqlite3
import threading
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

from veracity.codec.files import reason_of
from veracity.errors import RequestError, UsageError
from veracity.formats.dsse import Envelope
from veracity.formats.merkle import MerkleTree, leaf_hash

__all__ = ["Entry", "Shelf"]

_VERSION = 2
#: Most receipts of one transaction.
_TOGETHER = 256
_TABLES = """
CREATE TABLE receipts (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, owner TEXT NOT NULL,
    time INTEGER NOT NULL, envelope BLOB NOT NULL
) STRICT;
CREATE TABLE openings (id TEXT PRIMARY KEY, until INTEGER NOT NULL, file BLOB NOT NULL) STRICT;
CREATE INDEX ends ON openings (until)
"""


@dataclass(frozen=True)
class Entry:
    """A receipt to be stored.

    Attributes
    ----------
    ident : str
        The receipt's.
    owner : str
        The name of the key that asked.
    when : int
        Seconds since 1970.
    envelope : Envelope
        The signed receipt.
    kept : bytes or None
        The client's whole file, where the server keeps it, too.
    until : int
        When that is deleted, seconds since 1970.
    """

    ident: str
    owner: str
    when: int
    envelope: Envelope
    kept: bytes | None = field(default=None, repr=False)
    until: int = 0


_Waiting = tuple[Entry, "Future[None]"]


class Shelf:
    """Receipts by id, by whose they are, and by their place in the log.

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
            for setting in (
                "locking_mode = EXCLUSIVE",
                "journal_mode = WAL",
                "synchronous = FULL",
                "secure_delete = ON",
            ):
                self._database.execute(f"PRAGMA {setting}")
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
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._closed = False
        self._writer = threading.Thread(target=self._write, name="receipts", daemon=True)
        self._writer.start()

    def put(self, entry: Entry) -> Future[None]:
        """Store a receipt; it is on the disk when the future is done.

        The future fails with :class:`RequestError` where the disk does.
        """
        done: Future[None] = Future()
        done.set_running_or_notify_cancel()  # whoever waits may leave; what is signed is stored
        self._queue.put((entry, done))
        return done

    def _write(self) -> None:
        """Store what waits, together."""
        while True:
            batch = [self._queue.get()]
            while len(batch) < _TOGETHER and not self._queue.empty():
                batch.append(self._queue.get())
            waiting = [one for one in batch if one is not None]
            fault = self._store([entry for entry, _ in waiting]) if waiting else None
            for _, done in waiting:
                if fault is None:
                    done.set_result(None)
                else:
                    done.set_exception(fault)
            if len(waiting) < len(batch):
                return

    def _store(self, entries: list[Entry]) -> RequestError | None:
        """One transaction: all of them or none."""
        found = [(e, e.envelope.to_bytes()) for e in entries]
        with self._lock:
            try:
                self._database.execute("BEGIN IMMEDIATE")
                self._database.executemany(
                    "INSERT INTO receipts (id, owner, time, envelope) VALUES (?, ?, ?, ?)",
                    [(e.ident, e.owner, e.when, data) for e, data in found],
                )
                self._database.executemany(
                    "INSERT INTO openings VALUES (?, ?, ?)",
                    [(e.ident, e.until, e.kept) for e in entries if e.kept is not None],
                )
                self._database.execute("COMMIT")
            except sqlite3.Error:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                return RequestError(
                    "the receipt could not be stored", "storage_failed", status=503, retry_after=30
                )
            for _, data in found:
                leaf = leaf_hash(data)
                self._places[leaf] = len(self._tree)
                self._tree.append(leaf)
        return None

    def get(self, ident: str, owner: str) -> bytes | None:
        """A signed receipt, for whoever asked for its answer and for nobody else."""
        with self._lock:
            row = self._database.execute(
                "SELECT envelope FROM receipts WHERE id = ? AND owner = ?", (ident, owner)
            ).fetchone()
        return None if row is None else bytes(row[0])

    def at(self, index: int) -> tuple[str, bytes, bytes | None] | None:
        """Of the receipt at a place of the log: its id, envelope, and file if that is kept."""
        with self._lock:
            if not 0 <= index < len(self._tree):
                return None
            row = self._database.execute(
                "SELECT r.id, envelope, file FROM receipts r LEFT JOIN openings o ON o.id = r.id "
                "WHERE number = ?",
                (index + 1,),
            ).fetchone()
        if row is None:
            return None
        return str(row[0]), bytes(row[1]), None if row[2] is None else bytes(row[2])

    def forget(self, now: int) -> int:
        """Delete the files whose time is over, so that the disk has no trace of them; how many."""
        with self._lock:
            gone = self._database.execute("DELETE FROM openings WHERE until < ?", (now,)).rowcount
            if gone:
                self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return gone

    def summary(self) -> tuple[int, bytes]:
        """Size and root of the log."""
        with self._lock:
            return len(self._tree), self._tree.root(len(self._tree))

    def root(self, size: int) -> bytes | None:
        """The root of the log when it had so many receipts; None where it never had."""
        with self._lock:
            return self._tree.root(size) if 0 <= size <= len(self._tree) else None

    def inclusion(self, leaf: bytes, size: int) -> tuple[int, list[bytes]] | None:
        """Where a leaf is in the log of so many, and the proof; None where it is not."""
        with self._lock:
            place = self._places.get(leaf)
            if place is None or not place < size <= len(self._tree):
                return None
            return place, self._tree.inclusion(place, size)

    def consistency(self, old: int, size: int) -> list[bytes]:
        """The proof that the log of ``size`` begins with the one of ``old``."""
        with self._lock:
            return self._tree.consistency(old, size)

    def close(self) -> None:
        """Store what waits and let go of the file."""
        if self._closed:
            return
        self._closed = True
        self._queue.put(None)
        self._writer.join()
        with self._lock:
            self._database.close()
