"""Exact products of integer matrices, counts and division, on the CPU."""

# ruff: noqa: D102 (engine.api_words documents the operations)
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.engine import _cpu
from veracity.engine.api_words import Ints
from veracity.engine.checks import (
    check_block_products,
    check_counted,
    check_divided,
    check_integer_product,
    check_looked_up,
    check_stacked,
)

__all__ = ["CpuIntegers"]


class CpuIntegers:
    """Integer products in Rust; see :class:`engine.api_words.Integers`."""

    def matmul_transposed(self, x: NDArray[np.int64], w: Ints) -> NDArray[np.int64]:
        check_integer_product(x, w)
        if not x.size or not w.size:
            return np.zeros((x.shape[0], w.shape[0]), dtype=np.int64)
        return _cpu.integer_products(w, np.ascontiguousarray(x))

    def count(self, arrays: Sequence[Ints], low: int, size: int) -> NDArray[np.int64]:
        check_counted(arrays, low, size)
        total = np.zeros(size, dtype=np.int64)
        for dtype in {x.dtype for x in arrays}:
            total += _cpu.integer_counts([x for x in arrays if x.dtype == dtype], low, size)
        return total

    def divide(self, x: Ints, shift: int) -> tuple[Ints, Ints]:
        check_divided(x, shift)
        quotients, rests = _cpu.integer_divide(x, shift)
        return quotients.reshape(x.shape), rests.reshape(x.shape)

    def rounded(self, x: Ints, shift: int) -> tuple[NDArray[np.int64], int, int]:
        check_divided(x, shift)
        quotients, (low, high) = _cpu.integer_rounded(x, shift)
        return quotients.reshape(x.shape), low, high

    def look_up(self, x: Ints, low: int, table: Ints) -> Ints:
        check_looked_up(x, low, table)
        return _cpu.integer_look_up(x, low, table).reshape(x.shape)

    def stack(self, arrays: Sequence[Ints], order: Sequence[int], dtype: np.dtype[Any]) -> Ints:
        dims = check_stacked(arrays, order, dtype)
        bits, signed = 8 * dtype.itemsize, dtype.kind == "i"
        found = _cpu.integer_stack(list(arrays), arrays[0].shape, list(order), bits, signed)
        return found.reshape(dims)

    def block_products(
        self, operands: tuple[Ints, Ints], first: int, last: int, dtype: np.dtype[np.signedinteger]
    ) -> Ints:
        check_block_products(operands, first, last, dtype)
        (rows, blocks, width), count = operands[0].shape, last - first
        same = list(operands)
        if same[0].dtype != same[1].dtype:
            own = np.result_type(*same)
            same = [np.ascontiguousarray(x[:, first:last], dtype=own) for x in same]
            blocks, first, last = count, 0, count
        found = _cpu.integer_block_products(same, blocks, first, last, dtype == np.int64)
        return found.reshape(width, rows, width, count)
