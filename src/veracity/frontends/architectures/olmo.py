"""OLMo and Cohere: norms without gains, after layers, or of queries and keys."""

from __future__ import annotations

from dataclasses import replace

from veracity.frontends.architectures.common import Family, biased, decoder
from veracity.frontends.architectures.names import AT, ENDS, GATED, LLAMA, NORMS, QK_NORMS, QKVO
from veracity.frontends.assembly import Design
from veracity.frontends.settings import Settings

__all__ = ["ROWS"]


def _olmo(s: Settings) -> Design:
    s.only({"clip_qkv": ()})
    return decoder(
        s, "olmo", eps=1e-5, fixed=("eps",), norm="layer",
        biases=biased(s, attention_bias="q k v o"),
    )  # fmt: skip


def _olmo2(s: Settings) -> Design:
    return decoder(
        s, "olmo2", eps=1e-5, pre_norm=False, post_norm=True, qk_norm="all",
        biases=biased(s, attention_bias="q k v o"),
    )  # fmt: skip


def _cohere(s: Settings) -> Design:
    normed = s.flag("use_qk_norm", default=False)
    design = decoder(
        s, "cohere", eps=1e-5, context=8192, theta=5e5, style="interleaved", norm="layer",
        parallel=True, tied=True, qk_norm="head" if normed else "",
        biases=biased(s, attention_bias="q k v o"), absent="" if normed else "q_norm k_norm",
    )  # fmt: skip
    return replace(design, logit_scale=s.number("logit_scale", default=0.0625))


#: By ``model_type``.
ROWS: dict[str, Family] = {
    "olmo": Family(_olmo, {p: n for p, n in LLAMA.items() if "norm" not in p}),
    "olmo2": Family(
        _olmo2,
        {**ENDS, **QKVO, **GATED, **QK_NORMS, "attn_post": AT + "post_attention_layernorm",
         "mlp_post": AT + "post_feedforward_layernorm"},
    ),
    "cohere": Family(
        _cohere, {**ENDS, "attn_norm": NORMS["attn_norm"], **QKVO, **GATED, **QK_NORMS}
    ),
}  # fmt: skip
