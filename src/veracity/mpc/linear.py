"""Linear layers: the owner's weights times a shared value, one message from the user.

Once per model the dealer gives the owner masks U (a seed) and the owner sends the user
``What = W - U``. For every use the user has a mask v (its seed) and sends ``x1 + v``; the owner has
``c = x + v`` and, after truncation as in :mod:`veracity.mpc.secure.opening`, ``C`` with
``x / 2^s = C - V``, ``V = v >> s``. Then

    W x = W C - W V,   W V = What V + U V                 owner: W C;  user, offline: What V

and the dealer shares U V. Weights stay small integers at the owner. U serves a model for ever, v
one message: c is uniform to the owner, What and the share of U V are uniform to the user.

* One way: 1 for any number of weights that read one value.
* Bytes: 8 an element of the input to the owner. Offline: 8 an element of the results to the user,
  and once per model 8 a weight.
* Error: that of the truncation, below one unit and unbiased.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from veracity.engine.ring import matmul, matmul_dense
from veracity.mpc.cost import Cost
from veracity.mpc.dealer import Dealer, Use
from veracity.mpc.party import OWNER, Array, Party, Role, Secret, hollow
from veracity.mpc.secure.opening import shift_right

__all__ = ["Use", "apply", "cost", "linear", "transposed"]


def transposed(table: str) -> str:
    """Name of the transpose of a table of embeddings."""
    return f"{table}^T"


def cost(inputs: int, results: int) -> Cost:
    """Of one message for ``inputs`` elements and products of ``results`` elements."""
    return Cost(one_way=1, bytes_to_owner=8 * inputs, offline_bytes_user=8 * results)


def apply(x: Array, weight: NDArray[np.integer], kind: str) -> Array:
    """``x W^T`` or ``x * w`` modulo 2^64 for the owner's or for masked weights."""
    if kind == "gain":
        return x * weight.astype(np.int64).view(np.uint64)
    if weight.dtype == np.uint64:
        return matmul_dense(np.ascontiguousarray(x), cast(Array, weight))
    return matmul(np.ascontiguousarray(x), weight)


async def linear(
    role: Role,
    x: Secret,
    shift: int,
    bits: int,
    uses: Sequence[Use],
    shapes: Mapping[str, tuple[int, ...]],
) -> list[Secret]:
    """Shares of the products of ``x / 2^shift`` with several weights.

    Parameters
    ----------
    x : Secret
        (rows, k), ``|x| < 2^(bits - 1)``.
    uses : sequence of (name, kind)
        Weights, (n, k) or (k,).
    shapes : mapping
        Shapes of the weights.
    """
    rows = x.shape[0]
    results = [(rows, shapes[name][0]) for name, _ in uses]
    role.charge("linear", cost(x.share.size, sum(r * n for r, n in results)))
    if isinstance(role, Dealer):
        if shift:
            role.wraps += x.share.size * 2.0 ** (bits - 64)
        role.prepare.append((role.user.label, x.shape, shift, tuple(uses)))
        mask = role.draw(role.user, x.shape)
        for (name, kind), shape in zip(uses, results, strict=True):
            role.split(
                hollow(shape)
                if role.dry
                else apply(mask >> np.uint64(shift), role.weights[name], kind)
            )
        return [Secret(hollow(shape)) for shape in results]
    if not isinstance(role, Party):
        raise TypeError("a role is a party or the dealer")
    material = role.material
    if role.index == OWNER:
        c = x.share + await role.channel.receive_array(role.next_tag(), x.shape)
        if shift:
            c = c + np.uint64(1 << (bits - 1))
            role.watch(c, bits)
        c = shift_right(c, shift, bits)
        return [
            Secret(apply(c, role.weights[name], kind) - material.draw(shape))
            for (name, kind), shape in zip(uses, results, strict=True)
        ]
    label = material.label
    mask = material.draw(x.shape)
    await role.channel.send_array(role.next_tag(), x.share + mask)
    ready = role.prepared.pop(label, None)
    if ready is None:
        ready = products(mask >> np.uint64(shift), uses, role.weights)
    return [
        Secret(np.uint64(0) - done - material.take(shape))
        for done, shape in zip(ready, results, strict=True)
    ]


def products(
    mask: Array, uses: Sequence[Use], weights: Mapping[str, NDArray[np.integer]]
) -> list[Array]:
    """The user's part before any input exists: masked weights times the mask."""
    return [apply(mask, weights[name], kind) for name, kind in uses]
