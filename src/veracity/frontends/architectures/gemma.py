"""Gemma: scaled embeddings, gains stored less 1, soft caps, two rotary bases."""

from __future__ import annotations

from dataclasses import replace

from veracity.errors import FormatError, UnsupportedModelError
from veracity.frontends.architectures.common import Family, Windows, biased, cap_text, decoder
from veracity.frontends.architectures.names import FOUR_NORMS, LLAMA, QK_NORMS
from veracity.frontends.assembly import Design
from veracity.frontends.rotary import turning_of
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
    design = decoder(
        s, "gemma3", context=131072, head_dim=256, activation=_TANH, tied=True,
        windows=Windows(lambda i: (i + 1) % pattern != 0, 4096), post_norm=True, qk_norm="head",
        style="", logit_cap=logit, biases=biased(s, attention_bias="q k v o"),
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
