"""Small programs with every op, in three styles, for tests of the whole argument."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from veracity.graph import Program, WeightSpec
from veracity.graph.ops import (
    Add,
    AdjustedAttention,
    Attention,
    Embed,
    Function,
    Gain,
    Head,
    HeadNorm,
    HeadWithBias,
    Linear,
    Mul,
    Norm,
    Op,
    Positions,
    Rescale,
    Rope,
    Rotation,
)
from veracity.lm.text_decoder import answer_of, forward, ports_of, text_decoder
from veracity.zkml import Statement


@dataclass(frozen=True)
class Example:
    """A program, its weights, and an answer it really gives."""

    program: Program
    weights: dict[str, np.ndarray]
    tokens: list[int]
    prompt_length: int


def small_model(
    style: str = "llama",
    layers: int = 2,
    seed: int = 0,
    answer: int = 2,
    shape: tuple[int, int, int, int, int, int] | None = None,
    prompt: int = 3,
) -> Example:
    """A decoder with odd dims (6, 5, 11) and every op of its style.

    Parameters
    ----------
    style : {"llama", "gpt2", "adjusted"}
        RMSNorm, RoPE and SwiGLU; or LayerNorm, positions, biases and GELU; or the first with norms
        of queries and keys, frequencies, slopes, caps, windows and a bias of the head.
    shape : tuple, optional
        (d, kv heads, group, head dim, hidden, vocabulary).
    """
    d, kv, group, hd, ff, vocab = shape or (6, 1 + (seed % 2), 2, 4, 5, 11)
    rng = np.random.default_rng(seed)
    weights: dict[str, np.ndarray] = {}
    specs: dict[str, WeightSpec] = {}
    ops: list[Any] = []
    gpt2, adjusted = style == "gpt2", style == "adjusted"

    def w(name: str, *shape: int, scale: int = 60) -> str:
        weights[name] = rng.integers(-scale, scale + 1, shape).astype(np.int16)
        specs[name] = WeightSpec(shape=shape, dtype="int16", exponent=10, bits=16)
        return name

    def linear(name: str, x: str, n: int, k: int, shift: int) -> str:
        bias = w(name + ".bias", n, scale=3000) if gpt2 else None
        scale = min(60, round(60 * (6 / k) ** 0.5))
        ops.append(
            Linear(
                name=name,
                x=x,
                weight=w(name + ".weight", n, k, scale=scale),
                bias=bias,
                shift=shift,
                bits=16,
            )
        )
        return name

    def norm(name: str, x: str, shift: int, x_bits: int) -> str:
        ops.append(
            Norm(
                name=name,
                x=x,
                kind="layer" if gpt2 else "rms",
                constant=d << 2 * (10 + shift),
                eps=7,
                shift=shift,
                bits=16,
                x_bits=x_bits,
            )
        )
        return name

    def turned(name: str, heads: int) -> str:
        normed = HeadNorm(
            name=name + ".norm", x=name, kind="rms", constant=hd << 2 * (10 + 14), eps=7, shift=14,
            bits=16, x_bits=16, heads=heads,
        )  # fmt: skip
        gain = w(name + ".gain", heads * hd)
        ops.append(normed)
        ops.append(Gain(name=gain, x=normed.name, weight=gain, bias=None, shift=5, bits=16))
        turning = tuple((1 << 47) >> 3 * i for i in range(hd // 2))
        ops.append(
            Rotation(
                name=name + ".rope", x=gain, heads=heads, head_dim=hd, style="half",
                frequencies=turning, frac=14, bits=16,
            )
        )  # fmt: skip
        return name + ".rope"

    ops.append(Embed(name="embed", table=w("embedding", vocab, d, scale=2000)))
    x = "embed"
    if gpt2:
        ops.append(Positions(name="positions", table=w("position", 64, d, scale=500)))
        ops.append(Add(name="embed.sum", a=x, b="positions", shift_a=0, shift_b=1))
        ops.append(Rescale(name="embed.scaled", x="embed.sum", shift=1, bits=16))
        x = "embed.scaled"
    for i in range(layers):
        at = f"layers.{i}"
        n = norm(f"{at}.attn_norm", x, 14, 18)
        q = linear(f"{at}.attn.q", n, kv * group * hd, d, 8)
        k = linear(f"{at}.attn.k", n, kv * hd, d, 8)
        v = linear(f"{at}.attn.v", n, kv * hd, d, 7 + i % 2)
        if adjusted:
            q, k = (turned(name, heads) for name, heads in ((q, kv * group), (k, kv)))
        elif not gpt2:
            for name, heads in ((q, kv * group), (k, kv)):
                ops.append(
                    Rope(
                        name=name + ".rope",
                        x=name,
                        heads=heads,
                        head_dim=hd,
                        style="interleaved" if i == 0 else "half",
                        base="10000",
                        frac=14,
                        bits=16,
                    )
                )
            q, k = q + ".rope", k + ".rope"
        attention: dict[str, Any] = {
            "name": f"{at}.attn", "q": q, "k": k, "v": v, "kv_heads": kv, "group": group,
            "head_dim": hd, "score_shift": 9, "exp_k": 6, "mix_shift": 15, "bits": 16,
        }  # fmt: skip
        if adjusted:
            slopes = tuple(20000 * (h + 1) for h in range(kv * group)) if i == 0 else ()
            attention |= {"slopes": slopes, "cap": "" if i else "50.5", "window": 2 + i}
        ops.append(AdjustedAttention(**attention) if adjusted else Attention(**attention))
        o = linear(f"{at}.attn.o", f"{at}.attn", d, kv * group * hd, 7)
        ops.append(Add(name=f"{at}.mid", a=x, b=o, shift_a=0, shift_b=1))
        n = norm(f"{at}.mlp_norm", f"{at}.mid", 14 if i else 17, 18)
        up = linear(f"{at}.mlp.up", n, ff, d, 6)
        if gpt2:
            ops.append(Function(name=f"{at}.mlp.act", x=up, fn="gelu_tanh", k_in=9, k_out=9))
            inner = f"{at}.mlp.act"
        else:
            gate = linear(f"{at}.mlp.gate", n, ff, d, 6)
            ops.append(Function(name=f"{at}.mlp.act", x=gate, fn="silu", k_in=9, k_out=9))
            ops.append(
                Mul(
                    name=f"{at}.mlp.prod",
                    a=f"{at}.mlp.act",
                    b=up,
                    shift=8,
                    bits=24 if i or shape else 16,
                )
            )
            inner = f"{at}.mlp.prod"
        down = linear(f"{at}.mlp.down", inner, d, ff, 8)
        ops.append(Add(name=f"{at}.out", a=f"{at}.mid", b=down, shift_a=0, shift_b=0))
        x = f"{at}.out"
    n = norm("final_norm", x, 14, 20)
    if not gpt2:
        ops.append(
            Gain(name="final_gain", x=n, weight=w("final_gain", d), bias=None, shift=6, bits=16)
        )
        n = "final_gain"
    head: dict[str, Any] = {
        "name": "head", "x": n, "weight": "embedding", "shift": 13 if shape else 9
    }  # fmt: skip
    if adjusted:
        bias = w("head.bias", vocab, scale=30000)
        weights[bias] = weights[bias].astype(np.int64) * 200
        specs[bias] = WeightSpec((vocab,), "int64", 10, 32)
        ops.append(HeadWithBias(**head, bias=bias))
    else:
        ops.append(Head(**head))
    program = text_decoder(
        name=f"small-{style}",
        arch={},
        vocab=vocab,
        context=64,
        ops=tuple(ops),
        weights=specs,
        exponents={},
    )
    tokens = list(range(1, 1 + prompt))
    for _ in range(answer):
        trace = forward(program, weights, tokens, len(tokens))
        tokens.append(answer_of(trace)[-1])
    return Example(program, weights, tokens, prompt)


def with_rotations(example: Example) -> Example:
    """The same model with frequencies of its own for every pair in place of a rotary base."""

    def rotation(op: Any) -> Any:
        if not isinstance(op, Rope):
            return op
        turning = tuple((1 << 47) // (3 * i + 2) for i in range(op.head_dim // 2))
        rest = {k: v for k, v in vars(op).items() if k != "base"}
        return Rotation(**rest, frequencies=turning)

    program = replace(example.program, ops=tuple(rotation(op) for op in example.program.ops))
    return replace(example, program=program)


def sliding(seed: int, prompt: int = 4) -> Example:
    """A decoder of one layer whose scores have a cap and a window, and no slopes."""
    e = small_model("adjusted", layers=1, seed=seed, prompt=prompt)

    def level(op: Op) -> Op:
        return replace(op, slopes=()) if isinstance(op, AdjustedAttention) else op

    program = replace(e.program, ops=tuple(level(op) for op in e.program.ops))
    tokens = e.tokens[:prompt]
    while len(tokens) < len(e.tokens):
        tokens = [*tokens, *answer_of(forward(program, e.weights, tokens, len(tokens)))]
    return replace(e, program=program, tokens=tokens)


def claim(example: Example, tokens: Sequence[int] | None = None, **rest: Any) -> Statement:
    """The statement that an example's program answers so; by default what it really does."""
    length = rest.pop("prompt_length", example.prompt_length)
    ports = ports_of(example.tokens if tokens is None else tokens, length)
    return Statement(rest.pop("program", example.program), *ports, **rest)


def tokens_of(statement: Statement) -> list[int]:
    """Prompt and answer of a statement about a text decoder."""
    return [*statement.inputs["tokens"].tolist(), int(statement.outputs["answer"][-1])]


def restated(statement: Statement, tokens: Sequence[int], prompt_length: int) -> Statement:
    """The same statement about other tokens."""
    inputs, outputs = ports_of(tokens, prompt_length)
    return replace(statement, inputs=inputs, outputs=outputs)
