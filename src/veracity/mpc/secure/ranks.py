"""The greatest of a few opened values by their ranks: all pairs at once instead of rounds of pairs.

For every two of n opened values their difference ``d = a - b`` is opened as well, under the
difference of the masks, and a comparison key gives shares of ``[d < 0]``: all of them together
shares of how many values are greater than each one. These ranks are opened under masks of their
own. A point key for each rank's mask, with payload ``(1, r)`` where the value is ``C - r``, gives
shares of ``[rank = 0] (1, r)``, so ``sum [rank = 0] (C - r)`` is the greatest value.

Values must differ from each other: then one rank is 0, and the comparisons, which are exact, agree.

* Exchanges: 1, for any n; a tournament takes ``ceil(log2 n) - 1`` and leaves the same.
* Bytes: 8 a value to each party. Offline: a key of ``16 + 24 (b - 2) + 32`` bytes for every two
  values, whose differences have b bits, and one of ``16 + 16 (l - 1) + 32`` bytes a value, l the
  bits of a rank, 3 at least, to each party.
* Error: none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from veracity.engine.api import Fss
from veracity.mpc.cost import Cost
from veracity.mpc.party import Array
from veracity.mpc.secure.dealer import Dealer
from veracity.mpc.secure.opening import Opening, open_values
from veracity.mpc.secure.party import Party
from veracity.mpc.secure.role import Local, Masked, Role, Secret

__all__ = ["MOST", "cost", "greatest"]

#: Values whose pairs are few enough: 2,016 keys at most.
MOST = 64


def cost(fss: Fss, count: int, bits: int) -> Cost:
    """Of the keys for ``count`` values, the opening of the ranks apart.

    Parameters
    ----------
    fss : Fss
        What knows the bytes of a key.
    count : int
        Elements.
    bits : int
        Signed bits of a difference.
    """
    key = count * (count - 1) // 2 * fss.dcf_key_bytes(bits, 1)
    key += count * fss.dpf_key_bytes(_rank_bits(count), 2)
    return Cost(offline_bytes_owner=key, offline_bytes_user=key)


def _rank_bits(count: int) -> int:
    """Of a number below ``count``."""
    return max(3, (count - 1).bit_length())


async def greatest(role: Role, x: Masked, bits: int) -> Secret:
    """Shares of the greatest value, (1,).

    Parameters
    ----------
    role : Role
        Who runs it.
    x : Masked
        Opened values that differ, (n,).
    bits : int
        Signed bits of a difference.
    """
    count = len(x.value)
    role.charge("ranks", cost(role.engine.fss, count, bits))
    ranks = role.compute(_Ranks((count,), x.value, bits))
    (opened,) = await open_values(role, [Opening(ranks)])
    return role.compute(_First((1,), x.value, opened.value))


@dataclass(frozen=True, eq=False)
class _Ranks(Local):
    """How many values are greater than each one; at the dealer the values are their masks."""

    value: Array
    bits: int

    def differences(self) -> Array:
        """Of every two values, the one that comes first less the other."""
        first, second = np.triu_indices(len(self.value), 1)
        return self.value[first] - self.value[second]

    def deal(self, dealer: Dealer) -> None:
        alpha = self.differences() & np.uint64((1 << self.bits) - 1)
        dealer.comparison_keys(self.bits, alpha, np.ones((len(alpha), 1), dtype=np.uint64))

    def run(self, party: Party) -> Array:
        fss, bits, count = party.fss, self.bits, len(self.value)
        d = self.differences()
        keys = party.keys(len(d), fss.dcf_key_bytes(bits, 1))
        half, low = np.uint64(1 << (bits - 1)), np.uint64((1 << bits) - 1)
        c = (d + half) & low
        found = fss.dcf_evaluate(party.index, bits, keys, np.stack([c - half, c], axis=1), 1)
        one = party.mine(np.ones_like(d))
        less = found[:, 0, 0] - found[:, 1, 0] + np.where(c < half, one, np.uint64(0))
        greater = np.zeros((count, count), dtype=np.uint64)
        above = np.triu_indices(count, 1)
        greater[above] = less
        greater.T[above] = one - less
        return np.asarray(greater.sum(axis=1, dtype=np.uint64))


@dataclass(frozen=True, eq=False)
class _First(Local):
    """The value whose rank is 0."""

    value: Array
    ranks: Array

    @property
    def bits(self) -> int:
        return _rank_bits(len(self.ranks))

    def deal(self, dealer: Dealer) -> None:
        payload = np.stack([np.ones_like(self.value), self.value], axis=1)
        dealer.point_keys(self.bits, self.ranks, payload)

    def run(self, party: Party) -> Array:
        fss = party.fss
        keys = party.keys(len(self.ranks), fss.dpf_key_bytes(self.bits, 2))
        found = fss.dpf_evaluate(party.index, self.bits, keys, self.ranks[:, None], 2)
        chosen, masks = found[:, 0, 0], found[:, 0, 1]
        return np.asarray((chosen * self.value - masks).sum(keepdims=True, dtype=np.uint64))
