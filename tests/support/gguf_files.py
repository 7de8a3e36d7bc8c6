"""GGUF files of the tiny models, laid out as llama.cpp's converter does it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np

from tests.support.architectures import tensors
from veracity.frontends.architectures import FAMILIES
from veracity.frontends.assembly import Design, select
from veracity.frontends.fused import split_fused
from veracity.frontends.gguf_table import ROWS
from veracity.frontends.settings import Settings

__all__ = ["NAMES", "write_gguf"]

#: ``general.architecture`` where it differs from ``model_type``.
NAMES = {"gemma3_text": "gemma3", "phi": "phi2", "gpt_neox": "gptneox", "cohere": "command-r",
         "mistral": "llama"}  # fmt: skip
#: Converters derived from LLaMA's turn rows of q and k so that pairs are adjacent.
_ADJACENT = ("llama", "mistral", "granite", "smollm3", "arcee", "olmo")


def _adjacent(x: np.ndarray, heads: int) -> np.ndarray:
    return x.reshape(heads, 2, -1, *x.shape[1:]).swapaxes(1, 2).reshape(x.shape)


def _layer(design: Design, parts: dict[str, Any], i: int, kind: str) -> dict[str, np.ndarray]:
    c, at = design.config, f"layers.{i}."
    maps = split_fused(design, parts, at[:-1])
    found = {
        k.removeprefix(at): v.reshape(-1) + np.float32(design.unit_gain and k.endswith("weight"))
        for k, v in parts.items()
        if k.startswith(at) and ("_norm." in k or "_post." in k)
    }
    names = ROWS[NAMES.get(kind, kind)].names
    for end in ("weight", "bias"):
        own = {p: maps[f"{p}.{end}"] for p in ("q", "k", "v", "o", "gate", "up", "down")
               if f"{p}.{end}" in maps}  # fmt: skip
        if "q" in own and kind in _ADJACENT:
            own["q"] = _adjacent(own["q"], c.kv_heads * c.group)
            own["k"] = _adjacent(own["k"], c.kv_heads)
        if "q" in own and "q" not in names:
            own["qkv"] = np.concatenate([own.pop(p) for p in "qkv"])
        if "gate" in own and "gate_up" in names:
            own["gate_up"] = np.concatenate([own.pop("gate"), own.pop("up")])
        found |= {f"{p}.{end}": x for p, x in own.items()}
    return found


def write_gguf(path: Path, case: dict[str, Any], **writer: Any) -> None:
    """Settings and tensors of a case; no tokenizer; ``writer`` are options of the library's."""
    facts = case["config"]
    kind = facts["model_type"]
    arch = NAMES.get(kind, kind)
    design = FAMILIES[kind].design(Settings("config.json", facts))
    c, row = design.config, ROWS[arch]
    parts = select(tensors(case["shapes"]), FAMILIES[kind].names, design)
    out = gguf.GGUFWriter(path, arch, **writer)

    def put(name: str, value: Any) -> None:
        kinds: dict[type, Any] = {bool: out.add_bool, int: out.add_uint32, str: out.add_string}
        kinds.get(type(value), out.add_float32)(f"{arch}.{name}", value)

    heads = c.kv_heads * c.group
    for name, value in (
        ("block_count", c.layers), ("embedding_length", c.dim), ("feed_forward_length", c.hidden),
        ("context_length", c.context), ("attention.head_count", heads),
        ("attention.head_count_kv", c.kv_heads), ("attention.key_length", c.head_dim),
        ("attention.value_length", c.head_dim), ("attention.layer_norm_rms_epsilon", c.norm_eps),
    ):  # fmt: skip
        put(name, value)
    _put_rotary(put, facts, design)
    for theirs, ours in (
        ("attention_multiplier", "attention.scale"), ("embedding_multiplier", "embedding_scale"),
        ("residual_multiplier", "residual_scale"), ("logits_scaling", "logit_scale"),
        ("logit_scale", "logit_scale"), ("use_parallel_residual", "use_parallel_residual"),
        ("final_logit_softcapping", "final_logit_softcapping"),
        ("attn_logit_softcapping", "attn_logit_softcapping"),
    ):  # fmt: skip
        if facts.get(theirs) is not None:
            put(ours, facts[theirs])
    if kind in ("gemma2", "gemma3_text"):  # what the file cannot say otherwise
        put("attention.scale", facts["query_pre_attn_scalar"] ** -0.5)
    if any(c.windows):
        put("attention.sliding_window", max(c.windows))
    for name, x in parts.items():
        part, end = name.rsplit(".", 1)
        if not name.startswith("layers."):
            gain = design.unit_gain and part == "final_norm"
            out.add_tensor(f"{row.names[part]}.{end}", x + np.float32(gain))
    for i in range(c.layers):
        for name, x in _layer(design, parts, i, kind).items():
            part, end = name.rsplit(".", 1)
            theirs = str(row.names[part]).format(i=i)
            out.add_tensor(f"{theirs}.{end}", np.ascontiguousarray(x, dtype=np.float32))
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


def _put_rotary(put: Any, facts: dict[str, Any], design: Design) -> None:
    group = facts.get("rope_parameters") or {}
    group = group.get("full_attention", group)
    if not design.config.rope_style:
        return
    put("rope.dimension_count", design.turning or design.config.head_dim)
    put("rope.freq_base", float(group["rope_theta"]))
    if group["rope_type"] in ("linear", "yarn"):
        put("rope.scaling.type", group["rope_type"])
        put("rope.scaling.factor", float(group["factor"]))
        if "original_max_position_embeddings" in group:
            put("rope.scaling.original_context_length", group["original_max_position_embeddings"])
