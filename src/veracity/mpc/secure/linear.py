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

from veracity.mpc.cost import Cost
from veracity.mpc.secure.role import Masked, Role, Secret, Use

__all__ = ["cost", "linear", "linear_of_secret"]


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
    results = [(x.shape[0], shapes[name][0]) for name, _ in uses]
    role.charge("linear", cost(prod(x.shape), sum(map(prod, results)), False))
    return role.multiply(x, uses, results)


async def linear_of_secret(
    role: Role, x: Secret, uses: Sequence[Use], shapes: Mapping[str, tuple[int, ...]]
) -> list[Secret]:
    """As :func:`linear`, for a value in shares."""
    results = [(x.shape[0], shapes[name][0]) for name, _ in uses]
    role.charge("linear", cost(prod(x.shape), sum(map(prod, results)), True))
    return await role.multiply_secret(x, uses, results)
