"""ONNX's attention and rotary positions, as the products and softmax that they are made of."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.errors import UsageError
from veracity.frontends.onnx.calls import Call, Result, handler
from veracity.frontends.onnx.floats import Hidden, Sym
from veracity.frontends.onnx.ops_choice import one_hot
from veracity.frontends.onnx.ops_linear import matmul, minus, plus, times
from veracity.frontends.onnx.ops_masks import LEVEL, softmax_without
from veracity.frontends.onnx.ops_pointwise import softmax_along
from veracity.frontends.onnx.ops_sequence import joined
from veracity.graph.wires import Step

Array = NDArray[Any]


def _heads(call: Call, x: Sym, count: int) -> Sym:
    """(batch, heads, rows, width), from that or from heads side by side."""
    if len(x.dims) == 4:
        return x
    if len(x.dims) != 3 or count < 1 or x.dims[2] % count:
        raise UsageError("heads that do not come out even")
    split = call.net.view(x, Step("split", 2, (count, x.dims[2] // count)))
    return call.net.view(split, Step("permute", 0, (0, 2, 1, 3)))


def _joined(call: Call, x: Sym) -> Sym:
    """Heads side by side."""
    batch, heads, rows, width = x.dims
    turned = call.net.view(x, Step("permute", 0, (0, 2, 1, 3)))
    return call.net.reshape(turned, (batch, rows, heads * width))


def _left_out(call: Call, dims: tuple[int, ...], past: int) -> tuple[Sym | Array, Sym | Array]:
    """What the mask and the order of rows leave out (1 there), and what the mask adds.

    Parameters
    ----------
    call : Call
        The node.
    dims : tuple of int
        Of the scores.
    past : int
        How many keys come from before.
    """
    net, out = call.net, np.zeros(dims)
    if call.int("is_causal", 0):
        out = out + (np.arange(dims[3])[None] > np.arange(dims[2])[:, None] + past)
    if not call.has(3):
        return out, np.zeros(())
    given = call.any(3)
    if isinstance(given, Sym):
        wide = net.broadcast(given, dims)
        if not call.kinds[3]:
            return out, wide
        closed = net.settled(plus(call, np.ones(dims), net.scale(wide, -1.0)))
        open_ = times(call, closed, 1.0 - out) if np.any(out) else closed
        return (plus(call, open_, out) if np.any(out) else closed), np.zeros(())
    if given.shape[-1] < dims[3]:  # keys beyond the mask are not seen
        short = [(0, 0)] * (given.ndim - 1) + [(0, dims[3] - given.shape[-1])]
        value = False if given.dtype == np.bool_ else 2 * LEVEL
        given = np.pad(given, short, constant_values=value)
    wide_mask = np.broadcast_to(given, dims)
    if given.dtype == np.bool_:
        return np.maximum(out, ~wide_mask), np.zeros(())
    hidden = wide_mask <= LEVEL
    return np.maximum(out, hidden), np.where(hidden, 0.0, wide_mask)


@handler("Attention")
def attention(call: Call) -> Result:
    """``softmax(Q K^T scale + mask) V`` for each head, keys and values of groups repeated."""
    net = call.net
    wide = [len(call.value(i).dims) for i in range(3)]
    q = _heads(call, call.value(0), call.int("q_num_heads", 0))
    k, v = (_heads(call, call.value(i), call.int("kv_num_heads", 0)) for i in (1, 2))
    if call.has(6) or call.int("qk_matmul_output_mode", 0):
        raise UsageError("lengths that are cut, or other scores than the first")
    past = 0
    if call.has(4) and call.has(5):
        past = call.value(4).dims[2]
        k = net.sym(joined(call, [call.value(4), k], 2))
        v = net.sym(joined(call, [call.value(5), v], 2))
    present = [k, v]
    heads, shared = q.dims[1], k.dims[1]
    if shared < 1 or heads % shared or v.dims[1] != shared:
        raise UsageError("heads that do not share keys and values evenly")
    if heads != shared:
        k, v = (net.view(x, Step("each", 1, (heads // shared,))) for x in (k, v))
    scale = call.float("scale", 0.0) or 1 / sqrt(q.dims[3])
    turned = net.view(k, Step("permute", 0, (0, 1, 3, 2)))
    scores = net.settled(net.scale(matmul(call, q, turned), scale))
    out, more = _left_out(call, scores.dims, past)
    raw, cap = scores, call.float("softcap", 0.0)
    if cap:
        scores = net.scale(net.function("tanh", net.scale(scores, 1 / cap)), cap)
    if isinstance(more, Sym) or np.any(more):
        scores = plus(call, scores, more)
    hides = isinstance(out, Sym) or bool(np.any(out))
    shares = (softmax_without(call, Hidden(scores, out, lambda: scores), (3,)) if hides
              else softmax_along(call, scores, (3,)))  # fmt: skip
    y = matmul(call, shares, v)
    return [_joined(call, y) if wide[0] == 3 else y, *present, raw]


@handler("RotaryEmbedding")
def rotary(call: Call) -> Result:
    """Pairs of entries of each head, turned by an angle that the row's place gives."""
    net, given = call.net, call.value(0)
    x = _heads(call, given, call.int("num_heads", 0))
    batch, _heads_count, rows, width = x.dims
    turned = call.int("rotary_embedding_dim", 0) or width
    if turned > width or turned % 2:
        raise UsageError("an odd number of entries that turn, or more than there are")
    part = net.view(x, Step("slice", 3, (0, turned, 1)))
    half = turned // 2
    cos, sin = (_angles(call, i, (batch, rows, half)) for i in (1, 2))
    if call.int("interleaved", 0):
        first, second = (net.view(part, Step("slice", 3, (i, turned, 2))) for i in (0, 1))
    else:
        first, second = (net.view(part, Step("slice", 3, (i * half, (i + 1) * half, 1)))
                         for i in (0, 1))  # fmt: skip
    real = minus(call, times(call, first, cos), times(call, second, sin))
    other = plus(call, times(call, first, sin), times(call, second, cos))
    if call.int("interleaved", 0):
        at = np.full((2, turned), -1)
        at[0, ::2] = at[1, 1::2] = np.arange(half)
        parts = [net.view(y, Step("pick", 3, tuple(row)))
                 for y, row in zip((real, other), at.tolist(), strict=True)]  # fmt: skip
        out = net.sum(*parts)
    else:
        out = net.sym(joined(call, [real, other], 3))
    if turned < width:
        out = net.sym(joined(call, [out, net.view(x, Step("slice", 3, (turned, width, 1)))], 3))
    return _joined(call, out) if len(given.dims) == 3 else out


def _angles(call: Call, i: int, dims: tuple[int, int, int]) -> Sym | Array:
    """Cosines or sines for each row, (batch, 1, rows, pairs).

    Parameters
    ----------
    call : Call
        The node.
    i : int
        Which input.
    dims : tuple of int
        Batch, rows and pairs.
    """
    table, net = call.any(i), call.net
    if call.has(3):
        places = call.any(3)
        if isinstance(places, Sym):
            sym = net.sym(table)
            chosen = one_hot(call, places, sym.dims[0])
            product = ("brz,zp->brp", net.ref(chosen), net.ref(sym))
            table = net.linear([product], (), (*places.dims, sym.dims[1]))
        elif isinstance(table, Sym):
            flat = net.view(table, Step("pick", 0, tuple(int(p) for p in places.reshape(-1))))
            table = net.view(flat, Step("split", 0, places.shape))
        else:
            table = table[places.astype(np.int64)]
    shape = table.dims if isinstance(table, Sym) else table.shape
    if len(shape) != 3 or shape[0] not in (1, dims[0]) or shape[1:] != dims[1:]:
        raise UsageError("a table of angles that does not fit the rows")
    if isinstance(table, Sym):
        return net.view(table, Step("repeat", 1, (1,)))
    return table[:, None].astype(np.float64)
