"""Exact products of integer matrices, counts and division, in Python integers: the definition."""

# ruff: noqa: D102 (engine.api_words documents the operations)
from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.engine.api_words import Ints
from veracity.engine.checks import (
    check_block_products,
    check_counted,
    check_divided,
    check_integer_product,
    check_looked_up,
    check_stacked,
)

__all__ = ["ReferenceIntegers"]

#: What quotients are given in: the first that holds them.
SIGNED = (np.int16, np.int32, np.int64)


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

    def divide(self, x: Ints, shift: int) -> tuple[Ints, Ints]:
        check_divided(x, shift)
        step = 1 << shift
        found = [divmod(value + (step >> 1), step) for value in x.reshape(-1).tolist()]
        quotients, rests = [q for q, _ in found], [r for _, r in found]
        low, high = min(quotients, default=0), max(quotients, default=0)
        fits = [t for t in SIGNED if np.iinfo(t).min <= low and high <= np.iinfo(t).max]
        short = np.uint16 if shift <= 16 else np.int32 if shift <= 31 else np.int64
        shape = x.shape
        return np.array(quotients, fits[0]).reshape(shape), np.array(rests, short).reshape(shape)

    def rounded(self, x: Ints, shift: int) -> tuple[NDArray[np.int64], int, int]:
        check_divided(x, shift)
        half = (1 << shift) >> 1
        found = [(value + half) >> shift for value in x.reshape(-1).tolist()]
        quotients = np.array(found, dtype=np.int64).reshape(x.shape)
        return quotients, min(found, default=0), max(found, default=0)

    def look_up(self, x: Ints, low: int, table: Ints) -> Ints:
        check_looked_up(x, low, table)
        entries = {low + i: entry for i, entry in enumerate(table.tolist())}
        if any(value not in entries for value in x.reshape(-1).tolist()):
            raise ValueError("an integer is out of range")
        found = [entries[value] for value in x.reshape(-1).tolist()]
        return np.array(found, dtype=table.dtype).reshape(x.shape)

    def stack(self, arrays: Sequence[Ints], order: Sequence[int], dtype: np.dtype[Any]) -> Ints:
        check_stacked(arrays, order, dtype)
        stacked = np.array([x.astype(object) for x in arrays], dtype=object).transpose(order)
        low, size = int(np.iinfo(dtype).min), 1 << 8 * dtype.itemsize
        found = [(x - low) % size + low for x in stacked.reshape(-1).tolist()]
        return np.array(found, dtype=dtype).reshape(stacked.shape)

    def block_products(
        self, operands: tuple[Ints, Ints], first: int, last: int, dtype: np.dtype[np.signedinteger]
    ) -> Ints:
        check_block_products(operands, first, last, dtype)
        x, y = (operand[:, first:last].tolist() for operand in operands)
        bits = 8 * np.dtype(dtype).itemsize
        half = 1 << (bits - 1)
        found = [
            [
                [
                    [(a[c] * b[d] + half) % (1 << bits) - half for a, b in zip(r, s, strict=True)]
                    for d in range(4)
                ]
                for r, s in zip(x, y, strict=True)
            ]
            for c in range(4)
        ]
        return np.array(found, dtype=dtype).reshape(4, len(x), 4, last - first)
