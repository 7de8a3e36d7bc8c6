"""Writing files: they appear complete or not at all, several of them together.

Where the system can, a file has no name before it is complete, so that even a process that is
killed leaves nothing; elsewhere it stands under a temporary name until then.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from veracity.codec.files import reason_of
from veracity.codec.targets import check_target
from veracity.errors import UsageError

__all__ = ["atomic_output", "atomic_outputs", "write_file"]

#: How a file without a name gets one.
_DESCRIPTORS = Path("/proc/self/fd")


@dataclass
class _Fresh:
    """A file on its way: first its content, then its name."""

    target: Path
    mode: int
    stream: BinaryIO | None = None
    part: Path | None = None
    backup: Path | None = None
    published: bool = field(default=False)

    def _beside(self) -> Path:
        return self.target.with_name(f".{self.target.name[:200]}.{os.urandom(6).hex()}.part")

    def open(self) -> BinaryIO:
        """Begin; nobody but the owner of a secret may read it from the first byte on."""
        flags = os.O_RDWR
        if hasattr(os, "O_TMPFILE") and _DESCRIPTORS.is_dir():
            with contextlib.suppress(OSError):  # not every file system has it
                descriptor = os.open(self.target.parent, flags | os.O_TMPFILE, self.mode)
                self.stream = os.fdopen(descriptor, "w+b")
                return self.stream
        self.part = self._beside()
        descriptor = os.open(self.part, flags | os.O_CREAT | os.O_EXCL, self.mode)
        self.stream = os.fdopen(descriptor, "w+b")
        return self.stream

    def complete(self) -> None:
        """Bring the content to the disk."""
        if self.stream is not None:
            self.stream.flush()
            os.fsync(self.stream.fileno())

    def publish(self, keep: bool) -> None:
        """Give it its name; what had the name before is kept aside where ``keep``."""
        if keep and self.target.exists():
            backup = self._beside()
            os.link(self.target, backup)
            self.backup = backup
        if self.part is None and self.stream is not None:
            if not self.target.exists():
                with contextlib.suppress(FileExistsError):
                    _name(self.stream, self.target)
                    self.published = True
                    return
            part = self._beside()
            _name(self.stream, part)
            self.part = part
        if self.part is not None:
            self.part.replace(self.target)
            self.part, self.published = None, True

    def undo(self) -> None:
        """As it was before."""
        if self.backup is not None:
            self.backup.replace(self.target)  # nothing happens where both are the same file
            self.backup.unlink(missing_ok=True)
            self.backup = None
        elif self.published:
            self.target.unlink(missing_ok=True)

    def close(self) -> None:
        """Leave nothing but what was published."""
        if self.stream is not None:
            with contextlib.suppress(OSError):  # what could not be written was told already
                self.stream.close()
        for path in (self.part, self.backup):
            if path is not None:
                path.unlink(missing_ok=True)


def _name(stream: BinaryIO, path: Path) -> None:
    """Give a file without a name one; FileExistsError where it is taken."""
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        # A folder's descriptor makes Python follow the link in /proc (linkat, AT_SYMLINK_FOLLOW).
        source = _DESCRIPTORS / str(stream.fileno())
        os.link(source, path.name, dst_dir_fd=folder, follow_symlinks=True)
    finally:
        os.close(folder)


@contextlib.contextmanager
def atomic_outputs(*targets: tuple[str | Path, int]) -> Iterator[Sequence[BinaryIO]]:
    """Files that all appear complete, or none of them.

    Parameters
    ----------
    targets : tuple of (path, int)
        Names and permissions.

    Raises
    ------
    UsageError
        A folder is missing or not writable, or the disk is full.
    """
    files = [_Fresh(Path(path), mode) for path, mode in targets]
    for file in files:
        check_target(file.target)
    at = files[0].target
    try:
        streams = []
        for file in files:
            at = file.target
            streams.append(file.open())
        yield streams
        for file in files:
            at = file.target
            file.complete()
        try:
            for file in files:
                at = file.target
                file.publish(keep=len(files) > 1)
        except BaseException:
            for file in files:
                file.undo()
            raise
    except OSError as error:
        raise UsageError(f"cannot write {at.name!r}: {reason_of(error)}") from None
    finally:
        for file in files:
            file.close()


@contextlib.contextmanager
def atomic_output(path: str | Path, mode: int = 0o644) -> Iterator[BinaryIO]:
    """A file that appears under ``path`` complete or not at all.

    Raises
    ------
    UsageError
        The folder is missing or not writable, or the disk is full.
    """
    with atomic_outputs((path, mode)) as (stream,):
        yield stream


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
