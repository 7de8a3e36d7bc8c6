"""Exact products of integer matrices, and counts, in Python integers: the definition."""

# ruff: noqa: D102 (engine.api_words documents the operations)
from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from veracity.engine.api_words import Ints
from veracity.engine.checks import check_counted, check_integer_product

__all__ = ["ReferenceIntegers"]


class ReferenceIntegers:
    """Integer products modulo 2^64; see :class:`engine.api_words.Integers`."""

    def matmul_transposed(self, x: NDArray[np.int64], w: Ints) -> NDArray[np.int64]:
        check_integer_product(x, w)
        columns = w.tolist()
        rows = [
            [sum(a * b for a, b in zip(row, column, strict=True)) for column in columns]
            for row in x.tolist()
        ]
        wrapped = [[value % (1 << 64) for value in row] for row in rows]
        return np.array(wrapped, dtype=np.uint64).reshape(len(x), len(w)).view(np.int64)

    def count(self, arrays: Sequence[Ints], low: int, size: int) -> NDArray[np.int64]:
        check_counted(arrays, low, size)
        found = Counter(x for values in arrays for x in values.reshape(-1).tolist())
        if any(not low <= x < low + size for x in found):
            raise ValueError("an integer is out of range")
        return np.array([found[low + i] for i in range(size)], dtype=np.int64)
