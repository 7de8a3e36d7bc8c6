"""Arrays in ``.npy`` files: a reader that trusts nothing, and its writer.

Read are versions 1.0 and 2.0, C order, and the types below; the header must be exactly what NumPy
writes, and the file exactly as long as it says. Nothing is evaluated or unpickled.
"""

from __future__ import annotations

import re
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.codec import read_file, write_file
from veracity.errors import FormatError

__all__ = ["array_bytes", "load_array", "read_array", "save_array"]

_MAGIC = b"\x93NUMPY"
#: Types of entries: booleans, integers, floats, little-endian.
TYPES = ("|b1", "|i1", "|u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<f2", "<f4", "<f8")
MAX_BYTES, MAX_HEADER, MAX_DIMS = 1 << 30, 1 << 12, 8
_HEADER = re.compile(
    r"\{'descr': '([|<][a-z]\d)', 'fortran_order': False, "
    r"'shape': \(((?:\d{1,10}, ?)*\d{0,10})\), \} *\n"
)


def read_array(data: bytes, where: str) -> NDArray[Any]:
    """The array in the bytes of a ``.npy`` file.

    Raises
    ------
    FormatError
        They are anything else, or hold a number that is not finite.
    """
    if len(data) < 12 or data[:6] != _MAGIC or data[6:8] not in (b"\1\0", b"\2\0"):
        raise FormatError(where, "not a .npy file of version 1 or 2")
    width = 2 if data[6] == 1 else 4
    size = int.from_bytes(data[8 : 8 + width], "little")
    start = 8 + width + size
    if size > MAX_HEADER or start > len(data):
        raise FormatError(where, "the header is too long")
    try:
        found = _HEADER.fullmatch(data[8 + width : start].decode("ascii"))
    except UnicodeDecodeError:
        found = None
    if found is None or found[1] not in TYPES:
        raise FormatError(where, "only C order, booleans, integers and floats are read")
    if found[2] and "," not in found[2]:
        raise FormatError(where, "a shape of one length needs a comma")
    shape = tuple(int(n) for n in re.split(", ?", found[2]) if n)
    dtype = np.dtype(found[1])
    count = prod(shape)
    if len(shape) > MAX_DIMS or count == 0 or start + count * dtype.itemsize != len(data):
        raise FormatError(where, "the file has another length than its shape, or none")
    if dtype.kind == "b" and max(data[start:]) > 1:
        raise FormatError(where, "a truth value is neither 0 nor 1")
    array = np.frombuffer(data, dtype=dtype, offset=start).reshape(shape)
    if dtype.kind == "f" and not np.isfinite(array).all():
        raise FormatError(where, "a number is not finite")
    return array


def load_array(path: str | Path) -> NDArray[Any]:
    """Read a ``.npy`` file; raises FormatError or UsageError."""
    return read_array(read_file(path, MAX_BYTES, "array"), Path(path).name)


def array_bytes(array: NDArray[Any]) -> bytes:
    """A ``.npy`` file, version 1.0."""
    little = np.ascontiguousarray(array)
    little = little.astype(little.dtype.newbyteorder("<"), copy=False)
    text = f"{{'descr': '{little.dtype.str}', 'fortran_order': False, 'shape': {array.shape}, }}"
    padded = text + " " * (-(len(text) + 11) % 64) + "\n"
    head = _MAGIC + b"\1\0" + len(padded).to_bytes(2, "little")
    return head + padded.encode("ascii") + little.tobytes()


def save_array(path: str | Path, array: NDArray[Any]) -> None:
    """Write a ``.npy`` file, complete or not at all."""
    write_file(path, array_bytes(array))
