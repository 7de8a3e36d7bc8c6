"""Pointwise functions (SiLU, GELU) of an opened value by a table of parabolas.

* Exchanges: none beyond the opening of the input; the result is opened by whoever needs that.
* Offline: one key a value to each party, see :mod:`veracity.mpc.secure.tables`.
* Error: below a unit of the result from the parabolas, plus its stochastic rounding; the program
  rounds to the nearest unit.
"""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache

from veracity.graph.functions import find_function
from veracity.graph.ops import Function
from veracity.mpc.party import Masked, Role, Secret
from veracity.mpc.secure.tables import Table, look_up, tabulate

__all__ = ["function", "function_table"]

#: Bits of a value and one more, so that none is near the end of the domain.
_BITS = 17
#: Bits that a table is indexed by, at least and at most.
_LEAST, _MOST = 7, 12


@lru_cache(maxsize=64)
def function_table(fn: str, k_in: int, k_out: int, guard: int) -> Table:
    """Parabolas on 17 + guard bits for an input at ``2^-(k_in + guard)``.

    Parameters
    ----------
    fn : str
        Name of the function.
    k_in, k_out : int
        Exponents of the argument and of the value.
    guard : int
        Bits of the argument beyond the program's.
    """
    exact = find_function(fn)[1]
    unit, scale, edge = 1 << (k_in + guard), 1 << k_out, 1 << 15
    # The third derivatives are below 2/3: h^3 / 36 units of the result, h = 2^(17 - high - k_in).
    high = _BITS - k_in + -(-(k_out - 5) // 3)

    def f(x: int) -> Decimal:
        if k_out <= k_in:  # no value of 16 bits is cut off, and no kink comes near one
            return exact(Decimal(x) / unit) * scale
        return max(Decimal(-edge), min(Decimal(edge - 1), exact(Decimal(x) / unit) * scale))

    return tabulate(f, _BITS + guard, max(_LEAST, min(_MOST, high)))


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
    """
    table = function_table(op.fn, op.k_in, op.k_out, guard)
    return look_up(role, x, table), table.scale, 17 + table.scale
