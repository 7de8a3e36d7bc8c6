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
from dataclasses import dataclass
from math import prod

from veracity.mpc.cost import Cost
from veracity.mpc.party import Array
from veracity.mpc.secure.dealer import Dealer
from veracity.mpc.secure.opening import share_of_mask
from veracity.mpc.secure.party import Party
from veracity.mpc.secure.role import Local, Masked, Role, Secret

__all__ = ["cost", "product"]

Bilinear = Callable[[Array, Array], Array]


def cost(count: int) -> Cost:
    """Of a product with ``count`` elements, the shares of the operands' masks apart."""
    return Cost(offline_bytes_user=8 * count)


@dataclass(frozen=True, eq=False)
class _Product(Local):
    f: Bilinear
    a: Masked
    b: Masked

    def deal(self, dealer: Dealer) -> None:
        dealer.split(self.f(self.a.value, self.b.value))

    def run(self, party: Party) -> Array:
        # f(A - [r], B) - f(A, [q]) + [f(r, q)], where only the owner has A in the first term.
        left, right = party.share_of(self.a).share, party.mask_of(self.b)
        made = self.f(left, self.b.value) - self.f(self.a.value, right)
        return made + party.dealt(self.shape)


def product(role: Role, f: Bilinear, a: Masked, b: Masked, shape: tuple[int, ...]) -> Secret:
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
    for operand in (a, b):
        share_of_mask(role, operand)
    role.charge("product", cost(prod(shape)))
    return role.compute(_Product(shape, f, a, b))
