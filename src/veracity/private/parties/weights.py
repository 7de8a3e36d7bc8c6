"""Weights on disk: mapped, and of large models only so much of them in memory.

Masked weights go from the owner to the user, once per model, and are kept by the user on disk.

``W - U`` travels tensor after tensor, in order of name, as little-endian 64-bit words: 8 bytes a
weight. It says nothing about W to who does not know U, but belongs to nobody else: mode 0600.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np
from numpy.typing import NDArray

from veracity.errors import FormatError, UsageError
from veracity.formats.paging import PagedWeights
from veracity.graph.program import Program
from veracity.mpc.party import Array
from veracity.mpc.weights import WORD, masked_bytes, masked_shapes
from veracity.private.parties.spool import private_folder

__all__ = ["MEMORY", "WeightCache", "paged"]

#: Bytes of mapped weights that a party holds before it gives their pages back.
MEMORY = 3 << 29
T = TypeVar("T", bound=np.generic)


def paged(arrays: Mapping[str, NDArray[T]]) -> Mapping[str, NDArray[T]]:
    """The same arrays; where they are more than :data:`MEMORY`, pages are given back after use."""
    large = sum(array.nbytes for array in arrays.values()) > MEMORY
    return PagedWeights(arrays, MEMORY) if large else arrays


class WeightCache:
    """The user's copy of masked weights on disk, one file for each set of masked weights.

    Parameters
    ----------
    folder : Path
        The cache.
    program : Program
        The model.
    digest : bytes
        SHA-256 of the masked weights, as the owner's card says.
    """

    def __init__(self, folder: Path, program: Program, digest: bytes) -> None:
        self.digest = digest
        self._program = program
        self._folder = folder
        self.path = folder / f"{digest.hex()[:40]}.masked"

    @property
    def there(self) -> bool:
        """Whether the file is there, whole."""
        try:
            return self.path.stat().st_size == masked_bytes(self._program)
        except OSError:
            return False

    def load(self) -> dict[str, Array]:
        """Memory-mapped, once all of it was compared with its digest.

        Raises
        ------
        FormatError
            Where the file is damaged: with other weights an answer is noise.
        """
        with self.path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").digest() != self.digest:
                raise FormatError(
                    self.path.name,
                    f"damaged; remove {self.path}, and the weights are fetched again",
                )
        words = np.memmap(self.path, dtype=WORD, mode="r")
        found, at = {}, 0
        for name, shape in masked_shapes(self._program).items():
            size = math.prod(shape)
            found[name] = np.asarray(words[at : at + size]).reshape(shape)
            at += size
        return found

    @contextlib.contextmanager
    def filled(self) -> Iterator[BinaryIO]:
        """A file that appears when it is whole.

        Raises
        ------
        UsageError
        """
        private_folder(self._folder)
        part = self.path.with_name(f".{self.path.name}.{os.urandom(6).hex()}.part")
        try:
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as out:
                yield out
            part.replace(self.path)
        except OSError as error:
            raise UsageError(
                f"cannot keep the masked weights: {error.strerror}; "
                "free space or choose another --cache"
            ) from None
        finally:
            part.unlink(missing_ok=True)
