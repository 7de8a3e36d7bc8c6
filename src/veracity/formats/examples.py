"""Labelled examples in a ``.npz`` file: arrays of inputs, one label each; a reader for verifiers.

An ``.npz`` file is a zip archive of ``.npy`` files. Read are stored and deflated members with names
of their own, each no longer than it says; labels are those called ``y`` or ``labels``.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.codec import read_file
from veracity.codec.files import Source, name_of
from veracity.errors import FormatError
from veracity.formats.npy import read_array

__all__ = ["MAX_CLASSES", "Examples", "read_examples"]

MAX_BYTES, MAX_MEMBERS, MAX_CLASSES = 1 << 30, 64, 1 << 16
#: Most numbers of all arrays together: a verifier has eight bytes for each, several times over.
MAX_ENTRIES = 1 << 27
#: Numbers that are hashed together.
_PIECE = 1 << 20
_LABELS = ("y", "labels")
_ARCHIVE_ERRORS = (
    zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, ValueError, OSError,
    EOFError, OverflowError,
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Examples:
    """What a network is asked, and what it should answer.

    Attributes
    ----------
    inputs : mapping
        Arrays by name, (N, ...): an example after the other along the first axis.
    labels : int64 array, (N,)
        Class of each, from 0.
    """

    inputs: Mapping[str, NDArray[Any]] = field(repr=False)
    labels: NDArray[np.int64] = field(repr=False)

    @property
    def count(self) -> int:
        """N."""
        return len(self.labels)

    @property
    def digest(self) -> str:
        """SHA-256 of inputs (as 64-bit floats, whatever they are stored as) and labels; hex."""
        total = hashlib.sha256(b"veracity examples v1\0")
        for name in sorted(self.inputs):
            x = np.ascontiguousarray(self.inputs[name])
            head = [len(name.encode()), x.ndim, *x.shape]
            total.update(np.asarray(head, dtype="<u8").tobytes() + name.encode())
            flat = x.reshape(-1)
            for at in range(0, len(flat), _PIECE):  # bytes take eight times as much as floats
                total.update(flat[at : at + _PIECE].astype("<f8").tobytes())
        total.update(np.ascontiguousarray(self.labels, dtype="<i8").tobytes())
        return total.hexdigest()

    def first(self, count: int) -> Examples:
        """The first few of them."""
        return Examples({n: x[:count] for n, x in self.inputs.items()}, self.labels[:count])

    @classmethod
    def load(cls, source: Source) -> Examples:
        """Read an ``.npz`` file; raises FormatError or UsageError."""
        return read_examples(read_file(source, MAX_BYTES, "examples"), name_of(source, "examples"))


def read_examples(data: bytes, where: str) -> Examples:
    """The examples in the bytes of an ``.npz`` file.

    Raises
    ------
    FormatError
        They are anything else, or inputs and labels are not one for one.
    """
    try:
        arrays = _arrays(data, where)
    except _ARCHIVE_ERRORS as error:
        raise FormatError(where, "not an .npz file, or a damaged one") from error
    found = [n for n in _LABELS if n in arrays]
    if len(found) != 1 or len(arrays) < 2:
        raise FormatError(where, "labels are the array `y` or `labels`, beside inputs")
    labels = arrays.pop(found[0])
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise FormatError(where, "labels are whole numbers along one axis")
    if int(labels.min()) < 0 or int(labels.max()) >= MAX_CLASSES:
        raise FormatError(where, f"a label is not within 0 .. {MAX_CLASSES - 1}")
    if any(x.ndim < 1 or len(x) != len(labels) for x in arrays.values()):
        raise FormatError(where, "an input has not as many examples as there are labels")
    return Examples(arrays, labels.astype(np.int64))


def _arrays(data: bytes, where: str) -> dict[str, NDArray[Any]]:
    out: dict[str, NDArray[Any]] = {}
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = archive.infolist()
        if not 1 <= len(members) <= MAX_MEMBERS:
            raise FormatError(where, f"an .npz file has 1 to {MAX_MEMBERS} arrays")
        if sum(m.file_size for m in members) > MAX_BYTES:
            raise FormatError(where, f"more than {MAX_BYTES >> 20} MiB of arrays")
        for member in members:
            name = member.filename.removesuffix(".npy")
            if name in out or not name.isprintable() or name == member.filename:
                raise FormatError(where, "an array without a name of its own")
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise FormatError(where, "an array is neither stored nor deflated")
            with archive.open(member) as stream:
                content = stream.read(member.file_size + 1)
            if len(content) != member.file_size:
                raise FormatError(where, "an array of another length than stated")
            out[name] = read_array(content, where)
            if sum(x.size for x in out.values()) > MAX_ENTRIES:
                raise FormatError(where, f"more than {MAX_ENTRIES} numbers")
    return out
