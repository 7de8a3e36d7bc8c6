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
from dataclasses import dataclass

import numpy as np

from veracity.mpc.cost import Cost
from veracity.mpc.party import OWNER, Array, Masked, Party, Role, Secret, hollow
from veracity.mpc.secure.dealer import Dealer

__all__ = ["Opening", "cost", "open_values", "plus", "share_of", "share_of_mask", "shift_right"]


_WORD = (1 << 64) - 1


@dataclass(frozen=True)
class Opening:
    """A value to open: ``secret / 2^shift``, where ``|secret| < 2^(bits - 1)``."""

    secret: Secret
    shift: int = 0
    bits: int = 64


def shift_right(c: Array, shift: int, bits: int) -> Array:
    """``(c >> shift) - (2^(bits-1) >> shift)``: takes off what made the value positive.

    Parameters
    ----------
    c : uint64 array
        Opened values, made positive.
    shift : int
        Bits to drop.
    bits : int
        Bits of the values.
    """
    if shift == 0:
        return c
    return (c >> np.uint64(shift)) - np.uint64(1 << (bits - 1 - shift))


def cost(count: int) -> Cost:
    """Of opening ``count`` elements at once."""
    return Cost(exchanges=1, bytes_to_owner=8 * count, bytes_to_user=8 * count)


async def open_values(role: Role, items: Sequence[Opening]) -> list[Masked]:
    """Open values in one exchange."""
    sizes = [int(np.prod(item.secret.shape)) for item in items]
    role.charge("open", cost(sum(sizes)))
    shapes = [item.secret.shape for item in items]
    if isinstance(role, Dealer):
        found = []
        for item, shape in zip(items, shapes, strict=True):
            role.wraps += int(np.prod(shape)) * 2.0 ** (item.bits - 64) if item.shift else 0.0
            mask = role.both(shape)
            known = None if item.shift else hollow(shape)
            found.append(Masked(mask if role.dry else mask >> np.uint64(item.shift), known))
        return found
    party = _party(role)
    own = [party.material.draw(shape) for shape in shapes]
    sent = np.concatenate(
        [(i.secret.share + r).reshape(-1) for i, r in zip(items, own, strict=True)]
    )
    at = 0
    if party.index == OWNER:
        for item, size in zip(items, sizes, strict=True):
            if item.shift:
                sent[at : at + size] += np.uint64(1 << (item.bits - 1))
            at += size
    opened = sent + await party.channel.exchange_array(party.next_tag(), sent)
    found, at = [], 0
    for item, shape, size, mask in zip(items, shapes, sizes, own, strict=True):
        c = opened[at : at + size].reshape(shape)
        at += size
        if item.shift:
            party.watch(c, item.bits)
            found.append(Masked(shift_right(c, item.shift, item.bits)))
        else:
            found.append(Masked(c, mask))
    return found


def share_of_mask(role: Role, x: Masked) -> Array:
    """A party's share of x's mask, dealt where the parties have none yet: 8 bytes to the user."""
    if x.share is None:
        size = int(np.prod(x.shape))
        role.charge("mask", Cost(offline_bytes_user=8 * size))
        if isinstance(role, Dealer):
            role.split(x.value)
            x.share = hollow(x.shape)
        else:
            party = _party(role)
            material = party.material
            x.share = material.draw(x.shape) if party.index == OWNER else material.take(x.shape)
    return x.share


def share_of(role: Role, x: Masked) -> Secret:
    """Shares of an opened value."""
    share = share_of_mask(role, x)
    if isinstance(role, Dealer):
        return Secret(hollow(x.shape))
    return Secret(_party(role).mine(x.value) - share)


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
    if isinstance(role, Dealer):
        return x
    added = np.uint64(constant & _WORD) if isinstance(constant, int) else constant
    return Masked(x.value + added, x.share)


def _party(role: Role) -> Party:
    if not isinstance(role, Party):
        raise TypeError("a role is a party or the dealer")
    return role
