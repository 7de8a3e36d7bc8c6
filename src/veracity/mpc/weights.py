"""Masked weights: what each role holds of a model's weights, in any mode.

``W - U`` travels from owner to user once per model, 8 bytes a weight. It says nothing about W to
who does not know U.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from veracity.engine.api import Ring
from veracity.graph.ops import Embed, Gain, Head, Linear
from veracity.graph.program import Program
from veracity.mpc.party import Array

__all__ = [
    "Integers",
    "MaskTable",
    "largest_masked_bytes",
    "masked_bytes",
    "masked_digest",
    "masked_parts",
    "masked_shapes",
    "masked_weights",
    "masks",
    "owner_weights",
    "product",
    "seed_digest",
    "transposed",
    "user_weights",
    "weight_shapes",
]

Integers = Mapping[str, NDArray[np.integer]]

#: How words of masked weights travel: little-endian.
WORD = np.dtype("<u8")
#: Words masked at once.
PART = 1 << 20
#: Rows of a table that are transposed at once.
BLOCK = 128


def transposed(table: str) -> str:
    """Name of the transpose of a table of embeddings."""
    return f"{table}^T"


def weight_shapes(program: Program) -> dict[str, tuple[int, ...]]:
    """Shapes of the weights as linear layers use them, tables of embeddings transposed."""
    shapes: dict[str, tuple[int, ...]] = {}
    for op in program.ops:
        if isinstance(op, Embed):
            rows, width = program.weights[op.table].shape
            shapes[transposed(op.table)] = (width, rows)
        elif isinstance(op, Linear | Head | Gain):
            shapes[op.weight] = program.weights[op.weight].shape
    return shapes


def masks(ring: Ring, seed: bytes, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Array]:
    """The masks U of all weights.

    Parameters
    ----------
    ring : Ring
        What expands seeds.
    seed : bytes
        What the owner shares with the dealer, 32 bytes.
    shapes : mapping
        Of the weights.
    """
    found = {}
    for label, (name, shape) in enumerate(sorted(shapes.items())):
        found[name] = ring.expand(seed, label, int(np.prod(shape))).reshape(shape)
    return found


def product(ring: Ring, x: Array, weight: Array) -> Array:
    """``x W^T`` modulo 2^64, where W may be the transpose of a table, of which no copy is made.

    Parameters
    ----------
    ring : Ring
        What multiplies.
    x : uint64 array
        (rows, k).
    weight : uint64 array
        Masked weights, or masks, (n, k).
    """
    if weight.flags.c_contiguous:
        return ring.matmul_dense(np.ascontiguousarray(x), weight)
    if len(x) == 1:  # of one row a kernel that reads rows of the table is as quick
        return np.asarray(np.einsum("rk,nk->rn", x, weight))
    out = np.zeros((len(x), len(weight)), dtype=np.uint64)
    for start in range(0, x.shape[1], BLOCK):
        part = slice(start, start + BLOCK)
        out += ring.matmul_dense(
            np.ascontiguousarray(x[:, part]), np.ascontiguousarray(weight[:, part])
        )
    return out


def owner_weights(program: Program, weights: Integers) -> dict[str, NDArray[np.integer]]:
    """The weights as the owner's linear layers read them."""
    found: dict[str, NDArray[np.integer]] = {}
    for name in weight_shapes(program):
        base = weights[name.removesuffix("^T")]
        found[name] = np.ascontiguousarray(base.T) if name.endswith("^T") else base
    return found


def masked_weights(
    ring: Ring, program: Program, weights: Integers, seed: bytes
) -> dict[str, Array]:
    """``W - U``: what the owner sends to the user, once.

    Parameters
    ----------
    ring : Ring
        What expands seeds.
    program : Program
        Which tables are masked, and their shapes.
    weights : mapping
        The owner's integers by name.
    seed : bytes
        Of the masks, 32 bytes.
    """
    shapes = masked_shapes(program)
    found = masks(ring, seed, shapes)
    for name in shapes:
        np.subtract(weights[name].astype(np.int64).view(np.uint64), found[name], out=found[name])
    return found


def user_weights(program: Program, received: Mapping[str, Array]) -> dict[str, Array]:
    """The masked weights as the user's linear layers read them, for :func:`product`."""
    return {name: _named(name, received) for name in weight_shapes(program)}


def _named(name: str, found: Mapping[str, Array]) -> Array:
    """A weight, or the transpose of a table."""
    base = found[name.removesuffix("^T")]
    return base.T if name.endswith("^T") else base


class MaskTable(Mapping[str, Array]):
    """The masks as the dealer's linear layers read them, for :func:`product`.

    As many as fit stay in memory; the others are made from the seed each time that one is read.

    Parameters
    ----------
    ring : Ring
        What expands seeds.
    program : Program
        Which tables are masked, and their shapes.
    seed : bytes
        Of the masks, 32 bytes.
    memory : int
        Bytes for those that stay; all of them, if not given.

    Attributes
    ----------
    kept_bytes : int
        Bytes of those that stay.
    """

    def __init__(
        self, ring: Ring, program: Program, seed: bytes, memory: int | None = None
    ) -> None:
        self._ring, self._seed = ring, seed
        self._names = tuple(weight_shapes(program))
        shapes = masked_shapes(program)
        self._places = {name: (label, shapes[name]) for label, name in enumerate(shapes)}
        self._kept: dict[str, Array] = {}
        self.kept_bytes = 0
        for name, (_, shape) in self._places.items():
            size = WORD.itemsize * math.prod(shape)
            if memory is None or self.kept_bytes + size <= memory:
                self._kept[name] = self._made(name)
                self.kept_bytes += size

    def _made(self, name: str) -> Array:
        label, shape = self._places[name]
        return self._ring.expand(self._seed, label, math.prod(shape)).reshape(shape)

    def __getitem__(self, name: str) -> Array:
        base = name.removesuffix("^T")
        if name not in self._names:
            raise KeyError(name)
        return _named(name, self._kept if base in self._kept else {base: self._made(base)})

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def seed_digest(seed: bytes) -> bytes:
    """A name for the masks that tells nothing about them."""
    return hashlib.sha256(b"veracity masks of weights\n" + seed).digest()


def masked_shapes(program: Program) -> dict[str, tuple[int, ...]]:
    """Shapes of the weights that are masked, in order of name."""
    names = sorted({name.removesuffix("^T") for name in weight_shapes(program)})
    return {name: program.weights[name].shape for name in names}


def masked_bytes(program: Program) -> int:
    """Bytes of all of them: 8 for each weight."""
    return WORD.itemsize * sum(math.prod(s) for s in masked_shapes(program).values())


def largest_masked_bytes(program: Program) -> int:
    """Bytes of the largest of them."""
    return WORD.itemsize * max(math.prod(s) for s in masked_shapes(program).values())


def masked_parts(
    ring: Ring, program: Program, weights: Mapping[str, NDArray[np.integer]], seed: bytes
) -> Iterator[NDArray[np.uint64]]:
    """The words of ``W - U``, a piece at a time: the same as ``masked_weights``.

    Parameters
    ----------
    ring : Ring
        What expands seeds.
    program : Program
        Which tables are masked, and their shapes.
    weights : mapping
        The owner's integers by name.
    seed : bytes
        Of the masks, 32 bytes.
    """
    for label, (name, shape) in enumerate(masked_shapes(program).items()):
        mask = ring.expand(seed, label, math.prod(shape))
        flat = weights[name].reshape(-1)
        for start in range(0, len(flat), PART):
            part = flat[start : start + PART].astype(np.int64).view(np.uint64)
            yield (part - mask[start : start + PART]).astype(WORD, copy=False)


def masked_digest(
    ring: Ring, program: Program, weights: Mapping[str, NDArray[np.integer]], seed: bytes
) -> bytes:
    """SHA-256 of ``W - U`` as it travels: the name of these weights under these masks.

    An owner that computes with other weights than those behind the user's ``W - U`` gets noise.
    The digest tells nothing about W to who does not know U.

    Parameters
    ----------
    ring : Ring
        What expands seeds.
    program : Program
        Which tables are masked, and their shapes.
    weights : mapping
        The owner's integers by name.
    seed : bytes
        Of the masks, 32 bytes.
    """
    found = hashlib.sha256()
    for part in masked_parts(ring, program, weights, seed):
        found.update(part.tobytes())
    return found.digest()
