"""Random weights of a published shape, from a file: a true execution, proved under a cap."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

from benches import large
from veracity import UsageError, verify
from veracity.formats.commitment import Commitment
from veracity.frontends.shapes import read_shape, shape_of

TINY = {
    "model_type": "llama", "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
    "intermediate_size": 64, "vocab_size": 300, "max_position_embeddings": 64,
    "tie_word_embeddings": False,
}  # fmt: skip
Usage = namedtuple("Usage", "total used free")


def test_a_small_shape_from_end_to_end(tmp_path: Path) -> None:
    (tmp_path / "tiny.json").write_text(json.dumps(TINY))
    # In a process of its own: a peak is that of all that a process did.
    options = ("--memory", "300MB", "--work", tmp_path, "--json", tmp_path / "found.json")
    subprocess.run(
        [sys.executable, "-m", "benches.large", tmp_path / "tiny.json", *options],
        cwd=Path(__file__).parents[2],
        check=True,
    )
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["segments"] == 1
    assert found["tokens"] == 8
    assert 0 < found["peak_memory_bytes"] <= 300_000_000
    assert found["peak_before_proving_bytes"] > 0
    commitment = Commitment.load(tmp_path / "tiny.vcom")
    assert verify(tmp_path / "tiny.vproof", commitment).answer_tokens == 6
    assert (tmp_path / "tiny.weights").stat().st_size == 2 * found["parameters"]


def test_weights_are_mapped_and_made_once(tmp_path: Path) -> None:
    program, path = shape_of("tiny", TINY).program, tmp_path / "w"
    first = large.random_weights(program, path)
    before = path.stat().st_mtime_ns
    again = large.random_weights(program, path)
    assert path.stat().st_mtime_ns == before
    for name, spec in program.weights.items():
        assert isinstance(first[name], np.memmap)
        assert first[name].shape == tuple(spec.shape)
        assert np.array_equal(first[name], again[name])
        most = large.SPREAD * 3**0.5 * 2.0**spec.exponent
        assert 0.8 * most < np.abs(first[name]).max() <= most + 1
    path.write_bytes(b"short")
    assert np.array_equal(large.random_weights(program, path)["head"], first["head"])


def test_gains_lie_around_one(tmp_path: Path) -> None:
    gpt2 = {"model_type": "gpt2", "n_embd": 32, "n_layer": 1, "n_head": 4, "vocab_size": 300}
    program = shape_of("x", {**gpt2, "n_positions": 64}).program
    weights = large.random_weights(program, tmp_path / "w")
    unit = 2.0 ** program.weights["final_gain"].exponent
    assert np.abs(weights["final_gain"] / unit - 1).max() < 0.04
    assert weights["final_gain.bias"].dtype == np.int64


def test_a_disk_that_might_fill_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = read_shape("llama-2-7b")
    monkeypatch.setattr(large.shutil, "disk_usage", lambda _: Usage(0, 0, 29_000_000_000))
    with pytest.raises(SystemExit, match=r"29\.0 GB are free, 29\.6 GB are needed"):
        large.measure(shape, 8, 1 << 34, tmp_path)
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(large.shutil, "disk_usage", lambda _: Usage(0, 0, 30_000_000_000))
    large.require_room(tmp_path, sum(large.sizes_of(shape.program).values()))


def test_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config, out = tmp_path / "tiny.json", tmp_path / "out" / "large.json"
    config.write_text(json.dumps(TINY))
    monkeypatch.setattr(large, "measure", lambda shape, tokens, memory, work: {
        "workload": shape.name, "tokens": tokens, "memory": memory, "work": str(work),
    })  # fmt: skip
    given = [
        "large.py",
        str(config),
        "--memory",
        "2GiB",
        "--work",
        str(tmp_path),
        "--json",
        str(out),
    ]
    monkeypatch.setattr("sys.argv", given)
    large.main()
    assert json.loads(out.read_text()) == json.loads(capsys.readouterr().out)
    assert json.loads(out.read_text())["memory"] == 2 << 30
    monkeypatch.setattr("sys.argv", ["large.py", "gpt-9"])
    with pytest.raises(UsageError, match="no shape"):
        large.main()
