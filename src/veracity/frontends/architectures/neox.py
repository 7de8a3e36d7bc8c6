"""Layer norms and rotary positions, of a part of the features or beside parallel layers."""

from __future__ import annotations

from dataclasses import replace

from veracity.frontends.architectures.common import Family, decoder
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


def _phi(s: Settings) -> Design:
    norm = s.flag("qk_layernorm", default=False)
    return decoder(
        s, "phi", eps=1e-5, rotary=0.5, activation="gelu_new", norm="layer", gated=False,
        parallel=True, qk_norm="head" if norm else "",
    )  # fmt: skip


def _starcoder2(s: Settings) -> Design:
    s.take("use_bias", default=None)
    return decoder(
        s, "starcoder2", eps=1e-5, context=4096, activation="gelu_pytorch_tanh", norm="layer",
        gated=False, tied=True, sliding=lambda _i: True,
    )  # fmt: skip


def _stablelm(s: Settings) -> Design:
    s.take("use_qkv_bias", default=None)
    s.only({"qk_layernorm": (False,)})
    return decoder(
        s, "stablelm", eps=1e-5, context=4096, rotary=0.25, norm="layer",
        parallel=s.flag("use_parallel_residual", default=False),
    )  # fmt: skip


def _gpt_neox(s: Settings) -> Design:
    s.flag("attention_bias", default=True)
    design = decoder(
        s, "gpt_neox", eps=1e-5, rotary=0.25, activation="gelu", norm="layer", gated=False,
        parallel=s.flag("use_parallel_residual", default=True),
    )  # fmt: skip
    return replace(design, fused="groups")


def _rotary_dim(s: Settings) -> float:
    """GPT-J states features, not a share of them."""
    dim, heads = s.whole("n_embd"), s.whole("n_head")
    turning = s.take("rotary_dim", default=None)
    return 1.0 if turning is None else float(s.number("rotary_dim")) / (dim // heads)


def _gptj(s: Settings) -> Design:
    return decoder(
        s, "gptj", eps=1e-5, rotary=_rotary_dim(s), style="interleaved", activation="gelu_new",
        norm="layer", gated=False, parallel=True,
    )  # fmt: skip


def _codegen(s: Settings) -> Design:
    design = decoder(
        s, "codegen", eps=1e-5, rotary=_rotary_dim(s), style="interleaved",
        activation="gelu_new", norm="layer", gated=False, parallel=True,
    )  # fmt: skip
    return replace(design, fused="quarters")


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
    "stablelm": Family(_stablelm, LLAMA),
    "starcoder2": Family(
        _starcoder2,
        {**ENDS, **NORMS, **QKVO, "up": AT + "mlp.c_fc", "down": AT + "mlp.c_proj"}
    ),
}  # fmt: skip
