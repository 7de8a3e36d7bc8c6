"""Material on disk under a cap: files without a name, which nobody else can open.

A pass's material is written when it comes from the dealer, read once, and gone when its file is
closed or its process has died.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from veracity.errors import UsageError
from veracity.mpc.material import Label, ReplayRegistry
from veracity.private.parties.wire import CHUNK

__all__ = ["Piece", "SharedRegistry", "Spool", "private_folder"]


def private_folder(path: Path) -> Path:
    """A folder that only its owner can read.

    Raises
    ------
    UsageError
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"cannot make the folder {path}: {error.strerror}; choose another --cache"
        ) from None
    return path


class Piece:
    """A file of a spool: written, then read once from its beginning.

    Parameters
    ----------
    spool : Spool
        Whose cap it counts for.
    size : int
        Bytes reserved for it.
    """

    def __init__(self, spool: Spool, size: int) -> None:
        self.size = size
        self.written = 0
        self._spool = spool
        # No name from the first moment on, mode 0600.
        self._file = cast(BinaryIO, tempfile.TemporaryFile(dir=spool.folder))  # noqa: SIM115

    def write(self, data: bytes | bytearray) -> None:
        """Append.

        Raises
        ------
        UsageError
            Beyond what was reserved, or where the disk is full.
        """
        self.written += len(data)
        if self.written > self.size:
            raise UsageError("a pass has more material than its plan says; report it")
        try:
            self._file.write(data)
        except OSError as error:
            raise UsageError(
                f"cannot store material: {error.strerror}; free space or choose another --cache"
            ) from None

    def read(self) -> Iterator[bytes]:
        """All of it, from the beginning; closes at the end."""
        self._file.seek(0)
        while data := self._file.read(CHUNK):
            yield data
        self.close()

    def close(self) -> None:
        """Drop the file and its place under the cap; does nothing the second time."""
        if not self._file.closed:
            with contextlib.suppress(OSError):
                self._file.close()
            self._spool.give_back(self.size)


class Spool:
    """Where one session's material waits.

    Parameters
    ----------
    folder : Path
        On the disk to be used.
    cap : int
        Most bytes at once.
    """

    def __init__(self, folder: Path, cap: int) -> None:
        self.folder = private_folder(folder)
        self.cap = cap
        self.used = 0
        self.peak = 0
        self._loop = asyncio.get_running_loop()
        self._freed = asyncio.Event()

    async def take(self, *sizes: int) -> list[Piece]:
        """Wait until there is room for all of these files at once, and reserve it.

        Reserved one after the other, two could each hold what the other waits for.

        Raises
        ------
        UsageError
            Where they are over the cap together.
        """
        whole = sum(sizes)
        if whole > self.cap:
            raise UsageError(
                f"one pass needs {whole / 1e6:.0f} MB of material, over the cap of "
                f"{self.cap / 1e6:.0f} MB; raise --cap or shorten the prompt"
            )
        while self.used + whole > self.cap:
            self._freed.clear()
            await self._freed.wait()
        self.used += whole
        self.peak = max(self.peak, self.used)
        return [Piece(self, size) for size in sizes]

    def give_back(self, size: int) -> None:
        """Called from any thread."""

        def free() -> None:
            self.used -= size
            self._freed.set()

        with contextlib.suppress(RuntimeError):  # the loop has ended, and the session with it
            self._loop.call_soon_threadsafe(free)


class SharedRegistry(ReplayRegistry):
    """A registry for all sessions of a process, which run in several threads."""

    def __init__(self, path: Path | None = None) -> None:
        super().__init__(path)
        self._lock = threading.Lock()

    def use(self, label: Label, seed: bytes) -> None:
        """Mark as used; see :meth:`ReplayRegistry.use`."""
        with self._lock:
            super().use(label, seed)
