"""Field, group, ring, function secret sharing and integer products, on several backends.

:func:`load_engine` gives an :class:`engine.api.Engine`; nothing else here is needed to use one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from veracity.engine.api import BASE, ORDER, POINT_BYTES, SCALAR_BYTES, Engine, Ints, Points, Vec
from veracity.errors import BackendUnavailable, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "BACKENDS",
    "BASE",
    "ORDER",
    "POINT_BYTES",
    "SCALAR_BYTES",
    "Engine",
    "Ints",
    "Points",
    "Vec",
    "load_engine",
]


def _load_reference(threads: int | None) -> Engine:
    from veracity.engine.reference import ReferenceEngine

    return ReferenceEngine(threads)


def _load_cpu(threads: int | None) -> Engine:
    try:
        from veracity.engine.cpu import CpuEngine
    except ImportError as error:
        # Never another backend instead: who asks for speed is told that there is none.
        raise BackendUnavailable(
            f"the cpu engine is not built ({error}); run `make env`, or "
            "choose the slow one, --backend reference"
        ) from error
    return CpuEngine(threads)


_BACKENDS: dict[str, Callable[[int | None], Engine]] = {
    "cpu": _load_cpu,
    "reference": _load_reference,
}


#: Names that :func:`load_engine` takes.
BACKENDS = tuple(_BACKENDS)


def load_engine(name: str = "cpu", threads: int | None = None) -> Engine:
    """The backend called ``name``.

    Parameters
    ----------
    name : str
        ``"cpu"`` (compiled kernels) or ``"reference"`` (Python integers: slow; runs everywhere).
    threads : int, optional
        How many threads a backend may use, at most one a core; all of the machine's cores where not
        given.

    Raises
    ------
    BackendUnavailable
        Where the extension module of the backend is missing.
    UsageError
        For a name or a number of threads that means nothing.
    """
    if name not in _BACKENDS:
        raise UsageError(f"no engine is called {name!r}; choose from {', '.join(BACKENDS)}")
    if threads is not None and threads < 1:
        raise UsageError(f"{threads} threads cannot compute; give at least one")
    return _BACKENDS[name](threads)
