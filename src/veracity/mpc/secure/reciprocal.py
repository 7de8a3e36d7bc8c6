"""Reciprocals and reciprocal roots over many octaves: one set of pieces for every four octaves.

A polynomial on a value of 60 bits would need coefficients far below one unit. So group g looks at
``x >> t_g``, of 13 to 17 bits where it is responsible and public shifts elsewhere; it yields
``2^scale_g f(x)`` if x is in its octaves, else 0. Each is opened with the truncation that brings
all to one scale, and their sum is f(x), opened.

* Exchanges: 1, for the opening, shared with whatever else is opened.
* Bytes: 8 a group and value. Offline: a key and 16 bytes a group and value.
* Error: relative 2^-14 (degree 2, 8 knots an octave; below 2^-12 from truncating x, unbiased).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from functools import reduce
from math import isqrt

import numpy as np

from veracity.mpc.secure.opening import Opening
from veracity.mpc.secure.piecewise import Pieces, fit, piecewise_wrapped
from veracity.mpc.secure.polynomials import Function
from veracity.mpc.secure.role import Masked, Role

__all__ = ["Group", "groups", "openings", "total"]

_KNOTS = 8
_OCTAVES = 4
_LOW = 13
#: Bits of a group's result, so that wrapping stays improbable at its opening.
_RESULT = 41


@dataclass(frozen=True)
class Group:
    """Pieces for ``x >> shift``."""

    shift: int
    pieces: Pieces


def groups(f: Function, low: int, high: int, bits: int) -> tuple[Group, ...]:
    """Pieces of a falling ``f`` on ``[2^low, 2^high)``, for x in a domain of ``bits`` bits.

    Parameters
    ----------
    f : callable
        Falling; from integers to decimals.
    low, high : int
        Logarithms of the least argument and of the bound.
    bits : int
        Bits of the domain.
    """
    found = []
    for first in range(low, high, _OCTAVES):
        last = min(first + _OCTAVES, high)
        shift = max(0, first - _LOW)
        steps = range(_KNOTS * (first - shift), _KNOTS * (last - shift) + 1)
        knots = sorted({_eighth(i) for i in steps})
        largest = int(f(1 << first).to_integral_value(ROUND_CEILING))
        scale = _RESULT - 2 - max(0, (largest - 1).bit_length())

        def scaled(x: int, k: int = shift) -> Decimal:
            return f(x << k)

        found.append(Group(shift, fit(scaled, knots, 0, bits - shift, scale)))
    return tuple(found)


def _eighth(i: int) -> int:
    """``floor(2^(i/8))``: a root of a root of a root."""
    return isqrt(isqrt(isqrt(1 << i)))


def openings(role: Role, x: Masked, over: Sequence[Group], guard: int) -> list[Opening]:
    """What to open for ``2^guard f(x)``; pass the opened values to :func:`total`.

    Parameters
    ----------
    role : Role
        Who runs it.
    x : Masked
        The opened argument.
    over : sequence of Group
        From :func:`groups`.
    guard : int
        Bits of the result beyond those of ``f``.
    """
    found = []
    for group in over:
        part = x.map(lambda v, s=group.shift: v >> np.uint64(s), exact=False)  # type: ignore[misc]
        secret = piecewise_wrapped(role, part, group.pieces)
        found.append(Opening(secret, group.pieces.scale - guard, _RESULT + 1))
    return found


def total(parts: Sequence[Masked]) -> Masked:
    """f(x) from what was opened."""
    return reduce(lambda a, b: a + b, parts)
