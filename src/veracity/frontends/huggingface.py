"""Hugging Face folders of GPT-2 and LLaMA type.

A folder holds ``config.json``, ``*.safetensors`` and ``tokenizer.json``. LLaMA checkpoints of this
kind pair rotary features (i, i + head_dim / 2): style "half". GPT-2 stores linear maps as (in, out)
and q, k, v in one matrix; both are undone here.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from veracity.errors import FormatError, UnsupportedModelError, UsageError
from veracity.formats.program import ProgramFile
from veracity.frontends.folder_tokenizer import folder_tokenizer
from veracity.frontends.safetensors import read_safetensors
from veracity.lm.decoder import (
    Config,
    FloatModel,
    Floats,
    check_model,
    decimal,
    fold_norm,
    refuse_others,
)

__all__ = ["read_folder"]

_ACTIVATIONS = {"gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "gelu": "gelu"}


def read_folder(folder: Path) -> ProgramFile:
    """Import a model folder.

    Raises
    ------
    UsageError
        If a file is missing.
    UnsupportedModelError
        If the architecture asks for something that programs do not have.
    FormatError
        If a file does not parse.
    """
    facts = _json(folder / "config.json")
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise UsageError(f"no *.safetensors in {folder.name}; save the model in that format")
    raw = _tensors(files)
    kind = facts.get("model_type")
    try:
        if kind == "llama":
            model = _llama(facts, raw)
        elif kind == "gpt2":
            model = _gpt2(facts, raw)
        else:
            raise UnsupportedModelError(
                "config.json", f"model_type {kind}", "import a llama or gpt2 model"
            )
    except KeyError as error:
        raise FormatError(folder.name, f"{error.args[0]} is missing") from error
    except (TypeError, ValueError, ZeroDivisionError, OverflowError) as error:
        raise FormatError(folder.name, "shapes do not fit config.json") from error
    check_model(model, folder.name)
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    source = {
        "name": str(facts.get("_name_or_path") or folder.name),
        "kind": "safetensors",
        "file": files[0].name if len(files) == 1 else f"{len(files)} files",
        "sha256": digest.hexdigest(),
        "parameters": sum(int(t.size) for t in raw.values()),
    }
    return ProgramFile(source, model, folder_tokenizer(folder, model.config.vocab, facts))


def _json(path: Path) -> dict[str, Any]:
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"no {path.name} in {path.parent.name}") from error
    except ValueError as error:
        raise FormatError(path.name, "not JSON") from error
    if not isinstance(body, dict):
        raise FormatError(path.name, "not a JSON object")
    return body


def _tensors(files: list[Path]) -> dict[str, Floats]:
    out: dict[str, Floats] = {}
    for path in files:
        out |= read_safetensors(path)
    return out


def _refuse(facts: dict[str, Any], wanted: dict[str, tuple[Any, ...]]) -> None:
    for key, allowed in wanted.items():
        if facts.get(key, allowed[0]) not in allowed:
            raise UnsupportedModelError(
                "config.json", f"{key} = {facts[key]!r}", f"only {key} = {allowed[0]!r} works"
            )


def _grouped(heads: int, kv: int) -> None:
    if heads % kv:
        raise UnsupportedModelError(
            "config.json", f"{heads} heads over {kv} key heads", "use a multiple"
        )


# Numbers that are not finite, or overflow, are found and named by check_model.
@np.errstate(over="ignore", invalid="ignore")
def _llama(facts: dict[str, Any], raw: dict[str, Floats]) -> FloatModel:
    _refuse(
        facts,
        {
            "hidden_act": ("silu",),
            "rope_scaling": (None,),
            "attention_bias": (False,),
            "mlp_bias": (False,),
            "partial_rotary_factor": (1.0,),
        },
    )
    # newer configurations nest the rotary base
    rope = facts.get("rope_parameters") or {}
    _refuse(rope, {"rope_type": ("default",)})
    base = rope.get("rope_theta", facts.get("rope_theta", 10000.0))
    heads = int(facts["num_attention_heads"])
    kv = int(facts.get("num_key_value_heads") or heads)
    dim, layers = int(facts["hidden_size"]), int(facts["num_hidden_layers"])
    head_dim = int(facts.get("head_dim") or dim // heads)
    embed = raw["model.embed_tokens.weight"]
    tensors: dict[str, Floats] = {"embed": embed}
    _grouped(heads, kv)
    names = {
        "attn.q": "self_attn.q_proj", "attn.k": "self_attn.k_proj", "attn.v": "self_attn.v_proj",
        "attn.o": "self_attn.o_proj", "mlp.gate": "mlp.gate_proj", "mlp.up": "mlp.up_proj",
        "mlp.down": "mlp.down_proj",
    }  # fmt: skip
    for i in range(layers):
        at, theirs = f"layers.{i}", f"model.layers.{i}"
        for ours, name in names.items():
            tensors[f"{at}.{ours}"] = raw[f"{theirs}.{name}.weight"]
        tensors[f"{at}.attn.q"] = tensors[f"{at}.attn.q"] / np.float32(np.sqrt(head_dim))
        gain = raw[f"{theirs}.input_layernorm.weight"]
        fold_norm(tensors, [f"{at}.attn.{k}" for k in "qkv"], gain)
        gain = raw[f"{theirs}.post_attention_layernorm.weight"]
        fold_norm(tensors, [f"{at}.mlp.gate", f"{at}.mlp.up"], gain)
    known = {"model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"}
    for i in range(layers):
        known |= {f"model.layers.{i}.{n}.weight" for n in names.values()}
        known |= {f"model.layers.{i}.{n}_layernorm.weight" for n in ("input", "post_attention")}
    refuse_others({n for n in raw if not n.endswith("rotary_emb.inv_freq")}, known)
    if facts.get("tie_word_embeddings", "lm_head.weight" not in raw):
        tensors["final_gain"] = raw["model.norm.weight"]
    else:
        tensors["head"] = raw["lm_head.weight"]
        fold_norm(tensors, ["head"], raw["model.norm.weight"])
    config = Config(
        "llama", dim, layers, kv, heads // kv, head_dim, int(facts["intermediate_size"]),
        embed.shape[0], int(facts["max_position_embeddings"]), float(facts["rms_norm_eps"]),
        decimal(float(base)), "half",
    )  # fmt: skip
    return FloatModel(config, tensors)


# Numbers that are not finite, or overflow, are found and named by check_model.
@np.errstate(over="ignore", invalid="ignore")
def _gpt2(facts: dict[str, Any], raw: dict[str, Floats]) -> FloatModel:
    act = str(facts.get("activation_function", "gelu_new"))
    if act not in _ACTIVATIONS:
        raise UnsupportedModelError("config.json", f"activation {act}", "use a GELU model")
    _refuse(
        facts,
        {
            "scale_attn_by_inverse_layer_idx": (False,),
            "scale_attn_weights": (True,),
            "add_cross_attention": (False,),
        },
    )
    raw = {k.removeprefix("transformer."): v for k, v in raw.items()}
    dim, layers, heads = int(facts["n_embd"]), int(facts["n_layer"]), int(facts["n_head"])
    head_dim = dim // heads
    if dim % heads:
        raise FormatError("config.json", f"{heads} heads do not divide {dim}")
    scale = np.float32(1 / np.sqrt(head_dim))
    tensors: dict[str, Floats] = {"embed": raw["wte.weight"], "position": raw["wpe.weight"]}
    for i in range(layers):
        at, theirs = f"layers.{i}", f"h.{i}"
        joined = np.split(raw[f"{theirs}.attn.c_attn.weight"].T, 3)
        biases = np.split(raw[f"{theirs}.attn.c_attn.bias"], 3)
        for key, weight, bias in zip("qkv", joined, biases, strict=True):
            factor = scale if key == "q" else np.float32(1)
            tensors[f"{at}.attn.{key}"] = np.ascontiguousarray(weight * factor)
            tensors[f"{at}.attn.{key}.bias"] = bias * factor
        for ours, name in (
            ("attn.o", "attn.c_proj"), ("mlp.up", "mlp.c_fc"), ("mlp.down", "mlp.c_proj")
        ):  # fmt: skip
            tensors[f"{at}.{ours}"] = np.ascontiguousarray(raw[f"{theirs}.{name}.weight"].T)
            tensors[f"{at}.{ours}.bias"] = raw[f"{theirs}.{name}.bias"]
        readers = [f"{at}.attn.{k}" for k in "qkv"]
        fold_norm(tensors, readers, raw[f"{theirs}.ln_1.weight"], raw[f"{theirs}.ln_1.bias"])
        readers = [f"{at}.mlp.up"]
        fold_norm(tensors, readers, raw[f"{theirs}.ln_2.weight"], raw[f"{theirs}.ln_2.bias"])
    known = {"wte.weight", "wpe.weight", "ln_f.weight", "ln_f.bias", "lm_head.weight"}
    parts = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj", "ln_1", "ln_2")
    for i in range(layers):
        known |= {f"h.{i}.{p}.{end}" for p in parts for end in ("weight", "bias")}
    # old files store the causal mask as attn.bias and attn.masked_bias
    refuse_others({n for n in raw if not n.endswith(("attn.bias", "attn.masked_bias"))}, known)
    tensors["final_gain"], tensors["final_gain.bias"] = raw["ln_f.weight"], raw["ln_f.bias"]
    if not facts.get("tie_word_embeddings", True):
        tensors["head"] = raw["lm_head.weight"]
    config = Config(
        "gpt2", dim, layers, heads, 1, head_dim, int(facts.get("n_inner") or 4 * dim),
        raw["wte.weight"].shape[0], int(facts["n_positions"]),
        float(facts.get("layer_norm_epsilon", 1e-5)), activation=_ACTIVATIONS[act],
    )  # fmt: skip
    return FloatModel(config, tensors)
