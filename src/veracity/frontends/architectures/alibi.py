"""BLOOM, MPT and Falcon, whose queries, keys and values are in one tensor, head by head."""

from __future__ import annotations

from dataclasses import replace

from veracity.errors import FormatError
from veracity.frontends.architectures.common import HARMLESS, Family, biased, decoder
from veracity.frontends.architectures.names import H_TO_4H, of_h
from veracity.frontends.assembly import Design
from veracity.frontends.settings import Settings

__all__ = ["ROWS", "alibi_slopes"]

_BLOCK = "transformer.blocks.{i}."
_NORMS = "attn_norm mlp_norm final_norm"


def _falcon(s: Settings) -> Design:
    s.only({"alibi": (False,)})  # implementations differ in how often they apply it
    biases = _NORMS + biased(s, bias=" qkv o up down")
    heads = s.whole("num_attention_heads", "n_head")
    new = s.flag("new_decoder_architecture", default=False)
    multi = s.flag("multi_query", default=True)
    stated = s.take("num_kv_heads", "n_head_kv", default=heads)
    norms = s.take("num_ln_in_parallel_attn", default=None)
    kv = stated if new or not multi else 1
    if type(kv) is not int or kv < 1 or heads % kv:
        raise FormatError(s.where, f"{heads} heads over {kv} key heads")
    parallel = s.flag("parallel_attn", default=True)
    if new:
        s.only({"parallel_attn": (True,)})
    if new and norms not in (None, 1, 2):
        raise FormatError(s.where, f"num_ln_in_parallel_attn = {norms!r}")
    one = parallel and not (new and norms in (None, 2))
    design = decoder(
        s, "falcon", eps=1e-5, activation="gelu", norm="layer", gated=False, parallel=parallel,
        tied=True, biases=biases, absent="mlp_norm" if one else "",
    )  # fmt: skip
    config = replace(design.config, kv_heads=kv, group=heads // kv)
    return replace(design, config=config, fused="groups")


def _bloom(s: Settings) -> Design:
    s.only({"apply_residual_connection_post_layernorm": (False,)})
    s.take("seq_length", default=None)
    if s.flag("slow_but_exact", default=False):  # it leaves out biases, or does nothing
        s.only({"pretraining_tp": (1,)})
    design = decoder(
        s, "bloom", eps=1e-5, style="", activation="gelu_new", fixed=("activation",),
        norm="layer", gated=False, tied=True,
        biases=_NORMS + " embed_norm qkv o up down",
    )  # fmt: skip
    heads = design.config.kv_heads * design.config.group
    return replace(
        design, config=replace(design.config, slopes=alibi_slopes(heads)), fused="groups"
    )


def _mpt(s: Settings) -> Design:
    inner = s.part("attn_config") or Settings(s.where, {})
    inner.only({
        "attn_type": ("multihead_attention",), "clip_qkv": (0,), "prefix_lm": (False,),
        "qk_ln": (False,), "attn_uses_sequence_id": (False,), "alibi": (True,),
        "alibi_bias_max": (8,), "qk_gn": (False,),
    })  # fmt: skip
    s.only({
        "expansion_ratio": (4,), "logit_scale": (), "no_bias": (True,), "use_norm_bias": (False,),
        "norm_type": ("low_precision_layernorm",), "embedding_fraction": (1,),
    })  # fmt: skip
    for name in ("learned_pos_emb", "init_device", "init_config", "verbose", "emb_pdrop"):
        s.take(name, default=None)  # with ALiBi there are no positions beside it
    scale = inner.take("softmax_scale", default=None)
    scale = None if scale is None else inner.number("softmax_scale")
    inner.only({"is_encoder_decoder": (False,)})
    inner.finish({*HARMLESS, "attn_impl", "tie_word_embeddings"})
    design = decoder(
        s, "mpt", eps=1e-5, style="", activation="gelu", fixed=("activation",), norm="layer",
        gated=False, tied=True, hidden=4 * s.whole("d_model"),
    )  # fmt: skip
    heads = design.config.kv_heads * design.config.group
    if heads & (heads - 1):  # the other way round than in BLOOM
        whole = 1 << heads.bit_length()
        every = [2.0 ** (-8.0 * (i + 1) / whole) for i in range(whole)]
        slopes = tuple(format(x, ".20f") for x in (*every[1::2], *every[::2])[:heads])
    else:
        slopes = alibi_slopes(heads)
    config = replace(design.config, slopes=slopes)
    return replace(design, config=config, fused="blocks", query_scale=scale)


def alibi_slopes(heads: int) -> tuple[str, ...]:
    """ALiBi's slopes: a geometric series, and every other term of a finer one for the rest."""
    whole = 1 << (heads.bit_length() - 1)
    found = [2.0 ** (-8.0 * (i + 1) / whole) for i in range(whole)]
    found += [2.0 ** (-4.0 * (2 * i + 1) / whole) for i in range(heads - whole)]
    return tuple(format(slope, ".20f") for slope in found)


#: By ``model_type``.
ROWS: dict[str, Family] = {
    "falcon": Family(
        _falcon,
        {**H_TO_4H,
         **of_h(attn_norm=("input_layernorm", "ln_attn"),
                mlp_norm=("post_attention_layernorm", "ln_mlp"))},
        "transformer.",
    ),
    "mpt": Family(
        _mpt,
        {"embed": "transformer.wte", "final_norm": "transformer.norm_f", "head": "lm_head",
         "attn_norm": _BLOCK + "norm_1", "mlp_norm": _BLOCK + "norm_2",
         "qkv": _BLOCK + "attn.Wqkv", "o": _BLOCK + "attn.out_proj",
         "up": _BLOCK + "ffn.up_proj", "down": _BLOCK + "ffn.down_proj"},
        "transformer.",
    ),
    "bloom": Family(
        _bloom,
        {**H_TO_4H, "embed_norm": "transformer.word_embeddings_layernorm",
         **of_h(attn_norm="input_layernorm", mlp_norm="post_attention_layernorm")},
        "transformer.",
    ),
}  # fmt: skip
