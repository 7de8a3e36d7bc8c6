"""Write ``architectures.json``: logits of tiny models, computed by transformers.

    python tests/vectors/make_architectures.py    # needs torch and transformers

Logits hold for every version of transformers that computes what an architecture is; written with
5.24.
"""

from __future__ import annotations

import base64
import json
import sys
import zlib
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np

from tests.support.architectures import COLUMNS, IDS, PATH, tensors

_SMALL: dict[str, Any] = {
    "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 256, "max_position_embeddings": 64,
    "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0,
}  # fmt: skip
_HEAD = {"head_dim": 8}
_OLD = {"n_embd": 16, "n_layer": 2, "n_head": 4, "n_positions": 64, "vocab_size": 256}
_HALF = {"partial_rotary_factor": 0.5, "rope_theta": 10000.0, "rope_type": "default"}
_LONG = {
    "rope_type": "longrope", "rope_theta": 10000.0, "short_factor": [1.1, 1.3],
    "long_factor": [2.0, 4.0],
}  # fmt: skip


def rope(kind: str, **more: Any) -> dict[str, Any]:
    """Rotary settings."""
    return {"rope_parameters": {"rope_type": kind, "rope_theta": 10000.0, **more}}


#: ``(model_type, settings)`` by name.
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {}),
    "llama tied": ("llama", {"tie_word_embeddings": True}),
    "llama biases": ("llama", {"attention_bias": True, "mlp_bias": True}),
    "llama linear": ("llama", rope("linear", factor=4.0)),
    "llama dynamic": ("llama", rope("dynamic", factor=4.0)),
    "llama yarn": ("llama", rope("yarn", factor=4.0, original_max_position_embeddings=16)),
    "llama 3.1": ("llama", rope("llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                                original_max_position_embeddings=32)),
    "mistral": ("mistral", {**_HEAD, "sliding_window": 6}),
    "ministral": ("ministral", {**_HEAD, "sliding_window": 6,
                                "layer_types": ["sliding_attention", "full_attention"]}),
    "qwen2": ("qwen2", {}),
    "qwen2 windows": ("qwen2", {"use_sliding_window": True, "sliding_window": 5,
                                "max_window_layers": 1}),
    "qwen3": ("qwen3", _HEAD),
    "seed_oss": ("seed_oss", _HEAD),
    "arcee": ("arcee", {}),
    "phi": ("phi", {}),
    "phi norms": ("phi", {"qk_layernorm": True, "num_key_value_heads": 4}),
    "phi3": ("phi3", {"sliding_window": 7}),
    "phi3 longrope": ("phi3", {"rope_parameters": _LONG,
                               "original_max_position_embeddings": 32}),
    "gemma": ("gemma", _HEAD),
    "gemma2": ("gemma2", {**_HEAD, "sliding_window": 5}),
    "gemma3": ("gemma3_text", {**_HEAD, "sliding_window": 5, "num_hidden_layers": 6}),
    "glm": ("glm", _HEAD),
    "glm4": ("glm4", _HEAD),
    "granite": ("granite", {"embedding_multiplier": 12.0, "residual_multiplier": 0.22,
                            "attention_multiplier": 0.1, "logits_scaling": 8.0}),
    "helium": ("helium", {"head_dim": 4}),
    "ernie4_5": ("ernie4_5", _HEAD),
    "smollm3": ("smollm3", {"num_hidden_layers": 4}),
    "olmo": ("olmo", {}),
    "olmo2": ("olmo2", {}),
    "olmo3": ("olmo3", {"sliding_window": 5, "num_hidden_layers": 4, "rope_parameters": {
        "full_attention": {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0,
                           "original_max_position_embeddings": 16},
        "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}}}),
    "exaone4": ("exaone4", {"sliding_window": 5, "num_hidden_layers": 4}),
    "exaone4 all": ("exaone4", {"sliding_window": None, "layer_types": ["full_attention"] * 2}),
    "cohere2": ("cohere2", {"sliding_window": 5, "num_hidden_layers": 4}),
    "cohere": ("cohere", {}),
    "cohere norms": ("cohere", {"use_qk_norm": True}),
    "starcoder2": ("starcoder2", {"sliding_window": 6}),
    "stablelm": ("stablelm", {"rope_parameters": _HALF}),
    "stablelm parallel": ("stablelm", {"rope_parameters": _HALF, "use_parallel_residual": True,
                                       "use_qkv_bias": True}),
    "opt": ("opt", {"ffn_dim": 24, "word_embed_proj_dim": 16}),
    "opt 350m": ("opt", {"ffn_dim": 24, "word_embed_proj_dim": 8, "do_layer_norm_before": False}),
    "opt projected": ("opt", {"ffn_dim": 24, "word_embed_proj_dim": 8}),
    "gpt_neo": ("gpt_neo", {"num_layers": 2, "num_heads": 4, "window_size": 5,
                            "attention_types": [[["global", "local"], 1]]}),
    "gpt_neox": ("gpt_neox", {"rope_parameters": _HALF}),
    "gpt_neox serial": ("gpt_neox", {"rope_parameters": _HALF, "use_parallel_residual": False}),
    "gptj": ("gptj", {**_OLD, "rotary_dim": 2}),
    "codegen": ("codegen", {**_OLD, "rotary_dim": 2}),
    "falcon": ("falcon", {"multi_query": True}),
    "falcon groups": ("falcon", {"new_decoder_architecture": True, "num_kv_heads": 2}),
    "falcon serial": ("falcon", {"multi_query": False, "parallel_attn": False, "bias": True}),
    "bloom": ("bloom", {"n_layer": 2, "n_head": 4}),
    "bloom heads": ("bloom", {"n_layer": 2, "n_head": 6, "hidden_size": 24}),
    "mpt": ("mpt", {"d_model": 16, "n_layers": 2, "n_heads": 4, "max_seq_len": 64}),
    "mpt heads": ("mpt", {"d_model": 24, "n_layers": 2, "n_heads": 6, "max_seq_len": 64}),
    "nemotron": ("nemotron", {}),
    "gpt_bigcode": ("gpt_bigcode", {**_OLD, "num_key_value_heads": 1}),
    "gpt_bigcode heads": ("gpt_bigcode", {**_OLD, "multi_query": False, "num_key_value_heads": 4}),
    "gpt2": ("gpt2", _OLD),
}  # fmt: skip


#: Architectures whose code is not in transformers, but which are LLaMA in another layout: settings,
#: and their names of the tensors of a layer (or of none).
LAYOUTS: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "internlm": ({"bias": True}, {}),
    "internlm2": ({"bias": False}, {
        "model.embed_tokens": "model.tok_embeddings", "lm_head": "output",
        "input_layernorm": "attention_norm", "post_attention_layernorm": "ffn_norm",
        "self_attn.o_proj": "attention.wo", "mlp.gate_proj": "feed_forward.w1",
        "mlp.up_proj": "feed_forward.w3", "mlp.down_proj": "feed_forward.w2"}),
    "exaone": ({}, {
        "model.embed_tokens": "transformer.wte", "model.norm": "transformer.ln_f",
        "model.layers": "transformer.h", "input_layernorm": "ln_1",
        "post_attention_layernorm": "ln_2", "self_attn.o_proj": "attn.attention.out_proj",
        "self_attn": "attn.attention", "mlp.gate_proj": "mlp.c_fc_0",
        "mlp.up_proj": "mlp.c_fc_1", "mlp.down_proj": "mlp.c_proj"}),
}  # fmt: skip


def in_layout(kind: str) -> dict[str, Any]:
    """A case of an architecture that is LLaMA in another layout."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    settings, names = LAYOUTS[kind]
    small = {**_SMALL, "rms_norm_eps": 1e-6}
    biased = settings.get("bias", False)
    config = AutoConfig.for_model("llama", **small, attention_bias=biased)
    config._attn_implementation = "eager"
    model = AutoModelForCausalLM.from_config(config).eval()
    shapes, of = {}, {}
    for theirs, x in model.state_dict().items():
        name = theirs
        for old, new in names.items():
            name = name.replace(old, new)
        shapes[name], of[name] = list(x.shape), theirs
    if kind == "internlm2":
        for i in range(2):
            for p in "qkv":
                del shapes[f"model.layers.{i}.self_attn.{p}_proj.weight"]
            shapes[f"model.layers.{i}.attention.wqkv.weight"] = [32, 16]
    state = {}
    for name, x in tensors(shapes).items():
        if "wqkv" in name:  # for each of two key heads two queries, a key and a value
            rows = x.reshape(2, 4, 4, 16)
            at = name.replace("attention.wqkv.weight", "self_attn.")
            split = {"q": rows[:, :2], "k": rows[:, 2], "v": rows[:, 3]}
            state |= {f"{at}{p}_proj.weight": y.reshape(-1, 16) for p, y in split.items()}
        else:
            state[of[name]] = x
    model.load_state_dict({n: torch.from_numpy(x.copy()) for n, x in state.items()})
    facts = {"model_type": kind, **small, **settings, "rope_theta": 10000.0,
             "tie_word_embeddings": False}  # fmt: skip
    return {"config": facts, "shapes": shapes, "logits": logits_of(model)}


def reference(kind: str, settings: dict[str, Any]) -> dict[str, Any]:
    """One case, with what transformers says of it."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    known = AutoConfig.for_model(kind).to_dict()
    small = {name: value for name, value in _SMALL.items() if name in known}
    config = AutoConfig.for_model(kind, **{**small, **settings})
    config._attn_implementation = "eager"
    model = AutoModelForCausalLM.from_config(config).eval()
    state = {n: x for n, x in model.state_dict().items() if x.dtype.is_floating_point}
    tied = config.tie_word_embeddings
    head = model.get_output_embeddings().weight.data_ptr()
    shapes = {
        name: list(x.shape)
        for name, x in state.items()
        if not (tied and x.data_ptr() == head and "embed" not in name and "wte" not in name)
    }
    made = {n: torch.from_numpy(x) for n, x in tensors(shapes).items()}
    model.load_state_dict(made, strict=False)
    model.tie_weights()
    facts = json.loads(config.to_json_string(use_diff=True))
    return {"config": facts, "shapes": shapes, "logits": logits_of(model)}


def logits_of(model: Any) -> str:
    """Logits of some tokens, packed."""
    import torch

    with torch.no_grad():
        logits = model(torch.tensor([IDS])).logits[0].numpy()[:, COLUMNS]
    raw = zlib.compress(np.ascontiguousarray(logits, dtype="<f4").tobytes(), 9)
    return base64.b64encode(raw).decode()


def main() -> None:
    """All cases."""
    found = {name: reference(*case) for name, case in CASES.items()}
    found |= {kind: in_layout(kind) for kind in LAYOUTS}
    PATH.write_text(json.dumps(found, sort_keys=True, indent=None, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
