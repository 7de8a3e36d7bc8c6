"""Program files whose members do not fit each other: each wrong in one place."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.network_files import save_network
from tests.unit.test_formats_program import rebuilt, tiny
from veracity.errors import FormatError, UsageError
from veracity.formats import program as files
from veracity.formats.program import load_any_program, load_program_file, save_program_file
from veracity.proving.inspect import inspect_file


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("decoder") / "tiny.vprog"
    save_program_file(path, tiny())
    return path


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_network(tmp_path_factory.mktemp("network"))


def member(path: Path, name: str) -> dict[str, Any]:
    with zipfile.ZipFile(path) as file:
        found: dict[str, Any] = json.loads(file.read(name))
    return found


def load(folder: Path, whole: Path, name: str, content: object) -> None:
    """Load the file with one member replaced: bytes, JSON, or None for none."""
    path = folder / "changed.vprog"
    raw = content if content is None or isinstance(content, bytes) else json.dumps(content).encode()
    path.write_bytes(rebuilt(whole, name, raw))
    load_any_program(path)


@pytest.mark.parametrize("part", ["samples", "accuracy"])
@pytest.mark.parametrize("value", [None, [], "x", 1])
def test_reports_that_lack_a_part(network: Path, tmp_path: Path, part: str, value: object) -> None:
    report = member(network, "report.json")
    load(tmp_path, network, "report.json", report)
    with pytest.raises(FormatError, match="the report lacks a part"):
        load(tmp_path, network, "report.json", report | {part: value})


@pytest.mark.parametrize(
    "source", [None, [], "x", {"parameters": "1"}, {"parameters": 1.0}, {"parameters": True}]
)
def test_sources_that_lack_a_part(network: Path, tmp_path: Path, source: object) -> None:
    meta = member(network, "meta.json")
    with pytest.raises(FormatError, match="the source lacks a part"):
        load(tmp_path, network, "meta.json", meta | {"source": source})


def test_tokenizers_of_another_vocabulary(decoder: Path, tmp_path: Path) -> None:
    body = member(decoder, "tokenizer.json")
    more = {
        "tokens": [*body["tokens"], base64.b64encode(b"zz").decode()],
        "scores": [*body["scores"], "0.0"],
    }
    load(tmp_path, decoder, "tokenizer.json", body)
    with pytest.raises(FormatError, match="the tokenizer does not fit the vocabulary"):
        load(tmp_path, decoder, "tokenizer.json", body | more)


def test_a_text_has_a_limit(decoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(decoder) as file:
        sizes = [i.file_size for i in file.infolist() if i.filename.endswith(".json")]
    monkeypatch.setattr(files, "_JSON_LIMIT", max(sizes))
    load_program_file(decoder)
    monkeypatch.setattr(files, "_JSON_LIMIT", max(sizes) - 1)
    with pytest.raises(FormatError, match="compressed or too large"):
        load_program_file(decoder)


def npy(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array(out, array, version=(1, 0), allow_pickle=True)
    return out.getvalue()


FLOAT, INT = "weights/float/embed.npy", "weights/int/embed.npy"


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        (INT, None, "weight embed is missing or has another shape"),
        (INT, npy(np.zeros((8, 260), np.int16)), "weight embed is missing or has another shape"),
        (INT, npy(np.zeros((260, 8), np.int32)), "weight embed has another type"),
        (INT, npy(np.zeros((260, 8), ">i2")), "weight embed has another type"),
        (INT, npy(np.zeros((260, 8), np.float32)), f"{INT} has another type"),
        (INT, npy(np.zeros((260, 8), "u2")), f"{INT} has another type"),
        (INT, npy(np.zeros((260, 8), object)), f"{INT} has another type"),
        (INT, npy(np.zeros((260, 8), [("x", object)])), f"{INT} has another type"),
        (INT, npy(np.zeros((260, 8), np.int16, order="F")), f"{INT} has another type"),
        (FLOAT, npy(np.zeros((260, 8), np.float64)), f"{FLOAT} has another type"),
        (FLOAT, npy(np.zeros((260, 8), np.float32)) + b"\0", f"{FLOAT} has another size"),
        (FLOAT, npy(np.zeros((260, 8), np.float32))[:-1], f"{FLOAT} has another size"),
        (FLOAT, npy(np.zeros((260, 7), np.float32)), "tensor embed has shape"),
        (FLOAT, None, "tensor embed is missing"),
    ],
)
def test_arrays_that_do_not_fit(
    decoder: Path, tmp_path: Path, name: str, content: bytes | None, match: str
) -> None:
    with pytest.raises(FormatError, match=match):
        load(tmp_path, decoder, name, content)


@pytest.mark.parametrize("name", [FLOAT, INT])
def test_arrays_are_not_compressed(decoder: Path, tmp_path: Path, name: str) -> None:
    path = tmp_path / "packed.vprog"
    with zipfile.ZipFile(decoder) as old, zipfile.ZipFile(path, "w") as new:
        for info in old.infolist():
            how = zipfile.ZIP_DEFLATED if info.filename == name else zipfile.ZIP_STORED
            new.writestr(info.filename, old.read(info), how)
    with pytest.raises(FormatError, match=f"{name} is compressed"):
        load_any_program(path)


def test_what_is_inspected_is_a_file_of_ours(decoder: Path) -> None:
    """A program is mapped from its path; bytes of any other kind are refused by name."""
    with pytest.raises(UsageError, match="a program is read from a path"):
        inspect_file(decoder.read_bytes())
    with pytest.raises(UsageError, match="a program is read from a path"):
        inspect_file(io.BytesIO(decoder.read_bytes()))
    for other in (b"", b"hello", bytes(100), decoder.read_bytes()[1:]):
        with pytest.raises(FormatError, match="not a file of veracity"):
            inspect_file(other)
