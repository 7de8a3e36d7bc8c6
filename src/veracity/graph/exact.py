"""Exact integer matrix products, fast.

Weights go through the engine's integer kernel. Products of activations use float64 BLAS, which is
exact while every partial sum stays below 2^53; where the bound fails, the wider operand is split
into halves of its bits until it holds.
"""

from __future__ import annotations

from functools import lru_cache
from math import isqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.engine import load_engine
from veracity.engine.api import Integers
from veracity.errors import UsageError

__all__ = ["EXACT", "linear", "matmul", "multiply", "rhu", "sums_of_squares", "transformed"]

#: Below this, float64 holds every integer.
EXACT = 1 << 53
#: Products of fewer multiplications are computed by one thread; OpenBLAS uses one for so few.
MODERATE, SMALL = 1 << 26, 1 << 18


def rhu(x: NDArray[np.int64], shift: int, integers: Integers | None = None) -> NDArray[np.int64]:
    """``floor((x + 2^(shift-1)) / 2^shift)``: round half up, the one rounding rule.

    Parameters
    ----------
    x : int64 array
        What is rounded.
    shift : int
        Bits that are dropped.
    integers : Integers, optional
        The engine that divides; NumPy where not given.
    """
    if shift == 0:
        return x
    if integers is not None:
        return integers.rounded(np.ascontiguousarray(x), shift)[0]
    out = x + (1 << (shift - 1))
    out >>= shift
    return out


def _magnitude(x: NDArray[Any]) -> int:
    return max(abs(int(x.min())), abs(int(x.max()))) if x.size else 0


def sums_of_squares(c: NDArray[Any]) -> NDArray[Any]:
    """``sum_j c[.., j]^2``, exactly: integers of 64 bits, or of Python where they are wider."""
    d, peak = c.shape[-1], _magnitude(c)
    if d * peak * peak < 1 << 63:
        narrow = c.astype(np.int64, copy=False)
        return np.asarray(np.einsum("...j,...j->...", narrow, narrow))
    half = (peak.bit_length() + 1) // 2
    if d << 2 * half + 1 < 1 << 63:  # three sums over halves of the bits
        whole = c.astype(np.int64)
        high, low = whole >> half, whole & (1 << half) - 1
        sums = [(a * b).sum(axis=-1) for a, b in ((high, high), (high, low), (low, low))]
        first, cross, last = (np.asarray(s).astype(object) for s in sums)
        return np.asarray((first << 2 * half) + (cross << half + 1) + last)
    wide = c.astype(object)
    return np.asarray((wide * wide).sum(axis=-1))


def _bounded(k: int, left: int, right: int) -> None:
    if k * left * right >= 1 << 62:
        raise UsageError("an accumulator would exceed 62 bits; use fewer weight or activation bits")


@lru_cache(maxsize=1)
def _compiled() -> Integers:
    """The kernels where a caller names no engine; loaded at the first product, not before."""
    return load_engine("cpu").integers


def linear(
    x: NDArray[np.int64], w: NDArray[np.integer], integers: Integers | None = None
) -> NDArray[np.int64]:
    """Exact ``x @ w.T`` for a weight matrix as it is stored; reads it once.

    Parameters
    ----------
    x : int64 array, shape (rows, k)
        Activations.
    w : small-integer array, shape (n, k)
        Weights.
    integers : Integers, optional
        The products of an engine; those of ``cpu`` where not given.

    Returns
    -------
    int64 array, shape (rows, n)

    Raises
    ------
    UsageError
        If a result might exceed 62 bits.
    BackendUnavailable
        If no engine is given and ``cpu`` is not built.
    """
    widest = _magnitude(w) if w.dtype.itemsize > 4 else 1 << (8 * w.dtype.itemsize - 1)
    _bounded(x.shape[-1], _magnitude(x), widest)
    engine = _compiled() if integers is None else integers
    out = engine.matmul_transposed(np.ascontiguousarray(x), np.ascontiguousarray(w))
    return np.ascontiguousarray(out)


def matmul(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.int64]:
    """Exact ``a @ b`` as int64 for stacks of integer matrices, which may be floats below 2^53.

    Raises
    ------
    UsageError
        If a result might exceed 62 bits.
    """
    big_a, big_b, k = _magnitude(a), _magnitude(b), a.shape[-1]
    _bounded(k, big_a, big_b)
    return _product(a, big_a, b, big_b)


def multiply(a: NDArray[np.integer], b: NDArray[np.integer]) -> NDArray[np.int64]:
    """Exact ``a * b`` as int64, repeated along axes of length 1.

    Raises
    ------
    UsageError
        If a result might exceed 62 bits.
    """
    _bounded(1, _magnitude(a), _magnitude(b))
    return np.asarray(np.multiply(a, b, dtype=np.int64))


def transformed(matrix: NDArray[Any], x: NDArray[Any], axis: int) -> NDArray[Any]:
    """``matrix`` times an axis of ``x``: exact for integers, in floats for floats.

    Parameters
    ----------
    matrix : int64 array, shape (rows, length)
        Public numbers.
    x : array
        What is multiplied.
    axis : int
        Its axis of that length.
    """
    last = axis == x.ndim - 1
    moved = x if axis >= x.ndim - 2 else np.moveaxis(x, axis, -2)
    gain = int(np.abs(matrix).sum(axis=1).max(initial=0))
    if x.dtype.kind == "f" or (x.dtype.kind != "O" and _magnitude(x) * gain < EXACT):
        reals, wide = moved.astype(np.float64), matrix.astype(np.float64)
        found = _float_product(reals, wide.T) if last else _float_product(wide, reals)
        found = found if x.dtype.kind == "f" else found.astype(np.int64)
    else:
        whole = moved if x.dtype.kind == "O" else moved.astype(np.int64)
        found = whole @ matrix.T if last else matrix @ whole
    return np.asarray(found if axis >= x.ndim - 2 else np.moveaxis(found, -2, axis))


def _float_product(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """``a @ b``; one of moderate size in blocks so small that BLAS wakes no other thread for them.

    To wake threads and to wait for them takes longer than such a product, and much longer where
    other processes want the processors.
    """
    if a.ndim == 1:
        return np.asarray(_float_product(a[None], b)[0])
    rows, k, columns = a.shape[-2], a.shape[-1], b.shape[-1]
    if rows * k * columns > MODERATE:
        return np.asarray(a @ b)
    if 1 in (rows, columns):
        return np.asarray(np.einsum("...ij,...jk->...ik", a, b))
    high, wide = _block(rows, k, columns)
    if (high, wide) == (rows, columns):
        return np.asarray(a @ b)
    out = np.empty((*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), rows, columns))
    for top in range(0, rows, high):
        part, into = a[..., top : top + high, :], out[..., top : top + high, :]
        for left in range(0, columns, wide):
            np.matmul(part, b[..., left : left + wide], out=into[..., left : left + wide])
    return out


def _block(rows: int, k: int, columns: int) -> tuple[int, int]:
    """Rows and columns of a product of about ``SMALL`` multiplications, square where it can be.

    One column at a time would read all rows for each, and BLAS is far slower for a vector.
    """
    side = max(8, isqrt(SMALL // max(1, k)))
    high = min(rows, max(8, SMALL // (k * min(columns, side) or 1)))
    return high, min(columns, max(8, SMALL // (k * high or 1)))


def _product(a: NDArray[Any], big_a: int, b: NDArray[Any], big_b: int) -> NDArray[np.int64]:
    """``a @ b`` with entries up to these; halves the wider operand until float64 is exact."""
    if a.shape[-1] * big_a * big_b < EXACT:
        found = _float_product(a.astype(np.float64, copy=False), b.astype(np.float64, copy=False))
        return found.astype(np.int64)
    wide, bound = (a.astype(np.int64), big_a) if big_a >= big_b else (b.astype(np.int64), big_b)
    half = bound.bit_length() // 2
    high, low, top = wide >> half, wide & ((1 << half) - 1), (bound >> half) + 1
    if big_a >= big_b:
        parts = _product(high, top, b, big_b), _product(low, (1 << half) - 1, b, big_b)
    else:
        parts = _product(a, big_a, high, top), _product(a, big_a, low, (1 << half) - 1)
    return (parts[0] << half) + parts[1]
