"""What the dealer hands out for one pass: a seed for each party and explicit pieces in order.

Whatever a party's material is that is uniform on its own comes from its seed; only what is
correlated with it is explicit. Both are read strictly in order, so that material and protocol
cannot get out of step unnoticed: a reader must end exactly where the writer did.
"""

from __future__ import annotations

import fcntl
import hashlib
import math
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from veracity.engine.api_fss import TREE_KEY_BYTES
from veracity.engine.api_words import SEED_BYTES, Ring
from veracity.errors import FormatError, PeerError, UsageError

__all__ = ["Label", "Material", "MemorySink", "ReplayRegistry", "Sink", "Words", "Writer"]

Array = NDArray[np.uint64]
Words = NDArray[np.uint64]
_WORD = np.dtype("<u8")
_LABEL = struct.Struct("<8s32s16sIIIB7x")
_MAGIC = b"VERAMAT1"
#: Bytes of an entry of the registry.
MARK = 32


@dataclass(frozen=True)
class Label:
    """What a piece of material is for; both parties must agree on all of it.

    Parameters
    ----------
    model : bytes
        SHA-256 of the program, 32 bytes.
    session : bytes
        Fresh for every session, 16 bytes.
    number : int
        Counts the passes of a session, repeated ones included.
    start, rows : int
        Position of the pass's first token, and how many it feeds.
    party : int
        0 owner, 1 user.
    """

    model: bytes
    session: bytes
    number: int
    start: int
    rows: int
    party: int

    SIZE = _LABEL.size

    @property
    def tree_key(self) -> bytes:
        """A public key for the pass's FSS trees: another one for each pass, the same for both."""
        return hashlib.sha256(b"trees" + replace(self, party=0).encode()).digest()[:TREE_KEY_BYTES]

    def encode(self) -> bytes:
        """Fixed-size header."""
        return _LABEL.pack(
            _MAGIC, self.model, self.session, self.number, self.start, self.rows, self.party
        )

    @classmethod
    def decode(cls, data: bytes) -> Label:
        """Read a header.

        Raises
        ------
        FormatError
        """
        if len(data) != _LABEL.size:
            raise FormatError("material", "truncated header")
        magic, model, session, number, start, rows, party = _LABEL.unpack(data)
        if magic != _MAGIC or party not in (0, 1) or data[-7:] != bytes(7):
            raise FormatError("material", "not a file of material")
        return cls(model, session, number, start, rows, party)


class ReplayRegistry:
    """Material that has been used; the same label is refused a second time.

    Parameters
    ----------
    path : path, optional
        A file (mode 0600) that keeps the registry across processes, several at once among them: it
        is locked while a mark is written, and a mark is on the disk before its material is used. A
        half mark at its end, of a process that died while it wrote, is cut: nothing was used yet.

    Raises
    ------
    UsageError
        The file cannot be read.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._used: set[bytes] = set()
        self._known = 0  # bytes of the file
        if path is not None:
            with self._locked(path) as file:
                self._catch_up(file)

    def use(self, label: Label, seed: bytes) -> None:
        """Mark as used.

        Raises
        ------
        UsageError
            If a label or a seed was used before: the same masks twice would reveal values.
        """
        marks = [hashlib.sha256(b"label" + label.encode()).digest()]
        marks.append(hashlib.sha256(b"seed" + seed).digest())
        if self._path is None:
            self._mark(marks)
            return
        with self._locked(self._path) as file:
            self._catch_up(file)
            self._mark(marks)
            file.write(b"".join(marks))
            file.flush()
            os.fsync(file.fileno())
            self._known += len(b"".join(marks))

    def _mark(self, marks: list[bytes]) -> None:
        if any(mark in self._used for mark in marks):
            raise UsageError("this material was used before; ask the dealer for more")
        self._used.update(marks)

    @contextmanager
    def _locked(self, path: Path) -> Iterator[BinaryIO]:
        """The file, while no other process has it."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            with os.fdopen(descriptor, "r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX)  # given back when the file is closed
                yield file
        except OSError as error:
            raise UsageError(
                f"the registry of used material, {path}, cannot be kept: {error.strerror}; free "
                "space or choose another --cache"
            ) from None

    def _catch_up(self, file: BinaryIO) -> None:
        """Read what others have written; cut half a mark."""
        size = os.fstat(file.fileno()).st_size
        if size < self._known:
            raise UsageError("the registry of used material was shortened; use another --cache")
        if size % MARK:
            size -= size % MARK
            file.truncate(size)
        file.seek(self._known)
        data = file.read(size - self._known)
        self._used.update(data[i : i + MARK] for i in range(0, len(data), MARK))
        self._known = size


class Sink(Protocol):
    """Where explicit pieces go."""

    def write(self, data: bytes) -> object:
        """Append."""


class MemorySink:
    """Pieces in memory."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Append."""
        self.parts.append(data)

    def join(self) -> bytes:
        """All of it."""
        return b"".join(self.parts)


class Writer:
    """The dealer's side of one party's material.

    Parameters
    ----------
    ring : Ring
        What expands seeds.
    seed : bytes
        32 fresh bytes.
    sink : Sink, optional
        Receives the explicit pieces; without, they are only counted.
    """

    def __init__(self, ring: Ring, seed: bytes, sink: Sink | None = None) -> None:
        if len(seed) != SEED_BYTES:
            raise UsageError("a seed has 32 bytes")
        self.ring = ring
        self.seed = seed
        self.bytes = 0
        self._sink = sink
        self.label = 0

    def draw(self, shape: int | tuple[int, ...]) -> Array:
        """The same uniform words that the party draws next."""
        words = self.ring.expand(self.seed, self.label, _count(shape))
        self.label += 1
        return words.reshape(shape)

    def skip(self) -> None:
        """Advance as :meth:`draw` does, without the words."""
        self.label += 1

    def put(self, array: NDArray[np.uint64] | NDArray[np.uint8]) -> None:
        """Append an explicit piece."""
        self.bytes += array.nbytes
        if self._sink is not None:
            if array.dtype == np.uint64:
                array = array.astype(_WORD, copy=False)
            self._sink.write(np.ascontiguousarray(array).tobytes())

    def count(self, size: int) -> None:
        """Count a piece without writing it."""
        self.bytes += size


class Material:
    """A party's side: draws words from its seed, takes explicit pieces in order.

    Parameters
    ----------
    ring : Ring
        What expands seeds.
    seed : bytes
        32 bytes.
    pieces : iterator of bytes-like, or bytes
        Explicit pieces, in chunks of any size.
    """

    def __init__(
        self, ring: Ring, seed: bytes, pieces: bytes | bytearray | Iterator[bytes]
    ) -> None:
        self.ring = ring
        self.seed = seed
        self.label = 0
        self.taken = 0
        self._chunks = iter((pieces,)) if isinstance(pieces, bytes | bytearray) else pieces
        self._current = memoryview(b"")

    def draw(self, shape: int | tuple[int, ...]) -> Array:
        """Uniform words nobody but the dealer knows as well."""
        words = self.ring.expand(self.seed, self.label, _count(shape))
        self.label += 1
        return words.reshape(shape)

    def take(self, shape: int | tuple[int, ...]) -> Array:
        """Explicit ring elements."""
        data = self._read(8 * _count(shape))
        return np.frombuffer(data, dtype=_WORD).astype(np.uint64, copy=False).reshape(shape)

    def take_keys(self, count: int, length: int) -> NDArray[np.uint8]:
        """Explicit keys, (count, length)."""
        data = self._read(count * length)
        return np.frombuffer(data, dtype=np.uint8).reshape(count, length)

    def finish(self) -> None:
        """Check that nothing is left.

        Raises
        ------
        PeerError
            If the dealer gave more than the pass takes.
        """
        if len(self._current) or any(map(len, self._chunks)):
            raise PeerError("the dealer's material does not fit this program")

    def _read(self, size: int) -> memoryview:
        self.taken += size
        if size <= len(self._current):
            head, self._current = self._current[:size], self._current[size:]
            return head
        out, filled = bytearray(size), 0
        while filled < size:
            if not len(self._current):
                chunk = next(self._chunks, None)
                if chunk is None:
                    raise PeerError("the dealer's material ends early")
                self._current = memoryview(chunk)
            part = self._current[: size - filled]
            out[filled : filled + len(part)] = part
            filled += len(part)
            self._current = self._current[len(part) :]
        return memoryview(out)


def _count(shape: int | tuple[int, ...]) -> int:
    return math.prod(shape) if isinstance(shape, tuple) else shape
