"""How long work tells that it advances: a function of the phase and the share of it done."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["PHASES", "Progress", "silent"]

#: ``progress(phase, share)`` with ``share`` from 0 to 1 within that phase.
Progress = Callable[[str, float], None]

#: Phases of a proof in their order, each with its share of the whole time, as measured with
#: stories260K (32 tokens) and gpt2-124m (16 tokens).
PHASES: dict[str, float] = {
    "load": 0.04,
    "evaluate": 0.22,
    "commit": 0.21,
    "lookups": 0.33,
    "products": 0.15,
    "opening": 0.05,
}


def silent(phase: str, share: float) -> None:
    """Report nothing."""
