"""The output projection and the choice of a token: greedy, or drawn with public noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from veracity.graph.exact import linear
from veracity.graph.ops.base import Array, Facts, Op, OpRule, Run, require, rescaled, rounded
from veracity.graph.port import Dims

__all__ = ["RULES", "Head"]


@dataclass(frozen=True, kw_only=True)
class Head(Op):
    """Arg max of ``rhu(x W^T, shift)`` for the last ``rows`` rows; ties go to the lowest index.

    Where tokens are drawn, the arg max of that plus noise (:mod:`veracity.graph.sampling`).
    """

    x: str
    weight: str
    shift: int
    rows: str = "A"


def _shape(op: Head, facts: Facts, dims: Sequence[Dims]) -> Dims:
    shape = facts.weights[op.weight].shape
    require(len(shape) == 2, op, "the weight is not a matrix")
    require(len(dims[0]) == 2, op, "input is not (positions, features)")
    require(dims[0][1] == shape[1], op, "the weight does not fit its input")
    require(op.rows in facts.limits, op, f"the program has no limit of {op.rows}")
    length = dims[0][0]
    most = facts.limits[length] if isinstance(length, str) else length
    require(facts.limits[op.rows] <= most, op, "more answers than positions")
    return (op.rows,)


def _magnitude(
    op: Head, facts: Facts, bounds: Sequence[int], _dims: Sequence[Dims]
) -> tuple[int, int]:
    spec = facts.weights[op.weight]
    return spec.shape[0] - 1, rounded(spec.shape[1] * spec.bound * bounds[0], op.shift)


def _evaluate(op: Head, run: Run, operands: Sequence[Array]) -> tuple[Array, dict[str, Array]]:
    x = operands[0]
    require(run.sizes[op.rows] <= len(x), op, "more answers than positions")
    acc = linear(x[len(x) - run.sizes[op.rows] :], run.weight(op, op.weight), run.integers)
    scores = rescaled(op, acc)
    if run.sampling is None:
        return np.asarray(scores.argmax(axis=1), dtype=np.int64), {"acc": acc}
    first = run.state.position + len(x) - run.sizes[op.rows]
    return run.sampling.pick(scores, first, run.exponents.get(op.name, -1)), {"acc": acc}


RULES: dict[type[Op], OpRule] = {Head: OpRule(_shape, _magnitude, _evaluate, ends=True)}
