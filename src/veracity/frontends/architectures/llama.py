"""Llama's shape: RMS norms before two layers, rotary positions, a gated feed-forward layer."""

from __future__ import annotations

from dataclasses import replace

from veracity.frontends.architectures.common import Family, Windows, biased, decoder
from veracity.frontends.architectures.names import (
    AT,
    ENDS,
    JOINED,
    LLAMA,
    NORMS,
    QKVO,
    TWO_NORMS,
    WTE,
    of_h,
)
from veracity.frontends.assembly import Design
from veracity.frontends.settings import Settings

__all__ = ["ROWS"]


def _llama(s: Settings) -> Design:
    biases = biased(s, attention_bias="q k v o", mlp_bias="gate up down")
    return decoder(s, "llama", tied=None, biases=biases)


def _mistral(s: Settings) -> Design:
    windows = Windows(usual=4096, typed=False)
    return decoder(s, "mistral", context=131072, windows=windows)


def _ministral(s: Settings) -> Design:
    return decoder(s, "ministral", context=131072, windows=Windows(usual=4096))


def _seed_oss(s: Settings) -> Design:
    biases = (
        biased(s, True, attention_bias="q k v"),
        biased(s, attention_out_bias="o", mlp_bias="gate up down"),
    )
    return decoder(s, "seed_oss", context=524288, head_dim=128, biases=" ".join(biases))


def _arcee(s: Settings) -> Design:
    return decoder(
        s, "arcee", eps=1e-5, context=4096, activation="relu2", gated=False,
        biases=biased(s, attention_bias="q k v o", mlp_bias="up down"),
    )  # fmt: skip


def _phi3(s: Settings) -> Design:
    s.only({"full_attn_mod": (1,), "interpolate_factor": (1,)})
    design = decoder(
        s, "phi3", eps=1e-5, context=4096, trained=4096, rotary=1.0, windows=Windows(typed=False)
    )
    return replace(design, fused="blocks")


def _glm(s: Settings) -> Design:
    return decoder(
        s, "glm", eps=1.5625e-7, context=131072, head_dim=128, rotary=0.5, style="interleaved",
        biases=biased(s, True, attention_bias="q k v"),
    )  # fmt: skip


def _glm4(s: Settings) -> Design:
    return decoder(
        s, "glm4", eps=1.5625e-7, context=131072, head_dim=128, rotary=0.5, style="interleaved",
        post_norm=True, biases=biased(s, True, attention_bias="q k v"),
    )  # fmt: skip


def _granite(s: Settings) -> Design:
    biases = biased(s, attention_bias="q k v o", mlp_bias="gate up down")
    design = decoder(s, "granite", biases=biases)
    return replace(
        design,
        query_scale=s.number("attention_multiplier", default=1.0),
        embed_scale=s.number("embedding_multiplier", default=1.0),
        residual_scale=s.number("residual_multiplier", default=1.0),
        logit_scale=1 / s.number("logits_scaling", default=1.0),
    )


def _helium(s: Settings) -> Design:
    return decoder(
        s, "helium", eps=1e-8, context=4096, theta=1e5, head_dim=128, style="interleaved",
        biases=biased(s, attention_bias="q k v", mlp_bias="gate up down"),
    )  # fmt: skip


def _ernie(s: Settings) -> Design:
    return decoder(
        s, "ernie4_5", eps=1e-5, context=131072, theta=5e5, head_dim=128, style="interleaved",
        tied=True, biases=biased(s, use_bias="q k v o gate up down"),
    )  # fmt: skip


def _internlm(s: Settings) -> Design:
    biases = biased(s, True, bias="q k v o")
    return decoder(s, "internlm", biases=biases)


def _internlm2(s: Settings) -> Design:
    s.only({"attn_implementation": ("eager", "sdpa", "flash_attention_2")})
    design = decoder(s, "internlm2", biases=biased(s, True, bias="qkv o"))
    return replace(design, fused="groups")


def _exaone(s: Settings) -> Design:
    return decoder(s, "exaone", eps=1e-5)


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
    "internlm": Family(_internlm, LLAMA),
    "internlm2": Family(
        _internlm2,
        {"embed": "model.tok_embeddings", "final_norm": "model.norm", "head": "output",
         "attn_norm": AT + "attention_norm", "mlp_norm": AT + "ffn_norm",
         "qkv": AT + "attention.wqkv", "o": AT + "attention.wo",
         "gate": AT + "feed_forward.w1", "up": AT + "feed_forward.w3",
         "down": AT + "feed_forward.w2"},
    ),
    "exaone": Family(
        _exaone,
        {**WTE, **TWO_NORMS,
         **of_h(q="attn.attention.q_proj", k="attn.attention.k_proj", v="attn.attention.v_proj",
                o="attn.attention.out_proj", gate="mlp.c_fc_0", up="mlp.c_fc_1",
                down="mlp.c_proj")},
        "transformer.",
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
