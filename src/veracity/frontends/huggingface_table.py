"""The table of architectures in Hugging Face's spelling, and what is missing for the others.

What their settings say is in :mod:`veracity.frontends.huggingface_designs`.
"""

from __future__ import annotations

from typing import Any

from veracity.errors import UnsupportedModelError
from veracity.frontends.families import Family

__all__ = ["FAMILIES", "find_family"]

_AT = "model.layers.{i}."
_NORMS = {"attn_norm": _AT + "input_layernorm", "mlp_norm": _AT + "post_attention_layernorm"}
_QKV = {p: _AT + f"self_attn.{p}_proj" for p in "qkvo"}
_GATED = {p: _AT + f"mlp.{p}_proj" for p in ("gate", "up", "down")}
_ENDS = {"embed": "model.embed_tokens", "final_norm": "model.norm", "head": "lm_head"}
_LLAMA = {**_ENDS, **_NORMS, **_QKV, **_GATED}
_QK = {f"{p}_norm": _AT + f"self_attn.{p}_norm" for p in "qk"}
_JOINED = {"gate_up": _AT + "mlp.gate_up_proj", "down": _AT + "mlp.down_proj"}
_FOUR_NORMS = {
    "attn_norm": _AT + "input_layernorm", "attn_post": _AT + "post_attention_layernorm",
    "mlp_norm": _AT + "pre_feedforward_layernorm", "mlp_post": _AT + "post_feedforward_layernorm",
}  # fmt: skip
_MASKS = (".rotary_emb.inv_freq", ".bias_mask", ".masked_bias", "attn.bias", "attention.bias",
          ".causal_mask")  # fmt: skip


def _h(**parts: str | tuple[str, ...]) -> dict[str, str | tuple[str, ...]]:
    """Names of a model whose layers are ``transformer.h.{i}``."""
    at = "transformer.h.{i}."
    return {
        part: at + name if isinstance(name, str) else tuple(at + n for n in name)
        for part, name in parts.items()
    }


_NEOX_AT = "gpt_neox.layers.{i}."
_OPT_AT = "model.decoder.layers.{i}."
_FC = {"up": _AT + "mlp.fc1", "down": _AT + "mlp.fc2"}
_WTE = {"embed": "transformer.wte", "final_norm": "transformer.ln_f", "head": "lm_head"}
_TWO = _h(attn_norm="ln_1", mlp_norm="ln_2")
_TII: dict[str, str | tuple[str, ...]] = {
    "embed": "transformer.word_embeddings", "final_norm": "transformer.ln_f", "head": "lm_head",
    **_h(qkv="self_attention.query_key_value", o="self_attention.dense",
         up="mlp.dense_h_to_4h", down="mlp.dense_4h_to_h"),
}  # fmt: skip

#: Every architecture that can be imported, by ``model_type``.
FAMILIES: dict[str, Family] = {
    "llama": Family(_LLAMA),
    "mistral": Family(_LLAMA),
    "ministral": Family(_LLAMA),
    "qwen2": Family(_LLAMA),
    "qwen3": Family({**_LLAMA, **_QK}),
    "seed_oss": Family(_LLAMA),
    "arcee": Family({p: n for p, n in _LLAMA.items() if p != "gate"}),
    "phi": Family(
        {**_ENDS, **_QKV, **_FC, "final_norm": "model.final_layernorm",
         "o": _AT + "self_attn.dense", "attn_norm": _NORMS["attn_norm"],
         **{f"{p}_norm": _AT + f"self_attn.{p}_layernorm" for p in "qk"}},
    ),
    "phi3": Family(
        {**_ENDS, **_NORMS, **_JOINED, "qkv": _AT + "self_attn.qkv_proj", "o": _QKV["o"]}
    ),
    "gemma": Family(_LLAMA),
    "gemma2": Family({**_LLAMA, **_FOUR_NORMS}),
    "gemma3_text": Family({**_LLAMA, **_FOUR_NORMS, **_QK}),
    "glm": Family({**_ENDS, **_NORMS, **_QKV, **_JOINED}),
    "glm4": Family(
        {**_ENDS, **_NORMS, **_QKV, **_JOINED, "attn_post": _AT + "post_self_attn_layernorm",
         "mlp_post": _AT + "post_mlp_layernorm"},
    ),
    "granite": Family(_LLAMA),
    "helium": Family(_LLAMA),
    "ernie4_5": Family(_LLAMA),
    "smollm3": Family(_LLAMA),
    "olmo": Family({**_ENDS, **_QKV, **_GATED}),
    "olmo2": Family(
        {**_ENDS, **_QKV, **_GATED, **_QK, "attn_post": _AT + "post_attention_layernorm",
         "mlp_post": _AT + "post_feedforward_layernorm"},
    ),
    "cohere": Family({**_ENDS, "attn_norm": _NORMS["attn_norm"], **_QKV, **_GATED, **_QK}),
    "starcoder2": Family(
        {**_ENDS, **_NORMS, **_QKV, "up": _AT + "mlp.c_fc", "down": _AT + "mlp.c_proj"}
    ),
    "stablelm": Family(_LLAMA),
    "opt": Family(
        {"embed": "model.decoder.embed_tokens", "position": "model.decoder.embed_positions",
         "final_norm": "model.decoder.final_layer_norm", "head": "lm_head",
         "attn_norm": _OPT_AT + "self_attn_layer_norm", "mlp_norm": _OPT_AT + "final_layer_norm",
         **{p: _OPT_AT + f"self_attn.{p}_proj" for p in "qkv"},
         "o": _OPT_AT + "self_attn.out_proj", "up": _OPT_AT + "fc1", "down": _OPT_AT + "fc2"},
    ),
    "gpt_neo": Family(
        {**_WTE, **_TWO, "position": "transformer.wpe",
         **_h(q="attn.attention.q_proj", k="attn.attention.k_proj", v="attn.attention.v_proj",
              o="attn.attention.out_proj", up="mlp.c_fc", down="mlp.c_proj")},
        "transformer.", _MASKS,
    ),
    "gpt_neox": Family(
        {"embed": "gpt_neox.embed_in", "final_norm": "gpt_neox.final_layer_norm",
         "head": ("embed_out", "lm_head"), "attn_norm": _NEOX_AT + "input_layernorm",
         "mlp_norm": _NEOX_AT + "post_attention_layernorm",
         "qkv": _NEOX_AT + "attention.query_key_value", "o": _NEOX_AT + "attention.dense",
         "up": _NEOX_AT + "mlp.dense_h_to_4h", "down": _NEOX_AT + "mlp.dense_4h_to_h"},
        "gpt_neox.", _MASKS,
    ),
    "gptj": Family(
        {**_WTE, **_h(attn_norm="ln_1", q="attn.q_proj", k="attn.k_proj", v="attn.v_proj",
                      o="attn.out_proj", up="mlp.fc_in", down="mlp.fc_out")},
        "transformer.", _MASKS,
    ),
    "codegen": Family(
        {**_WTE, **_h(attn_norm="ln_1", qkv="attn.qkv_proj", o="attn.out_proj", up="mlp.fc_in",
                      down="mlp.fc_out")},
        "transformer.", _MASKS,
    ),
    "falcon": Family(
        {**_TII,
         **_h(attn_norm=("input_layernorm", "ln_attn"),
              mlp_norm=("post_attention_layernorm", "ln_mlp"))},
        "transformer.",
    ),
    "bloom": Family(
        {**_TII, "embed_norm": "transformer.word_embeddings_layernorm",
         **_h(attn_norm="input_layernorm", mlp_norm="post_attention_layernorm")},
        "transformer.",
    ),
    "gpt2": Family(
        {**_WTE, **_TWO, "position": "transformer.wpe",
         **_h(qkv="attn.c_attn", o="attn.c_proj", up="mlp.c_fc", down="mlp.c_proj")},
        "transformer.", _MASKS,
    ),
}  # fmt: skip

_EXPERTS = "a mixture of experts: which expert a token takes is a choice that no op makes"
_STATES = "a state-space model: its recurrence is no op"
_ENCODER = "an encoder: it reads words on both sides and continues no text"
_MEDIA = "a model of pictures or sound"
#: What is missing for well-known architectures, by the beginning of ``model_type``.
_MISSING = {
    "mixtral": _EXPERTS, "qwen2_moe": _EXPERTS, "qwen3_moe": _EXPERTS, "olmoe": _EXPERTS,
    "phimoe": _EXPERTS, "granitemoe": _EXPERTS, "deepseek": _EXPERTS, "dbrx": _EXPERTS,
    "gpt_oss": _EXPERTS, "jamba": _STATES, "mamba": _STATES, "falcon_mamba": _STATES,
    "rwkv": "a recurrent model: its recurrence is no op", "bert": _ENCODER, "roberta": _ENCODER,
    "distilbert": _ENCODER, "modernbert": _ENCODER, "t5": "an encoder and a decoder",
    "bart": "an encoder and a decoder", "whisper": _MEDIA, "llava": _MEDIA, "gemma3n": _MEDIA,
    "gemma3": _MEDIA, "qwen2_vl": _MEDIA, "qwen2_5_vl": _MEDIA, "vit": _MEDIA, "clip": _MEDIA,
}  # fmt: skip


def find_family(kind: Any) -> Family:
    """The row of an architecture.

    Raises
    ------
    UnsupportedModelError
        Says what is missing, where that is known.
    """
    if kind in FAMILIES:
        return FAMILIES[kind]
    known = [n for n in _MISSING if isinstance(kind, str) and kind.startswith(n)]
    reason = f", {_MISSING[max(known, key=len)]}," if known else ""
    raise UnsupportedModelError(
        "config.json", f"model_type {kind}{reason}",
        f"import one of {', '.join(sorted(FAMILIES))}",
    )  # fmt: skip
