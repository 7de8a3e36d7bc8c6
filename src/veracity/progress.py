"""How long work tells that it advances: a function of the phase and the share of it done."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["PHASES", "Progress", "silent"]

#: ``progress(phase, share)`` with ``share`` from 0 to 1 within that phase.
Progress = Callable[[str, float], None]

#: Phases of a proof in their order, each with its usual share of the whole time.
PHASES: dict[str, float] = {
    "load": 0.02,
    "evaluate": 0.38,
    "commit": 0.28,
    "lookups": 0.18,
    "products": 0.10,
    "opening": 0.04,
}


def silent(phase: str, share: float) -> None:
    """Report nothing."""
