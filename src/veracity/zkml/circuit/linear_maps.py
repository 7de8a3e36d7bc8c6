"""Wiring costs nothing: a linear map of a tensor rewrites claims instead of proving anything.

``forward`` does a map ``f`` on the prover's integers; ``pull`` is the transpose, on linear
functionals: ``<w, f(X)> = factor * <pull(w), X>``. These are Kronecker products over axes
(:data:`veracity.zk.reduction.Functional`); a map whose functionals do not factor joins two axes.
Maps are hashable, so that equal wirings of many layers are pulled back once.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from veracity.engine.api import ORDER, Engine, Vec
from veracity.records import record
from veracity.zk.mle import kron, ones, sum_by_index
from veracity.zk.reduction import Functional, Placed, dense

__all__ = [
    "Blocks",
    "Broadcast",
    "Causal",
    "Fold",
    "Gather",
    "LinearMap",
    "Permute",
    "Rotate",
    "Slice",
    "Split",
    "Sum",
    "pull_back",
]

Values = NDArray[np.int64]


class LinearMap(Protocol):
    """One linear map between arrays."""

    def shape(self, dims: tuple[int, ...]) -> tuple[int, ...]:
        """Dims of the result."""
        ...

    def forward(self, x: Values) -> Values:
        """The map on integers."""
        ...

    def pull(self, engine: Engine, functional: Functional) -> tuple[int, Functional]:
        """The transpose: a factor and a functional on the source."""
        ...

    def gain(self) -> int:
        """What magnitudes grow by at most: the greatest sum of absolute values of a row."""
        ...


def pull_back(
    engine: Engine, maps: Sequence[LinearMap], functional: Functional
) -> tuple[int, Functional]:
    """Transpose of a chain of maps; vectors may be left :class:`~veracity.zk.reduction.Placed`.

    Parameters
    ----------
    engine : Engine
        Backend.
    maps : sequence of LinearMap
        First one first.
    functional : Functional
        Coefficients of a functional on the result.
    """
    factor = 1
    for linear_map in reversed(maps):
        if not isinstance(linear_map, Slice):
            functional = dense(engine, functional)
        k, functional = linear_map.pull(engine, functional)
        factor = factor * k % ORDER
    return factor, functional


def vectors_of(functional: Functional) -> list[Vec]:
    """One vector per axis; ValueError where axes are joined."""
    if any(span != 1 for span, _ in functional):
        raise ValueError("joined axes cannot be rewired further")
    return [v for _, v in functional]


def functional_of(vectors: Sequence[Vec]) -> Functional:
    """The functional with one vector per axis."""
    return tuple((1, v) for v in vectors)


@record
class Broadcast:
    """A new axis along which the values repeat."""

    axis: int
    size: int

    def shape(self, dims: tuple[int, ...]) -> tuple[int, ...]:
        """See :class:`LinearMap`."""
        return (*dims[: self.axis], self.size, *dims[self.axis :])

    def forward(self, x: Values) -> Values:
        """See :class:`LinearMap`."""
        return np.broadcast_to(np.expand_dims(x, self.axis), self.shape(x.shape))

    def gain(self) -> int:
        """See :class:`LinearMap`."""
        return 1

    def pull(self, engine: Engine, functional: Functional) -> tuple[int, Functional]:
        """See :class:`LinearMap`."""
        vectors = vectors_of(functional)
        gone = vectors.pop(self.axis)
        return engine.dot(gone, ones(engine, self.size)), functional_of(vectors)


@record
class Sum:
    """The sum over an axis of a known size."""

    axis: int
    size: int

    def shape(self, dims: tuple[int, ...]) -> tuple[int, ...]:
        """See :class:`LinearMap`."""
        return (*dims[: self.axis], *dims[self.axis + 1 :])

    def forward(self, x: Values) -> Values:
        """See :class:`LinearMap`."""
        return np.asarray(x.sum(axis=self.axis, dtype=None if x.dtype == object else np.int64))

    def gain(self) -> int:
        """See :class:`LinearMap`."""
        return self.size

    def pull(self, engine: Engine, functional: Functional) -> tuple[int, Functional]:
        """See :class:`LinearMap`."""
        vectors = vectors_of(functional)
        vectors.insert(self.axis, ones(engine, self.size))
        return 1, functional_of(vectors)


@record
class Permute:
    """``result axis i = source axis order[i]``."""

    order: tuple[int, ...]

    def shape(self, dims: tuple[int, ...]) -> tuple[int, ...]:
        """See :class:`LinearMap`."""
        return tuple(dims[i] for i in self.order)

    def forward(self, x: Values) -> Values:
        """See :class:`LinearMap`."""
        return x.transpose(self.order)

    def gain(self) -> int:
        """See :class:`LinearMap`."""
        return 1

    def pull(self, engine: Engine, functional: Functional) -> tuple[int, Functional]:
        """See :class:`LinearMap`."""
        vectors = vectors_of(functional)
        out = list(vectors)
        for i, axis in enumerate(self.order):
            out[axis] = vectors[i]
        return 1, functional_of(out)


@record
class Split:
    """One axis becomes several (row-major)."""

    axis: int
    sizes: tuple[int, ...]

    def shape(self, dims: tuple[int, ...]) -> tuple[int, ...]:
        """See :class:`LinearMap`."""
        return (*dims[: self.axis], *self.sizes, *dims[self.axis + 1 :])

    def forward(self, x: Values) -> Values:
        """See :class:`LinearMap`."""
        return x.reshape(self.shape(x.shape))

    def gain(self) -> int:
        """See :class:`LinearMap`."""
        return 1

    def pull(self, engine: Engine, functional: Functional) -> tuple[int, Functional]:
        """See :class:`LinearMap`."""
        vectors = vectors_of(functional)
        end = self.axis + len(self.sizes)
        merged = kron(engine, vectors[self.axis : end])
        return 1, functional_of([*vectors[: self.axis], merged, *vectors[end:]])


@record
class Slice:
    """Entries ``start .. stop-1`` of an axis of length ``size``."""

    axis: int
    start: int
    stop: int
    size: int

    def shape(self, dims: tuple[int, ...]) -> tuple[int, ...]:
        """See :class:`LinearMap`."""
        return (*dims[: self.axis], self.stop - self.start, *dims[self.axis + 1 :])

    def forward(self, x: Values) -> Values:
        """See :class:`LinearMap`."""
        return x.take(range(self.start, self.stop), axis=self.axis)

    def gain(self) -> int:
        """See :class:`LinearMap`."""
        return 1

    def pull(self, engine: Engine, functional: Functional) -> tuple[int, Functional]:
        """See :class:`LinearMap`."""
        vectors = vectors_of(functional)
        ((_, entries),) = dense(engine, ((1, vectors[self.axis]),))
        vectors[self.axis] = cast(Vec, Placed(entries, self.start, self.size))
        return 1, functional_of(vectors)


@record
class Gather:
    """Entries of an axis by public indices: its length ``size`` becomes ``len(indices)``."""

    indices: tuple[int, ...]
    size: int
    axis: int = 0

    def shape(self, dims: tuple[int, ...]) -> tuple[int, ...]:
        """See :class:`LinearMap`."""
        return (*dims[: self.axis], len(self.indices), *dims[self.axis + 1 :])

    def forward(self, x: Values) -> Values:
        """See :class:`LinearMap`."""
        return x.take(np.asarray(self.indices, dtype=np.int64), axis=self.axis)

    def gain(self) -> int:
        """See :class:`LinearMap`."""
        return 1

    def pull(self, engine: Engine, functional: Functional) -> tuple[int, Functional]:
        """See :class:`LinearMap`."""
        vectors = vectors_of(functional)
        vectors[self.axis] = sum_by_index(engine, vectors[self.axis], self.indices, self.size)
        return 1, functional_of(vectors)


@record
class Blocks:
    """Stretches of an axis of length ``size`` by public numbers, each ``side`` entries long.

    The axis becomes two, (stretch, entry); beyond its end there are zeros.
    """

    axis: int
    numbers: tuple[int, ...]
    side: int
    size: int

    def shape(self, dims: tuple[int, ...]) -> tuple[int, ...]:
        """See :class:`LinearMap`."""
        return (*dims[: self.axis], len(self.numbers), self.side, *dims[self.axis + 1 :])

    def forward(self, x: Values) -> Values:
        """See :class:`LinearMap`."""
        count = -(-self.size // self.side)
        widths = [(0, 0)] * x.ndim
        widths[self.axis] = (0, count * self.side - self.size)
        dims = (*x.shape[: self.axis], count, self.side, *x.shape[self.axis + 1 :])
        whole = np.pad(x, widths).reshape(dims)
        return whole.take(np.asarray(self.numbers, dtype=np.int64), axis=self.axis)

    def gain(self) -> int:
        """See :class:`LinearMap`."""
        return 1

    def pull(self, engine: Engine, functional: Functional) -> tuple[int, Functional]:
        """See :class:`LinearMap`."""
        vectors = vectors_of(functional)
        stretches, entries = vectors[self.axis : self.axis + 2]
        count = -(-self.size // self.side)
        whole = engine.outer(sum_by_index(engine, stretches, self.numbers, count), entries)
        vectors[self.axis : self.axis + 2] = [whole[: self.size]]
        return 1, functional_of(vectors)


@record
class Fold:
    """Sums over an axis by public indices: entry ``i`` is the sum of those whose index is ``i``."""

    axis: int
    indices: tuple[int, ...]
    size: int

    def shape(self, dims: tuple[int, ...]) -> tuple[int, ...]:
        """See :class:`LinearMap`."""
        return (*dims[: self.axis], self.size, *dims[self.axis + 1 :])

    def forward(self, x: Values) -> Values:
        """See :class:`LinearMap`."""
        out = np.zeros(self.shape(x.shape), dtype=object if x.dtype == object else np.int64)
        index = np.asarray(self.indices, dtype=np.int64)
        np.add.at(np.moveaxis(out, self.axis, 0), index, np.moveaxis(x, self.axis, 0))
        return out

    def gain(self) -> int:
        """See :class:`LinearMap`."""
        return int(np.bincount(np.asarray(self.indices, dtype=np.int64)).max())

    def pull(self, engine: Engine, functional: Functional) -> tuple[int, Functional]:
        """See :class:`LinearMap`."""
        vectors = vectors_of(functional)
        index = np.asarray(self.indices, dtype=np.int64)
        vectors[self.axis] = engine.gather(vectors[self.axis], index)
        return 1, functional_of(vectors)


@record
class Causal:
    """Keep the entries with source position <= (``visible``) or > target on the last two axes.

    The last two axes are (target t, source s), both of length ``size``; the others become zero.
    """

    size: int
    visible: bool

    def mask(self) -> NDArray[np.int8]:
        """The 0/1 multiplier, (size, size)."""
        lower = np.tril(np.ones((self.size, self.size), dtype=np.int8))
        return lower if self.visible else (1 - lower).astype(np.int8)

    def shape(self, dims: tuple[int, ...]) -> tuple[int, ...]:
        """See :class:`LinearMap`."""
        return dims

    def forward(self, x: Values) -> Values:
        """See :class:`LinearMap`."""
        return x * self.mask()

    def gain(self) -> int:
        """See :class:`LinearMap`."""
        return 1

    def pull(self, engine: Engine, functional: Functional) -> tuple[int, Functional]:
        """See :class:`LinearMap`."""
        vectors = vectors_of(functional)
        joint = engine.mul(
            engine.outer(vectors[-2], vectors[-1]), engine.from_small(self.mask().reshape(-1))
        )
        return 1, (*functional_of(vectors[:-2]), (2, joint))


@record
class Rotate:
    """Rotary embedding: a public linear map on (token t, feature f), integers at 2^-frac.

    ``cos`` and ``sin`` are (tokens, pairs) tables of int64 as bytes. ``interleaved`` pairs
    features (2i, 2i+1) of a head, otherwise (i, i + pairs). Source: RoFormer (arXiv 2104.09864).
    """

    tokens: int
    heads: int
    pairs: int
    interleaved: bool
    cos: bytes
    sin: bytes

    def shape(self, dims: tuple[int, ...]) -> tuple[int, ...]:
        """See :class:`LinearMap`."""
        return dims

    def _partners(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Feature indices of first and second partners, (heads * pairs,)."""
        base = np.arange(self.heads)[:, None] * (2 * self.pairs)
        i = np.arange(self.pairs)[None, :]
        if self.interleaved:
            first, second = base + 2 * i, base + 2 * i + 1
        else:
            first, second = base + i, base + i + self.pairs
        return first.reshape(-1), second.reshape(-1)

    def _tables(self) -> tuple[Values, Values]:
        """(tokens, heads * pairs) tables."""
        cos = np.frombuffer(self.cos, dtype=np.int64).reshape(self.tokens, 1, self.pairs)
        sin = np.frombuffer(self.sin, dtype=np.int64).reshape(self.tokens, 1, self.pairs)
        size = (self.tokens, self.heads, self.pairs)
        flat = (self.tokens, self.heads * self.pairs)
        return np.broadcast_to(cos, size).reshape(flat), np.broadcast_to(sin, size).reshape(flat)

    def forward(self, x: Values) -> Values:
        """See :class:`LinearMap`."""
        heads = x.reshape(self.tokens, self.heads, 2 * self.pairs).astype(np.int64)
        first = np.s_[..., 0::2] if self.interleaved else np.s_[..., : self.pairs]
        second = np.s_[..., 1::2] if self.interleaved else np.s_[..., self.pairs :]
        dims = (self.tokens, 1, self.pairs)
        cos, sin = (np.frombuffer(t, dtype=np.int64).reshape(dims) for t in (self.cos, self.sin))
        a, b, out = heads[first], heads[second], np.empty_like(heads)
        for turned, one, two in ((out[first], cos, -sin), (out[second], sin, cos)):
            np.multiply(a, one, out=turned)
            turned += b * two
        return out.reshape(x.shape)

    def gain(self) -> int:
        """See :class:`LinearMap`."""
        return _largest_turn(self.cos, self.sin)

    def pull(self, engine: Engine, functional: Functional) -> tuple[int, Functional]:
        """See :class:`LinearMap`."""
        vt, vf = vectors_of(functional)
        features = 2 * self.heads * self.pairs
        first, second = self._partners()
        cos, sin = self._tables()
        # <w, R x> = <R^T w, x>: first takes w1 cos + w2 sin, second takes w2 cos - w1 sin
        full = engine.outer(vt, vf)
        row = np.arange(self.tokens, dtype=np.int64)[:, None] * features
        w1 = engine.gather(full, (row + first[None, :]).reshape(-1))
        w2 = engine.gather(full, (row + second[None, :]).reshape(-1))
        # A broadcast view that needs no copy to become flat is not contiguous.
        c, s = (engine.from_small(np.ascontiguousarray(t.reshape(-1))) for t in (cos, sin))
        to_first = engine.add(engine.mul(w1, c), engine.mul(w2, s))
        to_second = engine.sub(engine.mul(w2, c), engine.mul(w1, s))
        where = np.empty((self.tokens, features), dtype=np.int64)
        count = self.tokens * len(first)
        where[:, first] = np.arange(count).reshape(self.tokens, -1)
        where[:, second] = count + np.arange(count).reshape(self.tokens, -1)
        joint = engine.gather(engine.concat([to_first, to_second]), where.reshape(-1))
        return 1, ((2, joint),)


@lru_cache(maxsize=8)
def _largest_turn(cos: bytes, sin: bytes) -> int:
    """The gain of all rotations with these tables, which many layers share."""
    one, other = (np.abs(np.frombuffer(table, dtype=np.int64)) for table in (cos, sin))
    return int((one + other).max())
