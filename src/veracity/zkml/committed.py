"""Committed tensors: ONE class and ONE layout rule for everything that stands under Pedersen rows.

Model weights, values at a boundary between two circuits, sealed inputs and outputs (and later rows
of data and checkpoints) are committed in the same way, so that whatever one proof outputs under a
commitment another takes as input, byte for byte. Everything that decides which bytes these are is
part of the tensor's digest; nothing is derived from the proof that made it.

The layout rule. Axes are stored by rising fill ``d / 2^ceil(log2 d)``, ties by their number: the
axis that fills its padded length best lies fastest. The low variables index the entries of a row,
and padding there wastes row commitments.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import field
from functools import cached_property, lru_cache
from itertools import accumulate, permutations
from math import prod

from veracity.engine.api import POINT_BYTES, Engine, Ints, Points, Vec
from veracity.errors import FormatError
from veracity.records import record
from veracity.zk.committed import ArrayId, ArrayShape, CommittedArray, count_rows
from veracity.zk.keys import GENERATOR_LABEL
from veracity.zk.mle import axis_bits
from veracity.zk.transcript import framed

__all__ = [
    "CommittedTensor",
    "TensorSpec",
    "inner_cut",
    "order_of_rows",
    "row_blinds",
    "storage_order",
]

#: Axes of which all orders are tried; a row count must fall by this share to change the usual one,
#: and both sides of the array as a matrix must not grow by more than this factor.
_MOST_AXES, _GAIN, _UNEVEN = 5, 1 / 16, 1.5


def storage_order(dims: Sequence[int], fixed: int = 0, leading: int = 0) -> tuple[int, ...]:
    """Axes in storage order, slowest first.

    Parameters
    ----------
    dims : sequence of int
        Lengths of the axes.
    fixed, leading : int
        How many of the last and of the first axes stay where they are.
    """
    free = list(range(leading, len(dims) - fixed))
    free.sort(key=lambda axis: (dims[axis] / (1 << axis_bits(dims[axis])), axis))
    return (*range(leading), *free, *range(len(dims) - fixed, len(dims)))


#: Axes in storage order, slowest first; and how many of them each stored axis is made of.
Storage = tuple[tuple[int, ...], tuple[int, ...]]


@lru_cache(maxsize=1024)
def order_of_rows(dims: tuple[int, ...], row_bits: int, joint: bool = False) -> Storage:
    """Axes in storage order, slowest first, so that they fill few rows; which of them are merged.

    The order is that of :func:`storage_order`, unless another one takes clearly fewer rows: what is
    shorter than its power of two wastes least where rows are cut, or in front. Neighbours may be
    merged into one axis, as long as their product: it is padded once, where they would be one by
    one. The array has to remain a matrix of about equal sides, whose functionals are short: each
    is as long as both together.

    Parameters
    ----------
    dims : tuple of int
        Lengths of the axes.
    row_bits : int
        Logarithm of the row length.
    joint : bool
        Whether the last two axes stay side by side, in this order.

    Returns
    -------
    order, merged : tuple of int
        The axes in storage order; how many of them make each axis that is stored.
    """
    usual: Storage = (storage_order(dims, 2 if joint else 0), (1,) * len(dims))
    last = len(dims) - 2 if joint else -1  # the first of the joint axes
    units: list[tuple[int, ...]] = [(i,) for i in range(len(dims) - (2 if joint else 0))]
    units += [(last, last + 1)] if joint else []

    def lengths(choice: Storage) -> list[int]:
        found, axes = [], iter(choice[0])
        for count in choice[1]:
            found.append(prod(dims[next(axes)] for _ in range(count)))
        return found

    def rows(choice: Storage) -> int:
        return count_rows(lengths(choice), row_bits)

    def sides(choice: Storage) -> int:
        found, within = lengths(choice), inner_cut(*choice, last)
        cuts = [k for k in range(1, len(found)) if k != within]
        return min((prod(found[:k]) + prod(found[k:]) for k in cuts), default=1 + prod(found))

    enough = rows(usual) * (1 - _GAIN)
    if -(-prod(dims) >> row_bits) > enough or not 1 < len(units) <= _MOST_AXES:
        return usual
    most = _UNEVEN * sides(usual)
    choices = [(sum(o, ()), merged) for o in permutations(units) for merged in _mergers(o)]
    for choice in sorted(choices, key=lambda c: (rows(c), len(dims) - len(c[1]))):
        if rows(choice) > enough:
            break
        if sides(choice) <= most:
            return choice
    return usual


def inner_cut(order: tuple[int, ...], merged: tuple[int, ...], first: int) -> int:
    """After how many stored axes a cut parts two axes that lie side by side; 0 where none does.

    Parameters
    ----------
    order, merged : tuple of int
        As :func:`order_of_rows` gives them.
    first : int
        The first of the two; negative where there are none.
    """
    if first < 0:
        return 0
    ends = list(accumulate(merged))
    place = order.index(first) + 1
    return ends.index(place) + 1 if place in ends else 0


def _mergers(units: Sequence[tuple[int, ...]]) -> Iterator[tuple[int, ...]]:
    """Ways to store axes in this order: each alone, or those of one run of units as one axis."""
    sizes = [len(unit) for unit in units]
    yield (1,) * sum(sizes)
    for start in range(len(units)):
        for stop in range(start + 1, len(units) + 1):
            run = sum(sizes[start:stop])
            if run > 1 and stop - start < len(units):
                yield (*(1,) * sum(sizes[:start]), run, *(1,) * sum(sizes[stop:]))


@record
class TensorSpec:
    """All that is public about a committed tensor but its rows.

    Attributes
    ----------
    dims : tuple of int
        Dims in natural order.
    exponent : int
        Real value = integer * 2^-exponent.
    low, high : int
        Stated range of the integers, inclusive (what is *proved* of them is another matter).
    row_bits : int
        Logarithm of the row length.
    leading : int
        Axes that lie slowest whatever their length: examples of a data set, whose rows go where
        the examples go.
    """

    dims: tuple[int, ...]
    exponent: int
    low: int
    high: int
    row_bits: int
    leading: int = 0

    @cached_property
    def order(self) -> tuple[int, ...]:
        """Axes in storage order, by the layout rule."""
        return storage_order(self.dims, leading=self.leading)

    def shape(self, name: ArrayId) -> ArrayShape:
        """The committed array with this spec."""
        return ArrayShape(name, tuple(self.dims[i] for i in self.order), self.row_bits)

    @property
    def rows(self) -> int:
        """Number of row commitments."""
        return self.shape(ArrayId("", "")).layout(self.row_bits).rows

    def stored(self, values: Ints) -> Ints:
        """Values in storage order: a view."""
        return values.transpose(self.order)

    def encode(self) -> bytes:
        """Canonical encoding."""
        numbers = (self.row_bits, self.exponent, self.low, self.high, len(self.dims))
        parts = [n.to_bytes(16, "little", signed=True) for n in (*numbers, *self.dims, *self.order)]
        label = GENERATOR_LABEL.encode()
        return len(label).to_bytes(4, "little") + label + b"".join(parts)

    def arrays(self, name: ArrayId, values: Ints, blinds: Vec) -> CommittedArray:
        """The prover's side: values in natural order, one blind a row.

        Parameters
        ----------
        name : ArrayId
            Name within the statement.
        values : Ints
            Integers in natural order.
        blinds : Vec
            One per row.
        """
        return CommittedArray(self.shape(name), self.stored(values), blinds)


@record
class CommittedTensor:
    """A tensor under a commitment, as everybody sees it.

    Attributes
    ----------
    spec : TensorSpec
        Dims, exponent, range, row length.
    data : bytes
        Compressed row commitments.
    """

    spec: TensorSpec
    data: bytes = field(repr=False)

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of spec and rows: the tensor's identity."""
        return hashlib.sha256(b"veracity tensor v3" + self.spec.encode() + self.data).digest()

    def check(self, where: str) -> None:
        """Raise FormatError unless there are as many rows as the spec has."""
        if len(self.data) != POINT_BYTES * self.spec.rows:
            raise FormatError(where, "its rows do not match its dims")

    def points(self, engine: Engine, where: str) -> Points:
        """The row commitments as points; FormatError for bytes that are none."""
        self.check(where)
        try:
            return engine.decompress(self.data)
        except ValueError as error:
            raise FormatError(where, "a row is not a point of the group") from error


def row_blinds(engine: Engine, seed: bytes, domain: bytes, rows: int) -> Vec:
    """Blinds of a tensor's rows from a secret seed: one use, one domain, one value.

    Parameters
    ----------
    engine : Engine
        Backend.
    seed : bytes
        32 secret bytes from the operating system.
    domain : bytes
        What the rows are, unique under the seed.
    rows : int
        How many.
    """
    sponge = hashlib.shake_256(b"veracity row blinds v3" + framed(seed, domain))
    return engine.from_wide_bytes(sponge.digest(64 * rows))
