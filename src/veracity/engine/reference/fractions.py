"""Trees of fractions in Python integers: the definition.

A level is a dictionary from positions of its cube to fractions (p, q); what is not in it is 0/1.
"""

# ruff: noqa: D102 (engine.api documents the operations)
from __future__ import annotations

from collections.abc import Sequence
from itertools import product

from veracity.engine.api import ORDER

__all__ = ["ReferenceFractionTree", "eq_at", "halved_code"]

Fraction = tuple[int, int]
Level = dict[int, Fraction]
NOTHING = (0, 1)


def halved_code(i: int, n: int) -> int:
    """Where entry ``i`` of an axis of ``n`` stands; see :meth:`engine.api.Engine.eq_halved`."""
    if n == 1:
        return 0
    half = (n + 1) // 2
    return int(i >= half) + 2 * halved_code(i % half, half)


def _position(index: Sequence[int], dims: Sequence[int]) -> int:
    """Position of an entry inside its block: the first axis has the lowest bits."""
    at = shift = 0
    for i, n in zip(index, dims, strict=True):
        at += halved_code(i, n) << shift
        shift += (n - 1).bit_length()
    return at


def _pairs(level: Level) -> dict[int, tuple[Fraction, Fraction]]:
    """Entries 2i and 2i + 1, by i."""
    return {
        i: (level.get(2 * i, NOTHING), level.get(2 * i + 1, NOTHING))
        for i in {at >> 1 for at in level}
    }


def _fours(level: Level) -> dict[int, list[Fraction]]:
    """Entries 4i to 4i + 3, by i."""
    return {i: [level.get(4 * i + k, NOTHING) for k in range(4)] for i in {at >> 2 for at in level}}


def _bilinear(corners: Sequence[Fraction]) -> tuple[list[int], list[int]]:
    """Coefficients of 1, X, Y, XY of the numerators and denominators at 00, 10, 01, 11."""
    p, q = ([a, b - a, c - a, d - c - b + a] for a, b, c, d in zip(*corners, strict=True))
    return p, q


def _add(a: Fraction, b: Fraction) -> Fraction:
    return (a[0] * b[1] + b[0] * a[1]) % ORDER, a[1] * b[1] % ORDER


def _line(low: Fraction, high: Fraction, r: int) -> Fraction:
    """The point at ``r`` of the line through two fractions."""
    p, q = ((a + r * (b - a)) % ORDER for a, b in zip(low, high, strict=True))
    return p, q


def eq_at(point: Sequence[int], index: int) -> int:
    """``eq(point, index)``."""
    out = 1
    for j, r in enumerate(point):
        out = out * (r if index >> j & 1 else 1 - r) % ORDER
    return out


class ReferenceFractionTree:
    """All levels, and both children of the layer that is being proved.

    Parameters
    ----------
    blocks : sequence
        Dims, numerators and denominators of each block, as integers.
    """

    def __init__(
        self, blocks: Sequence[tuple[Sequence[int], Sequence[int], Sequence[int]]]
    ) -> None:
        leaves: Level = {}
        offset = 0
        for dims, p, q in blocks:
            indices = product(*[range(n) for n in dims])
            for index, numerator, denominator in zip(indices, p, q, strict=True):
                leaves[offset + _position(index, dims)] = numerator % ORDER, denominator % ORDER
            offset += 1 << sum((n - 1).bit_length() for n in dims)
        self._variables = (offset - 1).bit_length()
        self._levels = [leaves]
        for _ in range(self._variables):
            below = _pairs(self._levels[-1])
            self._levels.append({i: _add(a, b) for i, (a, b) in below.items()})
        self._root = self._levels[-1].get(0, NOTHING)[1]
        self._children: tuple[Level, Level] = ({}, {})
        self._lam = self._left = 0
        self._begun = False

    def root(self) -> int:
        return self._root

    def descend(self, lam: int) -> None:
        if len(self._levels) < 2 or self._left or lam % ORDER == 0:
            raise ValueError("a step of a tree of fractions out of turn, or a factor of zero")
        self._levels.pop()
        self._lam, self._begun = lam % ORDER, True
        self._left = self._variables - len(self._levels)
        pairs = _pairs(self._levels[-1])
        self._children = (
            {i: a for i, (a, _) in pairs.items()},
            {i: b for i, (_, b) in pairs.items()},
        )

    def _bracket(self, p: tuple[int, int], q: tuple[int, int]) -> int:
        return self._lam * (p[0] * q[1] + p[1] * q[0]) + q[0] * q[1]

    def round(self, point: Sequence[int]) -> tuple[int, int]:
        if not self._left or len(point) != self._left:
            raise ValueError("a round out of turn, or a point of another number of coordinates")
        at_zero, leading = 1, 0
        zero, one = map(_pairs, self._children)
        for i, ((low0, high0), (low1, high1)) in ((i, (zero[i], one[i])) for i in zero):
            weight = eq_at(point[1:], i)
            bracket = self._bracket((low0[0], low1[0]), (low0[1], low1[1]))
            at_zero += weight * (bracket - 1)  # the 1 of absent entries is in the sum already
            p = high0[0] - low0[0], high1[0] - low1[0]
            q = high0[1] - low0[1], high1[1] - low1[1]
            leading += weight * self._bracket(p, q)
        return at_zero % ORDER, leading % ORDER

    def pair(self, point: Sequence[int]) -> tuple[int, ...]:
        if self._left < 2 or len(point) != self._left:
            raise ValueError("a round out of turn, or a point of another number of coordinates")
        total = [1] + [0] * 8  # what absent entries would sum up to
        zero, one = map(_fours, self._children)
        for i in zero:
            weight = eq_at(point[2:], i)
            (p0, q0), (p1, q1) = _bilinear(zero[i]), _bilinear(one[i])
            for a, b in product(range(4), repeat=2):
                at = (a & 1) + (b & 1) + 3 * ((a >> 1) + (b >> 1))
                total[at] += weight * self._bracket((p0[a], p1[b]), (q0[a], q1[b]))
            total[0] -= weight
        return tuple(v % ORDER for v in total)

    def bind(self, r: int) -> None:
        if not self._left:
            raise ValueError("all variables of the layer are bound")
        a, b = (
            {i: _line(low, high, r) for i, (low, high) in _pairs(child).items()}
            for child in self._children
        )
        self._children, self._left = (a, b), self._left - 1

    def ends(self) -> tuple[int, int, int, int]:
        if self._left or not self._begun:
            raise ValueError("a layer is not bound to its end")
        (p0, q0), (p1, q1) = (child.get(0, NOTHING) for child in self._children)
        return p0, q0, p1, q1
