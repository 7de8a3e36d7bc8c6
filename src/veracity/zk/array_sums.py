"""Sums over axes of committed arrays, and of their rows: each array is read once, as it lies.

Arrays that are alike are summed in one contraction, however many there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from math import prod

import numpy as np

from veracity.engine.api import Engine, Ints, Vec
from veracity.zk.committed import RowLayout

__all__ = ["KnownSums", "Side", "combine_rows", "sum_axes"]


class Side(Enum):
    """Which axes of an array are summed over: those before a split, or those from it on."""

    OUTER = "outer"
    INNER = "inner"


def sum_axes(engine: Engine, arrays: Sequence[Ints], split: int, weights: Vec, side: Side) -> Vec:
    """``sum_k sum_i weights_k[i] arrays[k]`` over the axes of one side, flattened.

    Each array is read as it lies in memory.

    Parameters
    ----------
    engine : Engine
        Backend.
    arrays : sequence of Ints
        Of one shape.
    split : int
        The first inner axis.
    weights : Vec
        For each array a field element for each index of the axes that are summed over.
    side : Side
        Which axes these are.
    """
    shape = arrays[0].shape
    outer, inner = prod(shape[:split]), prod(shape[split:])
    summed, left = (outer, inner) if side is Side.OUTER else (inner, outer)
    each = len(weights) // len(arrays)
    found: dict[tuple[int, int, int], list[tuple[Ints, Vec]]] = {}
    for k, values in enumerate(arrays):
        lying = _turned(values, split)
        # What is summed over lies slowest, unless one of both is the other way round.
        slowest = (side is Side.OUTER) is (lying is None)
        form = (1, summed, left) if slowest else (left, summed, 1)
        whole = np.ascontiguousarray(values) if lying is None else lying
        own = weights[k * each : (k + 1) * each]
        found.setdefault(form, []).append((whole.reshape(form), own))
    if len(found) == 1:
        (parts,) = found.values()
        return engine.contract_sum([values for values, _ in parts], weights)
    sums = [
        engine.contract_sum([values for values, _ in parts], engine.concat([v for _, v in parts]))
        for parts in found.values()
    ]
    return engine.lincomb(sums, [1] * len(sums))


class KnownSums:
    """Sums over the first axis of matrices, by what was summed: who needs one again need not read.

    A model's weights are bound as operands of products by the vectors that claims about them weigh
    their rows with.
    """

    def __init__(self) -> None:
        # Beside each sum what it is of, so that no other array or vector takes its place in memory.
        self._found: dict[tuple[object, ...], tuple[Ints, Vec, Vec]] = {}

    def keep(self, values: Ints, weights: Vec, found: Vec) -> None:
        """Remember ``sum_o weights[o] values[o, :]``.

        Parameters
        ----------
        values : Ints
            A matrix that is not changed.
        weights : Vec
            One for each of its rows.
        found : Vec
            The sum.
        """
        self._found[self._key(values, weights)] = values, weights, found

    def find(self, values: Ints, weights: Vec) -> Vec | None:
        """What is remembered of the same integers, in the same order, and the same vector."""
        known = self._found.get(self._key(values, weights))
        return None if known is None else known[2]

    @staticmethod
    def _key(values: Ints, weights: Vec) -> tuple[object, ...]:
        start = values.__array_interface__["data"][0]
        return start, values.dtype, values.shape, values.strides, id(weights)


def combine_rows(
    engine: Engine, arrays: Sequence[tuple[RowLayout, Ints, int]], point: Sequence[int]
) -> list[tuple[RowLayout, Vec]]:
    """``sum_k scale_k sum_row eq(point, row) row`` over arrays, for each shape of their rows.

    Reads every array once, as it lies. Each sum is (width,) and comes with a layout of its rows.

    Parameters
    ----------
    engine : Engine
        Backend.
    arrays : sequence of (RowLayout, Ints, int)
        Layout, values in storage order, and a field element.
    point : sequence of int
        All coordinates of the statement.
    """
    sums: dict[tuple[int, ...], tuple[RowLayout, list[Vec]]] = {}
    alike: dict[tuple[object, ...], _Rows] = {}
    weights: dict[RowLayout, Vec] = {}
    for layout, values, scale in arrays:
        if layout not in weights:
            weights[layout] = layout.row_weights(engine, point)
        if layout.lies_across(values):
            row = _row_across(engine, layout, values, point, scale)
            sums.setdefault(layout.row_shape, (layout, []))[1].append(row)
            continue
        lying, last = _rows_as_they_lie(layout, values)
        outer, _, inner = lying.shape
        rows = alike.setdefault((layout.row_shape, outer, inner, last), _Rows(layout, last))
        rows.add(
            lying, engine.scale(weights[layout], scale), not np.may_share_memory(lying, values)
        )
        if rows.copied > _COPIED:
            sums.setdefault(layout.row_shape, (layout, []))[1].append(rows.take(engine))
    for rows in alike.values():
        if rows.arrays:
            layout = rows.layout
            sums.setdefault(layout.row_shape, (layout, []))[1].append(rows.take(engine))
    return [
        (layout, engine.lincomb(found, [1] * len(found)) if len(found) > 1 else found[0])
        for layout, found in sums.values()
    ]


#: Bytes of copies that wait to be summed.
_COPIED = 16 << 20


@dataclass
class _Rows:
    """Arrays whose rows are summed together, each with what weighs its rows."""

    layout: RowLayout
    last: bool
    arrays: list[Ints] = field(default_factory=list)
    weights: list[Vec] = field(default_factory=list)
    copied: int = 0

    def add(self, array: Ints, weights: Vec, copy: bool) -> None:
        """One more array."""
        self.arrays.append(array)
        self.weights.append(weights)
        self.copied += array.nbytes if copy else 0

    def take(self, engine: Engine) -> Vec:
        """The weighed sum of all rows; nothing is left."""
        row = engine.contract_sum(self.arrays, engine.concat(self.weights))
        self.arrays, self.weights, self.copied = [], [], 0
        if not self.last:
            return row
        order = np.arange(len(row), dtype=np.int64).reshape(-1, self.layout.block)
        return engine.gather(row, np.ascontiguousarray(order.T).reshape(-1))


def _rows_as_they_lie(layout: RowLayout, values: Ints) -> tuple[Ints, bool]:
    """(outer, rows, inner), and whether the entries of the split axis come last in a row."""
    if layout.split_axis == 0 and not values.flags.c_contiguous:
        turned = np.moveaxis(values, 0, -1)
        if layout.dims[0] % layout.block == 0 and turned.flags.c_contiguous:
            return turned.reshape(prod(layout.dims[1:]), layout.rows, layout.block), True
    return layout.matrix(values)[None, :, :], False


def _row_across(
    engine: Engine, layout: RowLayout, values: Ints, point: Sequence[int], scale: int
) -> Vec:
    """The sum of rows of an array whose leading axes do not lie in front."""
    leading, split = layout.axis_weights(engine, point)
    head = sum_axes(engine, [values], layout.split_axis, leading, Side.OUTER)
    groups = engine.to_ints(engine.scale(split, scale))
    size = layout.width
    return engine.lincomb([head[i * size : (i + 1) * size] for i in range(len(groups))], groups)


def _turned(values: Ints, split: int) -> Ints | None:
    """Values with the axes from ``split`` on in front, if that is how they lie in memory."""
    if values.flags.c_contiguous:
        return None
    axes = range(values.ndim)
    turned = values.transpose(*axes[split:], *axes[:split])
    return turned if turned.flags.c_contiguous else None
