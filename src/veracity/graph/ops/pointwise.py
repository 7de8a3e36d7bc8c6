"""Sums, products, rescales and functions, entry by entry."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from veracity.errors import RangeError, UsageError
from veracity.graph.functions import find_function
from veracity.graph.ops.base import (
    REMEDY,
    Array,
    Facts,
    Op,
    OpRule,
    Run,
    in_range,
    rescaled,
    rounded,
    same,
    unchanged,
)
from veracity.graph.port import Dims
from veracity.graph.tables import function_table
from veracity.records import record

__all__ = ["RULES", "Add", "Function", "Mul", "Rescale"]


@record(kw_only=True)
class Add(Op):
    """``a * 2^shift_a + b * 2^shift_b``, exact."""

    a: str
    b: str
    shift_a: int
    shift_b: int


@record(kw_only=True)
class Rescale(Op):
    """``rhu(x, shift)``."""

    x: str
    shift: int
    bits: int


@record(kw_only=True)
class Mul(Op):
    """``rhu(a * b, shift)``."""

    a: str
    b: str
    shift: int
    bits: int


@record(kw_only=True)
class Function(Op):
    """``round(fn(x 2^-k_in) 2^k_out)`` of a signed 16-bit ``x``."""

    x: str
    fn: str
    k_in: int
    k_out: int

    def tables(self) -> tuple[tuple[str, int, int], ...]:
        """The function's."""
        return ((self.fn, self.k_in, self.k_out),)


def _shape(op: Op, _facts: Facts, dims: Sequence[Dims]) -> Dims:
    return same(op, dims)


def _add_magnitude(
    op: Add, _facts: Facts, bounds: Sequence[int], _dims: Sequence[Dims]
) -> tuple[int, int]:
    a, b = bounds
    bound = (a << op.shift_a) + (b << op.shift_b)
    return bound, bound


def _add(op: Add, _run: Run, operands: Sequence[Array]) -> tuple[Array, dict[str, Array]]:
    a, b = operands
    return (a << op.shift_a if op.shift_a else a) + (b << op.shift_b if op.shift_b else b), {}


def _rescale_magnitude(
    op: Rescale, _facts: Facts, bounds: Sequence[int], _dims: Sequence[Dims]
) -> tuple[int, int]:
    return 1 << (op.bits - 1), rounded(bounds[0], op.shift)


def _rescale(op: Rescale, run: Run, operands: Sequence[Array]) -> tuple[Array, dict[str, Array]]:
    return rescaled(op, operands[0], run.integers), {}


def _mul_magnitude(
    op: Mul, _facts: Facts, bounds: Sequence[int], _dims: Sequence[Dims]
) -> tuple[int, int]:
    return 1 << (op.bits - 1), rounded(bounds[0] * bounds[1], op.shift)


def _mul(op: Mul, run: Run, operands: Sequence[Array]) -> tuple[Array, dict[str, Array]]:
    return rescaled(op, operands[0] * operands[1], run.integers), {}


def _function_shape(op: Function, _facts: Facts, dims: Sequence[Dims]) -> Dims:
    try:
        find_function(op.fn)
    except UsageError as error:
        raise UsageError(f"{op.name}: {error}") from error
    return dims[0]


def _function_magnitude(
    _op: Function, _facts: Facts, bounds: Sequence[int], _dims: Sequence[Dims]
) -> tuple[int, int]:
    return 1 << 15, bounds[0]


def _function(op: Function, run: Run, operands: Sequence[Array]) -> tuple[Array, dict[str, Array]]:
    table, low = function_table(op.fn, op.k_in, op.k_out), -(1 << 15)
    if run.integers is None:
        return table.take(in_range(op, operands[0], 16) - low), {}
    try:
        return run.integers.look_up(np.ascontiguousarray(operands[0]), low, table), {}
    except ValueError as error:
        raise RangeError(op.name, REMEDY) from error


RULES: dict[type[Op], OpRule] = {
    Add: OpRule(_shape, _add_magnitude, _add, over=unchanged),
    Rescale: OpRule(_shape, _rescale_magnitude, _rescale, over=unchanged),
    Mul: OpRule(_shape, _mul_magnitude, _mul, over=unchanged),
    Function: OpRule(_function_shape, _function_magnitude, _function, over=unchanged),
}
