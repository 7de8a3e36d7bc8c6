"""Work begun beside the caller's own: compiled kernels leave the interpreter to others.

`concurrent.futures` has executors for this; importing one takes a command that verifies a small
proof a tenth of its time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Generic, TypeVar

__all__ = ["BackgroundCall"]

Result = TypeVar("Result")


class BackgroundCall(Generic[Result]):
    """A call that runs in a thread of its own; left when it has ended, whatever happens.

    Parameters
    ----------
    work : callable
        What to do; it shares nothing that anybody changes meanwhile.
    """

    def __init__(self, work: Callable[[], Result]) -> None:
        self._work = work
        self._found: list[Result] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="background")
        self._thread.start()

    def _run(self) -> None:
        try:
            self._found.append(self._work())
        except BaseException as error:  # raised where the result is asked for
            self._error = error

    def result(self) -> Result:
        """What the call gives; raises what it raised."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._found[0]

    def __enter__(self) -> BackgroundCall[Result]:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._thread.join()
