"""The Pallas group in Python integers: the definition of the group operations of an engine.

Points are kept in NumPy object arrays whose entries are ``(x, y)`` or ``None`` for the identity.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.engine.api import COORDINATE_BYTES, ORDER, POINT_BYTES, Ints
from veracity.engine.checks import check_index, check_inner_product, check_small
from veracity.engine.reference.curve import (
    Affine,
    decode,
    decode_coordinates,
    encode,
    encode_coordinates,
    sum_of_multiples,
)
from veracity.engine.reference.hash_to_curve import hash_to_curve

__all__ = ["ReferenceGroup"]


def _array(points: Iterable[Affine]) -> NDArray[Any]:
    listed = list(points)
    out = np.empty(len(listed), dtype=object)
    for i, p in enumerate(listed):
        out[i] = p
    return out


class ReferenceInnerProduct:
    """Vectors and points of one length; see :class:`veracity.engine.api.InnerProduct`."""

    def __init__(self, bases: list[Affine], inner: Affine, a: list[int], b: list[int]) -> None:
        self._bases, self._inner, self._a, self._b = bases, inner, a, b

    def cross(self) -> NDArray[Any]:
        """The two cross terms of a round."""
        half = self._half()
        out = np.empty(2, dtype=object)
        out[0] = self._sum(self._a[:half], self._bases[half:], self._b[half:])
        out[1] = self._sum(self._a[half:], self._bases[:half], self._b[:half])
        return out

    def fold(self, x: int) -> None:
        """Halve all operands by a challenge."""
        half, x = self._half(), x % ORDER
        inverse = pow(x, -1, ORDER)
        padding = 2 * half - len(self._a)
        a, b = self._a + [0] * padding, self._b + [0] * padding
        bases = self._bases + [None] * padding
        halves = zip(bases[:half], bases[half:], strict=True)
        self._a = [
            (low + inverse * high) % ORDER for low, high in zip(a[:half], a[half:], strict=True)
        ]
        self._b = [(low + x * high) % ORDER for low, high in zip(b[:half], b[half:], strict=True)]
        self._bases = [sum_of_multiples([(1, low), (x, high)]) for low, high in halves]

    def end(self) -> int:
        """The only entry of the committed vector."""
        if len(self._a) != 1:
            raise ValueError("an inner product is folded before its end")
        return self._a[0] % ORDER

    def _half(self) -> int:
        """Entries of the lower half."""
        if len(self._a) == 1:
            raise ValueError("an inner product of one entry is not folded")
        return 1 << (len(self._a) - 1).bit_length() - 1

    def _sum(self, scalars: list[int], points: list[Affine], others: list[int]) -> Affine:
        """``<scalars, points> + <scalars, others> U``, as far as the shorter half goes."""
        n = min(len(scalars), len(others))
        value = sum(s * o for s, o in zip(scalars[:n], others[:n], strict=True)) % ORDER
        terms = zip(scalars[:n], points[:n], strict=True)
        return sum_of_multiples([*terms, (value, self._inner)])


class ReferenceGroup:
    """The group operations of :class:`veracity.engine.api.Engine`; see there for each.

    A mix-in: the class it joins supplies ``to_ints`` for vectors of scalars.
    """

    def to_ints(self, v: Any) -> list[int]:
        """Canonical representatives of a vector of scalars; the field half of the engine."""
        raise NotImplementedError

    def generators(self, label: str, n: int) -> NDArray[Any]:
        """``n`` points by hash-to-curve of the index (8 bytes, little-endian) in ``label``."""
        if n < 0:
            raise ValueError("negative number of generators")
        return _array(hash_to_curve(label, i.to_bytes(8, "little")) for i in range(n))

    def commit_rows(self, values: Ints, index: NDArray[np.int64], bases: Any) -> NDArray[Any]:
        """``out[r] = sum_j values[r, j] * bases[index[j]]``.

        Parameters
        ----------
        values : Ints
            (R, m).
        index : int array
            Which base each of the m columns takes.
        bases : Points
            At least as many as the greatest index asks for.
        """
        check_small(values, shape=(None, len(index)))
        check_index(index, len(bases))
        chosen = [bases[int(j)] for j in index]
        return _array(sum_of_multiples(zip(map(int, row), chosen, strict=True)) for row in values)

    def msm(self, points: Any, scalars: Any) -> NDArray[Any]:
        """``sum_i scalars[i] points[i]`` as one point."""
        return _array([sum_of_multiples(zip(self.to_ints(scalars), points, strict=True))])

    def scale_points(self, points: Any, scalars: Any) -> NDArray[Any]:
        """``out[i] = scalars[i] * points[i]``; a ``points`` of length 1 is broadcast."""
        values = self.to_ints(scalars)
        if len(points) == 1:
            return _array(sum_of_multiples([(k, points[0])]) for k in values)
        return _array(sum_of_multiples([(k, p)]) for k, p in zip(values, points, strict=True))

    def add_points(self, a: Any, b: Any) -> NDArray[Any]:
        """Element-wise sum."""
        return _array(sum_of_multiples([(1, p), (1, q)]) for p, q in zip(a, b, strict=True))

    def concat_points(self, parts: Sequence[Any]) -> NDArray[Any]:
        """Concatenation; the empty sequence gives an empty vector."""
        return _array(p for part in parts for p in part)

    def inner_product(self, bases: Any, inner: Any, a: Any, b: Any) -> ReferenceInnerProduct:
        """The operands of an inner-product argument.

        Parameters
        ----------
        bases : Points
            As many as there are entries, at least one.
        inner : Points
            One point, for inner products.
        a, b : Vec
            The vector over ``bases``, and the other one.
        """
        check_inner_product(bases, inner, a, b)
        return ReferenceInnerProduct(list(bases), inner[0], self.to_ints(a), self.to_ints(b))

    def compress(self, points: Any) -> bytes:
        """Canonical encoding, 32 bytes a point."""
        return b"".join(map(encode, points))

    def decompress(self, data: bytes, behind: bool = False) -> NDArray[Any]:
        """Inverse of :meth:`compress`; ``ValueError`` for any other bytes."""
        if len(data) % POINT_BYTES:
            raise ValueError("decompress: length is not a multiple of 32")
        return _array(decode(data[i : i + POINT_BYTES]) for i in range(0, len(data), POINT_BYTES))

    def coordinates(self, points: Any) -> bytes:
        """Both coordinates, 64 bytes a point."""
        return b"".join(encode_coordinates(p) for p in points)

    def from_coordinates(self, data: bytes) -> NDArray[Any]:
        """Inverse of :meth:`coordinates`; ``ValueError`` for any other bytes."""
        if len(data) % COORDINATE_BYTES:
            raise ValueError("from_coordinates: length is not a multiple of 64")
        starts = range(0, len(data), COORDINATE_BYTES)
        return _array(decode_coordinates(data[i : i + COORDINATE_BYTES]) for i in starts)
