"""A committer of field elements that are no small integers, and what it can do about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from veracity.engine.api import ORDER, Engine, Ints, Points, Vec
from veracity.zk.projection import LIMBS


class WideEngine:
    """An engine that also takes arrays of field elements (dtype object) as columns."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def _limbs(self, values: Ints) -> list[Ints]:
        return [(values % ORDER >> 48 * i & (1 << 48) - 1).astype(np.int64) for i in range(6)]

    def contract(self, m: Ints, v: Vec) -> Vec:
        if m.dtype != object:
            return self._engine.contract(m, v)
        parts = [self._engine.contract(np.ascontiguousarray(x), v) for x in self._limbs(m)]
        return self._engine.lincomb(parts, [1 << 48 * i for i in range(6)])

    def contract_sum(self, arrays: Sequence[Ints], v: Vec) -> Vec:
        if all(m.dtype != object for m in arrays):
            return self._engine.contract_sum(arrays, v)
        ends = np.cumsum([m.shape[1] for m in arrays]).tolist()
        sums = [self.contract(m, v[e - m.shape[1] : e]) for m, e in zip(arrays, ends, strict=True)]
        return self._engine.lincomb(sums, [1] * len(sums))

    def commit_rows(self, values: Ints, index: Ints, bases: Points) -> Points:
        if values.dtype != object:
            return self._engine.commit_rows(values, index, bases)
        total = None
        for i, x in enumerate(self._limbs(values)):
            rows = self._engine.commit_rows(np.ascontiguousarray(x), index, bases)
            scale = self._engine.from_ints([1 << 48 * i] * len(rows))
            rows = self._engine.scale_points(rows, scale)
            total = rows if total is None else self._engine.add_points(total, rows)
        return total


def wide_project(_: Any, directions: Any, values: Any) -> Ints:
    """The projection of field elements."""
    total: Any = 0
    for d in directions:
        matrix = values[d.sides.id].reshape(d.sides.outer, d.sides.inner).astype(object)
        total = total + d.left.astype(object) @ matrix @ d.right.astype(object).T
    return total


def wide_limbs(projection: Ints) -> list[Ints]:
    """Limbs of the residue modulo 2^48: what a cheater can get through the range check."""
    shifted = projection % ORDER + (1 << 47)
    return [(shifted >> 16 * i & 0xFFFF).astype(np.uint16) for i in range(LIMBS)]
