"""Other dims for the same entries, without moving them where that is possible."""

from __future__ import annotations

from math import prod

from veracity.errors import UsageError
from veracity.graph.wires import Step

__all__ = ["reshape_steps"]

Dims = tuple[int, ...]


def reshape_steps(old: Dims, new: Dims) -> list[Step] | None:
    """Steps from dims to others where splits and axes of length 1 suffice."""
    if prod(old) != prod(new):
        raise UsageError(f"dims {old} cannot be reshaped to {new}")
    steps = [Step("sum", axis) for axis in reversed(range(len(old))) if old[axis] == 1]
    longer = [d for d in old if d != 1]
    wanted = [d for d in new if d != 1]
    if not longer:
        steps = steps[: len(old)]
    at, axis = 0, 0
    for n in longer:
        sizes: list[int] = []
        while prod(sizes) < n and at < len(wanted):
            sizes.append(wanted[at])
            at += 1
        if prod(sizes) != n:
            return None
        if len(sizes) > 1:
            steps.append(Step("split", axis, tuple(sizes)))
        axis += len(sizes)
    return [*steps, *[Step("repeat", axis, (1,)) for axis, d in enumerate(new) if d == 1]]
