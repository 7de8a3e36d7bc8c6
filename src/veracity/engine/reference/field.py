"""Field vectors in Python integers: slow, obviously right. It is the definition.

A ``Vec`` is a one-dimensional NumPy array of dtype object that holds Python ints in
``[0, ORDER)``. Every other backend must give the same results; ``tests/conformance`` says so.
"""

# ruff: noqa: D102 (engine.api documents the operations)
from __future__ import annotations

import os
from collections.abc import Sequence
from operator import mul
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from veracity.engine.api import ORDER, FractionBlock, FractionTree, Ints, Leaves
from veracity.engine.checks import (
    check_block_weights,
    check_blocks,
    check_contractions,
    check_entries,
    check_eq,
    check_eq_halved,
    check_index,
    check_matrix_size,
    check_padding,
    check_same_length,
    check_small,
    check_wide,
)
from veracity.engine.reference.fractions import ReferenceFractionTree, eq_at, halved_code

__all__ = ["ReferenceField"]

#: One-dimensional array of dtype object; ``Any`` since the interface keeps vectors opaque.
ObjectVec: TypeAlias = Any


def _vec(values: Sequence[Any]) -> ObjectVec:
    out = np.empty(len(values), dtype=object)
    out[:] = [int(value) % ORDER for value in values]
    return out


def _rows(a: ObjectVec, n: int) -> list[list[int]]:
    """Rows of an array of shape (len(a) // n, n), each padded to an even length with zero."""
    check_matrix_size(len(a), n)
    if n == 0:
        return []
    padding = [0] * (n % 2)
    return [list(a[start : start + n]) + padding for start in range(0, len(a), n)]


def _pairs(row: Sequence[int]) -> list[tuple[int, int]]:
    return list(zip(row[0::2], row[1::2], strict=True))


class ReferenceField:
    """Vectors over the Pallas scalar field; see :class:`engine.api.Engine`. A mix-in."""

    # ---- vectors: making and reading -------------------------------------------------------
    def from_ints(self, values: Sequence[int]) -> ObjectVec:
        return _vec(list(values))

    def from_small(self, values: Ints) -> ObjectVec:
        return _vec(check_small(values).reshape(-1).tolist())

    def to_ints(self, v: ObjectVec) -> list[int]:
        return list(v)

    def from_wide_bytes(self, data: bytes) -> ObjectVec:
        starts = range(0, len(check_wide(data)), 64)
        return _vec([int.from_bytes(data[i : i + 64], "little") % ORDER for i in starts])

    def random(self, n: int) -> ObjectVec:
        # 512 bits an element: the reduced value is uniform up to 2^-256.
        return self.from_wide_bytes(os.urandom(64 * n))

    def concat(self, parts: Sequence[ObjectVec]) -> ObjectVec:
        return _vec([value for part in parts for value in part])

    def pad(self, a: ObjectVec, before: int, after: int) -> ObjectVec:
        check_padding(before, after)
        return _vec([*[0] * before, *a, *[0] * after])

    # ---- vectors: element-wise -------------------------------------------------------------
    def add(self, a: ObjectVec, b: ObjectVec) -> ObjectVec:
        check_same_length(a, b)
        return _vec(a + b)

    def sub(self, a: ObjectVec, b: ObjectVec) -> ObjectVec:
        check_same_length(a, b)
        return _vec(a - b)

    def mul(self, a: ObjectVec, b: ObjectVec) -> ObjectVec:
        check_same_length(a, b)
        return _vec(a * b)

    def scale(self, a: ObjectVec, s: int) -> ObjectVec:
        return _vec([value * s for value in a])

    def lincomb(self, vectors: Sequence[ObjectVec], coefficients: Sequence[int]) -> ObjectVec:
        out = [0] * max((len(vector) for vector in vectors), default=0)
        for vector, coefficient in zip(vectors, coefficients, strict=True):
            for i, value in enumerate(vector):
                out[i] += coefficient * value
        return _vec(out)

    def outer(self, a: ObjectVec, b: ObjectVec) -> ObjectVec:
        return _vec([x * y for x in a for y in b])

    def dot(self, a: ObjectVec, b: ObjectVec) -> int:
        return int(sum(x * y for x, y in zip(a, b, strict=True))) % ORDER

    def cumsum(self, a: ObjectVec) -> ObjectVec:
        out: list[int] = []
        total = 0
        for value in a:
            total += value
            out.append(total)
        return _vec(out)

    def gather(self, a: ObjectVec, index: NDArray[np.int64]) -> ObjectVec:
        return _vec(a[check_index(index, len(a))])

    def eq(self, point: Sequence[int], n: int) -> ObjectVec:
        check_eq(point, n)
        out = [1]
        # Entries with a set bit j come after those without.
        for p in point:
            high = [value * p % ORDER for value in out]
            out = [(value - product) % ORDER for value, product in zip(out, high, strict=True)]
            out += high
            del out[n:]
        return _vec(out[:n])

    def eq_halved(self, point: Sequence[int], n: int) -> ObjectVec:
        check_eq_halved(point, n)
        bits = (n - 1).bit_length()
        return _vec([eq_at(point[:bits], halved_code(i, n)) for i in range(n)])

    # ---- small integers against field vectors ----------------------------------------------
    def contract(self, m: Ints, v: ObjectVec) -> ObjectVec:
        check_small(m, shape=(None, len(v), None))
        # Columns of the middle axis; most of the work of a verifier is here.
        columns = m.transpose(0, 2, 1).reshape(m.shape[0] * m.shape[2], len(v)).tolist()
        values = list(v)
        return _vec([sum(map(mul, column, values)) for column in columns])

    def contract_each(self, arrays: Sequence[Ints], v: ObjectVec) -> ObjectVec:
        check_contractions(arrays, len(v), each=True)
        return self.concat([self.contract(m, v) for m in arrays])

    def contract_sum(self, arrays: Sequence[Ints], v: ObjectVec) -> ObjectVec:
        outer, inner = check_contractions(arrays, len(v), each=False)
        total = _vec([0] * (outer * inner))
        start = 0
        for m in arrays:
            end = start + m.shape[1]
            total = self.add(total, self.contract(m, v[start:end]))
            start = end
        return total

    def weigh_blocks(self, x: Ints, rows: ObjectVec | None, entries: ObjectVec) -> ObjectVec:
        check_block_weights(x, rows, entries)
        blocks = x.shape[1]
        places = [list(entries[i::blocks]) for i in range(blocks)]  # (blocks, 4)
        factors = [1] * len(x) if rows is None else list(rows)
        return _vec(
            [
                factor * sum(map(mul, block, weights))
                for factor, row in zip(factors, x.tolist(), strict=True)
                for block, weights in zip(row, places, strict=True)
            ]
        )

    # ---- sumcheck --------------------------------------------------------------------------
    def fold(self, a: ObjectVec, n: int, r: int) -> ObjectVec:
        return _vec([(1 - r) * low + r * high for row in _rows(a, n) for low, high in _pairs(row)])

    def product_round(self, a: ObjectVec, b: ObjectVec, n: int) -> tuple[int, int, int]:
        c0 = c1 = c2 = 0
        for row_a, row_b in zip(_rows(a, n), _rows(b, n), strict=True):
            for (a0, a1), (b0, b1) in zip(_pairs(row_a), _pairs(row_b), strict=True):
                # (a0 + X (a1 - a0)) (b0 + X (b1 - b0))
                c0 += a0 * b0
                c1 += a0 * (b1 - b0) + (a1 - a0) * b0
                c2 += (a1 - a0) * (b1 - b0)
        return c0 % ORDER, c1 % ORDER, c2 % ORDER

    def fold_each(self, arrays: Sequence[tuple[ObjectVec, int]], r: int) -> list[ObjectVec]:
        return [self.fold(a, n, r) for a, n in arrays]

    def product_rounds(
        self, pairs: Sequence[tuple[ObjectVec, ObjectVec, int]], factors: Sequence[int]
    ) -> tuple[int, int, int]:
        total = [0, 0, 0]
        for pair, factor in zip(pairs, factors, strict=True):
            for k, coefficient in enumerate(self.product_round(*pair)):
                total[k] += factor * coefficient
        c0, c1, c2 = total
        return c0 % ORDER, c1 % ORDER, c2 % ORDER

    # ---- LogUp -----------------------------------------------------------------------------
    def logup_denominators(self, leaves: Leaves) -> ObjectVec:
        check_entries(leaves)
        out = []
        constants: ObjectVec = leaves.constants
        for b, constant in enumerate(constants):
            row = [int(x) for x in leaves.values[b].reshape(-1)]
            images = [0] * len(row)
            if leaves.images is not None:
                images = [int(x) for x in leaves.images[b].reshape(-1)]
            for value, image in zip(row, images, strict=True):
                out.append(constant - value - leaves.beta * image)
        return _vec(out)

    def _stored(self, a: ObjectVec | Leaves) -> ObjectVec:
        return self.logup_denominators(a) if isinstance(a, Leaves) else a

    def fraction_tree(self, blocks: Sequence[FractionBlock]) -> FractionTree:
        check_blocks(blocks)

        def numerators(block: FractionBlock) -> list[int]:
            return [1] * len(block.d) if block.p is None else list(self._stored(block.p))

        return ReferenceFractionTree(
            [(b.dims, numerators(b), [1 + d for d in self._stored(b.d)]) for b in blocks]
        )
