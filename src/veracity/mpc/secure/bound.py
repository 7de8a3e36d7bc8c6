"""An upper bound of each row of scores, a few nats above the greatest, by counting.

A row's scores are taken less the row's own, its last one, so that the greatest is at least 0 and
the program's range bounds it from above. Cells are 2 nats wide; ``C >> k`` less ``r >> k`` is the
cell of a value or the next one. A point key a score gives shares of the histogram of a row's cells
(:meth:`~veracity.engine.api_fss.Fss.dpf_histogram`); of its sums from above, shares of how many
scores are in the cell of each threshold or higher. These counts are opened. A point key for each
count's mask gives shares of ``[count = 0]``, and

    bound = 8 (1 + sum_i [count_i > 0]) nats,

for thresholds 8 nats apart up to the greatest distance that the program's scores can have. It is
opened as well.

* Exchanges: 2, for any length of a row.
* Bytes: 8 a threshold and row, 8 a row, to each party. Offline, to each: a key of
  ``16 + 16 (b - 3) + 64`` bytes a score, b = 17 - exp_k, and one of as many bytes a threshold and
  row, where b is the bits of a row's length, 3 at least.
* Error: the bound is above the greatest score, by no more than a step and a cell, 10 nats.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from veracity.engine.api import Fss
from veracity.mpc.cost import Cost
from veracity.mpc.party import Array
from veracity.mpc.secure.dealer import Dealer
from veracity.mpc.secure.opening import Opening, open_values, share_of_mask
from veracity.mpc.secure.party import Party
from veracity.mpc.secure.role import Local, Masked, Role

__all__ = ["Cells", "cost", "upper_bound"]

Index = NDArray[np.int64]

#: Bits of scores in the program: the distance of two scores of a row.
_SCORE = 16
#: Logarithm of the nats of a cell; cells from a threshold to the next.
_WIDE, _STEP = 1, 4


@dataclass(frozen=True)
class Cells:
    """Cells of 2 nats, and the thresholds.

    Parameters
    ----------
    exp_k, guard : int
        A unit is ``2^-(exp_k + guard)`` nats; the program's scores of a row lie less than
        ``2^(16 - exp_k)`` nats from each other.
    """

    exp_k: int
    guard: int

    @property
    def shift(self) -> int:
        """Bits of a value within its cell."""
        return self.exp_k + self.guard + _WIDE

    @property
    def bits(self) -> int:
        """Of a cell, whether above or below the row's own score."""
        return max(3, _SCORE + 1 - self.exp_k)

    @property
    def count(self) -> int:
        """Cells from 0 on: that of the greatest distance, and the next one."""
        return (1 << (self.bits - 2)) + 2

    @cached_property
    def thresholds(self) -> Index:
        """Cells, rising."""
        return np.arange(_STEP, self.count, _STEP)

    @property
    def step(self) -> int:
        """From a threshold to the next, in units of the value."""
        return _STEP << self.shift


def cost(fss: Fss, scores: int, rows: int, longest: int, cells: Cells) -> Cost:
    """Of the keys, the openings apart.

    Parameters
    ----------
    fss : Fss
        What knows the bytes of a key.
    scores, rows : int
        How many there are.
    longest : int
        Scores of the longest row.
    cells : Cells
        Cells and thresholds.
    """
    key = scores * fss.dpf_key_bytes(cells.bits)
    key += rows * len(cells.thresholds) * fss.dpf_key_bytes(_count_bits(longest))
    return Cost(offline_bytes_owner=key, offline_bytes_user=key)


def _count_bits(longest: int) -> int:
    """Of a number from 0 to the longest row's length."""
    return max(3, longest.bit_length())


async def upper_bound(role: Role, x: Masked, lengths: Index, cells: Cells) -> Masked:
    """A bound of each row, opened; relative to the row's last value.

    Parameters
    ----------
    role : Role
        Who runs it.
    x : Masked
        Rows one after the other, less their last value each, (sum of lengths,).
    lengths : int array
        Length of each row, at least 1.
    cells : Cells
        Cells and thresholds.
    """
    rows, longest = len(lengths), int(lengths.max())
    role.charge("bound", cost(role.engine.fss, len(x.value), rows, longest, cells))
    above = role.compute(_Above((rows, len(cells.thresholds)), x, lengths, cells))
    (counts,) = await open_values(role, [Opening(above)])
    share = role.compute(_Bound((rows,), counts, _count_bits(longest), cells))
    (bound,) = await open_values(role, [Opening(share)])
    share_of_mask(role, bound)
    return bound


@dataclass(frozen=True, eq=False)
class _Above(Local):
    """How many values of a row lie in the cell of each threshold, or above."""

    x: Masked
    lengths: Index
    cells: Cells

    def deal(self, dealer: Dealer) -> None:
        masks = self.x.value >> np.uint64(self.cells.shift)
        dealer.point_keys(self.cells.bits, masks, np.ones((len(masks), 1), dtype=np.uint64))

    def run(self, party: Party) -> Array:
        fss, cells = party.fss, self.cells
        opened = self.x.value >> np.uint64(cells.shift)
        keys = party.keys(len(opened), fss.dpf_key_bytes(cells.bits))
        found = fss.dpf_histogram(
            party.index, cells.bits, keys, opened, self.lengths.astype(np.uint64), cells.count
        )
        sums = np.cumsum(found[:, ::-1], axis=1, dtype=np.uint64)[:, ::-1]
        return np.asarray(sums[:, cells.thresholds])


@dataclass(frozen=True, eq=False)
class _Bound(Local):
    """The threshold after the last one whose count is not zero."""

    counts: Masked
    bits: int
    cells: Cells

    def deal(self, dealer: Dealer) -> None:
        masks = self.counts.value.reshape(-1)
        dealer.point_keys(self.bits, masks, np.ones((len(masks), 1), dtype=np.uint64))

    def run(self, party: Party) -> Array:
        fss, step = party.fss, np.uint64(self.cells.step)
        opened = self.counts.value.reshape(-1, 1)
        keys = party.keys(len(opened), fss.dpf_key_bytes(self.bits))
        none = fss.dpf_evaluate(party.index, self.bits, keys, opened).reshape(self.counts.shape)
        most = np.full(self.shape, 1 + self.counts.shape[1], dtype=np.uint64)
        return np.asarray((party.mine(most) - none.sum(axis=1, dtype=np.uint64)) * step)
