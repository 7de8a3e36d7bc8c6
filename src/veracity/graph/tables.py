"""Function tables on 16 bits, bit-identical on every machine.

Entries are computed in float64; an entry whose exact value might lie nearer than 2^-20 to a
rounding tie is recomputed with 50 decimal digits, so that the last bits of a platform's ``exp``
cannot
matter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import ROUND_FLOOR, Decimal, localcontext
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from veracity.graph.functions import find_function

__all__ = ["KEPT", "decimal_entries", "exp_table", "function_table", "round_exactly"]

_TIE = 2.0**-20
#: Entries are clipped to 16 bits; this is far beyond, and exact in an int64.
_MOST = 2.0**40
#: Function tables that are kept; of more, each is made again where it is needed.
KEPT = 64
#: Entries made at a time, so that what they are made from stays in memory that is there already.
_STRETCH = 1 << 12


def round_exactly(
    approximate: NDArray[np.float64], exact: Callable[[int], Decimal]
) -> NDArray[np.int64]:
    """Round half up; entries near a tie are decided by ``exact(index)`` (the scaled value)."""
    out = np.floor(approximate + 0.5).astype(np.int64)
    with localcontext() as context:
        context.prec = 50
        for i in _near_ties(approximate):
            shifted = exact(int(i)) + Decimal("0.5")
            out[i] = int(shifted.to_integral_value(rounding=ROUND_FLOOR))
    return out


def _near_ties(approximate: NDArray[np.float64]) -> NDArray[np.intp]:
    """Places of the entries that floats cannot decide."""
    distance = np.abs(approximate - np.floor(approximate) - 0.5)
    return np.flatnonzero(distance < _TIE)


def _stretches(
    low: int, approximate: Callable[[NDArray[np.float64]], object]
) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Scaled values in float64, and the places where each stretch of them begins.

    Parameters
    ----------
    low : int
        The first integer.
    approximate : callable
        Scaled values of an array of integers, in float64.
    """
    for first in range(0, 1 << 16, _STRETCH):
        near = approximate(np.arange(low + first, low + first + _STRETCH, dtype=np.float64))
        yield first, np.clip(np.asarray(near, dtype=np.float64), -_MOST, _MOST)


def _by_stretches(
    low: int, approximate: Callable[[NDArray[np.float64]], object], exact: Callable[[int], Decimal]
) -> NDArray[np.int64]:
    """Entries of the integers ``low .. low + 65535``: rounded, and at most 2^15 in magnitude.

    Parameters
    ----------
    low : int
        The first integer.
    approximate : callable
        Scaled values of an array of integers, in float64.
    exact : callable
        The scaled value of one integer.
    """
    out = np.empty(1 << 16, dtype=np.int64)
    for first, near in _stretches(low, approximate):
        start = low + first
        rounded = round_exactly(near, lambda i, start=start: exact(start + i))  # type: ignore[misc]
        np.clip(rounded, -(1 << 15), 1 << 15, out=out[first : first + _STRETCH])
    return out


@lru_cache(maxsize=8)
def exp_table(exp_k: int) -> NDArray[np.int64]:
    """``round(exp(-d 2^-exp_k) 2^15)`` for ``d`` in ``[0, 2^16)``; int64[65536], read-only."""
    out = _by_stretches(
        0,
        lambda d: np.exp(-d * 2.0**-exp_k) * 2.0**15,
        lambda d: (-Decimal(d) / Decimal(2**exp_k)).exp() * 2**15,
    )
    out.setflags(write=False)
    return out


@lru_cache(maxsize=KEPT)
def function_table(fn: str, k_in: int, k_out: int) -> NDArray[np.int64]:
    """``round(fn(x 2^-k_in) 2^k_out)`` clipped to 16 bits.

    Parameters
    ----------
    fn : str
        Name of the function, with its parameters.
    k_in, k_out : int
        Exponents of the argument and of the value.

    Returns
    -------
    int64 array, shape (65536,)
        The entry of ``x`` has the index ``x + 32768``; read-only.

    Raises
    ------
    UsageError
        For a function that is not there.
    """
    exact = find_function(fn)[1]
    out = _by_stretches(
        -(1 << 15),
        _scaled(fn, k_in, k_out),
        lambda x: exact(Decimal(x) / Decimal(2**k_in)) * 2**k_out,
    )
    np.clip(out, -(1 << 15), (1 << 15) - 1, out=out)
    out.setflags(write=False)
    return out


def _scaled(fn: str, k_in: int, k_out: int) -> Callable[[NDArray[np.float64]], object]:
    """``fn(x 2^-k_in) 2^k_out`` of an array, in floats."""
    approximate = find_function(fn)[0]
    return lambda x: approximate(x * 2.0**-k_in) * 2.0**k_out


def decimal_entries(fn: str, k_in: int, k_out: int) -> int:
    """How many entries of a function table are computed in decimals; tells how long that takes.

    Parameters
    ----------
    fn : str
        Name of the function, with its parameters.
    k_in, k_out : int
        Exponents of the argument and of the value.
    """
    found = _stretches(-(1 << 15), _scaled(fn, k_in, k_out))
    return sum(len(_near_ties(near)) for _, near in found)
