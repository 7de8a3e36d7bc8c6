"""Committed arrays: layout as Hyrax matrices, and their row commitments.

A committed array holds small integers with dims ``(d_0, ..., d_m)`` in *storage order*. Its
variables are split: the low ones index the entries of a row, the others index rows. A row is
committed as ``sum_j x_j G_j + blind * H`` over the first ``2^row_bits`` generators, so arrays with
rows of different lengths share one key. Rows without any present entry are not sent.

In a statement whose key has ``2^c`` generators an array with ``e < c`` entry variables is placed
at the corner 0 of ``c - e`` further ones, the *gap*::

    point:   r_0 .. r_(e-1)  |  r_e .. r_(c-1)  |  r_c ..
             entries of a row   the gap            rows

Claims about it carry the factor ``prod_gap (1 - r_j)``, so that a component which a dishonest
committer puts behind the first ``2^e`` entries of a row meets the weight zero, wherever the row
goes (:mod:`veracity.zk.reduction`). Padding *inside* the first ``2^e`` entries is not assumed to
be zero either: every claim weighs present entries only.

Reference: Hyrax (eprint 2017/1132), section 6.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, lru_cache
from math import prod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from veracity.engine.api import ORDER, Engine, Ints, Points, Vec
from veracity.records import record
from veracity.zk.keys import CommitmentKey
from veracity.zk.mle import axis_bits, axis_points, kron, variables

__all__ = [
    "ArrayId",
    "ArrayShape",
    "CommittedArray",
    "RowLayout",
    "commit_array",
    "count_rows",
]


class ArrayId(NamedTuple):
    """The name of a committed array within a statement.

    A tuple, since names are looked up far more often than they are made: it hashes natively.

    Attributes
    ----------
    kind : str
        The family: ``weight``, ``witness``, ``boundary``, ``multiplicity``, ``port``.
    name : str
        Name within the family.
    dims : tuple of int
        Dims where arrays of one name are told apart by them; else empty.
    """

    kind: str
    name: str
    dims: tuple[int, ...] = ()

    def __str__(self) -> str:
        """For transcripts and messages."""
        return f"{self.kind} {self.name}" + "".join(f"[{d}]" for d in self.dims)


@record
class ArrayShape:
    """Shape of a committed array.

    Attributes
    ----------
    id : ArrayId
        Unique within the statement.
    dims : tuple of int
        Dims in storage order, slowest first.
    row_bits : int or None
        Logarithm of the length of its rows; None for that of the statement's key.
    """

    id: ArrayId
    dims: tuple[int, ...]
    row_bits: int | None = None

    def layout(self, key_bits: int) -> RowLayout:
        """How it is cut into rows beside a key of ``2^key_bits`` generators."""
        row_bits = key_bits if self.row_bits is None else self.row_bits
        if row_bits > key_bits:
            raise ValueError(f"rows of {self.id} are longer than the key")
        return _layout(self.dims, row_bits, key_bits)


def _split(dims: Sequence[int], row_bits: int) -> tuple[int, int, int]:
    used = 0
    for axis in range(len(dims) - 1, -1, -1):
        width = axis_bits(dims[axis])
        if used + width > row_bits or axis == 0:
            return axis, min(width, row_bits - used), used
        used += width
    return 0, 0, 0


def count_rows(dims: Sequence[int], row_bits: int) -> int:
    """Rows of an array with these dims, slowest first; cheaper than its layout.

    Parameters
    ----------
    dims : sequence of int
        Dims in storage order.
    row_bits : int
        Logarithm of the row length.
    """
    axis, low, _ = _split(dims, row_bits)
    return prod(dims[:axis]) * -(-dims[axis] // (1 << low))


@record
class RowLayout:
    """The split of an array's variables into entries, gap and rows.

    Attributes
    ----------
    dims : tuple of int
        Dims in storage order.
    row_bits, key_bits : int
        Logarithms of its own row length and of the number of generators, at least as large.
    """

    dims: tuple[int, ...]
    row_bits: int
    key_bits: int

    @cached_property
    def _split(self) -> tuple[int, int, int]:
        """(axis that is split, its low bits that index entries, bits of faster axes)."""
        return _split(self.dims, self.row_bits)

    @cached_property
    def entry_bits(self) -> int:
        """Number of variables that index the entries of a row."""
        return min(self.row_bits, variables(self.dims))

    @cached_property
    def gap(self) -> range:
        """Coordinates of a statement's point that are not the array's own."""
        return range(self.entry_bits, self.key_bits)

    @cached_property
    def variables(self) -> int:
        """Number of variables in a statement: entries, gap and rows."""
        return len(self.gap) + variables(self.dims)

    def coordinates(self, point: Sequence[int]) -> list[int]:
        """The coordinates of the array's own variables: a point without its gap."""
        gap = self.gap
        return [*point[: gap.start], *point[gap.stop : self.variables]]

    def gap_factor(self, point: Sequence[int]) -> int:
        """``prod (1 - r_j)`` over the gap."""
        out = 1
        for r in point[self.entry_bits : self.key_bits]:
            out = out * (1 - r) % ORDER
        return out

    @property
    def block(self) -> int:
        """Entries of the split axis that share a row."""
        return int(min(self.dims[self._split[0]], 1 << self._split[1]))

    @property
    def row_dims(self) -> tuple[int, ...]:
        """Dims of the array of rows."""
        axis, low, _ = self._split
        return (*self.dims[:axis], -(-self.dims[axis] // (1 << low)))

    @property
    def rows(self) -> int:
        """Number of row commitments."""
        return prod(self.row_dims)

    @property
    def width(self) -> int:
        """Present entries of a full row."""
        return self.block * prod(self.dims[self._split[0] + 1 :])

    @property
    def row_shape(self) -> tuple[int, ...]:
        """What :attr:`index` depends on: the entries of a row along each of its axes."""
        return (self.block, *self.dims[self._split[0] + 1 :])

    @cached_property
    def index(self) -> NDArray[np.int64]:
        """Generator index of each of the ``width`` entries of a row."""
        axis = self._split[0]
        out = np.arange(self.block, dtype=np.int64)
        for dim in self.dims[axis + 1 :]:
            out = (out[:, None] << axis_bits(dim)) + np.arange(dim, dtype=np.int64)[None, :]
            out = out.reshape(-1)
        return out

    def matrix(self, values: Ints) -> Ints:
        """The array as a (rows, width) matrix; a copy unless it lies so in memory."""
        axis, low, _ = self._split
        rest = prod(self.dims[axis + 1 :])
        groups = -(-self.dims[axis] // (1 << low))
        full = groups * self.block
        array = values.reshape(prod(self.dims[:axis]), self.dims[axis], rest)
        if full != self.dims[axis]:
            padded = np.zeros((array.shape[0], full, rest), dtype=array.dtype)
            padded[:, : self.dims[axis]] = array
            array = padded
        return np.ascontiguousarray(array.reshape(self.rows, self.width))

    @property
    def split_axis(self) -> int:
        """The axis of which some variables index the entries of a row, the others rows."""
        return self._split[0]

    def lies_across(self, values: Ints) -> bool:
        """Whether an array that has axes before the split one does not lie in storage order."""
        return self.split_axis > 0 and not values.flags.c_contiguous

    def row_weights(self, engine: Engine, point: Sequence[int]) -> Vec:
        """``eq(point, row)`` for every row; ``point`` has all coordinates of the statement."""
        leading, split = self.axis_weights(engine, point)
        return engine.outer(leading, split) if self.split_axis else split

    def axis_weights(self, engine: Engine, point: Sequence[int]) -> tuple[Vec, Vec]:
        """Factors of :meth:`row_weights`: over the axes before the split one, and along that."""
        points = axis_points(self.coordinates(point), self.dims)
        axis, low, _ = self._split
        leading = [engine.eq(p, d) for p, d in zip(points[:axis], self.dims, strict=False)]
        return kron(engine, leading), engine.eq(points[axis][low:], self.row_dims[-1])


@lru_cache(maxsize=4096)
def _layout(dims: tuple[int, ...], row_bits: int, key_bits: int) -> RowLayout:
    """One layout for all arrays that are cut alike: what it works out is worked out once."""
    return RowLayout(dims, row_bits, key_bits)


@record
class CommittedArray:
    """The prover's side of a committed array.

    Attributes
    ----------
    shape : ArrayShape
        Name and dims.
    values : Ints
        The integers with these dims: in storage order, whatever their order in memory is (a
        transposed view of a memory-mapped weight, say).
    blinds : Vec
        One blind per row; secret.
    """

    shape: ArrayShape
    values: Ints
    blinds: Vec


def commit_array(
    engine: Engine, key: CommitmentKey, shape: ArrayShape, values: Ints, blinds: Vec
) -> Points:
    """Row commitments of an array.

    Parameters
    ----------
    engine : Engine
        Backend.
    key : CommitmentKey
        Generators; at least as many as a row has entries.
    shape : ArrayShape
        Name, dims, row length.
    values : Ints
        Array with ``shape.dims``.
    blinds : Vec
        One per row, uniform and used for nothing else.
    """
    layout = shape.layout(key.log_columns)
    rows = engine.commit_rows(layout.matrix(values), layout.index, key.columns)
    return engine.add_points(rows, engine.scale_points(key.blinder, blinds))
