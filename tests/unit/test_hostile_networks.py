"""Program files of networks that say what cannot be: the error names the one thing wrong."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.network_files import network_file, save_network
from tests.unit.test_formats_program import rebuilt, tiny
from veracity.errors import FormatError
from veracity.formats.program import (
    NetworkFile,
    load_any_program,
    load_program_file,
    save_program_file,
)

NETWORK = network_file()
Members = dict[str, bytes]
KERNEL = "weights/int/k.npy"


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> Members:
    with zipfile.ZipFile(save_network(tmp_path_factory.mktemp("network"))) as file:
        return {name: file.read(name) for name in file.namelist()}


def archive(members: Members, deflated: str = "", large: str = "") -> bytes:
    """The file; one member compressed, or stated to be larger than is read."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        for name, content in members.items():
            how = zipfile.ZIP_DEFLATED if name == deflated else zipfile.ZIP_STORED
            file.writestr(zipfile.ZipInfo(name), content, how)
        for info in file.filelist:
            if info.filename == large:
                info.file_size = (1 << 26) + 1
    return out.getvalue()


def opened(tmp_path: Path, data: bytes) -> object:
    path = tmp_path / "toy.vprog"
    path.write_bytes(data)
    return load_any_program(path)


def text(name: str, change: Callable[[dict[str, Any]], object]) -> Callable[[Members], Members]:
    def changed(members: Members) -> Members:
        body = json.loads(members[name])
        change(body)
        return {**members, name: json.dumps(body).encode()}

    return changed


def kernel(x: np.ndarray[Any, Any], tail: bytes = b"") -> Callable[[Members], Members]:
    out = io.BytesIO()
    np.save(out, x)
    return lambda members: {**members, KERNEL: out.getvalue() + tail}


K = NETWORK.weights["k"]
WRONG: list[tuple[str, Callable[[Members], Members]]] = [
    ("meta.json is not a JSON object", lambda m: {**m, "meta.json": b"[]"}),
    ("another format version", text("meta.json", lambda b: b.update(format=0))),
    ("report lacks", text("report.json", lambda b: b.pop("samples"))),
    ("report lacks", text("report.json", lambda b: b.update(accuracy=5))),
    ("source lacks", text("meta.json", lambda b: b.update(source=[]))),
    ("source lacks", text("meta.json", lambda b: b["source"].update(parameters="1"))),
    ("source lacks", text("meta.json", lambda b: b["source"].update(parameters=True))),
    ("weight k is missing", lambda m: {n: c for n, c in m.items() if n != KERNEL}),
    ("k is missing or has another shape", kernel(K.reshape(3, 2, 9))),
    ("weight k has another type", kernel(K.astype(np.int32))),
    ("k.npy has another type", kernel(K.astype(np.uint16))),
    ("k.npy has another type", kernel(np.asfortranarray(K))),
    ("k.npy has another size", kernel(K, b"\0")),
    ("k.npy has another size", lambda m: {**m, KERNEL: m[KERNEL][:-1]}),
]


def test_such_networks_are_read(tmp_path: Path, members: Members) -> None:
    found = opened(tmp_path, archive(members))
    assert isinstance(found, NetworkFile)
    assert (found.weights["k"] == K).all()


@pytest.mark.parametrize(("words", "change"), WRONG)
def test_networks_that_are_refused(
    tmp_path: Path, members: Members, words: str, change: Callable[[Members], Members]
) -> None:
    with pytest.raises(FormatError, match=words):
        opened(tmp_path, archive(change(members)))


@pytest.mark.parametrize("name", ["meta.json", "program.json", "report.json"])
def test_texts_that_are_compressed_or_too_large(
    tmp_path: Path, members: Members, name: str
) -> None:
    for data in (archive(members, deflated=name), archive(members, large=name)):
        with pytest.raises(FormatError, match=f"{name} is compressed or too large"):
            opened(tmp_path, data)


def test_arrays_that_are_compressed(tmp_path: Path, members: Members) -> None:
    with pytest.raises(FormatError, match=r"k\.npy is compressed"):
        opened(tmp_path, archive(members, deflated=KERNEL))


def test_a_tokenizer_of_another_vocabulary(tmp_path: Path) -> None:
    """A language model beside a token more than its table has rows."""
    path = tmp_path / "tiny.vprog"
    save_program_file(path, tiny())
    with zipfile.ZipFile(path) as file:
        body = json.loads(file.read("tokenizer.json"))
    more = {**body, "tokens": [*body["tokens"], "eHl6"], "scores": [*body["scores"], "0.0"]}
    path.write_bytes(rebuilt(path, "tokenizer.json", json.dumps(more).encode()))
    with pytest.raises(FormatError, match="does not fit the vocabulary"):
        load_program_file(path)
