"""Models with published shapes and random weights, for benchmarks of true executions."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass

import numpy as np

from veracity.frontends.files import ProgramFile
from veracity.frontends.model import Config, FloatModel, Floats
from veracity.frontends.tokenizer import Tokenizer

__all__ = ["SYNTHETIC", "synthetic_model"]


@dataclass(frozen=True)
class _Shape:
    config: Config
    seed: int


#: Shapes by name.
SYNTHETIC = {
    "gpt2-124m": _Shape(
        Config("gpt2", 768, 12, 12, 1, 64, 3072, 50257, 1024, 1e-5, activation="gelu_tanh"), 124
    ),
}


def synthetic_model(name: str) -> ProgramFile:
    """Random weights with the scales of a trained model (GPT-2's initialisation)."""
    shape = SYNTHETIC[name]
    c, rng = shape.config, np.random.default_rng(shape.seed)

    def normal(scale: float, *dims: int) -> Floats:
        return np.asarray(rng.standard_normal(dims, dtype=np.float32) * np.float32(scale))

    inner = c.kv_heads * c.group * c.head_dim
    deep = 0.02 / np.sqrt(2 * c.layers)
    tensors = {"embed": normal(0.02, c.vocab, c.dim), "position": normal(0.01, c.context, c.dim)}
    for i in range(c.layers):
        at = f"layers.{i}"
        for key, n, k, scale in (
            ("attn.q", inner, c.dim, 0.02 / np.sqrt(c.head_dim)),
            ("attn.k", c.kv_heads * c.head_dim, c.dim, 0.02),
            ("attn.v", c.kv_heads * c.head_dim, c.dim, 0.02),
            ("attn.o", c.dim, inner, deep),
            ("mlp.up", c.hidden, c.dim, 0.02),
            ("mlp.down", c.dim, c.hidden, deep),
        ):
            tensors[f"{at}.{key}"] = normal(scale, n, k)
            tensors[f"{at}.{key}.bias"] = normal(0.01, n)
    digest = hashlib.sha256(b"".join(tensors[n].tobytes() for n in sorted(tensors))).hexdigest()
    source = {
        "name": name, "kind": "synthetic", "file": f"seed {shape.seed}", "sha256": digest,
        "parameters": sum(int(t.size) for t in tensors.values()),
    }  # fmt: skip
    return ProgramFile(source, FloatModel(c, tensors), _words(c.vocab))


def _words(vocab: int) -> Tokenizer:
    """A decode table without meaning: bytes, then numbered words."""
    table = [bytes([i]) for i in range(256)]
    table += [f" w{i}".encode() for i in range(256, vocab)]
    return Tokenizer(
        {
            "kind": "pieces",
            "tokens": [base64.b64encode(t).decode() for t in table],
            "scores": ["0.0"] * vocab,
            "special": [],
            "stop": [],
            "raw": [[], []],
            "chat": None,
        }
    )
