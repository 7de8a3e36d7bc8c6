"""Linear layers: the owner's weights times a shared value.

Once per model the dealer gives the owner masks U (a seed) and the owner sends the user
``What = W - U``: uniform, and of use for ever. For every layer the user has a mask V (its seed).
With ``x = E - V``, E at the owner,

    W x = W E - W V,   W V = What V + U V                 owner: W E;  user, offline: What V

and the dealer shares U V. Weights stay small integers at the owner. E arises in two ways:

* :func:`linear`, for an opened value ``x = c - r``: the dealer gives the owner ``r - V``, so
  ``E = c - (r - V)``. No message. Offline: 8 bytes an element of x to the owner.
* :func:`linear_of_secret`, for shares: the user sends ``x1 + V``. One message, 8 bytes an element.

Offline 8 bytes an element of the results to the user besides, and once per model 8 a weight. Both
are exact modulo 2^64. To the owner E is uniform, and so are What and the share of U V to the user.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import cast

import numpy as np
from numpy.typing import NDArray

from veracity.engine.api import Ring
from veracity.mpc.cost import Cost
from veracity.mpc.party import OWNER, Array, Masked, Party, Role, Secret, hollow
from veracity.mpc.secure.dealer import Dealer, Use

__all__ = ["Use", "apply", "cost", "linear", "linear_of_secret", "products"]


def cost(inputs: int, results: int, sent: bool) -> Cost:
    """Of products of ``results`` elements with a value of ``inputs`` elements, sent or opened.

    Parameters
    ----------
    inputs : int
        Elements of the value.
    results : int
        Elements of all products.
    sent : bool
        Whether the value is sent (shares) or was opened.
    """
    if sent:
        return Cost(one_way=1, bytes_to_owner=8 * inputs, offline_bytes_user=8 * results)
    return Cost(offline_bytes_owner=8 * inputs, offline_bytes_user=8 * results)


def apply(ring: Ring, x: Array, weight: NDArray[np.integer], kind: str) -> Array:
    """``x W^T`` or ``x * w`` modulo 2^64 for the owner's or for masked weights.

    Parameters
    ----------
    ring : Ring
        What multiplies.
    x : uint64 array
        (rows, k).
    weight : array
        (n, k), or (k,) for a gain; uint64 where it is masked.
    kind : str
        "gain", or any other kind of weight.
    """
    if kind == "gain":
        return x * weight.astype(np.int64).view(np.uint64)
    if weight.dtype == np.uint64:
        return ring.matmul_dense(np.ascontiguousarray(x), cast(Array, weight))
    return ring.matmul(np.ascontiguousarray(x), weight)


def products(
    ring: Ring, mask: Array, uses: Sequence[Use], weights: Mapping[str, NDArray[np.integer]]
) -> list[Array]:
    """The user's part before any input exists: masked weights times the mask.

    Parameters
    ----------
    ring : Ring
        What multiplies.
    mask : uint64 array
        The user's mask of the input, (rows, k).
    uses : sequence of (name, kind)
        Weights.
    weights : mapping
        Masked weights by name.
    """
    return [apply(ring, mask, weights[name], kind) for name, kind in uses]


def linear(
    role: Role, x: Masked, uses: Sequence[Use], shapes: Mapping[str, tuple[int, ...]]
) -> list[Secret]:
    """Shares of the products of an opened value with several weights.

    Parameters
    ----------
    role : Role
        Who runs it.
    x : Masked
        (rows, k).
    uses : sequence of (name, kind)
        Weights, (n, k) or (k,).
    shapes : mapping
        Shapes of the weights.
    """
    results = _results(x.shape[0], uses, shapes)
    role.charge("linear", cost(prod(x.shape), sum(map(prod, results)), False))
    if isinstance(role, Dealer):
        mask = _deal(role, x.shape, uses)
        if role.dry:
            role.owner.count(8 * prod(x.shape))
        else:
            role.owner.put(x.value - mask)
        return _share_products(role, mask, uses, results)
    party = _party(role)
    if party.index == OWNER:
        return _own(party, x.value - party.material.take(x.shape), uses, results)
    label = party.material.label
    return _theirs(party, label, party.material.draw(x.shape), uses, results)


async def linear_of_secret(
    role: Role, x: Secret, uses: Sequence[Use], shapes: Mapping[str, tuple[int, ...]]
) -> list[Secret]:
    """As :func:`linear`, for a value in shares."""
    results = _results(x.shape[0], uses, shapes)
    role.charge("linear", cost(prod(x.shape), sum(map(prod, results)), True))
    if isinstance(role, Dealer):
        return _share_products(role, _deal(role, x.shape, uses), uses, results)
    party = _party(role)
    if party.index == OWNER:
        sent = await party.channel.receive_array(party.next_tag(), x.shape)
        return _own(party, x.share + sent, uses, results)
    label = party.material.label
    mask = party.material.draw(x.shape)
    await party.channel.send_array(party.next_tag(), x.share + mask)
    return _theirs(party, label, mask, uses, results)


def _results(
    rows: int, uses: Sequence[Use], shapes: Mapping[str, tuple[int, ...]]
) -> list[tuple[int, ...]]:
    return [(rows, shapes[name][0]) for name, _ in uses]


def _deal(dealer: Dealer, shape: tuple[int, ...], uses: Sequence[Use]) -> Array:
    """The user's mask."""
    dealer.prepare.append((dealer.user.label, shape, tuple(uses)))
    return dealer.draw(dealer.user, shape)


def _share_products(
    dealer: Dealer, mask: Array, uses: Sequence[Use], results: Sequence[tuple[int, ...]]
) -> list[Secret]:
    for (name, kind), shape in zip(uses, results, strict=True):
        dealer.split(
            hollow(shape)
            if dealer.dry
            else apply(dealer.engine.ring, mask, dealer.weights[name], kind)
        )
    return [Secret(hollow(shape)) for shape in results]


def _own(
    owner: Party, e: Array, uses: Sequence[Use], results: Sequence[tuple[int, ...]]
) -> list[Secret]:
    return [
        Secret(apply(owner.engine.ring, e, owner.weights[name], kind) - owner.material.draw(shape))
        for (name, kind), shape in zip(uses, results, strict=True)
    ]


def _theirs(
    user: Party, label: int, mask: Array, uses: Sequence[Use], results: Sequence[tuple[int, ...]]
) -> list[Secret]:
    ready = user.prepared.pop(label, None)
    if ready is None:
        ready = products(user.engine.ring, mask, uses, user.weights)
    return [
        Secret(np.uint64(0) - done - user.material.take(shape))
        for done, shape in zip(ready, results, strict=True)
    ]


def _party(role: Role) -> Party:
    if not isinstance(role, Party):
        raise TypeError("a role is a party or the dealer")
    return role
