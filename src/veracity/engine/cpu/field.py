"""Field vectors on the CPU: shape checks around the compiled kernels.

A ``Vec`` is a NumPy array of dtype uint64 and shape (n, 4): elements in Montgomery form with
R = 2^260, 32 bytes each. Scalars cross to Rust as 32 little-endian bytes.
"""

# ruff: noqa: D102 (engine.api documents the operations)
from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from veracity.engine import _cpu
from veracity.engine.api import SCALAR_BYTES, FractionBlock, FractionTree, Ints, Leaves
from veracity.engine.checks import (
    check_block_weights,
    check_contractions,
    check_eq,
    check_index,
    check_matrix_size,
    check_padding,
    check_small,
    check_wide,
)
from veracity.engine.cpu.fractions import CpuFractionTree, leaves_in
from veracity.engine.scalars import bytes_of, ints_of, join

__all__ = ["CpuField"]

#: Array of dtype uint64 and shape (n, 4); ``Any`` since the interface keeps vectors opaque.
LimbVec: TypeAlias = Any


class CpuField:
    """Vectors over the Pallas scalar field in Rust; see :class:`engine.api.Engine`. A mix-in."""

    # ---- vectors: making and reading -------------------------------------------------------
    def from_ints(self, values: Sequence[int]) -> LimbVec:
        return _cpu.vec_from_bytes(join(values))

    def from_small(self, values: Ints) -> LimbVec:
        return _cpu.vec_from_small(check_small(values))

    def to_ints(self, v: LimbVec) -> list[int]:
        return ints_of(_cpu.vec_to_bytes(v))

    def from_wide_bytes(self, data: bytes) -> LimbVec:
        return _cpu.vec_from_wide_bytes(check_wide(data))

    def random(self, n: int) -> LimbVec:
        # 512 bits an element: the reduced value is uniform up to 2^-256.
        return _cpu.vec_from_wide_bytes(os.urandom(2 * SCALAR_BYTES * n))

    def concat(self, parts: Sequence[LimbVec]) -> LimbVec:
        if len(parts) == 1:
            return parts[0]
        return np.concatenate([np.empty((0, 4), dtype=np.uint64), *parts])

    def pad(self, a: LimbVec, before: int, after: int) -> LimbVec:
        check_padding(before, after)
        # Pages of zeros that nobody writes cost nothing.
        out = np.zeros((before + len(a) + after, 4), dtype=np.uint64)
        out[before : before + len(a)] = a
        return out

    # ---- vectors: element-wise -------------------------------------------------------------
    def add(self, a: LimbVec, b: LimbVec) -> LimbVec:
        return _cpu.vec_add(a, b)

    def sub(self, a: LimbVec, b: LimbVec) -> LimbVec:
        return _cpu.vec_sub(a, b)

    def mul(self, a: LimbVec, b: LimbVec) -> LimbVec:
        return _cpu.vec_mul(a, b)

    def scale(self, a: LimbVec, s: int) -> LimbVec:
        return _cpu.vec_outer(_cpu.vec_from_bytes(bytes_of(s)), a)

    def lincomb(self, vectors: Sequence[LimbVec], coefficients: Sequence[int]) -> LimbVec:
        return _cpu.vec_lincomb(list(vectors), join(coefficients))

    def outer(self, a: LimbVec, b: LimbVec) -> LimbVec:
        return _cpu.vec_outer(a, b)

    def dot(self, a: LimbVec, b: LimbVec) -> int:
        return int.from_bytes(_cpu.vec_dot(a, b), "little")

    def cumsum(self, a: LimbVec) -> LimbVec:
        return _cpu.vec_cumsum(a)

    def gather(self, a: LimbVec, index: NDArray[np.int64]) -> LimbVec:
        return _cpu.vec_gather(a, np.ascontiguousarray(check_index(index, len(a))))

    def eq(self, point: Sequence[int], n: int) -> LimbVec:
        check_eq(point, n)
        return _cpu.vec_eq(join(point), n)

    def eq_halved(self, point: Sequence[int], n: int) -> LimbVec:
        return _cpu.vec_eq_halved(join(point), n)

    # ---- small integers against field vectors ----------------------------------------------
    def contract(self, m: Ints, v: LimbVec) -> LimbVec:
        check_small(m, shape=(None, len(v), None))
        return _cpu.small_contract(m, m.shape[0], m.shape[2], v)

    def contract_each(self, arrays: Sequence[Ints], v: LimbVec) -> LimbVec:
        outer, inner = check_contractions(arrays, len(v), each=True)
        if outer * inner == 0:
            return self.from_ints([])
        if len({m.dtype for m in arrays}) > 1:
            return self.concat([self.contract(m, v) for m in arrays])
        return _cpu.small_contract_each(arrays, outer, inner, v)

    def contract_sum(self, arrays: Sequence[Ints], v: LimbVec) -> LimbVec:
        outer, inner = check_contractions(arrays, len(v), each=False)
        if outer * inner == 0:
            return self.from_ints([])
        starts = np.cumsum([0, *[m.shape[1] for m in arrays]]).tolist()
        parts: dict[np.dtype[Any], list[int]] = {}
        for k, m in enumerate(arrays):
            parts.setdefault(m.dtype, []).append(k)
        if len(parts) == 1:
            return _cpu.small_contract_sum(arrays, outer, inner, v)
        sums = []
        for same in parts.values():
            weights = self.concat([v[starts[k] : starts[k + 1]] for k in same])
            found = [arrays[k] for k in same]
            sums.append(_cpu.small_contract_sum(found, outer, inner, weights))
        return self.lincomb(sums, [1] * len(sums))

    def weigh_blocks(self, x: Ints, rows: LimbVec | None, entries: LimbVec) -> LimbVec:
        check_block_weights(x, rows, entries)
        if not x.size:
            return self.from_ints([])
        return _cpu.small_weigh_blocks(x, rows, entries)

    # ---- sumcheck --------------------------------------------------------------------------
    def fold(self, a: LimbVec, n: int, r: int) -> LimbVec:
        check_matrix_size(len(a), n)
        return _cpu.sumcheck_fold(a, n, bytes_of(r))

    def product_round(self, a: LimbVec, b: LimbVec, n: int) -> tuple[int, int, int]:
        check_matrix_size(len(a), n)
        c0, c1, c2 = ints_of(_cpu.sumcheck_product_round(a, b, n))
        return c0, c1, c2

    def fold_each(self, arrays: Sequence[tuple[LimbVec, int]], r: int) -> list[LimbVec]:
        vectors, lengths = [a for a, _ in arrays], [n for _, n in arrays]
        if min(lengths, default=0) < 0:
            raise ValueError("rows have no negative length")
        return _cpu.sumcheck_fold_each(vectors, lengths, bytes_of(r))

    def product_rounds(
        self, pairs: Sequence[tuple[LimbVec, LimbVec, int]], factors: Sequence[int]
    ) -> tuple[int, int, int]:
        vectors, lengths = [(a, b) for a, b, _ in pairs], [n for _, _, n in pairs]
        if min(lengths, default=0) < 0:
            raise ValueError("rows have no negative length")
        c0, c1, c2 = ints_of(_cpu.sumcheck_product_rounds(vectors, lengths, join(factors)))
        return c0, c1, c2

    # ---- LogUp -----------------------------------------------------------------------------
    def logup_denominators(self, leaves: Leaves) -> LimbVec:
        return _cpu.logup_denominators(leaves_in(leaves))

    def fraction_tree(self, blocks: Sequence[FractionBlock]) -> FractionTree:
        return CpuFractionTree(blocks)
