"""Products of two opened values, for any bilinear map f: matrix products, element by element.

With ``a = A - r`` and ``b = B - q`` (A, B public), ``f(a, b) = f(A, B) - f(A, [q]) - f([r], B) +
[f(r, q)]``: local, given shares of the masks and of their product (Beaver, CRYPTO 91). An operand
that was opened once serves any number of products: keys and values stay in the cache under the
masks they had, and only the product's share is new.

* Exchanges: none.
* Bytes: none. Offline: 8 an element of the result to the user, and 8 an element of each operand
  the first time it is used.
* Error: none.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from veracity.mpc.cost import Cost
from veracity.mpc.party import OWNER, Array, Masked, Party, Role, Secret, hollow
from veracity.mpc.secure.dealer import Dealer
from veracity.mpc.secure.opening import share_of_mask

__all__ = ["cost", "product"]


def cost(count: int) -> Cost:
    """Of a product with ``count`` elements, the shares of the operands' masks apart."""
    return Cost(offline_bytes_user=8 * count)


def product(
    role: Role,
    f: Callable[[Array, Array], Array],
    a: Masked,
    b: Masked,
    shape: tuple[int, ...],
) -> Secret:
    """Shares of ``f(a, b)``, which has the shape ``shape``.

    Parameters
    ----------
    role : Role
        Who runs it.
    f : callable
        A bilinear map of uint64 arrays.
    a, b : Masked
        Opened operands.
    shape : tuple of int
        Shape of the result.
    """
    left, right = share_of_mask(role, a), share_of_mask(role, b)
    role.charge("product", cost(int(np.prod(shape))))
    if isinstance(role, Dealer):
        role.split(hollow(shape) if role.dry else f(a.value, b.value))
        return Secret(hollow(shape))
    if not isinstance(role, Party):
        raise TypeError("a role is a party or the dealer")
    if role.index == OWNER:
        return Secret(f(a.value - left, b.value) - f(a.value, right) + role.material.draw(shape))
    return Secret(role.material.take(shape) - f(left, b.value) - f(a.value, right))
