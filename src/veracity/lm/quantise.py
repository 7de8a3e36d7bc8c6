"""Choosing scales: from observed ranges to an integer program and integer weights.

A tensor with exponent k stands for integer * 2^-k. 16-bit activations keep one bit of headroom
above the calibrated maximum; tensors with massive activations (max / p99.9 > 64) get 24 bits and
are never clamped, because they carry the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, floor, log2, sqrt

import numpy as np
from numpy.typing import NDArray

from veracity.errors import UnsupportedModelError
from veracity.graph import Program, WeightSpec
from veracity.graph.ops import (
    Add,
    Attention,
    Embed,
    Function,
    Gain,
    Head,
    Linear,
    Mul,
    Norm,
    Op,
    Positions,
    Rescale,
    Rope,
)
from veracity.lm.decoder import FloatModel

__all__ = ["Range", "build_program"]

#: Largest magnitude of an int16 weight: both of its balanced bytes stay in int8.
_WEIGHT_LIMIT = 32639
#: Exponent of the residual stream.
_RESIDUAL = 10
#: Largest shift whose remainder is one lookup.
_ONE_DIGIT = 16
_EXP_K = 6


@dataclass(frozen=True)
class Range:
    """What calibration saw of a tensor: largest magnitude and 99.9th percentile."""

    largest: float
    usual: float

    @property
    def massive(self) -> bool:
        """Whether a few entries are far larger than all others."""
        return self.largest > 64 * max(self.usual, 1e-9)


@dataclass(frozen=True)
class _Scaled:
    """A value of the program under construction: its name and exponent."""

    name: str
    exponent: int


class _Builder:
    def __init__(self, model: FloatModel, ranges: Mapping[str, Range]) -> None:
        self.model, self.ranges = model, ranges
        self.ops: list[Op] = []
        self.exponents: dict[str, int] = {}
        self.specs: dict[str, WeightSpec] = {}
        self.weights: dict[str, NDArray[np.integer]] = {}

    def value(self, op: Op, exponent: int) -> _Scaled:
        self.ops.append(op)
        self.exponents[op.name] = exponent
        return _Scaled(op.name, exponent)

    def quantise(self, name: str, exponent: int, dtype: str = "int16") -> str:
        """Store a tensor as integers at 2^-exponent (once)."""
        if name not in self.weights:
            scaled = np.rint(self.model.tensors[name].astype(np.float64) * 2.0**exponent)
            self.weights[name] = scaled.astype(dtype)
            bits = 16 if dtype == "int16" else 32
            self.specs[name] = WeightSpec(scaled.shape, dtype, exponent, bits)
        return name

    def weight_exponent(self, name: str) -> int:
        largest = float(np.abs(self.model.tensors[name]).max())
        return min(24, floor(log2(_WEIGHT_LIMIT / max(largest, 1e-9))))

    def result(self, name: str, limit: int | None = None) -> tuple[int, int]:
        """``(exponent, bits)`` of a result with the ranges seen under ``name``."""
        seen = self.ranges[name]
        largest = max(seen.largest, 1e-6)
        bits = 24 if seen.massive else 16
        exponent = floor(log2(((1 << (bits - 1)) - 1) / (2 * largest)))
        if bits == 24:  # as fine as the ordinary entries deserve, not finer
            usual = floor(log2(32767 / (4 * max(seen.usual, 1e-6))))
            exponent = min(exponent, max(usual, 0))
        return (exponent if limit is None else min(exponent, limit)), bits

    def linear(self, name: str, x: _Scaled, limit: int | None = None) -> _Scaled:
        """A linear map; the shift is kept to one lookup by coarser weights where needed."""
        out, bits = self.result(name, limit)
        w = self.weight_exponent(name)
        out = min(out, x.exponent + w)
        w = min(w, _ONE_DIGIT + out - x.exponent)
        bias = None
        if f"{name}.bias" in self.model.tensors:
            bias = self.quantise(f"{name}.bias", x.exponent + w, "int64")
        op = Linear(
            name=name, x=x.name, weight=self.quantise(name, w), bias=bias,
            shift=x.exponent + w - out, bits=bits,
        )  # fmt: skip
        return self.value(op, out)

    def norm(self, name: str, x: _Scaled) -> _Scaled:
        c = self.model.config
        out = floor(log2(32767 / sqrt(c.dim)))
        out = min(out, 12)
        layer = c.family == "gpt2"
        scale = 2.0 ** (2 * x.exponent) * (float(c.dim) ** 3 if layer else c.dim)
        shift = _ONE_DIGIT + (ceil(log2(c.dim)) if layer else 0)
        seen = self.ranges["residual"].largest
        op = Norm(
            name=name, x=x.name, kind="layer" if layer else "rms",
            constant=c.dim << 2 * (out + shift),
            eps=max(1, round(c.norm_eps * scale)), shift=shift, bits=16,
            x_bits=max(16, ceil(log2(4 * max(seen, 1.0) * 2.0**x.exponent))),
        )  # fmt: skip
        return self.value(op, out)

    def join(self, name: str, residual: _Scaled, update: _Scaled) -> _Scaled:
        op = Add(
            name=name, a=residual.name, b=update.name, shift_a=0,
            shift_b=residual.exponent - update.exponent,
        )  # fmt: skip
        return self.value(op, residual.exponent)


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
    b, c = _Builder(model, ranges), model.config
    x = _embedding(b)
    for i in range(c.layers):
        at = f"layers.{i}"
        x = b.join(f"{at}.attn.out", x, _attention(b, at, b.norm(f"{at}.attn_norm", x)))
        x = b.join(f"{at}.mlp.out", x, _mlp(b, at, b.norm(f"{at}.mlp_norm", x)))
    _head(b, b.norm("final_norm", x))
    program = Program(
        name=name, arch=c.as_dict(), vocab=c.vocab, context=c.context, ops=tuple(b.ops),
        weights=b.specs, exponents=b.exponents,
    )  # fmt: skip
    program.validate()
    return program, b.weights


def _embedding(b: _Builder) -> _Scaled:
    w = b.weight_exponent("embed")
    x = b.value(Embed(name="embed", table=b.quantise("embed", w)), w)
    if b.model.config.family == "gpt2":
        p = b.weight_exponent("position")
        y = b.value(Positions(name="position", table=b.quantise("position", p)), p)
        top = max(w, p)
        add = Add(name="embed.sum", a=x.name, b=y.name, shift_a=top - w, shift_b=top - p)
        x = b.value(add, top)
    if x.exponent < _RESIDUAL:
        raise UnsupportedModelError("embed", "a table with entries above 31", "rescale the model")
    op = Rescale(name="embed.scaled", x=x.name, shift=x.exponent - _RESIDUAL, bits=16)
    return b.value(op, _RESIDUAL)


def _attention(b: _Builder, at: str, n: _Scaled) -> _Scaled:
    c = b.model.config
    exp_k = _score_exponent(b.ranges[f"{at}.attn.scores"].largest)
    q_out, k_out = b.result(f"{at}.attn.q")[0], b.result(f"{at}.attn.k")[0]
    # coarser queries and keys keep the scores' remainder to one lookup
    excess = max(0, q_out + k_out - exp_k - _ONE_DIGIT)
    q = b.linear(f"{at}.attn.q", n, q_out - (excess + 1) // 2)
    k = b.linear(f"{at}.attn.k", n, k_out - excess // 2)
    if c.rope_style:
        q, k = _rotate(b, q, c.kv_heads * c.group), _rotate(b, k, c.kv_heads)
    v = b.linear(f"{at}.attn.v", n)
    out, bits = b.result(f"{at}.attn", limit=v.exponent + 15)
    out = max(out, v.exponent - 1)
    shift = q.exponent + k.exponent - exp_k
    if shift < 0 or exp_k < 2:
        raise UnsupportedModelError(
            f"{at}.attn", "softmax over scores this large", "check the model's query scale"
        )
    op = Attention(
        name=f"{at}.attn", q=q.name, k=k.name, v=v.name, kv_heads=c.kv_heads, group=c.group,
        head_dim=c.head_dim, score_shift=shift, exp_k=exp_k,
        mix_shift=15 + v.exponent - out, bits=bits,
    )  # fmt: skip
    return b.linear(f"{at}.attn.o", b.value(op, out), limit=_RESIDUAL)


def _score_exponent(largest: float) -> int:
    """2^-6 suffices for scores; coarser only where they would not fit 16 bits with a margin."""
    return min(_EXP_K, floor(log2(32767 / (1.5 * max(largest, 1.0)))))


def _rotate(b: _Builder, x: _Scaled, heads: int) -> _Scaled:
    c = b.model.config
    op = Rope(
        name=f"{x.name}.rope", x=x.name, heads=heads, head_dim=c.head_dim, style=c.rope_style,
        base=c.rope_base, frac=14, bits=16,
    )  # fmt: skip
    return b.value(op, x.exponent)


def _mlp(b: _Builder, at: str, n: _Scaled) -> _Scaled:
    c = b.model.config
    if c.family != "llama":
        up = b.linear(f"{at}.mlp.up", n)
        return b.linear(f"{at}.mlp.down", _activate(b, at, up), limit=_RESIDUAL)
    up, gate = b.linear(f"{at}.mlp.up", n), b.linear(f"{at}.mlp.gate", n)
    act = _activate(b, at, gate)
    out, bits = b.result(f"{at}.mlp.prod")
    out = min(out, act.exponent + up.exponent)
    out = max(out, act.exponent + up.exponent - _ONE_DIGIT)
    op = Mul(
        name=f"{at}.mlp.prod", a=act.name, b=up.name, shift=act.exponent + up.exponent - out,
        bits=bits,
    )  # fmt: skip
    return b.linear(f"{at}.mlp.down", b.value(op, out), limit=_RESIDUAL)


def _activate(b: _Builder, at: str, x: _Scaled) -> _Scaled:
    op = Function(
        name=f"{at}.mlp.act", x=x.name, fn=b.model.config.activation, k_in=x.exponent,
        k_out=x.exponent,
    )  # fmt: skip
    return b.value(op, x.exponent)


def _head(b: _Builder, n: _Scaled) -> None:
    table = "head" if "head" in b.model.tensors else "embed"
    w = b.weight_exponent(table)
    logits = floor(log2(32767 / (2 * max(b.ranges["head"].largest, 1e-6))))
    if "final_gain" in b.model.tensors:
        gain = b.weight_exponent("final_gain")
        out, bits = b.result("final_gain", limit=_ONE_DIGIT + logits - w)
        gain = min(gain, _ONE_DIGIT + out - n.exponent)
        bias = None
        if "final_gain.bias" in b.model.tensors:
            bias = b.quantise("final_gain.bias", n.exponent + gain, "int64")
        op = Gain(
            name="final_gain", x=n.name, weight=b.quantise("final_gain", gain), bias=bias,
            shift=n.exponent + gain - out, bits=bits,
        )  # fmt: skip
        n = b.value(op, out)
    logits = min(logits, n.exponent + w)
    b.value(
        Head(
            name="head", x=n.name, weight=b.quantise(table, w),
            shift=n.exponent + w - logits,
        ),
        logits,
    )  # fmt: skip
