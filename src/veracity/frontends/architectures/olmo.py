"""OLMo, Cohere and EXAONE 4: norms without gains, after layers, or of queries and keys."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from veracity.errors import FormatError, UnsupportedModelError
from veracity.frontends.architectures.common import (
    Family,
    Windows,
    biased,
    decoder,
    sliding_layers,
    turning_only,
    two_tables,
)
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


def _olmo3(s: Settings) -> Design:
    windows = Windows(lambda i: (i + 1) % 4 != 0, 4096)
    design = decoder(
        s, "olmo3", eps=1e-5, pre_norm=False, post_norm=True, qk_norm="all", style="",
        windows=windows, biases=biased(s, attention_bias="q k v o"),
    )  # fmt: skip
    group = s.take("rope_parameters", default={})
    if "rope_type" in group:
        raise UnsupportedModelError(
            s.where, "rope_parameters that are not by type of layer",
            "state them under full_attention and sliding_attention",
        )  # fmt: skip
    base = s.number("rope_theta", default=500000.0)
    slides = sliding_layers(s, design.config.layers, windows)
    return two_tables(s, design, slides, (base, base))


def _cohere2(s: Settings) -> Design:
    pattern = s.whole("sliding_window_pattern", "_sliding_window_pattern", default=4)
    windows = Windows(lambda i: (i + 1) % pattern != 0, 4096)
    s.only({
        "use_qk_norm": (False,), "position_embedding_type": ("rope_gptj",),
        "use_parallel_block": (True,), "use_parallel_embedding": (False, True),
        "use_gated_activation": (True,), "rotary_pct": (1,),
        "order_of_interleaved_layers": ("local_attn_first",),
        "head_dim": (s.whole("hidden_size") // s.whole("num_attention_heads"),),
    })  # fmt: skip
    design = decoder(
        s, "cohere2", eps=1e-5, context=8192, style="interleaved", norm="layer",
        parallel=True, tied=True, windows=windows, biases=biased(s, attention_bias="q k v o"),
    )  # fmt: skip
    design = replace(design, logit_scale=s.number("logit_scale", default=0.0625))
    if s.is_null("sliding_window"):
        raise UnsupportedModelError(
            s.where, "sliding_window = null", "state one: the layers with a window turn"
        )
    return turning_only(design, sliding_layers(s, design.config.layers, windows))


def _exaone4(s: Settings) -> Design:
    pattern = s.take("sliding_window_pattern", default=4)
    layers = s.whole("num_hidden_layers")
    windows = Windows(lambda i: _local(s, pattern, i), 4096)
    if s.is_null("sliding_window"):  # then no layer has a window, and all turn
        s.take("layer_types", default=None)
        windows = Windows(lambda _i: False, None, False)
    design = decoder(
        s, "exaone4", eps=1e-5, pre_norm=False, post_norm=True, qk_norm="head", windows=windows
    )
    slides = sliding_layers(s, layers, windows)
    return design if s.is_null("sliding_window") else turning_only(design, slides)


def _local(s: Settings, pattern: Any, layer: int) -> bool:
    """Whether a layer has a window, by a pattern: every so many has none, or letters."""
    if type(pattern) is int and pattern > 0:
        return (layer + 1) % pattern != 0
    if not isinstance(pattern, str) or not pattern or set(pattern) - set("LG"):
        raise FormatError(s.where, f"sliding_window_pattern = {pattern!r} is no pattern")
    return pattern[layer % len(pattern)] == "L"


_OLMO2 = {
    **ENDS, **QKVO, **GATED, **QK_NORMS, "attn_post": AT + "post_attention_layernorm",
    "mlp_post": AT + "post_feedforward_layernorm",
}  # fmt: skip
#: By ``model_type``.
ROWS: dict[str, Family] = {
    "olmo": Family(_olmo, {p: n for p, n in LLAMA.items() if "norm" not in p}),
    "olmo2": Family(_olmo2, _OLMO2),
    "olmo3": Family(_olmo3, _OLMO2),
    "exaone4": Family(_exaone4, _OLMO2),
    "cohere2": Family(_cohere2, {p: n for p, n in LLAMA.items() if p != "mlp_norm"}),
    "cohere": Family(
        _cohere, {**ENDS, "attn_norm": NORMS["attn_norm"], **QKVO, **GATED, **QK_NORMS}
    ),
}  # fmt: skip
