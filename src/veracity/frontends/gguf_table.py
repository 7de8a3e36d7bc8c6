"""The table of architectures in GGUF's spelling: llama.cpp's names of tensors and settings.

A file names its architecture and nothing of what that implies: how rotary features pair, which
layers have a window, where norms stand. That is in the rows here (source: llama.cpp's graphs).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from veracity.errors import FormatError, UnsupportedModelError
from veracity.frontends.architectures.alibi import alibi_slopes
from veracity.frontends.architectures.common import cap_text, capped
from veracity.frontends.assembly import Design
from veracity.frontends.rotary import Turning, plain_turning, turning_of
from veracity.frontends.settings import Settings
from veracity.lm.config import Config
from veracity.lm.decoder import Floats, decimal

__all__ = ["ROWS", "Row", "design_of", "find_row"]

_AT = "blk.{i}."
_ENDS = {"embed": "token_embd", "final_norm": "output_norm", "head": "output"}
_QKVO = {"q": _AT + "attn_q", "k": _AT + "attn_k", "v": _AT + "attn_v", "o": _AT + "attn_output"}
_NORMS = {"attn_norm": _AT + "attn_norm", "mlp_norm": _AT + "ffn_norm"}
_UP = {"up": _AT + "ffn_up", "down": _AT + "ffn_down"}
_GATED = {**_UP, "gate": _AT + "ffn_gate"}
_LLAMA = {**_ENDS, **_QKVO, **_NORMS, **_GATED}
_JOINED = {"gate_up": _AT + "ffn_up", "down": _AT + "ffn_down"}
_FUSED = {**_ENDS, "qkv": _AT + "attn_qkv", "o": _QKVO["o"]}
_QK = {"q_norm": _AT + "attn_q_norm", "k_norm": _AT + "attn_k_norm"}
_POST = {"attn_post": _AT + "post_attention_norm", "mlp_post": _AT + "post_ffw_norm"}


@dataclass(frozen=True)
class Row:
    """An architecture.

    Attributes
    ----------
    names : mapping
        Tensors by part.
    style : str
        How rotary features pair; "" without them.
    config : mapping
        Fields of the configuration.
    design : mapping
        Fields of the design.
    more : callable
        What settings say beside those that all have.
    optional : frozenset of str
        Parts that some models of it lack.
    """

    names: Mapping[str, str]
    style: str = "half"
    config: Mapping[str, Any] = field(default_factory=dict)
    design: Mapping[str, Any] = field(default_factory=dict)
    more: Callable[[Settings, Design], Design] = lambda _s, design: design
    optional: frozenset[str] = frozenset({"head"})


_PLAIN_LAYER = {"norm": "layer", "gated": False}


def _windowed(s: Settings, design: Design, slides: Callable[[int], bool]) -> Design:
    c, size = design.config, s.take("attention.sliding_window", default=0)
    if type(size) is not int or size < 0:
        raise FormatError(s.where, f"attention.sliding_window = {size!r} is no sensible number")
    if not 0 < size < c.context:
        return design
    found = tuple(size if slides(i) else 0 for i in range(c.layers))
    return replace(design, config=replace(c, windows=found))


def _every(s: Settings, design: Design) -> Design:
    return _windowed(s, design, lambda _i: True)


def _gemma(_s: Settings, design: Design) -> Design:
    return replace(design, embed_scale=design.config.dim**0.5)


def _query_scale(design: Design, largest: int) -> float:
    """The largest model of a series divides by the width of a head that the others do not have."""
    c = design.config
    width = c.dim / (c.kv_heads * c.group) if c.layers == largest else c.head_dim
    return 1.0 / math.sqrt(width)


def _gemma2(s: Settings, design: Design) -> Design:
    c = replace(
        design.config, score_cap=cap_text(s, "attn_logit_softcapping", 50.0),
        logit_cap=cap_text(s, "final_logit_softcapping", 30.0),
    )  # fmt: skip
    design = _windowed(s, replace(design, config=c), lambda i: i % 2 == 0)
    return replace(_gemma(s, design), query_scale=_query_scale(design, 46))


def _gemma3(s: Settings, design: Design) -> Design:
    cap = cap_text(s, "final_logit_softcapping", None)
    local = plain_turning(s.number("rope.freq_base_swa", default=1e4), design.config.head_dim)
    design = _windowed(s, design, lambda i: i % 6 < 5)
    c = design.config
    whole = c.rotations or (plain_turning(float(c.rope_base), c.head_dim).frequencies,)
    config = replace(
        c, rope_base="", logit_cap=cap, rotations=(*whole, local.frequencies),
        rotation_of=tuple(int(i % 6 < 5) for i in range(c.layers)),
    )  # fmt: skip
    design = _gemma(s, replace(design, config=config))
    return replace(design, query_scale=_query_scale(design, 62))


def _granite(s: Settings, design: Design) -> Design:
    return replace(
        design,
        embed_scale=s.number("embedding_scale", default=1.0) or 1.0,
        residual_scale=s.number("residual_scale", default=1.0) or 1.0,
        logit_scale=1 / (s.number("logit_scale", default=1.0) or 1.0),
    )


def _cohere(s: Settings, design: Design) -> Design:
    return replace(design, logit_scale=s.number("logit_scale", default=0.0625))


def _parallel(s: Settings, design: Design) -> Design:
    parallel = s.flag("use_parallel_residual", default=design.config.parallel)
    return replace(design, config=replace(design.config, parallel=parallel))


def _bloom(s: Settings, design: Design) -> Design:
    s.only({"attention.max_alibi_bias": (8.0, 0.0)})
    c = design.config
    return replace(design, config=replace(c, slopes=alibi_slopes(c.kv_heads * c.group)))


def _smollm3(_s: Settings, design: Design) -> Design:
    c = design.config
    tables = c.rotations or (plain_turning(float(c.rope_base), c.head_dim).frequencies,)
    used = tuple(-1 if (i + 1) % 4 == 0 else 0 for i in range(c.layers))
    return replace(design, config=replace(c, rope_base="", rotations=tables, rotation_of=used))


_INTER = "interleaved"
#: Every architecture that can be imported, by ``general.architecture``.
ROWS: dict[str, Row] = {
    "llama": Row(_LLAMA, _INTER, more=_every),
    "qwen2": Row(_LLAMA),
    "qwen3": Row({**_LLAMA, **_QK}, config={"qk_norm": "head"}),
    "seed_oss": Row({**_LLAMA, "mlp_norm": _AT + "post_attention_norm"}),
    "granite": Row(_LLAMA, _INTER, more=_granite),
    "smollm3": Row(_LLAMA, _INTER, more=_smollm3),
    "ernie4_5": Row(_LLAMA, _INTER),
    "arcee": Row({p: n for p, n in _LLAMA.items() if p != "gate"}, _INTER,
                 {"gated": False, "activation": "relu2"}),
    "gemma": Row(_LLAMA, config={"activation": "gelu_tanh"}, more=_gemma),
    "gemma2": Row({**_LLAMA, **_POST}, config={"activation": "gelu_tanh", "post_norm": True},
                  more=_gemma2),
    "gemma3": Row({**_LLAMA, **_POST, **_QK},
                  config={"activation": "gelu_tanh", "post_norm": True, "qk_norm": "head"},
                  more=_gemma3),
    "phi2": Row({**_ENDS, **_QKVO, **_UP, "attn_norm": _NORMS["attn_norm"],
                 "qkv": _AT + "attn_qkv"},
                config={**_PLAIN_LAYER, "activation": "gelu_tanh", "parallel": True},
                design={"fused": "blocks"}, optional=frozenset("qkv") | {"qkv", "head"}),
    "phi3": Row({**_FUSED, **_NORMS, **_JOINED}, design={"fused": "blocks"}, more=_every),
    "starcoder2": Row({**_ENDS, **_QKVO, **_NORMS, **_UP},
                      config={**_PLAIN_LAYER, "activation": "gelu_tanh"}, more=_every),
    "stablelm": Row(_LLAMA, config={"norm": "layer"}, more=_parallel,
                    optional=frozenset({"head", "mlp_norm"})),
    "gptneox": Row({**_FUSED, **_NORMS, **_UP},
                   config={**_PLAIN_LAYER, "activation": "gelu", "parallel": True},
                   design={"fused": "blocks"}, more=_parallel),
    "falcon": Row({**_FUSED, "attn_norm": _NORMS["attn_norm"], **_UP},
                  config={**_PLAIN_LAYER, "activation": "gelu", "parallel": True},
                  design={"fused": "blocks"}),
    "bloom": Row({**_FUSED, **_NORMS, **_UP, "embed_norm": "token_embd_norm"}, "",
                 {**_PLAIN_LAYER, "activation": "gelu_tanh"}, {"fused": "blocks"}, _bloom),
    "gpt2": Row({**_FUSED, **_NORMS, **_UP, "position": "position_embd"}, "",
                {**_PLAIN_LAYER, "activation": "gelu_tanh", "positions": True},
                {"fused": "blocks"}),
    "command-r": Row({**_ENDS, **_QKVO, **_GATED, "attn_norm": _NORMS["attn_norm"]}, _INTER,
                     {"norm": "layer", "parallel": True}, more=_cohere),
    "olmo": Row({p: n for p, n in _LLAMA.items() if "norm" not in p}, _INTER, {"norm": "layer"}),
    "olmo2": Row({**_ENDS, **_QKVO, **_GATED, **_QK, **_POST},
                 config={"pre_norm": False, "post_norm": True, "qk_norm": "all"}),
    "glm4": Row({**_ENDS, **_QKVO, **_NORMS, **_POST, **_JOINED}, _INTER, {"post_norm": True}),
}  # fmt: skip


def find_row(where: str, arch: Any) -> Row:
    """The row of an architecture; UnsupportedModelError where there is none."""
    if arch not in ROWS:
        raise UnsupportedModelError(
            where, f"architecture {arch}", f"import one of {', '.join(sorted(ROWS))}"
        )
    return ROWS[arch]


def design_of(arch: str, s: Settings, raw: dict[str, Floats]) -> Design:
    """What a file says of its model; tensors that are settings are taken out of ``raw``.

    Parameters
    ----------
    arch : str
        Name of a row.
    s : Settings
        Settings without the architecture's prefix.
    raw : dict
        Tensors.

    Raises
    ------
    UnsupportedModelError, FormatError
    """
    row = ROWS[arch]
    s.only({"expert_count": (0,), "attention.clamp_kqv": (0.0,), "attention.causal": (True,)})
    s.only({"rope.scaling.yarn_log_multiplier": (0.0,)})
    dim, heads = s.whole("embedding_length"), s.whole("attention.head_count")
    kv = s.take("attention.head_count_kv", default=None) or heads
    if type(kv) is not int or heads % kv:
        raise UnsupportedModelError(
            s.where, f"{heads} heads over {kv} key heads", "use a model where it is a multiple"
        )
    if not s.has("attention.key_length") and dim % heads:
        raise FormatError(s.where, f"{heads} heads do not divide {dim}")
    width = s.whole("attention.key_length", default=dim // heads)
    if s.whole("attention.value_length", default=width) != width:
        raise UnsupportedModelError(
            s.where, "values of another width than keys", "use a model where both are equal"
        )
    stated = s.whole("context_length")
    turning, features = Turning((), None), 0
    if row.style:
        features = s.whole("rope.dimension_count", default=width)
        if features > width or features % 2 or (width - features) % 2:
            raise UnsupportedModelError(
                s.where, f"a rotary embedding of {features} of {width} features",
                "use a model where both parts are even",
            )  # fmt: skip
        turning = _turning(s, raw, features, stated)
    else:
        s.take("rope.dimension_count", "rope.freq_base", default=None)
    context, notes = capped(stated, turning.context)
    whole = features == width and turning.base is not None
    config = Config(
        arch, dim, s.whole("block_count"), kv, heads // kv, width, s.whole("feed_forward_length"),
        s.whole("vocab_size", default=len(raw["token_embd.weight"])), context,
        s.number("attention.layer_norm_rms_epsilon", "attention.layer_norm_epsilon"),
        decimal(turning.base) if whole and turning.base is not None else "",
        row.style, **row.config,
    )  # fmt: skip
    if features and not whole:
        table = turning.frequencies + (0,) * ((width - features) // 2)
        config = replace(config, rotations=(table,), rotation_of=(0,) * config.layers)
    design = Design(
        config=config, turning=features if features < width else 0, turn_scale=turning.factor,
        notes=notes, **row.design,
    )  # fmt: skip
    design = row.more(s, design)
    if scale := s.number("attention.scale", default=0.0):
        design = replace(design, query_scale=scale)
    s.only({"attention.sliding_window": (0,)} if not design.config.windows else {})
    s.finish(("expert_used_count", "tensor_data_layout", "rope.scaling.finetuned"))
    return design


def _turning(s: Settings, raw: dict[str, Floats], features: int, context: int) -> Turning:
    base = s.number("rope.freq_base", default=10000.0)
    factor = s.take("rope.scaling.factor", "rope.scale_linear", default=None)
    kind = s.take("rope.scaling.type", default="linear" if factor not in (None, 1.0) else "none")
    trained = s.take("rope.scaling.original_context_length", default=None)
    attention = s.take("rope.scaling.attn_factor", default=None)
    divisors = _factors(raw, features)
    group: dict[str, Any] = {"rope_type": kind, "factor": factor}
    group["original_max_position_embeddings"] = trained
    if kind == "longrope" or (kind == "none" and "short" in divisors):
        group |= {"rope_type": "longrope", "factor": None, "attention_factor": attention}
        group["short_factor"] = divisors.get("short")
    elif kind == "yarn":
        grown = 0.1 * math.log(float(factor)) + 1 if factor and factor > 1 else 1.0
        group["attention_factor"] = grown * float(attention or 1.0)
    elif attention not in (None, 1.0):
        raise UnsupportedModelError(s.where, f"rope.scaling.attn_factor = {attention}", "remove it")
    if "freqs" in divisors:
        if kind != "none":
            raise FormatError(s.where, f"rotary scaling by {kind} and by a tensor")
        return plain_turning(base, features, divisors["freqs"])
    if kind == "none":
        group.pop("factor")
    return turning_of(Settings(s.where, group), base, features, context)


def _factors(raw: dict[str, Floats], features: int) -> dict[str, list[float]]:
    """Tensors that divide frequencies, by kind; they are taken out of ``raw``."""
    found: dict[str, list[float]] = {}
    for kind, name in (
        ("freqs", "rope_freqs"), ("short", "rope_factors_short"), ("long", "rope_factors_long"),
    ):  # fmt: skip
        x = raw.pop(f"{name}.weight", None)
        if x is None:
            continue
        if x.shape != (features // 2,) or not np.all(np.isfinite(x) & (x > 0)):
            raise FormatError(name, f"not {features // 2} positive numbers")
        found[kind] = [float(v) for v in x]
    return found
