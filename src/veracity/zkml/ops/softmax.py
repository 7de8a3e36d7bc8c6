"""Softmax over the last axis: the softmax of attention, without its mask.

For a row ``x_s``, with ``S = sum_s e`` and all of ``m, e, b, I, p`` committed:

    (m - x, e) in the exponential table    no entry is above m, and e is pinned
    sum_s b = 1,  b (m - x) = 0            some b is not zero, and there x = m
    I S = 2^31 - w, 0 <= w < S             the reciprocal I = floor(2^31 / S)
    p = rescale(e I, 16)                   the result
"""

from __future__ import annotations

import numpy as np

from veracity.graph.ops import Op, Softmax
from veracity.zkml.circuit.tables import exponential, signed
from veracity.zkml.circuit.tensor import Tensor
from veracity.zkml.ops import Context, Rule, letters

__all__ = ["RULES", "softmax"]


def softmax(context: Context, op: Softmax) -> Tensor:
    """See the module text."""
    b, name, x = context.builder, op.name, context.value(op.x)
    last, n, axes = len(x.dims) - 1, x.dims[-1], letters(x)
    m = b.ranged(name, "row.max", x.dims[:-1], context.detail(name, "m"), signed(16))
    d = m.broadcast(last, n) - x
    e = b.column("row.exp", x.dims, context.detail(name, "e"))
    b.lookup(name, exponential(op.exp_k), d, e)
    first = None
    if d.value is not None:
        first = np.zeros(d.dims, dtype=np.int8)
        np.put_along_axis(first, np.argmin(d.value, axis=-1)[..., None], 1, axis=-1)
    pick = b.column("row.pick", x.dims, first, free=True)
    b.zero(pick.sum(last) - 1)
    b.product(f"{axes},{axes}->{axes}", pick, d, b.constant(0, x.dims))
    inverse = b.reciprocal(name, "row", e.sum(last), context.detail(name, "inv"))
    scaled = None
    if e.value is not None and inverse.value is not None:
        scaled = e.value.astype(np.int64) * inverse.value[..., None].astype(np.int64)
    acc = Tensor.product(f"{axes[:-1]},{axes}->{axes}", inverse, e)
    return b.rescaled(name, "row.share", acc, scaled, 16)


RULES: dict[type[Op], Rule] = {Softmax: softmax}
