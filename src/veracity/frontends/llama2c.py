"""llama2.c checkpoints ("legacy" format) and their tokenizer.

Checkpoint: seven int32 (dim, hidden, layers, heads, kv heads, vocabulary, context; a negative
vocabulary means an untied head), then float32 tensors. Tokenizer: int32 longest token, then per
token float32 score, int32 length, bytes. Source: github.com/karpathy/llama2.c.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from veracity.errors import FormatError
from veracity.lm.config import Config
from veracity.lm.decoder import FloatModel, Floats, check_model, fold_norm

__all__ = ["is_checkpoint", "read_checkpoint", "read_pieces"]

_HEADER = struct.Struct("<7i")


def _header(data: bytes) -> tuple[int, ...]:
    return _HEADER.unpack_from(data)


def is_checkpoint(path: Path) -> bool:
    """Whether a file looks like a llama2.c checkpoint."""
    if path.stat().st_size < _HEADER.size:
        return False
    with path.open("rb") as file:
        dim, hidden, layers, heads, kv, vocab, context = _header(file.read(_HEADER.size))
    plausible = all(0 < n < 1 << 20 for n in (dim, hidden, layers, heads, kv, context))
    return plausible and heads % kv == 0 and dim % heads == 0 and 0 < abs(vocab) < 1 << 20


# Numbers that are not finite, or overflow, are found and named by check_model.
@np.errstate(over="ignore", invalid="ignore")
def read_checkpoint(path: Path) -> FloatModel:
    """Read a checkpoint; gains are folded.

    Raises
    ------
    FormatError
        The file is truncated, or holds numbers that are not finite.
    """
    if not is_checkpoint(path):
        raise FormatError(path.name, "not a llama2.c checkpoint")
    data = path.read_bytes()
    dim, hidden, layers, heads, kv, vocab, context = _header(data)
    count = (len(data) - _HEADER.size) // 4  # a truncated file may end inside a number
    values = np.frombuffer(data, dtype="<f4", count=count, offset=_HEADER.size)
    at = 0

    def take(*shape: int) -> Floats:
        nonlocal at
        size = int(np.prod(shape))
        if at + size > len(values):
            raise FormatError(path.name, "the checkpoint is truncated")
        out = np.array(values[at : at + size], dtype=np.float32).reshape(shape)
        at += size
        return out

    head_dim = dim // heads
    kv_dim = kv * head_dim
    embed = take(abs(vocab), dim)
    attn_gain = take(layers, dim)
    wq, wk, wv, wo = (
        take(layers, dim, dim),
        take(layers, kv_dim, dim),
        take(layers, kv_dim, dim),
        take(layers, dim, dim),
    )
    mlp_gain = take(layers, dim)
    w1, w2, w3 = take(layers, hidden, dim), take(layers, dim, hidden), take(layers, hidden, dim)
    final_gain = take(dim)
    take(context, head_dim)  # the angles' cosines and sines, recomputed here
    tensors: dict[str, Floats] = {"embed": embed}
    for i in range(layers):
        names = {
            "attn.q": wq[i] / np.float32(np.sqrt(head_dim)),
            "attn.k": wk[i],
            "attn.v": wv[i],
            "attn.o": wo[i],
            "mlp.gate": w1[i],
            "mlp.up": w3[i],
            "mlp.down": w2[i],
        }
        tensors |= {f"layers.{i}.{k}": v for k, v in names.items()}
        fold_norm(tensors, [f"layers.{i}.attn.{k}" for k in "qkv"], attn_gain[i])
        fold_norm(tensors, [f"layers.{i}.mlp.gate", f"layers.{i}.mlp.up"], mlp_gain[i])
    if vocab < 0:
        tensors["head"] = take(abs(vocab), dim)
        fold_norm(tensors, ["head"], final_gain)
    else:
        tensors["final_gain"] = final_gain
    config = Config(
        "llama",
        dim,
        layers,
        kv,
        heads // kv,
        head_dim,
        hidden,
        abs(vocab),
        context,
        1e-5,
        "10000",
        "interleaved",
    )
    model = FloatModel(config, tensors)
    check_model(model, path.name)
    return model


def read_pieces(path: Path, vocab: int) -> tuple[list[bytes], list[float]]:
    """Tokens and scores of a llama2.c tokenizer file.

    Raises
    ------
    FormatError
    """
    data = path.read_bytes()
    pieces, scores, at = [], [], 4
    for _ in range(vocab):
        if at + 8 > len(data):
            raise FormatError(path.name, "the tokenizer is truncated")
        score, size = struct.unpack_from("<fi", data, at)
        at += 8
        if not 0 <= size <= 1 << 10 or at + size > len(data):
            raise FormatError(path.name, "a token's length is out of bounds")
        pieces.append(data[at : at + size])
        scores.append(score)
        at += size
    return pieces, scores
