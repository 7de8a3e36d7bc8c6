"""Embedding, positions, linear maps, sums and rescales.

Embed and Positions rewire the committed table (tokens are public); the result is committed and
bounded, so that later bounds hold for any committed weights. A linear map is one rescale of the
product ``sum_k x(t, k) W(n, k) + bias(n)`` (Thaler, eprint 2013/351); sums are free.
"""

from __future__ import annotations

from veracity.graph.ops import Add, Embed, Linear, Positions, Rescale
from veracity.zkml.circuit.linear_maps import Gather
from veracity.zkml.circuit.tensor import Tensor
from veracity.zkml.ops import Context, rule


def _checked_rows(context: Context, rows: Tensor) -> Tensor:
    y = context.builder.column("table.y", rows.dims, rows.value, bounded=True)
    context.builder.zero(y - rows)
    return y


@rule(Embed)
def embed(context: Context, op: Embed) -> Tensor:
    """Rows of the table by public tokens."""
    table = context.builder.weight(op.table)
    return _checked_rows(context, table.view(Gather(context.tokens, table.dims[0])))


@rule(Positions)
def positions(context: Context, op: Positions) -> Tensor:
    """The first rows of the table."""
    table = context.builder.weight(op.table)
    return _checked_rows(context, table.rows(0, len(context.tokens)))


@rule(Add)
def add(context: Context, op: Add) -> Tensor:
    """Free: a sum of tensors with public powers of two."""
    return context.values[op.a] * (1 << op.shift_a) + context.values[op.b] * (1 << op.shift_b)


@rule(Rescale)
def rescale(context: Context, op: Rescale) -> Tensor:
    """The quotient of a value that is there already."""
    x = context.values[op.x]
    return context.builder.rescaled(op.name, "rescale", x, x.value, op.shift)


@rule(Linear)
def linear(context: Context, op: Linear) -> Tensor:
    """One product per weight matrix."""
    b, x, w = context.builder, context.values[op.x], context.builder.weight(op.weight)
    acc = Tensor.product("tk,nk->tn", x, w)
    if op.bias is not None:
        acc = acc + b.weight(op.bias).broadcast(0, acc.dims[0])
    joint = op.name in context.rotated
    role, value = ("rotary" if joint else "linear"), context.detail(op.name, "acc")
    return b.rescaled(op.name, role, acc, value, op.shift, joint)
