"""Program files: what was written comes back, and damage is a typed error."""

from __future__ import annotations

import io
import json
import random
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from veracity.errors import FormatError, UsageError, VeracityError
from veracity.formats.program import ProgramFile, load_program_file, save_program_file
from veracity.frontends.synthetic import numbered_words
from veracity.lm.calibrate import calibrate_model
from veracity.lm.config import Config
from veracity.lm.decoder import FloatModel


def tiny() -> ProgramFile:
    """A calibrated model with one layer."""
    c = Config("llama", 8, 1, 1, 2, 4, 12, 260, 32, 1e-5, "10000", "half")
    rng = np.random.default_rng(7)
    shapes = {
        "embed": (260, 8), "final_gain": (8,), "layers.0.attn.q": (8, 8),
        "layers.0.attn.k": (4, 8), "layers.0.attn.v": (4, 8), "layers.0.attn.o": (8, 8),
        "layers.0.mlp.gate": (12, 8), "layers.0.mlp.up": (12, 8), "layers.0.mlp.down": (8, 12),
    }  # fmt: skip
    tensors = {n: 0.3 * rng.standard_normal(s, dtype=np.float32) for n, s in shapes.items()}
    model, words = FloatModel(c, tensors), numbered_words(260)
    program, weights, report = calibrate_model(model, words, "tiny", "plain words " * 40)
    return ProgramFile({"name": "tiny", "parameters": 1}, model, words, program, weights, report)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("file") / "tiny.vprog"
    save_program_file(path, tiny())
    return path


def rebuilt(path: Path, name: str, content: bytes | None) -> bytes:
    """The file with one member replaced, or left out."""
    out = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(out, "w") as new:
        for member in old.namelist():
            body = content if member == name else old.read(member)
            if body is not None:
                new.writestr(member, body)
    return out.getvalue()


def test_round_trip(written: Path) -> None:
    original, again = tiny(), load_program_file(written)
    assert again.program == original.program
    assert again.report == original.report
    assert again.source == original.source
    assert dict(again.tokenizer.body) == dict(original.tokenizer.body)
    for name, weight in original.weights.items():
        assert isinstance(again.weights[name], np.memmap)
        assert again.weights[name].flags.aligned
        assert again.weights[name].dtype == weight.dtype
        assert (again.weights[name] == weight).all()


def test_random_damage_is_a_typed_error(written: Path, tmp_path: Path) -> None:
    whole, rng, path = written.read_bytes(), random.Random(5), tmp_path / "damaged.vprog"
    directory = zipfile.ZipFile(written).start_dir
    for i in range(400):
        damaged = bytearray(whole)
        start = directory if i % 2 else 0
        damaged[rng.randrange(start, len(whole))] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged if i % 8 else whole[: rng.randrange(len(whole))])
        try:
            load_program_file(path)
        except VeracityError:
            continue  # damage inside an array is not noticed: there is no checksum to read


@pytest.mark.parametrize(
    "member", ["meta.json", "config.json", "tokenizer.json", "program.json", "report.json"]
)
def test_malformed_members(written: Path, tmp_path: Path, member: str) -> None:
    path = tmp_path / "changed.vprog"
    bad = [b"[]", b"null", b"1", b'"x"', b"\xff", b"", b"{", b"[" * 5000]
    for content in [*bad, *([None] if member != "program.json" else [])]:
        path.write_bytes(rebuilt(written, member, content))
        with pytest.raises(FormatError):
            load_program_file(path)


@pytest.mark.parametrize(
    ("member", "change"),
    [
        ("config.json", {"norm": "batch"}),
        ("config.json", {"family": 7}),
        ("config.json", {"windows": [1, 2]}),
        ("config.json", {"rotations": [[1, 2]], "rotation_of": [1]}),
        ("config.json", {"score_cap": "much"}),
        ("config.json", {"dim": 9}),
        ("config.json", {"layers": 2}),
        ("config.json", {"layers": "1"}),
        ("config.json", {"kv_heads": 0}),
        ("config.json", {"norm_eps": "nan"}),
        ("config.json", {"activation": "tanh"}),
        ("tokenizer.json", {"special": [1000]}),
        ("tokenizer.json", {"stop": None}),
        ("tokenizer.json", {"raw": [1, 2]}),
        ("tokenizer.json", {"scores": ["0.0"]}),
        ("tokenizer.json", {"kind": "words"}),
        ("tokenizer.json", {"tokens": ["?"]}),
        ("meta.json", {"format": 0}),
    ],
)
def test_members_that_do_not_fit(
    written: Path, tmp_path: Path, member: str, change: dict[str, Any]
) -> None:
    path = tmp_path / "changed.vprog"
    with zipfile.ZipFile(written) as file:
        body = json.loads(file.read(member))
    path.write_bytes(rebuilt(written, member, json.dumps({**body, **change}).encode()))
    with pytest.raises(FormatError):
        load_program_file(path)


def test_arrays_of_another_type_are_refused(written: Path, tmp_path: Path) -> None:
    path, out = tmp_path / "changed.vprog", io.BytesIO()
    np.save(out, np.zeros((260, 8), dtype=np.int64))
    path.write_bytes(rebuilt(written, "weights/int/embed.npy", out.getvalue()))
    with pytest.raises(FormatError):
        load_program_file(path)


def test_a_missing_file_and_an_unwritable_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        load_program_file(tmp_path / "none.vprog")
    with pytest.raises(UsageError):
        save_program_file(tmp_path / "no folder" / "x.vprog", tiny())


@pytest.mark.parametrize("member", ["meta.json", "config.json", "tokenizer.json", "program.json"])
def test_a_compressed_text_is_refused_before_it_is_read(
    written: Path, tmp_path: Path, member: str
) -> None:
    """A few megabytes of zip must not become gigabytes of JSON."""
    path = tmp_path / "bomb.vprog"
    with zipfile.ZipFile(written) as old, zipfile.ZipFile(path, "w") as new:
        for info in old.infolist():
            if info.filename != member:
                new.writestr(info, old.read(info))
        new.writestr(member, b" " * (1 << 24), zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < written.stat().st_size + (1 << 20)
    with pytest.raises(FormatError, match="compressed"):
        load_program_file(path)
