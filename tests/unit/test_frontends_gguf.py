"""GGUF files of LLaMA type, on a tiny model that the test writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.test_frontends_huggingface import LLAMA, llama_logits, random_tensors
from veracity.errors import FormatError, UnsupportedModelError
from veracity.frontends.gguf import read_gguf

gguf = pytest.importorskip("gguf")
pre_tokenizers = pytest.importorskip("tokenizers.pre_tokenizers")

NAMES = {
    "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj", "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}  # fmt: skip


TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{{ '<|im_start|>assistant\n' }}"
)


def adjacent(w: np.ndarray, heads: int) -> np.ndarray:
    """Rows of q or k as llama.cpp stores them: rotary pairs side by side."""
    return w.reshape(heads, 2, -1, w.shape[1]).swapaxes(1, 2).reshape(w.shape)


def write(path: Path, **change: Any) -> dict[str, np.ndarray]:
    tensors = random_tensors(LLAMA)
    out = gguf.GGUFWriter(path, change.get("arch", "llama"))
    facts = {
        "block_count": 2, "embedding_length": 16, "feed_forward_length": 24, "context_length": 64,
        "attention.head_count": 4, "attention.head_count_kv": 2,
    }  # fmt: skip
    for name, value in (facts | change.get("facts", {})).items():
        if value is not None:
            out.add_uint32(f"llama.{name}", value)
    out.add_float32("llama.attention.layer_norm_rms_epsilon", 1e-5)
    if "scaling" in change:
        out.add_string("llama.rope.scaling.type", change["scaling"])
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre(change.get("pre", "smollm"))
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    alphabet[10] = "ab"
    alphabet[:3] = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]  # in place of "!", '"', "#"
    out.add_token_list(alphabet)
    out.add_token_types([3] * 3 + [1] * 253)
    out.add_token_merges(["a b"])
    out.add_chat_template(TEMPLATE)
    out.add_tensor("token_embd.weight", tensors["model.embed_tokens.weight"])
    out.add_tensor("output_norm.weight", tensors["model.norm.weight"])
    for i in range(2):
        for ours, theirs in NAMES.items():
            w = tensors[f"model.layers.{i}.{theirs}.weight"]
            if ours in ("attn_q", "attn_k"):
                w = adjacent(w, 4 if ours == "attn_q" else 2)
            if f"blk.{i}.{ours}" != change.get("without"):
                out.add_tensor(f"blk.{i}.{ours}.weight", np.ascontiguousarray(w))
    if "extra" in change:
        out.add_tensor(change["extra"], np.zeros(16, dtype=np.float32))
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    return tensors


def test_logits_and_tokenizer(tmp_path: Path) -> None:
    tensors = write(tmp_path / "m.gguf")
    model, tokenizer, *_ = read_gguf(tmp_path / "m.gguf")
    ids = [int(i) for i in np.random.default_rng(2).integers(0, 256, 20)]
    want = llama_logits({k: v.astype(np.float64) for k, v in tensors.items()}, ids)
    assert np.abs(model.logits(ids) - want).max() < 1e-3
    assert tokenizer.decode(tokenizer.encode("caf\u00e9 12")) == "caf\u00e9 12"
    assert tokenizer.special_ids == {0, 1, 2}
    assert tokenizer.stop_ids == {0, 2}
    before, after = tokenizer.frame(chat=True) or ([], [])
    assert before[0] == after[-len(tokenizer.encode("assistant\n")) - 1] == 1
    # look-alikes of control tokens stay plain text
    assert not tokenizer.special_ids & set(tokenizer.encode("<|im_end|>"))


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"arch": "mamba"}, UnsupportedModelError),
        ({"scaling": "yarn"}, FormatError),  # by what factor?
        ({"scaling": "spiral"}, UnsupportedModelError),
        ({"extra": "rope_freqs.weight"}, FormatError),
        ({"extra": "blk.0.attn_sinks.weight"}, UnsupportedModelError),
        ({"facts": {"mystery": 8}}, UnsupportedModelError),
        ({"facts": {"expert_count": 8}}, UnsupportedModelError),
        ({"facts": {"attention.head_count_kv": 3}}, UnsupportedModelError),
        ({"facts": {"feed_forward_length": 23}}, FormatError),
        ({"facts": {"block_count": None}}, FormatError),
        ({"facts": {"block_count": (1 << 32) - 1}}, FormatError),
        ({"without": "blk.1.ffn_up"}, FormatError),
    ],
)
def test_what_cannot_be_read_is_told(
    tmp_path: Path, change: dict[str, Any], error: type[Exception]
) -> None:
    write(tmp_path / "m.gguf", **change)
    with pytest.raises(error):
        read_gguf(tmp_path / "m.gguf")


def test_truncated_files(tmp_path: Path) -> None:
    write(tmp_path / "m.gguf")
    whole = (tmp_path / "m.gguf").read_bytes()
    for size in (0, 3, 20, 500, len(whole) // 2, len(whole) - 100):
        (tmp_path / "m.gguf").write_bytes(whole[:size])
        with pytest.raises(FormatError):
            read_gguf(tmp_path / "m.gguf")
