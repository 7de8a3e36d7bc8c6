"""Terms that read one entry each of a committed array, on the prover's way through a sumcheck.

A claim ``sum_k c_k X[i_k]`` has functionals with one entry. As tables they would have a whole row
of an array for each ``k``: the answer tokens of a language model have as many rows of its
vocabulary. But of an array that is bound from its last axis on, a round needs two values for each
``k``: the one under which ``i_k`` lies, and its neighbour. The first is known from the round
before; the second is a sum over as many integers as have been bound so far.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from veracity.engine.api import Engine, Ints, Vec
from veracity.zk.mle import axis_bits, eq_dense, sum_by_index, variables
from veracity.zk.sumcheck import Pair

__all__ = ["SingleEntries"]


class SingleEntries:
    """The prover's state of ``sum_k c_k X[i_k]`` while the axes from ``split`` on are bound.

    Parameters
    ----------
    engine : Engine
        Backend.
    values : Ints
        The array.
    split : int
        The first axis that is bound.
    places : sequence of tuple of int
        The index of each entry.
    coefficients : sequence of int
        What it counts.

    Attributes
    ----------
    pair : Pair
        For each entry a row of the two values, beside a row of what weighs them: the inner product
        that the next variable is of.
    """

    def __init__(
        self,
        engine: Engine,
        values: Ints,
        split: int,
        places: Sequence[tuple[int, ...]],
        coefficients: Sequence[int],
    ) -> None:
        self._engine, self._values, self._split = engine, values, split
        self._places = np.array(places, dtype=np.int64).T  # (axes, entries)
        self._point: list[int] = []
        own = engine.from_small(np.ascontiguousarray(values[tuple(self._places)]))
        self.pair = self._paired(own, engine.from_ints(coefficients))

    def bind(self, r: int) -> None:
        """Go on to the next variable; that of the pair is bound."""
        self._point.append(r)
        self.pair = self._paired(self.pair.a, self.pair.b)

    def outer(self) -> Vec:
        """What weighs the array over the axes before ``split``, once all others are bound."""
        dims = self._values.shape[: self._split]
        size = int(np.prod(dims, dtype=np.int64))
        at = np.zeros(self._places.shape[1], dtype=np.int64)
        for axis, dim in enumerate(dims):
            at = at * dim + self._places[axis]
        return sum_by_index(self._engine, self.pair.b, at.tolist(), size)

    def _paired(self, own: Vec, weights: Vec) -> Pair:
        """Rows for the next variable: both halves of what is under the entries, and the weights."""
        engine, count = self._engine, len(own)
        axis, bound = self._next()
        if axis < self._split:
            return Pair(engine, own, weights, (), count)
        upper = (self._places[axis] >> bound & 1).astype(bool)
        each = np.arange(count, dtype=np.int64)
        both = engine.concat([own, self._neighbours(axis, bound)])
        rows = np.stack([np.where(upper, each + count, each), np.where(upper, each, each + count)])
        a = engine.gather(both, np.ascontiguousarray(rows.T).reshape(-1))
        rows = np.stack([np.where(upper, count, each), np.where(upper, each, count)])
        beside = engine.pad(weights, 0, 1)
        b = engine.gather(beside, np.ascontiguousarray(rows.T).reshape(-1))
        return Pair(engine, a, b, (2,), count)

    def _next(self) -> tuple[int, int]:
        """The axis of the next variable, and how many of its variables are bound."""
        left, axis = len(self._point), self._values.ndim - 1
        while axis >= self._split and left >= axis_bits(self._values.shape[axis]):
            left -= axis_bits(self._values.shape[axis])
            axis -= 1
        return axis, left

    def _neighbours(self, axis: int, bound: int) -> Vec:
        """The array's values beside those of the entries, with the variables so far bound."""
        dims = self._values.shape[axis:]
        start = ((self._places[axis] >> bound) ^ 1) << bound
        index: NDArray[np.int64] = start[:, None] + np.arange(1 << bound, dtype=np.int64)
        present = index < dims[0]
        before = [place[:, None] for place in self._places[:axis]]
        found = self._values[(*before, np.minimum(index, dims[0] - 1))]
        found[~present] = 0
        later = variables(dims[1:])
        table = eq_dense(self._engine, self._point[: later + bound], (1 << bound, *dims[1:]))
        flat = np.ascontiguousarray(found).reshape(len(start), -1, 1)
        return self._engine.contract(flat, table)
