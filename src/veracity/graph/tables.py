"""Function tables on 16 bits, bit-identical on every machine.

Entries are computed in float64; an entry whose exact value might lie nearer than 2^-20 to a
rounding tie is recomputed with 50 decimal digits, so that the last bits of a platform's ``exp``
cannot
matter.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import ROUND_FLOOR, Decimal, localcontext
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from veracity.graph.functions import find_function

__all__ = ["exp_table", "function_table", "round_exactly"]

_TIE = 2.0**-20
#: Entries are clipped to 16 bits; this is far beyond, and exact in an int64.
_MOST = 2.0**40


def round_exactly(
    approximate: NDArray[np.float64], exact: Callable[[int], Decimal]
) -> NDArray[np.int64]:
    """Round half up; entries near a tie are decided by ``exact(index)`` (the scaled value)."""
    out = np.floor(approximate + 0.5).astype(np.int64)
    distance = np.abs(approximate - np.floor(approximate) - 0.5)
    with localcontext() as context:
        context.prec = 50
        for i in np.flatnonzero(distance < _TIE):
            shifted = exact(int(i)) + Decimal("0.5")
            out[i] = int(shifted.to_integral_value(rounding=ROUND_FLOOR))
    return out


@lru_cache(maxsize=8)
def exp_table(exp_k: int) -> NDArray[np.int64]:
    """``round(exp(-d 2^-exp_k) 2^15)`` for ``d`` in ``[0, 2^16)``; int64[65536], read-only."""
    d = np.arange(1 << 16)
    approximate = np.asarray(np.exp(-d * 2.0**-exp_k) * 2.0**15, dtype=np.float64)
    out = round_exactly(approximate, lambda i: (-Decimal(i) / Decimal(2**exp_k)).exp() * 2**15)
    out.setflags(write=False)
    return out


@lru_cache(maxsize=64)
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
    approximate_fn, exact_fn = find_function(fn)
    x = np.arange(-(1 << 15), 1 << 15)
    grid = np.asarray(x * 2.0**-k_in, dtype=np.float64)
    approximate = np.asarray(approximate_fn(grid) * 2.0**k_out, dtype=np.float64)
    approximate = np.clip(approximate, -_MOST, _MOST)
    out = round_exactly(
        approximate, lambda i: exact_fn(Decimal(i - (1 << 15)) / Decimal(2**k_in)) * 2**k_out
    )
    out = np.clip(out, -(1 << 15), (1 << 15) - 1)
    out.setflags(write=False)
    return out
