"""Indices of one axis: which entry of it each entry of a step's result reads.

What shape they have is told without making them: the file of a program takes a few bytes to name
an index of millions of entries, and whoever reads it has asked for none of them yet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.errors import UsageError
from veracity.records import record

__all__ = [
    "KEPT_ENTRIES",
    "MAX_ENTRIES",
    "MAX_INDEX",
    "Step",
    "axis_index",
    "axis_shape",
    "is_indexed",
    "require_count",
    "require_positive",
]

#: Most entries of an axis's index, and of the result of a wire.
MAX_INDEX, MAX_ENTRIES = 1 << 22, 1 << 30
#: Most entries of an index, and of its axis, that is kept once it is made: with 256 of them 64 MiB.
KEPT_ENTRIES = 1 << 15
Array = NDArray[Any]
#: The shape of an index, and what makes it; entries outside of the axis are zero there.
Lazy = tuple[tuple[int, ...], Callable[[], Array]]


@record
class Step:
    """One linear map on one axis (or a new order of all).

    Attributes
    ----------
    kind : str
        Which.
    axis : int
        Of which axis; of the new one for ``repeat``; 0 for ``permute``.
    numbers : tuple of int
        See the table of :mod:`veracity.graph.wires`.
    """

    kind: str
    axis: int
    numbers: tuple[int, ...] = ()


def _window(n: int, numbers: Sequence[int]) -> Lazy:
    size, stride, dilation, low, high = numbers
    require_positive(size, stride, dilation)
    _natural(low, high)
    places = (n + low + high - dilation * (size - 1) - 1) // stride + 1
    require_positive(places)
    _small(places * size)

    def made() -> Array:
        first = np.arange(places, dtype=np.int64) * stride - low
        return first[:, None] + np.arange(size, dtype=np.int64) * dilation

    return (places, size), made


def _pad(n: int, numbers: Sequence[int]) -> Lazy:
    mode, low, high = numbers
    _natural(low, high)
    _small(n + low + high)
    if mode not in (0, 1) and (mode != 2 or max(low, high) >= n):
        raise UsageError("no such padding")

    def made() -> Array:
        at = np.arange(-low, n + high)
        if mode == 0:
            return at
        if mode == 1:
            return np.clip(at, 0, n - 1)
        reflected: Array = n - 1 - np.abs(n - 1 - np.abs(at))
        return reflected

    return (n + low + high,), made


def _slice(n: int, numbers: Sequence[int]) -> Lazy:
    start, stop, stride = numbers
    require_positive(stride)
    if not 0 <= start < stop <= n:
        raise UsageError("a slice leaves its axis")
    return (-(-(stop - start) // stride),), lambda: np.arange(start, stop, stride)


def _flip(n: int, numbers: Sequence[int]) -> Lazy:
    require_count(numbers, 0)
    return (n,), lambda: np.arange(n)[::-1]


def _dilate(n: int, numbers: Sequence[int]) -> Lazy:
    (factor,) = numbers
    require_positive(factor)
    length = (n - 1) * factor + 1
    _small(length)

    def made() -> Array:
        at = np.arange(length)
        return np.where(at % factor == 0, at // factor, -1)

    return (length,), made


def _tile(n: int, numbers: Sequence[int]) -> Lazy:
    (count,) = numbers
    require_positive(count)
    _small(n * count)
    return (n * count,), lambda: np.arange(n * count) % n


def _each(n: int, numbers: Sequence[int]) -> Lazy:
    (count,) = numbers
    require_positive(count)
    _small(n * count)
    return (n * count,), lambda: np.arange(n * count) // count


def _pick(n: int, numbers: Sequence[int]) -> Lazy:
    require_positive(len(numbers))
    if min(numbers) < -1 or max(numbers) >= n:
        raise UsageError("an index leaves its axis")
    return (len(numbers),), lambda: np.asarray(numbers, dtype=np.int64)


_INDEXED: dict[str, Callable[[int, Sequence[int]], Lazy]] = {
    "window": _window,
    "pad": _pad,
    "slice": _slice,
    "flip": _flip,
    "dilate": _dilate,
    "tile": _tile,
    "each": _each,
    "pick": _pick,
}


def is_indexed(step: Step) -> bool:
    """Whether :func:`axis_index` says all about a step."""
    return step.kind in _INDEXED


def axis_shape(step: Step, n: int) -> tuple[int, ...]:
    """Shape of what :func:`axis_index` gives, with its errors."""
    return _looked_up(step, n)[0]


def axis_index(step: Step, n: int) -> NDArray[np.int64]:
    """Which entry of an axis of length ``n`` each entry of the result reads; -1 for zero.

    Raises
    ------
    UsageError
        Where the step does not fit the axis.
    """
    small = n <= KEPT_ENTRIES and prod(axis_shape(step, n)) <= KEPT_ENTRIES
    return (_kept if small else _index)(step, n)


def _index(step: Step, n: int) -> NDArray[np.int64]:
    index = _looked_up(step, n)[1]()
    index = np.where((index >= 0) & (index < n), index, -1).astype(np.int64)
    index.setflags(write=False)
    return index


_kept = lru_cache(maxsize=256)(_index)


def _looked_up(step: Step, n: int) -> Lazy:
    try:
        return _INDEXED[step.kind](n, step.numbers)
    except ValueError as error:  # another number of numbers
        raise UsageError(f"{step.kind} has other numbers") from error


def require_positive(*numbers: int) -> None:
    """Raise :class:`UsageError` unless lengths or strides are positive, and not too large."""
    if any(not 1 <= n <= MAX_ENTRIES for n in numbers):
        raise UsageError("a length or a stride is out of bounds")


def _natural(*numbers: int) -> None:
    if any(not 0 <= n <= MAX_INDEX for n in numbers):
        raise UsageError("padding out of bounds")


def _small(entries: int) -> None:
    if entries > MAX_INDEX:
        raise UsageError("an axis would be too long")


def require_count(numbers: Sequence[int], wanted: int) -> None:
    """Raise :class:`UsageError` unless a step has so many numbers."""
    if len(numbers) != wanted:
        raise UsageError("a step has other numbers")
