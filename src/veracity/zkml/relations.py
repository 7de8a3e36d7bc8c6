"""From relations on tensors to claims on columns.

Relations of equal form are stacked: instance ``b`` of a group is weighed by ``w(b)``. Resolving a
group at weights pulls every view back once and gathers, per column, one vector over instances.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from veracity.engine.api import ORDER, Engine, Ints, Vec
from veracity.zk.columns import ColumnShape
from veracity.zk.ledger import LinearForm
from veracity.zk.mle import axis_bits
from veracity.zk.projection import Sides
from veracity.zk.reduction import Term, Weights
from veracity.zkml.builder import LookupUse, Stack
from veracity.zkml.tensor import (
    Below,
    ColumnSource,
    One,
    ProductSource,
    Tensor,
    WeightSource,
)
from veracity.zkml.views import Step, pull_back

__all__ = [
    "Claim",
    "Layout",
    "ProductTerm",
    "Resolved",
    "Resolver",
    "gather_tensors",
    "group_lookups",
    "group_zeros",
    "weight_column",
]


def weight_column(name: str) -> str:
    """Column name of a weight."""
    return f"weight:{name}"


def _fill(dim: int) -> float:
    return dim / (1 << axis_bits(dim))


@dataclass(frozen=True)
class Layout:
    """Storage order of a stack: natural axes are (instance, *dims).

    Axes that fill their padded length best come last (fastest), because the low variables index
    the entries of a row commitment and padding there wastes row entries. Jointly weighed axes
    stay adjacent, last.
    """

    order: tuple[int, ...]
    shape: ColumnShape
    joint: bool

    @staticmethod
    def of(stack: Stack) -> Layout:
        """The layout of a stack; a function of public shapes only."""
        natural = (stack.count, *stack.dims)
        fixed = 2 if stack.joint else 0
        free = list(range(len(natural) - fixed))
        free.sort(key=lambda axis: (_fill(natural[axis]), axis))
        order = (*free, *range(len(natural) - fixed, len(natural)))
        shape = ColumnShape(stack.name, tuple(natural[i] for i in order))
        return Layout(order, shape, stack.joint)

    @property
    def sides(self) -> Sides:
        """The stack as the most even matrix whose rows are leading axes."""
        dims = self.shape.dims
        cuts = range(1, len(dims) - (1 if self.joint else 0))
        best = min(cuts, key=lambda k: prod(dims[:k]) + prod(dims[k:]))
        return Sides(self.shape.name, dims, best)

    def store(self, values: Sequence[Ints]) -> Ints:
        """Stack instances in storage order."""
        dtype = np.result_type(*[v.dtype for v in values])
        if dtype.kind != "i" and dtype != np.uint16:
            dtype = np.dtype(np.int64)
        out = np.empty(self.shape.dims, dtype=dtype)
        natural = out.transpose(np.argsort(self.order))
        for instance, array in enumerate(values):
            natural[instance] = array
        return out

    def weights(self, natural: Weights) -> Weights:
        """Reorder weights over (instance, *dims) into storage order."""
        groups: list[tuple[int, tuple[int, Vec]]] = []
        axis = 0
        for span, vector in natural:
            groups.append((self.order.index(axis), (span, vector)))
            axis += span
        groups.sort(key=lambda g: g[0])
        return tuple(g[1] for g in groups)


@dataclass(frozen=True)
class ProductTerm:
    """``sum_b scale[b] <weights, einsum(spec, a_b, b_b)>`` over products of equal form.

    Attributes
    ----------
    uses : tuple of ProductSource
        Instances.
    scale : tuple of int
        Their coefficients.
    weights : tuple of Vec
        One vector per output letter.
    """

    uses: tuple[ProductSource, ...]
    scale: tuple[int, ...]
    weights: tuple[Vec, ...]


@dataclass(frozen=True)
class Resolved:
    """What a weighed sum of tensors is made of: columns, products and a public number."""

    terms: tuple[Term, ...]
    products: tuple[ProductTerm, ...]
    public: int


@dataclass(frozen=True)
class Claim:
    """``sum of terms + sum of products = value``."""

    terms: tuple[Term, ...]
    products: tuple[ProductTerm, ...]
    value: LinearForm


class Resolver:
    """Resolves tensors at weights into terms on columns and products, and public parts.

    Parameters
    ----------
    layouts : mapping
        Layout of every stack by name.
    """

    def __init__(self, engine: Engine, layouts: Mapping[str, Layout]) -> None:
        self._engine = engine
        self._layouts = layouts

    def resolve(
        self, tensors: Sequence[Tensor], instance_weights: Sequence[int], weights: Weights
    ) -> Resolved:
        """``sum_b instance_weights[b] <weights, tensors[b]>``."""
        stacks: dict[tuple[str, tuple[Step, ...]], dict[int, int]] = {}
        models: dict[tuple[str, tuple[Step, ...]], int] = {}
        publics: dict[tuple[One | Below, tuple[Step, ...]], int] = {}
        products: dict[tuple[object, ...], dict[ProductSource, int]] = {}
        for scale, tensor in zip(instance_weights, tensors, strict=True):
            for (source, steps), coefficient in tensor.terms.items():
                k = scale * coefficient % ORDER
                if isinstance(source, ColumnSource):
                    vector = stacks.setdefault((source.stack, steps), {})
                    vector[source.instance] = (vector.get(source.instance, 0) + k) % ORDER
                elif isinstance(source, WeightSource):
                    key = (source.name, steps)
                    models[key] = (models.get(key, 0) + k) % ORDER
                elif isinstance(source, ProductSource):
                    if steps:
                        raise ValueError("a product cannot be viewed")
                    form = (source.spec, source.a.dims, source.b.dims)
                    same = products.setdefault(form, {})
                    same[source] = (same.get(source, 0) + k) % ORDER
                else:
                    publics[source, steps] = (publics.get((source, steps), 0) + k) % ORDER
        pulled: dict[tuple[Step, ...], tuple[int, Weights]] = {}

        def pull(steps: tuple[Step, ...]) -> tuple[int, Weights]:
            if steps not in pulled:
                pulled[steps] = pull_back(self._engine, steps, weights)
            return pulled[steps]

        terms = []
        for (name, steps), vector in stacks.items():
            factor, inner = pull(steps)
            layout = self._layouts[name]
            count = layout.shape.dims[layout.order.index(0)]
            instances = self._engine.from_ints([vector.get(i, 0) for i in range(count)])
            terms.append(Term(factor, name, layout.weights(((1, instances), *inner))))
        for (name, steps), k in models.items():
            factor, inner = pull(steps)
            terms.append(Term(factor * k % ORDER, weight_column(name), inner))
        public = 0
        for (source, steps), k in publics.items():
            factor, inner = pull(steps)
            public += k * factor % ORDER * source.evaluate(self._engine, inner)
        vectors = tuple(v for _, v in weights)
        return Resolved(
            tuple(terms),
            tuple(ProductTerm(tuple(g), tuple(g.values()), vectors) for g in products.values()),
            public % ORDER,
        )

    def claim(
        self,
        tensors: Sequence[Tensor],
        instance_weights: Sequence[int],
        weights: Weights,
        value: LinearForm | int,
    ) -> Claim:
        """``sum_b instance_weights[b] <weights, tensors[b]> = value``."""
        found = self.resolve(tensors, instance_weights, weights)
        return Claim(found.terms, found.products, LinearForm(-found.public % ORDER) + value)


def group_lookups(lookups: Sequence[LookupUse]) -> list[list[LookupUse]]:
    """Lookups of equal shape, with or without images, with or without mask."""
    groups: dict[tuple[object, ...], list[LookupUse]] = {}
    for use in lookups:
        groups.setdefault((use.value.dims, use.image is not None, use.causal), []).append(use)
    return list(groups.values())


def group_zeros(zeros: Sequence[Tensor]) -> list[list[Tensor]]:
    """Linear identities of equal shape."""
    groups: dict[tuple[int, ...], list[Tensor]] = {}
    for tensor in zeros:
        groups.setdefault(tensor.dims, []).append(tensor)
    return list(groups.values())


def gather_tensors(
    lookups: Sequence[Sequence[LookupUse]], zeros: Sequence[Tensor]
) -> list[list[Tensor]]:
    """The tensors of grouped lookups and of identities, by relations of equal form."""
    found = [[t for u in g for t in (u.value, u.image) if t is not None] for g in lookups]
    return [*found, *group_zeros(zeros)]
