"""Counting a proof's bytes by running its verifier over shapes.

The verifier's code depends on public shapes only, so what it would read can be counted without a
proof: a transcript that hands out zeros and notes how many, and an engine whose vectors have
lengths but no entries. There is no formula for the size of a proof that could fall behind the code.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from veracity.engine.api import POINT_BYTES, SCALAR_BYTES
from veracity.zk.keys import SLOTS, CommitmentKey
from veracity.zk.transcript import VerifierTranscript

__all__ = ["CountingTranscript", "Shape", "ShapeEngine", "shape_key"]


class Shape:
    """A vector of which only the length is known."""

    def __init__(self, n: int) -> None:
        self._n = n

    def __len__(self) -> int:
        return self._n

    def __getitem__(self, key: slice) -> Shape:
        return Shape(len(range(*key.indices(self._n))))


class CountingTranscript(VerifierTranscript):
    """Reads zeros, as many as the verifier asks for, and counts them.

    Attributes
    ----------
    position : int
        Bytes read so far.
    """

    def __init__(self) -> None:
        super().__init__("", b"", b"")

    def absorb(self, label: str, data: bytes) -> None:
        """Nothing: challenges do not depend on anything."""

    def challenge_bytes(self, _label: str, size: int) -> bytes:
        """Zeros."""
        return bytes(size)

    def challenge(self, _label: str) -> int:
        """Two: neither zero nor one, so that everything has an inverse that should."""
        return 2

    def read(self, _label: str, size: int) -> bytes:
        """Zeros."""
        self._at += size
        return bytes(size)

    def read_scalar(self, _label: str) -> int:
        """Zero."""
        self._at += SCALAR_BYTES
        return 0


class ShapeEngine:
    """The operations that verifiers use, on lengths; see :class:`veracity.engine.api.Engine`."""

    name = "shapes"
    threads = 1

    def from_ints(self, values: Sequence[int]) -> Shape:
        """As many entries as values."""
        return Shape(len(values))

    def from_small(self, values: Any) -> Shape:
        """As many entries as values."""
        return Shape(int(values.size))

    def to_ints(self, v: Shape) -> list[int]:
        """Ones."""
        return [1] * len(v)

    def concat(self, parts: Sequence[Shape]) -> Shape:
        """Lengths add up."""
        return Shape(sum(len(p) for p in parts))

    def pad(self, a: Shape, before: int, after: int) -> Shape:
        """Lengths add up.

        Parameters
        ----------
        a : Shape
            Elements.
        before, after : int
            How many zeros stand on each side.
        """
        return Shape(before + len(a) + after)

    def same(self, a: Shape, *_others: Any) -> Shape:
        """The length of the first operand."""
        return Shape(len(a))

    add = sub = mul = scale = cumsum = scale_points = add_points = same
    concat_points = concat

    def lincomb(self, vectors: Sequence[Shape], _coefficients: Sequence[int]) -> Shape:
        """The length of the longest."""
        return Shape(max((len(v) for v in vectors), default=0))

    def outer(self, a: Shape, b: Shape) -> Shape:
        """Lengths multiply."""
        return Shape(len(a) * len(b))

    def dot(self, _a: Shape, _b: Shape) -> int:
        """One."""
        return 1

    def gather(self, _a: Shape, index: Any) -> Shape:
        """As many entries as indices."""
        return Shape(len(index))

    def eq(self, _point: Sequence[int], n: int) -> Shape:
        """``n`` entries."""
        return Shape(n)

    eq_halved = eq

    def contract(self, m: Any, _v: Shape) -> Shape:
        """The outer and the inner axis."""
        return Shape(prod((m.shape[0], m.shape[2])))

    def logup_denominators(self, leaves: Any) -> Shape:
        """All entries."""
        return Shape(len(leaves))

    def msm(self, _points: Shape, _scalars: Shape) -> Shape:
        """One point."""
        return Shape(1)

    def decompress(self, data: bytes, behind: bool = False) -> Shape:
        """As many points as there are bytes for."""
        return Shape(len(data) // POINT_BYTES)


def shape_key(log_columns: int) -> CommitmentKey:
    """A commitment key without points."""
    one = Shape(1)
    return CommitmentKey(log_columns, Shape(1 << log_columns), Shape(SLOTS), one, one, one)
