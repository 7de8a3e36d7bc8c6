"""Every architecture that can be imported computes what transformers does; the table says so."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.support.architectures import (
    COLUMNS,
    IDS,
    PATH,
    cases,
    logits_of,
    readme_rows,
    tensors,
    tried,
    write_folder,
)
from tests.support.gguf_files import NAMES, write_gguf
from veracity import import_model
from veracity.errors import FormatError, UnsupportedModelError, UsageError
from veracity.frontends import gguf
from veracity.frontends.architectures import FAMILIES, find_family
from veracity.frontends.architectures.common import HARMLESS
from veracity.frontends.assembly import assemble, select
from veracity.frontends.catalogue import tried_models
from veracity.frontends.gguf_table import ROWS
from veracity.frontends.huggingface import read_folder
from veracity.frontends.settings import Settings
from veracity.lm.config import Config
from veracity.lm.decoder import exact_product

#: What ``config.json`` of published models says.
PUBLISHED = json.loads((PATH.parent / "published_settings.json").read_text(encoding="utf-8"))

pytest.importorskip("safetensors")
pytest.importorskip("tokenizers")


def write(folder: Path, name: str, **changes: Any) -> Path:
    """A case with other settings."""
    case = cases()[name]
    write_folder(folder, {**case, "config": {**case["config"], **changes}})
    return folder


def test_every_architecture_has_a_case() -> None:
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
        ("opt", {"do_layer_norm_before": False}, "no use for"),
        ("opt", {"_remove_final_layer_norm": True}, "_remove_final_layer_norm"),
        ("opt", {"word_embed_proj_dim": 8}, "project_in.weight.*missing"),
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


@pytest.mark.parametrize(
    ("name", "changes", "told"),
    [
        # read by no implementation of these, or read by others in another way
        ("llama", {"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}},
         "all features"),
        ("gpt_neox", {"rotary_pct": 1.0}, "contradict"),
        ("gpt_neox", {"partial_rotary_factor": 1.0}, "partial_rotary_factor"),
        ("gptj", {"rope_theta": 5000.0}, "rope_theta"),
        ("bloom", {"hidden_act": "relu"}, "hidden_act"),
        ("opt", {"layer_norm_eps": 0.1}, "layer_norm_eps"),
        ("mistral", {"layer_types": ["full_attention"] * 2}, "layer_types"),
        ("bloom", {"slow_but_exact": True, "pretraining_tp": 2}, "pretraining_tp = 2"),
        ("gemma3", {"attn_logit_softcapping": 3.0}, "attn_logit_softcapping"),
        ("gemma2", {"final_logit_softcapping": 0.0}, "no sensible cap"),
        ("gemma", {"hidden_act": "relu", "hidden_activation": "silu"}, "contradict"),
        ("falcon groups", {"parallel_attn": False}, "parallel_attn"),
        ("falcon", {"parallel_attn": None}, "null is neither"),
        ("llama", {"use_mrope": True}, "use_mrope"),
        ("phi3", {"full_attn_mod": 2}, "full_attn_mod"),
        # what the tensors contradict
        ("llama", {"attention_bias": True}, "q_proj.bias.*missing"),
        ("llama biases", {"attention_bias": False}, "the file has this bias"),
        ("llama biases", {"mlp_bias": False}, "the file has this bias"),
        ("starcoder2", {"use_bias": False}, "the file has this bias"),
        ("stablelm", {"use_parallel_residual": True}, "no use for"),
        ("falcon", {"parallel_attn": False}, "post_attention_layernorm.weight.*missing"),
        ("llama 3.1", {"rope_parameters": {
            "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 0}}, "no number"),
        ("llama", {"model_type": ["llama"]}, "model_type"),
    ],
)  # fmt: skip
def test_what_would_be_silently_wrong_is_refused(
    tmp_path: Path, name: str, changes: dict[str, Any], told: str
) -> None:
    with pytest.raises((UnsupportedModelError, FormatError), match=told):
        read_folder(write(tmp_path / "m", name, **changes))


def test_absent_and_null_settings_are_what_they_mean(tmp_path: Path) -> None:
    def config(name: str, changes: dict[str, Any]) -> Any:
        facts = {**cases()[name]["config"], "max_position_embeddings": 8192, **changes}
        facts = {k: v for k, v in facts.items() if v != "absent"}
        return FAMILIES[facts["model_type"]].design(Settings("config.json", facts)).config

    assert config("gemma2", {"final_logit_softcapping": None}).logit_cap == ""
    assert config("gemma2", {"final_logit_softcapping": "absent"}).logit_cap == "30"
    assert config("mistral", {"sliding_window": None}).windows == ()
    assert config("mistral", {"sliding_window": "absent"}).windows == (4096, 4096)


@pytest.mark.parametrize("name", PUBLISHED)
def test_settings_of_published_models_are_read(name: str) -> None:
    settings = Settings("config.json", PUBLISHED[name])
    find_family(PUBLISHED[name]["model_type"]).design(settings)
    settings.finish(HARMLESS)


@pytest.mark.parametrize("name", cases())
def test_every_tensor_is_needed(name: str) -> None:
    case = cases()[name]
    family = find_family(case["config"]["model_type"])
    raw = tensors(case["shapes"])
    design = family.design(Settings("config.json", case["config"]))
    for lost in raw:
        rest = {n: x for n, x in raw.items() if n != lost}
        with pytest.raises(FormatError, match=r"missing|no head"):
            assemble(design, select(rest, family.names, design, family.ignored))
    for stray in [f"{n.removesuffix('weight')}bias" for n in raw if n.endswith("weight")]:
        if stray not in raw:
            with pytest.raises((FormatError, UnsupportedModelError), match=r"this bias|no use for"):
                select({**raw, stray: raw[min(raw)]}, family.names, design, family.ignored)


def test_products_of_matrices_are_the_same_in_any_order() -> None:
    rng = np.random.default_rng(3)
    left = rng.standard_normal((5, 4096)).astype(np.float32) * 1e-3
    right = rng.standard_normal((4096, 3)).astype(np.float32) * 1e4
    found = exact_product(left, right)
    order = rng.permutation(4096)
    assert np.array_equal(found, exact_product(left[:, order], right[order]))
    assert np.abs(found - left.astype(np.float64) @ right).max() < 1e-4 * np.abs(found).max()
    right[0, 0] = np.inf
    for wrong in (right, right[:-1], np.zeros((4096,), np.float32)):
        with pytest.raises(ValueError, match=r"fit|finite"):
            exact_product(left, wrong)
    with pytest.raises(ValueError, match="too many"):
        exact_product(np.zeros((1, 4097), np.float32), np.zeros((4097, 1), np.float32))


@pytest.mark.parametrize("other", ["pre_norm", "post_norm", "parallel"])
def test_norms_of_sums_stand_alone(other: str) -> None:
    facts = cases()["opt 350m"]["config"]
    config = FAMILIES["opt"].design(Settings("config.json", facts)).config
    config = replace(config, vocab=256)
    config.check("m")
    assert Config.from_dict(config.as_dict()) == config
    with pytest.raises(FormatError, match="norms of sums"):
        replace(config, **{other: True}).check("m")


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


# ---- GGUF ----------------------------------------------------------------------------------------
IN_GGUF = [
    name
    for name, case in cases().items()
    if NAMES.get(kind := case["config"]["model_type"], kind) in ROWS
    and name not in ("llama 3.1", "llama dynamic", "phi3 longrope", "phi norms", "cohere norms")
    and name not in ("qwen2 windows", "falcon groups", "falcon serial", "gpt2")
]


@pytest.mark.parametrize("name", IN_GGUF)
def test_logits_of_gguf(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write_gguf(tmp_path / "m.gguf", cases()[name])
    monkeypatch.setattr(gguf, "gguf_tokenizer", lambda *_: None)
    model, *_ = gguf.read_gguf(tmp_path / "m.gguf")
    assert np.abs(model.logits(IDS)[:, COLUMNS] - logits_of(cases()[name])).max() < 1e-4


def test_parts_of_a_split_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = cases()["llama"]
    write_gguf(tmp_path / "m.gguf", case, split_max_tensors=8)
    monkeypatch.setattr(gguf, "gguf_tokenizer", lambda *_: None)
    parts = sorted(tmp_path.iterdir())
    assert len(parts) == 3
    model, *_ = gguf.read_gguf(parts[1])  # any of them names all
    assert np.abs(model.logits(IDS)[:, COLUMNS] - logits_of(case)).max() < 1e-4

    second, third = parts[1].read_bytes(), parts[2].read_bytes()
    parts[1].write_bytes(third)
    parts[2].write_bytes(second)
    with pytest.raises(FormatError, match=r"split.no is 2, by its name it is 1"):
        gguf.read_gguf(parts[0])
    parts[2].unlink()
    with pytest.raises(UsageError, match="is missing"):
        gguf.read_gguf(parts[0])
    lone = tmp_path / "lone.gguf"
    lone.write_bytes(second)
    with pytest.raises(UsageError, match="is one of 3 parts"):
        gguf.read_gguf(lone)


# ---- the table -----------------------------------------------------------------------------------
def test_the_table_is_of_what_was_tried() -> None:
    rows = tried_models()
    counts = {row["model_type"]: row["cases"] for row in rows}
    kinds = [case["config"]["model_type"] for case in cases().values()]
    assert counts == {kind: kinds.count(kind) for kind in FAMILIES}
    assert all(row["verified"] and float(row["difference"]) < 1e-4 for row in rows)


def test_the_readme_has_the_table() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    assert "\n".join(readme_rows(tried_models())) in readme


@pytest.mark.slow
@pytest.mark.parametrize("name", cases())
def test_answers_of_all_are_proved(tmp_path: Path, name: str) -> None:
    found = tried(name, tmp_path)
    (row,) = (r for r in tried_models() if r["model_type"] == cases()[name]["config"]["model_type"])
    assert found["verified"]
    assert found["difference"] < 1e-4
    assert found["agreement"] >= row["agreement"] - 0.05


# ---- the hub -------------------------------------------------------------------------------------
def test_models_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def download(**what: Any) -> str:
        asked.update(what)
        return str(write(tmp_path / "0a1b2c", "llama"))

    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(snapshot_download=download))
    content = import_model("some-org/a.model@v1.0", tmp_path / "m.vprog")
    assert (asked["repo_id"], asked["revision"]) == ("some-org/a.model", "v1.0")
    assert content.source["name"] == "some-org/a.model"
    assert content.source["revision"] == "0a1b2c"


def test_a_hub_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(**_what: Any) -> str:
        raise ConnectionError("no route\nto the host")

    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(snapshot_download=download))
    with pytest.raises(UsageError, match=r"cannot fetch a/b from the hub \(ConnectionError\)"):
        import_model("a/b", tmp_path / "m.vprog")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UsageError, match=r"veracity\[hub\]"):
        import_model("a/b", tmp_path / "m.vprog")
    for path in ("models/lost.gguf", "../lost", "/lost/model", "a/b/c"):
        with pytest.raises(UsageError, match="no model"):
            import_model(path, tmp_path / "m.vprog")
