"""Uniform permutations and places from 256-bit seeds.

A permutation is the order of random 64-bit keys. Where two keys are equal all of that row's keys
are drawn again, so the order is that of distinct keys drawn independently: every permutation has
exactly the same probability, given that the generator's output is uniform.

An order is an int64 index array: ``y = x[order]`` is permuted, and
``unpermuted(y, order)`` is back.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from veracity.engine.api import Ring
from veracity.errors import UsageError

__all__ = ["Order", "of_rows", "uniform", "uniform_below", "unpermuted"]

Order = NDArray[np.int64]
#: Draws of one array with the same seed use labels in steps of this.
_ATTEMPTS = 1 << 16


def uniform(ring: Ring, seed: bytes, count: int) -> Order:
    """A uniform permutation of ``count`` places.

    Parameters
    ----------
    ring : Ring
        What expands seeds.
    seed : bytes
        32 bytes, for this permutation alone.
    count : int
        Places.
    """
    return _orders(ring, seed, 1, count, 0).reshape(-1)


def of_rows(ring: Ring, seed: bytes, rows: int, columns: int) -> Order:
    """Permutes rows, and each row within itself, for values that belong together by row.

    Parameters
    ----------
    ring : Ring
        What expands seeds.
    seed : bytes
        32 bytes, for this order alone.
    rows, columns : int
        Shape of what is permuted.

    Returns
    -------
    int64 array, shape (rows * columns,)
        ``x.reshape(-1)[order]`` is x (rows, columns) with row ``i`` where ``across[i]`` was, in an
        order of its own; all rows + 1 permutations are independent and uniform.
    """
    across = _orders(ring, seed, 1, rows, 0)[0]
    within = _orders(ring, seed, rows, columns, 1)
    return np.asarray(across[:, None] * columns + within).reshape(-1)


def unpermuted(y: NDArray[np.uint64], order: Order) -> NDArray[np.uint64]:
    """``x`` of ``y = x[order]``."""
    x = np.empty_like(y)
    x[order] = y
    return x


def uniform_below(ring: Ring, seed: bytes, bound: int, count: int) -> NDArray[np.uint64]:
    """Uniform integers below ``bound``: words that would favour small ones are drawn again.

    Parameters
    ----------
    ring : Ring
        What expands seeds.
    seed : bytes
        32 bytes, for these integers alone.
    bound : int
        Exclusive.
    count : int
        How many.
    """
    if not 1 <= bound < 1 << 32:
        raise UsageError(f"a bound of {bound} means nothing here")
    _check(seed)
    limit = np.uint64((1 << 64) // bound * bound - 1)  # the last word that may stay
    words = ring.expand(seed, 0, count)
    for attempt in range(1, _ATTEMPTS):
        again = np.flatnonzero(words > limit)
        if not again.size:
            break
        words[again] = ring.expand(seed, attempt, again.size)
    return words % np.uint64(bound)


def _orders(ring: Ring, seed: bytes, rows: int, columns: int, stream: int) -> Order:
    """Independent uniform permutations, (rows, columns)."""
    _check(seed)
    keys = ring.expand(seed, stream * _ATTEMPTS, rows * columns).reshape(rows, columns)
    orders = np.argsort(keys, axis=1)
    for attempt in range(1, _ATTEMPTS):
        in_order = np.take_along_axis(keys, orders, axis=1)
        again = np.flatnonzero((in_order[:, 1:] == in_order[:, :-1]).any(axis=1))
        if not again.size:
            break
        fresh = ring.expand(seed, stream * _ATTEMPTS + attempt, again.size * columns)
        keys[again] = fresh.reshape(again.size, columns)
        orders[again] = np.argsort(keys[again], axis=1)
    return orders.astype(np.int64)


def _check(seed: bytes) -> None:
    if len(seed) != 32:
        raise UsageError("a permutation needs a fresh seed of 32 bytes")
