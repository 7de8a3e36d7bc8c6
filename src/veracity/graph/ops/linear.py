"""Linear maps by weights: matrices and gains."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from veracity.graph.exact import linear
from veracity.graph.ops.base import (
    Array,
    Facts,
    Op,
    OpRule,
    Run,
    require,
    rescaled,
    rounded,
    unchanged,
)
from veracity.graph.port import Dims
from veracity.records import record

__all__ = ["RULES", "Gain", "Linear"]


@record(kw_only=True)
class Linear(Op):
    """``rhu(x W^T + bias, shift)``; W is (n, k), bias (n,) at the accumulator's scale."""

    x: str
    weight: str
    bias: str | None
    shift: int
    bits: int


@record(kw_only=True)
class Gain(Op):
    """``rhu(x * weight + bias, shift)``, both (features,): a norm's gain before a tied head."""

    x: str
    weight: str
    bias: str | None
    shift: int
    bits: int


def _linear_shape(op: Linear, facts: Facts, dims: Sequence[Dims]) -> Dims:
    shape = facts.weights[op.weight].shape
    require(len(shape) == 2, op, "the weight is not a matrix")
    n, k = shape
    require(dims[0][-1] == k, op, "the weight does not fit its input")
    if op.bias is not None:
        require(facts.weights[op.bias].shape == (n,), op, "the bias does not fit the weight")
    return (*dims[0][:-1], n)


def _linear_magnitude(
    op: Linear, facts: Facts, bounds: Sequence[int], _dims: Sequence[Dims]
) -> tuple[int, int]:
    spec = facts.weights[op.weight]
    acc = spec.shape[1] * spec.bound * bounds[0]
    acc += 0 if op.bias is None else facts.weights[op.bias].bound
    return 1 << (op.bits - 1), rounded(acc, op.shift)


def _linear(op: Linear, run: Run, operands: Sequence[Array]) -> tuple[Array, dict[str, Array]]:
    x = operands[0]
    acc = linear(x.reshape(-1, x.shape[-1]), run.weight(op, op.weight), run.integers)
    acc = acc.reshape(*x.shape[:-1], -1)
    if op.bias is not None:
        acc += run.weight(op, op.bias).astype(np.int64)
    return rescaled(op, acc, run.integers), {"acc": acc}


def _gain_shape(op: Gain, facts: Facts, dims: Sequence[Dims]) -> Dims:
    for weight in op.weight_names():
        fits = facts.weights[weight].shape == (dims[0][-1],)
        require(fits, op, "the gain does not fit its input")
    return dims[0]


def _gain_magnitude(
    op: Gain, facts: Facts, bounds: Sequence[int], _dims: Sequence[Dims]
) -> tuple[int, int]:
    acc = facts.weights[op.weight].bound * bounds[0]
    acc += 0 if op.bias is None else facts.weights[op.bias].bound
    return 1 << (op.bits - 1), rounded(acc, op.shift)


def _gain(op: Gain, run: Run, operands: Sequence[Array]) -> tuple[Array, dict[str, Array]]:
    acc = operands[0] * run.weight(op, op.weight).astype(np.int64)
    if op.bias is not None:
        acc += run.weight(op, op.bias).astype(np.int64)
    return rescaled(op, acc, run.integers), {"acc": acc}


RULES: dict[type[Op], OpRule] = {
    Linear: OpRule(_linear_shape, _linear_magnitude, _linear, over=unchanged),
    Gain: OpRule(_gain_shape, _gain_magnitude, _gain, over=unchanged),
}
