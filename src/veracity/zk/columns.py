"""Committed arrays ("columns"): layout as Hyrax matrices and their row commitments.

A column is an array of small integers with dims ``(d_0, ..., d_m)``. Its variables are split: the
low ``log C`` of them index the entries of a row of the commitment key, the others index rows. A
row is committed as ``sum_j x_j G_j + blind * H``. Rows without any present entry are not sent.
Padding inside a row is *not* assumed to be zero: every claim about a column weighs present
entries only (see :mod:`veracity.zk.reduction`), so nothing can be smuggled in through it.

Reference: Hyrax (eprint 2017/1132), section 6.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np
from numpy.typing import NDArray

from veracity.engine.api import Engine, Ints, Points, Vec
from veracity.zk.keys import CommitmentKey
from veracity.zk.mle import axis_bits, axis_points, kron, variables

__all__ = ["ColumnData", "ColumnShape", "commit_column"]


@dataclass(frozen=True)
class ColumnShape:
    """Shape of a committed array.

    Attributes
    ----------
    name : str
        Unique name within the statement.
    dims : tuple of int
        Dims in storage order, slowest first.
    """

    name: str
    dims: tuple[int, ...]

    @property
    def variables(self) -> int:
        """Number of variables of the column's polynomial."""
        return variables(self.dims)

    def layout(self, log_columns: int) -> RowLayout:
        """How the column is cut into rows of ``2**log_columns`` entries."""
        return RowLayout(self.dims, log_columns)


@dataclass(frozen=True)
class RowLayout:
    """The split of a column's variables into row and entry variables."""

    dims: tuple[int, ...]
    log_columns: int

    @cached_property
    def _split(self) -> tuple[int, int, int]:
        """(axis that is split, its low bits that index entries, bits of faster axes)."""
        used = 0
        for axis in range(len(self.dims) - 1, -1, -1):
            width = axis_bits(self.dims[axis])
            if used + width > self.log_columns or axis == 0:
                return axis, min(width, self.log_columns - used), used
            used += width
        return 0, 0, 0

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
        """The column as a (rows, width) matrix; copies only where the split axis is ragged."""
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

    def row_weights(self, engine: Engine, point: Sequence[int]) -> Vec:
        """``eq(point, row)`` for every row; ``point`` has all the column's variables."""
        axis, low, _ = self._split
        points = axis_points(point, self.dims)
        vectors = [engine.eq(p, d) for p, d in zip(points[:axis], self.dims, strict=False)]
        vectors.append(engine.eq(points[axis][low:], self.row_dims[-1]))
        return kron(engine, vectors)


@dataclass(frozen=True)
class ColumnData:
    """The prover's side of a column.

    Attributes
    ----------
    shape : ColumnShape
        Name and dims.
    values : Ints
        The array (may be memory-mapped).
    blinds : Vec
        One blind per row; secret.
    """

    shape: ColumnShape
    values: Ints
    blinds: Vec


def commit_column(
    engine: Engine, key: CommitmentKey, shape: ColumnShape, values: Ints, blinds: Vec
) -> Points:
    """Row commitments of a column.

    Parameters
    ----------
    values : Ints
        Array with ``shape.dims``.
    blinds : Vec
        One per row, from :meth:`Engine.random`.
    """
    layout = shape.layout(key.log_columns)
    rows = engine.commit_rows(layout.matrix(values), layout.index, key.columns)
    return engine.add_points(rows, engine.scale_points(key.blinder, blinds))
