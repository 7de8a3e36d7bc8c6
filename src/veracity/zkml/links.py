"""The links of a chain: stretches of a program, joined by committed tensors.

A program may be cut between any two of its ops. Every value that one stretch computes and a later
one reads is committed once, by the link that computes it; every link that reads it receives that
same commitment. Any cuts prove the same statement, so the prover may choose.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import pairwise

from veracity.errors import UsageError
from veracity.graph import Program
from veracity.records import record

__all__ = ["Link", "crossings", "cut_places", "links_of"]


@record
class Link:
    """Ops ``start .. stop-1``.

    Attributes
    ----------
    index : int
        Position in the chain.
    start, stop : int
        Range of ops.
    receives, hands : tuple of str
        Values that it reads from links before, and commits to for links after (or for the
        statement, where an output is committed).
    """

    index: int
    start: int
    stop: int
    receives: tuple[str, ...] = ()
    hands: tuple[str, ...] = ()


def crossings(program: Program) -> list[int]:
    """How many values cross each cut: entry ``i`` for a cut before op ``i``."""
    last = program.last_reader
    change = [0] * (len(program.ops) + 1)
    for i, op in enumerate(program.ops):
        if op.name in last:  # crosses the cuts i + 1 .. last
            change[i + 1] += 1
            change[last[op.name] + 1] -= 1
    out, live = [], 0
    for step in change[:-1]:
        live += step
        out.append(live)
    return out


def cut_places(program: Program) -> list[int]:
    """Where a cut costs least: ops before which at most one value is still needed."""
    return [i for i, count in enumerate(crossings(program)) if i and count <= 1]


def links_of(
    program: Program, cuts: Sequence[int], committed: Collection[str] = ()
) -> tuple[Link, ...]:
    """The links between cuts.

    Parameters
    ----------
    program : Program
        What is cut.
    cuts : sequence of int
        Indices of the ops before which it is cut, rising; none for one link.
    committed : collection of str
        Values that the statement names as committed outputs.

    Raises
    ------
    UsageError
        Where the cuts are no rising sequence of ops.
    """
    count = len(program.ops)
    if list(cuts) != sorted(set(cuts)) or any(not 0 < c < count for c in cuts):
        raise UsageError("the program cannot be cut at these ops")
    last = program.last_reader
    made = {op.name: i for i, op in enumerate(program.ops)}
    out = []
    for index, (start, stop) in enumerate(pairwise([0, *cuts, count])):
        ops = program.ops[start:stop]
        read = {n for op in ops for n in op.inputs() if made.get(n, start) < start}
        hands = [op.name for op in ops if last.get(op.name, 0) >= stop or op.name in committed]
        out.append(
            Link(index, start, stop, tuple(sorted(read, key=made.__getitem__)), tuple(hands))
        )
    return tuple(out)
