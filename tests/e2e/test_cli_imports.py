"""Model files that cannot be read end in one line and a hint, and leave nothing behind."""

from __future__ import annotations

import shutil
from importlib.resources import as_file, files
from pathlib import Path

import pytest

from tests.e2e.house import veracity
from veracity.formats.program import load_program_file


def expect_usage_error(source: Path, out: Path, says: str) -> None:
    result = veracity("import", source, "--out", out)
    assert result.exit_code == 2, result.output
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 2, lines
    assert says in lines[0]
    assert not out.exists()
    assert list(out.parent.glob(".*.part")) == []


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("model.gguf", b"GGUF", "not a GGUF file"),
        ("model.gguf", b"", "not a GGUF file"),
        ("notes.txt", b"hello", "file type"),
        ("model.bin", b"\1" * 20, "file type"),
    ],
)
def test_foreign_files(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    source = tmp_path / name
    source.write_bytes(content)
    expect_usage_error(source, tmp_path / "out.vprog", says)


@pytest.mark.parametrize(
    ("config", "says"),
    [(None, "config.json"), ("{", "not JSON"), ('{"model_type": "mamba"}', "")],
)
def test_foreign_folders(tmp_path: Path, config: str | None, says: str) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    if config is not None:
        (folder / "config.json").write_text(config, encoding="utf-8")
    expect_usage_error(folder, tmp_path / "out.vprog", says)


@pytest.mark.parametrize("name", ["checkpoint_legacy.bin", "tokenizer_512.bin"])
def test_truncated_checkpoints(tmp_path: Path, name: str) -> None:
    with as_file(files("veracity") / "data" / "stories260k") as folder:
        for path in folder.glob("*.bin"):
            shutil.copy(path, tmp_path)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    expect_usage_error(tmp_path / "checkpoint_legacy.bin", tmp_path / "out.vprog", "truncated")


def test_a_value_out_of_range_is_named_to_the_owner_only(tmp_path: Path) -> None:
    program, text = tmp_path / "thin.vprog", tmp_path / "text.txt"
    text.write_text("the " * 1200, encoding="utf-8")
    assert veracity("import", "stories260k", "--out", program).exit_code == 0
    assert veracity("calibrate", program, "--text", text, "-q").exit_code == 0
    assert veracity("commit", program, "--hide-source", "-q").exit_code == 0
    digest = load_program_file(program).source["sha256"]
    assert digest not in veracity("inspect", tmp_path / "thin.vcom", "--json").stdout
    out = tmp_path / "never.vproof"
    prompt = "Zebra! XQ9 quickly jumped $%& over Lily's castle, shouting"
    result = veracity("prove", program, "--prompt", prompt, "--max-new-tokens", 40, "--out", out)
    assert result.exit_code == 2
    assert "out of its calibrated range" in result.stderr
    assert "layers." not in result.stderr
    assert "calibrate" in result.stderr
    told = veracity("prove", program, "--prompt", prompt, "--out", out, "--explain", "-q")
    assert told.exit_code == 2
    assert "layers." in told.stderr
    assert not out.exists()
