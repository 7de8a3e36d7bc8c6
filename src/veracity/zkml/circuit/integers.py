"""The prover's integers on their way into a circuit: quotients, remainders, digits.

Long arrays are worked through in blocks that fit in a cache: what is kept of them is short, and
64-bit intermediates of a whole array would be written to fresh memory and read once.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from veracity.engine.api import Ints
from veracity.errors import RangeError
from veracity.zkml.circuit.tensor import widened

__all__ = ["digits_of", "divided"]

#: Entries of a block.
_BLOCK = 1 << 14
#: What quotients are kept in: the first that holds them.
_SHORT = (np.iinfo(np.int16), np.iinfo(np.int32))


def divided(value: Ints, shift: int) -> tuple[Ints, Ints]:
    """``value + 2^(shift-1)`` divided by ``2^shift``: the quotients, rounded down, and the rests.

    Parameters
    ----------
    value : Ints
        Of any of the engine's types, or Python's integers.
    shift : int
        Bits that are dropped.

    Returns
    -------
    tuple of array
        Of the same shape, in short types where these hold them.
    """
    half, mask = (1 << shift) >> 1, (1 << shift) - 1
    if value.dtype != object and shift < 32:
        flat = np.ascontiguousarray(value).reshape(-1)
        rests = np.empty(flat.shape, dtype=np.uint16 if shift <= 16 else np.int32)
        for short in _SHORT:
            quotients = np.empty(flat.shape, dtype=short.dtype)
            if _divide(flat, (half, shift, mask), quotients, rests):
                return quotients.reshape(value.shape), rests.reshape(value.shape)
    shifted = np.asarray(widened(value) + half)
    return shifted >> shift, shifted & mask


def _divide(flat: Ints, by: tuple[int, int, int], quotients: Ints, rests: Ints) -> bool:
    """Fill in quotients and rests, unless a quotient is too large for its type."""
    half, shift, mask = by
    limits = np.iinfo(quotients.dtype)
    room = np.empty((2, min(_BLOCK, flat.size)), dtype=np.int64)
    for start in range(0, flat.size, _BLOCK):
        block = slice(start, start + _BLOCK)
        shifted, quotient = room[:, : flat[block].size]
        np.add(flat[block], half, out=shifted, dtype=np.int64)
        np.right_shift(shifted, shift, out=quotient)
        if int(quotient.min()) < limits.min or int(quotient.max()) > limits.max:
            return False
        quotients[block] = quotient
        rests[block] = np.bitwise_and(shifted, mask, out=shifted)
    return True


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
    numbers: list[Any] = value.reshape(-1).tolist()
    try:
        data = b"".join([int(x).to_bytes(2 * count, "little") for x in numbers])
    except OverflowError as error:
        reason = "the row statistics leave their static bound; calibrate again"
        raise RangeError(op, reason) from error
    found = np.frombuffer(data, dtype="<u2").reshape(*dims, count)
    return np.moveaxis(found, -1, 0).astype(np.int64)
