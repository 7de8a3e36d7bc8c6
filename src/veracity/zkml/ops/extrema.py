"""Maxima and bounds.

* ``MaxPool``: ``max(m, x_u) = m + relu(x_u - m)`` for one entry of the window after the other; each
  ``(x_u - m, relu)`` stands in the table of relu, and the maximum is a sum of columns.
* ``Clamp``: ``y = x - p + n`` with ``p, n >= 0`` in limbs, ``low <= y <= high`` by a table of
  exactly these entries, ``p (high - y) = 0`` and ``n (y - low) = 0``.
* ``Top``: the public ``y`` has ``m = <e_y, x>``, and ``m - x_v - [v < y] >= 0`` for all ``v``.
"""

from __future__ import annotations

import numpy as np

from veracity.graph.ops import Clamp, MaxPool, Op, Top
from veracity.graph.ops.extrema import taps_of
from veracity.zkml.circuit.axis_maps import maps_of
from veracity.zkml.circuit.tables import between, function, unsigned
from veracity.zkml.circuit.tensor import Tensor
from veracity.zkml.ops import Context, Rule, letters
from veracity.zkml.ops.contract import settled

__all__ = ["RULES", "clamp", "max_pool", "top"]


def max_pool(context: Context, op: MaxPool) -> Tensor:
    """See the module text."""
    b, x = context.builder, context.value(op.x)
    taps = [x.view(*maps_of((t,), x.dims)) for t in taps_of(op, x.dims[op.axis])]
    largest = taps[0]
    for tap in taps[1:]:
        gap = tap - largest
        value = None if gap.value is None else np.maximum(gap.value, 0)
        gain = b.column("pool.gain", gap.dims, value)
        b.lookup(op.name, function("relu", 0, 0), gap, gain)
        largest = largest + gain
    return settled(context, largest)


def clamp(context: Context, op: Clamp) -> Tensor:
    """See the module text."""
    b, x = context.builder, context.value(op.x)
    above = below = None
    if x.value is not None:
        wide = x.value.astype(np.int64)
        above, below = np.maximum(wide - op.high, 0), np.maximum(op.low - wide, 0)
    count = -(-(op.x_bits + 1) // 16)
    p = b.limbs(op.name, "clamp.above", x.dims, above, count)
    n = b.limbs(op.name, "clamp.below", x.dims, below, count)
    y = x - p + n
    if y.value is not None:
        y = Tensor(y.dims, y.terms, y.value.astype(np.int64))
    b.lookup(op.name, between(op.low, op.high), y)
    letters = "abcdefgh"[: len(x.dims)]
    zero, spec = b.constant(0, x.dims), f"{letters},{letters}->{letters}"
    b.product(spec, p, y - op.high, zero)
    b.product(spec, n, y - op.low, zero)
    return settled(context, y)


def top(context: Context, op: Top) -> Tensor:
    """See the module text."""
    b, x = context.builder, context.value(op.x)
    rows, entries = x.dims[:-1], x.dims[-1]
    answer = context.answered(op, entries)
    value = None
    if x.value is not None:
        value = np.take_along_axis(x.value, answer[..., None], axis=-1)[..., 0]
    largest = b.column("top.value", rows, value, bounded=True)
    flat = tuple(answer.reshape(-1).tolist())
    ties = Tensor.below(flat, entries, b.proving)
    chosen = Tensor.chosen(flat, entries, b.proving)
    if len(rows) > 1:
        ties, chosen = ties.split(0, *rows), chosen.split(0, *rows)
    b.lookup(op.name, unsigned(16), largest.broadcast(len(rows), entries) - x - ties)
    axes = letters(x)
    b.zero(Tensor.product(f"{axes},{axes}->{axes[:-1]}", x, chosen) - largest)
    return largest


RULES: dict[type[Op], Rule] = {MaxPool: max_pool, Clamp: clamp, Top: top}
