"""Models with published shapes and random weights, for benchmarks of true executions."""

from __future__ import annotations

import base64
import hashlib

import numpy as np

from veracity.formats.program import ProgramFile
from veracity.lm.config import Config
from veracity.lm.decoder import FloatModel, Floats
from veracity.lm.tokenizer import Tokenizer

__all__ = ["SYNTHETIC", "numbered_words", "synthetic_model"]


def _gpt2(dim: int, layers: int) -> Config:
    heads = dim // 64
    return Config(
        "gpt2", dim, layers, heads, 1, 64, 4 * dim, 50257, 1024, 1e-5, activation="gelu_tanh",
        norm="layer", gated=False, positions=True,
    )  # fmt: skip


def _llama(dim: int, layers: int, kv_heads: int, group: int, hidden: int, context: int) -> Config:
    head_dim = dim // (kv_heads * group)
    return Config(
        "llama", dim, layers, kv_heads, group, head_dim, hidden, 32000, context, 1e-5,
        "10000.0", "interleaved",
    )  # fmt: skip


#: Shapes by name: GPT-2's four sizes, llama2.c's stories models, TinyLlama.
SYNTHETIC = {
    "gpt2-124m": _gpt2(768, 12),
    "gpt2-355m": _gpt2(1024, 24),
    "gpt2-774m": _gpt2(1280, 36),
    "gpt2-1558m": _gpt2(1600, 48),
    "llama-15m": _llama(288, 6, 6, 1, 768, 256),
    "llama-42m": _llama(512, 8, 8, 1, 1376, 1024),
    "llama-110m": _llama(768, 12, 12, 1, 2048, 1024),
    "llama-1100m": _llama(2048, 22, 4, 8, 5632, 2048),
}
_SEED = 124


def synthetic_model(name: str) -> ProgramFile:
    """Random weights with the scales of a trained model (GPT-2's initialisation, tied heads)."""
    c, rng = SYNTHETIC[name], np.random.default_rng(_SEED)

    def normal(scale: float, *dims: int) -> Floats:
        return np.asarray(rng.standard_normal(dims, dtype=np.float32) * np.float32(scale))

    inner, gated = c.kv_heads * c.group * c.head_dim, c.gated
    deep = 0.02 / np.sqrt(2 * c.layers)
    tensors = {"embed": normal(0.02, c.vocab, c.dim)}
    if not gated:
        tensors["position"] = normal(0.01, c.context, c.dim)
    for i in range(c.layers):
        at = f"layers.{i}"
        for key, n, k, scale in (
            ("attn.q", inner, c.dim, 0.02 / np.sqrt(c.head_dim)),
            ("attn.k", c.kv_heads * c.head_dim, c.dim, 0.02),
            ("attn.v", c.kv_heads * c.head_dim, c.dim, 0.02),
            ("attn.o", c.dim, inner, deep),
            *([("mlp.gate", c.hidden, c.dim, 0.02)] if gated else []),
            ("mlp.up", c.hidden, c.dim, 0.02),
            ("mlp.down", c.dim, c.hidden, deep),
        ):
            tensors[f"{at}.{key}"] = normal(scale, n, k)
            if not gated:
                tensors[f"{at}.{key}.bias"] = normal(0.01, n)
    digest = hashlib.sha256()
    for key in sorted(tensors):
        digest.update(tensors[key].data)
    source = {
        "name": name, "kind": "synthetic", "file": f"seed {_SEED}", "sha256": digest.hexdigest(),
        "parameters": sum(int(t.size) for t in tensors.values()),
    }  # fmt: skip
    return ProgramFile(source, FloatModel(c, tensors), numbered_words(c.vocab))


def numbered_words(vocab: int) -> Tokenizer:
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
