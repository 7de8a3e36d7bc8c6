"""Jobs that outlive whoever works on them: leases and attempts in SQLite.

A worker holds a lease and renews it; a lease that ran out is given to the next worker with a higher
attempt. Whatever is done to a job names its attempt, so a worker that comes late changes nothing.
The database holds names, states and digests: neither token ids, nor proofs, nor secrets.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from veracity.codec.files import reason_of
from veracity.errors import UsageError

__all__ = ["ATTEMPTS", "FAILURES", "Claim", "Queue", "State"]

#: A job that failed so often is not tried again; nor is one that was begun so often, as workers
#: that are killed say nothing.
FAILURES, ATTEMPTS = 3, 30
_VERSION = 2
_BUSY = 10.0  # seconds
_TABLES = """
CREATE TABLE jobs (
    id TEXT PRIMARY KEY, receipt TEXT NOT NULL UNIQUE, owner TEXT NOT NULL, state TEXT NOT NULL,
    created REAL NOT NULL, attempt INTEGER NOT NULL, lease REAL NOT NULL, share REAL NOT NULL,
    proof TEXT, failures INTEGER NOT NULL
) STRICT;
CREATE INDEX waiting ON jobs (state, created)
"""


@dataclass(frozen=True)
class State:
    """A job.

    Attributes
    ----------
    ident, receipt : str
        Names of the job and of the receipt it is about.
    owner : str
        The key that ordered it; clients are not told.
    state : str
        ``queued``, ``running``, ``done`` or ``failed``.
    attempt : int
        How often it was begun.
    share : float
        How much of it is done.
    proof : str or None
        SHA-256 of the proof.
    """

    ident: str
    receipt: str
    owner: str
    state: str
    attempt: int
    share: float
    proof: str | None


@dataclass(frozen=True)
class Claim:
    """A job that a worker may work on for a while."""

    ident: str
    receipt: str
    attempt: int


class Queue:
    """Jobs, in the order they came.

    Parameters
    ----------
    path : Path
        The database; made where it is not there.
    lease : float
        Seconds for which a worker holds a job unless it renews.

    Raises
    ------
    UsageError
        It cannot be opened, or is of another version.
    """

    def __init__(self, path: Path, lease: float) -> None:
        self._lock, self._lease = threading.Lock(), lease
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            self._database = sqlite3.connect(
                path, timeout=_BUSY, check_same_thread=False, isolation_level=None
            )
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = FULL")
            self._create(path)
        except OSError as error:
            raise UsageError(f"cannot open {path.name!r}: {reason_of(error)}") from None
        except sqlite3.Error:
            raise UsageError(f"{path.name!r} is no database of jobs") from None

    def _create(self, path: Path) -> None:
        """Server and worker may come first at the same time."""
        self._database.execute("BEGIN IMMEDIATE")
        version = self._database.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            for statement in _TABLES.split(";"):
                self._database.execute(statement)
            self._database.execute(f"PRAGMA user_version = {_VERSION}")
        self._database.execute("COMMIT")
        if version not in (0, _VERSION):
            raise UsageError(f"{path.name!r} was written by another version")

    def _rows(self, statement: str, *values: Any) -> list[Any]:
        with self._lock:
            return self._database.execute(statement, values).fetchall()

    def add(self, receipt: str, owner: str, now: float) -> str:
        """The job of a receipt: a new one, or the one it has.

        Parameters
        ----------
        receipt : str
            The receipt's name.
        owner : str
            The key that asks.
        now : float
            Seconds since 1970.
        """
        self._rows(
            "INSERT INTO jobs VALUES (?, ?, ?, 'queued', ?, 0, 0, 0, NULL, 0) "
            "ON CONFLICT (receipt) DO NOTHING",
            *(os.urandom(16).hex(), receipt, owner, now),
        )
        return str(self.find(receipt))

    def find(self, receipt: str) -> str | None:
        """The job of a receipt, if it has one."""
        rows = self._rows("SELECT id FROM jobs WHERE receipt = ?", receipt)
        return str(rows[0][0]) if rows else None

    def open_jobs(self, owner: str) -> int:
        """How many jobs of a key are not over."""
        query = "SELECT count(*) FROM jobs WHERE owner = ? AND state IN ('queued', 'running')"
        return int(self._rows(query, owner)[0][0])

    def waiting(self) -> int:
        """How many jobs, of all keys, nobody has finished."""
        query = "SELECT count(*) FROM jobs WHERE state IN ('queued', 'running')"
        return int(self._rows(query)[0][0])

    def get(self, ident: str) -> State | None:
        """A job, whoever ordered it."""
        return self._state(
            "SELECT id, receipt, owner, state, attempt, share, proof FROM jobs WHERE id = ?", ident
        )

    def of_receipt(self, receipt: str) -> State | None:
        """The job of a receipt, whoever ordered it."""
        return self._state(
            "SELECT id, receipt, owner, state, attempt, share, proof FROM jobs WHERE receipt = ?",
            receipt,
        )

    def _state(self, query: str, value: str) -> State | None:
        rows = self._rows(query, value)
        return State(*rows[0]) if rows else None

    def release(self) -> None:
        """Let others have what workers of a server that is gone hold; late ones change nothing."""
        self._rows("UPDATE jobs SET lease = 0 WHERE state = 'running'")

    def claim(self, now: float) -> Claim | None:
        """The oldest job that nobody works on; one that was tried too often has failed."""
        self._rows(
            "UPDATE jobs SET state = 'failed' "
            "WHERE state = 'running' AND lease < ? AND attempt >= ?",
            *(now, ATTEMPTS),
        )
        rows = self._rows(
            "UPDATE jobs SET state = 'running', attempt = attempt + 1, lease = ?, share = 0 "
            "WHERE id = (SELECT id FROM jobs WHERE state = 'queued' "
            "OR (state = 'running' AND lease < ?) ORDER BY created, id LIMIT 1) "
            "RETURNING id, receipt, attempt",
            *(now + self._lease, now),
        )
        return Claim(*rows[0]) if rows else None

    def renew(self, claim: Claim, share: float, now: float) -> bool:
        """Go on; False where the job is somebody else's by now.

        Parameters
        ----------
        claim : Claim
            What the worker holds.
        share : float
            How much is done.
        now : float
            Seconds since 1970.
        """
        return self._changed(
            "UPDATE jobs SET lease = ?, share = ? "
            "WHERE id = ? AND attempt = ? AND state = 'running' RETURNING id",
            *(now + self._lease, share, claim.ident, claim.attempt),
        )

    def finish(self, claim: Claim, proof: str) -> bool:
        """The proof is on the disk; False where the job is somebody else's by now."""
        return self._changed(
            "UPDATE jobs SET state = 'done', share = 1, proof = ? "
            "WHERE id = ? AND attempt = ? AND state = 'running' RETURNING id",
            *(proof, claim.ident, claim.attempt),
        )

    def give_up(self, claim: Claim) -> bool:
        """An attempt failed; the job waits for another, or has failed."""
        return self._changed(
            "UPDATE jobs SET share = 0, failures = failures + 1, "
            "state = CASE WHEN failures + 1 >= ? THEN 'failed' ELSE 'queued' END "
            "WHERE id = ? AND attempt = ? AND state = 'running' RETURNING id",
            *(FAILURES, claim.ident, claim.attempt),
        )

    def _changed(self, statement: str, *values: Any) -> bool:
        return bool(self._rows(statement, *values))

    def is_done(self, receipt: str) -> bool:
        """Whether the proof of a receipt is there."""
        return bool(self._rows("SELECT 1 FROM jobs WHERE receipt = ? AND state = 'done'", receipt))

    def cancel(self, ident: str, owner: str) -> str | None:
        """Forget a job that is not over; the name of its receipt, None where there is none.

        Whoever works on it finds out when the lease is to be renewed.
        """
        rows = self._rows(
            "DELETE FROM jobs WHERE id = ? AND owner = ? AND state IN ('queued', 'running') "
            "RETURNING receipt",
            *(ident, owner),
        )
        return str(rows[0][0]) if rows else None

    def knows(self, ident: str) -> bool:
        """Whether there is such a job, whoever ordered it."""
        return bool(self._rows("SELECT 1 FROM jobs WHERE id = ?", ident))

    def drop(self, ident: str) -> bool:
        """Forget a job that is done; False where it is not."""
        return self._changed("DELETE FROM jobs WHERE id = ? AND state = 'done' RETURNING id", ident)

    def counts(self) -> dict[str, int]:
        """How many jobs there are in each state."""
        return {
            str(s): int(n) for s, n in self._rows("SELECT state, count(*) FROM jobs GROUP BY 1")
        }

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._database.close()
