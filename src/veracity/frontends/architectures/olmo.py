"""OLMo and Cohere: norms without gains, after layers, or of queries and keys."""

from __future__ import annotations

from dataclasses import replace

from veracity.frontends.architectures.common import Family, decoder
from veracity.frontends.architectures.names import AT, ENDS, GATED, NORMS, QK_NORMS, QKVO
from veracity.frontends.assembly import Design
from veracity.frontends.settings import Settings

__all__ = ["ROWS"]


def _olmo(s: Settings) -> Design:
    s.take("attention_bias", default=None)
    s.only({"clip_qkv": ()})
    return decoder(s, "olmo", eps=1e-5, norm="layer")


def _olmo2(s: Settings) -> Design:
    s.take("attention_bias", default=None)
    return decoder(s, "olmo2", eps=1e-5, pre_norm=False, post_norm=True, qk_norm="all")


def _cohere(s: Settings) -> Design:
    s.take("attention_bias", default=None)
    normed = s.flag("use_qk_norm", default=False)
    design = decoder(
        s, "cohere", eps=1e-5, context=8192, theta=5e5, style="interleaved", norm="layer",
        parallel=True, tied=True, qk_norm="head" if normed else "",
    )  # fmt: skip
    return replace(design, logit_scale=s.number("logit_scale", default=0.0625))


#: By ``model_type``.
ROWS: dict[str, Family] = {
    "olmo": Family(_olmo, {**ENDS, **QKVO, **GATED}),
    "olmo2": Family(
        _olmo2,
        {**ENDS, **QKVO, **GATED, **QK_NORMS, "attn_post": AT + "post_attention_layernorm",
         "mlp_post": AT + "post_feedforward_layernorm"},
    ),
    "cohere": Family(
        _cohere, {**ENDS, "attn_norm": NORMS["attn_norm"], **QKVO, **GATED, **QK_NORMS}
    ),
}  # fmt: skip
