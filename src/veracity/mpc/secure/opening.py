"""Open values under masks, truncating on the way.

Both parties send ``x_i + r_i``; then ``c = x + r`` is public and r the dealer's. Truncation by s
bits is local: with ``C = c >> s`` and ``R = r >> s``, ``C - R`` is ``floor(x / 2^s)`` or one more,
in the mean ``x / 2^s`` (stochastic rounding), so C is ``x / 2^s`` under the mask R.

This holds modulo ``2^(64 - s)``. It holds modulo 2^64, too, unless ``x + r`` wraps around. For
``0 <= x < 2^b`` (values are shifted there) that takes ``c < 2^b``, which both parties see and
which has probability ``2^(b - 64)`` whatever x is: c is uniform. Then the pass has no result and is
repeated with other material; expected repetitions are counted by the plan.

* Exchanges: 1 for any number of values.
* Bytes: 8 an element to each party. Offline: none.
* Error: below one unit, unbiased, where s > 0; else none.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from veracity.mpc.cost import Cost
from veracity.mpc.party import Array
from veracity.mpc.secure.role import Masked, Opened, Opening, Role, Secret, Then

__all__ = [
    "Opening",
    "cost",
    "open_ahead",
    "open_values",
    "plus",
    "share_of",
    "share_of_mask",
    "shifted",
]

_WORD = (1 << 64) - 1


def cost(count: int) -> Cost:
    """Of opening ``count`` elements at once."""
    return Cost(exchanges=1, bytes_to_owner=8 * count, bytes_to_user=8 * count)


async def open_values(role: Role, items: Sequence[Opening]) -> list[Masked]:
    """Open values in one exchange."""
    role.charge("open", cost(sum(prod(item.secret.shape) for item in items)))
    return await role.open(items)


async def open_ahead(role: Role, first: Sequence[Opening], then: Then) -> tuple[Opened, Opened]:
    """Open values, and others whose shares the user has before: it sends both at once.

    Such are the products of the first ones with weights (:mod:`veracity.mpc.secure.linear`). The
    owner has them as soon as it has the first ones, and each party is then ahead in turn. Two
    exchanges, which take less than two messages one after the other (see
    :attr:`veracity.mpc.secure.plan.Plan.hops`).

    Parameters
    ----------
    role : Role
        Who runs it.
    first : sequence of Opening
        What to open.
    then : callable
        What to open next, from what was opened; at the user it gets shapes only.
    """
    role.charge("open", cost(sum(prod(item.secret.shape) for item in first)))

    def charged(opened: Opened) -> Sequence[Opening]:
        second = then(opened)
        role.charge("open", cost(sum(prod(item.secret.shape) for item in second)))
        return second

    return await role.open_ahead(first, charged)


def shifted(x: Masked, bits: int) -> Masked:
    """``x / 2^bits``, rounded to either neighbour, of a value that was opened with a shift.

    Such a value and its mask have less than 63 bits, and differ by the value in the integers.

    Parameters
    ----------
    x : Masked
        The opened value.
    bits : int
        Bits to drop.
    """
    if not bits:
        return x
    return x.map(lambda v: (v.view(np.int64) >> bits).view(np.uint64), exact=False)


def share_of_mask(role: Role, x: Masked) -> Array:
    """A party's share of x's mask, dealt where the parties have none yet: 8 bytes to the user."""
    if x.share is None:
        role.charge("mask", Cost(offline_bytes_user=8 * prod(x.shape)))
        x.share = role.share_mask(x.value)
    return x.share


def share_of(role: Role, x: Masked) -> Secret:
    """Shares of an opened value."""
    share_of_mask(role, x)
    return role.share_of(x)


def plus(role: Role, x: Masked, constant: Array | int) -> Masked:
    """Add a public constant.

    Parameters
    ----------
    role : Role
        Who runs it.
    x : Masked
        An opened value.
    constant : uint64 array or int
        Public.
    """
    if isinstance(constant, int):
        constant = np.asarray(np.uint64(constant & _WORD))
    return role.plus(x, constant)
