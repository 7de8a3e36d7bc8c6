"""Wires: public linear maps between a value and the operand that an op reads.

A wire is a list of steps; each rearranges or sums entries and computes nothing else, so that a
proof never commits to its result. Here stands what a step means on integers, and the one
description of it (:func:`axis_index`, :func:`axis_matrix`) that proofs transpose
(:mod:`veracity.zkml.circuit.axis_maps`).

============  =============================================  ================================
kind          numbers                                        result
============  =============================================  ================================
``permute``   order                                          axes in another order
``split``     sizes                                          one axis becomes several
``repeat``    size                                           a new axis, along which values repeat
``sum``                                                      the axis is summed over and gone
``window``    size, stride, dilation, low, high              (places, taps); zero outside
``pad``       mode, low, high                                zero (0), edge (1), reflect (2)
``slice``     start, stop, stride                            every stride-th entry
``flip``                                                     the other way round
``dilate``    factor                                         factor - 1 zeros between entries
``tile``      count                                          the whole axis, again and again
``each``      count                                          every entry, count times
``pick``      indices                                        entries by index; -1 gives zero
``taps``      rows, entries of a matrix (rows, length)       matrix times axis
``dft``       part, half, scale                              Fourier transform (below)
``idft``      part, half, scale, length                      its inverse, to that length
============  =============================================  ================================

``dft`` multiplies by ``round(2^scale f(2 pi k j / n) / sqrt(n))``, ``f`` the cosine (part 0) or the
sine (1), for all n frequencies k, or, with half 1, for the first ``n // 2 + 1``. ``idft`` is its
transpose, where half of the frequencies count twice if they stand for two.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.errors import UsageError
from veracity.graph.exact import transformed
from veracity.graph.fourier import fourier_matrix
from veracity.graph.port import Dim, Dims
from veracity.records import record

__all__ = [
    "MODES",
    "Step",
    "Wire",
    "apply_wire",
    "axis_index",
    "axis_matrix",
    "gather_wire",
    "wire_dims",
    "wire_gain",
    "wire_over",
    "wire_work",
]

MODES = ("zero", "edge", "reflect")
#: Most steps of a wire, numbers of a step, entries of an axis's index, entries of a result.
MAX_STEPS, MAX_NUMBERS, MAX_INDEX, MAX_ENTRIES = 32, 1 << 16, 1 << 22, 1 << 30
#: Most entries of axes that all wires of a program read or make: what verifying them costs.
MAX_WORK = 1 << 26
#: Most axes between two steps.
MAX_AXES = 12
_MATRICES = ("taps", "dft", "idft")


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
        See the table above.
    """

    kind: str
    axis: int
    numbers: tuple[int, ...] = ()


Wire = tuple[Step, ...]
Array = NDArray[Any]


def _window(n: int, numbers: Sequence[int]) -> NDArray[np.int64]:
    size, stride, dilation, low, high = numbers
    _positive(size, stride, dilation)
    _natural(low, high)
    places = (n + low + high - dilation * (size - 1) - 1) // stride + 1
    _positive(places)
    _small(places * size)
    first = np.arange(places, dtype=np.int64) * stride - low
    return first[:, None] + np.arange(size, dtype=np.int64) * dilation


def _pad(n: int, numbers: Sequence[int]) -> NDArray[np.int64]:
    mode, low, high = numbers
    _natural(low, high)
    _small(n + low + high)
    at = np.arange(-low, n + high)
    if mode == 0:
        return at
    if mode == 1:
        return np.clip(at, 0, n - 1)
    if mode != 2 or max(low, high) >= n:
        raise UsageError("no such padding")
    reflected: NDArray[np.int64] = n - 1 - np.abs(n - 1 - np.abs(at))
    return reflected


def _slice(n: int, numbers: Sequence[int]) -> NDArray[np.int64]:
    start, stop, stride = numbers
    _positive(stride)
    if not 0 <= start < stop <= n:
        raise UsageError("a slice leaves its axis")
    return np.arange(start, stop, stride)


def _flip(n: int, numbers: Sequence[int]) -> NDArray[np.int64]:
    _count(numbers, 0)
    return np.arange(n)[::-1]


def _dilate(n: int, numbers: Sequence[int]) -> NDArray[np.int64]:
    (factor,) = numbers
    _positive(factor)
    _small((n - 1) * factor + 1)
    at = np.arange((n - 1) * factor + 1)
    return np.where(at % factor == 0, at // factor, -1)


def _tile(n: int, numbers: Sequence[int]) -> NDArray[np.int64]:
    (count,) = numbers
    _positive(count)
    _small(n * count)
    return np.arange(n * count) % n


def _each(n: int, numbers: Sequence[int]) -> NDArray[np.int64]:
    (count,) = numbers
    _positive(count)
    _small(n * count)
    return np.arange(n * count) // count


def _pick(n: int, numbers: Sequence[int]) -> NDArray[np.int64]:
    _positive(len(numbers))
    if min(numbers) < -1 or max(numbers) >= n:
        raise UsageError("an index leaves its axis")
    return np.asarray(numbers, dtype=np.int64)


_INDEXED: dict[str, Callable[[int, Sequence[int]], NDArray[np.int64]]] = {
    "window": _window,
    "pad": _pad,
    "slice": _slice,
    "flip": _flip,
    "dilate": _dilate,
    "tile": _tile,
    "each": _each,
    "pick": _pick,
}


@lru_cache(maxsize=256)
def axis_index(step: Step, n: int) -> NDArray[np.int64]:
    """Which entry of an axis of length ``n`` each entry of the result reads; -1 for zero.

    Raises
    ------
    UsageError
        Where the step does not fit the axis.
    """
    try:
        index = _INDEXED[step.kind](n, step.numbers)
    except ValueError as error:  # another number of numbers
        raise UsageError(f"{step.kind} has other numbers") from error
    index = np.where((index >= 0) & (index < n), index, -1).astype(np.int64)
    index.setflags(write=False)
    return index


@lru_cache(maxsize=64)
def axis_matrix(step: Step, n: int) -> NDArray[np.int64]:
    """The matrix that a step multiplies an axis of length ``n`` by, (rows, n).

    Raises
    ------
    UsageError
        Where its numbers do not fit.
    """
    if step.kind != "taps":
        return fourier_matrix(step.kind, n, step.numbers)
    rows = step.numbers[0] if step.numbers else 0
    _positive(rows)
    if len(step.numbers) != 1 + rows * n or max(map(abs, step.numbers[1:])) >= 1 << 31:
        raise UsageError("taps have another number of entries, or too large ones")
    matrix = np.asarray(step.numbers[1:], dtype=np.int64).reshape(rows, n)
    matrix.setflags(write=False)
    return matrix


def is_indexed(step: Step) -> bool:
    """Whether :func:`axis_index` says all about a step."""
    return step.kind in _INDEXED


def _step_dims(step: Step, dims: Dims) -> Dims:
    """Dims after one step; ValueError, TypeError or UsageError where it does not fit."""
    kind, axis, numbers = step.kind, step.axis, step.numbers
    if kind == "permute":
        if axis != 0 or sorted(numbers) != list(range(len(dims))):
            raise UsageError("no order of the axes")
        return tuple(dims[i] for i in numbers)
    if kind == "repeat":
        (size,) = numbers
        _positive(size)
        if not 0 <= axis <= len(dims):
            raise UsageError("no such axis")
        return (*dims[:axis], size, *dims[axis:])
    if not 0 <= axis < len(dims):
        raise UsageError("no such axis")
    n = dims[axis]
    if not isinstance(n, int):
        raise UsageError("a step on an axis whose length is not known")
    found: tuple[int, ...]
    if kind == "split":
        _positive(*numbers)
        if prod(numbers) != n or not numbers:
            raise UsageError("a split into other sizes")
        found = numbers
    elif kind == "sum":
        _count(numbers, 0)
        found = ()
    elif kind in _MATRICES:
        found = (len(axis_matrix(step, n)),)
    elif kind in _INDEXED:
        found = axis_index(step, n).shape
    else:
        raise UsageError(f"no step {kind!r}")
    return (*dims[:axis], *found, *dims[axis + 1 :])


def wire_dims(wire: Wire, dims: Dims) -> Dims:
    """Dims of the operand that a wire makes of a value.

    Raises
    ------
    UsageError
        Where a step does not fit, or the operand would be too large.
    """
    return _followed(wire, dims)[0]


def wire_work(wire: Wire, dims: Dims) -> int:
    """Entries of the axes that the steps of a wire read or make: a verifier's work on it.

    Raises
    ------
    UsageError
        Where a step does not fit, or there are more than a program may have.
    """
    return _followed(wire, dims)[1]


def _followed(wire: Wire, dims: Dims) -> tuple[Dims, int]:
    """Dims behind a wire, and the work on it."""
    if len(wire) > MAX_STEPS:
        raise UsageError("a wire has too many steps")
    work = 0
    for step in wire:
        if len(step.numbers) > MAX_NUMBERS:
            raise UsageError("a step has too many numbers")
        before = dims
        try:
            dims = _step_dims(step, dims)
        except ValueError as error:
            raise UsageError(f"{step.kind} has other numbers") from error
        work += _step_work(step, before, dims)
        if work > MAX_WORK:
            raise UsageError("wires read or make axes of more than 2^26 entries")
        if len(dims) > MAX_AXES or _entries(dims) > MAX_ENTRIES:
            raise UsageError("an operand has too many axes or entries")
    return dims, work


def _step_work(step: Step, before: Dims, after: Dims) -> int:
    if step.kind == "permute":
        return 0
    if step.kind == "repeat":
        return step.numbers[0]
    n = _known(before[step.axis])
    if step.kind in _MATRICES:
        return n * (1 + _known(after[step.axis]))
    return n + _entries(after[step.axis : step.axis + 1 + len(after) - len(before)])


def _entries(dims: Dims) -> int:
    return prod(d for d in dims if isinstance(d, int))


def apply_step(step: Step, x: Array) -> Array:
    """One step on integers (or floats, while a model is calibrated)."""
    kind, axis, numbers = step.kind, step.axis, step.numbers
    if kind == "permute":
        return x.transpose(numbers)
    if kind == "repeat":
        shape = (*x.shape[:axis], numbers[0], *x.shape[axis:])
        return np.broadcast_to(np.expand_dims(x, axis), shape)
    if kind == "split":
        return x.reshape(*x.shape[:axis], *numbers, *x.shape[axis + 1 :])
    if kind == "sum":
        return np.asarray(x.sum(axis=axis, dtype=_wide(x)))
    if kind in _MATRICES:
        return transformed(axis_matrix(step, x.shape[axis]), x, axis)
    if kind == "window":
        return _windows(x, axis, numbers)
    index = axis_index(step, x.shape[axis])
    out = np.take(x, np.maximum(index, 0), axis=axis)
    if int(index.min()) < 0:
        absent = (index < 0).reshape(*index.shape, *([1] * (x.ndim - axis - 1)))
        out = np.where(absent, x.dtype.type(0), out)
    return out


def _windows(x: Array, axis: int, numbers: Sequence[int]) -> Array:
    """Windows as a view of ``x``, or of ``x`` between zeros: taps are not copied."""
    places, _ = _window(x.shape[axis], numbers).shape
    size, stride, dilation, low, high = numbers
    if low or high:
        x = np.pad(x, [(low, high) if i == axis else (0, 0) for i in range(x.ndim)])
    found = np.lib.stride_tricks.sliding_window_view(x, dilation * (size - 1) + 1, axis=axis)
    cut = [slice(None)] * found.ndim
    cut[axis], cut[-1] = slice(0, (places - 1) * stride + 1, stride), slice(None, None, dilation)
    return np.moveaxis(found[tuple(cut)], -1, axis + 1)


def _wide(x: Array) -> np.dtype[Any]:
    return x.dtype if x.dtype.kind in "fO" else np.dtype(np.int64)


def apply_wire(wire: Wire, x: Array) -> Array:
    """A wire on integers, or on floats while a model is calibrated."""
    for step in wire:
        x = apply_step(step, x)
    return x


def gather_wire(wire: Wire, y: Array, dims: tuple[int, ...]) -> Array:
    """The transpose of a wire of windows: every entry of ``dims`` sums what read it.

    Parameters
    ----------
    wire : Wire
        Steps of kind ``window`` only.
    y : array
        With the dims that the wire makes of ``dims``.
    dims : tuple of int
        Dims of the result.
    """
    for i, step in reversed(list(enumerate(wire))):
        if step.kind != "window":
            raise UsageError("only windows are gathered")
        size, stride, dilation, low, high = step.numbers
        axis, length = step.axis, _known(wire_dims(wire[:i], dims)[step.axis])
        taps = np.moveaxis(y, (axis, axis + 1), (0, 1))
        out = np.zeros((length + low + high, *taps.shape[2:]), dtype=y.dtype)
        span = (len(taps) - 1) * stride + 1
        for tap in range(size):
            out[tap * dilation : tap * dilation + span : stride] += taps[:, tap]
        y = np.moveaxis(out[low : low + length], 0, axis)
    return y


def step_gain(step: Step, n: int) -> int:
    """What magnitudes grow by at most in one step on an axis of length ``n``."""
    if step.kind == "sum":
        return n
    if step.kind in _MATRICES:
        return int(np.abs(axis_matrix(step, n)).sum(axis=1).max())
    return 1


def wire_gain(wire: Wire, dims: Dims) -> int:
    """What magnitudes grow by at most: the greatest sum of absolute values of a row."""
    gain = 1
    for step in wire:
        if step.kind == "sum" or step.kind in _MATRICES:
            gain *= step_gain(step, _known(dims[step.axis]))
        dims = _step_dims(step, dims)
    return gain


def wire_over(wire: Wire) -> Wire:
    """The same wire on values with one more, first axis, which no step touches."""
    out = []
    for step in wire:
        if step.kind == "permute":
            out.append(Step("permute", 0, (0, *(n + 1 for n in step.numbers))))
        else:
            out.append(Step(step.kind, step.axis + 1, step.numbers))
    return tuple(out)


def _known(n: Dim) -> int:
    if not isinstance(n, int):
        raise UsageError("a step on an axis whose length is not known")
    return n


def _positive(*numbers: int) -> None:
    if any(not 1 <= n <= MAX_ENTRIES for n in numbers):
        raise UsageError("a length or a stride is out of bounds")


def _natural(*numbers: int) -> None:
    if any(not 0 <= n <= MAX_INDEX for n in numbers):
        raise UsageError("padding out of bounds")


def _small(entries: int) -> None:
    if entries > MAX_INDEX:
        raise UsageError("an axis would be too long")


def _count(numbers: Sequence[int], wanted: int) -> None:
    if len(numbers) != wanted:
        raise UsageError("a step has other numbers")
