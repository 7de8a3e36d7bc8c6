"""The header of a GGUF file, walked once before the library reads it.

The library trusts counts and lengths: a damaged one costs it hours, or all memory. Here every one
is held against the bytes that are left. Format: the GGUF specification of the ggml project.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

from veracity.errors import FormatError, UnsupportedModelError

__all__ = ["check_header"]

#: Bytes of values by their types; 8 is a string, 9 an array.
_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_STRING, _ARRAY = 8, 9
#: Most facts, tensors, axes of a tensor, entries of an array.
_MOST, _AXES, _ENTRIES = 1 << 16, 8, 1 << 24


class _Walker:
    def __init__(self, path: Path, data: mmap.mmap) -> None:
        self.path, self.data, self.at = path, data, 0

    def fail(self) -> FormatError:
        return FormatError(self.path.name, "not a GGUF file, or a truncated one; fetch it again")

    def skip(self, size: int) -> bytes:
        """What stands here, up to a kibibyte of it."""
        start, self.at = self.at, self.at + size
        if self.at > len(self.data):
            raise self.fail()
        return self.data[start : min(self.at, start + 1024)]

    def number(self, size: int, most: int) -> int:
        """An unsigned number."""
        value = int.from_bytes(self.skip(size), "little")
        if value > most:
            raise self.fail()
        return value

    def text(self) -> bytes:
        return self.skip(self.number(8, len(self.data)))

    def value(self, kind: int) -> None:
        if kind == _STRING:
            self.text()
        elif kind == _ARRAY:
            inner, count = self.number(4, 12), self.number(8, _ENTRIES)
            if inner in _SIZES:
                self.skip(_SIZES[inner] * count)
                return
            if inner != _STRING:
                raise self.fail()
            for _ in range(count):
                self.text()
        elif kind in _SIZES:
            self.skip(_SIZES[kind])
        else:
            raise self.fail()


def check_header(path: Path) -> None:
    """Walk facts and tensors of a file.

    Raises
    ------
    FormatError
        A count or length leaves the file, or a name stands twice.
    UnsupportedModelError
        The file is big-endian.
    """
    if path.stat().st_size < 24:
        raise FormatError(path.name, "not a GGUF file, or a truncated one; fetch it again")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        walker = _Walker(path, data)
        magic, version = struct.unpack("<4sI", walker.skip(8))
        if magic != b"GGUF":
            raise walker.fail()
        if version & 0xFFFF == 0:
            raise UnsupportedModelError(
                path.name, "a big-endian file", "convert it to little-endian (gguf-convert-endian)"
            )
        tensors, facts = walker.number(8, _MOST), walker.number(8, _MOST)
        names: set[bytes] = set()
        for i in range(facts + tensors):
            name = walker.text() + (b"" if i < facts else b" (a tensor)")
            if name in names:
                shown = name.decode("utf-8", errors="replace")[:80]
                raise FormatError(path.name, f"{shown} is named twice; convert the model again")
            names.add(name)
            if i < facts:
                walker.value(walker.number(4, 12))
            else:
                walker.skip(8 * walker.number(4, _AXES) + 12)
