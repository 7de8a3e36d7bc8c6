"""The prover's integers on their way into a circuit: quotients, remainders, digits."""

from __future__ import annotations

from typing import Any

import numpy as np

from veracity.engine.api import Integers, Ints
from veracity.errors import RangeError
from veracity.zkml.circuit.tensor import widened

__all__ = ["digits_of", "divided"]

_BEYOND = "the row statistics leave their static bound; calibrate again"


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
        digits = np.empty((count, *dims), dtype=np.int64)
        for digit in digits:
            np.bitwise_and(rest, 0xFFFF, out=digit)
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
    return np.moveaxis(found, -1, 0).astype(np.int64)
