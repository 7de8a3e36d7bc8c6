"""The prover's integers on their way into a circuit: quotients, remainders, digits, batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from veracity.engine.api import Integers, Ints
from veracity.errors import RangeError
from veracity.zkml.circuit.tensor import widened

__all__ = ["OUTSIDE", "compact", "digits_of", "divided", "looked_up", "stacked"]

#: What to do about an input that leaves a table.
OUTSIDE = "calibrate again with text like this input (veracity calibrate --text)"
#: Short types of the engine and what they hold.
_RANGES = [
    (dtype, int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))
    for dtype in (np.int8, np.int16, np.uint16, np.int32)
]
_SHORT = (np.dtype(np.int16), np.dtype(np.uint16))

_BEYOND = "the row statistics leave their static bound; calibrate again"


def compact(values: Ints) -> Ints:
    """The values in a type of the engine: 16 bits as they are, others in the shortest that fits."""
    if values.size == 0:
        raise ValueError("an array is empty")
    if values.dtype in _SHORT:
        return np.ascontiguousarray(values)
    low, high = int(values.min()), int(values.max())
    for dtype, least, most in _RANGES:
        if least <= low and high <= most:
            return np.ascontiguousarray(values, dtype=dtype)
    return np.ascontiguousarray(values, dtype=np.int64)


def looked_up(op: str, x: Ints, low: int, images: Ints, integers: Integers | None = None) -> Ints:
    """``images[x - low]``, in a short type.

    Parameters
    ----------
    op : str
        The op that looks up.
    x : array
        Arguments.
    low : int
        What the first image belongs to.
    images : array
        Of consecutive arguments.
    integers : Integers, optional
        The engine's; NumPy where not given.

    Raises
    ------
    RangeError
        Where an argument has no image.
    """
    images = compact(images)
    if integers is not None and x.dtype != object:
        try:
            return integers.look_up(np.ascontiguousarray(x), low, images)
        except ValueError as error:
            raise RangeError(op, OUTSIDE) from error
    if x.size and not low <= int(x.min()) <= int(x.max()) < low + len(images):
        raise RangeError(op, OUTSIDE)
    return images[(widened(x) - low).astype(np.int64)]


def divided(value: Ints, shift: int, integers: Integers | None = None) -> tuple[Ints, Ints]:
    """``value + 2^(shift-1)`` divided by ``2^shift``: the quotients, rounded down, and the rests.

    Parameters
    ----------
    value : Ints
        Of any of the engine's types, or Python's integers.
    shift : int
        Bits that are dropped.
    integers : Integers, optional
        The engine's, which give both in short types.

    Returns
    -------
    tuple of array
        Of the same shape.
    """
    if integers is not None and value.dtype != object and shift < 64:
        return integers.divide(np.ascontiguousarray(value), shift)
    shifted = np.asarray(widened(value) + (1 << shift >> 1))
    return shifted >> shift, shifted & (1 << shift) - 1


def digits_of(op: str, value: Ints, dims: tuple[int, ...], count: int) -> Ints:
    """Non-negative integers, of any size, as 16-bit digits: (count, *dims), the lowest first.

    Parameters
    ----------
    op : str
        The op that they belong to.
    value : array
        As many integers as dims say.
    dims : tuple of int
        Dims.
    count : int
        Number of digits.

    Raises
    ------
    RangeError
        Where an integer is negative or has more digits.
    """
    if value.dtype != object:
        rest = value.reshape(dims).astype(np.int64)
        digits = np.empty((count, *dims), dtype=np.uint16)
        for digit in digits:
            digit[...] = rest & 0xFFFF
            rest >>= 16
        if rest.any():  # of what is negative -1 remains
            raise RangeError(op, _BEYOND)
        return digits
    numbers: list[Any] = value.reshape(-1).tolist()
    try:
        data = b"".join([int(x).to_bytes(2 * count, "little") for x in numbers])
    except OverflowError as error:
        raise RangeError(op, _BEYOND) from error
    found = np.frombuffer(data, dtype="<u2").reshape(*dims, count)
    return np.moveaxis(found, -1, 0).astype(np.uint16, order="C")


def stacked(arrays: Sequence[Ints], order: Sequence[int], integers: Integers | None = None) -> Ints:
    """Arrays of one shape as one: ``np.stack(arrays).transpose(order)``, C-contiguous.

    Parameters
    ----------
    arrays : sequence of array
        At least one, each of any of the engine's types, or Python's integers.
    order : sequence of int
        The axes of the result; 0 is that of the arrays, and 1 their first one.
    integers : Integers, optional
        The engine's; NumPy where not given.

    Returns
    -------
    array
        Of the shortest of the engine's types that holds those of the arrays, or uint16 where some
        arrays are and no entry of the others is negative.
    """
    dtype = np.result_type(*[x.dtype for x in arrays])
    if dtype == np.int32 and all(x.dtype != np.int32 and x.min() >= 0 for x in arrays):
        dtype = np.dtype(np.uint16)  # some instances have an entry beyond 2^15
    if integers is None or dtype.hasobject:
        return np.ascontiguousarray(np.stack(arrays).astype(dtype, copy=False).transpose(order))
    return integers.stack([np.ascontiguousarray(x) for x in arrays], order, dtype)
