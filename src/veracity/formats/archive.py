"""The container of ``.vprog`` files: a zip archive whose members are stored, not deflated.

``meta.json`` (format, source), other texts, and ``weights/FOLDER/NAME.npy``: arrays begin at
multiples of 64 bytes and are memory-mapped in place.
"""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.codec import atomic_output
from veracity.errors import FormatError, UsageError
from veracity.graph import Program

__all__ = ["FORMAT", "Archive", "is_network", "open_archive", "write_archive"]

FORMAT = 1
_JSON_LIMIT = 1 << 26
_ALIGNMENT = 64
#: Id of the extra field that Android's zipalign uses for padding.
_PADDING_FIELD = 0xD935


def write_archive(
    path: Path, texts: Mapping[str, Any], folders: Mapping[str, Mapping[str, NDArray[Any]]]
) -> None:
    """Write an archive, complete or not at all; only its owner may read it.

    Parameters
    ----------
    path : Path
        The file.
    texts : mapping
        Members by name: a string as it is, anything else as JSON.
    folders : mapping
        Arrays by folder and name.

    Raises
    ------
    UsageError
        If the disk is full or the folder cannot be written.
    """
    with (
        atomic_output(path, 0o600) as raw,
        zipfile.ZipFile(raw, "w", zipfile.ZIP_STORED, allowZip64=True) as file,
    ):
        for name, body in texts.items():
            text = body if isinstance(body, str) else _json(body)
            file.writestr(name, text)
        for folder, arrays in folders.items():
            for name, array in sorted(arrays.items()):
                info = _aligned(file, f"weights/{folder}/{name}.npy")
                with file.open(info, "w", force_zip64=True) as out:
                    contiguous = np.ascontiguousarray(array)
                    header = io.BytesIO()
                    np.lib.format.write_array_header_1_0(
                        header, np.lib.format.header_data_from_array_1_0(contiguous)
                    )
                    out.write(header.getvalue())
                    out.write(contiguous.reshape(-1).view(np.uint8).data)


def _json(body: Any) -> str:
    return json.dumps(body, sort_keys=True, separators=(",", ":"))


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


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """An archive to read from; whatever is wrong with it is a FormatError.

    Raises
    ------
    UsageError
        If there is no such file.
    FormatError
        If it does not parse.
    """
    if not path.is_file():
        raise UsageError(f"no program file {path.name!r}; run `veracity import` first")
    try:
        with zipfile.ZipFile(path) as file:
            yield Archive(path, file)
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


def is_network(path: Path) -> bool:
    """Whether a program file's network reads arrays; FormatError where it is none."""
    with open_archive(path) as archive:
        return bool(archive.json("meta.json").get("kind") == "network")


@dataclass(frozen=True)
class Archive:
    """An open archive.

    Attributes
    ----------
    path : Path
        Where it lies.
    file : ZipFile
        Its members.
    """

    path: Path
    file: zipfile.ZipFile = field(repr=False)

    @property
    def names(self) -> set[str]:
        """Names of all members."""
        return set(self.file.namelist())

    def text(self, name: str) -> str:
        """A member as text."""
        info = self.file.getinfo(name)
        # Stored, so that a small file cannot hold a large text.
        if info.compress_type != zipfile.ZIP_STORED or info.file_size > _JSON_LIMIT:
            raise FormatError(self.path.name, f"{name} is compressed or too large")
        return self.file.read(name).decode()

    def json(self, name: str) -> dict[str, Any]:
        """A member that is a JSON object."""
        body = json.loads(self.text(name))
        if not isinstance(body, dict):
            raise FormatError(self.path.name, f"{name} is not a JSON object")
        return body

    def meta(self) -> dict[str, Any]:
        """Format and source; FormatError for another format."""
        meta = self.json("meta.json")
        if meta.get("format") != FORMAT:
            raise FormatError(self.path.name, "another format version; import the model again")
        return meta

    def program(self) -> tuple[Program, dict[str, NDArray[Any]]]:
        """The integer program and its weights, which fit it."""
        program = Program.from_json(self.text("program.json"))
        weights = self.arrays("int", ("i2", "i4", "i8"))
        for name, spec in program.weights.items():
            if name not in weights or weights[name].shape != spec.shape:
                raise FormatError(self.path.name, f"weight {name} is missing or has another shape")
            if weights[name].dtype != np.dtype(spec.dtype):
                raise FormatError(self.path.name, f"weight {name} has another type")
        return program, weights

    def arrays(self, folder: str, kinds: tuple[str, ...]) -> dict[str, NDArray[Any]]:
        """Memory-map the arrays of a folder."""
        out: dict[str, NDArray[Any]] = {}
        prefix = f"weights/{folder}/"
        for info in self.file.infolist():
            if not info.filename.startswith(prefix):
                continue
            if info.compress_type != zipfile.ZIP_STORED:
                raise FormatError(self.path.name, f"{info.filename} is compressed")
            with self.file.open(info) as member:
                np.lib.format.read_magic(member)
                shape, fortran, dtype = np.lib.format.read_array_header_1_0(member)
                header = member.tell()
            if fortran or dtype.str[1:] not in kinds or dtype.hasobject:
                raise FormatError(self.path.name, f"{info.filename} has another type")
            if header + int(np.prod(shape)) * dtype.itemsize != info.file_size:
                raise FormatError(self.path.name, f"{info.filename} has another size than it says")
            with self.path.open("rb") as raw:
                raw.seek(info.header_offset)
                local = raw.read(30)
            name_size, extra_size = struct.unpack("<HH", local[26:30])
            start = info.header_offset + 30 + name_size + extra_size + header
            name = info.filename.removeprefix(prefix).removesuffix(".npy")
            out[name] = np.memmap(self.path, dtype=dtype, mode="r", offset=start, shape=shape)
        return out
