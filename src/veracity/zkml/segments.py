"""Cutting a program into segments that are proved one after the other, to hold less in memory.

A cut lies between two ops where exactly one value that has been computed is still needed: the
residual stream between two halves of a layer. The segment that computes it commits to it; the next
one reads the same commitment. Any cut proves the same statement, so the prover may choose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from veracity.errors import UsageError
from veracity.graph import Program
from veracity.graph.ops import Rope

__all__ = ["Segment", "cut_places", "segments_of"]


@dataclass(frozen=True)
class Segment:
    """Ops ``start .. stop-1``.

    Attributes
    ----------
    reads, writes : str or None
        The value that the segment receives from the one before, and hands to the one after.
    """

    start: int
    stop: int
    reads: str | None = None
    writes: str | None = None


def cut_places(program: Program) -> dict[int, str]:
    """Where a program may be cut: the value that crosses, by the index of the op that follows.

    Every value crosses in one place at most, also where ops follow whose result nobody reads.
    """
    last = {name: i for i, op in enumerate(program.ops) for name in op.inputs()}
    rotated = {op.x for op in program.ops if isinstance(op, Rope)}
    found: dict[int, str] = {}
    live: set[str] = set()
    closed = set(rotated)  # what does not cross, or has crossed
    for i, op in enumerate(program.ops):
        if len(live) == 1 and not live & closed:
            (found[i],) = live
            closed |= live
        if op.name in last:
            live.add(op.name)
        live -= {name for name in op.inputs() if last[name] == i}
    return found


def segments_of(program: Program, stops: Sequence[int]) -> tuple[Segment, ...]:
    """The segments between cuts.

    Parameters
    ----------
    stops : sequence of int
        Indices of the ops before which the program is cut, rising; none for one segment.

    Raises
    ------
    UsageError
        Where a program cannot be cut there.
    """
    places = cut_places(program)
    if any(s not in places for s in stops) or list(stops) != sorted(set(stops)):
        raise UsageError("the program cannot be cut at these ops")
    edges = [0, *stops, len(program.ops)]
    return tuple(Segment(a, b, places.get(a), places.get(b)) for a, b in pairwise(edges))
