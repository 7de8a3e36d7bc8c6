"""Every architecture that can be imported computes what transformers does; the table says so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.architectures import COLUMNS, IDS, cases, logits_of, write_folder
from veracity.errors import FormatError, UnsupportedModelError, UsageError
from veracity.frontends.huggingface import read_folder
from veracity.frontends.huggingface_designs import DESIGNS
from veracity.frontends.huggingface_table import FAMILIES

pytest.importorskip("safetensors")
pytest.importorskip("tokenizers")


def write(folder: Path, name: str, **changes: Any) -> Path:
    """A case with other settings."""
    case = cases()[name]
    write_folder(folder, {**case, "config": {**case["config"], **changes}})
    return folder


def test_every_architecture_has_a_case() -> None:
    assert set(DESIGNS) == set(FAMILIES)
    assert {case["config"]["model_type"] for case in cases().values()} == set(FAMILIES)


@pytest.mark.parametrize("name", cases())
def test_logits_are_those_of_transformers(tmp_path: Path, name: str) -> None:
    case = cases()[name]
    write_folder(tmp_path / "m", case)
    found = read_folder(tmp_path / "m").model.logits(IDS)[:, COLUMNS]
    assert np.abs(found - logits_of(case)).max() < 1e-4


@pytest.mark.parametrize(
    ("name", "changes", "told"),
    [
        ("llama", {"logit_softness": 3}, "logit_softness = 3"),
        ("llama", {"quantization_config": {"bits": 4}}, "quantised already"),
        ("llama", {"tie_word_embeddings": True}, "another head"),
        ("llama tied", {"tie_word_embeddings": False}, "no head"),
        ("llama", {"vocab_size": 300}, "300 is stated, the embedding has 256"),
        ("llama", {"rope_scaling": {"rope_type": "linear", "factor": 2.0}}, "contradict"),
        ("gpt2", {"n_positions": 65}, "65 positions are stated"),
        ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx"),
        ("olmo", {"clip_qkv": 8.0}, "clip_qkv = 8.0"),
        ("falcon", {"alibi": True}, "alibi = True"),
        ("opt", {"do_layer_norm_before": False}, "do_layer_norm_before"),
        ("stablelm", {"qk_layernorm": True}, "qk_layernorm"),
        ("gemma2", {"layer_types": ["chunked", "full_attention"]}, "type chunked"),
        ("mistral", {"sliding_window": -1}, "sliding_window"),
        ("llama", {"model_type": "mixtral"}, "a mixture of experts"),
        ("llama", {"model_type": "bert"}, "an encoder"),
        ("llama", {"model_type": "novelty"}, "model_type novelty"),
    ],
)
def test_what_would_be_wrong_is_refused(
    tmp_path: Path, name: str, changes: dict[str, Any], told: str
) -> None:
    with pytest.raises((UnsupportedModelError, FormatError), match=told):
        read_folder(write(tmp_path / "m", name, **changes))


def test_contexts_are_capped_and_said(tmp_path: Path) -> None:
    content = read_folder(write(tmp_path / "m", "llama", max_position_embeddings=1 << 20))
    assert content.model.config.context == 1 << 16
    assert "65536 positions of the model's 1048576" in content.source["notes"][0]
    long = read_folder(write(tmp_path / "n", "phi3 longrope"))
    assert long.model.config.context == 32  # where its factors change


def test_which_files_are_the_model(tmp_path: Path) -> None:
    folder = write(tmp_path / "m", "llama")
    plain = read_folder(folder).source["sha256"]
    other = (folder / "model.safetensors").read_bytes()
    (folder / "model_ema.safetensors").write_bytes(other[:-1] + b"\1")
    content = read_folder(folder)
    assert content.source["sha256"] == plain
    assert content.source["notes"] == ["not read, no part of the model: model_ema.safetensors"]

    (folder / "model.safetensors").rename(folder / "first.safetensors")
    with pytest.raises(UsageError, match="2 files of weights"):
        read_folder(folder)
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"x": "first.safetensors"}}))
    assert read_folder(folder).source["sha256"] == plain
    index.write_text(json.dumps({"weight_map": {"x": "first.safetensors", "y": "lost"}}))
    with pytest.raises(UsageError, match="'lost' is named"):
        read_folder(folder)
    index.write_text(
        json.dumps({"weight_map": {"x": "first.safetensors", "y": "model_ema.safetensors"}})
    )
    with pytest.raises(FormatError, match="is in another file, too"):
        read_folder(folder)
    index.unlink()
    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(UnsupportedModelError, match="an adapter"):
        read_folder(folder)
