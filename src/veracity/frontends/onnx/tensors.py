"""Weights in an ONNX file or beside it: bounded, finite, from a plain file in its folder."""

from __future__ import annotations

import os
import stat
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.errors import FormatError, UnsupportedModelError

__all__ = ["TYPES", "clipped", "plain", "read_tensor"]

MAX_ELEMENTS = 1 << 31
#: Types of tensors by their number in the format.
TYPES: dict[int, str] = {
    1: "<f4", 2: "|u1", 3: "|i1", 4: "<u2", 5: "<i2", 6: "<i4", 7: "<i8", 9: "|b1", 10: "<f2",
    11: "<f8", 12: "<u4", 13: "<u8",
}  # fmt: skip
#: Types that numpy has not: 16-bit floats with float32's exponents, and two numbers to a byte.
_SHORT_FLOAT, _NIBBLES = 16, {21: False, 22: True}
#: Fields of the format that hold the entries where they are not raw, by type.
_FIELDS = {1: "float_data", 7: "int64_data", 11: "double_data", 12: "uint64_data",
           13: "uint64_data"}  # fmt: skip
_TEXT = 8

Array = NDArray[Any]


def plain(name: str | bytes) -> str:
    """A name of the file as text; what is no text comes as bytes."""
    return name if isinstance(name, str) else name.decode("utf-8", "replace")


def read_tensor(tensor: Any, path: Path) -> Array:
    """The array of a tensor in the file or beside it; infinite entries as the largest float32.

    Parameters
    ----------
    tensor : message
        As the file has it.
    path : Path
        The file.

    Returns
    -------
    array
        Of objects where the entries are text.

    Raises
    ------
    FormatError, UnsupportedModelError
    """
    where = f"{path.name}, {tensor.name or 'a constant'}"
    kind = tensor.data_type
    if kind not in (*TYPES, *_NIBBLES, _SHORT_FLOAT, _TEXT):
        raise UnsupportedModelError(where, "this type of numbers", "export it in float32")
    shape = tuple(int(d) for d in tensor.dims)
    if any(d < 0 for d in shape) or len(shape) > 12 or prod(shape) > MAX_ELEMENTS:
        raise FormatError(where, "no such shape")
    if kind == _TEXT:
        _counted(tensor.string_data, prod(shape), where)
        return np.array([bytes(b) for b in tensor.string_data], dtype=object).reshape(shape)
    stored = np.dtype("<u2" if kind == _SHORT_FLOAT else TYPES.get(kind, "|u1"))
    entries = -(-prod(shape) // 2) if kind in _NIBBLES else prod(shape)
    array = _entries(tensor, path, stored, entries, where)
    if kind == _SHORT_FLOAT:
        array = np.asarray((array.astype("<u4") << 16).view("<f4"))
    elif kind in _NIBBLES:
        halves = np.stack([array & 15, array >> 4], axis=1).reshape(-1)[: prod(shape)]
        signed = np.where(halves > 7, halves.astype(np.int8) - 16, halves.astype(np.int8))
        array = signed.astype(np.int8) if _NIBBLES[kind] else halves
    return bounded(array, where).reshape(shape)


def bounded(array: Array, where: str) -> Array:
    """Infinite entries as the largest float32; raises FormatError on what is no number."""
    if array.dtype.kind == "f" and np.isnan(array).any():
        raise FormatError(where, "an entry is no number")
    return clipped(array)


def clipped(array: Array) -> Array:
    """Infinite entries as the largest float32."""
    if array.dtype.kind != "f" or np.isfinite(array).all():
        return array
    largest = np.finfo(np.float32).max
    wide = array.astype(np.float64 if array.itemsize == 8 else np.float32)
    return np.asarray(np.clip(wide, -largest, largest))


def _counted(entries: Any, count: int, where: str) -> None:
    if len(entries) != count:
        raise FormatError(where, "another number of entries than its shape says")


def _entries(tensor: Any, path: Path, dtype: np.dtype[Any], count: int, where: str) -> Array:
    """All entries in one row, from wherever they are.

    Parameters
    ----------
    tensor : message
        As the file has it.
    path : Path
        The file.
    dtype : dtype
        Of the entries.
    count : int
        How many there must be.
    where : str
        For errors.
    """
    size = count * dtype.itemsize
    if tensor.data_location == 1:
        return np.frombuffer(_external(tensor, path, size, where), dtype=dtype)
    if tensor.raw_data:
        if len(tensor.raw_data) != size:
            raise FormatError(where, "another number of bytes than its shape says")
        return np.frombuffer(tensor.raw_data, dtype=dtype)
    entries = getattr(tensor, _FIELDS.get(tensor.data_type, "int32_data"))
    _counted(entries, count, where)
    if dtype == np.float16:  # bits, in a field of integers
        return np.array(entries, dtype=np.uint16).view(np.float16)
    return np.array(entries).astype(dtype)


def _external(tensor: Any, path: Path, size: int, where: str) -> bytes:
    """Entries from a file beside the model: a plain name, a regular file, within its length."""
    facts = {e.key: e.value for e in tensor.external_data}
    name = facts.get("location", "")
    if not name or name != os.path.basename(name) or name in (".", "..") or "\\" in name:  # noqa: PTH119
        raise FormatError(where, "external data must have a plain name in the model's folder")
    try:
        offset, length = int(facts.get("offset", "0")), int(facts.get("length", str(size)))
    except ValueError:
        raise FormatError(where, "external data without a place") from None
    if length != size or offset < 0:
        raise FormatError(where, "external data has another length than its shape says")
    try:
        handle = os.open(path.parent / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        raise FormatError(where, f"its external data {name!r} cannot be read") from None
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1 or offset + size > found.st_size:
            raise FormatError(where, f"its external data {name!r} is no such file")
        raw = os.pread(handle, size, offset)
    finally:
        os.close(handle)
    if len(raw) != size:
        raise FormatError(where, f"its external data {name!r} is incomplete")
    return raw
