"""The group part of the CPU engine: shape checks around the compiled kernels.

A ``Points`` is a NumPy array of dtype uint64 and shape (n, 8): both coordinates in Montgomery
form with R = 2^260; the identity is all zeros.
"""

# ruff: noqa: D102 (engine.api documents the operations)
from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from veracity.engine import _cpu
from veracity.engine.api import Ints
from veracity.engine.checks import check_index, check_small
from veracity.engine.scalars import bytes_of, ints_of

__all__ = ["CpuGroup"]

#: Array of dtype uint64 and shape (n, 8); ``Any`` since the interface keeps points opaque.
LimbPoints: TypeAlias = Any


class CpuInnerProduct:
    """Vectors and points, as far as they are folded; see :class:`engine.api.InnerProduct`."""

    def __init__(self, bases: LimbPoints, inner: LimbPoints, a: Any, b: Any) -> None:
        self._operands = _cpu.InnerProduct(bases, inner, a, b)

    def cross(self) -> LimbPoints:
        return self._operands.cross()

    def fold(self, x: int) -> None:
        self._operands.fold(bytes_of(x))

    def end(self) -> int:
        return ints_of(self._operands.end())[0]


class CpuGroup:
    """Operations on points in Rust; see :class:`engine.api.Engine`. A mix-in."""

    def generators(self, label: str, n: int) -> LimbPoints:
        if n < 0:
            raise ValueError(f"{n} generators")
        return _cpu.points_generators(label, n)

    def commit_rows(self, values: Ints, index: NDArray[np.int64], bases: LimbPoints) -> LimbPoints:
        check_small(values, shape=(None, len(index)))
        check_index(index, len(bases))
        return _cpu.points_commit_rows(values, values.shape[0], np.ascontiguousarray(index), bases)

    def msm(self, points: LimbPoints, scalars: Any) -> LimbPoints:
        return _cpu.points_msm(points, scalars)

    def scale_points(self, points: LimbPoints, scalars: Any) -> LimbPoints:
        return _cpu.points_scale(points, scalars)

    def add_points(self, a: LimbPoints, b: LimbPoints) -> LimbPoints:
        return _cpu.points_add(a, b)

    def concat_points(self, parts: Sequence[LimbPoints]) -> LimbPoints:
        return np.concatenate([np.empty((0, 8), dtype=np.uint64), *parts])

    def inner_product(
        self, bases: LimbPoints, inner: LimbPoints, a: Any, b: Any
    ) -> CpuInnerProduct:
        return CpuInnerProduct(bases, inner, a, b)

    def compress(self, points: LimbPoints) -> bytes:
        return _cpu.points_compress(points)

    def decompress(self, data: bytes, behind: bool = False) -> LimbPoints:
        return _cpu.points_decompress(data, behind)

    def coordinates(self, points: LimbPoints) -> bytes:
        return _cpu.points_coordinates(points)

    def from_coordinates(self, data: bytes) -> LimbPoints:
        return _cpu.points_from_coordinates(data)
