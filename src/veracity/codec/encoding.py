r"""How this package writes and reads bytes: bounded and strict.

Every file starts with ``b"\x89VERACITY\n"``, a kind of four letters and a format version. Every
length is checked against a limit before anything is read or allocated, and a reader must consume
its input to the last byte.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from dataclasses import dataclass, field
from typing import Any, NoReturn

from veracity.errors import FormatError

__all__ = [
    "DIGEST_BYTES",
    "KIND_BYTES",
    "MAGIC",
    "ByteReader",
    "ByteWriter",
    "canonical_json",
    "parse_json",
    "require_few_values",
]

MAGIC = b"\x89VERACITY\n"
KIND_BYTES = 4
DIGEST_BYTES = 32  # SHA-256
#: Deepest nesting of plain data: whoever walks it in Python must not run out of frames.
MAX_DEPTH = 64
#: Most values of plain data, or what reads like one in a text: each takes up to some hundred bytes.
MAX_VALUES = 1 << 22
EXTENSIONS = {
    b"VCOM": "commitment",
    b"VSEC": "secret opening",
    b"VPRF": "proof",
    b"VDAT": "data commitment",
    b"VDSC": "data secret",
    b"VROW": "opened row",
    b"VEXC": "proof of exclusion",
    b"VTRN": "training proof",
    b"VCUT": "checkpoint",
    b"VWIN": "window",
    b"VPRT": "proof about tensors",
    b"VNCE": "server's nonce",
    b"VACC": "proof about accuracy",
    b"VANS": "proof of several answers",
    b"VSEA": "seal",
    b"VSKY": "seal key",
}


@dataclass
class ByteWriter:
    """Collects fields in order; lengths are little-endian."""

    parts: list[bytes] = field(default_factory=list)

    def header(self, kind: bytes, version: int) -> None:
        """Magic, kind and format version."""
        self.parts += [MAGIC, kind]
        self.u32(version)

    def u32(self, value: int) -> None:
        """Unsigned integer of 4 bytes."""
        self.parts.append(value.to_bytes(4, "little"))

    def raw(self, data: bytes) -> None:
        """Bytes whose length the format fixes."""
        self.parts.append(data)

    def blob(self, data: bytes) -> None:
        """Bytes with their length before them."""
        self.u32(len(data))
        self.parts.append(data)

    def deflated(self, data: bytes) -> None:
        """Bytes stored compressed, with both lengths before them."""
        self.u32(len(data))
        self.blob(zlib.compress(data, 9))

    def getvalue(self) -> bytes:
        """Everything written so far."""
        return b"".join(self.parts)


@dataclass
class ByteReader:
    """Reads fields in order; any surprise is a :class:`FormatError` that names ``where``."""

    data: bytes
    where: str
    position: int = 0

    def fail(self, what: str, reason: str) -> NoReturn:
        """Raise the error for field ``what``."""
        raise FormatError(f"{self.where}, {what}", reason)

    def header(self, kind: bytes, version: int, *others: int) -> int:
        """Check magic, kind and version.

        Parameters
        ----------
        kind : bytes
            The kind that is wanted.
        version, *others : int
            The versions that are read.

        Returns
        -------
        int
            The version.
        """
        if self.data[: len(MAGIC)] != MAGIC:
            self.fail("header", f"not a Veracity {EXTENSIONS[kind]} file")
        self.position = len(MAGIC)
        found = self.raw(KIND_BYTES, "header")
        if found != kind:
            other = EXTENSIONS.get(found)
            self.fail(
                "header",
                f"this is a {other} file, a {EXTENSIONS[kind]} file is needed"
                if other
                else "unknown kind of file",
            )
        stated = self.u32("header")
        if stated not in (version, *others):
            read = " and ".join(map(str, (version, *others)))
            self.fail(
                "header",
                f"format version {stated} is not supported (this package reads {read}); "
                "use the version of veracity that wrote the file",
            )
        return stated

    def u32(self, what: str, limit: int = 2**32 - 1) -> int:
        """Unsigned integer of 4 bytes, at most ``limit``."""
        value = int.from_bytes(self.raw(4, what), "little")
        if value > limit:
            self.fail(what, f"{value} is over the limit of {limit}")
        return value

    def raw(self, size: int, what: str) -> bytes:
        """Exactly ``size`` bytes."""
        end = self.position + size
        if end > len(self.data):
            self._truncated(what)
        piece = self.data[self.position : end]
        self.position = end
        return piece

    def _truncated(self, what: str) -> NoReturn:
        self.fail(what, "the file ends too early; it may be truncated, fetch it again")

    def short_pieces(self, count: int, what: str) -> tuple[list[bytes], list[int]]:
        """``count`` pieces, each after two bytes: 15 bits of its length, then a mark.

        Returns
        -------
        list of bytes, list of int
            The pieces, and the places of those that are marked.
        """
        # Tens of thousands of tokens are read in every verification: no call for each, and a piece
        # that reaches over the end is found where the next one would begin.
        data, at = self.data, self.position
        pieces: list[bytes] = []
        marked: list[int] = []
        try:
            for place in range(count):
                size, high = data[at], data[at + 1]
                if high:
                    size |= (high & 0x7F) << 8
                    if high & 0x80:
                        marked.append(place)
                start = at + 2
                at = start + size
                pieces.append(data[start:at])
        except IndexError:
            self._truncated(what)
        if at > len(data):
            self._truncated(what)
        self.position = at
        return pieces, marked

    def blob(self, what: str, limit: int) -> bytes:
        """Bytes with their length before them, at most ``limit``."""
        return self.raw(self.u32(what, limit), what)

    def deflated(self, what: str, limit: int) -> bytes:
        """Compressed bytes; never inflates past the stated length, nor that past ``limit``."""
        size = self.u32(what, limit)
        packed = self.blob(what, limit + 1024)
        inflater = zlib.decompressobj()
        try:
            data = inflater.decompress(packed, size + 1)
        except zlib.error:
            self.fail(what, "damaged compressed data")
        if len(data) != size or not inflater.eof or inflater.unused_data:
            self.fail(what, "compressed data does not match its stated length")
        return data

    def checksum(self) -> None:
        """Check and take off the SHA-256 that ends the data; asked for after the header."""
        body, stated = self.data[:-DIGEST_BYTES], self.data[-DIGEST_BYTES:]
        if hashlib.sha256(body).digest() != stated:
            self.fail("checksum", "the file is damaged or incomplete; fetch or make it again")
        self.data = body

    def finish(self) -> None:
        """Reject trailing bytes."""
        if self.position != len(self.data):
            self.fail("end", f"{len(self.data) - self.position} bytes too many")


def canonical_json(value: Any) -> bytes:
    """The one encoding of plain data: sorted keys, no spaces, UTF-8, no NaN."""
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode("utf-8")


def parse_json(data: bytes, where: str) -> Any:
    """Inverse of :func:`canonical_json`; any other encoding of the same data is rejected.

    Parameters
    ----------
    data : bytes
        What was read.
    where : str
        What to blame, for errors.

    Raises
    ------
    FormatError
        It is nothing that :func:`canonical_json` gives, nested more than 64 deep, or too much.
    """
    require_few_values(data, where)
    try:
        value = json.loads(data.decode("utf-8"))
        canonical = canonical_json(value)
    except (ValueError, RecursionError):
        raise FormatError(where, "not valid JSON") from None
    if canonical != data:
        raise FormatError(where, "JSON is not in canonical form")
    if _is_deep(value):
        raise FormatError(where, f"JSON is nested more than {MAX_DEPTH} deep")
    return value


def require_few_values(data: bytes, where: str) -> None:
    """Raise :class:`FormatError` where JSON would take much memory for its size, before it does."""
    if sum(map(data.count, (b",", b"[", b"{"))) > MAX_VALUES:
        raise FormatError(where, f"JSON of more than {MAX_VALUES} values")


def _is_deep(value: Any) -> bool:
    """Whether lists and objects stand in each other more than ``MAX_DEPTH`` deep."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        nested = [one for one in level if isinstance(one, dict | list)]
        level = [v for n in nested for v in (n.values() if isinstance(n, dict) else n)]
    return bool(level)
