"""Gemma: scaled embeddings, gains stored less 1, soft caps, two rotary bases."""

from __future__ import annotations

from dataclasses import replace

from veracity.errors import FormatError
from veracity.frontends.architectures.common import (
    Family,
    Windows,
    biased,
    cap_text,
    decoder,
    sliding_layers,
    two_tables,
)
from veracity.frontends.architectures.names import FOUR_NORMS, LLAMA, QK_NORMS
from veracity.frontends.assembly import Design
from veracity.frontends.settings import Settings

__all__ = ["ROWS"]

_TANH = "gelu_pytorch_tanh"


def _gemma(s: Settings) -> Design:
    s.only({"use_bidirectional_attention": (False,)})
    # what older files call GELU is its approximation by tanh, too, and some say so beside it
    acts = {s.take(n, default=_TANH) for n in ("hidden_act", "hidden_activation")} - {"gelu"}
    if len(acts) > 1:
        raise FormatError(
            s.where, f"hidden_act and hidden_activation contradict each other: {sorted(acts)}"
        )
    act = acts.pop() if acts else _TANH
    design = decoder(
        s, "gemma", context=8192, head_dim=256, activation=act, fixed=("activation",), tied=True,
        biases=biased(s, attention_bias="q k v o"),
    )  # fmt: skip
    return _scaled_embedding(design)


def _scaled_embedding(design: Design) -> Design:
    return replace(design, embed_scale=design.config.dim**0.5, unit_gain=True)


def _gemma2(s: Settings) -> Design:
    s.only({"use_bidirectional_attention": (False,)})
    scalar = s.number("query_pre_attn_scalar", default=256.0)
    score, logit = (
        cap_text(s, "attn_logit_softcapping", 50.0),
        cap_text(s, "final_logit_softcapping", 30.0),
    )
    design = decoder(
        s, "gemma2", context=8192, head_dim=256, activation=_TANH, tied=True,
        windows=Windows(lambda i: i % 2 == 0, 4096), post_norm=True, score_cap=score,
        logit_cap=logit, biases=biased(s, attention_bias="q k v o"),
    )  # fmt: skip
    return _scaled_embedding(replace(design, query_scale=scalar**-0.5))


def _gemma3(s: Settings) -> Design:
    s.only({"use_bidirectional_attention": (False,)})
    scalar = s.number("query_pre_attn_scalar", default=256.0)
    logit = cap_text(s, "final_logit_softcapping", None)
    s.only({"attn_logit_softcapping": ()})  # older implementations apply it, newer ones do not
    pattern = s.whole("sliding_window_pattern", "_sliding_window_pattern", default=6)
    windows = Windows(lambda i: (i + 1) % pattern != 0, 4096)
    design = decoder(
        s, "gemma3", context=131072, head_dim=256, activation=_TANH, tied=True,
        windows=windows, post_norm=True, qk_norm="head",
        style="", logit_cap=logit, biases=biased(s, attention_bias="q k v o"),
    )  # fmt: skip
    bases = (s.number("rope_theta", default=1e6), s.number("rope_local_base_freq", default=1e4))
    slides = sliding_layers(s, design.config.layers, windows)
    design = two_tables(s, design, slides, bases)
    return _scaled_embedding(replace(design, query_scale=scalar**-0.5))


#: By ``model_type``.
ROWS: dict[str, Family] = {
    "gemma": Family(_gemma, LLAMA),
    "gemma2": Family(_gemma2, {**LLAMA, **FOUR_NORMS}),
    "gemma3_text": Family(_gemma3, {**LLAMA, **FOUR_NORMS, **QK_NORMS}),
}  # fmt: skip
