"""From a decoder and its observed ranges to an integer program and integer weights.

:mod:`veracity.lm.scales` has the rules that every op's exponents follow.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import floor, log2
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.errors import UnsupportedModelError
from veracity.graph import Program
from veracity.graph.ops import (
    Add,
    AdjustedAttention,
    Attention,
    Embed,
    Function,
    Head,
    HeadWithBias,
    Mul,
    Op,
    Positions,
    Rescale,
    Rope,
    Rotation,
)
from veracity.graph.ops.attention import FAR
from veracity.lm.decoder import FloatModel
from veracity.lm.scales import LARGEST_K, ONE_DIGIT, Builder, Range, Scaled, tables_of
from veracity.lm.text_decoder import text_decoder

__all__ = ["build_program", "program_of"]

_EXP_K = 6


def build_program(
    model: FloatModel, ranges: Mapping[str, Range], name: str
) -> tuple[Program, dict[str, NDArray[np.integer]]]:
    """The integer program of a decoder, and its integer weights.

    Parameters
    ----------
    model : FloatModel
        A decoder.
    ranges : mapping
        Observed ranges by op name, and ``residual``, ``layers.{i}.attn.scores``, ``head``.
    name : str
        Name of the program.

    Raises
    ------
    UnsupportedModelError
        If no scale fits.
    """
    b = Builder(model, ranges)
    return program_of(b, name), b.weights


def program_of(b: Builder, name: str) -> Program:
    """The program of a decoder.

    Parameters
    ----------
    b : Builder
        The decoder and its scales; its ops are none yet.
    name : str
        Name of the program.
    """
    c = b.model.config
    x = _embedding(b)
    for i in range(c.layers):
        at = f"layers.{i}"
        n = _read(b, f"{at}.attn_norm", x)
        if c.parallel:
            mixed, fed = _attention(b, i, n), _mlp(b, at, n)
            x = b.join(f"{at}.mlp.out", b.join(f"{at}.attn.out", x, mixed), fed)
        else:
            x = _summed(b, f"{at}.attn", b.join(f"{at}.attn.out", x, _attention(b, i, n)))
            n = _read(b, f"{at}.mlp_norm", x)
            x = _summed(b, f"{at}.mlp", b.join(f"{at}.mlp.out", x, _mlp(b, at, n)))
    _head(b, x if c.sum_norm else b.norm("final_norm", x))
    program = text_decoder(
        name=name, arch=c.as_dict(), vocab=c.vocab, context=c.context, ops=tuple(b.ops),
        weights=b.specs, exponents=b.exponents,
    )  # fmt: skip
    program.validate()
    return program


def _embedding(b: Builder) -> Scaled:
    w = b.weight_exponent("embed")
    x = b.value(Embed(name="embed", table=b.quantise("embed", w)), w)
    if b.model.config.positions:
        p = b.weight_exponent("position")
        y = b.value(Positions(name="position", table=b.quantise("position", p)), p)
        top = max(w, p)
        add = Add(name="embed.sum", a=x.name, b=y.name, shift_a=top - w, shift_b=top - p)
        x = b.value(add, top)
    # the sum of two tables may need a bit more than either
    most = b.ranges["embed"].largest * 2.0**b.residual
    bits = 16 if most < 32767 / (1 if len(tables_of(b.model)) == 1 else 1.5) else 24
    op = Rescale(name="embed.scaled", x=x.name, shift=x.exponent - b.residual, bits=bits)
    return b.value(op, b.residual)


def _read(b: Builder, name: str, x: Scaled) -> Scaled:
    """What a layer reads of the residual stream: its norm, or itself in a width that is bounded."""
    if b.model.config.pre_norm:
        return b.norm(name, x)
    out, bits = b.result("residual", limit=x.exponent)
    return b.value(Rescale(name=name, x=x.name, shift=x.exponent - out, bits=bits), out)


def _attention(b: Builder, layer: int, n: Scaled) -> Scaled:
    c, at = b.model.config, f"layers.{layer}"
    exp_k = _score_exponent(b.ranges[f"{at}.attn.scores"].largest, bool(c.window(layer)))
    last = ".gain" if c.qk_norm else ""
    turned = c.rotates(layer)
    q_out, k_out = (b.result(f"{at}.attn.{part}{last}", narrow=turned)[0] for part in "qk")
    # coarser queries and keys keep the scores' remainder to one lookup
    excess = max(0, q_out + k_out - exp_k - ONE_DIGIT)
    q = _projected(b, f"{at}.attn.q", n, q_out - (excess + 1) // 2, turned)
    k = _projected(b, f"{at}.attn.k", n, k_out - excess // 2, turned)
    if turned:
        q = _rotate(b, layer, q, c.kv_heads * c.group)
        k = _rotate(b, layer, k, c.kv_heads)
    v = b.linear(f"{at}.attn.v", n)
    out, bits = b.result(f"{at}.attn", limit=v.exponent + 15)
    out = max(out, v.exponent - 1)
    shift = q.exponent + k.exponent - exp_k
    if shift < 0 or exp_k < 2:
        raise UnsupportedModelError(
            f"{at}.attn", "softmax over scores this large", "check the model's query scale"
        )
    parts: dict[str, Any] = {
        "name": f"{at}.attn", "q": q.name, "k": k.name, "v": v.name, "kv_heads": c.kv_heads,
        "group": c.group, "head_dim": c.head_dim, "score_shift": shift, "exp_k": exp_k,
        "mix_shift": 15 + v.exponent - out, "bits": bits,
    }  # fmt: skip
    adjusted: dict[str, Any] = {
        "slopes": tuple(round(float(s) * 2.0 ** (q.exponent + k.exponent)) for s in c.slopes),
        "cap": c.score_cap, "window": c.window(layer),
    }  # fmt: skip
    op = AdjustedAttention(**parts, **adjusted) if any(adjusted.values()) else Attention(**parts)
    mixed = b.linear(f"{at}.attn.o", b.value(op, out), limit=_limit(b))
    return _after(b, f"{at}.attn.post", mixed)


def _limit(b: Builder) -> int | None:
    """Of the exponents of what is added to the residual stream; a norm's own where one follows."""
    return None if b.model.config.post_norm else b.residual


def _after(b: Builder, name: str, x: Scaled) -> Scaled:
    c = b.model.config
    if not c.post_norm:
        return x
    return b.gain(name, b.norm(f"{name}_norm", x, size=c.dim), b.residual)


def _summed(b: Builder, name: str, x: Scaled) -> Scaled:
    """The residual stream after an update, normalised where the architecture does that."""
    if not b.model.config.sum_norm:
        return x
    return b.gain(f"{name}.post", b.norm(f"{name}.post_norm", x), b.residual, narrow=True)


def _projected(b: Builder, name: str, n: Scaled, limit: int, narrow: bool) -> Scaled:
    """Queries or keys; normalised where the architecture does that."""
    c = b.model.config
    if not c.qk_norm:
        return b.linear(name, n, limit, narrow)
    x = b.linear(name, n)
    width = len(b.model.tensors[f"{name}.gain"])
    heads = width // c.head_dim if c.qk_norm == "head" else 1
    normed = b.norm(f"{name}.norm", x, heads, width // heads)
    return b.gain(f"{name}.gain", normed, limit, narrow)


def _score_exponent(largest: float, windowed: bool) -> int:
    """2^-6 suffices for scores; coarser only where they would not fit 16 bits with a margin.

    Beyond a window a score is less by a constant that has to outweigh twice the largest.
    """
    room = (FAR - 1024) / 2 if windowed else 32767
    return min(_EXP_K, floor(log2(room / (1.5 * max(largest, 1.0)))))


def _rotate(b: Builder, layer: int, x: Scaled, heads: int) -> Scaled:
    c = b.model.config
    name, style, turning = f"{x.name}.rope", c.rope_style, c.frequencies(layer)
    op: Op
    if turning:
        op = Rotation(
            name=name, x=x.name, heads=heads, head_dim=c.head_dim, style=style,
            frequencies=turning, frac=14, bits=16,
        )  # fmt: skip
    else:
        op = Rope(
            name=name, x=x.name, heads=heads, head_dim=c.head_dim, style=style,
            base=c.rope_base, frac=14, bits=16,
        )  # fmt: skip
    return b.value(op, x.exponent)


def _mlp(b: Builder, at: str, n: Scaled) -> Scaled:
    c = b.model.config
    if not c.gated:
        inner = _activate(b, at, b.linear(f"{at}.mlp.up", n, LARGEST_K, narrow=True))
        return _after(b, f"{at}.mlp.post", b.linear(f"{at}.mlp.down", inner, limit=_limit(b)))
    up, gate = b.linear(f"{at}.mlp.up", n), b.linear(f"{at}.mlp.gate", n, LARGEST_K, narrow=True)
    act = _activate(b, at, gate)
    out, bits = b.result(f"{at}.mlp.prod")
    out = min(out, act.exponent + up.exponent)
    out = max(out, act.exponent + up.exponent - ONE_DIGIT)
    op = Mul(
        name=f"{at}.mlp.prod", a=act.name, b=up.name, shift=act.exponent + up.exponent - out,
        bits=bits,
    )  # fmt: skip
    down = b.linear(f"{at}.mlp.down", b.value(op, out), limit=_limit(b))
    return _after(b, f"{at}.mlp.post", down)


def _activate(b: Builder, at: str, x: Scaled) -> Scaled:
    """The activation; only those that grow faster than their argument need a scale of their own."""
    fn, name = b.model.config.activation, f"{at}.mlp.act"
    if x.exponent < 0:
        raise UnsupportedModelError(
            name, "an activation of numbers above 16383", "check the model's scales"
        )
    out = x.exponent
    if fn == "relu2":
        out = max(0, min(b.result(name)[0], LARGEST_K))
    return b.value(Function(name=name, x=x.name, fn=fn, k_in=x.exponent, k_out=out), out)


def _head(b: Builder, n: Scaled) -> None:
    table = "head" if "head" in b.model.tensors else "embed"
    w = b.weight_exponent(table)
    logits = floor(log2(32767 / (2 * max(b.ranges["head"].largest, 1e-6))))
    if "final_gain" in b.model.tensors:
        n = b.gain("final_gain", n, limit=ONE_DIGIT + logits - w)
    logits = min(logits, n.exponent + w)
    parts: dict[str, Any] = {
        "name": "head", "x": n.name, "weight": b.quantise(table, w),
        "shift": n.exponent + w - logits,
    }  # fmt: skip
    op: Op = Head(**parts)
    if "head.bias" in b.model.tensors:
        op = HeadWithBias(**parts, bias=b.quantise("head.bias", n.exponent + w, "int64"))
    b.value(op, logits)
