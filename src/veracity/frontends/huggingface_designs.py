"""What each architecture's settings say: one function for each row of the table.

Functions take every setting that changes the arithmetic, with the default of the original
implementation, and return a :class:`Design`. The table is in
:mod:`veracity.frontends.huggingface_table`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from veracity.errors import FormatError, UnsupportedModelError
from veracity.frontends.assembly import Design
from veracity.frontends.families import decoder
from veracity.frontends.rotary import plain_turning, turning_of
from veracity.frontends.settings import Settings

__all__ = ["DESIGNS", "alibi_slopes", "cap_text"]


def _llama(s: Settings) -> Design:
    s.flag("attention_bias", default=False)
    s.flag("mlp_bias", default=False)
    return decoder(s, "llama", tied=None)


def _mistral(s: Settings) -> Design:
    return decoder(s, "mistral", context=131072, sliding=lambda _i: True)


def _ministral(s: Settings) -> Design:
    return decoder(s, "ministral", context=131072, sliding=lambda _i: True)


def _windowed_above(s: Settings, family: str, **more: Any) -> Design:
    """Qwen's rule: layers from ``max_window_layers`` on have a window, if any has."""
    first = s.take("max_window_layers", default=28)
    if not s.flag("use_sliding_window", default=False):
        for name in ("sliding_window", "layer_types"):
            s.take(name, default=None)
        return decoder(s, family, context=32768, **more)
    return decoder(
        s, family, context=32768, sliding=lambda i: isinstance(first, int) and i >= first, **more
    )


def _qwen2(s: Settings) -> Design:
    return _windowed_above(s, "qwen2")


def _qwen3(s: Settings) -> Design:
    s.flag("attention_bias", default=False)
    return _windowed_above(s, "qwen3", head_dim=128, qk_norm="head")


def _seed_oss(s: Settings) -> Design:
    for name in ("attention_bias", "attention_out_bias", "mlp_bias"):
        s.take(name, default=None)
    return decoder(s, "seed_oss", context=524288, head_dim=128)


def _arcee(s: Settings) -> Design:
    s.take("attention_bias", "mlp_bias", default=None)
    return decoder(s, "arcee", eps=1e-5, context=4096, activation="relu2", gated=False)


def _phi(s: Settings) -> Design:
    norm = s.flag("qk_layernorm", default=False)
    return decoder(
        s, "phi", eps=1e-5, rotary=0.5, activation="gelu_new", norm="layer", gated=False,
        parallel=True, qk_norm="head" if norm else "",
    )  # fmt: skip


def _phi3(s: Settings) -> Design:
    design = decoder(s, "phi3", eps=1e-5, context=4096, trained=4096, sliding=lambda _i: True)
    return replace(design, fused="blocks")


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


def cap_text(s: Settings, name: str, usual: float | None) -> str:
    """A soft cap as decimal text; empty for none.

    Parameters
    ----------
    s : Settings
        Where it is.
    name : str
        Its name there.
    usual : float or None
        What it is where the file does not say.
    """
    value = s.take(name, default=usual)
    if value is None or value == 0:
        return ""
    number = s.number(name, default=usual)
    if not 0 < number < 1e6:
        raise FormatError(s.where, f"{name} = {number} is no sensible cap")
    return str(int(number)) if number == int(number) else format(number, "f").rstrip("0")


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


def _smollm3(s: Settings) -> Design:
    s.take("attention_bias", default=None)
    s.take("mlp_bias", default=None)
    used = s.take("no_rope_layers", default=None)
    every = s.whole("no_rope_layer_interval", default=4)
    design = _windowed_above(s, "smollm3", theta=2e6, tied=True)
    c = design.config
    if used is None:
        used = [int((i + 1) % every != 0) for i in range(c.layers)]
    if not isinstance(used, list) or len(used) != c.layers or set(used) - {0, 1}:
        raise FormatError(s.where, "no_rope_layers is not 0 or 1 for every layer")
    if all(used):
        return design
    tables = c.rotations or (plain_turning(float(c.rope_base), c.head_dim).frequencies,)
    config = replace(
        c, rope_base="", rotations=tables, rotation_of=tuple(0 if u else -1 for u in used)
    )
    return replace(design, config=config)


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


def _opt(s: Settings) -> Design:
    s.only({
        "do_layer_norm_before": (True,), "_remove_final_layer_norm": (False,),
        "enable_bias": (True, False), "layer_norm_elementwise_affine": (True,),
    })  # fmt: skip
    width, dim = s.take("word_embed_proj_dim", default=None), s.whole("hidden_size")
    if width not in (None, dim):
        raise UnsupportedModelError(
            s.where, f"embeddings of width {width} in a model of width {dim}",
            "use a size of OPT whose embeddings are not projected",
        )  # fmt: skip
    design = decoder(
        s, "opt", eps=1e-5, rotary=0, style="", activation="relu", norm="layer", gated=False,
        positions=True, tied=True,
    )  # fmt: skip
    return replace(design, skipped_positions=2)


def _gpt_neo(s: Settings) -> Design:
    layers = s.whole("num_layers", "num_hidden_layers")
    kinds = s.take("attention_layers", default=None)
    if kinds is None:
        groups = s.take("attention_types", default=[[["global"], layers]])
        kinds = [kind for names, count in groups for _ in range(count) for kind in names]
    s.take("attention_types", default=None)
    if len(kinds) != layers or set(kinds) - {"global", "local"}:
        raise FormatError(s.where, "attention_layers does not name the kind of every layer")
    design = decoder(
        s, "gpt_neo", eps=1e-5, rotary=0, style="", activation="gelu_new", norm="layer",
        gated=False, positions=True, tied=True, sliding=lambda i: kinds[i] == "local",
    )  # fmt: skip
    return replace(design, query_scale=1.0)


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


def _falcon(s: Settings) -> Design:
    s.only({"alibi": (False,)})
    s.take("bias", default=None)
    heads = s.whole("num_attention_heads", "n_head")
    new = s.flag("new_decoder_architecture", default=False)
    multi = s.flag("multi_query", default=True)
    stated = s.take("num_kv_heads", "n_head_kv", default=heads)
    norms = s.take("num_ln_in_parallel_attn", default=None)
    kv = stated if new or not multi else 1
    if type(kv) is not int or kv < 1 or heads % kv:
        raise FormatError(s.where, f"{heads} heads over {kv} key heads")
    parallel = s.flag("parallel_attn", default=True) or new
    if new and norms not in (None, 1, 2):
        raise FormatError(s.where, f"num_ln_in_parallel_attn = {norms!r}")
    design = decoder(
        s, "falcon", eps=1e-5, activation="gelu", norm="layer", gated=False, parallel=parallel,
        tied=True,
    )  # fmt: skip
    config = replace(design.config, kv_heads=kv, group=heads // kv)
    return replace(design, config=config, fused="groups")


def _bloom(s: Settings) -> Design:
    s.only({"apply_residual_connection_post_layernorm": (False,)})
    s.take("seq_length", default=None)
    design = decoder(
        s, "bloom", eps=1e-5, rotary=0, style="", activation="gelu_new", norm="layer",
        gated=False, tied=True,
    )  # fmt: skip
    heads = design.config.kv_heads * design.config.group
    return replace(
        design, config=replace(design.config, slopes=alibi_slopes(heads)), fused="groups"
    )


def alibi_slopes(heads: int) -> tuple[str, ...]:
    """ALiBi's slopes: a geometric series, and every other term of a finer one for the rest."""
    whole = 1 << (heads.bit_length() - 1)
    found = [2.0 ** (-8.0 * (i + 1) / whole) for i in range(whole)]
    found += [2.0 ** (-4.0 * (2 * i + 1) / whole) for i in range(heads - whole)]
    return tuple(format(slope, ".20f") for slope in found)


def _gpt2(s: Settings) -> Design:
    s.only({
        "scale_attn_by_inverse_layer_idx": (False,), "scale_attn_weights": (True,),
        "add_cross_attention": (False,),
    })  # fmt: skip
    design = decoder(
        s, "gpt2", eps=1e-5, context=1024, rotary=0, style="", activation="gelu_new",
        norm="layer", gated=False, positions=True, tied=True,
    )  # fmt: skip
    return replace(design, fused="blocks", transposed=True)


#: By ``model_type``.
DESIGNS: dict[str, Callable[[Settings], Design]] = {
    "llama": _llama,
    "mistral": _mistral,
    "ministral": _ministral,
    "qwen2": _qwen2,
    "qwen3": _qwen3,
    "seed_oss": _seed_oss,
    "arcee": _arcee,
    "phi": _phi,
    "phi3": _phi3,
    "gemma": _gemma,
    "gemma2": _gemma2,
    "gemma3_text": _gemma3,
    "glm": _glm,
    "glm4": _glm4,
    "granite": _granite,
    "helium": _helium,
    "ernie4_5": _ernie,
    "smollm3": _smollm3,
    "olmo": _olmo,
    "olmo2": _olmo2,
    "cohere": _cohere,
    "starcoder2": _starcoder2,
    "stablelm": _stablelm,
    "opt": _opt,
    "gpt_neo": _gpt_neo,
    "gpt_neox": _gpt_neox,
    "gptj": _gptj,
    "codegen": _codegen,
    "falcon": _falcon,
    "bloom": _bloom,
    "gpt2": _gpt2,
}
