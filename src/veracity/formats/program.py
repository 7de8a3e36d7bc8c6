"""The program file (``.vprog``): a zip container with uncompressed members.

``meta.json`` (format, source, parameters), ``tokenizer.json``, ``weights/float/*.npy`` and
``config.json``; after calibration also ``program.json``, ``report.json`` and
``weights/int/*.npy``. Members are stored, not deflated, so arrays are memory-mapped in place.
"""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.codec import atomic_output
from veracity.codec.files import stored_at
from veracity.errors import FormatError, UsageError
from veracity.graph import Program
from veracity.lm.config import Config
from veracity.lm.decoder import FloatModel, check_model
from veracity.lm.tokenizer import Tokenizer
from veracity.text import Rule

__all__ = [
    "NetworkFile",
    "ProgramFile",
    "load_any_program",
    "load_program_file",
    "save_program_file",
]

_FORMAT = 1
_JSON_LIMIT = 1 << 26
_ALIGNMENT = 64
#: Id of the extra field that Android's zipalign uses for padding.
_PADDING_FIELD = 0xD935


@dataclass(frozen=True)
class ProgramFile:
    """An imported model; calibrated if ``program`` is not None.

    Attributes
    ----------
    source : dict
        Where the model came from: name, kind, file name, SHA-256 of the weights file.
    model : FloatModel
        The floating-point model, gains folded.
    tokenizer : Tokenizer
        Its tokenizer.
    program : Program or None
        The integer program.
    weights : dict
        Integer weights, memory-mapped; secret.
    report : dict or None
        What calibration observed and measured.
    """

    source: dict[str, Any]
    model: FloatModel = field(repr=False)
    tokenizer: Tokenizer = field(repr=False)
    program: Program | None = field(default=None, repr=False)
    weights: Mapping[str, NDArray[Any]] = field(default_factory=dict, repr=False)
    report: dict[str, Any] | None = field(default=None, repr=False)

    @property
    def parameters(self) -> int:
        """Number of weights in the source file."""
        return int(self.source["parameters"])

    @property
    def quantisation(self) -> dict[str, Any]:
        """How the integers were chosen, for people."""
        return {
            "weights": "int16, one public power of two a tensor",
            "activations": "16 bits, 24 for tensors with massive activations",
            "rounding": "half up",
        }

    @property
    def calibration(self) -> dict[str, Any] | None:
        """Digest and size of the calibration text."""
        if self.report is None:
            return None
        return {k: self.report[k] for k in ("text", "text_sha256", "observed_tokens")}

    @property
    def accuracy(self) -> dict[str, Any] | None:
        """Accuracy against the floating-point model."""
        return None if self.report is None else dict(self.report["accuracy"])

    @property
    def token_bytes(self) -> list[bytes]:
        """The decode table."""
        return self.tokenizer.token_bytes

    @property
    def special_ids(self) -> set[int]:
        """Control tokens."""
        return self.tokenizer.special_ids

    @property
    def stop_ids(self) -> set[int]:
        """Tokens that end an answer."""
        return self.tokenizer.stop_ids

    @property
    def rule(self) -> Rule | None:
        """How text is spelled in tokens, where a verifier can know it."""
        return self.tokenizer.rule

    def encode(self, text: str) -> list[int]:
        """Ids of a user's words."""
        return self.tokenizer.encode(text)

    def frame(self, chat: bool) -> tuple[list[int], list[int]] | None:
        """Ids around the user's words."""
        return self.tokenizer.frame(chat)


@dataclass(frozen=True)
class NetworkFile:
    """A network over tensors, with its scales.

    Attributes
    ----------
    source : dict
        Where the model came from.
    program : Program
        The integer program.
    weights : dict
        Integer weights, memory-mapped; secret.
    report : dict
        What calibration observed and measured.
    """

    source: dict[str, Any]
    program: Program = field(repr=False)
    weights: Mapping[str, NDArray[Any]] = field(repr=False)
    report: dict[str, Any] = field(repr=False)

    @property
    def parameters(self) -> int:
        """Number of weights in the source file."""
        return int(self.source["parameters"])

    @property
    def quantisation(self) -> dict[str, Any]:
        """How the integers were chosen, for people."""
        return {
            "weights": "int16, one public power of two a tensor",
            "activations": "16 bits, one public power of two a tensor",
            "rounding": "half up",
        }

    @property
    def calibration(self) -> dict[str, Any]:
        """Which samples were observed."""
        return dict(self.report["samples"])

    @property
    def accuracy(self) -> dict[str, Any]:
        """Accuracy against the floating-point model."""
        return dict(self.report["accuracy"])


def save_program_file(path: Path, content: ProgramFile | NetworkFile) -> None:
    """Write a program file, complete or not at all.

    Raises
    ------
    UsageError
        If the disk is full or the folder cannot be written.
    """
    with (
        atomic_output(path, 0o600) as raw,
        zipfile.ZipFile(raw, "w", zipfile.ZIP_STORED, allowZip64=True) as file,
    ):
        _write_members(file, content)


def _write_members(file: zipfile.ZipFile, content: ProgramFile | NetworkFile) -> None:
    def put(name: str, body: Any) -> None:
        file.writestr(name, json.dumps(body, sort_keys=True, separators=(",", ":")))

    network = isinstance(content, NetworkFile)
    kind = {"kind": "network"} if network else {}
    put("meta.json", {"format": _FORMAT, "source": content.source, **kind})
    folders: list[tuple[str, Mapping[str, NDArray[Any]]]] = [("int", content.weights)]
    if not isinstance(content, NetworkFile):
        put("config.json", content.model.config.as_dict())
        put("tokenizer.json", dict(content.tokenizer.body))
        folders.insert(0, ("float", content.model.tensors))
    if content.program is not None:
        file.writestr("program.json", content.program.to_json())
        put("report.json", content.report)
    for folder, arrays in folders:
        for name, array in sorted(arrays.items()):
            _put_array(file, f"weights/{folder}/{name}.npy", array)


def _put_array(file: zipfile.ZipFile, name: str, array: NDArray[Any]) -> None:
    with file.open(_aligned(file, name), "w", force_zip64=True) as out:
        contiguous = np.ascontiguousarray(array)
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            header, np.lib.format.header_data_from_array_1_0(contiguous)
        )
        out.write(header.getvalue())
        out.write(contiguous.reshape(-1).view(np.uint8).data)


def _aligned(file: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    """A member whose data begins at a multiple of 64 bytes, so that its array can be mapped."""
    if file.fp is None:
        raise ValueError("the archive is closed")
    # local header, name, zip64 field of 20 bytes, and the padding field with its 4-byte header
    start = file.fp.tell() + 30 + len(name.encode()) + 20 + 4
    pad = -start % _ALIGNMENT
    info = zipfile.ZipInfo(name)
    info.extra = struct.pack("<HH", _PADDING_FIELD, pad) + bytes(pad)
    return info


def load_program_file(path: str | Path) -> ProgramFile:
    """Open the program file of a language model; arrays stay on disk, memory-mapped.

    Raises
    ------
    UsageError
        If there is no such file, or it holds a network over tensors.
    FormatError
        If it does not parse.
    """
    found = load_any_program(path)
    if isinstance(found, NetworkFile):
        raise UsageError(
            f"{Path(path).name!r} is a network over tensors, not a language model; "
            "give its input with --input"
        )
    return found


def load_any_program(path: str | Path) -> ProgramFile | NetworkFile:
    """Open a program file of either kind; arrays stay on disk, memory-mapped.

    Raises
    ------
    UsageError
        If there is no such file.
    FormatError
        If it does not parse.
    """
    path = Path(path)
    if stored_at(path) is None:
        raise UsageError(f"no program file {path.name[:80]!r}; run `veracity import` first")
    try:
        with zipfile.ZipFile(path) as file:
            return _read(path, file)
    except (
        zipfile.BadZipFile,
        KeyError,
        TypeError,
        ValueError,
        OverflowError,
        EOFError,
        OSError,  # offsets beyond the file
        RuntimeError,  # a member that claims to be encrypted; recursion; missing compression
        SyntaxError,
        TokenError,
        struct.error,
        zlib.error,
    ) as error:
        raise FormatError(path.name, f"not a program file ({type(error).__name__})") from error


def _read(path: Path, file: zipfile.ZipFile) -> ProgramFile | NetworkFile:
    names = set(file.namelist())

    def text(name: str) -> str:
        info = file.getinfo(name)
        # Stored, so that a small file cannot hold a large text.
        if info.compress_type != zipfile.ZIP_STORED or info.file_size > _JSON_LIMIT:
            raise FormatError(path.name, f"{name} is compressed or too large")
        return file.read(name).decode()

    def get(name: str) -> Any:
        body = json.loads(text(name))
        if not isinstance(body, dict):
            raise FormatError(path.name, f"{name} is not a JSON object")
        return body

    meta = get("meta.json")
    if meta.get("format") != _FORMAT:
        raise FormatError(path.name, "another format version; import the model again")
    if meta.get("kind") == "network":
        program, weights = _integers(path, file, text("program.json"))
        report = get("report.json")
        if not all(isinstance(report.get(k), dict) for k in ("samples", "accuracy")):
            raise FormatError(path.name, "the report lacks a part")
        if not isinstance(meta["source"], dict) or type(meta["source"]["parameters"]) is not int:
            raise FormatError(path.name, "the source lacks a part")
        return NetworkFile(meta["source"], program, weights, report)
    model = FloatModel(Config.from_dict(get("config.json")), _arrays(path, file, "float", ("f4",)))
    check_model(model, path.name, values=False)
    tokenizer = Tokenizer(get("tokenizer.json"))
    tokenizer.check()
    if len(tokenizer.token_bytes) != model.config.vocab:
        raise FormatError(path.name, "the tokenizer does not fit the vocabulary")
    if "program.json" not in names:
        return ProgramFile(meta["source"], model, tokenizer)
    program, weights = _integers(path, file, text("program.json"))
    return ProgramFile(meta["source"], model, tokenizer, program, weights, get("report.json"))


def _integers(
    path: Path, file: zipfile.ZipFile, text: str
) -> tuple[Program, dict[str, NDArray[Any]]]:
    """The integer program and its weights, which must fit each other."""
    program = Program.from_json(text)
    weights = _arrays(path, file, "int", ("i2", "i4", "i8"))
    for name, spec in program.weights.items():
        if name not in weights or weights[name].shape != spec.shape:
            raise FormatError(path.name, f"weight {name} is missing or has another shape")
        if weights[name].dtype != np.dtype(spec.dtype):
            raise FormatError(path.name, f"weight {name} has another type")
    return program, weights


def _arrays(
    path: Path, file: zipfile.ZipFile, folder: str, kinds: tuple[str, ...]
) -> dict[str, NDArray[Any]]:
    """Memory-map the arrays of a folder."""
    out: dict[str, NDArray[Any]] = {}
    prefix = f"weights/{folder}/"
    for info in file.infolist():
        if not info.filename.startswith(prefix):
            continue
        if info.compress_type != zipfile.ZIP_STORED:
            raise FormatError(path.name, f"{info.filename} is compressed")
        with file.open(info) as member:
            np.lib.format.read_magic(member)
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(member)
            header = member.tell()
        if fortran or dtype.str[1:] not in kinds:
            raise FormatError(path.name, f"{info.filename} has another type")
        if header + int(np.prod(shape)) * dtype.itemsize != info.file_size:
            raise FormatError(path.name, f"{info.filename} has another size than it says")
        with path.open("rb") as raw:
            raw.seek(info.header_offset)
            local = raw.read(30)
        name_size, extra_size = struct.unpack("<HH", local[26:30])
        start = info.header_offset + 30 + name_size + extra_size + header
        name = info.filename.removeprefix(prefix).removesuffix(".npy")
        out[name] = np.memmap(path, dtype=dtype, mode="r", offset=start, shape=shape)
    return out
