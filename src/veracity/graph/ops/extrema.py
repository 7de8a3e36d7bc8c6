"""Maxima and bounds: pooling along an axis, clamps of wide values, the place of a maximum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np

from veracity.errors import UsageError
from veracity.graph.axes import Step, axis_index
from veracity.graph.ops.base import (
    Array,
    Facts,
    Op,
    OpRule,
    Run,
    in_range,
    require,
    unchanged,
    within,
)
from veracity.graph.port import Dims
from veracity.graph.wires import apply_wire
from veracity.records import record

__all__ = ["RULES", "Clamp", "MaxPool", "Top", "taps_of"]

#: Most entries of a window: a proof has a lookup for each but the first.
MAX_WINDOW = 64


@record(kw_only=True)
class MaxPool(Op):
    """The maximum over a window that moves along one axis; what lies outside is left out.

    Entries of a window differ by less than 2^15. Two of them in a row pool over a picture.
    """

    x: str
    axis: int
    size: int
    stride: int
    dilation: int
    low: int
    high: int


@record(kw_only=True)
class Clamp(Op):
    """``min(max(x, low), high)`` for ``|x| < 2^x_bits``."""

    x: str
    low: int
    high: int
    x_bits: int


@record(kw_only=True)
class Top(Op):
    """Arg max over the last of two or more axes; ties go to the lowest index."""

    x: str


@lru_cache(maxsize=256)
def taps_of(op: MaxPool, n: int) -> tuple[Step, ...]:
    """One pick per entry of the window; an absent entry repeats a present one of the same window.

    Raises
    ------
    UsageError
        Where a window has no present entry.
    """
    numbers = (op.size, op.stride, op.dilation, op.low, op.high)
    index = axis_index(Step("window", op.axis, numbers), n)
    present = index >= 0
    if not present.any(axis=1).all():
        raise UsageError(f"{op.name}: a window lies outside")
    first = index[np.arange(len(index)), present.argmax(axis=1)]
    index = np.where(present, index, first[:, None])
    return tuple(Step("pick", op.axis, tuple(column)) for column in index.T.tolist())


def _pool_wiring(op: MaxPool, _facts: Facts, dims: Sequence[Dims]) -> int:
    """Entries of all taps; eight times, since they are no arrays."""
    n = dims[0][op.axis] if 0 <= op.axis < len(dims[0]) else 0
    length = (n if isinstance(n, int) else 0) + op.low + op.high
    return 8 * max(0, op.size) * max(0, length) // max(1, op.stride)


def _pool_shape(op: MaxPool, _facts: Facts, dims: Sequence[Dims]) -> Dims:
    x = dims[0]
    require(0 <= op.axis < len(x), op, "no such axis")
    require(1 <= op.size <= MAX_WINDOW, op, f"a window has 1 to {MAX_WINDOW} entries")
    n = x[op.axis]
    if not isinstance(n, int):
        raise UsageError(f"{op.name}: pools along an axis whose length is not known")
    return (*x[: op.axis], len(taps_of(op, n)[0].numbers), *x[op.axis + 1 :])


def _pool_magnitude(
    _op: MaxPool, _facts: Facts, bounds: Sequence[int], _dims: Sequence[Dims]
) -> tuple[int, int]:
    return bounds[0], 2 * bounds[0]


def _pool(op: MaxPool, _run: Run, operands: Sequence[Array]) -> tuple[Array, dict[str, Array]]:
    first, *others = [
        apply_wire((t,), operands[0]) for t in taps_of(op, operands[0].shape[op.axis])
    ]
    for tap in others:
        first = first + np.maximum(in_range(op, tap - first, 16), 0)
    return first, {}


def _pool_over(op: MaxPool, _samples: int) -> Op:
    return replace(op, axis=op.axis + 1)


def _clamp_shape(op: Clamp, _facts: Facts, dims: Sequence[Dims]) -> Dims:
    require(op.low < op.high < op.low + (1 << 16), op, "bounds of a clamp lie too far apart")
    require(max(-op.low, op.high) < 1 << op.x_bits, op, "a bound beyond the values")
    return dims[0]


def _clamp_magnitude(
    op: Clamp, _facts: Facts, bounds: Sequence[int], _dims: Sequence[Dims]
) -> tuple[int, int]:
    most = max(abs(op.low), abs(op.high))
    return most, bounds[0] + most


def _clamp(op: Clamp, _run: Run, operands: Sequence[Array]) -> tuple[Array, dict[str, Array]]:
    x = within(op, operands[0], 1 << op.x_bits)
    return np.clip(x, op.low, op.high), {}


def _top_shape(op: Top, _facts: Facts, dims: Sequence[Dims]) -> Dims:
    require(len(dims[0]) >= 2 and isinstance(dims[0][-1], int), op, "reads (rows, entries)")
    return dims[0][:-1]


def _top_magnitude(
    _op: Top, _facts: Facts, bounds: Sequence[int], dims: Sequence[Dims]
) -> tuple[int, int]:
    return int(dims[0][-1]) - 1, 2 * bounds[0]


def _top(_op: Top, _run: Run, operands: Sequence[Array]) -> tuple[Array, dict[str, Array]]:
    return np.asarray(operands[0].argmax(axis=-1), dtype=np.int64), {}


RULES: dict[type[Op], OpRule] = {
    MaxPool: OpRule(_pool_shape, _pool_magnitude, _pool, over=_pool_over, wiring=_pool_wiring),
    Clamp: OpRule(_clamp_shape, _clamp_magnitude, _clamp, over=unchanged),
    Top: OpRule(_top_shape, _top_magnitude, _top, ends=True, over=unchanged),
}
