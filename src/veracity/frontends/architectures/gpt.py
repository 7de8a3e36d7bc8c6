"""Learned positions: GPT-2, GPT-Neo, GPT-BigCode, OPT."""

from __future__ import annotations

from dataclasses import replace
from itertools import cycle, islice

from veracity.errors import FormatError
from veracity.frontends.architectures.common import Family, Windows, biased, decoder
from veracity.frontends.architectures.names import MASKS, OPT_AT, TWO_NORMS, WTE, of_h
from veracity.frontends.assembly import Design
from veracity.frontends.settings import Settings

__all__ = ["ROWS"]

_NORMS = "attn_norm mlp_norm final_norm"


def _opt(s: Settings) -> Design:
    before = s.flag("do_layer_norm_before", default=True)
    s.only({"layer_norm_elementwise_affine": (True,)})
    s.only({"_remove_final_layer_norm": (False,) if before else (False, True)})
    dim = s.whole("hidden_size")
    projected = s.whole("word_embed_proj_dim", default=dim) != dim
    absent = "" if projected else "project_in project_out"
    design = decoder(
        s, "opt", eps=1e-5, style="", activation="relu", norm="layer", gated=False,
        positions=True, tied=True, fixed=("eps",), pre_norm=before, sum_norm=not before,
        absent=absent if before else absent + " final_norm",
        biases=_NORMS + biased(s, True, enable_bias=" q k v o up down"),
    )  # fmt: skip
    return replace(design, skipped_positions=2)


def _gpt_neo(s: Settings) -> Design:
    layers = s.whole("num_layers", "num_hidden_layers")
    kinds = s.take("attention_layers", default=None)
    if kinds is None:
        groups = s.take("attention_types", default=[[["global"], layers]])
        kinds = []
        for names, count in groups:
            kinds += islice(cycle(names), min(len(names) * count, layers + 1 - len(kinds)))
    s.take("attention_types", default=None)
    if len(kinds) != layers or set(kinds) - {"global", "local"}:
        raise FormatError(s.where, "attention_layers does not name the kind of every layer")
    design = decoder(
        s, "gpt_neo", eps=1e-5, style="", activation="gelu_new", norm="layer",
        gated=False, positions=True, tied=True, biases=_NORMS + " o up down",
        windows=Windows(lambda i: kinds[i] == "local", 256, False, "window_size"),
    )  # fmt: skip
    return replace(design, query_scale=1.0)


def _gpt2(s: Settings) -> Design:
    s.only({
        "scale_attn_by_inverse_layer_idx": (False,), "add_cross_attention": (False,),
    })  # fmt: skip
    design = decoder(
        s, "gpt2", eps=1e-5, context=1024, style="", activation="gelu_new", norm="layer",
        gated=False, positions=True, tied=True, biases=_NORMS + " qkv o up down",
    )  # fmt: skip
    scaled = s.flag("scale_attn_weights", default=True)
    return replace(design, fused="blocks", transposed=True, query_scale=None if scaled else 1.0)


def _gpt_bigcode(s: Settings) -> Design:
    s.only({"add_cross_attention": (False,), "scale_attention_softmax_in_fp32": (True, False)})
    scaled = s.flag("scale_attn_weights", default=True)
    multi = s.flag("multi_query", default=True)
    heads = s.whole("n_head")
    s.only({"num_key_value_heads": (1 if multi else heads,)})
    for name in (
        "attention_softmax_in_fp32",
        "inference_runner",
        "validate_runner_input",
        "pre_allocate_kv_cache",
        "max_sequence_length",
        "max_batch_size",
        "pad_key_length",
    ):
        s.take(name, default=None)  # how it is computed
    design = decoder(
        s, "gpt_bigcode", eps=1e-5, context=1024, style="", activation="gelu_pytorch_tanh",
        norm="layer", gated=False, positions=True, tied=True, biases=_NORMS + " qkv o up down",
    )  # fmt: skip
    kv = 1 if multi else heads
    config = replace(design.config, kv_heads=kv, group=heads // kv)
    return replace(
        design, config=config, fused="blocks" if multi else "groups",
        query_scale=None if scaled else 1.0,
    )  # fmt: skip


#: By ``model_type``.
ROWS: dict[str, Family] = {
    "opt": Family(
        _opt,
        {"embed": "model.decoder.embed_tokens", "position": "model.decoder.embed_positions",
         "final_norm": "model.decoder.final_layer_norm", "head": "lm_head",
         "project_in": "model.decoder.project_in", "project_out": "model.decoder.project_out",
         "attn_norm": OPT_AT + "self_attn_layer_norm", "mlp_norm": OPT_AT + "final_layer_norm",
         **{p: OPT_AT + f"self_attn.{p}_proj" for p in "qkv"},
         "o": OPT_AT + "self_attn.out_proj", "up": OPT_AT + "fc1", "down": OPT_AT + "fc2"},
    ),
    "gpt_neo": Family(
        _gpt_neo,
        {**WTE, **TWO_NORMS, "position": "transformer.wpe",
         **of_h(q="attn.attention.q_proj", k="attn.attention.k_proj", v="attn.attention.v_proj",
                o="attn.attention.out_proj", up="mlp.c_fc", down="mlp.c_proj")},
        "transformer.", MASKS,
    ),
    "gpt_bigcode": Family(
        _gpt_bigcode,
        {**WTE, **TWO_NORMS, "position": "transformer.wpe",
         **of_h(qkv="attn.c_attn", o="attn.c_proj", up="mlp.c_fc", down="mlp.c_proj")},
        "transformer.", MASKS,
    ),
    "gpt2": Family(
        _gpt2,
        {**WTE, **TWO_NORMS, "position": "transformer.wpe",
         **of_h(qkv="attn.c_attn", o="attn.c_proj", up="mlp.c_fc", down="mlp.c_proj")},
        "transformer.", MASKS,
    ),
}  # fmt: skip
