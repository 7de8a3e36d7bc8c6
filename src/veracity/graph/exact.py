"""Exact integer matrix products, fast.

Weights go through the engine's integer kernel. Products of activations use float64 BLAS, which is
exact while every partial sum stays below 2^53; where the bound fails, the left operand is split
into halves of its bits until it holds.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from veracity.engine.integers import matmul_transposed
from veracity.errors import UsageError

__all__ = ["linear", "matmul", "rhu"]

_EXACT = 1 << 53


def rhu(x: NDArray[np.int64], shift: int) -> NDArray[np.int64]:
    """``floor((x + 2^(shift-1)) / 2^shift)``: round half up, the one rounding rule."""
    return x if shift == 0 else (x + (1 << (shift - 1))) >> shift


def _magnitude(x: NDArray[np.integer]) -> int:
    return max(abs(int(x.min())), abs(int(x.max()))) if x.size else 0


def _bounded(k: int, left: int, right: int) -> None:
    if k * left * right >= 1 << 62:
        raise UsageError("an accumulator would exceed 62 bits; use fewer weight or activation bits")


def linear(x: NDArray[np.int64], w: NDArray[np.integer]) -> NDArray[np.int64]:
    """Exact ``x @ w.T`` for a weight matrix as it is stored, (n, k); reads it once.

    Raises
    ------
    UsageError
        If a result might exceed 62 bits.
    """
    _bounded(x.shape[-1], _magnitude(x), 1 << (8 * w.dtype.itemsize - 1))
    out = matmul_transposed(np.ascontiguousarray(x), np.ascontiguousarray(w))
    return np.ascontiguousarray(out)


def matmul(a: NDArray[np.int64], b: NDArray[np.integer]) -> NDArray[np.int64]:
    """Exact ``a @ b`` as int64 for stacks of integer matrices (attention).

    Raises
    ------
    UsageError
        If a result might exceed 62 bits.
    """
    right = b.astype(np.float64)
    big_a, big_b, k = _magnitude(a), _magnitude(b), a.shape[-1]
    _bounded(k, big_a, big_b)

    def product(left: NDArray[np.int64], bound: int) -> NDArray[np.int64]:
        if k * bound * big_b < _EXACT:
            return np.asarray(left.astype(np.float64) @ right).astype(np.int64)
        half = max(1, bound.bit_length() // 2)
        high, low = left >> half, left & ((1 << half) - 1)
        return (product(high, (bound >> half) + 1) << half) + product(low, (1 << half) - 1)

    return product(a, big_a)
