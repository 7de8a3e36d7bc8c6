"""The output projection and the greedy choice of every answer token.

For row r of the last A positions, with public answer ``y_r`` and every token v:

    n(r) . W(v) + 2^(s-1) - 2^s (m_r - d_rv) in [0, 2^s)    the rescaled logit is m_r - d_rv
    d_rv - [v < y_r] in [0, 2^16),  d_{r, y_r} = 0    nothing is larger; ties go to the lowest index
"""

from __future__ import annotations

import numpy as np

from veracity.errors import UsageError
from veracity.graph.ops import Head, HeadWithBias, Op
from veracity.zkml.circuit.linear_maps import Slice
from veracity.zkml.circuit.tables import signed, unsigned
from veracity.zkml.circuit.tensor import Tensor
from veracity.zkml.ops import Context, Rule, along_last


def head(context: Context, op: Head) -> Tensor:
    """See the module text; returns the distances ``d``."""
    b, x, w = context.builder, context.value(op.x), context.builder.weight(op.weight)
    vocabulary = w.dims[0]
    answer = context.answered(op, vocabulary)
    first = x.dims[0] - len(answer)
    if first < 0:
        raise UsageError(f"{op.name}: more answers than positions")
    dims = (len(answer), vocabulary)
    half = (1 << op.shift) >> 1
    m_value = d_value = r_value = None
    logits = context.detail(op.name, "acc")
    if logits is not None:
        shifted = logits.astype(np.int64) + half
        z = shifted >> op.shift
        m_value = z[np.arange(len(answer)), answer]
        d_value = m_value[:, None] - z
        r_value = shifted & ((1 << op.shift) - 1)
    m = b.ranged(op.name, "head.max", (len(answer),), m_value, signed(16))
    d = b.column("head.distance", dims, d_value)
    ties = Tensor.below(tuple(int(t) for t in answer), vocabulary, b.proving)
    b.lookup(op.name, unsigned(16), d - ties)
    for row, token in enumerate(answer.tolist()):
        chosen = d.view(Slice(0, row, row + 1, dims[0]), Slice(1, token, token + 1, vocabulary))
        b.zero(chosen)
    acc = Tensor.product("rk,vk->rv", x.rows(first, first + dims[0]), w)
    if isinstance(op, HeadWithBias):
        acc = acc + along_last(b.weight(op.bias), dims).bare()
    r = acc - (m.bare().broadcast(1, vocabulary) - d.bare()) * (1 << op.shift) + half
    if op.shift:
        b.remainder(op.name, "head.r", r, r_value, op.shift)
    else:
        b.zero(r)
    return d


RULES: dict[type[Op], Rule] = {Head: head, HeadWithBias: head}
