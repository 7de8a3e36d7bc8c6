r"""How this package writes and reads bytes: bounded, strict, all at once or not at all.

Every file starts with ``b"\x89VERACITY\n"``, a kind of four letters and a format version. Every
length is checked against a limit before anything is read or allocated, and a reader must consume
its input to the last byte.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from veracity.errors import FormatError, UsageError

__all__ = [
    "DIGEST_BYTES",
    "ByteReader",
    "ByteWriter",
    "atomic_output",
    "canonical_json",
    "check_target",
    "parse_json",
    "read_file",
    "sniff",
    "write_file",
]

MAGIC = b"\x89VERACITY\n"
KIND_BYTES = 4
DIGEST_BYTES = 32  # SHA-256
EXTENSIONS = {b"VCOM": "commitment", b"VSEC": "secret opening", b"VPRF": "proof"}


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

    def header(self, kind: bytes, version: int) -> None:
        """Check magic, kind and version."""
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
        if stated != version:
            self.fail(
                "header",
                f"format version {stated} is not supported (this package reads {version}); "
                "use the version of veracity that wrote the file",
            )

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
            self.fail(what, "the file ends too early; it may be truncated, fetch it again")
        piece = self.data[self.position : end]
        self.position = end
        return piece

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
    """Inverse of :func:`canonical_json`; any other encoding of the same data is rejected."""
    try:
        value = json.loads(data.decode("utf-8"))
        canonical = canonical_json(value)
    except (ValueError, RecursionError):
        raise FormatError(where, "not valid JSON") from None
    if canonical != data:
        raise FormatError(where, "JSON is not in canonical form")
    return value


def read_file(path: str | Path, limit: int, what: str) -> bytes:
    """The bytes of a file that must not be larger than ``limit``.

    Parameters
    ----------
    path : str or path
        The file.
    limit : int
        Most bytes.
    what : str
        What kind of file it should be, for errors.

    Raises
    ------
    UsageError
        The file is not there or cannot be read.
    FormatError
        It is too large to be ``what``.
    """
    try:
        with Path(path).open("rb") as stream:
            data = stream.read(limit + 1)
    except OSError as error:
        raise UsageError(
            f"cannot read the {what} {Path(path).name!r}: {_reason(error)}; check the path"
        ) from None
    if len(data) > limit:
        raise FormatError(Path(path).name, f"too large for a {what} (over {limit} bytes)")
    return data


def sniff(path: str | Path) -> bytes | None:
    """The kind in a file's header, ``None`` where it is not one of ours."""
    try:
        with Path(path).open("rb") as stream:
            start = stream.read(len(MAGIC) + KIND_BYTES)
    except OSError as error:
        raise UsageError(f"cannot read {Path(path).name!r}: {_reason(error)}") from None
    if not start.startswith(MAGIC):
        return None
    return start[len(MAGIC) :]


def check_target(path: str | Path) -> None:
    """Raise :class:`UsageError` if ``path`` cannot become a file: asked before long work begins."""
    target = Path(path)
    folder = target.parent
    if not folder.is_dir():
        raise UsageError(
            f"cannot write {target.name!r}: there is no folder {str(folder)!r}; make it"
        )
    if not os.access(folder, os.W_OK):
        raise UsageError(f"cannot write {target.name!r}: the folder {str(folder)!r} is read-only")
    if target.exists() and not target.is_file():
        raise UsageError(f"cannot write {target.name!r}: it exists and is not an ordinary file")


@contextlib.contextmanager
def atomic_output(path: str | Path, mode: int = 0o644) -> Iterator[BinaryIO]:
    """A file that appears under ``path`` complete or not at all.

    Bytes go to a fresh file beside it (created exclusively, with ``mode`` from the first moment),
    which is renamed once everything is on disk. The temporary file never survives an error.

    Raises
    ------
    UsageError
        The folder is missing or not writable, or the disk is full.
    """
    target = Path(path)
    check_target(target)
    temporary = target.with_name(f".{target.name}.{os.urandom(6).hex()}.part")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(f"cannot write {target.name!r}: {_reason(error)}") from None


def write_file(path: str | Path, data: bytes, mode: int = 0o644) -> None:
    """Write ``data`` through :func:`atomic_output`.

    Parameters
    ----------
    path : str or path
        The file; it appears whole or not at all.
    data : bytes
        Its content.
    mode : int
        Permissions.
    """
    with atomic_output(path, mode) as stream:
        stream.write(data)


def _reason(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "no space left on the disk; free some or choose another folder"
    if error.errno == errno.ENOENT:
        return "no such file or folder"
    return (error.strerror or type(error).__name__).lower()
