"""Material on disk under a cap: files without a name, which nobody else can open.

A pass's material is written when it comes from the dealer, read once, and gone when its file is
closed or its process has died. Of a pass that is used as it comes, a file holds a window.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

from veracity.errors import PeerError, UsageError, VeracityError
from veracity.mpc.material import Label, ReplayRegistry
from veracity.private.parties.wire import CHUNK

__all__ = ["Piece", "SharedRegistry", "Spool", "private_folder"]

#: A piece that is used as it comes has at most this share of the cap.
SHARE = 8


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
    """A file of a spool: written and read once, from its beginning, by one each.

    It holds a window of what passes through it. Who writes waits while that is full, who reads
    while it is empty: a thread in :meth:`write` and :meth:`read`, a task in :meth:`fill` and
    :meth:`part`.

    Parameters
    ----------
    spool : Spool
        Whose cap it counts for.
    size : int
        Bytes that may pass through it.
    window : int
        Bytes reserved for it.
    """

    def __init__(self, spool: Spool, size: int, window: int) -> None:
        self.size, self.window = size, window
        self.written = self.taken = 0
        self._spool = spool
        self._ended = False
        self._fault: VeracityError | None = None
        self._moved = threading.Condition()
        self._told = asyncio.Event()
        # No name from the first moment on, mode 0600.
        self._file = cast(BinaryIO, tempfile.TemporaryFile(dir=spool.folder))  # noqa: SIM115

    @property
    def whole(self) -> bool:
        """Whether it has room for all that may pass through it."""
        return self.window >= self.size

    def write(self, data: bytes | bytearray) -> None:
        """Append, from a thread of its own.

        Raises
        ------
        PeerError
            Where nobody reads any more.
        UsageError
            Beyond what was reserved, or where the disk is full.
        """
        rest = memoryview(data)
        while rest.nbytes:
            with self._moved:
                put = self._put(rest)
                if not put:
                    self._moved.wait()
            rest = rest[put:]

    async def fill(self, data: bytes | bytearray) -> None:
        """As :meth:`write`, from the event loop."""
        rest = memoryview(data)
        while rest.nbytes:
            self._told.clear()
            with self._moved:
                put = self._put(rest)
            if not put:
                await self._told.wait()
            rest = rest[put:]

    async def room(self, size: int) -> None:
        """Wait until so many bytes fit, or the window is empty.

        Raises
        ------
        PeerError
        """
        while True:
            self._told.clear()
            with self._moved:
                self._check()
                held = self.written - self.taken
            if not held or self.window - held >= size:
                return
            await self._told.wait()

    def end(self) -> None:
        """No more is written."""
        self._ended = True
        self._tell()

    def fail(self, fault: VeracityError) -> None:
        """No more comes, and whoever waits at the other end is told why."""
        self._fault = self._fault or fault
        self._tell()

    def read(self) -> Iterator[bytes]:
        """All of it, in a thread of its own; closes at the end.

        Raises
        ------
        PeerError
            Where no more comes, or it was closed meanwhile.
        """
        while True:
            with self._moved:
                data = self._get(CHUNK)
                if data is None:
                    self._moved.wait()
                    continue
            if not data:
                break
            yield data
        self.close()

    async def part(self, most: int) -> bytes:
        """As :meth:`read`, the next bytes, at the event loop; nothing at the end.

        Raises
        ------
        PeerError
        """
        while True:
            self._told.clear()
            with self._moved:
                data = self._get(most)
            if data is not None:
                return data
            await self._told.wait()

    def close(self) -> None:
        """Drop the file and its place under the cap; does nothing the second time."""
        with self._moved:
            if self._file.closed:
                return
            with contextlib.suppress(OSError):
                self._file.close()
        self._spool.give_back(self.window)
        self._tell()

    # With the lock.

    def _check(self) -> None:
        if self._file.closed:
            raise PeerError("nobody takes this material any more")
        if self._fault is not None:
            raise self._fault

    def _put(self, data: memoryview) -> int:
        """Write what fits; how much."""
        self._check()
        if self.written + data.nbytes > self.size:
            raise UsageError("a pass has more material than its plan says; report it")
        at = self.written % self.window
        room = min(self.window - (self.written - self.taken), self.window - at)
        if room:
            try:
                room = os.pwrite(self._file.fileno(), data[:room], at)
            except OSError as error:
                raise UsageError(
                    f"cannot store material: {error.strerror}; free space or choose another --cache"
                ) from None
            self.written += room
            self._tell()
        return room

    def _get(self, most: int) -> bytes | None:
        """Read what is there; None where it has yet to come, nothing at the end."""
        at = self.taken % self.window
        here = min(most, self.written - self.taken, self.window - at)
        if not here:
            if self._ended:
                return b""
            self._check()
            return None
        if self._file.closed:
            raise PeerError("this material was dropped")
        data = os.pread(self._file.fileno(), here, at)
        self.taken += len(data)
        self._tell()
        return data

    def _tell(self) -> None:
        with self._moved:
            self._moved.notify_all()
        self._spool.call(self._told.set)


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

    @property
    def window(self) -> int:
        """Bytes of one piece that wait, where its pass is used as it comes."""
        return max(1, self.cap // SHARE)

    async def take(self, *sizes: int, window: int | None = None) -> list[Piece]:
        """Wait until there is room for all of these files at once, and reserve it.

        Reserved one after the other, two could each hold what the other waits for.

        Parameters
        ----------
        *sizes : int
            Bytes that pass through each.
        window : int, optional
            Bytes of each that are held at once, at most; all of them without.

        Raises
        ------
        UsageError
            Where they are over the cap together.
        """
        held = [max(1, size if window is None else min(size, window)) for size in sizes]
        whole = sum(held)
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
        return [Piece(self, *one) for one in zip(sizes, held, strict=True)]

    def give_back(self, size: int) -> None:
        """Called from any thread."""

        def free() -> None:
            self.used -= size
            self._freed.set()

        self.call(free)

    def call(self, then: Callable[[], object]) -> None:
        """Have the session's loop call this; from any thread."""
        with contextlib.suppress(RuntimeError):  # the loop has ended, and the session with it
            self._loop.call_soon_threadsafe(then)


class SharedRegistry(ReplayRegistry):
    """A registry for all sessions of a process, which run in several threads."""

    def __init__(self, path: Path | None = None) -> None:
        super().__init__(path)
        self._lock = threading.Lock()

    def use(self, label: Label, seed: bytes) -> None:
        """Mark as used; see :meth:`ReplayRegistry.use`."""
        with self._lock:
            super().use(label, seed)
