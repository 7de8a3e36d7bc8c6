"""Embedding, positions, linear maps, sums and rescales.

Embed and Positions rewire the committed table (tokens are public); the result is range-checked so
that later bounds hold for any committed weights. A linear map is one product
``sum_k x(t, k) W(n, k) = 2^s y + r - 2^(s-1) - bias`` (Thaler, eprint 2013/351); sums are free.
"""

from __future__ import annotations

from veracity.graph.ops import Add, Embed, Linear, Positions, Rescale
from veracity.zkml.ops import Context, rule
from veracity.zkml.tensor import Tensor
from veracity.zkml.views import Gather


def _checked_rows(context: Context, name: str, rows: Tensor) -> Tensor:
    b = context.builder
    y = b.quotient(name, "table.y", rows.dims, rows.value, 16)
    b.zero(y - rows)
    return y


@rule(Embed)
def embed(context: Context, op: Embed) -> Tensor:
    """Rows of the table by public tokens."""
    table = context.builder.weight(op.table)
    return _checked_rows(context, op.name, table.view(Gather(context.tokens, table.dims[0])))


@rule(Positions)
def positions(context: Context, op: Positions) -> Tensor:
    """The first rows of the table."""
    table = context.builder.weight(op.table)
    return _checked_rows(context, op.name, table.rows(0, len(context.tokens)))


@rule(Add)
def add(context: Context, op: Add) -> Tensor:
    """Free: a sum of tensors with public powers of two."""
    return context.values[op.a] * (1 << op.shift_a) + context.values[op.b] * (1 << op.shift_b)


@rule(Rescale)
def rescale(context: Context, op: Rescale) -> Tensor:
    """``x = 2^s y + r - 2^(s-1)``, a linear identity."""
    b, x = context.builder, context.values[op.x]
    y, acc = b.rescaled(
        op.name, "rescale", x.value, x.dims, op.shift, op.bits, op.name not in context.covered
    )
    b.zero(acc - x)
    return y


@rule(Linear)
def linear(context: Context, op: Linear) -> Tensor:
    """One product per weight matrix."""
    b, x, w = context.builder, context.values[op.x], context.builder.weight(op.weight)
    dims = (x.dims[0], w.dims[0])
    rotated = op.name in context.rotated
    y, acc = b.rescaled(
        op.name,
        "rotary" if rotated else "linear",
        context.detail(op.name, "acc"),
        dims,
        op.shift,
        op.bits,
        op.name not in context.covered,
        rotated,
    )
    if op.bias is not None:
        acc = acc - b.weight(op.bias).broadcast(0, dims[0])
    b.product("tk,nk->tn", x, w, acc)
    return y
