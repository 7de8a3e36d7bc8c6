"""Parabolas with integer coefficients, the same on every machine; and their value under a mask.

Both parties compute the coefficients on their own, and one that differed in a single bit would
turn shares into noise: so decimals of a fixed precision instead of a platform's floats.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext

import numpy as np

from veracity.mpc.party import Array

__all__ = ["Function", "assemble", "parabola"]

#: A real function of an integer.
Function = Callable[[int], Decimal]

_CONTEXT = Context(prec=50, rounding=ROUND_HALF_EVEN)


def parabola(f: Function, middle: int, reach: int, scale: int) -> tuple[int, int, int]:
    """Coefficients of 1, d and d^2, times ``2^scale``, of the parabola through f at three points.

    The points are ``middle`` and those at a distance of ``reach``; d counts from the middle. With
    a reach of 0 the parabola is constant.

    Parameters
    ----------
    f : callable
        From integers to decimals.
    middle : int
        The point in the middle.
    reach : int
        Distance of the others.
    scale : int
        Coefficients are multiplied by ``2^scale``.
    """
    with localcontext(_CONTEXT):
        unit = Decimal(1 << scale)
        centre = f(middle)
        if reach == 0:
            return _nearest(centre * unit), 0, 0
        left, right = f(middle - reach), f(middle + reach)
        slope = (right - left) / (2 * reach)
        bend = (right + left - 2 * centre) / (2 * reach * reach)
        return _nearest(centre * unit), _nearest(slope * unit), _nearest(bend * unit)


def _nearest(x: Decimal) -> int:
    return int(x.to_integral_value())


def assemble(s: Array, c: Array) -> Array:
    """``sum a_q (c - r)^q`` from ``s[n, p, q]``, shares of ``r^p a_q``."""
    two = np.uint64(2)
    constant = s[:, 0, 0] - s[:, 1, 1] + s[:, 2, 2]
    return np.asarray(constant + c * (s[:, 0, 1] - two * s[:, 1, 2]) + c * c * s[:, 0, 2])
