"""Gumbel noise from 32-bit integers, by two tables that are the same on every machine.

For a uniform 32-bit integer U let ``u = (U + 1/2) / 2^32``; then ``g = -ln(-ln u)`` has the Gumbel
distribution. Below one half u is small, above it ``1 - u`` is; either is ``(w + 1/2) / 2^32`` for
an integer w of 31 bits. One table for each half gives g to 20 bits after the point, for cells of w
whose width is at most 2^-11 of their distance from the end: the cell of w is its leading 12 bits.
Within a cell g moves by less than 2^-10, and is taken at the cell's middle.

Logarithms differ between machines in their last bits. An entry that those bits could decide is
computed again in decimal arithmetic, which is correctly rounded everywhere.
"""

from __future__ import annotations

from decimal import Context, Decimal
from functools import cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["FRACTION", "gumbel", "tables"]

#: Bits after the point.
FRACTION = 20
#: Bits of a cell's number within one doubling of w.
_CELL = 11
_WORD = 32
#: How far from a tie between two integers 64-bit floats decide, whoever computed them.
_SURE = 1e-5


def gumbel(words: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Gumbel noise times ``2^20``, of uniform 32-bit integers.

    Parameters
    ----------
    words : uint32 array
        Uniform.

    Returns
    -------
    int64 array, the same shape
    """
    low, high = tables()
    upper = words >= np.uint32(1 << (_WORD - 1))
    w = np.where(upper, np.uint32((1 << _WORD) - 1) - words, words)
    cells = _cell(w.astype(np.int64))
    return np.where(upper, high[cells], low[cells])


def _cell(w: NDArray[np.int64]) -> NDArray[np.int64]:
    """Numbers of cells: w itself up to 12 bits, then the leading 12 bits and how many follow."""
    _, bits = np.frexp(w.astype(np.float64))  # exact: 31 bits
    dropped = np.maximum(bits.astype(np.int64) - 1 - _CELL, 0)
    return (dropped << _CELL) + (w >> dropped)


@cache
def tables() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The noise of every cell, where u is small and where ``1 - u`` is."""
    count = ((_WORD - 2 - _CELL) << _CELL) + (2 << _CELL)
    numbers = np.arange(count, dtype=np.int64)
    dropped = np.maximum((numbers >> _CELL) - 1, 0)
    first = (numbers - (dropped << _CELL)) << dropped
    # The middle of the cell; twice it is an integer.
    twice = 2 * first + (np.int64(1) << dropped)
    share = twice.astype(np.float64) * 2.0 ** -(_WORD + 1)
    with np.errstate(divide="ignore"):
        low = -np.log(-np.log(share))
        high = -np.log(-np.log1p(-share))
    return _rounded(low, twice, small=True), _rounded(high, twice, small=False)


def _rounded(
    noise: NDArray[np.float64], twice: NDArray[np.int64], small: bool
) -> NDArray[np.int64]:
    scaled = noise * 2.0**FRACTION
    whole = np.floor(scaled + 0.5)
    out = whole.astype(np.int64)
    close = np.abs(scaled + 0.5 - np.round(scaled + 0.5)) < _SURE
    for place in np.flatnonzero(close).tolist():
        out[place] = _exact(int(twice[place]), small)
    out.setflags(write=False)
    return out


def _exact(twice: int, small: bool) -> int:
    """One entry by correctly rounded decimal arithmetic."""
    context = Context(prec=60)
    share = context.divide(Decimal(twice), Decimal(1 << (_WORD + 1)))
    share = share if small else context.subtract(Decimal(1), share)
    inner = context.minus(context.ln(share))
    noise = context.minus(context.ln(inner))
    scaled = context.add(context.multiply(noise, Decimal(1 << FRACTION)), Decimal("0.5"))
    return int(scaled.to_integral_value(rounding="ROUND_FLOOR"))
