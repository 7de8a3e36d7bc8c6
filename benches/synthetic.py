"""Decoders of any dimensions with random integer weights: for measurements, not for answers.

Weights are uniform over 8 bits, stored in 16 as program files do; shifts are chosen so that every
value has the size of a calibrated model's (about 2^11 of 16 bits) and no run leaves its ranges. The
tokenizer is that of stories260K (512 tokens). GPT-2's type: LayerNorm, biases, GELU, a 4 d MLP;
positions come from a table ("table") or by rotation ("rope").
"""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from veracity.formats.program import load_program_file, save_program_file
from veracity.frontends import import_model
from veracity.graph.ops import (
    Add,
    Attention,
    Embed,
    Function,
    Head,
    Linear,
    Norm,
    Op,
    Positions,
    Rescale,
    Rope,
)
from veracity.graph.program import Program, WeightSpec

__all__ = ["Dimensions", "decoder", "program_file"]

#: Values are about 2^LEVEL: 16 bits hold 16 times as much.
LEVEL = 11
VOCABULARY = 512


@dataclass(frozen=True)
class Dimensions:
    """Sizes of a decoder.

    Parameters
    ----------
    width, heads, layers : int
        d, attention heads, layers.
    vocab, context : int
        Tokens; most positions.
    positions : str
        "rope" or "table".
    """

    width: int
    heads: int
    layers: int
    vocab: int = VOCABULARY
    context: int = 128
    positions: str = "rope"


def decoder(size: Dimensions, seed: int = 0) -> tuple[Program, dict[str, NDArray[np.int16]]]:
    """A program and its weights."""
    d = size.width
    rng = np.random.default_rng(seed)
    weights: dict[str, NDArray[np.int16]] = {}
    specs: dict[str, WeightSpec] = {}
    ops: list[Op] = []
    limit = 127
    spread = math.log2(limit / math.sqrt(3))  # of uniform weights, as a standard deviation

    def put(name: str, array: NDArray[np.int16]) -> str:
        weights[name] = array
        specs[name] = WeightSpec(shape=array.shape, dtype="int16", exponent=10, bits=16)
        return name

    def table(name: str, rows: int) -> str:
        values = rng.integers(-(4 << LEVEL) + 1, 4 << LEVEL, (rows, d)) // 2
        return put(name, values.astype(np.int16))

    def linear(name: str, x: str, n: int, k: int) -> str:
        matrix = rng.integers(-limit, limit, (n, k), dtype=np.int16, endpoint=True)
        bias = put(f"{name}.bias", rng.integers(-(1 << 14), 1 << 14, n).astype(np.int16))
        shift = max(1, round(spread + math.log2(k) / 2))  # results as large as x
        ops.append(
            Linear(name=name, x=x, weight=put(name, matrix), bias=bias, shift=shift, bits=16)
        )
        return name

    def norm(name: str, x: str) -> str:
        shift = 12 + round(1.5 * math.log2(d)) - 6  # sqrt(K / S) has about 12 bits
        constant = d << 2 * (LEVEL + shift)
        ops.append(
            Norm(
                name=name, x=x, kind="layer", constant=constant, eps=(constant >> 64) + 1,
                shift=shift, bits=16, x_bits=18,
            )
        )  # fmt: skip
        return name

    ops.append(Embed(name="embed", table=table("embed", size.vocab)))
    x = "embed"
    if size.positions == "table":
        ops.append(Positions(name="positions", table=table("position", size.context)))
        ops.append(Add(name="embed.sum", a=x, b="positions", shift_a=0, shift_b=0))
        ops.append(Rescale(name="embed.scaled", x="embed.sum", shift=1, bits=16))
        x = "embed.scaled"
    head_dim = d // size.heads
    for i in range(size.layers):
        at = f"layers.{i}"
        n = norm(f"{at}.attn_norm", x)
        q, k, v = (linear(f"{at}.attn.{part}", n, d, d) for part in "qkv")
        if size.positions == "rope":
            for name in (q, k):
                ops.append(
                    Rope(
                        name=f"{name}.rope", x=name, heads=size.heads, head_dim=head_dim,
                        style="half", base="10000", frac=14, bits=16,
                    )
                )  # fmt: skip
            q, k = f"{q}.rope", f"{k}.rope"
        # Scores of about one unit (2^exp_k) as those of a trained model.
        score_shift = round(2 * LEVEL + math.log2(head_dim) / 2) - 6
        ops.append(
            Attention(
                name=f"{at}.attn", q=q, k=k, v=v, kv_heads=size.heads, group=1,
                head_dim=head_dim, score_shift=score_shift, exp_k=6, mix_shift=15, bits=16,
            )
        )  # fmt: skip
        o = linear(f"{at}.attn.o", f"{at}.attn", d, d)
        ops.append(Add(name=f"{at}.mid", a=x, b=o, shift_a=0, shift_b=0))
        n = norm(f"{at}.mlp_norm", f"{at}.mid")
        up = linear(f"{at}.mlp.up", n, 4 * d, d)
        ops.append(Function(name=f"{at}.mlp.act", x=up, fn="gelu_tanh", k_in=11, k_out=11))
        down = linear(f"{at}.mlp.down", f"{at}.mlp.act", d, 4 * d)
        ops.append(Add(name=f"{at}.out", a=f"{at}.mid", b=down, shift_a=0, shift_b=0))
        x = f"{at}.out"
    n = norm("final_norm", x)
    shift = round(2 * LEVEL + math.log2(d)) - 13  # the last token's own logit is the greatest
    ops.append(Head(name="head", x=n, weight="embed", shift=shift))
    program = Program(
        name=f"decoder-{size.layers}x{d}", arch={}, vocab=size.vocab, context=size.context,
        ops=tuple(ops), weights=specs, exponents={},
    )  # fmt: skip
    program.validate()
    return program, weights


def program_file(path: Path, size: Dimensions, seed: int = 0) -> None:
    """Write such a decoder as a .vprog file that `veracity private bench` takes.

    Raises
    ------
    ValueError
        For another vocabulary than the tokenizer's.
    """
    if size.vocab != VOCABULARY:
        raise ValueError(f"the tokenizer has {VOCABULARY} tokens")
    program, weights = decoder(size, seed)
    with tempfile.TemporaryDirectory() as folder:
        borrowed = Path(folder) / "stories.vprog"
        import_model("stories260k", borrowed)
        stories = load_program_file(borrowed)
        name = program.name
        content = replace(
            stories, source={**stories.source, "name": name}, program=program, weights=weights,
            report={},
        )  # fmt: skip
        save_program_file(path, content)
