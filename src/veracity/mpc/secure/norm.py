"""RMSNorm and LayerNorm.

From the opened x: ``S = sum x^2`` ("rms") or ``S = d sum x^2 - (sum x)^2`` ("layer") by a product;
S is opened; ``rho = sqrt(K / (S + eps))`` by :mod:`veracity.mpc.secure.reciprocal`, opened;
``x rho`` or ``(d x - sum x) rho`` by a product.

* Exchanges: 2 (S; rho), and that of x, which other ops share.
* Error: relative 2^-13 of rho, as powers; the program takes the floor of rho.
"""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache

import numpy as np

from veracity.errors import UnsupportedModelError
from veracity.graph.ops import Norm
from veracity.mpc.party import Array
from veracity.mpc.secure.opening import Opening, open_values, plus
from veracity.mpc.secure.product import product
from veracity.mpc.secure.reciprocal import Groups, groups, openings, total
from veracity.mpc.secure.role import Masked, Role, Secret

__all__ = ["norm"]

#: Bits of rho beyond the program's.
GUARD = 2


@lru_cache(maxsize=64)
def _root(constant: int, eps: int, scale: int, bits: int) -> Groups:
    def f(x: int) -> Decimal:
        return (Decimal(constant) / (x * scale)).sqrt() - Decimal("0.5")

    return groups(f, max(0, (eps // scale).bit_length() - 1), bits, bits)


async def norm(role: Role, op: Norm, x: Masked, guard: int) -> tuple[Secret, int, int]:
    """Shares of the normed rows, the pending shift and the bits; x is (tokens, d) at 2^guard.

    Parameters
    ----------
    role : Role
        Who runs it.
    op : Norm
        What is computed.
    x : Masked
        The opened input, (tokens, d).
    guard : int
        Bits of it beyond the program's; none are supported.
    """
    if guard:
        raise UnsupportedModelError(op.name, "norm of a value with guard bits", "report this")
    tokens, d = x.shape
    wide = d.bit_length()
    rms = op.kind == "rms"
    bits = min(62, 2 * op.x_bits + (wide if rms else 2 * wide))

    def squares(a: Array, b: Array) -> Array:
        summed = (a * b).sum(axis=1, dtype=np.uint64)
        if rms:
            return np.asarray(summed)
        product_of_sums: Array = a.sum(axis=1) * b.sum(axis=1)
        return np.asarray(np.uint64(d) * summed - product_of_sums)

    scale = 1 if rms else d
    if op.eps // scale >> bits:
        what = "a norm whose eps is above all sums of squares"
        raise UnsupportedModelError(op.name, what, "use mode 'shuffled'")
    s = product(role, squares, x, x, (tokens,))
    (opened,) = await open_values(role, [Opening(s)])
    shifted = plus(role, opened, max(1, op.eps // scale))
    over = _root(op.constant, op.eps, scale, bits)
    count = len(over.each)
    parts = openings(role, [shifted] * count, over, [GUARD] * count)
    rho = total(await open_values(role, parts))

    def centred(v: Array) -> Array:
        return np.asarray(np.uint64(d) * v - v.sum(axis=1, keepdims=True, dtype=np.uint64))

    c = x if rms else x.map(centred)
    y = product(role, lambda a, b: a * b[:, None], c, rho, (tokens, d))
    shift = op.shift + GUARD
    return y, shift, op.bits + shift + 1
