"""A pool of processes for work in independent parts: links of a chain, windows of training.

Workers are started afresh (never forked: a fork would share the state of threads and of anything
drawn at random), they get what they need over a socket, and nothing is written to a disk. A worker
ends with its parent however that ends, because its socket closes then; what ends the parent's block
(an error, Ctrl-C, a cancelled ``progress``) ends the workers first. A worker that dies is one clear
error.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType

from veracity.errors import UsageError, VeracityError
from veracity.threads import cores, sensible_threads
from veracity.work.messages import Message, raised, receive, send

__all__ = ["THREADS", "Ahead", "PartProgress", "WorkerPool", "threads_each"]

#: ``progress(part, phase, share)``: the index of a part of the work, and what its worker tells.
PartProgress = Callable[[int, str, float], None]

#: Read by Rust's and by NumPy's pools of threads when they start.
THREADS = ("RAYON_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")


def threads_each(jobs: int, threads: int | None) -> int:
    """Threads of each of ``jobs`` workers that share ``threads``, all cores where not given."""
    return max(1, (cores() if threads is None else threads) // jobs)


class _Worker:
    """One process, and our end of the socket to it."""

    def __init__(self, threads: int) -> None:
        self.end, theirs = socket.socketpair()
        paths = [str(Path(p).resolve()) for p in sys.path]
        environment = {
            **os.environ,
            **dict.fromkeys(THREADS, str(threads)),
            "PYTHONPATH": os.pathsep.join(paths),
        }
        said = None if os.environ.get("VERACITY_TRACEBACK") == "1" else subprocess.DEVNULL
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "veracity.work.worker", str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
                env=environment,
            )
        finally:
            theirs.close()
        self.part: int | None = None

    def died(self) -> VeracityError:
        """What to tell of a worker that is gone."""
        code = self.process.wait()
        if code >= 0:
            return VeracityError(f"a worker process ended by itself with exit code {code}")
        name = signal.Signals(-code).name
        return VeracityError(
            f"a worker process was ended by {name}; if memory ran out, ask for fewer jobs or "
            "give a limit of memory"
        )

    def kill(self) -> None:
        """End it at once; it holds nothing that would have to be cleared."""
        self.end.close()
        self.process.kill()
        self.process.wait()


class WorkerPool:
    """Processes that all opened the same work, and take its parts one by one.

    Parameters
    ----------
    entry : str
        ``module:function``, called once in each worker as ``function(setup)``; it returns
        ``work(part, progress)``, which gives the result of one part, both messages.
    setup : Message
        What all parts share.
    jobs : int
        How many processes.
    threads : int, optional
        Threads of all of them together; all cores where not given.
    """

    def __init__(self, entry: str, setup: Message, jobs: int, threads: int | None = None) -> None:
        if jobs < 1:
            raise UsageError(f"{jobs} jobs cannot work; give at least one")
        self._entry, self._setup, self._jobs = entry, setup, jobs
        self._threads = sensible_threads(threads_each(jobs, threads))
        self._workers: list[_Worker] = []

    def __enter__(self) -> WorkerPool:
        try:
            for _ in range(self._jobs):
                self._workers.append(_Worker(self._threads))
            self.reopen(self._setup)
        except BaseException:
            self._end()
            raise
        return self

    def reopen(self, setup: Message) -> None:
        """Give all workers other work of the same kind; parts of the earlier one are done.

        Raises
        ------
        VeracityError
            A worker died.
        """
        start = {"entry": self._entry, "setup": setup.kind, "body": setup.body}
        for worker in self._workers:
            if worker.process.poll() is not None:
                raise worker.died()
            self._send(worker, Message("open", start, setup.parts))

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        for worker in self._workers:
            worker.kill()
        self._workers.clear()

    @property
    def pids(self) -> list[int]:
        """The processes."""
        return [worker.process.pid for worker in self._workers]

    def run(self, parts: Iterable[Message], progress: PartProgress | None = None) -> list[Message]:
        """The results of all parts, in their order.

        Parameters
        ----------
        parts : iterable of Message
            Taken one at a time as workers become free, and one ahead, so that it may compute them.
        progress : callable, optional
            Receives (index of a part, phase, share of the phase done).

        Raises
        ------
        VeracityError
            What a part raised, or that a worker died.
        """
        waiting = Ahead(parts)
        results: dict[int, Message] = {}
        with selectors.DefaultSelector() as ready:
            for worker in self._workers:
                ready.register(worker.end, selectors.EVENT_READ, worker)
            while True:
                for worker in self._workers:
                    if worker.part is None and (found := waiting.take()) is not None:
                        worker.part = found[0]
                        self._send(worker, found[1])
                waiting.fill()
                if all(worker.part is None for worker in self._workers):
                    return [results[i] for i in sorted(results)]
                for key, _ in ready.select():
                    self._note(key.data, results, progress)

    def _send(self, worker: _Worker, message: Message) -> None:
        try:
            send(worker.end, message)
        except OSError:
            raise worker.died() from None

    @staticmethod
    def _note(worker: _Worker, results: dict[int, Message], progress: PartProgress | None) -> None:
        message = receive(worker.end)
        if message is None:
            raise worker.died()
        if message.kind == "error":
            raise raised(message)
        if worker.part is None:
            raise VeracityError("a worker answers what it was not asked")
        if message.kind == "progress":
            if progress is not None:
                progress(worker.part, message.body["phase"], message.body["share"])
            return
        results[worker.part] = message
        worker.part = None


class Ahead:
    """Parts with their numbers; at most one is computed before it is asked for."""

    def __init__(self, parts: Iterable[Message]) -> None:
        self._parts: Iterator[tuple[int, Message]] = enumerate(parts)
        self._next: tuple[int, Message] | None = None
        self.over = False

    def fill(self) -> None:
        """Compute the next one, unless it was already; ``over`` where there is none."""
        if self._next is None and not self.over:
            self._next = next(self._parts, None)
            self.over = self._next is None

    def take(self) -> tuple[int, Message] | None:
        """The next one."""
        self.fill()
        found, self._next = self._next, None
        return found
