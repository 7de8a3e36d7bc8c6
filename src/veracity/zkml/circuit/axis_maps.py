"""The steps of wires as linear maps: transposed from the description that evaluation uses.

A step that reads at most one entry for each of its result is transposed by prefix sums: for every
entry of the source, over the coefficients of all results that read it. Nothing is committed, and
the work is proportional to one axis and the taps on it, never to the array.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import prod

import numpy as np
from numpy.typing import NDArray

from veracity.engine.api import Engine, Vec
from veracity.graph.axes import KEPT_ENTRIES, Step, axis_index, axis_shape, is_indexed
from veracity.graph.wires import Wire, apply_step, axis_matrix, step_gain
from veracity.records import record
from veracity.zk.mle import kron
from veracity.zk.reduction import Functional
from veracity.zkml.circuit.linear_maps import (
    Broadcast,
    LinearMap,
    Permute,
    Split,
    Sum,
    Values,
    functional_of,
    vectors_of,
)

__all__ = ["AxisIndex", "AxisMatrix", "maps_of"]


@record
class AxisIndex:
    """Entries of an axis of length ``size`` by public indices; see :func:`axis_index`."""

    step: Step
    size: int

    def shape(self, dims: tuple[int, ...]) -> tuple[int, ...]:
        """See :class:`LinearMap`."""
        axis = self.step.axis
        return (*dims[:axis], *axis_shape(self.step, self.size), *dims[axis + 1 :])

    def forward(self, x: Values) -> Values:
        """See :class:`LinearMap`."""
        return apply_step(self.step, x)

    def gain(self) -> int:
        """See :class:`LinearMap`."""
        return 1

    def pull(self, engine: Engine, functional: Functional) -> tuple[int, Functional]:
        """See :class:`LinearMap`."""
        vectors, axis = vectors_of(functional), self.step.axis
        span = len(axis_shape(self.step, self.size))
        total = _gathered(engine, self.step, self.size, vectors[axis : axis + span])
        return 1, functional_of([*vectors[:axis], total, *vectors[axis + span :]])


def _gathered(engine: Engine, step: Step, size: int, vectors: Sequence[Vec]) -> Vec:
    """For each entry of an axis the sum over the coefficients of all results that read it."""
    small = max(size, prod(axis_shape(step, size))) <= KEPT_ENTRIES
    order, ends = (_kept_readers if small else _readers)(step, size)
    joint = kron(engine, vectors)
    found = engine.gather(joint, order)
    del joint, order  # one axis may have millions of entries: two vectors at a time, not five
    # An entry's readers stand side by side: a difference of prefix sums, however many there are.
    found = engine.pad(found, 1, 0)
    sums = engine.cumsum(found)
    del found
    upper = engine.gather(sums, ends[1:])
    lower = engine.gather(sums, ends[:-1])
    del sums
    return engine.sub(upper, lower)


def _readers(step: Step, size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Results by the entry that they read, and where those of each entry begin and end."""
    index = axis_index(step, size).reshape(-1)
    read = np.flatnonzero(index >= 0)
    order = read[np.argsort(index[read], kind="stable")]
    ends = np.concatenate([[0], np.cumsum(np.bincount(index[read], minlength=size))])
    return order, ends.astype(np.int64)


_kept_readers = lru_cache(maxsize=256)(_readers)


@record
class AxisMatrix:
    """A public matrix times an axis of length ``size``."""

    step: Step
    size: int

    def shape(self, dims: tuple[int, ...]) -> tuple[int, ...]:
        """See :class:`LinearMap`."""
        rows = len(axis_matrix(self.step, self.size))
        return (*dims[: self.step.axis], rows, *dims[self.step.axis + 1 :])

    def forward(self, x: Values) -> Values:
        """See :class:`LinearMap`."""
        return apply_step(self.step, x)

    def gain(self) -> int:
        """See :class:`LinearMap`."""
        return step_gain(self.step, self.size)

    def pull(self, engine: Engine, functional: Functional) -> tuple[int, Functional]:
        """See :class:`LinearMap`."""
        vectors = vectors_of(functional)
        matrix = axis_matrix(self.step, self.size)
        axis = self.step.axis
        vectors[axis] = engine.contract(matrix[None], vectors[axis])
        return 1, functional_of(vectors)


def maps_of(wire: Wire, dims: Sequence[int]) -> tuple[LinearMap, ...]:
    """The maps of a wire that fits an array of these dims."""
    out: list[LinearMap] = []
    shape = tuple(dims)
    for step in wire:
        found: LinearMap
        if step.kind == "permute":
            found = Permute(step.numbers)
        elif step.kind == "repeat":
            found = Broadcast(step.axis, step.numbers[0])
        elif step.kind == "split":
            found = Split(step.axis, step.numbers)
        elif step.kind == "sum":
            found = Sum(step.axis, shape[step.axis])
        elif is_indexed(step):
            found = AxisIndex(step, shape[step.axis])
        else:
            found = AxisMatrix(step, shape[step.axis])
        out.append(found)
        shape = found.shape(shape)
    return tuple(out)
