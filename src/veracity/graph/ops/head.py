"""The output projection and the choice of a token: greedy, or drawn with public noise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from veracity.graph.exact import linear
from veracity.graph.ops.base import Array, Facts, Op, OpRule, Run, require, rescaled, rounded
from veracity.graph.port import Dims
from veracity.records import record

__all__ = ["RULES", "Head", "HeadWithBias"]


@record(kw_only=True)
class Head(Op):
    """Arg max of ``rhu(x W^T, shift)`` for the last ``rows`` rows; ties go to the lowest index.

    Where tokens are drawn, the arg max of that plus noise (:mod:`veracity.graph.sampling`).
    """

    x: str
    weight: str
    shift: int
    rows: str = "A"


@record(kw_only=True)
class HeadWithBias(Head):
    """A :class:`Head` of ``x W^T + bias``; bias (n,) at the accumulator's scale."""

    bias: str


def _shape(op: Head, facts: Facts, dims: Sequence[Dims]) -> Dims:
    shape = facts.weights[op.weight].shape
    require(len(shape) == 2, op, "the weight is not a matrix")
    require(len(dims[0]) == 2, op, "input is not (positions, features)")
    require(dims[0][1] == shape[1], op, "the weight does not fit its input")
    if isinstance(op, HeadWithBias):
        require(facts.weights[op.bias].shape == shape[:1], op, "the bias does not fit the weight")
    require(op.rows in facts.limits, op, f"the program has no limit of {op.rows}")
    length = dims[0][0]
    most = facts.limits[length] if isinstance(length, str) else length
    require(facts.limits[op.rows] <= most, op, "more answers than positions")
    return (op.rows,)


def _magnitude(
    op: Head, facts: Facts, bounds: Sequence[int], _dims: Sequence[Dims]
) -> tuple[int, int]:
    spec = facts.weights[op.weight]
    acc = spec.shape[1] * spec.bound * bounds[0]
    acc += facts.weights[op.bias].bound if isinstance(op, HeadWithBias) else 0
    return spec.shape[0] - 1, rounded(acc, op.shift)


def scores(op: Head, run: Run, x: Array) -> Array:
    """Accumulators of the scores of all tokens.

    Parameters
    ----------
    op : Head
        The projection.
    run : Run
        Its weights.
    x : int64 array, shape (rows, features)
        What is projected.

    Returns
    -------
    int64 array, shape (rows, vocabulary)
    """
    acc = linear(x, run.weight(op, op.weight), run.integers)
    if isinstance(op, HeadWithBias):
        acc += run.weight(op, op.bias).astype(np.int64)
    return acc


def _evaluate(op: Head, run: Run, operands: Sequence[Array]) -> tuple[Array, dict[str, Array]]:
    x = operands[0]
    require(run.sizes[op.rows] <= len(x), op, "more answers than positions")
    acc = scores(op, run, x[len(x) - run.sizes[op.rows] :])
    found = rescaled(op, acc, run.integers)
    if run.sampling is None:
        return np.asarray(found.argmax(axis=1), dtype=np.int64), {"acc": acc}
    first = run.state.position + len(x) - run.sizes[op.rows]
    return run.sampling.pick(found, first, run.exponents.get(op.name, -1)), {"acc": acc}


_RULE = OpRule(_shape, _magnitude, _evaluate, ends=True)
RULES: dict[type[Op], OpRule] = {Head: _RULE, HeadWithBias: _RULE}
