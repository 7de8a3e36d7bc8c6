"""GGUF files of LLaMA type.

llama.cpp stores q and k rows so that rotary pairs are adjacent: interleaved RoPE.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from veracity.errors import FormatError, UnsupportedModelError, UsageError
from veracity.frontends.gguf_tokenizer import gguf_tokenizer
from veracity.lm.decoder import (
    Config,
    FloatModel,
    Floats,
    check_model,
    decimal,
    fold_norm,
    refuse_others,
)
from veracity.lm.tokenizer import Tokenizer

__all__ = ["read_gguf"]


def read_gguf(path: Path) -> tuple[FloatModel, Tokenizer, str]:
    """Model, tokenizer and name of a LLaMA-type GGUF file.

    Raises
    ------
    UnsupportedModelError
        If the architecture or tokenizer is of another type.
    """
    try:
        from gguf import GGUFReader, dequantize
    except ImportError as error:
        raise UsageError("reading GGUF needs: pip install 'veracity[import]'") from error
    try:
        reader = GGUFReader(str(path))
    except (ValueError, IndexError, KeyError, OverflowError, MemoryError) as error:
        raise FormatError(
            path.name, "not a GGUF file, or a truncated one; fetch it again"
        ) from error

    def fact(name: str) -> Any:
        found = reader.get_field(name)
        return None if found is None else found.contents()

    arch = fact("general.architecture")
    if arch != "llama":
        raise UnsupportedModelError(path.name, f"architecture {arch}", "import a LLaMA-type model")
    try:
        model = _model(path, reader.tensors, fact, dequantize)
        check_model(model, path.name)
        tokenizer = gguf_tokenizer(path, fact, model.config.vocab)
    except KeyError as error:
        raise FormatError(path.name, f"{error.args[0]} is missing") from error
    except (TypeError, ValueError, ZeroDivisionError, OverflowError) as error:
        raise FormatError(path.name, "facts and tensors do not fit each other") from error
    return model, tokenizer, str(fact("general.name") or path.stem)


# Numbers that are not finite, or overflow, are found and named by check_model.
@np.errstate(over="ignore", invalid="ignore")
def _model(path: Path, stored: Any, fact: Any, dequantize: Any) -> FloatModel:
    for name, plain in (
        ("llama.rope.scaling.type", "none"), ("llama.expert_count", 0),
        ("llama.attention.sliding_window", 0),
    ):  # fmt: skip
        if fact(name) not in (None, plain):
            raise UnsupportedModelError(path.name, f"{name} = {fact(name)}", "use a plain model")
    raw: dict[str, Floats] = {
        str(t.name): np.asarray(dequantize(t.data, t.tensor_type), dtype=np.float32) for t in stored
    }
    heads, kv = int(fact("llama.attention.head_count")), fact("llama.attention.head_count_kv")
    dim, kv = int(fact("llama.embedding_length")), int(kv or heads)
    head_dim = dim // heads
    layers = int(fact("llama.block_count"))
    if layers > len(raw):  # a small file can state many layers
        raise FormatError(path.name, f"{layers} layers are stated, tensors of them are missing")
    if dim % heads or heads % kv or int(fact("llama.rope.dimension_count") or head_dim) != head_dim:
        raise UnsupportedModelError(
            path.name, "uneven heads or a partial rotary embedding", "use a plain LLaMA-type model"
        )
    embed = raw["token_embd.weight"]
    tensors: dict[str, Floats] = {"embed": embed}
    names = {
        "attn.q": "attn_q", "attn.k": "attn_k", "attn.v": "attn_v", "attn.o": "attn_output",
        "mlp.gate": "ffn_gate", "mlp.up": "ffn_up", "mlp.down": "ffn_down",
    }  # fmt: skip
    known = {"token_embd.weight", "output_norm.weight", "output.weight"}
    parts = [*names.values(), "attn_norm", "ffn_norm"]
    refuse_others(raw, known | {f"blk.{i}.{p}.weight" for i in range(layers) for p in parts})
    for i in range(layers):
        for ours, theirs in names.items():
            tensors[f"layers.{i}.{ours}"] = raw[f"blk.{i}.{theirs}.weight"]
        tensors[f"layers.{i}.attn.q"] = tensors[f"layers.{i}.attn.q"] / np.float32(
            np.sqrt(head_dim)
        )
        gain = raw[f"blk.{i}.attn_norm.weight"]
        fold_norm(tensors, [f"layers.{i}.attn.{k}" for k in "qkv"], gain)
        gain = raw[f"blk.{i}.ffn_norm.weight"]
        fold_norm(tensors, [f"layers.{i}.mlp.gate", f"layers.{i}.mlp.up"], gain)
    if "output.weight" in raw:
        tensors["head"] = raw["output.weight"]
        fold_norm(tensors, ["head"], raw["output_norm.weight"])
    else:
        tensors["final_gain"] = raw["output_norm.weight"]
    base = fact("llama.rope.freq_base")
    config = Config(
        "llama", dim, layers, kv, heads // kv, head_dim,
        int(fact("llama.feed_forward_length")), embed.shape[0],
        int(fact("llama.context_length")),
        float(fact("llama.attention.layer_norm_rms_epsilon")),
        decimal(float(base or 10000.0)),
        "interleaved",
    )  # fmt: skip
    return FloatModel(config, tensors)
