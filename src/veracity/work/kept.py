"""Processes that stay between jobs: who proves one answer after another starts them once."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from veracity.errors import VeracityError
from veracity.work.messages import Message
from veracity.work.pool import WorkerPool

__all__ = ["KeptPool"]


class KeptPool:
    """At most one pool of workers, kept until :meth:`close`; for one thread at a time.

    A job that fails or is cancelled ends its workers, whatever they were doing; the next job starts
    others. A job that needs more workers than there are starts all anew.
    """

    def __init__(self) -> None:
        self._pool: WorkerPool | None = None

    @contextlib.contextmanager
    def opened(
        self, entry: str, setup: Message, jobs: int, threads: int | None = None
    ) -> Iterator[WorkerPool]:
        """Workers that opened a job.

        Parameters
        ----------
        entry, setup, jobs, threads
            As for :class:`veracity.work.pool.WorkerPool`.
        """
        pool = self._reopened(setup, jobs)
        try:
            if pool is None:
                pool = WorkerPool(entry, setup, jobs, threads)
                pool.__enter__()
                self._pool = pool
            yield pool
        except BaseException:
            self.close()
            raise

    def _reopened(self, setup: Message, jobs: int) -> WorkerPool | None:
        """The pool that is there, with another job, if it is large enough and alive."""
        if self._pool is not None and len(self._pool.pids) >= jobs:
            with contextlib.suppress(VeracityError):  # one was ended from outside meanwhile
                self._pool.reopen(setup)
                return self._pool
        self.close()
        return None

    def close(self) -> None:
        """End the processes."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.__exit__(None, None, None)
