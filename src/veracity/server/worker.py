"""A process that proves what the queue holds: claim, check, prove, verify, store.

Run as ``python -m veracity.server.worker``; its first line on standard input says where the files
lie. It ends when its standard input does, so none outlives a server that was killed.
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from veracity.codec import write_file
from veracity.errors import VeracityError
from veracity.formats.receipt import KeyCertificate, Receipt, ReceiptFile
from veracity.progress import PHASES, Forecast
from veracity.proving.opened import load_secret
from veracity.proving.prover import Prover
from veracity.proving.receipts import check_proof, open_receipt
from veracity.server.jobs import Claim, Queue
from veracity.work.lifeline import end_with_input

__all__ = ["Worker", "Workplace"]

#: Seconds between two looks into an empty queue, and at most between two notes of progress.
_IDLE, _NOTE = 0.5, 2.0


class _Lost(Exception):
    """The lease went to another worker."""


@dataclass(frozen=True)
class Workplace:
    """Where a worker finds what it needs; names only, no secrets.

    Attributes
    ----------
    program, secret, state : str
        Paths of the model, of its commitment's secret, and of the server's folder.
    lease : float
        Seconds for which a job is held.
    threads : int or None
        Threads that prove.
    jobs : int
        Processes that prove segments side by side.
    ray : str or None
        ``HOST:PORT`` of a cluster on whose machines they run.
    """

    program: str
    secret: str
    state: str
    lease: float = 60.0
    threads: int | None = None
    jobs: int = 1
    ray: str | None = None

    @property
    def database(self) -> Path:
        """The queue."""
        return Path(self.state) / "jobs.sqlite"

    def request(self, receipt: str) -> Path:
        """The receipt with its opening; there while its proof is wanted."""
        return Path(self.state) / "requests" / f"{receipt}.json"

    def proof(self, ident: str) -> Path:
        """The proof of a job."""
        return Path(self.state) / "proofs" / f"{ident}.vproof"

    def to_line(self) -> bytes:
        """What a worker reads first."""
        return json.dumps(asdict(self)).encode("ascii") + b"\n"


class Worker:
    """Proves job after job.

    Parameters
    ----------
    place : Workplace
        Where everything lies.
    queue : Queue
        The jobs.
    """

    def __init__(self, place: Workplace, queue: Queue) -> None:
        self._place, self._queue = place, queue
        opened = load_secret(place.secret)
        self._commitment = opened.commitment
        self._prover = Prover(
            place.program, opened, jobs=place.jobs, ray=place.ray, threads=place.threads
        )

    def work(self) -> bool:
        """Do one job; False where there was none.

        A proof is verified, then stored, then the job is done. Two workers that happen to prove one
        job store true proofs of one statement.
        """
        claim = self._queue.claim(time.time())
        if claim is None:
            return False
        lease = _Lease(self._queue, claim, min(_NOTE, self._place.lease / 4))
        try:
            digest = self._prove(claim, lease)
            if self._queue.finish(claim, digest):
                self._place.request(claim.receipt).unlink(missing_ok=True)
            elif not self._queue.knows(claim.ident):  # cancelled at the last moment
                self._place.proof(claim.ident).unlink(missing_ok=True)
        except _Lost:
            return True
        except VeracityError as error:
            if self._queue.give_up(claim):  # it is neither cancelled nor another worker's
                kind = type(error).__name__
                sys.stderr.write(f"ALARM: proof {claim.ident}, attempt {claim.attempt}: {kind}\n")
        finally:
            lease.end()
        return True

    def _prove(self, claim: Claim, lease: _Lease) -> str:
        """Store a true proof; its SHA-256."""
        file = ReceiptFile.load(self._place.request(claim.receipt))
        commitment = self._commitment
        checked = open_receipt(
            Receipt.from_bytes(file.receipt.payload),
            KeyCertificate.from_bytes(file.certificate.payload),
            file.opening,
            commitment,
        )
        proof = self._prover.prove_receipt(checked, progress=lease.progress)
        check_proof(checked, proof, commitment, math.inf)
        data = proof.to_bytes()
        write_file(self._place.proof(claim.ident), data)
        return hashlib.sha256(data).hexdigest()


class _Lease:
    """Renews a claim beside the work."""

    def __init__(self, queue: Queue, claim: Claim, period: float) -> None:
        self._queue, self._claim, self._period = queue, claim, period
        self._forecast, self._share = Forecast(PHASES), 0.0
        self._ended, self._lost = threading.Event(), threading.Event()
        self._heart = threading.Thread(target=self._beat, daemon=True)
        self._heart.start()

    def _beat(self) -> None:
        while not self._ended.wait(self._period):
            if not self._queue.renew(self._claim, self._share, time.time()):
                self._lost.set()
                return

    def progress(self, phase: str, share: float) -> None:
        """Told by the proof how far it is; ends it where somebody else has the job."""
        if self._lost.is_set():
            raise _Lost
        self._share = self._forecast.note(phase, share)

    def end(self) -> None:
        """Let the claim be."""
        self._ended.set()
        self._heart.join()


def main() -> None:
    """Work until the server is gone."""
    given = json.loads(sys.stdin.buffer.readline())
    end_with_input()
    place = Workplace(**given)
    worker = Worker(place, Queue(place.database, place.lease))
    while True:
        if not worker.work():
            time.sleep(_IDLE)


if __name__ == "__main__":
    main()
