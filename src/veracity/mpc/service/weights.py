"""Masked weights: from the owner to the user, once per model, and kept by the user on disk.

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
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from veracity.engine.ring import expand
from veracity.errors import UsageError
from veracity.graph.program import Program
from veracity.mpc.party import Array
from veracity.mpc.secure.walk import weight_shapes
from veracity.mpc.service.store import private_folder

__all__ = ["Kept", "masked_bytes", "masked_parts", "masked_shapes", "seed_digest"]

_WORD = np.dtype("<u8")
#: Words masked at once.
PART = 1 << 20


def seed_digest(seed: bytes) -> bytes:
    """A name for the masks that tells nothing about them."""
    return hashlib.sha256(b"veracity masks of weights\n" + seed).digest()


def masked_shapes(program: Program) -> dict[str, tuple[int, ...]]:
    """Shapes of the weights that are masked, in order of name."""
    names = sorted({name.removesuffix("^T") for name in weight_shapes(program)})
    return {name: program.weights[name].shape for name in names}


def masked_bytes(program: Program) -> int:
    """Bytes of all of them: 8 for each weight."""
    return _WORD.itemsize * sum(math.prod(s) for s in masked_shapes(program).values())


def masked_parts(
    program: Program, weights: Mapping[str, NDArray[np.integer]], seed: bytes
) -> Iterator[NDArray[np.uint64]]:
    """The words of ``W - U``, a piece at a time: the same as ``masked_weights``."""
    for label, (name, shape) in enumerate(masked_shapes(program).items()):
        mask = expand(seed, label, math.prod(shape))
        flat = weights[name].reshape(-1)
        for start in range(0, len(flat), PART):
            part = flat[start : start + PART].astype(np.int64).view(np.uint64)
            yield (part - mask[start : start + PART]).astype(_WORD, copy=False)


class Kept:
    """The user's copy of masked weights on disk, one file for each model and each set of masks.

    Parameters
    ----------
    folder : Path
        The cache.
    program : Program
        The model.
    masks : bytes
        :func:`seed_digest` of the masks.
    """

    def __init__(self, folder: Path, program: Program, masks: bytes) -> None:
        self._program = program
        self._folder = folder
        name = hashlib.sha256(bytes.fromhex(program.digest) + masks).hexdigest()[:40]
        self.path = folder / f"{name}.masked"

    @property
    def there(self) -> bool:
        """Whether the file is there, whole."""
        try:
            return self.path.stat().st_size == masked_bytes(self._program)
        except OSError:
            return False

    def load(self) -> dict[str, Array]:
        """Memory-mapped."""
        words = np.memmap(self.path, dtype=_WORD, mode="r")
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
