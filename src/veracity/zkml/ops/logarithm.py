"""Logarithms: the exponent as a row of bits, the mantissa by a table.

With ``X = x + eps``, ``J = x_bits`` and the powers of two ``P = sum_j 2^j b_j``,
``Q = sum_j 2^(J-1-j) b_j`` of one row of bits:

    b_j in {0, 1}
    X - P >= 0,  2 P - 1 - X >= 0          hence P > 0: some b_j is 1
    n = rescale(X Q, J - 15)               the mantissa
    (n - 2^14, t) in the table             t = log2 of it; the result is t + 2^k_out sum_j j b_j

Two bits would give ``P Q >= 4.5 2^(J-1)``, so ``n >= 4.5 2^14``, which the table does not have. So
one bit is 1, and ``2^j <= X < 2^(j+1)`` says which.
"""

from __future__ import annotations

import numpy as np

from veracity.engine.api import ORDER
from veracity.errors import UnsupportedModelError
from veracity.graph.ops import Log2, Op
from veracity.graph.ops.logarithm import FRACTION
from veracity.graph.wires import Step
from veracity.zkml.circuit.axis_maps import AxisMatrix
from veracity.zkml.circuit.integers import looked_up
from veracity.zkml.circuit.tables import function, unsigned
from veracity.zkml.circuit.tensor import Tensor
from veracity.zkml.ops import Context, Rule, letters

__all__ = ["RULES", "log2"]

#: Entries of a public matrix on an axis have fewer bits than this.
_HALF = 24


def log2(context: Context, op: Log2) -> Tensor:
    """See the module text."""
    b, name, count = context.builder, op.name, op.x_bits
    x = context.value(op.x) + op.eps
    bound = b.bound(x)
    if bound is None or bound << count >= ORDER // 4:
        raise UnsupportedModelError(
            name, "a logarithm of values without a static bound", "take it of results of ops"
        )
    axes, dims = letters(x), x.dims
    exponent, wide = (context.detail(name, key) for key in ("exponent", "wide"))
    bits = above = below = None
    if exponent is not None and x.value is not None:
        bits = (exponent[..., None] == np.arange(count)).astype(np.int8)
        above = x.value - (1 << exponent)
        below = (2 << exponent) - 1 - x.value
    pick = b.ranged(name, "log2.bits", (*dims, count), bits, unsigned(1))
    power = _powers(pick, [1 << j for j in range(count)])
    limbs = -(-count // 16)
    b.zero(b.limbs(name, "log2.above", dims, above, limbs) - x + power)
    b.zero(b.limbs(name, "log2.below", dims, below, limbs) + x - power * 2 + 1)

    shifts = _powers(pick, [1 << (count - 1 - j) for j in range(count)])
    acc = Tensor.product(f"{axes},{axes}->{axes}", x, shifts)
    n = b.rescaled(name, "log2.mantissa", acc, wide, count - 1 - FRACTION)
    table, mantissa = function(*op.tables()[0]), n - (1 << FRACTION)
    found = None
    if mantissa.value is not None:
        images = np.asarray(table.images())
        found = looked_up(name, mantissa.value, table.low, images, b.integers)
    fraction = b.column("log2.fraction", dims, found)
    b.lookup(name, table, mantissa, fraction)
    return fraction + _weighed(pick, list(range(count))) * (1 << op.k_out)


def _weighed(pick: Tensor, factors: list[int]) -> Tensor:
    """``sum_j factor_j b_j`` over the last axis."""
    axis = len(pick.dims) - 1
    matrix = AxisMatrix(Step("taps", axis, (1, *factors)), len(factors))
    return pick.view(matrix).sum(axis)


def _powers(pick: Tensor, factors: list[int]) -> Tensor:
    """The same for factors of up to 48 bits, by their halves."""
    low = [f if f < 1 << _HALF else 0 for f in factors]
    high = [f >> _HALF for f in factors]
    return _weighed(pick, low) + _weighed(pick, high) * (1 << _HALF)


RULES: dict[type[Op], Rule] = {Log2: log2}
