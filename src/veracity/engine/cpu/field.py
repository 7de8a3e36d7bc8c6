"""Field vectors on the CPU: shape checks around the compiled kernels.

A ``Vec`` is a NumPy array of dtype uint64 and shape (n, 4): elements in Montgomery form with
R = 2^260, 32 bytes each. Scalars cross to Rust as 32 little-endian bytes.
"""

# ruff: noqa: D102 (engine.api documents the operations)
from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from veracity.engine import _cpu
from veracity.engine.api import ORDER, SCALAR_BYTES, Ints, Leaves
from veracity.engine.checks import (
    check_entries,
    check_eq,
    check_first_round,
    check_index,
    check_matrix_size,
    check_round,
    check_same_length,
    check_small,
    check_wide,
)

__all__ = ["CpuField"]

#: Array of dtype uint64 and shape (n, 4); ``Any`` since the interface keeps vectors opaque.
LimbVec: TypeAlias = Any


def _bytes(value: int) -> bytes:
    return int(value % ORDER).to_bytes(SCALAR_BYTES, "little")


def _join(values: Iterable[int]) -> bytes:
    return b"".join(map(_bytes, values))


def _ints(data: bytes) -> list[int]:
    starts = range(0, len(data), SCALAR_BYTES)
    return [int.from_bytes(data[i : i + SCALAR_BYTES], "little") for i in starts]


class CpuField:
    """Vectors over the Pallas scalar field in Rust; see :class:`engine.api.Engine`. A mix-in."""

    # ---- vectors: making and reading -------------------------------------------------------
    def from_ints(self, values: Sequence[int]) -> LimbVec:
        return _cpu.vec_from_bytes(_join(values))

    def from_small(self, values: Ints) -> LimbVec:
        return _cpu.vec_from_small(check_small(values))

    def to_ints(self, v: LimbVec) -> list[int]:
        return _ints(_cpu.vec_to_bytes(v))

    def from_wide_bytes(self, data: bytes) -> LimbVec:
        return _cpu.vec_from_wide_bytes(check_wide(data))

    def random(self, n: int) -> LimbVec:
        # 512 bits an element: the reduced value is uniform up to 2^-256.
        return _cpu.vec_from_wide_bytes(os.urandom(2 * SCALAR_BYTES * n))

    def concat(self, parts: Sequence[LimbVec]) -> LimbVec:
        return np.concatenate([np.empty((0, 4), dtype=np.uint64), *parts])

    # ---- vectors: element-wise -------------------------------------------------------------
    def add(self, a: LimbVec, b: LimbVec) -> LimbVec:
        return _cpu.vec_add(a, b)

    def sub(self, a: LimbVec, b: LimbVec) -> LimbVec:
        return _cpu.vec_sub(a, b)

    def mul(self, a: LimbVec, b: LimbVec) -> LimbVec:
        return _cpu.vec_mul(a, b)

    def scale(self, a: LimbVec, s: int) -> LimbVec:
        return _cpu.vec_outer(_cpu.vec_from_bytes(_bytes(s)), a)

    def lincomb(self, vectors: Sequence[LimbVec], coefficients: Sequence[int]) -> LimbVec:
        check_same_length(vectors, coefficients)
        return _cpu.vec_lincomb(list(vectors), _join(coefficients))

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
        return _cpu.vec_eq(_join(point), n)

    # ---- small integers against field vectors ----------------------------------------------
    def contract(self, m: Ints, v: LimbVec) -> LimbVec:
        check_small(m, shape=(None, len(v), None))
        return _cpu.small_contract(m, m.shape[0], m.shape[2], v)

    # ---- sumcheck --------------------------------------------------------------------------
    def fold(self, a: LimbVec, n: int, r: int) -> LimbVec:
        check_matrix_size(len(a), n)
        return _cpu.sumcheck_fold(a, n, _bytes(r))

    def product_round(self, a: LimbVec, b: LimbVec, n: int) -> tuple[int, int, int]:
        check_matrix_size(len(a), n)
        c0, c1, c2 = _ints(_cpu.sumcheck_product_round(a, b, n))
        return c0, c1, c2

    # ---- LogUp -----------------------------------------------------------------------------
    def logup_denominators(self, leaves: Leaves) -> LimbVec:
        return _cpu.logup_denominators(_entries(leaves))

    def logup_level(
        self, p: LimbVec | Leaves | None, d: LimbVec | Leaves, n: int
    ) -> tuple[LimbVec, LimbVec]:
        check_matrix_size(len(d), n)
        return _cpu.logup_level(None if p is None else _entries(p), _entries(d), n)

    def logup_round(
        self,
        p: tuple[LimbVec, LimbVec],
        d: tuple[LimbVec, LimbVec],
        n: int,
        outer: LimbVec,
        inner: LimbVec,
        lam: int,
    ) -> tuple[int, int]:
        length = len(outer) * n
        separable = len(p[0]) == n != length
        check_round([len(x) for x in d], length, n, len(inner))
        check_round([len(x) for x in p], n if separable else length, n, len(inner))
        out = _cpu.logup_round(p, d, n, outer, inner, _bytes(lam), separable)
        at_zero, leading = _ints(out)
        return at_zero, leading

    def logup_first_round(
        self,
        p: LimbVec | Leaves | tuple[LimbVec, LimbVec],
        d: LimbVec | Leaves,
        n: int,
        outer: LimbVec,
        inner: LimbVec,
        lam: int,
    ) -> tuple[int, int]:
        check_first_round(p, d, len(outer) * n, n, len(inner))
        every, ends = (None, p) if isinstance(p, tuple) else (_entries(p), None)
        out = _cpu.logup_first_round(every, ends, _entries(d), n, outer, inner, _bytes(lam))
        at_zero, leading = _ints(out)
        return at_zero, leading

    def logup_split_fold(self, a: LimbVec | Leaves, n: int, r: int) -> tuple[LimbVec, LimbVec]:
        check_matrix_size(len(a), n)
        return _cpu.logup_split_fold(_entries(a), n, _bytes(r))


def _entries(a: LimbVec | Leaves) -> LimbVec | tuple[Ints, Ints | None, LimbVec, bytes]:
    """A vector, or what the kernels compute it from."""
    if not isinstance(a, Leaves):
        return a
    check_entries(a)
    return a.values, a.images, a.constants, _bytes(a.beta)
