"""Weights on every machine: a file of the same bytes, mapped into memory.

A machine uses the file under the same path where it holds the same bytes (a shared disk, a copy),
and else keeps one of its own below the package's cache, written once for all its processes.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from veracity.engine.generators import cache_root
from veracity.errors import FormatError

__all__ = ["digest_of", "local_file"]

_BLOCK = 1 << 22


def digest_of(path: Path) -> str:
    """SHA-256 of a file, hexadecimal; raises OSError."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def local_file(path: Path, digest: str, fetch: Callable[[], Iterator[bytes]]) -> Path:
    """Where the bytes of a digest lie on this machine.

    Parameters
    ----------
    path : Path
        Where they lie on the machine that asks.
    digest : str
        Their SHA-256, hexadecimal.
    fetch : callable
        Gives the bytes, where this machine has none.

    Raises
    ------
    FormatError
        Other bytes arrive.
    OSError
        They cannot be kept.
    """
    if re.fullmatch("[0-9a-f]{64}", digest) is None:
        raise FormatError("message of a job", "a file without a digest")
    if _holds(path, digest):
        return path
    folder = cache_root() / "cluster"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    kept = folder / digest
    with _locked(folder / f"{digest}.lock"):
        if _holds(kept, digest):
            return kept
        part = folder / f"{digest}.part"
        part.unlink(missing_ok=True)
        found = hashlib.sha256()
        try:
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as stream:
                for block in fetch():
                    stream.write(block)
                    found.update(block)
                stream.flush()
                os.fsync(stream.fileno())
            if found.hexdigest() != digest:
                raise FormatError("message of a job", "a file of other bytes than announced")
            part.replace(kept)
        finally:
            part.unlink(missing_ok=True)
    return kept


def _holds(path: Path, digest: str) -> bool:
    try:
        return path.is_file() and digest_of(path) == digest
    except OSError:
        return False


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
