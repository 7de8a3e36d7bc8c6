"""Piecewise polynomials of an opened value: shares of f(x) by one comparison key.

The function is given by knots ``k_0 < .. < k_m`` and a polynomial of degree 2 on each interval.
With ``x = C - r`` a comparison key for alpha = r and the payload ``(1, r, r^2)``, evaluated at the
public points ``C - k_i``, gives shares of ``b_i (1, r, r^2)``, ``b_i = [k_i <= x < k_(i+1)]``
(containment in several intervals: Boyle et al., eprint 2020/1392, section 5). Then
``sum_i b_i p_i(C - r)`` is linear in them with public coefficients, modulo 2^64. Outside the
knots the result is 0.

In detail, modulo the domain's size ``[x < k] = [C - k < r] - [C < r] + [C < k]``; the middle
term cancels in every b_i.

``piecewise`` is for values with ``x = C - r`` modulo 2^64. After a truncation of a value that may
have wrapped, this holds modulo the domain's size N alone: where ``C < k`` the point ``C - k``
counts values ``x = C + N - r``, all others ``x = C - r``; ``piecewise_wrapped`` tells them apart,
one by one.

* Exchanges: none.
* Bytes: none. Offline: a key of ``16 + 40 (n - 2) + 96`` bytes an element to each party for a
  domain of n bits, and 16 an element to the user.
* Error: the third derivative times ``h^3 / 192`` for an interval of h units, and the rounding of
  the coefficients to ``2^-scale``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from math import prod

import numpy as np
from numpy.typing import NDArray

from veracity.engine.api import Fss
from veracity.errors import UsageError
from veracity.mpc.cost import Cost
from veracity.mpc.party import Array
from veracity.mpc.secure.dealer import Dealer
from veracity.mpc.secure.party import Party
from veracity.mpc.secure.polynomials import Function, assemble, parabola
from veracity.mpc.secure.role import Local, Masked, Role, Secret

__all__ = ["Pieces", "SeveralPieces", "cost", "fit", "piecewise", "piecewise_wrapped"]

_WORD = (1 << 64) - 1


@dataclass(frozen=True)
class Pieces:
    """A function on ``[knots[0], knots[-1])``, scaled by ``2^scale``.

    Parameters
    ----------
    low, bits : int
        The domain is ``[low, low + 2^bits)``.
    knots : tuple of int
        Ends of the intervals.
    coefficients : tuple of (int, int, int)
        Of 1, x and x^2 on each interval.
    scale : int
        The result is ``2^scale`` times the function.
    """

    low: int
    bits: int
    knots: tuple[int, ...]
    coefficients: tuple[tuple[int, int, int], ...] = field(repr=False)
    scale: int

    @cached_property
    def points(self) -> Array:
        """Knots relative to the domain, uint64 (m + 1,)."""
        return np.array([k - self.low for k in self.knots], dtype=np.uint64)

    @cached_property
    def differences(self) -> Array:
        """What changes at each knot, from the right interval to the left, uint64 (m + 1, 3)."""
        zero = (0, 0, 0)
        before = (zero, *self.coefficients)
        after = (*self.coefficients, zero)
        rows = [
            [(b - a) & _WORD for b, a in zip(*pair, strict=True)]
            for pair in zip(before, after, strict=True)
        ]
        return np.array(rows, dtype=np.uint64)

    def __call__(self, x: NDArray[np.int64]) -> NDArray[np.int64]:
        """The function in the clear."""
        at = np.searchsorted(np.array(self.knots), x, side="right") - 1
        inside = (at >= 0) & (at < len(self.coefficients))
        table = np.array([[c & _WORD for c in row] for row in self.coefficients], dtype=np.uint64)
        c, u = table[np.clip(at, 0, len(table) - 1)], x.view(np.uint64)
        y = c[..., 0] + c[..., 1] * u + c[..., 2] * u * u
        return np.where(inside, y.view(np.int64), 0)


@dataclass(frozen=True, eq=False)
class SeveralPieces:
    """Functions that are evaluated together, as arrays.

    Parameters
    ----------
    each : tuple of Pieces
        The functions.
    """

    each: tuple[Pieces, ...]

    @cached_property
    def bits(self) -> list[int]:
        """Of each domain."""
        return [pieces.bits for pieces in self.each]

    @cached_property
    def inside(self) -> Array:
        """What keeps a value inside each domain, uint64 (functions, 1)."""
        return np.array([[(1 << bits) - 1] for bits in self.bits], dtype=np.uint64)

    @cached_property
    def lengths(self) -> list[int]:
        """How many knots each has."""
        return [len(pieces.knots) for pieces in self.each]

    @cached_property
    def knots(self) -> Array:
        """Of all, relative to their domains."""
        return np.concatenate([pieces.points for pieces in self.each])

    @cached_property
    def weights(self) -> Array:
        """What changes at each knot, of polynomials in the distance from the domain's beginning."""
        parts = []
        for pieces in self.each:
            low = np.uint64(pieces.low & _WORD)
            a, b, c = pieces.differences.T
            parts.append(np.stack([a + low * (b + low * c), b + np.uint64(2) * low * c, c], axis=1))
        return np.concatenate(parts)


def fit(f: Function, knots: Sequence[int], low: int, bits: int, scale: int) -> Pieces:
    """Interpolate ``f`` in every interval, the same way on every machine.

    Parameters
    ----------
    f : callable
        From integers to decimals.
    knots : sequence of int
        Ends of the intervals, rising.
    low, bits : int
        The domain is ``[low, low + 2^bits)``.
    scale : int
        Coefficients are multiplied by ``2^scale``.
    """
    if not (low <= knots[0] and knots[-1] <= low + (1 << bits)):
        raise UsageError("knots outside the domain")
    rows = []
    for left, right in pairwise(knots):
        middle = (left + right) // 2
        # Near the Chebyshev nodes of the interval.
        reach = max(7 * (right - left) // 16, int(right - left > 1))
        a0, a1, a2 = parabola(f, middle, reach, scale)
        rows.append((a0 - a1 * middle + a2 * middle * middle, a1 - 2 * a2 * middle, a2))
    return Pieces(low, bits, tuple(knots), tuple(rows), scale)


def cost(fss: Fss, count: int, bits: int) -> Cost:
    """Of evaluating ``count`` elements on a domain of ``bits`` bits.

    Parameters
    ----------
    fss : Fss
        What knows the bytes of a key.
    count : int
        Elements.
    bits : int
        Bits of the domain.
    """
    key = count * fss.dcf_key_bytes(bits, 3)
    return Cost(offline_bytes_owner=key, offline_bytes_user=key + 16 * count)


def piecewise(role: Role, x: Masked, pieces: Pieces) -> Secret:
    """Shares of ``2^scale f(x)`` where ``x = c - r`` modulo 2^64.

    Parameters
    ----------
    role : Role
        Who runs it.
    x : Masked
        The opened argument.
    pieces : Pieces
        The function.
    """
    role.charge("pieces", cost(role.engine.fss, prod(x.shape), pieces.bits))
    return role.compute(_Straight(x.shape, x.value.reshape(-1), pieces))


def piecewise_wrapped(role: Role, x: Sequence[Masked], all_pieces: SeveralPieces) -> list[Secret]:
    """Shares of ``2^scale f(x)`` where ``x - low = c - r`` modulo ``2^bits`` only; for few values.

    Parameters
    ----------
    role : Role
        Who runs it.
    x : sequence of Masked
        The opened argument of each function, less its ``low``; all of one shape.
    all_pieces : SeveralPieces
        The functions.
    """
    count = prod(x[0].shape)
    for pieces in all_pieces.each:
        role.charge("pieces", cost(role.engine.fss, count, pieces.bits))
    values = np.stack([one.value.reshape(-1) for one in x]) & all_pieces.inside
    found = role.compute(_Wrapped(values.shape, values, all_pieces))
    return [found.map(lambda v, g=g: v[g].reshape(x[0].shape)) for g in range(len(x))]  # type: ignore[misc]


@dataclass(frozen=True, eq=False)
class _Straight(Local):
    """A comparison key with the payload ``(1, r, r^2)``, and shares of the payload."""

    value: Array
    pieces: Pieces

    def deal(self, dealer: Dealer) -> None:
        r, bits = self.value, self.pieces.bits
        payload = _powers(r)
        dealer.comparison_keys(bits, r & np.uint64((1 << bits) - 1), payload)
        dealer.split(payload[:, 1:])

    def run(self, party: Party) -> Array:
        c, pieces = self.value, self.pieces
        keys = party.keys(len(c), party.fss.dcf_key_bytes(pieces.bits, 3))
        shares = _with_one(party, party.dealt((len(c), 2)))
        base = c - np.uint64(pieces.low & _WORD)
        points = base[:, None] - pieces.points[None, :]
        sums = party.fss.dcf_weighted(
            party.index, pieces.bits, keys, points, pieces.differences
        )  # (N, 3, 3)
        # Where C < k the public [C < k] counts: differences of all knots above C.
        above = np.concatenate(
            [np.cumsum(pieces.differences[::-1], axis=0)[::-1], np.zeros((1, 3), dtype=np.uint64)]
        )
        inside = base & np.uint64((1 << pieces.bits) - 1)
        at = np.searchsorted(pieces.points, inside, side="right")
        sums += shares[:, :, None] * above[at][:, None, :]
        return assemble(sums, c).reshape(self.shape)


@dataclass(frozen=True, eq=False)
class _Wrapped(Local):
    """The same for several functions; values are those inside their domains, one row each."""

    values: Array
    all_pieces: SeveralPieces

    def deal(self, dealer: Dealer) -> None:
        payloads = _powers(self.values)
        for pieces, r, payload in zip(self.all_pieces.each, self.values, payloads, strict=True):
            dealer.comparison_keys(pieces.bits, r, payload)
        dealer.split(payloads[..., 1:])

    def run(self, party: Party) -> Array:
        (functions, count), of = self.values.shape, self.all_pieces
        each = sum(party.fss.dcf_key_bytes(bits, 3) for bits in of.bits)
        keys = party.keys(1, count * each)[0]
        payloads = _with_one(party, party.dealt((functions, count, 2)))
        return party.fss.dcf_pieces(
            party.index, of.bits, keys, self.values, payloads, of.lengths, of.knots, of.weights
        )


def _powers(r: Array) -> Array:
    return np.stack([np.ones_like(r), r, r * r], axis=-1)


def _with_one(party: Party, powers: Array) -> Array:
    """Shares of ``(1, r, r^2)`` from those of ``(r, r^2)``."""
    shares = np.empty((*powers.shape[:-1], 3), dtype=np.uint64)
    shares[..., 0] = party.mine(np.ones((), dtype=np.uint64))
    shares[..., 1:] = powers
    return shares
