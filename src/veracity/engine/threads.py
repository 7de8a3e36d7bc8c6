"""How many threads are worth having: one for each core that a process may use."""

from __future__ import annotations

import os

__all__ = ["cores", "sensible_threads"]


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def sensible_threads(threads: int) -> int:
    """So many, but no more than cores: threads that share one only wait for each other."""
    return min(threads, cores())
