"""The ring of integers modulo 2^64 on the CPU: shape checks around the compiled kernels."""

# ruff: noqa: D102 (engine.api_words documents the operations)
from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from veracity.engine import _cpu
from veracity.engine.api_words import Ints
from veracity.engine.checks import (
    check_dense_product,
    check_pack,
    check_ring_product,
    check_stream,
    check_unpack,
)

__all__ = ["CpuRing"]

_Ring: TypeAlias = NDArray[np.uint64]


class CpuRing:
    """Integers modulo 2^64 in Rust; see :class:`engine.api_words.Ring`."""

    def matmul(self, x: _Ring, w: Ints) -> _Ring:
        x = check_ring_product(x, w)
        if not x.size or not w.size:
            return np.zeros((x.shape[0], w.shape[0]), dtype=np.uint64)
        return _cpu.ring_matmul(x, w)

    def matmul_dense(self, x: _Ring, y: _Ring) -> _Ring:
        x, y = check_dense_product(x, y)
        shape = (*x.shape[:-1], y.shape[-2])
        if not x.size or not y.size:
            return np.zeros(shape, dtype=np.uint64)
        if x.ndim == 2:
            return _cpu.ring_matmul_dense(x[None], y[None]).reshape(shape)
        return _cpu.ring_matmul_dense(x, y)

    def expand(self, seed: bytes, label: int, count: int) -> _Ring:
        check_stream(seed, label, count)
        return _cpu.ring_expand(bytes(seed), label, count)

    def pack(self, x: _Ring, bits: int) -> bytes:
        check_pack(x, bits)
        return _cpu.ring_pack(np.ascontiguousarray(x).reshape(-1), bits)

    def unpack(self, data: bytes, bits: int, count: int) -> _Ring:
        check_unpack(data, bits, count)
        return _cpu.ring_unpack(bytes(data), bits, count)
