"""The ring of integers modulo 2^64 in Python integers: the definition."""

# ruff: noqa: D102 (engine.api_words documents the operations)
from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from veracity.engine.api_words import Ints, packed_bytes
from veracity.engine.checks import (
    check_dense_product,
    check_pack,
    check_ring_product,
    check_stream,
    check_unpack,
)
from veracity.engine.reference.aes import encrypt

__all__ = ["ReferenceRing", "stream"]

_Ring: TypeAlias = NDArray[np.uint64]
_WORD = 1 << 64


def stream(seed: bytes, label: int, count: int) -> list[int]:
    """The words of a stream, for any label of 64 bits.

    Parameters
    ----------
    seed : bytes
        32 of them.
    label : int
        Which stream.
    count : int
        Words.
    """
    words: list[int] = []
    for k in range((count + 1) // 2):
        block = encrypt(seed, (k + (label << 64)).to_bytes(16, "little"))
        words += [int.from_bytes(block[:8], "little"), int.from_bytes(block[8:], "little")]
    return words[:count]


def _product(x: _Ring, w: Ints) -> _Ring:
    columns = w.tolist()
    rows = [
        [sum(a * b for a, b in zip(row, column, strict=True)) % _WORD for column in columns]
        for row in x.tolist()
    ]
    return np.array(rows, dtype=np.uint64).reshape(len(x), len(w))


class ReferenceRing:
    """Integers modulo 2^64; see :class:`engine.api_words.Ring`."""

    def matmul(self, x: _Ring, w: Ints) -> _Ring:
        return _product(check_ring_product(x, w), w)

    def matmul_dense(self, x: _Ring, y: _Ring) -> _Ring:
        x, y = check_dense_product(x, y)
        if x.ndim == 2:
            return _product(x, y)
        out = np.empty((*x.shape[:-1], y.shape[-2]), dtype=np.uint64)
        for i, (a, b) in enumerate(zip(x, y, strict=True)):
            out[i] = _product(a, b)
        return out

    def expand(self, seed: bytes, label: int, count: int) -> _Ring:
        check_stream(seed, label, count)
        return np.array(stream(seed, label, count), dtype=np.uint64)

    def pack(self, x: _Ring, bits: int) -> bytes:
        check_pack(x, bits)
        mask = (1 << bits) - 1
        number = sum((value & mask) << (bits * i) for i, value in enumerate(x.reshape(-1).tolist()))
        return number.to_bytes(packed_bytes(x.size, bits), "little")

    def unpack(self, data: bytes, bits: int, count: int) -> _Ring:
        check_unpack(data, bits, count)
        number, mask = int.from_bytes(data, "little"), (1 << bits) - 1
        return np.array([(number >> (bits * i)) & mask for i in range(count)], dtype=np.uint64)
