"""Gemma: scaled embeddings, gains stored less 1, soft caps, two rotary bases."""

from __future__ import annotations

from dataclasses import replace

from veracity.errors import UnsupportedModelError
from veracity.frontends.architectures.common import Family, cap_text, decoder
from veracity.frontends.architectures.names import FOUR_NORMS, LLAMA, QK_NORMS
from veracity.frontends.assembly import Design
from veracity.frontends.rotary import turning_of
from veracity.frontends.settings import Settings

__all__ = ["ROWS"]


def _gemma(s: Settings) -> Design:
    s.only({"attention_bias": (False, True), "use_bidirectional_attention": (False,)})
    design = decoder(
        s, "gemma", context=8192, head_dim=256, activation="gelu_pytorch_tanh", tied=True
    )
    # what older files call GELU is its approximation by tanh, too
    config = replace(design.config, activation="gelu_tanh")
    return _scaled_embedding(replace(design, config=config))


def _scaled_embedding(design: Design) -> Design:
    return replace(design, embed_scale=design.config.dim**0.5, unit_gain=True)


def _gemma2(s: Settings) -> Design:
    s.only({"attention_bias": (False, True), "use_bidirectional_attention": (False,)})
    scalar = s.number("query_pre_attn_scalar", default=256.0)
    score, logit = (
        cap_text(s, "attn_logit_softcapping", 50.0),
        cap_text(s, "final_logit_softcapping", 30.0),
    )
    design = decoder(
        s, "gemma2", context=8192, head_dim=256, activation="gelu_pytorch_tanh", tied=True,
        sliding=lambda i: i % 2 == 0, post_norm=True, score_cap=score, logit_cap=logit,
    )  # fmt: skip
    return _scaled_embedding(replace(design, query_scale=scalar**-0.5))


def _gemma3(s: Settings) -> Design:
    s.only({"attention_bias": (False, True), "use_bidirectional_attention": (False,)})
    scalar = s.number("query_pre_attn_scalar", default=256.0)
    score, logit = (
        cap_text(s, "attn_logit_softcapping", None),
        cap_text(s, "final_logit_softcapping", None),
    )
    pattern = s.whole("sliding_window_pattern", "_sliding_window_pattern", default=6)
    design = decoder(
        s, "gemma3", context=131072, head_dim=256, activation="gelu_pytorch_tanh", tied=True,
        sliding=lambda i: (i + 1) % pattern != 0, post_norm=True, qk_norm="head", rotary=0,
        score_cap=score, logit_cap=logit,
    )  # fmt: skip
    design = _two_bases(s, design, pattern)
    return _scaled_embedding(replace(design, query_scale=scalar**-0.5))


def _two_bases(s: Settings, design: Design, pattern: int) -> Design:
    """Layers with a window turn by a base of their own."""
    c = design.config
    kinds = s.take("layer_types", default=None) or [
        "full_attention" if (i + 1) % pattern == 0 else "sliding_attention" for i in range(c.layers)
    ]
    group = s.part("rope_parameters")
    bases = (s.number("rope_theta", default=1e6), s.number("rope_local_base_freq", default=1e4))
    scaling = s.part("rope_scaling")
    tables = []
    for kind, base in zip(("full_attention", "sliding_attention"), bases, strict=True):
        inner = group.part(kind) if group is not None else None
        if inner is None:
            inner = scaling if scaling is not None and kind == "full_attention" else None
        plain = Settings(s.where, {})
        tables.append(turning_of(inner or plain, base, c.head_dim, c.context))
    if any(t.factor != 1 or t.context for t in tables):
        raise UnsupportedModelError(
            s.where, "a rotary scaling with a factor beside two bases", "use linear scaling or none"
        )
    if group is not None:
        group.finish()
    config = replace(
        c, rope_style="half", rotations=tuple(t.frequencies for t in tables),
        rotation_of=tuple(int(kind == "sliding_attention") for kind in kinds),
    )  # fmt: skip
    return replace(design, config=config)


#: By ``model_type``.
ROWS: dict[str, Family] = {
    "gemma": Family(_gemma, LLAMA),
    "gemma2": Family(_gemma2, {**LLAMA, **FOUR_NORMS}),
    "gemma3_text": Family(_gemma3, {**LLAMA, **FOUR_NORMS, **QK_NORMS}),
}  # fmt: skip
