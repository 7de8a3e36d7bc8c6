"""Pointwise functions (SiLU, GELU) of an opened value by pieces of degree 2.

* Exchanges: none beyond the opening of the input; the result is opened by whoever needs that.
* Offline: one key of ``16 + 40 (n - 2) + 96`` bytes a value to each party, ``n = 17 + guard``.
* Error: ``Pieces.error`` in units of the result, plus its stochastic rounding; the program rounds
  to the nearest unit.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from veracity.graph.ops import Function
from veracity.graph.tables import FUNCTIONS
from veracity.mpc.party import Masked, Role, Secret
from veracity.mpc.secure.pieces import Pieces, fit, piecewise

__all__ = ["function", "function_pieces"]

_STEP = 0.25
_TAIL = (4.5, 5.0, 5.5, 6.0, 7.0, 8.0, 10.0, 13.0, 20.0)


@lru_cache(maxsize=64)
def function_pieces(fn: str, k_in: int, k_out: int, guard: int) -> Pieces:
    """Pieces on 17 + guard bits for an input at ``2^-(k_in + guard)``."""
    unit = 2 ** (k_in + guard)
    bits, edge = 17 + guard, 1 << (16 + guard)
    inner = np.arange(-4.0, 4.0 + _STEP, _STEP)
    real = [*(-t for t in reversed(_TAIL)), *inner, *_TAIL]
    inside = sorted({round(x * unit) for x in real if abs(x) * unit < edge})
    knots = [-edge, *inside, edge]
    approximate = FUNCTIONS[fn][0]

    def f(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(approximate(x / unit) * 2.0**k_out)

    # A coefficient of x^2 is rounded by half a unit: half the interval, squared.
    scale = max(6, 2 * (k_in + guard - 3))
    return fit(f, knots, -edge, bits, scale)


def function(role: Role, op: Function, x: Masked, guard: int) -> tuple[Secret, int, int]:
    """Shares of ``fn(x)``, the pending shift and the bits; x is at 2^guard."""
    pieces = function_pieces(op.fn, op.k_in, op.k_out, guard)
    return piecewise(role, x, pieces), pieces.scale, 17 + pieces.scale
