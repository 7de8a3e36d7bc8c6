"""Proofs on demand: who may order one, the processes that make them, and the endpoints.

A client sends its receipt back, token ids and salts with it. What it sends is stored, readable by
nobody else, until the proof is there; one receipt is one job, however often it is sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from veracity.codec import make_folder, read_file, write_file
from veracity.errors import FormatError, RequestError, UsageError, VerificationError
from veracity.formats.proof import MAX_BYTES
from veracity.formats.receipt import KeyCertificate, Receipt, ReceiptFile, json_of
from veracity.proving.receipts import open_receipt
from veracity.server.desk import Desk
from veracity.server.http import read_body
from veracity.server.jobs import Queue, State
from veracity.server.limits import Doors
from veracity.server.worker import Workplace

__all__ = ["ProofRoutes", "Proofs", "shown", "wait_for"]

#: Jobs of one key that may be open; seconds that a client may wait; between looks at a job.
_OPEN, _WAIT, _LOOK = 16, 60.0, 0.25
#: Requests of one key that may wait for jobs: each holds one of the server's connections.
_WAITING = 16
#: Seconds before a worker that died is replaced, and until one that should end has ended.
_RESTART, _END = 2.0, 10.0


class Proofs:
    """The queue of a server, and its workers.

    Parameters
    ----------
    desk : Desk
        Which signed the receipts.
    place : Workplace
        Where everything lies.
    workers : int
        Processes that prove.
    """

    def __init__(self, desk: Desk, place: Workplace, workers: int) -> None:
        self._desk, self.place, self._count = desk, place, workers
        for path in (place.request("x"), place.proof("x")):
            make_folder(path.parent).chmod(0o700)
        self.queue = Queue(place.database, place.lease)
        self.queue.release()  # the shelf is one server's: whoever held a job ended with the last
        for path in place.request("x").parent.glob("*.json"):
            if self.queue.is_done(path.stem):  # a worker died between proof and clearing up
                path.unlink()
        for path in place.proof("x").parent.glob("*.vproof"):
            if not self.queue.knows(path.stem):  # or between proof and a cancelled job
                path.unlink()
        self.processes: list[subprocess.Popen[bytes]] = []
        self._lock, self._ending = threading.Lock(), False
        #: How many requests of each key wait for the end of a job.
        self.waiting: Counter[str] = Counter()
        #: A job and its request file come and go together.
        self._orders = threading.Lock()
        self._keeper: asyncio.Task[None] | None = None

    def order(self, file: ReceiptFile, owner: str, now: float) -> State:
        """The job of a receipt.

        Parameters
        ----------
        file : ReceiptFile
            What the client kept.
        owner : str
            The key that asks.
        now : float
            Seconds since 1970.

        Raises
        ------
        RequestError
            No such receipt was given to this key, or no proof of it is owed.
        """
        try:
            ident = Receipt.from_bytes(file.receipt.payload).ident
        except FormatError as error:
            raise RequestError(str(error), "invalid_value", "receipt") from None
        # First: texts of a receipt that nobody signed are a stranger's, and take time to read.
        if self._desk.shelf.get(ident, owner) != file.receipt.to_bytes():
            raise RequestError("no such receipt", "not_found", status=404)
        return self._ordered(self._owed(file, now), file, owner, now)

    def order_for_audit(self, file: ReceiptFile, auditor: str, now: float) -> State:
        """The job of a receipt that the server kept for auditors, whoever ordered it first.

        Parameters
        ----------
        file : ReceiptFile
            What the server kept.
        auditor : str
            The key that asks.
        now : float
            Seconds since 1970.

        Raises
        ------
        RequestError
            No proof of it is owed, or too many are under way.
        """
        return self._ordered(self._owed(file, now), file, auditor, now)

    def _owed(self, file: ReceiptFile, now: float) -> Receipt:
        """The receipt, if it promises a proof now."""
        try:
            receipt = Receipt.from_bytes(file.receipt.payload)
            # Who signed is told by the shelf; its certificate may be an older one.
            certificate = KeyCertificate.from_bytes(file.certificate.payload)
            open_receipt(receipt, certificate, file.opening, self._desk.commitment)
        except (FormatError, VerificationError) as error:
            raise RequestError(str(error), "invalid_value", "receipt") from None
        if receipt.kind != "answer":
            raise RequestError("a refusal promises no proof", "invalid_value", "receipt")
        if now > receipt.prove_by:
            raise RequestError("no proof of this receipt is owed any more", "too_late", "receipt")
        return receipt

    def _ordered(self, receipt: Receipt, file: ReceiptFile, owner: str, now: float) -> State:
        """Its job, whoever ordered it first."""
        with self._orders:
            known = self.queue.of_receipt(receipt.ident)
            if known is not None:
                return known
            if self.queue.open_jobs(owner) >= _OPEN:
                raise RequestError(
                    "too many proofs of this key are not done yet",
                    "rate_limit_exceeded",
                    status=429,
                    retry_after=60,
                )
            # On the disk before a worker can see the job.
            write_file(self.place.request(receipt.ident), file.to_bytes(), 0o600)
            self.queue.add(receipt.ident, owner, now)
            return self._require(self.queue.of_receipt(receipt.ident))

    def state(self, ident: str, owner: str) -> State:
        """A job; :class:`RequestError` for all but who ordered it and whose receipt it is of."""
        found = self._require(self.queue.get(ident))
        if found.owner != owner and self._desk.shelf.get(found.receipt, owner) is None:
            return self._require(None)
        return found

    @staticmethod
    def _require(found: State | None) -> State:
        if found is None:
            raise RequestError("no such proof", "not_found", status=404)
        return found

    def cancel(self, ident: str, owner: str) -> None:
        """Let a job be that is not over; its receipt may be proved another time.

        Parameters
        ----------
        ident : str
            The job.
        owner : str
            The key that asks.

        Raises
        ------
        RequestError
            It is over, or auditors may wait for it, too.
        """
        found = self.state(ident, owner)
        path = self.place.request(found.receipt)
        over = RequestError("the job is over", "too_late", status=409)
        if found.state not in ("queued", "running"):
            raise over
        try:
            receipt = Receipt.from_bytes(ReceiptFile.load(path).receipt.payload)
        except UsageError:  # it ended meanwhile
            raise over from None
        if receipt.auditable and receipt.retention:
            raise RequestError("auditors may wait for this proof, too", "not_yours", status=409)
        with self._orders:
            if self.queue.cancel(ident, owner) is None:
                raise over
            path.unlink(missing_ok=True)

    async def sent(self, found: State) -> Response:
        """The file of a job that is done; :class:`RequestError` for others."""
        if found.state != "done":
            raise RequestError("the proof is not done", "not_done", status=409)
        path = self.place.proof(found.ident)
        data = await asyncio.to_thread(read_file, path, MAX_BYTES, "proof")
        return Response(data, media_type="application/octet-stream")

    def tidy(self, oldest: float, room: int) -> int:
        """Delete proofs that are too old or too many; a client may order them anew.

        Parameters
        ----------
        oldest : float
            Proofs made before are deleted; seconds since 1970.
        room : int
            Bytes of all proofs together, the oldest go first; 0 for no bound.
        """
        paths = self.place.proof("x").parent.glob("*.vproof")
        found = sorted((p.stat().st_mtime, p.stat().st_size, p) for p in paths)
        total, gone = sum(size for _, size, _ in found), 0
        for made, size, path in found:
            if made >= oldest and not 0 < room < total:
                break
            if self.queue.drop(path.stem):  # one that is not done yet is a worker's
                path.unlink(missing_ok=True)
                total, gone = total - size, gone + 1
        return gone

    def start(self) -> None:
        """Start the workers, and keep so many running."""
        self._keeper = asyncio.get_running_loop().create_task(self._keep())

    async def _keep(self) -> None:
        while True:
            await asyncio.to_thread(self._replace)
            await asyncio.sleep(_RESTART)

    def _replace(self) -> None:
        """Begin a worker for each that died; none once the server ends."""
        with self._lock:
            for process in self.processes:
                if process.poll() is not None:
                    _hang_up(process)
            self.processes = [p for p in self.processes if p.poll() is None]
            while not self._ending and len(self.processes) < self._count:
                self.processes.append(self._begin())

    def _begin(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-P", "-m", "veracity.server.worker"]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
        if process.stdin is not None:
            with contextlib.suppress(OSError):  # it died at once and will be replaced
                process.stdin.write(self.place.to_line())
                process.stdin.flush()
        return process

    async def stop(self) -> None:
        """End the workers; what they were at is begun again by the next server."""
        if self._keeper is not None:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper
        await asyncio.to_thread(self._end)
        self.queue.close()

    def _end(self) -> None:
        with self._lock:
            self._ending = True
            for process in self.processes:
                _hang_up(process)
            for process in self.processes:
                try:
                    process.wait(_END)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def _hang_up(process: subprocess.Popen[bytes]) -> None:
    """Close a worker's standard input, which ends it."""
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()


@dataclass(frozen=True)
class ProofRoutes:
    """The endpoints of proofs.

    Attributes
    ----------
    proofs : Proofs
        The queue.
    doors : Doors
        Who may ask.
    body : int
        Most bytes of a request.
    body_time : float
        Seconds until it has arrived.
    """

    proofs: Proofs
    doors: Doors
    body: int
    body_time: float

    def _owner(self, request: Request) -> str:
        return self.doors.name_of(request.headers.get("authorization"))

    async def order(self, request: Request) -> Response:
        """``POST /v1/proofs`` with ``{"receipt": ...}``."""
        owner = self._owner(request)
        with self.doors.enter(owner):
            data = await read_body(request, self.body, self.body_time)
            try:
                value = json_of(data, "body")
                if not isinstance(value, dict) or value.keys() != {"receipt"}:
                    raise FormatError("body", 'must be {"receipt": ...}')
                file = ReceiptFile.from_plain(value["receipt"])
            except FormatError as error:
                raise RequestError(str(error), "invalid_value", "receipt") from None
            found = await asyncio.to_thread(self.proofs.order, file, owner, time.time())
        return JSONResponse(shown(found), status_code=200 if found.state == "done" else 202)

    async def state(self, request: Request) -> Response:
        """``GET /v1/proofs/{id}``; ``?wait=SECONDS`` waits for the end of the job."""
        owner, ident = self._owner(request), request.path_params["ident"]
        looked = await wait_for(
            request, lambda: self.proofs.state(ident, owner), self.proofs.waiting, owner
        )
        return JSONResponse(shown(looked))

    async def cancel(self, request: Request) -> Response:
        """``DELETE /v1/proofs/{id}``."""
        owner, ident = self._owner(request), request.path_params["ident"]
        await asyncio.to_thread(self.proofs.cancel, ident, owner)
        return JSONResponse({"id": ident, "object": "proof", "status": "cancelled"})

    async def file(self, request: Request) -> Response:
        """``GET /v1/proofs/{id}/file``: the ``.vproof``."""
        owner, ident = self._owner(request), request.path_params["ident"]
        found = await asyncio.to_thread(self.proofs.state, ident, owner)
        return await self.proofs.sent(found)


def _seconds(text: str) -> float:
    if not (text.isascii() and text.isdigit() and len(text) <= 3):
        raise RequestError("wait is a whole number of seconds", "invalid_value", "wait")
    return min(float(text), _WAIT)


async def wait_for(
    request: Request, look: Callable[[], State], waiting: Counter[str], owner: str
) -> State:
    """A job, at its end if that comes within the seconds of ``?wait=``.

    Parameters
    ----------
    request : Request
        Who waits.
    look : callable
        The job as it is now.
    waiting : Counter
        Requests of each key that wait; where a key has too many, another one is answered at once.
    owner : str
        The key.
    """
    seconds = _seconds(request.query_params.get("wait", "0"))
    deadline = time.monotonic() + (seconds if waiting[owner] < _WAITING else 0.0)
    waiting[owner] += 1
    try:
        while True:
            found = await asyncio.to_thread(look)
            over = found.state in ("done", "failed") or time.monotonic() >= deadline
            if over or await request.is_disconnected():
                return found
            await asyncio.sleep(_LOOK)
    finally:
        waiting[owner] -= 1


def shown(state: State) -> dict[str, Any]:
    """A job for its client."""
    return {
        "id": state.ident,
        "object": "proof",
        "receipt": state.receipt,
        "status": state.state,
        "attempt": state.attempt,
        "progress": round(state.share, 3),
        "sha256": state.proof,
        "file": f"/v1/proofs/{state.ident}/file" if state.state == "done" else None,
    }
