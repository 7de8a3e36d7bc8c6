"""Linear maps by weights: matrices, gains, contractions of any letters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from veracity.graph.exact import linear
from veracity.graph.ops.base import Array, Facts, Op, OpRule, Run, require, rescaled, rounded
from veracity.graph.port import Dims

__all__ = ["RULES", "Contract", "Gain", "Linear"]


@dataclass(frozen=True, kw_only=True)
class Linear(Op):
    """``rhu(x W^T + bias, shift)``; W is (n, k), bias (n,) at the accumulator's scale."""

    x: str
    weight: str
    bias: str | None
    shift: int
    bits: int


@dataclass(frozen=True, kw_only=True)
class Gain(Op):
    """``rhu(x * weight + bias, shift)``, both (features,): a norm's gain before a tied head."""

    x: str
    weight: str
    bias: str | None
    shift: int
    bits: int


@dataclass(frozen=True, kw_only=True)
class Contract(Op):
    """``rhu(einsum(spec, x, W), shift)``: every letter that is left out stands in both operands.

    Each letter of the result stands in one operand. The weight has one to four dims.
    """

    x: str
    weight: str
    spec: str
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
    return rescaled(op, acc), {"acc": acc}


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
    return rescaled(op, acc), {"acc": acc}


def _letters(op: Contract) -> tuple[str, str, str]:
    """Letters of x, of the weight, of the result."""
    inputs, arrow, out = op.spec.partition("->")
    left, comma, right = inputs.partition(",")
    letters = left + right + out
    require(bool(arrow and comma), op, "the spec is no contraction of two operands")
    fine = letters.isascii() and letters.isalpha() and letters.islower() and len(letters) <= 24
    require(fine, op, "letters of the spec must be a to z")
    for part in (left, right, out):
        require(len(set(part)) == len(part), op, "a letter stands twice in one operand")
    shared = set(left) & set(right)
    fits = not shared & set(out) and set(out) == (set(left) | set(right)) - shared
    require(fits, op, "letters in both operands, and only those, are summed over")
    return left, right, out


def _contract_shape(op: Contract, facts: Facts, dims: Sequence[Dims]) -> Dims:
    left, right, out = _letters(op)
    shape = facts.weights[op.weight].shape
    require(len(left) == len(dims[0]), op, "the spec does not fit its input")
    require(len(right) == len(shape), op, "the spec does not fit its weight")
    size = dict(zip(left, dims[0], strict=True))
    for letter, n in zip(right, shape, strict=True):
        require(size.setdefault(letter, n) == n, op, "the weight does not fit its input")
    return tuple(size[c] for c in out)


def _contract_magnitude(
    op: Contract, facts: Facts, bounds: Sequence[int], _dims: Sequence[Dims]
) -> tuple[int, int]:
    left, right, _ = _letters(op)
    spec = facts.weights[op.weight]
    terms = prod(n for c, n in zip(right, spec.shape, strict=True) if c in left)
    return 1 << (op.bits - 1), rounded(terms * spec.bound * bounds[0], op.shift)


def _contract(op: Contract, run: Run, operands: Sequence[Array]) -> tuple[Array, dict[str, Array]]:
    left, right, out = _letters(op)
    x, w = operands[0], run.weight(op, op.weight)
    summed = [c for c in left if c in right]
    rows, columns = [c for c in left if c not in summed], [c for c in right if c not in summed]
    size = dict(zip(left + right, x.shape + w.shape, strict=True))
    k = prod(size[c] for c in summed)
    a = x.transpose([left.index(c) for c in (*rows, *summed)]).reshape(-1, k)
    b = w.transpose([right.index(c) for c in (*columns, *summed)]).reshape(-1, k)
    acc = linear(np.ascontiguousarray(a), np.ascontiguousarray(b), run.integers)
    acc = acc.reshape([size[c] for c in (*rows, *columns)])
    order = [*rows, *columns]
    acc = np.ascontiguousarray(acc.transpose([order.index(c) for c in out]))
    return rescaled(op, acc), {"acc": acc}


RULES: dict[type[Op], OpRule] = {
    Linear: OpRule(_linear_shape, _linear_magnitude, _linear),
    Gain: OpRule(_gain_shape, _gain_magnitude, _gain),
    Contract: OpRule(_contract_shape, _contract_magnitude, _contract),
}
