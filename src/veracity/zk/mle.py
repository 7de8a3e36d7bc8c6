"""Multilinear extensions over index spaces that are padded axis by axis.

An array with dims ``(d_0, ..., d_m)``, stored row-major, is a polynomial in
``sum_i ceil(log2 d_i)`` variables. Variable 0 is the least significant bit of the *last* axis.
Positions beyond ``d_i`` count as zero and are never stored.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from veracity.engine.api import ORDER, Engine, Vec

__all__ = [
    "axis_bits",
    "axis_points",
    "eq_at",
    "eq_dense",
    "eq_range",
    "inverse",
    "kron",
    "ones",
    "powers",
    "sum_by_index",
    "variables",
    "zeros",
]


def axis_bits(dim: int) -> int:
    """Number of variables of an axis of length ``dim``."""
    return (dim - 1).bit_length()


def variables(dims: Sequence[int]) -> int:
    """Number of variables of an array with these dims."""
    return sum(axis_bits(d) for d in dims)


def axis_points(point: Sequence[int], dims: Sequence[int]) -> list[list[int]]:
    """Split a point into one point per axis, in the order of ``dims``.

    Parameters
    ----------
    point : sequence of int
        ``variables(dims)`` coordinates, variable 0 first.
    dims : sequence of int
        Dims, slowest axis first.
    """
    out: list[list[int]] = []
    at = 0
    for dim in reversed(dims):
        width = axis_bits(dim)
        out.append(list(point[at : at + width]))
        at += width
    out.reverse()
    return out


def inverse(x: int) -> int:
    """Inverse modulo the group order; ``ValueError`` for zero."""
    return pow(x, -1, ORDER)


def eq_at(point: Sequence[int], index: int) -> int:
    """``eq(point, index)`` for one Boolean index."""
    out = 1
    for j, p in enumerate(point):
        out = out * (p if index >> j & 1 else 1 - p) % ORDER
    return out


def powers(x: int, n: int) -> list[int]:
    """``[1, x, ..., x^(n-1)]``."""
    out = [1] * n
    for i in range(1, n):
        out[i] = out[i - 1] * x % ORDER
    return out


def ones(engine: Engine, n: int) -> Vec:
    """The all-ones vector."""
    return engine.from_small(np.ones(n, dtype=np.int8))


def zeros(engine: Engine, n: int) -> Vec:
    """The zero vector."""
    return engine.from_small(np.zeros(n, dtype=np.int8))


def kron(engine: Engine, vectors: Sequence[Vec]) -> Vec:
    """Kronecker product, first vector slowest; of no vectors: the vector (1)."""
    out: Vec | None = None
    for v in vectors:
        out = v if out is None else engine.outer(out, v)
    return ones(engine, 1) if out is None else out


def eq_dense(engine: Engine, point: Sequence[int], dims: Sequence[int]) -> Vec:
    """The eq table over an array's present entries, flattened row-major.

    Parameters
    ----------
    engine : Engine
        Backend.
    point : sequence of int
        ``variables(dims)`` coordinates, variable 0 first.
    dims : sequence of int
        Dims of the array, slowest axis first.
    """
    return kron(
        engine,
        [engine.eq(p, d) for p, d in zip(axis_points(point, dims), dims, strict=True)],
    )


def eq_range(engine: Engine, point: Sequence[int], start: int, stop: int) -> Vec:
    """Entries ``start .. stop-1`` of the eq table of ``point`` without building all of it.

    Parameters
    ----------
    engine : Engine
        Backend.
    point : sequence of int
        Coordinates, variable 0 first.
    start, stop : int
        First entry, and the one behind the last.
    """
    width = min(len(point), max(1, (stop - start - 1).bit_length()))
    low, high = point[:width], point[width:]
    table = engine.eq(low, 1 << width)
    parts = []
    at = start
    while at < stop:
        end = min(stop, ((at >> width) + 1) << width)
        base = (at >> width) << width
        piece = table[at - base : end - base]
        parts.append(engine.scale(piece, eq_at(high, at >> width)))
        at = end
    return engine.concat(parts)


def sum_by_index(engine: Engine, vector: Vec, indices: Sequence[int], size: int) -> Vec:
    """``out_i``: the sum of the entries whose index is ``i``, for ``i < size``.

    Parameters
    ----------
    engine : Engine
        Backend.
    vector : Vec
        Entries.
    indices : sequence of int
        One below ``size`` for each.
    size : int
        Length of the result.
    """
    totals: dict[int, int] = {}
    for i, w in zip(indices, engine.to_ints(vector), strict=True):
        totals[i] = totals.get(i, 0) + w
    where = np.full(size, len(totals), dtype=np.int64)
    where[np.fromiter(totals, dtype=np.int64)] = np.arange(len(totals))
    return engine.gather(engine.from_ints([*totals.values(), 0]), where)
