"""Causal multi-head attention with an exact, deterministic softmax (after zkLLM's zkAttn).

For head h, target t, visible source s <= t (zkAttn: arXiv 2404.16109, here without its tolerance):

    q.k + 2^(a-1) - 2^a (m - d) in [0, 2^a)    the score is z = m - d, m the row's maximum
    (d, e) in the exponential table            so 0 <= d < 2^16 and e is pinned
    sum_s b = 1,  b d = 0                      some d in the row is 0, hence m is the maximum
    I S = 2^31 - w, 0 <= w < S                 S = sum_s e: the reciprocal I = floor(2^31 / S)
    p = rescale(e I, 16)                       the probability
    y = rescale(sum_s p v, c)                  the result

``m`` is range-checked, so the quotient ``m - d`` is small and unique. Entries hidden by the mask
are exempt from lookups; ``b``, ``e`` and ``p`` are zero there, by one linear claim each.

Where scores are adjusted, a public multiple of the distance is part of ``q.k``, and ``d`` is a
public constant more beyond the window than within it. Under a soft cap the score ``z`` and its
image ``c`` are committed, ``(z, c)`` stands in the cap's table, and ``d = m - c`` is not committed.
"""

from __future__ import annotations

import numpy as np

from veracity.engine.api import Ints
from veracity.graph.ops import AdjustedAttention, Attention, Op
from veracity.graph.ops.attention import FAR, cap_of
from veracity.graph.tables import function_table
from veracity.zkml.circuit.builder import Builder
from veracity.zkml.circuit.tables import exponential, function, signed
from veracity.zkml.circuit.tensor import Tensor
from veracity.zkml.ops import Context, Rule


def attention(context: Context, op: Attention) -> Tensor:
    """See the module text."""
    b, name = context.builder, op.name
    q, k, v = (context.value(n) for n in (op.q, op.k, op.v))
    tokens, heads = q.dims[0], op.kv_heads * op.group
    square, row = (heads, tokens, tokens), (heads, tokens)

    m = b.ranged(name, "softmax.max", row, context.detail(name, "m"), signed(16))
    d, e = _exponentials(context, op, m, q, k)
    one_hot = b.column("softmax.pick", square, _first_zero(d.value), joint=True, free=True)
    b.zero(one_hot.hidden_part())
    b.zero(one_hot.sum(2) - 1)
    b.product("hts,hts->hts", one_hot, d, b.constant(0, square))

    total = e.sum(2)  # (heads, tokens)
    inverse = b.reciprocal(name, "softmax", total, context.detail(name, "inv"))
    p = _probabilities(b, name, e, inverse)

    p_heads = p.split(0, op.kv_heads, op.group)
    v_heads = v.split(1, op.kv_heads, op.head_dim).permute(1, 0, 2)  # (kv, s, c)
    return b.rescaled(
        name,
        "mix",
        Tensor.product("kgts,ksc->kgtc", p_heads, v_heads),
        context.detail(name, "acc_y"),
        op.mix_shift,
        dims=(tokens, heads * op.head_dim),
        arrange=lambda y: y.split(1, op.kv_heads, op.group, op.head_dim).permute(1, 2, 0, 3),
    )


def _exponentials(
    context: Context, op: Attention, m: Tensor, q: Tensor, k: Tensor
) -> tuple[Tensor, Tensor]:
    """Distances ``d`` to the row's maximum and their exponentials ``e``."""
    b, name = context.builder, op.name
    heads, tokens = m.dims
    square = (heads, tokens, tokens)
    half = (1 << op.score_shift) >> 1
    acc, e_value = context.detail(name, "acc_z"), context.detail(name, "e")
    z_value = r_value = None
    if acc is not None:
        z_value = (acc + half) >> op.score_shift
        r_value = (acc + half) & ((1 << op.score_shift) - 1)
    d, z = _distances(context, op, m, z_value)
    e = b.column("softmax.exp", square, _int64(e_value), joint=True)
    b.lookup(name, exponential(op.exp_k), d, e, causal=True)
    b.zero(e.hidden_part())
    q_heads = q.split(1, op.kv_heads, op.group, op.head_dim).permute(1, 2, 0, 3)  # (kv, g, t, c)
    k_heads = k.split(1, op.kv_heads, op.head_dim).permute(1, 0, 2)  # (kv, s, c)
    score = z.split(0, op.kv_heads, op.group)
    products = Tensor.product("kgtc,ksc->kgts", q_heads, k_heads)
    if isinstance(op, AdjustedAttention) and op.slopes:
        products = products - _slanted(op, tokens).split(0, op.kv_heads, op.group)
    r = products - score * (1 << op.score_shift) + half
    if op.score_shift:
        heads_split = (op.kv_heads, op.group, tokens, tokens)
        rest = None if r_value is None else r_value.reshape(heads_split)
        b.remainder(name, "score.r", r, rest, op.score_shift, causal=True)
    else:
        b.zero(r)
    return d, e


def _distances(
    context: Context, op: Attention, m: Tensor, z_value: Ints | None
) -> tuple[Tensor, Tensor]:
    """Distances ``d`` to the row's maximum, and the scores before cap and window."""
    b = context.builder
    heads, tokens = m.dims
    square = (heads, tokens, tokens)
    adjusted = op if isinstance(op, AdjustedAttention) else None
    if adjusted is not None and adjusted.cap:
        capped = None
        if z_value is not None:
            index = np.clip(z_value, -(1 << 15), (1 << 15) - 1) + (1 << 15)  # some are hidden
            capped = function_table(cap_of(adjusted), op.exp_k, op.exp_k)[index]
        z = b.column("softmax.score", square, z_value, joint=True)
        c = b.column("softmax.capped", square, capped, joint=True)
        table = function(cap_of(adjusted), op.exp_k, op.exp_k)
        b.lookup(op.name, table, z, c, causal=True)
        d = m.broadcast(2, tokens) - c
        return (d if not adjusted.window else d + _beyond(b, adjusted, heads, tokens)), z.bare()
    far = None
    if adjusted is not None and adjusted.window:
        far = _beyond(b, adjusted, heads, tokens)
    d_value = None
    if z_value is not None and m.value is not None:
        d_value = m.value.astype(np.int64)[:, :, None] - z_value
        d_value = d_value if far is None or far.value is None else d_value + far.value
    d = b.column("softmax.distance", square, d_value, joint=True)
    z = m.bare().broadcast(2, tokens) - d.bare()
    return d, z if far is None else z + far.bare()


def _beyond(b: Builder, op: AdjustedAttention, heads: int, tokens: int) -> Tensor:
    """:data:`FAR` where a source lies beyond the window."""
    limits = tuple(max(0, t + 1 - op.window) for t in range(tokens))
    return Tensor.below(limits, tokens, b.proving).broadcast(0, heads) * FAR


def _slanted(op: AdjustedAttention, tokens: int) -> Tensor:
    """``slope_h (t - s)``, without values: it is part of an accumulator."""
    slopes, place = np.asarray(op.slopes, dtype=np.int64), np.arange(tokens, dtype=np.int64)
    targets = Tensor.public(slopes[:, None] * place, proving=False)
    return targets.broadcast(2, tokens) - targets.broadcast(1, tokens)


def _probabilities(b: Builder, name: str, e: Tensor, inverse: Tensor) -> Tensor:
    """``p = rescale(e I, 16)``, at most 2^15."""
    value = rest = None
    if e.value is not None and inverse.value is not None:
        scaled = e.value.astype(np.int64) * inverse.value[:, :, None].astype(np.int64) + (1 << 15)
        value, rest = scaled >> 16, scaled & 0xFFFF
    p = b.column("softmax.p", e.dims, value, joint=True, bounded=True)
    b.zero(p.hidden_part())
    r = Tensor.product("ht,hts->hts", inverse, e) - p.bare() * (1 << 16) + (1 << 15)
    b.remainder(name, "softmax.r", r, rest, 16, causal=True)
    return p


def _first_zero(d: Ints | None) -> Ints | None:
    """One-hot of the first visible maximum of every row."""
    if d is None:
        return None
    tokens = d.shape[-1]
    visible = np.tril(np.ones((tokens, tokens), dtype=bool))
    first = np.argmax((d == 0) & visible, axis=2)
    out = np.zeros(d.shape, dtype=np.int8)
    np.put_along_axis(out, first[..., None], 1, axis=2)
    return out


def _int64(x: Ints | None) -> Ints | None:
    return None if x is None else x.astype(np.int64)


RULES: dict[type[Op], Rule] = {Attention: attention, AdjustedAttention: attention}
