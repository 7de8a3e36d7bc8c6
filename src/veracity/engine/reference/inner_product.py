"""Inner-product arguments in Python integers: the definition."""

# ruff: noqa: D102 (engine.api documents the operations)
from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.engine.api import ORDER
from veracity.engine.reference.curve import Affine, sum_of_multiples

__all__ = ["ReferenceInnerProduct"]


class ReferenceInnerProduct:
    """Vectors and points of one length; see :class:`veracity.engine.api.InnerProduct`."""

    def __init__(self, bases: list[Affine], inner: Affine, a: list[int], b: list[int]) -> None:
        self._bases, self._inner, self._a, self._b = bases, inner, a, b

    def cross(self) -> NDArray[Any]:
        half = self._half()
        out = np.empty(2, dtype=object)
        out[0] = self._sum(self._a[:half], self._bases[half:], self._b[half:])
        out[1] = self._sum(self._a[half:], self._bases[:half], self._b[:half])
        return out

    def fold(self, x: int) -> None:
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
