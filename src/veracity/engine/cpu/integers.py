"""Exact products of integer matrices, counts and division, on the CPU."""

# ruff: noqa: D102 (engine.api_words documents the operations)
from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from veracity.engine import _cpu
from veracity.engine.api_words import Ints
from veracity.engine.checks import (
    check_block_products,
    check_counted,
    check_divided,
    check_integer_product,
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
