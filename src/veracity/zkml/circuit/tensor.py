"""Tensors that are linear in committed arrays and in products, with the prover's integers beside.

Prover and verifier run the same code over these: for the verifier ``value`` is None. Adding,
scaling by public integers and every linear map are free. A product of two tensors is a term like
any other: a claim about it becomes a claim about an inner product
(:mod:`veracity.zkml.circuit.products`), so that an accumulator need not be committed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from math import prod
from typing import NamedTuple

import numpy as np

from veracity.engine.api import ORDER, Engine, Ints
from veracity.records import record
from veracity.zk.committed import ArrayId
from veracity.zk.mle import kron
from veracity.zk.reduction import Functional
from veracity.zkml.circuit.linear_maps import (
    Broadcast,
    Causal,
    LinearMap,
    Permute,
    Slice,
    Split,
    Sum,
)

__all__ = [
    "ArraySource",
    "Below",
    "Chosen",
    "One",
    "ProductSource",
    "Public",
    "PublicRows",
    "Source",
    "Tensor",
    "UpdatedSource",
    "Updates",
]


class ArraySource(NamedTuple):
    """A committed array that stands alone, or one instance of a batched one.

    A tuple for the same reason as :class:`~veracity.zk.committed.ArrayId`.

    Attributes
    ----------
    id : ArrayId
        Its name.
    instance : int or None
        Which instance of a batched array.
    """

    id: ArrayId
    instance: int | None = None


@record
class One:
    """The constant 1, of dims ``()``."""

    def evaluate(self, _engine: Engine, _weights: Functional) -> int:
        """Itself: nothing weighs it."""
        return 1


@record
class Below:
    """Public bits: entry ``(r, v)`` is ``v < limits[r]``, for ``v < size``.

    The verifier never makes the array, which may be large before anything is proved.
    """

    limits: tuple[int, ...]
    size: int

    def values(self) -> Ints:
        """The array, (len(limits), size)."""
        limits = np.asarray(self.limits, dtype=np.int64)
        return (np.arange(self.size)[None, :] < limits[:, None]).astype(np.int8)

    def evaluate(self, engine: Engine, weights: Functional) -> int:
        """``<weights, values>``, by prefix sums over the second axis."""
        (_, rows), (_, entries) = weights
        prefix = engine.concat([engine.from_ints([0]), engine.cumsum(entries)])
        return engine.dot(rows, engine.gather(prefix, np.asarray(self.limits, dtype=np.int64)))


@record
class Chosen:
    """Public bits: entry ``(r, v)`` is ``v == indices[r]``; never made by the verifier, either."""

    indices: tuple[int, ...]
    size: int

    def values(self) -> Ints:
        """The array, (len(indices), size)."""
        out = np.zeros((len(self.indices), self.size), dtype=np.int8)
        out[np.arange(len(self.indices)), np.asarray(self.indices, dtype=np.int64)] = 1
        return out

    def evaluate(self, engine: Engine, weights: Functional) -> int:
        """``<weights, values>``: in each row the weight of one entry."""
        (_, rows), (_, entries) = weights
        return engine.dot(rows, engine.gather(entries, np.asarray(self.indices, dtype=np.int64)))


@record(eq=False)
class Public:
    """A public array of integers: a port that the verifier has in clear."""

    values: Ints

    def evaluate(self, engine: Engine, weights: Functional) -> int:
        """``<weights, values>``."""
        flat = np.ascontiguousarray(self.values, dtype=np.int64).reshape(-1)
        return engine.dot(kron(engine, [v for _, v in weights]), engine.from_small(flat))


@record(eq=False)
class PublicRows:
    """A public matrix of integers that the verifier makes row by row, and never holds.

    Attributes
    ----------
    count, size : int
        Dims.
    row : callable
        The integers of a row.
    largest : int
        What none of them exceeds in magnitude.
    """

    count: int
    size: int
    row: Callable[[int], Ints] = field(repr=False)
    largest: int

    def values(self) -> Ints:
        """The matrix, (count, size)."""
        return np.stack([self.row(i) for i in range(self.count)])

    def evaluate(self, engine: Engine, weights: Functional) -> int:
        """``<weights, values>``."""
        (_, rows), (_, entries) = weights
        total = 0
        for i, weight in enumerate(engine.to_ints(rows)):
            found = np.ascontiguousarray(self.row(i), dtype=np.int64)
            total += weight * engine.dot(entries, engine.from_small(found))
        return total % ORDER


@record(eq=False)
class ProductSource:
    """``einsum(spec, a, b)``, spec such as ``tk,nk->tn``; the operands are linear in arrays."""

    spec: str
    a: Tensor
    b: Tensor

    def contracted(self) -> int:
        """How many products an entry sums."""
        return _contraction(self.spec, self.a.dims, self.b.dims)[1]

    def operands(self) -> tuple[Tensor, ...]:
        """The tensors that it is made of."""
        return (self.a, self.b)


@record(eq=False)
class Updates:
    """A tensor that changes step by step: ``base``, then ``base + u_0``, ``base + u_0 + u_1``, ...

    Weights in training: an update is a product of a gradient and an activation, so no weight but
    the first and the last is ever committed.

    Attributes
    ----------
    base : Tensor
        Before the first step.
    steps : list of Tensor
        The updates ``u_0, u_1, ...`` so far, without integers.
    parts : list of tuple
        For each the tensors that it is a sum of, with their factors.
    """

    base: Tensor
    steps: list[Tensor] = field(default_factory=list)
    parts: list[tuple[tuple[int, Tensor], ...]] = field(default_factory=list)

    def add(self, *parts: tuple[int, Tensor]) -> None:
        """One more step: a sum of factors times tensors."""
        total = Tensor(self.base.dims, {})
        for factor, part in parts:
            total = total + part.bare() * factor
        self.steps.append(total)
        self.parts.append(parts)

    def now(self) -> Tensor:
        """The tensor after all steps so far."""
        if not self.steps:
            return self.base
        return Tensor(self.base.dims, {(UpdatedSource(self, len(self.steps)), ()): 1})


@record
class UpdatedSource:
    """What :class:`Updates` have made after the first ``count`` steps."""

    updates: Updates
    count: int

    def operands(self) -> tuple[Tensor, ...]:
        """The tensors that it is made of."""
        return (self.updates.base, *self.updates.steps[: self.count])


Source = ArraySource | One | Below | Chosen | Public | PublicRows | ProductSource | UpdatedSource
Terms = Mapping[tuple[Source, tuple[LinearMap, ...]], int]


@dataclass(eq=False, slots=True)
class Tensor:
    """``sum of coefficient * maps(source)``; never changed once made.

    Not frozen, for a circuit makes thousands of them: a frozen one takes three times as long.

    Attributes
    ----------
    dims : tuple of int
        Shape.
    terms : mapping
        Coefficients by (source, chain of views).
    value : array or None
        The prover's integers (int64, or object dtype where 64 bits do not suffice).
    """

    dims: tuple[int, ...]
    terms: Terms = field(repr=False)
    value: Ints | None = field(default=None, repr=False)

    @staticmethod
    def below(limits: tuple[int, ...], size: int, proving: bool) -> Tensor:
        """Bits ``v < limits[r]``; see :class:`Below`.

        Parameters
        ----------
        limits : tuple of int
            One for each row.
        size : int
            Length of a row.
        proving : bool
            Whether the tensor carries its integers.
        """
        source = Below(limits, size)
        return Tensor((len(limits), size), {(source, ()): 1}, source.values() if proving else None)

    @staticmethod
    def chosen(indices: tuple[int, ...], size: int, proving: bool) -> Tensor:
        """Bits ``v == indices[r]``; see :class:`Chosen`.

        Parameters
        ----------
        indices : tuple of int
            One for each row.
        size : int
            Length of a row.
        proving : bool
            Whether the tensor carries its integers.
        """
        source = Chosen(indices, size)
        dims = (len(indices), size)
        return Tensor(dims, {(source, ()): 1}, source.values() if proving else None)

    @staticmethod
    def public(values: Ints, proving: bool) -> Tensor:
        """A public array."""
        return Tensor(values.shape, {(Public(values), ()): 1}, values if proving else None)

    @staticmethod
    def public_rows(source: PublicRows, proving: bool) -> Tensor:
        """A public matrix that is made row by row."""
        dims = (source.count, source.size)
        return Tensor(dims, {(source, ()): 1}, source.values() if proving else None)

    @staticmethod
    def constant(c: int, dims: tuple[int, ...], proving: bool) -> Tensor:
        """The public integer ``c`` everywhere.

        Parameters
        ----------
        c : int
            The integer.
        dims : tuple of int
            Dims.
        proving : bool
            Whether the tensor carries its integers.
        """
        value = None
        if proving:
            value = np.full(dims, c, dtype=np.int64 if abs(c) < 1 << 62 else object)
        return Tensor(dims, {_everywhere(dims): c % ORDER}, value)

    @staticmethod
    def product(spec: str, a: Tensor, b: Tensor) -> Tensor:
        """``einsum(spec, a, b)``, without its value.

        It can be added, scaled, and viewed by maps under which functionals stay products over
        axes.

        Parameters
        ----------
        spec : str
            ``"ij,jk->ik"`` and the like.
        a, b : Tensor
            Operands, linear in committed arrays.
        """
        dims, _ = _contraction(spec, a.dims, b.dims)
        return Tensor(dims, {(ProductSource(spec, a, b), ()): 1})

    def view(self, *maps: LinearMap) -> Tensor:
        """Apply linear maps in order."""
        dims, value = self.dims, self.value
        for linear_map in maps:
            dims = linear_map.shape(dims)
            value = None if value is None else linear_map.forward(value)
        terms = {(source, (*chain, *maps)): c for (source, chain), c in self.terms.items()}
        return Tensor(dims, terms, value)

    def bare(self) -> Tensor:
        """The same tensor without the prover's integers, where nobody needs those of a result."""
        return Tensor(self.dims, self.terms)

    def __add__(self, other: Tensor | int) -> Tensor:
        return self._plus(other, negative=False)

    def _plus(self, other: Tensor | int, negative: bool) -> Tensor:
        """The sum, or the difference."""
        if isinstance(other, int):
            other = Tensor.constant(other, self.dims, self.value is not None)
        if other.dims != self.dims:
            raise ValueError(f"cannot add tensors of dims {self.dims} and {other.dims}")
        terms = dict(self.terms)
        for key, c in other.terms.items():
            terms[key] = (terms.get(key, 0) + (-c if negative else c)) % ORDER
        value = None
        if self.value is not None and other.value is not None:
            a, b = widened(self.value), widened(other.value)
            value = np.asarray(a - b if negative else a + b)
        return Tensor(self.dims, terms, value)

    def __mul__(self, k: int) -> Tensor:
        if k == 1:
            return self
        terms = {key: c * k % ORDER for key, c in self.terms.items()}
        value = None if self.value is None else np.asarray(widened(self.value) * k)
        return Tensor(self.dims, terms, value)

    __rmul__ = __mul__

    def __sub__(self, other: Tensor | int) -> Tensor:
        return self + -other if isinstance(other, int) else self._plus(other, negative=True)

    # short names for the linear maps
    def broadcast(self, axis: int, size: int) -> Tensor:
        """Repeat along a new axis."""
        return self.view(Broadcast(axis, size))

    def sum(self, axis: int) -> Tensor:
        """Sum over an axis."""
        return self.view(Sum(axis, self.dims[axis]))

    def split(self, axis: int, *sizes: int) -> Tensor:
        """Split an axis."""
        return self.view(Split(axis, sizes))

    def permute(self, *order: int) -> Tensor:
        """Reorder axes."""
        return self.view(Permute(order))

    def rows(self, start: int, stop: int) -> Tensor:
        """Entries ``start .. stop-1`` of axis 0."""
        return self.view(Slice(0, start, stop, self.dims[0]))

    def hidden_part(self) -> Tensor:
        """The entries that a causal mask hides (the others zero)."""
        return self.view(Causal(self.dims[-1], visible=False))


_ONE = One()


@lru_cache(maxsize=1024)
def _everywhere(dims: tuple[int, ...]) -> tuple[Source, tuple[LinearMap, ...]]:
    """The constant 1 along all axes."""
    return _ONE, tuple(Broadcast(i, d) for i, d in enumerate(dims))


@lru_cache(maxsize=1024)
def _contraction(spec: str, a: tuple[int, ...], b: tuple[int, ...]) -> tuple[tuple[int, ...], int]:
    """Dims of ``einsum(spec, ..)`` for operands of these dims, and what an entry sums."""
    inputs, out = spec.split("->")
    left, right = inputs.split(",")
    sizes = dict(zip(left, a, strict=True))
    for letter, size in zip(right, b, strict=True):
        if sizes.setdefault(letter, size) != size:
            raise ValueError(f"{spec} does not fit dims {a} and {b}")
    return tuple(sizes[c] for c in out), prod(n for c, n in sizes.items() if c not in out)


def widened(x: Ints) -> Ints:
    """Integers that sums of two do not leave: int64, or Python's."""
    return x if x.dtype == object or x.dtype == np.int64 else x.astype(np.int64)
