"""Shapes without weights: the tensors of an import, the costs of the calibrated program."""

from __future__ import annotations

import json
import tracemalloc
from math import prod
from pathlib import Path
from typing import Any

import pytest

from tests.support.architectures import cases, tensors, write_folder
from veracity import Estimate, UsageError, calibrate, estimate, import_model
from veracity.errors import FormatError, UnsupportedModelError
from veracity.frontends.architectures import find_family
from veracity.frontends.architectures.common import HARMLESS
from veracity.frontends.assembly import assemble, select
from veracity.frontends.settings import Settings
from veracity.frontends.shapes import known_shapes, read_shape, shape_of
from veracity.frontends.synthetic import SYNTHETIC
from veracity.lm.config import Config
from veracity.lm.decoder import FloatModel

PUBLISHED = Path(__file__).parents[1] / "vectors" / "published_settings.json"
LLAMA = {
    "model_type": "llama", "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
    "intermediate_size": 64, "vocab_size": 256, "max_position_embeddings": 64,
}  # fmt: skip
NEO = {
    "model_type": "gpt_neo", "hidden_size": 16, "num_layers": 2, "num_heads": 4, "vocab_size": 256,
    "activation_function": "gelu_new", "max_position_embeddings": 64,
}  # fmt: skip


def imported(case: dict[str, Any]) -> FloatModel:
    """A tiny model as an import assembles it."""
    facts, family = case["config"], find_family(case["config"]["model_type"])
    settings = Settings("config.json", facts)
    design = family.design(settings)
    settings.finish(HARMLESS)
    raw = tensors(case["shapes"])
    return assemble(design, select(raw, family.names, design, family.ignored))


@pytest.mark.parametrize("name", cases())
def test_a_shape_has_the_tensors_of_an_import(name: str) -> None:
    case = cases()[name]
    model = imported(case)
    vocabulary = {"vocab_size": model.config.vocab}
    found = shape_of(name, {**case["config"], **vocabulary})
    assert found.config == model.config
    mine = dict(found.tensors)
    if case["config"].get("tie_word_embeddings") is None and "head" not in model.tensors:
        mine.pop("head", None)  # what is not stated is told, and supposed
        mine.setdefault("final_gain", (model.config.dim,))
    assert mine == {n: x.shape for n, x in model.tensors.items()}


def test_what_the_settings_leave_open_is_told() -> None:
    assert "head" in shape_of("x", LLAMA).notes[0]
    assert "head" in shape_of("x", LLAMA).tensors
    tied = shape_of("x", {**LLAMA, "tie_word_embeddings": True})
    assert not tied.notes
    assert "head" not in tied.tensors
    assert shape_of("x", {**LLAMA, "quantization_config": {"bits": 4}}).config.dim == 32


@pytest.mark.parametrize(
    "name", ["llama", "gpt2", "gemma2", "opt", "qwen3", "olmo2", "bloom", "phi"]
)
def test_costs_are_those_of_a_calibrated_model(tmp_path: Path, name: str) -> None:
    case = cases()[name]
    write_folder(tmp_path / "m", case)
    import_model(tmp_path / "m", tmp_path / "m.vprog")
    calibrate(tmp_path / "m.vprog")
    (tmp_path / "m" / "model.safetensors").unlink()
    facts = {"vocab_size": 256, **case["config"]}
    (tmp_path / "m" / "config.json").write_text(json.dumps(facts))
    exact = estimate(tmp_path / "m.vprog", 24)
    found = estimate(shape=tmp_path / "m", tokens=24)
    # values: so small a model is mostly the tables of its functions
    assert found.lookups == pytest.approx(exact.lookups, rel=0.08)
    assert found.proof_bytes == pytest.approx(exact.proof_bytes, rel=0.1)


def test_costs_of_stories(tmp_path: Path) -> None:
    import_model("stories260k", tmp_path / "m.vprog")
    calibrate(tmp_path / "m.vprog")
    exact = estimate(tmp_path / "m.vprog", 64)
    close(estimate(shape="stories260k", tokens=64), exact, 0.02)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "shape"), [("gpt2-124m", "gpt2-124m"), ("smollm2", "smollm2-135m")]
)
def test_costs_of_larger_models(tmp_path: Path, model: str, shape: str) -> None:
    import_model(model, tmp_path / "m.vprog")
    calibrate(tmp_path / "m.vprog")
    close(estimate(shape=shape, tokens=32), estimate(tmp_path / "m.vprog", 32), 0.03)


def close(found: Estimate, exact: Estimate, share: float) -> None:
    """What follows from the counts is right but for a share."""
    for name in ("lookups", "committed_values", "proof_bytes", "peak_memory_bytes"):
        assert getattr(found, name) == pytest.approx(getattr(exact, name), rel=share), name
    assert found.segments == exact.segments


def test_the_catalogue() -> None:
    for name in known_shapes():
        shape = read_shape(name)
        assert not shape.notes
        assert shape.program.weights.keys() == shape.tensors.keys()
    for name, synthetic in SYNTHETIC.items():
        assert dims(read_shape(name).config) == dims(synthetic)


@pytest.mark.parametrize(
    ("name", "published"),
    [("smollm2-135m", "SmolLM2-135M"), ("mistral-7b", "Mistral-7B-v0.1"),
     ("opt-125m", "opt-125m")],
)  # fmt: skip
def test_the_catalogue_against_published_settings(name: str, published: str) -> None:
    facts = json.loads(PUBLISHED.read_text(encoding="utf-8"))[published]
    assert read_shape(name).config == shape_of(name, facts).config
    assert read_shape(name).tensors == shape_of(name, facts).tensors


def dims(c: Config) -> tuple[int, ...]:
    """What makes the size of a model."""
    return (c.dim, c.layers, c.kv_heads, c.group, c.head_dim, c.hidden, c.vocab, c.context)


def parameters(name: str) -> int:
    """Weights of a shape."""
    return sum(prod(x) for x in read_shape(name).tensors.values())


def test_sizes_are_those_in_the_names() -> None:
    assert parameters("llama-2-7b") == 6_738_415_616 - 65 * 4096
    assert parameters("llama-2-13b") == 13_015_864_320 - 81 * 5120
    assert parameters("llama-3-8b") == 8_030_261_248 - 65 * 4096


def test_a_shape_takes_no_memory() -> None:
    tracemalloc.start()
    estimate(shape="llama-2-70b", tokens=8)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000_000  # its weights have 138 GB


@pytest.mark.parametrize(
    ("content", "kind", "told"),
    [
        ("{", FormatError, "not JSON"),
        ("[" * 100_000, FormatError, "not JSON"),
        (" " * (1 << 20) + json.dumps(LLAMA), FormatError, "a megabyte"),
        ("[]", FormatError, "not a JSON object"),
        ("{}", UnsupportedModelError, "model_type None"),
        (json.dumps({"model_type": "llama"}), FormatError, "hidden_size is missing"),
        (json.dumps({**LLAMA, "vocab_size": None}), FormatError, "vocab_size is missing"),
        (json.dumps({**LLAMA, "hidden_size": "x"}), FormatError, "no sensible number"),
        (json.dumps({**LLAMA, "hidden_act": ["silu"]}), UnsupportedModelError, "activation"),
        (json.dumps({**LLAMA, "layer_weights": 7}), UnsupportedModelError, "layer_weights"),
        (json.dumps({**LLAMA, "num_hidden_layers": 1 << 25}), FormatError, "no sensible number"),
        (json.dumps({**LLAMA, "num_attention_heads": 1 << 20}), FormatError, "no sensible number"),
        (json.dumps({**LLAMA, "head_dim": 1 << 19}), FormatError, "no sensible number"),
        (json.dumps({**LLAMA, "hidden_size": 1 << 24}), FormatError, "head_dim = "),
        (json.dumps({**LLAMA, "hidden_size": 1 << 21, "head_dim": 8}), FormatError, "dim is not"),
        (json.dumps({**NEO, "attention_types": [[["local"], 10**12]]}), FormatError, "every layer"),
        (json.dumps({**LLAMA, "vocab_size": 1 << 24}), FormatError, "vocab is not"),
        (json.dumps({**LLAMA, "num_hidden_layers": 2000}), UsageError, "a program has 1 to"),
    ],
)
def test_files_that_are_no_shape(
    tmp_path: Path, content: str, kind: type[Exception], told: str
) -> None:
    path = tmp_path / "config.json"
    path.write_text(content)
    with pytest.raises(kind, match=told):
        estimate(shape=path)


def test_names_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no shape 'gpt-5'; name one of gpt2-124m, .*llama-2-7b"):
        estimate(shape="gpt-5")
    with pytest.raises(UsageError, match="give a program or a shape"):
        estimate()
    with pytest.raises(UsageError, match="give a program or a shape"):
        estimate(tmp_path, shape="gpt2-124m")
    with pytest.raises(UsageError, match=r"no config\.json"):
        estimate(shape=tmp_path)
    with pytest.raises(UsageError, match="between 2 and 1025"):
        estimate(shape="gpt2-124m", tokens=1026)
    with pytest.raises(UsageError, match="samples are for networks"):
        estimate(shape="gpt2-124m", samples=2)
