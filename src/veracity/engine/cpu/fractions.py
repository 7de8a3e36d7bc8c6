"""Trees of fractions on the CPU; see :class:`veracity.engine.api.FractionTree`."""

# ruff: noqa: D102 (engine.api documents the operations)
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from veracity.engine import _cpu
from veracity.engine.api import FractionBlock, Ints, Leaves
from veracity.engine.checks import check_blocks, check_entries
from veracity.engine.scalars import bytes_of, ints_of, join

__all__ = ["CpuFractionTree", "leaves_in"]

#: Values, images, constants, beta; the compiled module's arguments for leaves.
LeavesIn = tuple[list[Ints], list[Ints] | None, Any, bytes]


def leaves_in(leaves: Leaves) -> LeavesIn:
    """What the kernels compute leaves from."""
    check_entries(leaves)
    images = None if leaves.images is None else list(leaves.images)
    return list(leaves.values), images, leaves.constants, bytes_of(leaves.beta)


def _entries(a: Any) -> Any:
    return leaves_in(a) if isinstance(a, Leaves) else a


class CpuFractionTree:
    """All levels and the layer that is being proved, in Rust."""

    def __init__(self, blocks: Sequence[FractionBlock]) -> None:
        check_blocks(blocks)
        self._tree = _cpu.FractionTree(
            [(list(b.dims), None if b.p is None else _entries(b.p), _entries(b.d)) for b in blocks]
        )

    def root(self) -> int:
        return ints_of(self._tree.root())[0]

    def descend(self, lam: int) -> None:
        self._tree.descend(bytes_of(lam))

    def round(self, point: Sequence[int]) -> tuple[int, int]:
        at_zero, leading = ints_of(self._tree.round(join(point)))
        return at_zero, leading

    def pair(self, point: Sequence[int]) -> tuple[int, ...]:
        return tuple(ints_of(self._tree.pair(join(point))))

    def bind(self, r: int) -> None:
        self._tree.bind(bytes_of(r))

    def ends(self) -> tuple[int, int, int, int]:
        p0, q0, p1, q1 = ints_of(self._tree.ends())
        return p0, q0, p1, q1
