"""Logarithms to base 2 of wide integers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from veracity.errors import RangeError
from veracity.graph.exact import rhu
from veracity.graph.ops.base import REMEDY, Array, Facts, Op, OpRule, Run, require, unchanged
from veracity.graph.port import Dims
from veracity.graph.tables import function_table
from veracity.records import record

__all__ = ["FRACTION", "RULES", "Log2"]

#: Bits of the mantissa that its table reads.
FRACTION = 14


@record(kw_only=True)
class Log2(Op):
    """``2^k_out log2(x + eps)`` for ``0 < x + eps < 2^x_bits``.

    The exponent ``j`` is exact; of the mantissa, 14 bits are read:
    ``j 2^k_out + LOG[rhu((x + eps) 2^(x_bits - 1 - j), x_bits - 15) - 2^14]`` with
    ``LOG[m] = round(log2(1 + m 2^-14) 2^k_out)``.
    """

    x: str
    eps: int
    x_bits: int
    k_out: int

    def tables(self) -> tuple[tuple[str, int, int], ...]:
        """That of logarithms of mantissas."""
        return (("log2_1p", FRACTION, self.k_out),)


def _shape(op: Log2, _facts: Facts, dims: Sequence[Dims]) -> Dims:
    require(op.x_bits > FRACTION, op, f"x_bits must be more than {FRACTION}")
    require(op.k_out < FRACTION, op, f"k_out must be less than {FRACTION}")
    require(op.eps < 1 << op.x_bits, op, "eps beyond the values")
    require(len(dims[0]) < 8, op, "an operand of at most 7 axes")
    return dims[0]


def _magnitude(
    op: Log2, _facts: Facts, bounds: Sequence[int], _dims: Sequence[Dims]
) -> tuple[int, int]:
    return op.x_bits << op.k_out, max(bounds[0] + op.eps, 1 << (op.x_bits + 1))


def _log2(op: Log2, _run: Run, operands: Sequence[Array]) -> tuple[Array, dict[str, Array]]:
    x = operands[0] + op.eps
    if x.size and (int(x.min()) < 1 or int(x.max()) >= 1 << op.x_bits):
        raise RangeError(op.name, REMEDY)
    powers = 1 << np.arange(op.x_bits, dtype=np.int64)
    exponent = np.searchsorted(powers, x, side="right") - 1
    wide = x << (op.x_bits - 1 - exponent)
    mantissa = rhu(wide, op.x_bits - 1 - FRACTION) - (1 << FRACTION)
    table = function_table("log2_1p", FRACTION, op.k_out)
    result = (exponent << op.k_out) + table[mantissa + (1 << 15)]
    return result, {"exponent": exponent, "wide": wide}


RULES: dict[type[Op], OpRule] = {Log2: OpRule(_shape, _magnitude, _log2, over=unchanged)}
