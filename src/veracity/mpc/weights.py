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
    "dealer_weights",
    "masked_bytes",
    "masked_digest",
    "masked_parts",
    "masked_shapes",
    "masked_weights",
    "masks",
    "owner_weights",
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


def _base_shapes(program: Program) -> dict[str, tuple[int, ...]]:
    """Weights that are masked, as the program stores them."""
    names = [n.removesuffix("^T") for n in weight_shapes(program)]
    return {n: program.weights[n].shape for n in names}


def _with_transposes(program: Program, found: dict[str, Array]) -> dict[str, Array]:
    """Add what embeddings read; drop tables that nothing else reads."""
    shapes = weight_shapes(program)
    for name in shapes:
        if name.endswith("^T"):
            found[name] = np.ascontiguousarray(found[name.removesuffix("^T")].T)
    return {name: w for name, w in found.items() if name in shapes}


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
    shapes = _base_shapes(program)
    found = masks(ring, seed, shapes)
    for name in shapes:
        np.subtract(weights[name].astype(np.int64).view(np.uint64), found[name], out=found[name])
    return found


def user_weights(program: Program, received: dict[str, Array]) -> dict[str, Array]:
    """The masked weights as the user's linear layers read them."""
    return _with_transposes(program, received)


def dealer_weights(ring: Ring, program: Program, seed: bytes) -> dict[str, Array]:
    """The masks as the dealer's linear layers read them.

    Parameters
    ----------
    ring : Ring
        What expands seeds.
    program : Program
        Which tables are masked, and their shapes.
    seed : bytes
        Of the masks, 32 bytes.
    """
    return _with_transposes(program, masks(ring, seed, _base_shapes(program)))


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
