"""The maximum of rows of opened values: rounds of comparisons in pairs, one exchange a round.

For opened ``a, b`` the difference ``d = a - b`` is opened as well, under the difference of the
masks. A comparison key with payload ``(1, r_d)`` gives shares of ``w = [d < 0]`` and ``w r_d``, so
of the greater one, ``a - w d``, without a message; it is opened for the next round. The comparison
may look at ``d / 2^s`` only, which is what a coarse maximum needs.

* Exchanges: ``ceil(log2 n)`` for the longest row of n values; ``ceil(log2(n / m))`` where it ends
  as soon as m are left or fewer.
* Bytes: 8 a winner to each party. Offline: a key of ``16 + 32 (b - 2) + 64`` bytes a pair for
  differences of b bits to each party.
* Error: the winner is less than ``2^(s+1)`` units below the greatest, in each round; 0 for s = 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from veracity.engine.api import Fss
from veracity.mpc.cost import Cost
from veracity.mpc.party import Array
from veracity.mpc.secure.dealer import Dealer
from veracity.mpc.secure.opening import Opening, open_values, share_of, share_of_mask
from veracity.mpc.secure.party import Party
from veracity.mpc.secure.role import Local, Masked, Role, Secret

__all__ = ["cost", "greater", "join", "maximum"]

Index = NDArray[np.int64]


@dataclass(frozen=True)
class _Round:
    """Who meets whom: indices into the flat values, and where winners and byes go."""

    first: Index
    second: Index
    byes: Index
    order: Index
    lengths: Index


def _round(lengths: Index) -> _Round:
    """One round of rows that follow each other in a flat array."""
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    pairs = lengths // 2
    row = np.repeat(np.arange(len(lengths)), pairs)
    place = np.arange(len(row)) - np.repeat(np.cumsum(pairs) - pairs, pairs)
    first = starts[row] + 2 * place
    odd = np.flatnonzero(lengths % 2)
    byes = starts[odd] + lengths[odd] - 1
    # Winners of a row come first, then its bye.
    owner = np.concatenate([row, odd])
    order = np.argsort(owner, kind="stable")
    return _Round(first, first + 1, byes, order, pairs + lengths % 2)


def join(parts: list[Masked]) -> Masked:
    """Values one after the other along the first axis."""
    value = np.concatenate([p.value for p in parts])
    shares = [p.share for p in parts if p.share is not None]
    return Masked(value, np.concatenate(shares) if len(shares) == len(parts) else None)


def cost(fss: Fss, count: int, bits: int) -> Cost:
    """Of ``count`` comparisons of ``bits`` bits, the opening of the winners apart.

    Parameters
    ----------
    fss : Fss
        What knows the bytes of a key.
    count : int
        Elements.
    bits : int
        Bits of the domain.
    """
    key = count * fss.dcf_key_bytes(bits, 2)
    return Cost(offline_bytes_owner=key, offline_bytes_user=key)


def greater(role: Role, a: Masked, b: Masked, shift: int, bits: int) -> Secret:
    """Shares of ``max(a, b)``, compared by ``(a - b) / 2^shift`` of ``bits`` signed bits.

    Parameters
    ----------
    role : Role
        Who runs it.
    a, b : Masked
        Opened values.
    shift : int
        Bits of the difference that do not count.
    bits : int
        Signed bits of what is left.
    """
    d = a - b
    role.charge("comparison", cost(role.engine.fss, len(d.value), bits))
    share_of_mask(role, d)
    return role.compute(_Greater((len(d.value),), d, share_of(role, a), shift, bits))


@dataclass(frozen=True, eq=False)
class _Greater(Local):
    d: Masked
    first: Secret
    drop: int
    bits: int

    def deal(self, dealer: Dealer) -> None:
        r = self.d.value
        alpha = (r >> np.uint64(self.drop)) & np.uint64((1 << self.bits) - 1)
        dealer.comparison_keys(self.bits, alpha, np.stack([np.ones_like(r), r], axis=1))

    def run(self, party: Party) -> Array:
        fss, d, bits = party.fss, self.d.value, self.bits
        keys = party.keys(len(d), fss.dcf_key_bytes(bits, 2))
        half, low = np.uint64(1 << (bits - 1)), np.uint64((1 << bits) - 1)
        c = ((d >> np.uint64(self.drop)) + half) & low
        points = np.stack([c - half, c], axis=1)
        found = fss.dcf_evaluate(party.index, bits, keys, points, 2)  # (N, 2, 2)
        w = found[:, 0] - found[:, 1]
        wraps, zero = c < half, np.uint64(0)
        w[:, 0] += np.where(wraps, party.mine(np.ones_like(d)), zero)
        w[:, 1] += np.where(wraps, party.mask_of(self.d), zero)
        return np.asarray(self.first.share - (d * w[:, 0] - w[:, 1]))


async def maximum(
    role: Role, x: Masked, lengths: Index, shift: int, bits: int, most: int = 1
) -> Masked:
    """The maximum of each row, opened; or of all rows what is left once none has more than so many.

    Parameters
    ----------
    role : Role
        Who runs it.
    x : Masked
        Rows one after the other, (sum of lengths,).
    lengths : int array
        Length of each row, at least 1.
    shift, bits : int
        As for :func:`greater`.
    most : int
        Values of a row that may be left; its maximum is among them.
    """
    share_of_mask(role, x)
    while int(lengths.max()) > most:
        r = _round(lengths)

        def pick(index: Index, x: Masked = x) -> Masked:
            return x.map(lambda v: v[index])

        won = greater(role, pick(r.first), pick(r.second), shift, bits)
        (opened,) = await open_values(role, [Opening(won)])
        lengths = r.lengths
        x = join([opened, pick(r.byes)]).map(lambda v, order=r.order: v[order])  # type: ignore[misc]
    return x
