"""Inner-product arguments on the CPU; see :class:`veracity.engine.api.InnerProduct`."""

# ruff: noqa: D102 (engine.api documents the operations)
from __future__ import annotations

from typing import Any

from veracity.engine import _cpu
from veracity.engine.scalars import bytes_of, ints_of

__all__ = ["CpuInnerProduct"]


class CpuInnerProduct:
    """Vectors and generators, as far as they are folded, in Rust."""

    def __init__(self, bases: Any, inner: Any, a: Any, b: Any) -> None:
        self._operands = _cpu.InnerProduct(bases, inner, a, b)

    def cross(self) -> Any:
        return self._operands.cross()

    def fold(self, x: int) -> None:
        self._operands.fold(bytes_of(x))

    def end(self) -> int:
        return ints_of(self._operands.end())[0]
