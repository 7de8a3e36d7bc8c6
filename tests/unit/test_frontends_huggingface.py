"""Hugging Face folders against a plain reading of their own definitions, on tiny random models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from veracity.errors import FormatError, UnsupportedModelError, UsageError
from veracity.frontends.huggingface import read_folder
from veracity.frontends.safetensors import read_safetensors
from veracity.lm.calibrate import calibrate_model
from veracity.lm.generate import generate

safetensors = pytest.importorskip("safetensors.numpy")

LLAMA = {
    "model_type": "llama", "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "intermediate_size": 24, "vocab_size": 256, "rms_norm_eps": 1e-5,
    "max_position_embeddings": 64, "rope_theta": 10000.0, "tie_word_embeddings": True,
}  # fmt: skip
GPT2 = {
    "model_type": "gpt2", "n_embd": 16, "n_layer": 2, "n_head": 4, "n_positions": 64,
    "vocab_size": 256, "layer_norm_epsilon": 1e-5, "activation_function": "gelu_new",
}  # fmt: skip


def random_tensors(config: dict[str, Any]) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)

    def normal(*dims: int, mean: float = 0.0) -> np.ndarray:
        return (mean + 0.2 * rng.standard_normal(dims)).astype(np.float32)

    if config["model_type"] == "llama":
        out = {
            "model.embed_tokens.weight": normal(256, 16),
            "model.norm.weight": normal(16, mean=1),
        }
        for i in range(2):
            at = f"model.layers.{i}."
            for name, n, k in (
                ("self_attn.q_proj", 16, 16), ("self_attn.k_proj", 8, 16),
                ("self_attn.v_proj", 8, 16), ("self_attn.o_proj", 16, 16),
                ("mlp.gate_proj", 24, 16), ("mlp.up_proj", 24, 16), ("mlp.down_proj", 16, 24),
            ):  # fmt: skip
                out[f"{at}{name}.weight"] = normal(n, k)
            out[f"{at}input_layernorm.weight"] = normal(16, mean=1)
            out[f"{at}post_attention_layernorm.weight"] = normal(16, mean=1)
        return out
    out = {
        "wte.weight": normal(256, 16), "wpe.weight": normal(64, 16),
        "ln_f.weight": normal(16, mean=1), "ln_f.bias": normal(16),
    }  # fmt: skip
    for i in range(2):
        for name, n, k in (
            ("attn.c_attn", 48, 16), ("attn.c_proj", 16, 16), ("mlp.c_fc", 64, 16),
            ("mlp.c_proj", 16, 64),
        ):  # fmt: skip
            out[f"h.{i}.{name}.weight"] = normal(k, n)
            out[f"h.{i}.{name}.bias"] = normal(n)
        for name in ("ln_1", "ln_2"):
            out[f"h.{i}.{name}.weight"], out[f"h.{i}.{name}.bias"] = normal(16, mean=1), normal(16)
    return out


def write_folder(folder: Path, config: dict[str, Any]) -> dict[str, np.ndarray]:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    tensors = random_tensors(config)
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    safetensors.save_file(tensors, str(folder / "model.safetensors"))
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    library = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = decoders.ByteLevel()
    library.save(str(folder / "tokenizer.json"))
    return tensors


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def attend(q: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
    """One head: (T, d) each."""
    scores = q @ k.T / np.sqrt(q.shape[1])
    return softmax(np.where(np.tril(np.ones(scores.shape, bool)), scores, -np.inf)) @ v


def llama_logits(w: dict[str, np.ndarray], ids: list[int]) -> np.ndarray:
    def norm(x: np.ndarray, g: np.ndarray) -> np.ndarray:
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-5) * g

    def rope(x: np.ndarray) -> np.ndarray:
        angle = np.arange(len(x))[:, None] * 10000.0 ** (-np.arange(2) * 2 / 4)[None, :]
        cos, sin = np.tile(np.cos(angle), 2), np.tile(np.sin(angle), 2)
        return x * cos + np.concatenate([-x[:, 2:], x[:, :2]], axis=1) * sin

    x = w["model.embed_tokens.weight"][ids]
    for i in range(2):
        p = {k.removeprefix(f"model.layers.{i}."): v for k, v in w.items()}
        n = norm(x, p["input_layernorm.weight"])
        q, k, v = (n @ p[f"self_attn.{c}_proj.weight"].T for c in "qkv")
        heads = []
        for h in range(4):
            a, b = slice(4 * h, 4 * h + 4), slice(4 * (h // 2), 4 * (h // 2) + 4)
            heads.append(attend(rope(q[:, a]), rope(k[:, b]), v[:, b]))
        x = x + np.concatenate(heads, axis=1) @ p["self_attn.o_proj.weight"].T
        n = norm(x, p["post_attention_layernorm.weight"])
        gate = n @ p["mlp.gate_proj.weight"].T
        inner = gate / (1 + np.exp(-gate)) * (n @ p["mlp.up_proj.weight"].T)
        x = x + inner @ p["mlp.down_proj.weight"].T
    return norm(x, w["model.norm.weight"]) @ w["model.embed_tokens.weight"].T


def gpt2_logits(w: dict[str, np.ndarray], ids: list[int]) -> np.ndarray:
    def norm(x: np.ndarray, name: str) -> np.ndarray:
        c = x - x.mean(-1, keepdims=True)
        n = c / np.sqrt((c * c).mean(-1, keepdims=True) + 1e-5)
        return n * w[f"{name}.weight"] + w[f"{name}.bias"]

    def linear(x: np.ndarray, name: str) -> np.ndarray:
        return x @ w[f"{name}.weight"] + w[f"{name}.bias"]

    x = w["wte.weight"][ids] + w["wpe.weight"][: len(ids)]
    for i in range(2):
        q, k, v = np.split(linear(norm(x, f"h.{i}.ln_1"), f"h.{i}.attn.c_attn"), 3, axis=1)
        heads = [attend(*(m[:, 4 * h : 4 * h + 4] for m in (q, k, v))) for h in range(4)]
        x = x + linear(np.concatenate(heads, axis=1), f"h.{i}.attn.c_proj")
        u = linear(norm(x, f"h.{i}.ln_2"), f"h.{i}.mlp.c_fc")
        u = 0.5 * u * (1 + np.tanh(np.sqrt(2 / np.pi) * (u + 0.044715 * u**3)))
        x = x + linear(u, f"h.{i}.mlp.c_proj")
    return norm(x, "ln_f") @ w["wte.weight"].T


@pytest.mark.parametrize("config", [LLAMA, GPT2], ids=["llama", "gpt2"])
def test_float_model_and_its_program(tmp_path: Path, config: dict[str, Any]) -> None:
    tensors = write_folder(tmp_path / "m", config)
    content = read_folder(tmp_path / "m")
    ids = [int(i) for i in np.random.default_rng(1).integers(0, 256, 24)]
    plain = llama_logits if config is LLAMA else gpt2_logits
    want = plain({k: v.astype(np.float64) for k, v in tensors.items()}, ids)
    assert np.abs(content.model.logits(ids) - want).max() < 1e-3
    assert content.source["parameters"] == sum(t.size for t in tensors.values())

    text = "the quick brown fox jumps over the lazy dog. " * 40
    program, weights, report = calibrate_model(content.model, content.tokenizer, "tiny", text)
    assert report["accuracy"]["top1_agreement"] > 0.9
    assert len(generate(program, weights, ids[:4], 3)) == 3
    assert content.tokenizer.decode(content.tokenizer.encode("aé<|x|>")) == "aé<|x|>"


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"model_type": "mamba"}, UnsupportedModelError),
        ({"rope_scaling": {"type": "linear"}}, FormatError),
        ({"hidden_act": "quick_gelu"}, UnsupportedModelError),
        ({"num_hidden_layers": 3}, FormatError),
        ({"num_hidden_layers": 1}, UnsupportedModelError),  # what are the other tensors?
        ({"rope_parameters": {"rope_type": "yarn"}}, FormatError),
        ({"rope_parameters": {"rope_type": "spiral"}}, UnsupportedModelError),
        (
            {"rope_scaling": {"rope_type": "linear", "factor": 2, "mystery": 1}},
            UnsupportedModelError,
        ),
        ({"residual_multiplier": 0.5}, UnsupportedModelError),
        ({"num_key_value_heads": 3}, UnsupportedModelError),
        ({"num_key_value_heads": 4}, FormatError),
        ({"num_attention_heads": 0}, FormatError),
        ({"intermediate_size": 25}, FormatError),
        ({"rms_norm_eps": "tiny"}, FormatError),
        ({"num_hidden_layers": "many"}, FormatError),
    ],
)
def test_what_cannot_be_read_is_told(
    tmp_path: Path, change: dict[str, Any], error: type[Exception]
) -> None:
    write_folder(tmp_path / "m", LLAMA)
    (tmp_path / "m" / "config.json").write_text(json.dumps({**LLAMA, **change}))
    with pytest.raises(error):
        read_folder(tmp_path / "m")


def test_missing_and_broken_files(tmp_path: Path) -> None:
    write_folder(tmp_path / "m", LLAMA)
    weights = tmp_path / "m" / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FormatError):
        read_folder(tmp_path / "m")
    weights.unlink()
    with pytest.raises(UsageError):
        read_folder(tmp_path / "m")
    (tmp_path / "m" / "config.json").write_text("{")
    with pytest.raises(FormatError):
        read_folder(tmp_path / "m")


def test_the_rotary_base_may_be_nested(tmp_path: Path) -> None:
    write_folder(tmp_path / "m", LLAMA)
    nested = {k: v for k, v in LLAMA.items() if k != "rope_theta"}
    nested |= {"rope_parameters": {"rope_type": "default", "rope_theta": 500.0}, "eos_token_id": 7}
    (tmp_path / "m" / "config.json").write_text(json.dumps(nested))
    content = read_folder(tmp_path / "m")
    assert content.model.config.rope_base == "500"
    assert content.stop_ids == {7}


@pytest.mark.parametrize("kind", ["F64", "F32", "F16", "BF16"])
def test_floating_types(tmp_path: Path, kind: str) -> None:
    values = np.array([[1.0, -0.5, 384.0], [0.0, 2.0**-20, -3.0]], dtype=np.float32)
    if kind == "BF16":
        raw = (values.view(np.uint32) >> 16).astype("<u2").tobytes()
    else:
        raw = values.astype({"F64": "<f8", "F32": "<f4", "F16": "<f2"}[kind]).tobytes()
    write_raw(tmp_path / "x.safetensors", kind, [2, 3], raw)
    assert (read_safetensors(tmp_path / "x.safetensors")["w"] == values).all()


def write_raw(path: Path, kind: Any, shape: Any, raw: bytes, offsets: Any = None) -> None:
    entry = {"dtype": kind, "shape": shape, "data_offsets": offsets or [0, len(raw)]}
    header = json.dumps({"__metadata__": {}, "w": entry}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + raw)


@pytest.mark.parametrize(
    ("kind", "shape", "offsets", "error"),
    [
        ("F8_E4M3", [2], None, UnsupportedModelError),
        ("F32", [3], None, FormatError),
        ("F32", [-2], None, FormatError),
        ("F32", [2.0], None, FormatError),
        ("F32", 2, None, FormatError),
        ("F32", [2], [4, 12], FormatError),
        ("F32", [2], [0], FormatError),
        ("F32", [1 << 40], [0, 1 << 42], FormatError),
        ([], [2], None, FormatError),
    ],
)
def test_malformed_safetensors(
    tmp_path: Path, kind: Any, shape: Any, offsets: Any, error: type[Exception]
) -> None:
    write_raw(tmp_path / "x.safetensors", kind, shape, bytes(8), offsets)
    with pytest.raises(error):
        read_safetensors(tmp_path / "x.safetensors")
