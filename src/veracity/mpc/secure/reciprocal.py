"""Reciprocals and reciprocal roots over many octaves: one set of pieces for every four octaves.

A polynomial on a value of 60 bits would need coefficients far below one unit. So group g looks at
``x >> t_g``, of 14 to 18 bits where it is responsible and public shifts elsewhere; it yields
``2^scale_g f(x)`` if x is in its octaves, else 0. Each is opened with the truncation that brings
all to one scale, and their sum is f(x), opened. Groups see x truncated in different places, so
neither of two neighbours may end where the other begins: in half an octave the share of one falls
from 1 to 0 as that of the other rises, and both together are f.

* Exchanges: 1, for the opening, shared with whatever else is opened.
* Bytes: 8 a group and value. Offline: a key and 16 bytes a group and value.
* Error: relative 2^-14 (standard deviation; degree 2, 32 knots an octave), unbiased; 2^-11 at most,
  from truncating x where two groups share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from functools import cached_property, reduce
from math import isqrt
from typing import Any

import numpy as np

from veracity.mpc.secure.opening import Opening
from veracity.mpc.secure.piecewise import Pieces, SeveralPieces, fit, piecewise_wrapped
from veracity.mpc.secure.polynomials import Function
from veracity.mpc.secure.role import Masked, Role

__all__ = ["Group", "Groups", "groups", "openings", "total"]

_KNOTS = 32
_OCTAVES = 4
#: Intervals between knots that two neighbours share: half an octave.
_SHARED = _KNOTS // 2
_LOW = 14
#: Bits of a group's result, so that wrapping stays improbable at its opening.
_RESULT = 41


@dataclass(frozen=True)
class Group:
    """Pieces for ``x >> shift``, where x is in ``[2^low, 2^high)``, or half an octave above."""

    shift: int
    pieces: Pieces
    low: int
    high: int


@dataclass(frozen=True, eq=False)
class Groups:
    """All groups of a function, or of several that are evaluated together.

    Parameters
    ----------
    each : tuple of Group
        The groups.
    """

    each: tuple[Group, ...]

    @cached_property
    def pieces(self) -> SeveralPieces:
        """Of all."""
        return SeveralPieces(tuple(group.pieces for group in self.each))


def groups(
    f: Function, low: int, high: int, bits: int, ends: tuple[bool, bool] = (True, True)
) -> Groups:
    """Pieces of a falling ``f`` on ``[2^low, 2^high)``, for x in a domain of ``bits`` bits.

    Parameters
    ----------
    f : callable
        Falling; from integers to decimals.
    low, high : int
        Logarithms of the least argument and of the bound.
    bits : int
        Bits of the domain.
    ends : tuple of bool
        Whether x is nowhere below, and nowhere above; else the first group's share rises, and the
        last one's falls, as between neighbours.
    """
    found = []
    for first in range(low, high, _OCTAVES):
        last = min(first + _OCTAVES, high)
        shift = max(0, first - _LOW)
        end = _KNOTS * (last - shift) + (0 if last == high and ends[1] else _SHARED)
        steps = range(_KNOTS * (first - shift), end + 1)
        knots = sorted({_root_of_two(i) for i in steps})
        largest = int(f(1 << first).to_integral_value(ROUND_CEILING))
        scale = _RESULT - 2 - max(0, (largest - 1).bit_length())
        rising = None if first == low and ends[0] else (first, 1)
        falling = None if last == high and ends[1] else (last, -1)

        def part(x: int, k: int = shift, shares: tuple[Any, ...] = (rising, falling)) -> Decimal:
            y = f(x << k)
            for at, sign in filter(None, shares):
                y *= _share(Decimal(x << k) / (1 << at), sign)
            return y

        found.append(Group(shift, fit(part, knots, 0, bits - shift, scale), first, last))
    return Groups(tuple(found))


def _share(ratio: Decimal, sign: int) -> Decimal:
    """Of the group that begins (1) or ends (-1) where the ratio is 1; both add up to 1."""
    above = (ratio - 1) / (Decimal(2).sqrt() - 1)
    rising = min(Decimal(1), max(Decimal(0), above))
    return rising if sign > 0 else 1 - rising


def _root_of_two(i: int) -> int:
    """``floor(2^(i/32))``: five roots of roots."""
    return isqrt(isqrt(isqrt(isqrt(isqrt(1 << i)))))


def openings(role: Role, x: Sequence[Masked], over: Groups, guards: Sequence[int]) -> list[Opening]:
    """What to open for each group's part of ``2^guard f(x)``; add them up with :func:`total`.

    Parameters
    ----------
    role : Role
        Who runs it.
    x : sequence of Masked
        The opened argument of each group, all of one shape.
    over : Groups
        From :func:`groups`.
    guards : sequence of int
        Bits of each result beyond those of ``f``, or less than 0.
    """
    parts = [
        one.map(lambda v, s=group.shift: v >> np.uint64(s), exact=False)  # type: ignore[misc]
        for one, group in zip(x, over.each, strict=True)
    ]
    found = piecewise_wrapped(role, parts, over.pieces)
    return [
        Opening(secret, group.pieces.scale - guard, _RESULT + 1)
        for secret, group, guard in zip(found, over.each, guards, strict=True)
    ]


def total(parts: Sequence[Masked]) -> Masked:
    """f(x) from what was opened."""
    return reduce(lambda a, b: a + b, parts)
