"""Parts of a job on the machines of a cluster: like :class:`veracity.work.pool.WorkerPool`.

Workers come and go. One that calls gets what all parts share, then part after part; what one had
when its connection ended goes to another, so a machine that dies costs what it was at. No part is
run twice at once. This process holds all results: a head that is started again, or a machine that
joins late, changes nothing but the time.
"""

from __future__ import annotations

import os
import secrets
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from types import TracebackType

from veracity.errors import VeracityError
from veracity.work.cluster.identity import ClusterIdentity
from veracity.work.cluster.launcher import Launcher
from veracity.work.cluster.wire import answer_of, chunks, keep_alive, tell
from veracity.work.messages import Message, raised
from veracity.work.pool import Ahead, PartProgress

__all__ = ["ClusterPool"]

#: Seconds without any worker after which the job ends, and after which workers are asked for anew.
PATIENCE, ASK_AGAIN = 300.0, 30.0
#: How often a part may be lost with its worker before the part itself is suspected.
ATTEMPTS = 5
#: Seconds for a caller to show its certificate and say hello, and most callers at a time.
_GREETING, _CALLERS = 20.0, 256


class ClusterPool:
    """Takes parts one by one to workers that call from anywhere in a cluster.

    Parameters
    ----------
    setup : Message
        What all parts share (:func:`veracity.work.links.setup_message`).
    files : mapping
        SHA-256 of the files that ``setup`` names, by path.
    launcher : Launcher
        Gets workers to call.
    host : str
        Address of this machine that the others reach.
    identity : ClusterIdentity
        This machine's certificate.
    patience : float
        Seconds without any worker after which the job ends.
    """

    def __init__(
        self,
        setup: Message,
        files: Mapping[str, str],
        launcher: Launcher,
        host: str,
        identity: ClusterIdentity,
        patience: float = PATIENCE,
    ) -> None:
        self._setup, self._files = setup, dict(files)
        self._launcher, self._host, self._patience = launcher, host, patience
        self._context = identity.server_context()
        self._job = secrets.token_hex(16)
        self._changed = threading.Condition()
        self._waiting: deque[tuple[int, Message]] = deque()
        self._lost: dict[int, int] = {}
        self._results: dict[int, Message] = {}
        self._told: deque[tuple[int, str, float]] = deque()
        self._failure: Exception | None = None
        self._workers: set[ssl.SSLSocket] = set()
        self._idle = 0
        self._alone_since = time.monotonic()
        self._ended = False

    def __enter__(self) -> ClusterPool:
        self._listener = socket.create_server((self._host, 0), backlog=_CALLERS)
        self._port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()
        try:
            self._launcher.start(self._host, self._port, self._job)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        with self._changed:
            self._ended = True
            for end in self._workers:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            self._changed.notify_all()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._launcher.end()

    @property
    def workers(self) -> int:
        """How many are at work or waiting for it."""
        with self._changed:
            return len(self._workers)

    def run(self, parts: Iterable[Message], progress: PartProgress | None = None) -> list[Message]:
        """The results of all parts, in their order.

        Parameters
        ----------
        parts : iterable of Message
            Taken one at a time as workers become free, and one ahead.
        progress : callable, optional
            Receives (index of a part, phase, share of the phase done).

        Raises
        ------
        VeracityError
            What a part raised, or that no machine takes part.
        """
        ahead, given = Ahead(parts), 0
        asked = time.monotonic()
        while True:
            with self._changed:
                needed = self._idle > len(self._waiting)
            found = ahead.take() if needed else None  # computed outside the lock
            if not needed:
                ahead.fill()
            with self._changed:
                if found is not None:
                    given += 1
                    self._waiting.append(found)
                    self._changed.notify_all()
                elif not self._told and self._failure is None:
                    self._changed.wait(0.2)
                told, self._told = self._told, deque()
                if self._failure is not None:
                    raise self._failure
                over = ahead.over and len(self._results) == given
                alone = not self._workers
            for index, phase, share in told:
                if progress is not None:
                    progress(index, phase, share)
            if over:
                return [self._results[i] for i in sorted(self._results)]
            trouble = self._launcher.troubles()
            now = time.monotonic()
            if not alone:
                asked = now
            elif now - self._alone_since > self._patience:
                more = f"; the last that was heard: {trouble}" if trouble else ""
                raise VeracityError(
                    f"no machine of the cluster took part for {self._patience:.0f} seconds: is it "
                    f"up, are cores free, is this package installed on its machines?{more}"
                )
            elif now - asked > ASK_AGAIN:
                asked = now
                self._launcher.start(self._host, self._port, self._job)

    # ---- a thread for each caller ------------------------------------------------------------
    def _accept(self) -> None:
        callers = threading.BoundedSemaphore(_CALLERS)

        def serve(plain: socket.socket) -> None:
            try:
                self._greet(plain)
            finally:
                callers.release()

        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            if not callers.acquire(blocking=False):
                plain.close()
                continue
            threading.Thread(target=serve, args=(plain,), daemon=True).start()

    def _greet(self, plain: socket.socket) -> None:
        """Let in who has a certificate and knows the job; everybody else is hung up on."""
        plain.settimeout(_GREETING)
        try:
            end = self._context.wrap_socket(plain, server_side=True)
        except (OSError, ValueError):
            plain.close()
            return
        with end:
            hello = answer_of(end)
            if hello is None or hello.kind != "hello":
                return
            said = hello.body
            if said.get("job") != self._job:
                return
            if said.get("version") != version("veracity"):
                node = str(said.get("node"))[:80]
                self._fail(
                    VeracityError(
                        f"machine {node!r} has version {str(said.get('version'))[:40]} of this "
                        f"package, this one has {version('veracity')}; install one version"
                    )
                )
                return
            with suppress(OSError):
                end.settimeout(None)
                keep_alive(end)
                self._serve(end)

    def _serve(self, end: ssl.SSLSocket) -> None:
        with self._changed:
            if self._ended:
                return
            self._workers.add(end)
        part: tuple[int, Message] | None = None
        try:
            if not self._open(end):
                return
            while (part := self._next()) is not None:
                if not tell(end, part[1]) or not self._collect(end, part[0]):
                    return
                part = None
        finally:
            with self._changed:
                self._workers.discard(end)
                if not self._workers:
                    self._alone_since = time.monotonic()
                if part is not None:
                    self._again(part)
                self._changed.notify_all()

    def _open(self, end: ssl.SSLSocket) -> bool:
        """Tell a worker what all parts share, and give it the files that it lacks."""
        body = {"chain": dict(self._setup.body), "files": self._files}
        if not tell(end, Message("open", body, self._setup.parts)):
            return False
        while (message := answer_of(end)) is not None:
            if message.kind == "opened":
                return True
            path = message.body.get("file")
            if message.kind == "error":
                self._fail(raised(message))
            if message.kind != "want" or path not in self._files:
                return False
            try:
                if not all(tell(end, chunk) for chunk in chunks(Path(os.fspath(path)))):
                    return False
            except OSError:
                self._fail(VeracityError("the program file cannot be read any more"))
                return False
        return False

    def _next(self) -> tuple[int, Message] | None:
        """The next part that waits; None where the job is over."""
        with self._changed:
            self._idle += 1
            self._changed.notify_all()
            try:
                while not self._waiting and not self._ended:
                    self._changed.wait()
                return None if self._ended else self._waiting.popleft()
            finally:
                self._idle -= 1

    def _collect(self, end: ssl.SSLSocket, index: int) -> bool:
        """Take what a worker says of its part; False where it is gone."""
        while (message := answer_of(end)) is not None:
            if message.kind == "error":
                self._fail(raised(message))
                return False
            with self._changed:
                if message.kind == "progress":
                    phase, share = message.body.get("phase"), message.body.get("share")
                    self._told.append((index, str(phase), float(share or 0.0)))
                else:
                    self._results[index] = message
                self._changed.notify_all()
            if message.kind != "progress":
                return True
        return False

    def _again(self, part: tuple[int, Message]) -> None:
        """Put back what a worker had that is gone; under the lock."""
        if part[0] in self._results:
            return
        self._lost[part[0]] = self._lost.get(part[0], 0) + 1
        if self._lost[part[0]] >= ATTEMPTS and not self._ended:
            self._failure = self._failure or VeracityError(
                f"{ATTEMPTS} workers ended at the same part of the proof; if memory ran out, give "
                "a limit of memory"
            )
        self._waiting.appendleft(part)

    def _fail(self, error: Exception) -> None:
        with self._changed:
            self._failure = self._failure or error
            self._changed.notify_all()
