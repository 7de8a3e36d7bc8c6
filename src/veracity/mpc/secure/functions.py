"""Pointwise functions (SiLU, GELU, ReLU, ..) of an opened value by parabolas that fit them.

Two ways to share a parabola at a value. A table with intervals of one width
(:mod:`veracity.mpc.secure.tables`) is short to key; pieces of any width
(:mod:`veracity.mpc.secure.piecewise`) end where a function has a kink, as ReLU has at 0 and every
function where its results leave 16 bits. The table serves wherever it is good enough.

A fit is measured before anything uses it: at every argument the program knows, against the
program's own table. More than :data:`LIMIT` units beyond the program's rounding are refused. All of
this is integer arithmetic, so all parties take the same fit.

* Exchanges: none beyond the opening of the input; the result is opened by whoever needs that.
* Offline: one key a value to each party, see the two modules.
* Error: below a unit of the result from the parabolas, plus its stochastic rounding; the program
  rounds to the nearest unit. ReLU with equal exponents is exact.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from functools import lru_cache
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from veracity.errors import UnsupportedModelError
from veracity.graph import tables as program_tables
from veracity.graph.functions import find_function
from veracity.graph.ops import Function
from veracity.mpc.secure.piecewise import Pieces, fit, piecewise
from veracity.mpc.secure.polynomials import Function as Real
from veracity.mpc.secure.role import Masked, Role, Secret
from veracity.mpc.secure.tables import Table, look_up, tabulate

__all__ = ["LIMIT", "fit_function", "fit_pieces", "function"]

#: Units of the result that a fit may be off, beyond the half of the program's own rounding.
LIMIT = 1
#: Bits of a value and one more, so that none is near the end of the domain.
_BITS = 17
_EDGE = 1 << 15
#: A table's results are good so far beyond the program's arguments, for values near their ends.
_BEYOND = _EDGE >> 5
#: Bits that a table is indexed by, at least and at most.
_LEAST, _MOST = 7, 12
#: Fraction bits of pieces: those of a table, about, so that an opening wraps as rarely.
_SCALE = 20
#: Pieces at most: each is one more point to evaluate a key at.
_PIECES = 256


@lru_cache(maxsize=64)
def fit_function(fn: str, k_in: int, k_out: int, guard: int) -> Table | Pieces:
    """The cheapest fit within the limit, for an input of 17 + guard bits at ``2^-(k_in + guard)``.

    Parameters
    ----------
    fn : str
        Name of the function.
    k_in, k_out : int
        Exponents of the argument and of the value.
    guard : int
        Bits of the argument beyond the program's.

    Raises
    ------
    UnsupportedModelError
        Where no fit is good enough.
    """
    exact, unit, scale = find_function(fn)[1], 1 << (k_in + guard), 1 << k_out

    def f(x: int) -> Decimal:
        return exact(Decimal(x) / unit) * scale

    want = program_tables.function_table(fn, k_in, k_out)
    x = np.arange(-_EDGE, _EDGE) << guard
    met = np.arange(-_EDGE - _BEYOND, _EDGE + _BEYOND) << guard
    # Third derivatives below 2/3: h^3 / 36 units of the result, h = 2^(17 - high - k_in).
    high = max(_LEAST, min(_MOST, _BITS - k_in + -(-(k_out - 5) // 3)))
    while True:
        table = tabulate(f, _BITS + guard, high).trimmed(met)
        off = max(_off(y, want, table.scale) for y in table.values(x))
        if off <= LIMIT:
            return table
        # A bit more divides the error of a smooth function by 8: where that is not enough, it has
        # a corner.
        if off > 8 * LIMIT or high == _MOST:
            return fit_pieces(
                lambda x: max(Decimal(-_EDGE), min(Decimal(_EDGE - 1), f(x))), want, guard
            )
        high += 1


def _off(y: NDArray[np.int64], want: NDArray[np.int64], scale: int) -> float:
    """Most units between a fit, times ``2^scale``, and what rounds to the program's integers."""
    if not y.size:
        return 0.0
    difference = y - (want << scale)
    worst = max(int(difference.max()), -int(difference.min()))
    return max(0, worst - (1 << (scale - 1))) / (1 << scale)


def fit_pieces(f: Real, want: NDArray[np.int64], guard: int, most: int = _PIECES) -> Pieces:
    """Halve intervals until every parabola is within half the limit.

    Parameters
    ----------
    f : callable
        From integers of 17 + guard bits to decimals, cut off where the program's results are.
    want : int64 array, shape (65536,)
        The program's results.
    guard : int
        Bits of the argument beyond the program's.
    most : int
        Pieces at most.

    Raises
    ------
    UnsupportedModelError
        Where that takes more pieces.
    """
    low, bits = -1 << (_BITS - 1 + guard), _BITS + guard
    grid = np.arange(-_EDGE, _EDGE) << guard

    def halved(left: int, right: int) -> Iterator[int]:
        """Left ends of the pieces of an interval."""
        inside = slice(*np.searchsorted(grid, [left, right]))
        piece = fit(f, (left, right), low, bits, _SCALE)
        if right - left == 1 or _off(piece(grid[inside]), want[inside], _SCALE) <= LIMIT / 2:
            yield left
            return
        middle = (left + right) // 2
        yield from halved(left, middle)
        yield from halved(middle, right)

    knots = list(islice((k for side in ((low, 0), (0, -low)) for k in halved(*side)), most + 1))
    pieces = fit(f, [*knots, -low], low, bits, _SCALE)
    if len(knots) > most or _off(pieces(grid), want, _SCALE) > LIMIT:
        raise UnsupportedModelError(
            "function",
            f"a function that {most} parabolas miss by more than {LIMIT} unit",
            "calibrate with more bits for its argument or fewer for its value",
        )
    return pieces


def function(role: Role, op: Function, x: Masked, guard: int) -> tuple[Secret, int, int]:
    """Shares of ``fn(x)``, the pending shift and the bits; x is at 2^guard.

    Parameters
    ----------
    role : Role
        Who runs it.
    op : Function
        What is computed.
    x : Masked
        The opened argument.
    guard : int
        Bits of it beyond the program's.

    Raises
    ------
    UnsupportedModelError
        Where no fit is good enough.
    """
    found = fit_function(op.fn, op.k_in, op.k_out, guard)
    share = look_up(role, x, found) if isinstance(found, Table) else piecewise(role, x, found)
    return share, found.scale, 17 + found.scale
