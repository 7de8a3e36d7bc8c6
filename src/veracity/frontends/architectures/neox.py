"""Layer norms and rotary positions, of a part of the features or beside parallel layers."""

from __future__ import annotations

from dataclasses import replace

from veracity.frontends.architectures.common import Family, Windows, biased, decoder
from veracity.frontends.architectures.names import (
    AT,
    ENDS,
    FC,
    LLAMA,
    MASKS,
    NEOX_AT,
    NORMS,
    QKVO,
    WTE,
    of_h,
)
from veracity.frontends.assembly import Design
from veracity.frontends.settings import Settings

__all__ = ["ROWS"]

_NORMS = "attn_norm mlp_norm final_norm"


def _phi(s: Settings) -> Design:
    norm = s.flag("qk_layernorm", default=False)
    return decoder(
        s, "phi", eps=1e-5, rotary=0.5, activation="gelu_new", norm="layer", gated=False,
        parallel=True, qk_norm="head" if norm else "", absent="" if norm else "q_norm k_norm",
        biases="q k v o up down attn_norm final_norm head q_norm k_norm",
    )  # fmt: skip


def _starcoder2(s: Settings) -> Design:
    s.only({"norm_type": ("layer_norm",), "mlp_type": ("default",)})
    return decoder(
        s, "starcoder2", eps=1e-5, context=4096, activation="gelu_pytorch_tanh", norm="layer",
        gated=False, tied=True, windows=Windows(typed=False),
        biases=_NORMS + biased(s, True, use_bias=" q k v o up down"),
    )  # fmt: skip


def _stablelm(s: Settings) -> Design:
    s.only({"qk_layernorm": (False,)})
    parallel = s.flag("use_parallel_residual", default=False)
    return decoder(
        s, "stablelm", eps=1e-5, context=4096, rotary=0.25, norm="layer", parallel=parallel,
        biases=_NORMS + biased(s, use_qkv_bias=" q k v"), absent="mlp_norm" if parallel else "",
    )  # fmt: skip


def _gpt_neox(s: Settings) -> Design:
    design = decoder(
        s, "gpt_neox", eps=1e-5, rotary=0.25, share="rotary_pct", activation="gelu",
        norm="layer", gated=False,
        parallel=s.flag("use_parallel_residual", default=True),
        biases=_NORMS + " up down" + biased(s, True, attention_bias=" qkv o"),
    )  # fmt: skip
    return replace(design, fused="groups")


def _rotary_dim(s: Settings) -> float:
    """GPT-J states features, not a share of them."""
    dim, heads = s.whole("n_embd"), s.whole("n_head")
    turning = s.take("rotary_dim", default=None)
    return 1.0 if turning is None else float(s.number("rotary_dim")) / (dim // heads)


def _gptj(s: Settings) -> Design:
    s.only({"rotary": (True,)})
    return decoder(
        s, "gptj", eps=1e-5, fixed=("rope",), rotary=_rotary_dim(s), style="interleaved",
        activation="gelu_new", norm="layer", gated=False, parallel=True,
        biases="attn_norm final_norm up down head",
    )  # fmt: skip


def _codegen(s: Settings) -> Design:
    design = decoder(
        s, "codegen", eps=1e-5, fixed=("rope",), rotary=_rotary_dim(s), style="interleaved",
        activation="gelu_new", norm="layer", gated=False, parallel=True,
        biases="attn_norm final_norm up down head",
    )  # fmt: skip
    return replace(design, fused="quarters")


def _nemotron(s: Settings) -> Design:
    design = decoder(
        s, "nemotron", eps=1e-5, context=4096, rotary=0.5, activation="relu2", norm="layer",
        gated=False,
        biases=_NORMS + " " + biased(s, attention_bias="q k v o", mlp_bias="up down"),
    )  # fmt: skip
    return replace(design, unit_gain=True)


#: By ``model_type``.
ROWS: dict[str, Family] = {
    "gpt_neox": Family(
        _gpt_neox,
        {"embed": "gpt_neox.embed_in", "final_norm": "gpt_neox.final_layer_norm",
         "head": ("embed_out", "lm_head"), "attn_norm": NEOX_AT + "input_layernorm",
         "mlp_norm": NEOX_AT + "post_attention_layernorm",
         "qkv": NEOX_AT + "attention.query_key_value", "o": NEOX_AT + "attention.dense",
         "up": NEOX_AT + "mlp.dense_h_to_4h", "down": NEOX_AT + "mlp.dense_4h_to_h"},
        "gpt_neox.", MASKS,
    ),
    "gptj": Family(
        _gptj,
        {**WTE, **of_h(attn_norm="ln_1", q="attn.q_proj", k="attn.k_proj", v="attn.v_proj",
                       o="attn.out_proj", up="mlp.fc_in", down="mlp.fc_out")},
        "transformer.", MASKS,
    ),
    "codegen": Family(
        _codegen,
        {**WTE, **of_h(attn_norm="ln_1", qkv="attn.qkv_proj", o="attn.out_proj", up="mlp.fc_in",
                       down="mlp.fc_out")},
        "transformer.", MASKS,
    ),
    "phi": Family(
        _phi,
        {**ENDS, **QKVO, **FC, "final_norm": "model.final_layernorm",
         "o": AT + "self_attn.dense", "attn_norm": NORMS["attn_norm"],
         **{f"{p}_norm": AT + f"self_attn.{p}_layernorm" for p in "qk"}},
    ),
    "nemotron": Family(_nemotron, {p: n for p, n in LLAMA.items() if p != "gate"}),
    "stablelm": Family(_stablelm, LLAMA),
    "starcoder2": Family(
        _starcoder2,
        {**ENDS, **NORMS, **QKVO, "up": AT + "mlp.c_fc", "down": AT + "mlp.c_proj"}
    ),
}  # fmt: skip
