"""The Pallas group in Python integers: the definition of the group operations of an engine.

Points are kept in NumPy object arrays whose entries are ``(x, y)`` or ``None`` for the identity.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.engine.api import COORDINATE_BYTES, POINT_BYTES, Ints
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
from veracity.engine.reference.inner_product import ReferenceInnerProduct

__all__ = ["ReferenceGroup"]


def _array(points: Iterable[Affine]) -> NDArray[Any]:
    listed = list(points)
    out = np.empty(len(listed), dtype=object)
    for i, p in enumerate(listed):
        out[i] = p
    return out


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

    def decompress(self, data: bytes) -> NDArray[Any]:
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
