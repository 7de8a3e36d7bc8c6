"""Threads of this process: how many are worth having, and whether its caller is one of them."""

from __future__ import annotations

import os

__all__ = ["caller_computes", "cores", "let_caller_compute", "sensible_threads"]

_caller_computes = False


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def sensible_threads(threads: int) -> int:
    """So many, but no more than cores: threads that share one only wait for each other."""
    return min(threads, cores())


def let_caller_compute() -> None:
    """Make the thread that loads the first engine one of those that compute.

    Else it waits while as many others as there are cores work for it, and is woken after each
    kernel, thousands of times in a proof. For a process whose proofs are all made or checked by one
    thread, as a command's are; where several threads ask (a server), one that waits for a request
    would be missing among those that compute.
    """
    global _caller_computes
    _caller_computes = True


def caller_computes() -> bool:
    """Whether :func:`let_caller_compute` was called."""
    return _caller_computes
