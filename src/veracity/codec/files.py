"""Reading files: no more than a limit, and what kind of file it is.

What is read may be a path, its content, or an open binary file (a pipe, say, which can be read
once).
"""

from __future__ import annotations

import errno
import os
import shlex
import stat
from pathlib import Path
from typing import IO, Any

from veracity.codec.encoding import KIND_BYTES, MAGIC
from veracity.errors import FormatError, UsageError

__all__ = [
    "PROGRAM",
    "Source",
    "exists",
    "kind_of",
    "name_of",
    "read_file",
    "reason_of",
    "require_private",
    "sniff",
    "stored_at",
]

#: What bytes can be read from.
Source = str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes]

#: Kind of a program file, which is a zip archive: how its first member is called, and where.
PROGRAM = b"VPRG"
_ZIP, _MEMBER, _MEMBER_AT = b"PK\3\4", b"meta.json", 30


def name_of(source: Source, what: str) -> str:
    """What a source is called in errors: its last name, or ``what`` where it has none.

    Raises
    ------
    UsageError
        It is nothing that can be read from.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        return what
    if isinstance(source, str | os.PathLike):
        return Path(source).name
    if not callable(getattr(source, "read", None)):
        raise UsageError(
            f"a {what} is read from a path, bytes or an open file, not from {type(source).__name__}"
        )
    name = getattr(source, "name", None)
    return Path(name).name if isinstance(name, str) and not name.startswith("<") else what


#: Bytes that are asked of a file at once: asking for all that it may have would take as much
#: memory, whatever it has.
_PIECE = 1 << 20


def stored_at(source: Source) -> Path | None:
    """The ordinary file that a source names; None for pipes, bytes, and where there is none."""
    if not isinstance(source, str | os.PathLike):
        return None
    try:
        return Path(source) if Path(source).is_file() else None
    except OSError:  # a name that is too long, a folder that cannot be read
        return None


def exists(path: str | os.PathLike[str]) -> bool:
    """Whether anything has this name, as far as can be seen."""
    try:
        return Path(path).exists()
    except OSError:
        return False


def read_file(source: Source, limit: int, what: str) -> bytes:
    """The bytes of a file that must not be larger than ``limit``.

    Parameters
    ----------
    source : path, bytes or binary file
        Where they are.
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
    name = name_of(source, what)
    try:
        if isinstance(source, bytes | bytearray | memoryview):
            data = bytes(source[: limit + 1])
        elif isinstance(source, str | os.PathLike):
            with Path(source).open("rb") as stream:
                data = _at_most(stream, limit + 1)
        else:
            data = _at_most(source, limit + 1)
    except OSError as error:
        raise UsageError(
            f"cannot read the {what} {name[:80]!r}: {reason_of(error)}; check the path"
        ) from None
    except ValueError:  # a closed file, a name with a zero byte
        raise UsageError(f"cannot read the {what} {name[:80]!r}: no such file") from None
    if not isinstance(data, bytes):
        raise UsageError(f"a {what} is bytes; open its file in binary mode")
    if len(data) > limit:
        raise FormatError(name, f"too large for a {what} (over {limit} bytes)")
    return data


def _at_most(stream: Any, most: int) -> Any:
    """What a file holds, up to a number of bytes; asks for no more memory than that takes."""
    parts = bytearray()
    while len(parts) < most:
        part = stream.read(min(most - len(parts), _PIECE))
        if not isinstance(part, bytes):
            return part
        if not part:
            break
        parts += part
    return bytes(parts)


def sniff(path: str | Path) -> bytes | None:
    """The kind in a file's header, ``None`` where it is not one of ours.

    Raises
    ------
    UsageError
        The file is not there or cannot be read.
    """
    try:
        with Path(path).open("rb") as stream:
            start = stream.read(_MEMBER_AT + len(_MEMBER))
    except OSError as error:
        raise UsageError(f"cannot read {Path(path).name[:80]!r}: {reason_of(error)}") from None
    except ValueError:
        raise UsageError(f"cannot read {Path(path).name[:80]!r}: no such file") from None
    return kind_of(start)


def kind_of(start: bytes) -> bytes | None:
    """The kind in the first bytes of a file, ``None`` where it is not one of ours."""
    start = start[: _MEMBER_AT + len(_MEMBER)]
    if start.startswith(_ZIP) and start[_MEMBER_AT:] == _MEMBER:
        return PROGRAM
    if not start.startswith(MAGIC):
        return None
    return start[len(MAGIC) : len(MAGIC) + KIND_BYTES]


def require_private(source: Source, otherwise: str) -> None:
    """Raise :class:`UsageError` where others than its owner can read a secret file.

    Parameters
    ----------
    source : path, bytes or binary file
        Where it was read from; only what lies on disk has permissions.
    otherwise : str
        What to do if somebody may have read it.
    """
    path = stored_at(source)
    if path is not None and stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise UsageError(
            f"others than you can read the secret {path.name!r}; run "
            f"`chmod 600 {shlex.quote(str(path))}`, and {otherwise} if somebody may have"
        )


def reason_of(error: OSError) -> str:
    """An error of the operating system in a few words."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "no space left on the disk; free some or choose another folder"
    if error.errno == errno.ENOENT:
        return "no such file or folder"
    return (error.strerror or type(error).__name__).lower()
