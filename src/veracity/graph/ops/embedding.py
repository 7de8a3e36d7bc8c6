"""Rows of tables: by public index, or the first ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from veracity.graph.ops.base import Array, Facts, Op, OpRule, Run, require
from veracity.graph.port import Dims
from veracity.records import record

__all__ = ["RULES", "Embed", "Positions"]


@record(kw_only=True)
class Embed(Op):
    """``table[x]``; ``x`` is an input port of indices."""

    table: str
    x: str = "tokens"


@record(kw_only=True)
class Positions(Op):
    """``table[: size of the axis]``, rows from where evaluation stands."""

    table: str
    axis: str = "T"


def _table(op: Embed | Positions, facts: Facts) -> tuple[int, int]:
    shape = facts.weights[op.table].shape
    require(len(shape) == 2, op, "the weight is not a matrix")
    return shape[0], shape[1]


def _embed_shape(op: Embed, facts: Facts, dims: Sequence[Dims]) -> Dims:
    rows, width = _table(op, facts)
    require(op.x in facts.inputs, op, "indices are not an input of the program")
    port = facts.inputs[op.x]
    require(len(port.dims) == 1, op, "indices are no list")
    require(port.low == 0 and port.high == rows - 1, op, "the table has another number of rows")
    return (*dims[0], width)


def _embed(op: Embed, run: Run, operands: Sequence[Array]) -> tuple[Array, dict[str, Array]]:
    return run.weight(op, op.table)[operands[0]].astype(np.int64), {}


def _positions_shape(op: Positions, facts: Facts, _dims: Sequence[Dims]) -> Dims:
    rows, width = _table(op, facts)
    require(facts.limits.get(op.axis) == rows, op, "the table has another number of rows")
    return (op.axis, width)


def _positions(
    op: Positions, run: Run, _operands: Sequence[Array]
) -> tuple[Array, dict[str, Array]]:
    start = run.state.position
    return run.weight(op, op.table)[start : start + run.sizes[op.axis]].astype(np.int64), {}


def _magnitude(
    op: Embed | Positions, facts: Facts, _bounds: Sequence[int], _dims: Sequence[Dims]
) -> tuple[int, int]:
    bound = facts.weights[op.table].bound
    return bound, bound


RULES: dict[type[Op], OpRule] = {
    Embed: OpRule(_embed_shape, _magnitude, _embed),
    Positions: OpRule(_positions_shape, _magnitude, _positions),
}
