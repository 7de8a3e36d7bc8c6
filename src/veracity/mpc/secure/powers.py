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

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from math import log2

import numpy as np
from numpy.typing import NDArray

from veracity.mpc.party import Masked, Role
from veracity.mpc.secure.opening import Opening
from veracity.mpc.secure.pieces import Pieces, fit, piecewise_wrapped

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


def groups(
    f: Callable[[NDArray[np.float64]], NDArray[np.float64]], low: int, high: int, bits: int
) -> tuple[Group, ...]:
    """Pieces of a falling ``f`` on ``[2^low, 2^high)``, for x in a domain of ``bits`` bits."""
    found = []
    for first in range(low, high, _OCTAVES):
        last = min(first + _OCTAVES, high)
        shift = max(0, first - _LOW)
        steps = np.arange(_KNOTS * (last - first) + 1) / _KNOTS + first - shift
        # Truncation may leave the last value of an octave one above it: overlap nowhere.
        knots = sorted({round(2.0**s) for s in steps})
        largest = float(f(np.array([2.0**first]))[0])
        scale = _RESULT - 2 - max(0, int(np.ceil(log2(largest))))

        def scaled(x: NDArray[np.float64], k: int = shift) -> NDArray[np.float64]:
            return f(x * 2.0**k)

        found.append(Group(shift, fit(scaled, knots, 0, bits - shift, scale)))
    return tuple(found)


def openings(role: Role, x: Masked, over: Sequence[Group], guard: int) -> list[Opening]:
    """What to open for ``2^guard f(x)``; pass the opened values to :func:`total`."""
    found = []
    for group in over:
        part = x.map(lambda v, s=group.shift: v >> np.uint64(s), exact=False)  # type: ignore[misc]
        secret = piecewise_wrapped(role, part, group.pieces)
        found.append(Opening(secret, group.pieces.scale - guard, _RESULT + 1))
    return found


def total(parts: Sequence[Masked]) -> Masked:
    """f(x) from what was opened."""
    return reduce(lambda a, b: a + b, parts)
