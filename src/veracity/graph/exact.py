"""Exact integer matrix products at BLAS speed.

A float64 product of integers is exact while every partial sum stays below 2^53. Where the bound
fails, the left operand is split into halves of its bits until it holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from veracity.errors import UsageError

__all__ = ["Prepared", "PreparedWeights", "matmul", "prepare", "rhu", "transposed"]

_EXACT = 1 << 53


def rhu(x: NDArray[np.int64], shift: int) -> NDArray[np.int64]:
    """``floor((x + 2^(shift-1)) / 2^shift)``: round half up, the one rounding rule."""
    return x if shift == 0 else (x + (1 << (shift - 1))) >> shift


def _magnitude(x: NDArray[np.integer]) -> int:
    return max(abs(int(x.min())), abs(int(x.max()))) if x.size else 0


@dataclass(frozen=True)
class Prepared:
    """A right operand in float64 with its largest magnitude: made once, used for many tokens."""

    values: NDArray[np.float64]
    magnitude: int


def prepare(b: NDArray[np.integer]) -> Prepared:
    """Convert a right operand."""
    return Prepared(b.astype(np.float64), _magnitude(b))


def matmul(a: NDArray[np.int64], b: NDArray[np.integer] | Prepared) -> NDArray[np.int64]:
    """Exact ``a @ b`` as int64 for stacks of integer matrices.

    Raises
    ------
    UsageError
        If a result might exceed 62 bits.
    """
    right = b if isinstance(b, Prepared) else prepare(b)
    big_a, k = _magnitude(a), a.shape[-1]
    if k * big_a * right.magnitude >= 1 << 62:
        raise UsageError("an accumulator would exceed 62 bits; use fewer weight or activation bits")

    def product(left: NDArray[np.int64], bound: int) -> NDArray[np.int64]:
        if k * bound * right.magnitude < _EXACT:
            return np.asarray(left.astype(np.float64) @ right.values).astype(np.int64)
        half = max(1, bound.bit_length() // 2)
        high, low = left >> half, left & ((1 << half) - 1)
        return (product(high, (bound >> half) + 1) << half) + product(low, (1 << half) - 1)

    return product(a, big_a)


class PreparedWeights(Mapping[str, NDArray[np.integer]]):
    """Integer weights that remember their float64 matrices; for passes over many tokens.

    Costs eight bytes a parameter while it lives.
    """

    def __init__(self, weights: Mapping[str, NDArray[np.integer]]) -> None:
        self._weights = weights
        self._prepared: dict[str, Prepared] = {}

    def __getitem__(self, name: str) -> NDArray[np.integer]:
        return self._weights[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._weights)

    def __len__(self) -> int:
        return len(self._weights)

    def transposed(self, name: str) -> Prepared:
        """The transpose of a weight matrix, prepared."""
        if name not in self._prepared:
            self._prepared[name] = prepare(self._weights[name].T)
        return self._prepared[name]


def transposed(
    weights: Mapping[str, NDArray[np.integer]], name: str
) -> NDArray[np.integer] | Prepared:
    """The transpose of a weight matrix as a right operand."""
    if isinstance(weights, PreparedWeights):
        return weights.transposed(name)
    return weights[name].T
