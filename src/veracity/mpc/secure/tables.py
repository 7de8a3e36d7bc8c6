"""Functions of an opened value by a table of polynomials: one point key a value, no message.

The value ``u = x - low`` of n bits is ``C - r``; with l = n - t, ``C = C_1 2^l + C_0`` and r alike,

    u = j 2^l + d,   j = C_1 - r_1 modulo 2^t,   d = C_0 - r_0,   |d| < 2^l.

A public table has a polynomial of degree 2 in d for every j. A point key for r_1 with the payload
``(1, r_0, r_0^2)``, evaluated on its whole domain of 2^t points, gives shares of the payload times
the coefficients at j (full-domain evaluation against a public table: Wagh, eprint 2022/826; its
payload carries the low bits as in Boyle et al., eprint 2020/1392, section 5), and those give the
polynomial at d. Both neighbours of j serve for a value between them, so a polynomial has to fit
twice the width of its interval. Rows of zeros, at one place of the table, are not evaluated: a
function that is zero but for a part of its domain costs the time of that part, and the bytes of the
whole.

* Exchanges: none beyond the opening of the input; the result is opened by whoever needs that.
* Bytes: none. Offline: one key of ``16 + 16 (t - 1) + 48`` bytes a value to each party.
* Error: the third derivative times ``h^3 / 24``, h = 2^l units, and a unit of the coefficients.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from math import prod

import numpy as np
from numpy.typing import NDArray

from veracity.engine.api import Fss
from veracity.errors import UsageError
from veracity.mpc.cost import Cost
from veracity.mpc.party import Array
from veracity.mpc.secure.dealer import Dealer
from veracity.mpc.secure.party import Party
from veracity.mpc.secure.polynomials import assemble, parabola
from veracity.mpc.secure.role import Local, Masked, Role, Secret

__all__ = ["Table", "cost", "look_up", "tabulate"]

_WORD = (1 << 64) - 1


@dataclass(frozen=True, eq=False)
class Table:
    """``2^scale f(x)`` for x in ``[-2^(bits-1), 2^(bits-1))``.

    Parameters
    ----------
    bits, high : int
        Of the domain, and those of them that choose a polynomial.
    scale : int
        Fraction bits of the result beyond the function's unit.
    coefficients : uint64 array, (2^high, 3)
        Of 1, d and d^2.
    """

    bits: int
    high: int
    scale: int
    coefficients: Array = field(repr=False)

    def values(self, x: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """``2^scale f(x)`` by either of the two polynomials that may serve."""
        low = self.bits - self.high
        u = x + (1 << (self.bits - 1))
        found = []
        for j in (u >> low, (u >> low) + 1):  # the mask decides which
            c, d = self.coefficients[j % (1 << self.high)], (u - (j << low)).view(np.uint64)
            found.append((c[:, 0] + c[:, 1] * d + c[:, 2] * d * d).view(np.int64))
        return found[0], found[1]

    def trimmed(self, x: NDArray[np.int64]) -> Table:
        """The table with rows of zeros where nothing is lost by them, which cost no time.

        Such rows serve none of the arguments, or values below a quarter of a unit alone.

        Parameters
        ----------
        x : int64 array
            Arguments, no further apart than the rows.
        """
        at = (x + (1 << (self.bits - 1))) >> (self.bits - self.high)
        needed = np.zeros(1 << self.high, dtype=bool)
        for off, y in enumerate(self.values(x)):
            served = at[np.abs(y) >> (self.scale - 2) != 0] + off
            needed[served % len(needed)] = True
        return replace(self, coefficients=np.where(needed[:, None], self.coefficients, 0))


def tabulate(
    f: Callable[[int], Decimal],
    bits: int,
    high: int,
    ends: tuple[int, int] | None = None,
    finer: int = 0,
) -> Table:
    """Fit ``f``, exactly the same on every machine.

    Parameters
    ----------
    f : callable
        From integers of ``bits`` bits, and a little beyond, to decimals.
    bits : int
        Bits of the domain.
    high : int
        Bits that the table is indexed by.
    ends : tuple of int, optional
        The rows of arguments before the first and from the second on are zero, and cost no time.
    finer : int
        Fraction bits of the coefficients beyond those that keep them good to a unit.
    """
    low, half = bits - high, 1 << (bits - 1)
    if not 3 <= low <= 24:
        raise UsageError("a table needs between 3 and 24 bits below those it is indexed by")
    # A coefficient of d^2 is off by half a unit: half a unit of the result at most.
    scale, reach = 2 * low + finer, 7 << (low - 3)
    first, last = (0, 1 << high) if ends is None else ((end + half) >> low for end in ends)
    rows = np.zeros((1 << high, 3), dtype=np.uint64)
    for j in range(first, last):
        rows[j] = [c & _WORD for c in parabola(f, (j << low) - half, reach, scale)]
    return Table(bits, high, scale, rows)


def cost(fss: Fss, count: int, high: int) -> Cost:
    """Of looking up ``count`` values.

    Parameters
    ----------
    fss : Fss
        What knows the bytes of a key.
    count : int
        Elements.
    high : int
        Bits of the table's index.
    """
    key = count * fss.dpf_key_bytes(high, 3)
    return Cost(offline_bytes_owner=key, offline_bytes_user=key)


def look_up(role: Role, x: Masked, table: Table) -> Secret:
    """Shares of ``2^scale f(x)``; ``x = c - r`` modulo ``2^bits`` is enough.

    Parameters
    ----------
    role : Role
        Who runs it.
    x : Masked
        The opened argument.
    table : Table
        From :func:`tabulate`.
    """
    role.charge("tables", cost(role.engine.fss, prod(x.shape), table.high))
    return role.compute(_LookUp(x.shape, x.value.reshape(-1), table))


@dataclass(frozen=True, eq=False)
class _LookUp(Local):
    value: Array
    table: Table

    @property
    def low(self) -> np.uint64:
        return np.uint64(self.table.bits - self.table.high)

    def rest(self, x: Array) -> Array:
        """The bits that choose no polynomial."""
        return x & np.uint64((1 << int(self.low)) - 1)

    def deal(self, dealer: Dealer) -> None:
        r_0 = self.rest(self.value)
        payload = np.stack([np.ones_like(r_0), r_0, r_0 * r_0], axis=1)
        dealer.point_keys(self.table.high, self.value >> self.low, payload)

    def run(self, party: Party) -> Array:
        fss, high = party.fss, self.table.high
        keys = party.keys(len(self.value), fss.dpf_key_bytes(high, 3))
        c = self.value + np.uint64(1 << (self.table.bits - 1))
        sums = fss.dpf_table(party.index, high, keys, c >> self.low, self.table.coefficients, 3)
        return assemble(sums, self.rest(c)).reshape(self.shape)
