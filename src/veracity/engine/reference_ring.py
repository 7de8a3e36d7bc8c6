"""The definition of :mod:`veracity.engine.ring`, in Python integers: slow, obviously right."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from veracity.engine.api import Ints
from veracity.engine.reference_aes import encrypt

__all__ = ["expand", "matmul", "matmul_dense", "pack", "unpack"]

_Ring = NDArray[np.uint64]
_WORD = 1 << 64


def matmul(x: _Ring, w: Ints) -> _Ring:
    """``x @ w.T`` modulo 2^64."""
    rows = [
        [sum(a * b for a, b in zip(row, column, strict=True)) % _WORD for column in w.tolist()]
        for row in x.tolist()
    ]
    return np.array(rows, dtype=np.uint64).reshape(len(x), len(w))


def matmul_dense(x: _Ring, y: _Ring) -> _Ring:
    """``x @ y.T`` modulo 2^64, of every pair of a batch."""
    if x.ndim == 2:
        return matmul(x, y)
    return np.stack([matmul(a, b) for a, b in zip(x, y, strict=True)])


def stream(seed: bytes, label: int, count: int) -> list[int]:
    """The words of a stream, for any label of 64 bits."""
    words: list[int] = []
    for k in range((count + 1) // 2):
        block = encrypt(seed, (k + (label << 64)).to_bytes(16, "little"))
        words += [int.from_bytes(block[:8], "little"), int.from_bytes(block[8:], "little")]
    return words[:count]


def expand(seed: bytes, label: int, count: int) -> _Ring:
    """The first ``count`` words of stream ``label``."""
    return np.array(stream(seed, label, count), dtype=np.uint64)


def pack(x: _Ring, bits: int) -> bytes:
    """The low bits of the elements as one little-endian number."""
    mask = (1 << bits) - 1
    number = sum((value & mask) << (bits * i) for i, value in enumerate(x.reshape(-1).tolist()))
    return number.to_bytes((x.size * bits + 7) // 8, "little")


def unpack(data: bytes, bits: int, count: int) -> _Ring:
    """The inverse of :func:`pack`."""
    number, mask = int.from_bytes(data, "little"), (1 << bits) - 1
    return np.array([(number >> (bits * i)) & mask for i in range(count)], dtype=np.uint64)
