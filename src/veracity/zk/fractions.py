"""Where the blocks of a lookup argument lie in one padded cube, and their variables.

A block with ``n`` variables takes ``2^n`` positions of the cube, at an offset that is a multiple of
``2^n`` (blocks are sorted by size). Inside a block every axis is halved on its own, the first axis
first: the lower half of ``d`` entries are the first ``ceil(d / 2)``. So a point's first coordinates
belong to the first axis, and its eq table is :meth:`veracity.engine.api.Engine.eq_halved`. Which
position an entry has decides nothing but where in memory the two halves are: each is one run.
"""

from __future__ import annotations

from collections.abc import Sequence

from veracity.engine.api import Engine, Vec
from veracity.records import record
from veracity.zk.mle import axis_bits, variables

__all__ = ["Placement", "axis_tables", "place"]


@record
class Placement:
    """Where the leaves of each block lie.

    Attributes
    ----------
    order : tuple of int
        Indices of the blocks, largest first.
    offsets : tuple of int
        Offset of each block (in the caller's order of blocks).
    variables : int
        Variables of the whole cube.
    """

    order: tuple[int, ...]
    offsets: tuple[int, ...]
    variables: int


def place(dims: Sequence[tuple[int, ...]]) -> Placement:
    """Aligned offsets for blocks with these dims: sorted by padded size, without gaps."""
    sizes = [variables(d) for d in dims]
    order = tuple(sorted(range(len(dims)), key=lambda i: (-sizes[i], i)))
    offsets = [0] * len(dims)
    at = 0
    for i in order:
        offsets[i] = at
        at += 1 << sizes[i]
    return Placement(order, tuple(offsets), max(0, (at - 1).bit_length()))


def axis_tables(
    engine: Engine,
    point: Sequence[int],
    dims: Sequence[int],
    known: dict[tuple[int, int], Vec] | None = None,
) -> list[Vec]:
    """The eq table of each axis of a block, whose product are the weights of its entries.

    Parameters
    ----------
    engine : Engine
        Backend.
    point : sequence of int
        Coordinates of the cube; the block's own are the first ``variables(dims)``.
    dims : sequence of int
        Dims of the block.
    known : dict, optional
        Tables of this point by their first coordinate and length; blocks share most of them.
    """
    known = {} if known is None else known
    out = []
    at = 0
    for dim in dims:
        width = axis_bits(dim)
        if (at, dim) not in known:
            known[at, dim] = engine.eq_halved(point[at : at + width], dim)
        out.append(known[at, dim])
        at += width
    return out
