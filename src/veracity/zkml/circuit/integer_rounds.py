"""Inner products of integers: the first rounds of their sumcheck, before any field element.

Rows of operands ``x, y`` are cut into blocks of 2^k entries. With public weights ``u`` of rows and
``w`` of the entries of a row, all that the first k rounds need is

    S(c, c') = sum_{o, i} u_o w_(i, c) x(o, i, c) y(o, i, c'),

sums of products of integers. Then ``a = u w x`` and ``b = y`` are bound in one pass, and what is
stored of them as field elements is 2^k times shorter.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from veracity.engine.api import ORDER, Engine, Ints, Vec
from veracity.zk.mle import axis_bits, kron, ones
from veracity.zk.sumcheck import Pair

__all__ = ["IntegerPair", "product_type"]

#: Variables that are bound over the integers.
ROUNDS = 2
#: Blocks of a row that are worth a pass.
FEW = 8
#: Products that are made at a time.
_PRODUCTS = 1 << 19


def product_type(x: Ints, y: Ints) -> np.dtype[np.signedinteger] | None:
    """What holds every product of an entry of each; None where 64 bits do not suffice."""
    largest = 1
    for array in (x, y):
        if array.dtype == object or not array.size:
            return None
        largest *= max(int(array.max()), -int(array.min()), 1)
    if largest < 1 << 31:
        return np.dtype(np.int32)
    return np.dtype(np.int64) if largest < 1 << 63 else None


class IntegerPair:
    """An instance ``sum_(o, i) u_o w_i x(o, i) y(o, i)`` of a sumcheck; see the module text.

    Parameters
    ----------
    engine : Engine
        Backend.
    operands : tuple of Ints
        ``x`` and ``y``, with ``dims``.
    dtype : dtype
        What holds their products.
    weights : sequence of Vec
        One for each axis.
    dims : sequence of int
        Dims; the last one has at least :data:`ROUNDS` variables.
    """

    factor = 1

    def __init__(
        self,
        engine: Engine,
        operands: tuple[Ints, Ints],
        dtype: np.dtype[np.signedinteger],
        weights: Sequence[Vec],
        dims: Sequence[int],
    ) -> None:
        self._engine, self._dims = engine, dims
        self.variables = sum(map(axis_bits, dims))
        cut = _first_of_entries(dims)
        self._operands = _blocks(operands[0], cut), _blocks(operands[1], cut)
        _, blocks, width = self._operands[0].shape
        last = engine.pad(weights[-1], 0, -dims[-1] % width)
        entries = kron(engine, [*weights[cut:-1], last])
        self._weights = kron(engine, weights[:cut]), _turned(engine, entries, blocks)
        self._sums = self._products(dtype)
        self._point: list[int] = []
        self._pair: Pair | None = None

    def _products(self, dtype: np.dtype[np.signedinteger]) -> list[list[int]]:
        """``S``, some blocks at a time: the products of few of them fit in a cache."""
        engine, (x, y), (rows, entries) = self._engine, self._operands, self._weights
        count, blocks, width = x.shape
        step = max(FEW, _PRODUCTS // max(1, count * width * width) // FEW * FEW)
        sums = [[0] * width for _ in range(width)]
        for start in range(0, blocks, step):
            end = min(blocks, start + step)
            found = engine.integers.block_products((x, y), start, end, dtype)
            by_block = engine.contract(found.reshape(width, count, -1), rows)
            for c, row in enumerate(sums):
                weights = entries[c * blocks + start : c * blocks + end]
                for d in range(width):
                    at = (c * width + d) * (end - start)  # (width, width, blocks)
                    row[d] += engine.dot(by_block[at : at + end - start], weights)
        return sums

    def pairs(self) -> Sequence[Pair]:
        """See :class:`~veracity.zk.sumcheck.Instance`."""
        return () if self._pair is None else (self._pair,)

    def others(self) -> tuple[int, int, int]:
        """See :class:`~veracity.zk.sumcheck.Instance`: a round over the integers."""
        if self._pair is not None:
            return 0, 0, 0
        s, ends = self._sums, range(0, len(self._sums), 2)
        zero, one = sum(s[c][c] for c in ends), sum(s[c + 1][c + 1] for c in ends)
        mixed = sum(s[c][c + 1] + s[c + 1][c] for c in ends)
        return zero % ORDER, (mixed - 2 * zero) % ORDER, (zero - mixed + one) % ORDER

    def bind(self, r: int) -> None:
        """See :class:`~veracity.zk.sumcheck.Instance`."""
        if self._pair is not None:
            return
        self._point.append(r)
        columns = zip(*[_bound(row, r) for row in self._sums], strict=True)
        self._sums = [list(row) for row in zip(*[_bound(c, r) for c in columns], strict=True)]
        if len(self._point) == ROUNDS:
            self._pair = self._to_pair()

    def _to_pair(self) -> Pair:
        engine, (x, y), (rows, entries) = self._engine, self._operands, self._weights
        _, blocks, width = x.shape
        table = engine.eq(self._point, width)
        alike = engine.outer(table, ones(engine, blocks))
        a = engine.weigh_blocks(x, rows, engine.mul(entries, alike))
        b = engine.weigh_blocks(y, None, alike)
        return Pair(engine, a, b, (*self._dims[:-1], -(-self._dims[-1] // width)))

    def value(self) -> int:
        """The sum over what is not yet bound."""
        if self._pair is not None:
            return self._pair.value()
        return sum(row[c] for c, row in enumerate(self._sums)) % ORDER

    def ends(self) -> tuple[int, int]:
        """The bound operands."""
        if self._pair is None:
            raise ValueError("not all variables are bound")
        return self._pair.ends()


def _bound(values: Sequence[int], r: int) -> list[int]:
    """A table of numbers with its first variable bound."""
    return [(a + r * (b - a)) % ORDER for a, b in zip(values[::2], values[1::2], strict=True)]


def _first_of_entries(dims: Sequence[int]) -> int:
    """The axis from which on entries are those of a row: rows have a few blocks at least."""
    cut = len(dims) - 1
    while cut > 1 and prod(dims[cut:]) < FEW << ROUNDS:
        cut -= 1
    return cut


def _blocks(values: Ints, cut: int) -> Ints:
    """(rows, blocks, 2^ROUNDS): rows are the axes before ``cut``, the last axis is filled up."""
    width = 1 << ROUNDS
    more = -values.shape[-1] % width
    if more:
        values = np.pad(values, [*[(0, 0)] * (values.ndim - 1), (0, more)])
    whole = np.ascontiguousarray(values)
    return whole.reshape(prod(values.shape[:cut]), -1, width)


def _turned(engine: Engine, entries: Vec, blocks: int) -> Vec:
    """Entries (block, place in it) by place."""
    at = np.arange(len(entries), dtype=np.int64).reshape(blocks, -1).T
    return engine.gather(entries, np.ascontiguousarray(at).reshape(-1))
