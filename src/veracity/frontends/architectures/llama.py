"""Llama's shape: RMS norms before two layers, rotary positions, a gated feed-forward layer."""

from __future__ import annotations

from dataclasses import replace

from veracity.frontends.architectures.common import Family, decoder
from veracity.frontends.architectures.names import AT, ENDS, JOINED, LLAMA, NORMS, QKVO
from veracity.frontends.assembly import Design
from veracity.frontends.settings import Settings

__all__ = ["ROWS"]


def _llama(s: Settings) -> Design:
    s.flag("attention_bias", default=False)
    s.flag("mlp_bias", default=False)
    return decoder(s, "llama", tied=None)


def _mistral(s: Settings) -> Design:
    return decoder(s, "mistral", context=131072, sliding=lambda _i: True)


def _ministral(s: Settings) -> Design:
    return decoder(s, "ministral", context=131072, sliding=lambda _i: True)


def _seed_oss(s: Settings) -> Design:
    for name in ("attention_bias", "attention_out_bias", "mlp_bias"):
        s.take(name, default=None)
    return decoder(s, "seed_oss", context=524288, head_dim=128)


def _arcee(s: Settings) -> Design:
    s.take("attention_bias", "mlp_bias", default=None)
    return decoder(s, "arcee", eps=1e-5, context=4096, activation="relu2", gated=False)


def _phi3(s: Settings) -> Design:
    design = decoder(s, "phi3", eps=1e-5, context=4096, trained=4096, sliding=lambda _i: True)
    return replace(design, fused="blocks")


def _glm(s: Settings) -> Design:
    s.flag("attention_bias", default=True)
    return decoder(
        s, "glm", eps=1.5625e-7, context=131072, head_dim=128, rotary=0.5, style="interleaved"
    )


def _glm4(s: Settings) -> Design:
    s.flag("attention_bias", default=True)
    return decoder(
        s, "glm4", eps=1.5625e-7, context=131072, head_dim=128, rotary=0.5, style="interleaved",
        post_norm=True,
    )  # fmt: skip


def _granite(s: Settings) -> Design:
    s.take("attention_bias", default=None)
    s.take("mlp_bias", default=None)
    design = decoder(s, "granite")
    return replace(
        design,
        query_scale=s.number("attention_multiplier", default=1.0),
        embed_scale=s.number("embedding_multiplier", default=1.0),
        residual_scale=s.number("residual_multiplier", default=1.0),
        logit_scale=1 / s.number("logits_scaling", default=1.0),
    )


def _helium(s: Settings) -> Design:
    s.take("attention_bias", default=None)
    s.take("mlp_bias", default=None)
    return decoder(
        s, "helium", eps=1e-8, context=4096, theta=1e5, head_dim=128, style="interleaved"
    )


def _ernie(s: Settings) -> Design:
    s.take("use_bias", default=None)
    return decoder(
        s, "ernie4_5", eps=1e-5, context=131072, theta=5e5, head_dim=128, style="interleaved",
        tied=True,
    )  # fmt: skip


#: By ``model_type``.
ROWS: dict[str, Family] = {
    "llama": Family(_llama, LLAMA),
    "mistral": Family(_mistral, LLAMA),
    "ministral": Family(_ministral, LLAMA),
    "arcee": Family(_arcee, {p: n for p, n in LLAMA.items() if p != "gate"}),
    "phi3": Family(
        _phi3,
        {**ENDS, **NORMS, **JOINED, "qkv": AT + "self_attn.qkv_proj", "o": QKVO["o"]}
    ),
    "granite": Family(_granite, LLAMA),
    "helium": Family(_helium, LLAMA),
    "ernie4_5": Family(_ernie, LLAMA),
    "seed_oss": Family(_seed_oss, LLAMA),
    "glm": Family(_glm, {**ENDS, **NORMS, **QKVO, **JOINED}),
    "glm4": Family(
        _glm4,
        {**ENDS, **NORMS, **QKVO, **JOINED, "attn_post": AT + "post_self_attn_layernorm",
         "mlp_post": AT + "post_mlp_layernorm"},
    ),
}  # fmt: skip
