"""The CPU engine: Rust kernels on all cores. Importing this needs the compiled module ``_cpu``."""

from __future__ import annotations

from veracity.engine import _cpu
from veracity.engine.api import Fss, Integers, Ring
from veracity.engine.cpu.field import CpuField
from veracity.engine.cpu.fss import CpuFss
from veracity.engine.cpu.group import CpuGroup
from veracity.engine.cpu.integers import CpuIntegers
from veracity.engine.cpu.ring import CpuRing
from veracity.threads import caller_computes, sensible_threads

__all__ = ["CpuEngine"]


class CpuEngine(CpuField, CpuGroup):
    """All operations in Rust; see :class:`engine.api.Engine`.

    Parameters
    ----------
    threads : int, optional
        How many threads to use, at most one a core; all cores where not given. The pool belongs to
        the process, so the first engine that is made decides; with
        :func:`veracity.threads.let_caller_compute`, the thread that makes it is one of them.
    """

    name = "cpu"

    def __init__(self, threads: int | None = None) -> None:
        asked = 0 if threads is None else sensible_threads(threads)
        self.threads = _cpu.use_threads(asked, caller_computes())
        self.ring: Ring = CpuRing()
        self.fss: Fss = CpuFss()
        self.integers: Integers = CpuIntegers()

    def keep_memory(self, limit: int, tree: int = 0) -> None:
        """See :meth:`engine.api.Engine.keep_memory`."""
        _cpu.keep_memory(limit, tree)

    def release_memory(self) -> None:
        """See :meth:`engine.api.Engine.release_memory`."""
        _cpu.release_memory()
