"""Ops of com.microsoft: what onnxruntime's optimiser makes of several standard ones."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.errors import UsageError
from veracity.frontends.onnx.calls import Call, Result, Value, handler
from veracity.frontends.onnx.floats import Sym
from veracity.frontends.onnx.ops_linear import matmul, plus, times
from veracity.frontends.onnx.ops_pointwise import decimal
from veracity.graph.wires import Step

Array = NDArray[Any]
#: Functions behind a fused op, and their parameters with what they are by default.
_PARAMETERS: dict[str, tuple[float, ...]] = {
    "Relu": (), "Tanh": (), "Sigmoid": (), "LeakyRelu": (0.01,), "Clip": (-1e6, 1e6),
    "HardSigmoid": (0.2, 0.5),
}  # fmt: skip
_WORDS = {"LeakyRelu": "leaky", "HardSigmoid": "hard_sigmoid"}


def _only(found: list[Value]) -> Sym:
    """The first result, a value."""
    if not found or not isinstance(found[0], Sym):
        raise UsageError("a result that is constant")
    return found[0]


def _activated(call: Call, x: Sym) -> Sym:
    """The function behind a fused op."""
    name = call.text("activation", "")
    if not name:
        return x
    if name not in _PARAMETERS:
        raise UsageError(f"the activation {name}")
    given = call.floats("activation_params").tolist() or [
        call.float(f"activation_{n}", d)
        for n, d in zip(("alpha", "beta"), _PARAMETERS[name], strict=False)]  # fmt: skip
    numbers = [float(np.clip(n, -1e6, 1e6)) for n in given[: len(_PARAMETERS[name])]]
    word = _WORDS.get(name, name.lower())
    return call.net.function(
        f"{word}({';'.join(map(decimal, numbers))})" if numbers else word, call.net.sym(x)
    )


@handler("com.microsoft.FusedConv")
def fused_convolution(call: Call) -> Result:
    """A convolution, perhaps a sum with another value, and a function."""
    out = _only(call.lower("Conv", call.given[:3]))
    return _activated(call, plus(call, out, call.any(3)) if call.has(3) else out)


@handler("com.microsoft.FusedGemm")
def fused_dense(call: Call) -> Result:
    """A dense layer and a function."""
    return _activated(call, _only(call.lower("Gemm", call.given)))


@handler("com.microsoft.FusedMatMul", "com.microsoft.TransposeMatMul")
def fused_product(call: Call) -> Result:
    """A matrix product of operands that may be turned, times a factor."""
    sides = []
    for i, side in enumerate("AB"):
        x = call.any(i)
        axes = tuple(range(len(x.dims if isinstance(x, Sym) else x.shape)))
        if call.int(f"transBatch{side}", 0):
            axes = (*axes[1:-1], 0, axes[-1])
        if call.int(f"trans{side}", 0):
            axes = (*axes[:-2], axes[-1], axes[-2])
        turned = Step("permute", 0, axes)
        sides.append(call.net.view(x, turned) if isinstance(x, Sym) else x.transpose(axes))
    return call.net.scale(matmul(call, *sides), call.float("alpha", 1.0))


@handler("com.microsoft.Gelu", "com.microsoft.BiasGelu", "com.microsoft.FastGelu")
def biased_gelu(call: Call) -> Result:
    """GELU of a value, perhaps with a bias."""
    x = plus(call, call.value(0), call.any(1)) if call.has(1) else call.value(0)
    fast = call.node.op == "com.microsoft.FastGelu"
    return call.net.function("gelu_tanh" if fast else "gelu", x)


@handler("com.microsoft.QuickGelu")
def quick_gelu(call: Call) -> Result:
    """``x sigmoid(alpha x)``."""
    x, alpha = call.net.settled(call.value(0)), call.float("alpha", 1.702)
    return times(call, x, call.net.function("sigmoid", call.net.scale(x, alpha)))


@handler("SimplifiedLayerNormalization")
def simplified(call: Call) -> Result:
    """RMS normalization by its older name."""
    return call.lower("RMSNormalization", call.given)


@handler("com.microsoft.SkipLayerNormalization", "com.microsoft.SkipSimplifiedLayerNormalization")
def skip_normalization(call: Call) -> Result:
    """The norm of a sum of two values, perhaps with a bias; the fourth result is the sum."""
    full = call.node.op == "com.microsoft.SkipLayerNormalization"
    if any(name in call.wanted for name in call.node.outputs[1:3]):
        raise UsageError("its mean and its deviation as results")
    x = call.value(0)
    bias = 4 if full else 3
    total = plus(call, x, call.net.broadcast(call.value(1), x.dims))
    total = call.net.settled(plus(call, total, call.any(bias)) if call.has(bias) else total)
    if full:
        beta = call.any(3) if call.has(3) else None
        out = call.lower("LayerNormalization", (total, call.any(2), beta), axis=-1)
    else:
        out = call.lower("RMSNormalization", (total, call.any(2)), axis=-1)
    return [out[0], np.zeros(0), np.zeros(0), total]


def _rows(call: Call, table: int, ids: int) -> Sym:
    """Rows of one input for the numbers that another has."""
    return _only(call.lower("Gather", (call.any(table), call.any(ids)), (1,), axis=0))


@handler("com.microsoft.EmbedLayerNormalization")
def embedding_norm(call: Call) -> Result:
    """The norm of the sum of rows for words, positions and segments; the third is the sum."""
    if call.has(7) or call.has(8):
        raise UsageError("a mask, or positions that are given; export without this fusion")
    net, ids = call.net, call.value(0)
    parts: list[Sym | Array] = [_rows(call, 2, 0), call.array(3)[: ids.dims[1]]]
    if call.has(1) and call.has(4):
        parts.append(_rows(call, 4, 1))
    total = net.settled(plus(call, *parts))
    out = call.lower("LayerNormalization", (total, call.any(5), call.any(6)), axis=-1)
    return [out[0], np.zeros(0), total]


def _attended(
    call: Call, q: Sym, k: Sym, v: Sym, padding: Sym | Array | None, bias: Sym | Array | None
) -> list[Value]:
    """Attention of projected rows.

    Parameters
    ----------
    call : Call
        The node.
    q, k, v : Sym
        (batch, rows, heads * width), or keys and values with an axis of heads.
    padding : Sym, array or None
        (batch, rows): 1 where a row is seen.
    bias : Sym, array or None
        Added to the scores.
    """
    mask: Sym | Array | None = bias
    whole: tuple[int, ...] = ()
    if padding is not None:
        if bias is not None:
            raise UsageError("a mask of rows beside a sum with the scores")
        if len(padding.dims if isinstance(padding, Sym) else padding.shape) != 2:
            raise UsageError("a mask other than of rows")
        mask, whole = _wide(call, padding), (3,)
    heads = call.int("num_heads", 0)
    found = call.lower(
        "Attention", (q, k, v, mask), whole, q_num_heads=heads, kv_num_heads=heads,
        is_causal=call.int("unidirectional", 0),
    )  # fmt: skip
    return found[:1]


def _wide(call: Call, padding: Sym | Array) -> Sym | Array:
    """A mask of rows for all heads and queries."""
    if isinstance(padding, Sym):
        return call.net.view(padding, Step("repeat", 1, (1,)), Step("repeat", 1, (1,)))
    return np.asarray(padding[:, None, None] != 0)


@handler("com.microsoft.Attention")
def projected_attention(call: Call) -> Result:
    """Attention with the projection of its queries, keys and values."""
    if any(call.has(i) for i in (4, 6)) or call.int("do_rotary", 0):
        raise UsageError("what was computed before, or rotary positions")
    x, weights, net = call.value(0), call.array(1), call.net
    sizes = call.ints("qkv_hidden_sizes", (weights.shape[1] // 3,) * 3)
    bias = call.array(2) if call.has(2) else np.zeros(sum(sizes))
    parts, at = [], 0
    for size in sizes:
        made = matmul(call, x, weights[:, at : at + size])
        parts.append(net.settled(plus(call, made, bias[at : at + size])))
        at += size
    q, k, v = parts
    return _attended(call, q, k, v, call.any(3) if call.has(3) else None,
                     call.any(5) if call.has(5) else None)  # fmt: skip


@handler("com.microsoft.MultiHeadAttention")
def attention_of_rows(call: Call) -> Result:
    """Attention of queries, keys and values, perhaps with a bias for each of them."""
    if not (call.has(1) and call.has(2)) or any(call.has(i) for i in range(6, len(call.given))):
        raise UsageError("packed queries, keys and values, or what was computed before")
    q, k, v = (call.value(i) for i in range(3))
    if call.has(3):
        bias, at, moved = call.array(3), 0, []
        for x in (q, k, v):
            if len(x.dims) != 3:
                raise UsageError("a bias beside an axis of heads")
            moved.append(call.net.settled(plus(call, x, bias[at : at + x.dims[2]])))
            at += x.dims[2]
        q, k, v = moved
    return _attended(call, q, k, v, call.any(4) if call.has(4) else None,
                     call.any(5) if call.has(5) else None)  # fmt: skip
