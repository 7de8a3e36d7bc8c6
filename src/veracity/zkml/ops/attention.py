"""Causal multi-head attention with an exact, deterministic softmax (after zkLLM's zkAttn).

For head h, target t, visible source s <= t (zkAttn: arXiv 2404.16109, here without its tolerance):

    q.k + 2^(a-1) - 2^a (m - d) in [0, 2^a)    the score is z = m - d, m the row's maximum
    (d, e) in the exponential table            so 0 <= d < 2^16 and e is pinned
    sum_s b = 1,  b d = 0                      some d in the row is 0, hence m is the maximum
    I S = 2^31 - w, 0 <= w < S                 S = sum_s e: the reciprocal I = floor(2^31 / S)
    p = rescale(e I, 16)                       the probability
    y = rescale(sum_s p v, c)                  the result

``m`` is range-checked, so the quotient ``m - d`` is small and unique. Entries hidden by the mask
are exempt from lookups; ``b``, ``e`` and ``p`` are zero there, by one linear claim each. Long
squares are cut into blocks, of which only those that a row sees exist
(:mod:`veracity.zkml.ops.causal_grid`): a sum over sources is then one over the blocks of a row.

Where scores are adjusted, a public multiple of the distance is part of ``q.k``, and ``d`` is a
public constant more beyond the window than within it. Under a soft cap the score ``z`` and its
image ``c`` are committed, ``(z, c)`` stands in the cap's table, and ``d = m - c`` is not committed.
"""

from __future__ import annotations

from functools import reduce
from operator import add

import numpy as np

from veracity.engine.api import Ints
from veracity.graph.ops import AdjustedAttention, Attention, Op
from veracity.graph.ops.attention import FAR, attend, cap_of
from veracity.graph.tables import function_table
from veracity.zkml.circuit.builder import Builder
from veracity.zkml.circuit.tables import exponential, function, signed
from veracity.zkml.circuit.tensor import Tensor
from veracity.zkml.ops import Context, Rule
from veracity.zkml.ops.causal_grid import Grid, Part


def attention(context: Context, op: Attention) -> Tensor:
    """See the module text."""
    b, name = context.builder, op.name
    q, k, v = (context.value(n) for n in (op.q, op.k, op.v))
    tokens, heads = q.dims[0], op.kv_heads * op.group
    # rows beyond the last may have slopes beyond the exponential's table
    grid = Grid.of(heads, tokens, whole=isinstance(op, AdjustedAttention) and bool(op.slopes))
    details = _details(context, op, grid, v)
    by_head = (op.kv_heads, op.group)
    x = grid.letter

    m = b.ranged(name, "softmax.max", grid.rows, details.get("m"), signed(16))
    q_heads = q.split(1, *by_head, op.head_dim).permute(1, 2, 0, 3)  # (kv, g, t, c)
    k_heads, v_heads = (
        y.split(1, op.kv_heads, op.head_dim).permute(1, 0, 2) for y in (k, v)
    )  # (kv, s, c)
    parts = [
        (part, *_exponentials(context, op, part, m, q_heads, k_heads, details))
        for part in grid.parts
    ]

    picked: list[Tensor] = []
    firsts = grid.first_zeros([d.value for _, d, _ in parts])
    for (part, d, _), first in zip(parts, firsts, strict=True):
        role = f"softmax.pick{part.name}"
        one_hot = b.column(role, part.dims, first, joint=part.causal, free=True)
        if part.causal:
            b.zero(one_hot.hidden_part())
        b.product(f"h{x}ts,h{x}ts->h{x}ts", one_hot, d, b.constant(0, part.dims))
        picked.append(part.to_rows(one_hot.sum(len(part.dims) - 1)))
    b.zero(reduce(add, picked) - 1)

    sums = [part.to_rows(e.sum(len(part.dims) - 1)) for part, _, e in parts]
    inverse = b.reciprocal(name, "softmax", reduce(add, sums), details.get("inv"))

    mixed: list[Tensor] = []
    for part, _, e in parts:
        p_heads = _probabilities(b, name, part, e, inverse).split(0, *by_head)
        product = Tensor.product(f"kg{x}ts,k{x}sc->kg{x}tc", p_heads, part.keys(v_heads, 1))
        mixed.append(part.to_rows(product, 2))

    def arrange(y: Tensor) -> Tensor:
        by_row = y.split(1, *by_head, op.head_dim).permute(1, 2, 0, 3)
        return by_row if not x else by_row.split(2, *grid.rows[1:])

    y = b.rescaled(
        name,
        "mix",
        reduce(add, mixed),
        details.get("acc_y"),
        op.mix_shift,
        dims=(grid.padded, heads * op.head_dim),
        arrange=arrange,
    )
    return y if grid.padded == tokens else y.rows(0, tokens)


def _details(context: Context, op: Attention, grid: Grid, v: Tensor) -> dict[str, Ints]:
    """The intermediates of the prover's execution, with rows of tokens beyond the last."""
    if context.details is None:
        return {}
    found = dict(context.details[op.name])
    more = grid.padded - grid.tokens
    if more:
        if v.value is None:
            raise ValueError("the prover's tensors carry values")
        queries = np.zeros((more, grid.heads * op.head_dim), dtype=np.int64)
        values = np.pad(v.value.astype(np.int64), [(0, more), (0, 0)])
        _, beyond = attend(op, queries, np.zeros_like(values), values, grid.tokens)
        for name in ("acc_z", "e"):
            rows = np.pad(found[name], [(0, 0), (0, 0), (0, more)])
            found[name] = np.concatenate([rows, beyond[name]], axis=1)
        for name in ("m", "inv"):
            found[name] = np.concatenate([found[name], beyond[name]], axis=1)
        found["acc_y"] = np.concatenate([found["acc_y"], beyond["acc_y"]])
    return found | {n: found[n].reshape(grid.rows) for n in ("m", "inv")}


def _exponentials(
    context: Context,
    op: Attention,
    part: Part,
    m: Tensor,
    q_heads: Tensor,
    k_heads: Tensor,
    details: dict[str, Ints],
) -> tuple[Tensor, Tensor]:
    """Distances ``d`` to the row's maximum and their exponentials ``e``."""
    b, name, x = context.builder, op.name, part.grid.letter
    half = (1 << op.score_shift) >> 1
    acc, e_value = part.cut(details.get("acc_z")), part.cut(details.get("e"))
    z_value = r_value = None
    if acc is not None:
        z_value = (acc + half) >> op.score_shift
        r_value = (acc + half) & ((1 << op.score_shift) - 1)
    d, z = _distances(context, op, part, m, z_value)
    e = b.column(f"softmax.exp{part.name}", part.dims, _int64(e_value), joint=part.causal)
    b.lookup(name, exponential(op.exp_k), d, e, causal=part.causal)
    if part.causal:
        b.zero(e.hidden_part())
    score = z.split(0, op.kv_heads, op.group)
    spec = f"kg{x}tc,k{x}sc->kg{x}ts"
    products = Tensor.product(spec, part.queries(q_heads, 2), part.keys(k_heads, 1))
    if isinstance(op, AdjustedAttention) and op.slopes:
        slanted = _slanted(op, part.grid.tokens)
        products = products - slanted.split(0, op.kv_heads, op.group)
    r = products - score * (1 << op.score_shift) + half
    if op.score_shift:
        heads_split = (op.kv_heads, op.group, *part.dims[1:])
        rest = None if r_value is None else r_value.reshape(heads_split)
        b.remainder(name, "score.r", r, rest, op.score_shift, causal=part.causal)
    else:
        b.zero(r)
    return d, e


def _distances(
    context: Context, op: Attention, part: Part, m: Tensor, z_value: Ints | None
) -> tuple[Tensor, Tensor]:
    """Distances ``d`` to the row's maximum, and the scores before cap and window."""
    b, square, joint = context.builder, part.dims, part.causal
    adjusted = op if isinstance(op, AdjustedAttention) else None
    largest = part.of_rows(m).broadcast(len(square) - 1, square[-1])
    if adjusted is not None and adjusted.cap:
        capped = None
        if z_value is not None:
            index = np.clip(z_value, -(1 << 15), (1 << 15) - 1) + (1 << 15)  # some are hidden
            capped = function_table(cap_of(adjusted), op.exp_k, op.exp_k)[index]
        z = b.column(f"softmax.score{part.name}", square, z_value, joint=joint)
        c = b.column(f"softmax.capped{part.name}", square, capped, joint=joint)
        table = function(*adjusted.tables()[0])
        b.lookup(op.name, table, z, c, causal=part.causal)
        d = largest - c
        return (d if not adjusted.window else d + _beyond(b, adjusted, part)), z.bare()
    far = None
    if adjusted is not None and adjusted.window:
        far = _beyond(b, adjusted, part)
    d_value = None
    if z_value is not None and largest.value is not None:
        d_value = largest.value.astype(np.int64) - z_value
        d_value = d_value if far is None or far.value is None else d_value + far.value
    d = b.column(f"softmax.distance{part.name}", square, d_value, joint=joint)
    z = largest.bare() - d.bare()
    return d, z if far is None else z + far.bare()


def _beyond(b: Builder, op: AdjustedAttention, part: Part) -> Tensor:
    """:data:`FAR` where a source lies beyond the window."""
    side = part.dims[-1]
    bits = Tensor.below(part.beyond(op.window), side, b.proving)
    bits = bits.split(0, len(part.targets), side) if part.targets else bits
    return bits.broadcast(0, part.grid.heads) * FAR


def _slanted(op: AdjustedAttention, tokens: int) -> Tensor:
    """``slope_h (t - s)``, without values: it is part of an accumulator."""
    slopes, place = np.asarray(op.slopes, dtype=np.int64), np.arange(tokens, dtype=np.int64)
    targets = Tensor.public(slopes[:, None] * place, proving=False)
    return targets.broadcast(2, tokens) - targets.broadcast(1, tokens)


def _probabilities(b: Builder, name: str, part: Part, e: Tensor, inverse: Tensor) -> Tensor:
    """``p = rescale(e I, 16)``, at most 2^15."""
    x, of_rows = part.grid.letter, part.of_rows(inverse)
    value = rest = None
    if e.value is not None and of_rows.value is not None:
        scaled = e.value.astype(np.int64) * of_rows.value[..., None].astype(np.int64) + (1 << 15)
        value, rest = scaled >> 16, scaled & 0xFFFF
    p = b.column(f"softmax.p{part.name}", e.dims, value, joint=part.causal, bounded=True)
    if part.causal:
        b.zero(p.hidden_part())
    product = Tensor.product(f"h{x}t,h{x}ts->h{x}ts", of_rows, e)
    r = product - p.bare() * (1 << 16) + (1 << 15)
    b.remainder(name, "softmax.r", r, rest, 16, causal=part.causal)
    return p


def _int64(x: Ints | None) -> Ints | None:
    return None if x is None else x.astype(np.int64)


RULES: dict[type[Op], Rule] = {Attention: attention, AdjustedAttention: attention}
