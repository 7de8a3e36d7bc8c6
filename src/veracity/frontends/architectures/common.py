"""What the architectures of Hugging Face's ``config.json`` have in common.

:func:`decoder` takes the settings that most of them share; its callers say what is different.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from veracity.errors import FormatError, UnsupportedModelError
from veracity.frontends.assembly import Design
from veracity.frontends.rotary import Turning, plain_turning, turning_of
from veracity.frontends.settings import Settings
from veracity.graph.program import MAX_LIMIT
from veracity.lm.config import Config
from veracity.lm.decoder import decimal

__all__ = [
    "ACTIVATIONS",
    "HARMLESS",
    "Family",
    "Windows",
    "biased",
    "cap_text",
    "capped",
    "decoder",
    "sliding_layers",
    "turning_only",
    "two_tables",
]

#: Our activations by the names that configurations have for them.
ACTIVATIONS = {
    "silu": "silu", "swish": "silu", "gelu": "gelu", "gelu_python": "gelu",
    "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "gelu_fast": "gelu_tanh",
    "relu": "relu", "relu2": "relu2",
}  # fmt: skip
#: Settings that change no answer: who saved the model, how it was trained, what generates from it.
_HARMLESS = """
    architectures auto_map model_type torch_dtype dtype transformers_version use_cache _name_or_path
    name_or_path initializer_range init_std initializer_factor attention_dropout hidden_dropout
    residual_dropout embedding_dropout embed_dropout dropout activation_dropout classifier_dropout
    resid_dropout resid_pdrop embd_pdrop attn_pdrop layerdrop summary_activation
    summary_first_dropout summary_proj_to_labels summary_type summary_use_proj bos_token_id
    eos_token_id pad_token_id unk_token_id sep_token_id decoder_start_token_id pretraining_tp
    output_attentions output_hidden_states return_dict problem_type id2label label2id
    task_specific_params tokenizer_class _attn_implementation attn_implementation
    _attn_implementation_autoset reorder_and_upcast_attn slow_but_exact gradient_checkpointing n_ctx
    temperature top_k top_p max_length min_length do_sample num_beams repetition_penalty
    length_penalty early_stopping prefix finetuning_task unsloth_fixed unsloth_version
    cache_implementation is_decoder chunk_size_feed_forward torchscript use_bfloat16 pruned_heads
    cross_attention_hidden_size diversity_penalty typical_p bad_words_ids no_repeat_ngram_size
    encoder_no_repeat_ngram_size forced_bos_token_id forced_eos_token_id remove_invalid_values
    exponential_decay_length_penalty suppress_tokens begin_suppress_tokens num_beam_groups
    num_return_sequences output_scores return_dict_in_generate tf_legacy_loss max_new_tokens
    is_llama_config transformers.js_config use_flash_attention use_flash_attn kv_cache_dtype
    attention_softmax_in_fp32 bias_dropout_fusion
    masked_softmax_fusion skip_bias_add skip_bias_add_qkv offset_alibi aux_loss_alpha
"""
HARMLESS = frozenset(_HARMLESS.split())
#: Settings of some architectures only, which files of others state as well: what they may say.
_ELSEWHERE: dict[str, tuple[Any, ...]] = {
    "use_mrope": (False,), "rope_interleaved": (False,), "rope_interleave": (False,),
    "attention_bias": (False,), "mlp_bias": (False,), "lm_head_bias": (False,),
    "rotary_scaling_factor": (1,), "scale_attn_weights": (True,), "qk_layernorm": (False,),
    "apply_residual_connection_post_layernorm": (False,), "alibi": (False,),
    "first_k_dense_replace": (0,),
}  # fmt: skip


@dataclass(frozen=True)
class Family:
    """An architecture.

    Attributes
    ----------
    design : callable
        What settings say.
    names : mapping
        Tensors by part, ``{i}`` for the layer; several where sizes of it differ.
    prefix : str
        What all names but the head's begin with; files of bare decoders lack it.
    ignored : tuple of str
        Endings of tensors that no model reads.
    """

    design: Callable[[Settings], Design]
    names: Mapping[str, str | tuple[str, ...]]
    prefix: str = "model."
    ignored: tuple[str, ...] = (".rotary_emb.inv_freq",)


@dataclass(frozen=True)
class Windows:
    """How an architecture says which layers see how far.

    Attributes
    ----------
    slides : callable
        Which layers have a window where the file does not say.
    usual : int or None
        How far they see where the file does not say.
    typed : bool
        Whether ``layer_types`` is read.
    name : str
        The setting of how far.
    """

    slides: Callable[[int], bool] = lambda _i: True
    usual: int | None = None
    typed: bool = True
    name: str = "sliding_window"


def capped(context: int, bound: int | None = None) -> tuple[int, tuple[str, ...]]:
    """A context that programs can have, and what to say where it is less than the model's."""
    most = min(context, MAX_LIMIT, bound or MAX_LIMIT)
    if most == context:
        return context, ()
    why = "its rotary scaling changes there" if bound == most else "programs have no more"
    return most, (f"the context is {most} positions of the model's {context}: {why}",)


def _attention(s: Settings, dim: int, head_dim: int | None) -> tuple[int, int, int]:
    """Key heads, queries to each, features."""
    heads = s.whole("num_attention_heads", "n_head", "n_heads", "num_heads")
    kv = s.whole("num_key_value_heads", default=heads)
    if heads % kv:
        raise UnsupportedModelError(
            s.where, f"{heads} heads over {kv} key heads", "use a model where it is a multiple"
        )
    if head_dim is None and dim % heads and not s.has("head_dim"):
        raise FormatError(s.where, f"{heads} heads do not divide {dim}")
    return kv, heads // kv, s.whole("head_dim", default=head_dim or dim // heads)


def _turning(s: Settings, features: int, theta: float, context: tuple[int, int | None]) -> Turning:
    """The turning that settings describe, in any of the ways in which they do."""
    base = s.number("rope_theta", "rotary_emb_base", default=theta)
    most, trained = context
    original = s.take("original_max_position_embeddings", default=trained)
    new, old = s.part("rope_parameters"), s.part("rope_scaling")
    if new is not None and old is not None and s.take("rope_parameters") != s.take("rope_scaling"):
        raise FormatError(s.where, "rope_parameters and rope_scaling contradict each other")
    group = new or old
    if group is None:
        return plain_turning(base, features)
    return turning_of(group, base, features, most, original)


def _partial(s: Settings, head_dim: int, usual: float | None, name: str) -> int:
    """Features of a head that turn, by any of the settings that say so; all of them for None."""
    groups = [s.take(name, default=None) for name in ("rope_parameters", "rope_scaling")]
    found = [g["partial_rotary_factor"] for g in groups
             if isinstance(g, dict) and g.get("partial_rotary_factor") is not None]  # fmt: skip
    if (stated := s.take(name, default=None)) is not None:
        found.append(s.number(name))
        if groups[0] is not None and len(found) == 1:  # then the group alone is read
            found.append(usual or 1.0)
    if any(part != found[0] for part in found):
        raise FormatError(s.where, f"{name} = {stated!r} and rope_parameters contradict each other")
    only = Settings(s.where, {name: found[0]} if found else {})
    part = only.number(name, default=usual or 1.0)
    if usual is None and part != 1:
        raise UnsupportedModelError(
            s.where, f"{name} = {part}", "this architecture turns all features"
        )
    return _even(s, int(head_dim * part), head_dim)


def _even(s: Settings, features: int, head_dim: int) -> int:
    """Features that turn, which pair, as do the others."""
    if not 0 < features <= head_dim or features % 2 or head_dim % 2:
        raise UnsupportedModelError(
            s.where, f"a rotary embedding of {features} of {head_dim} features",
            "use a model where both parts are even",
        )  # fmt: skip
    return features


def _windows(s: Settings, layers: int, context: int, rule: Windows) -> tuple[int, ...]:
    """For each layer how far it sees; empty where all see everything."""
    size = s.take(rule.name, default=None)
    if size is None and not s.is_null(rule.name):
        size = rule.usual
    slides = sliding_layers(s, layers, rule)
    if not any(slides):
        return ()
    if type(size) is not int or size < 1:
        if size is None:
            return ()
        raise FormatError(s.where, f"sliding_window = {size!r} is no sensible number")
    found = tuple(size if slid and size < context else 0 for slid in slides)
    return found if any(found) else ()


def sliding_layers(s: Settings, layers: int, rule: Windows) -> list[bool]:
    """For each layer whether it is one of those that may have a window.

    Parameters
    ----------
    s : Settings
        Where ``layer_types`` is.
    layers : int
        Their number.
    rule : Windows
        How the architecture says it.
    """
    kinds = s.take("layer_types", default=None) if rule.typed else None
    if kinds is None:
        return [rule.slides(i) for i in range(layers)]
    if not isinstance(kinds, list) or len(kinds) != layers:
        raise FormatError(s.where, "layer_types does not name the kind of every layer")
    others = [kind for kind in kinds if kind not in ("sliding_attention", "full_attention")]
    if others:
        raise UnsupportedModelError(
            s.where, f"a layer of type {min(map(str, others))}", "use a model without such layers"
        )
    return [kind == "sliding_attention" for kind in kinds]


def turning_only(design: Design, turned: Collection[bool]) -> Design:
    """The design with queries and keys of these layers turned, and of no others."""
    c = design.config
    if all(turned):
        return design
    tables = c.rotations or (plain_turning(float(c.rope_base), c.head_dim).frequencies,)
    used = tuple(0 if t else -1 for t in turned)
    return replace(design, config=replace(c, rope_base="", rotations=tables, rotation_of=used))


def two_tables(
    s: Settings, design: Design, slides: Collection[bool], bases: tuple[float, float]
) -> Design:
    """Layers with a window turn by settings of their own.

    Parameters
    ----------
    s : Settings
        Where ``rope_parameters`` or ``rope_scaling`` is; the latter is of layers without a window.
    design : Design
        The design; no layer turns yet.
    slides : collection of bool
        Which layers have a window.
    bases : (float, float)
        Rotary bases of layers without and with a window, where the groups do not say.
    """
    c, turnings = design.config, []
    group, scaling = s.part("rope_parameters"), s.part("rope_scaling")
    if group is not None and scaling is not None:
        raise FormatError(s.where, "rope_parameters and rope_scaling contradict each other")
    for kind, base in zip(("full_attention", "sliding_attention"), bases, strict=True):
        inner = group.part(kind) if group is not None else None
        if inner is None and scaling is not None and kind == "full_attention":
            inner = scaling
        turnings.append(turning_of(inner or Settings(s.where, {}), base, c.head_dim, c.context))
    if any(t.context for t in turnings):
        raise UnsupportedModelError(
            s.where, "longrope in some layers", "use a model whose layers all turn alike"
        )
    if group is not None:
        group.finish()
    used = tuple(int(slid) for slid in slides)
    config = replace(
        c, rope_style="half", rotations=tuple(t.frequencies for t in turnings), rotation_of=used
    )
    return replace(design, config=config, turn_scales=tuple(turnings[i].factor for i in used))


def biased(s: Settings, usual: bool = False, **parts: str) -> str:
    """The parts that have a bias: those whose flag is set.

    Parameters
    ----------
    s : Settings
        Where the flags are.
    usual : bool
        What they are where the file does not say.
    parts : str
        Parts by flag.
    """
    return " ".join(names for flag, names in parts.items() if s.flag(flag, default=usual))


def decoder(
    s: Settings,
    family: str,
    *,
    eps: float = 1e-6,
    context: int = 2048,
    trained: int | None = None,
    theta: float = 10000.0,
    head_dim: int | None = None,
    rotary: float | None = None,
    share: str = "partial_rotary_factor",
    style: str = "half",
    activation: str = "silu",
    fixed: Collection[str] = (),
    windows: Windows | None = None,
    tied: bool | None = False,
    hidden: int | None = None,
    biases: str = "",
    absent: str = "",
    **more: Any,
) -> Design:
    """A design from the settings that most architectures share; ``more`` are fields of the config.

    Parameters
    ----------
    s : Settings
        The file's settings.
    family : str
        Name of the architecture.
    eps, context, theta : optional
        Of norms, positions and rotary base, where the file does not say.
    trained : int, optional
        Positions that the model was trained on, where the file does not say.
    head_dim, hidden : int, optional
        Where the file does not say and they do not follow from the width.
    rotary : float, optional
        Share of the features that turn, where the file does not say; by default all, whatever it
        says.
    share : str
        The setting that says so.
    style : str
        How features pair; "" where none turn.
    activation : str
        Where the file does not say.
    fixed : collection of str
        ``eps``, ``activation``, ``rope``: what no setting changes.
    windows : Windows, optional
        Which layers have a window; none by default.
    tied : bool or None
        Whether the head is the embedding, where the file does not say; None where its tensors do.
    biases : str
        Parts that have a bias; all others have none.
    absent : str
        Parts of the row that this model lacks.
    more : optional
        Fields of :class:`veracity.lm.config.Config`.
    """
    dim = s.whole("hidden_size", "n_embd", "n_embed", "d_model")
    layers = s.whole("num_hidden_layers", "n_layer", "n_layers", "num_layers")
    kv, group, width = _attention(s, dim, head_dim)
    act = activation
    if "activation" not in fixed:
        act = str(s.take("hidden_act", "hidden_activation", "activation_function", "activation",
                         default=activation))  # fmt: skip
    if "eps" not in fixed:
        eps = s.number("rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon", "norm_epsilon",
                       "norm_eps", default=eps)  # fmt: skip
    if act not in ACTIVATIONS:
        raise UnsupportedModelError(
            s.where, f"activation {act}", f"one of {', '.join(ACTIVATIONS)} works"
        )
    positions = s.whole("max_position_embeddings", "n_positions", "max_seq_len", default=context)
    turning, features = Turning((), None), 0
    if style and "rope" in fixed:
        features = _even(s, int(width * (rotary or 1)), width)
        turning = plain_turning(theta, features)
    elif style:
        features = _partial(s, width, rotary, share)
        turning = _turning(s, features, theta, (positions, trained))
    most, notes = capped(positions, turning.context)
    whole = features == width and turning.base is not None
    if not any(map(s.has, ("max_position_embeddings", "n_positions", "max_seq_len"))):
        notes += (f"the file states no context; {most} positions are usual for {family}",)
    config = Config(
        family, dim, layers, kv, group, width,
        s.whole("intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size",
                default=hidden or 4 * dim),
        s.whole("vocab_size", default=0) if s.has("vocab_size") else 0, most,
        eps,
        decimal(turning.base) if whole and turning.base is not None else "",
        style if features else "", ACTIVATIONS[act], **more,
    )  # fmt: skip
    if features and not whole:
        table = turning.frequencies + (0,) * ((width - features) // 2)
        config = replace(config, rotations=(table,), rotation_of=(0,) * layers)
    if windows is not None:
        config = replace(config, windows=_windows(s, layers, most, windows))
    s.only({name: values for name, values in _ELSEWHERE.items() if not s.was_taken(name)})
    return Design(
        config=config, turning=features if features < width else 0, turn_scale=turning.factor,
        tied=s.flag("tie_word_embeddings", default=bool(tied)) if tied is not None
        or s.has("tie_word_embeddings") else None, notes=notes,
        biases=frozenset(biases.split()), absent=frozenset(absent.split()),
    )  # fmt: skip


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
    value = s.take(name, default=None if s.is_null(name) else usual)
    if value is None:
        return ""
    number = s.number(name, default=usual)
    if not 0 < number < 1e6:
        raise FormatError(s.where, f"{name} = {number} is no sensible cap")
    return str(int(number)) if number == int(number) else format(number, "f").rstrip("0")
