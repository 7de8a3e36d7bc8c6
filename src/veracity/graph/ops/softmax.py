"""Softmax over the last axis, without a mask, as exact as that of attention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from veracity.graph.exact import rhu
from veracity.graph.ops.base import (
    Array,
    Facts,
    Op,
    OpRule,
    Run,
    in_range,
    require,
    within,
)
from veracity.graph.port import Dims
from veracity.graph.tables import exp_table

__all__ = ["RULES", "Softmax"]


@dataclass(frozen=True, kw_only=True)
class Softmax(Op):
    """``rhu(e floor(2^31 / sum e), 16)`` with ``e = EXP[max x - x]``: probabilities at 2^-15.

    ``EXP[d] = round(exp(-d 2^-exp_k) 2^15)``. The greatest entry of a row has 16 bits, and no
    other lies 2^16 or more below it.
    """

    x: str
    exp_k: int


def _shape(op: Softmax, _facts: Facts, dims: Sequence[Dims]) -> Dims:
    require(len(dims[0]) >= 2, op, "a softmax is over the last axis of several")
    n = dims[0][-1]
    require(isinstance(n, int) and n < 1 << 16, op, "a softmax over an axis that is not known")
    return dims[0]


def _magnitude(
    _op: Softmax, _facts: Facts, bounds: Sequence[int], _dims: Sequence[Dims]
) -> tuple[int, int]:
    return 1 << 15, max(2 * bounds[0], 1 << 32)


def _softmax(op: Softmax, _run: Run, operands: Sequence[Array]) -> tuple[Array, dict[str, Array]]:
    x = operands[0]
    m = x.max(axis=-1)
    in_range(op, m, 16)
    e = exp_table(op.exp_k)[within(op, m[..., None] - x, 1 << 16)]
    inverse = (1 << 31) // e.sum(axis=-1)
    p = rhu(e * inverse[..., None], 16)
    return p, {"m": m, "e": e, "inv": inverse, "p": p}


RULES: dict[type[Op], OpRule] = {Softmax: OpRule(_shape, _magnitude, _softmax)}
