"""Reading files: no more than a limit, and what kind of file it is."""

from __future__ import annotations

import errno
import shlex
import stat
from pathlib import Path

from veracity.codec.encoding import KIND_BYTES, MAGIC
from veracity.errors import FormatError, UsageError

__all__ = ["PROGRAM", "read_file", "reason_of", "require_private", "sniff"]

#: Kind of a program file, which is a zip archive: how its first member is called, and where.
PROGRAM = b"VPRG"
_ZIP, _MEMBER, _MEMBER_AT = b"PK\3\4", b"meta.json", 30


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
            f"cannot read the {what} {Path(path).name!r}: {reason_of(error)}; check the path"
        ) from None
    if len(data) > limit:
        raise FormatError(Path(path).name, f"too large for a {what} (over {limit} bytes)")
    return data


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
        raise UsageError(f"cannot read {Path(path).name!r}: {reason_of(error)}") from None
    if start.startswith(_ZIP) and start[_MEMBER_AT:] == _MEMBER:
        return PROGRAM
    if not start.startswith(MAGIC):
        return None
    return start[len(MAGIC) : len(MAGIC) + KIND_BYTES]


def require_private(path: str | Path, otherwise: str) -> None:
    """Raise :class:`UsageError` where others than its owner can read a secret file.

    Parameters
    ----------
    path : str or path
        The file.
    otherwise : str
        What to do if somebody may have read it.
    """
    if stat.S_IMODE(Path(path).stat().st_mode) & 0o077:
        raise UsageError(
            f"others than you can read the secret {Path(path).name!r}; run "
            f"`chmod 600 {shlex.quote(str(path))}`, and {otherwise} if somebody may have"
        )


def reason_of(error: OSError) -> str:
    """An error of the operating system in a few words."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "no space left on the disk; free some or choose another folder"
    if error.errno == errno.ENOENT:
        return "no such file or folder"
    return (error.strerror or type(error).__name__).lower()
