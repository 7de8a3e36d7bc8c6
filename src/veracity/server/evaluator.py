"""Evaluation beside the event loop: a few at a time, a bounded number waiting, each with a time.

What a thread computes reaches the event loop through a queue that holds at most one answer. A
client that leaves, a time-out and a shutdown end an evaluation before its next token.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Protocol

from veracity.errors import RangeError, RequestError
from veracity.graph.sampling import Sampling

__all__ = ["Answers", "Evaluator", "Pace"]

#: Seconds after which whoever waits for a token is told that nothing has come.
TICK = 10.0
#: Whole passes whose time is remembered, and by how much the slowest one may be exceeded.
_PASSES, _MARGIN = 64, 2.0


class Answers(Protocol):
    """What evaluates a model."""

    def answer(
        self, ids: Sequence[int], most: int, sampling: Sampling | None = None
    ) -> Iterator[int]:
        """The tokens of an answer, one at a time.

        Parameters
        ----------
        ids : sequence of int
            The prompt.
        most : int
            Tokens of the answer.
        sampling : Sampling, optional
            How it is drawn; greedily where not given.
        """


class Pace:
    """How long a whole pass over a prompt takes; a refusal takes as long, wherever it arose.

    A value may leave its range in the first layer or in the last. Refusals are sent at multiples
    of a time that depends on the number of tokens only.
    """

    def __init__(self) -> None:
        self._passes: deque[float] = deque(maxlen=_PASSES)

    def record(self, tokens: int, seconds: float) -> None:
        """Remember a whole pass."""
        self._passes.append(seconds / tokens)

    def remaining(self, tokens: int, elapsed: float) -> float:
        """Seconds to wait before a refusal is sent."""
        whole = _MARGIN * tokens * max(self._passes, default=0.0)
        return whole * max(1, math.ceil(elapsed / whole)) - elapsed if whole else 0.0


class Evaluator:
    """Evaluates answers in threads.

    Parameters
    ----------
    model : Answers
        The model.
    slots : int
        Evaluations at a time.
    waiting : int
        Evaluations that may wait for a slot.
    timeout : float
        Seconds that one may take, waiting included.
    tick : float
        Seconds of silence after which the iterator of an answer yields None.
    """

    def __init__(
        self, model: Answers, *, slots: int, waiting: int, timeout: float, tick: float = TICK
    ) -> None:
        self._model, self._most, self._timeout, self._tick = model, slots + waiting, timeout, tick
        self._threads = ThreadPoolExecutor(slots, thread_name_prefix="evaluate")
        self._stopping = threading.Event()
        self._admitted = 0
        self.pace = Pace()

    @property
    def admitted(self) -> int:
        """Answers that are evaluated or wait for it."""
        return self._admitted

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place among those who wait, for as long as the context lasts.

        Raises
        ------
        RequestError
            All places are taken.
        """
        if self._admitted >= self._most:
            raise RequestError(
                "too many requests are waiting; try again later",
                "rate_limit_exceeded",
                status=429,
                retry_after=5,
            )
        self._admitted += 1
        try:
            yield
        finally:
            self._admitted -= 1

    async def answer(
        self, ids: Sequence[int], most: int, sampling: Sampling | None = None
    ) -> AsyncGenerator[int | None, None]:
        """The tokens of an answer as they come; None after each silence. Close it when done.

        Parameters
        ----------
        ids : sequence of int
            The prompt.
        most : int
            Tokens of the answer.
        sampling : Sampling, optional
            How it is drawn; greedily where not given.

        Raises
        ------
        RangeError
            A value left its range; before the first token, only after the time of a whole pass.
        RequestError
            It takes too long, or the server is ending.
        """
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[int | Exception | None] = asyncio.Queue()
        gone = threading.Event()
        deadline = time.monotonic() + self._timeout

        def tell(what: int | Exception | None) -> None:
            if not gone.is_set():
                loop.call_soon_threadsafe(queue.put_nowait, what)

        future = loop.run_in_executor(
            self._threads, self._evaluate, (ids, most, sampling), (gone, deadline), tell
        )
        try:
            while True:
                try:
                    async with asyncio.timeout(self._tick):
                        got = await queue.get()
                except TimeoutError:
                    yield None
                    continue
                if got is None:
                    return
                if isinstance(got, Exception):
                    raise got
                yield got
        finally:
            gone.set()
            future.cancel()

    def _evaluate(
        self,
        asked: tuple[Sequence[int], int, Sampling | None],
        limits: tuple[threading.Event, float],
        tell: _Tell,
    ) -> None:
        """In a thread: compute until done, gone or late."""
        (ids, most, sampling), (gone, deadline) = asked, limits
        started = time.monotonic()
        fault: Exception | None = None
        begun = False
        try:
            self._require_time(deadline)
            for token in self._model.answer(ids, most, sampling):
                if gone.is_set():
                    return
                if not begun:
                    self.pace.record(len(ids), time.monotonic() - started)
                begun = True
                tell(token)
                self._require_time(deadline)
        except RangeError as error:
            fault = error
            if not begun:
                gone.wait(self.pace.remaining(len(ids), time.monotonic() - started))
        except Exception as error:
            fault = error
        tell(fault)

    def _require_time(self, deadline: float) -> None:
        if self._stopping.is_set():
            raise RequestError("the server is ending", "server_ending", status=503, retry_after=30)
        if time.monotonic() > deadline:
            raise RequestError("the answer took too long", "timeout", status=503, retry_after=30)

    def stop(self) -> None:
        """End all evaluations before their next tokens."""
        self._stopping.set()
        self._threads.shutdown(wait=True, cancel_futures=True)


class _Tell(Protocol):
    def __call__(self, what: int | Exception | None) -> None: ...
