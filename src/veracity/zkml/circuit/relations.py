"""From relations on tensors to claims on committed arrays.

Relations of equal form are stacked: instance ``b`` of a group is weighed by ``w(b)``. Resolving a
group at weights pulls every linear map back once and gathers, per batch, one vector over instances.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from math import prod

import numpy as np

from veracity.engine.api import ORDER, Engine, Integers, Ints, Vec
from veracity.records import record
from veracity.zk.committed import ArrayId, ArrayShape
from veracity.zk.hidden import LinearForm
from veracity.zk.mle import kron
from veracity.zk.projection import Sides
from veracity.zk.reduction import Functional, Term, dense
from veracity.zkml.circuit.declared import Batch, LookupUse
from veracity.zkml.circuit.integers import stacked
from veracity.zkml.circuit.linear_maps import LinearMap, pull_back, vectors_of
from veracity.zkml.circuit.tensor import (
    ArraySource,
    Below,
    Chosen,
    One,
    ProductSource,
    Public,
    PublicRows,
    Source,
    Tensor,
    UpdatedSource,
    Updates,
)
from veracity.zkml.committed import TensorSpec, inner_cut, order_of_rows, storage_order

__all__ = [
    "Claim",
    "Layout",
    "ProductTerm",
    "Resolved",
    "Resolver",
    "gather_tensors",
    "group_lookups",
    "group_zeros",
]


@record
class Layout:
    """Storage of a committed array: natural axes are (instance, *dims), or dims if it stands alone.

    Jointly weighed axes of a batch stay adjacent; the others follow the layout rule, or lie so
    that the array takes few rows.

    Attributes
    ----------
    order : tuple of int
        Natural axes in storage order.
    shape : ArrayShape
        The array as it is stored.
    batched, joint : bool
        Whether the first natural axis is that of instances, and the last two are weighed together.
    natural : tuple of int
        Lengths of the natural axes.
    merged : tuple of int
        Of how many natural axes each stored axis is made.
    """

    order: tuple[int, ...]
    shape: ArrayShape
    batched: bool
    joint: bool
    natural: tuple[int, ...]
    merged: tuple[int, ...]

    @staticmethod
    def of(batch: Batch, row_bits: int | None = None) -> Layout:
        """The layout of a batch; a function of public shapes only.

        Parameters
        ----------
        batch : Batch
            The arrays.
        row_bits : int, optional
            Logarithm of the row length, where the order of axes is to depend on it.
        """
        if batch.spec is not None:
            return Layout.alone(batch.id, batch.spec)
        natural = (batch.count, *batch.dims)
        if row_bits is None:
            order, merged = storage_order(natural, 2 if batch.joint else 0), (1,) * len(natural)
        else:
            order, merged = order_of_rows(natural, row_bits, batch.joint)
        axes = iter(order)
        dims = tuple(prod(natural[next(axes)] for _ in range(n)) for n in merged)
        return Layout(order, ArrayShape(batch.id, dims), True, batch.joint, natural, merged)

    @staticmethod
    def alone(name: ArrayId, spec: TensorSpec, stacked: bool = False) -> Layout:
        """The layout of a tensor that stands alone.

        Parameters
        ----------
        name : ArrayId
            Its name.
        spec : TensorSpec
            Its dims and layout.
        stacked : bool
            Relations read it by indices of its first axis, like instances of a batch.
        """
        alone = (1,) * len(spec.dims)
        return Layout(spec.order, spec.shape(name), stacked, False, spec.dims, alone)

    @property
    def sides(self) -> Sides:
        """The array as the most even matrix whose rows are leading axes."""
        dims = self.shape.dims
        within = inner_cut(self.order, self.merged, len(self.order) - 2 if self.joint else -1)
        cuts = [k for k in range(1, max(2, len(dims))) if k != within]
        best = min(cuts, key=lambda k: prod(dims[:k]) + prod(dims[k:]))
        return Sides(self.shape.id, dims, best)

    @property
    def count(self) -> int:
        """Number of instances."""
        return self.natural[0] if self.batched else 1

    def store(self, values: Sequence[Ints], integers: Integers | None = None) -> Ints:
        """All instances in storage order; one that stands alone is only turned."""
        if not self.batched:
            (value,) = values
            return value.transpose(self.order)
        return stacked(values, self.order, integers).reshape(self.shape.dims)

    def weights(self, engine: Engine, natural: Functional) -> Functional:
        """Reorder weights over natural axes into storage order."""
        if self.order == tuple(range(len(self.order))):
            return self._stored(engine, natural)
        dims = self.natural
        groups: list[tuple[int, tuple[int, Vec]]] = []
        axis = 0
        for span, vector in natural:
            places = [self.order.index(i) for i in range(axis, axis + span)]
            first = min(places)
            if sorted(places) != list(range(first, first + span)):
                raise ValueError(f"jointly weighed axes of {self.shape.id} lie apart")
            if places != sorted(places):
                ((_, vector),) = dense(engine, ((span, vector),))
                flat = np.arange(prod(dims[axis : axis + span]), dtype=np.int64)
                index = flat.reshape(dims[axis : axis + span]).transpose(np.argsort(places))
                vector = engine.gather(vector, np.ascontiguousarray(index).reshape(-1))
            groups.append((first, (span, vector)))
            axis += span
        groups.sort(key=lambda g: g[0])
        return self._stored(engine, [g[1] for g in groups])

    def _stored(self, engine: Engine, functional: Sequence[tuple[int, Vec]]) -> Functional:
        """Weights over axes in storage order as weights over the axes that are stored."""
        if max(self.merged) == 1:
            return tuple(functional)
        ends = list(accumulate(self.merged))
        out: list[tuple[int, Vec]] = []
        waiting: list[tuple[int, Vec]] = []
        axis = begun = 0
        for span, vector in functional:
            waiting.append((span, vector))
            axis += span
            if axis in ends:
                if len(waiting) > 1:
                    vector = kron(engine, [v for _, v in dense(engine, tuple(waiting))])
                out.append((ends.index(axis) + 1 - begun, vector))
                waiting, begun = [], ends.index(axis) + 1
        return tuple(out)


@record
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


@record
class Resolved:
    """What a weighed sum of tensors is made of: arrays, products and a public number."""

    terms: tuple[Term, ...]
    products: tuple[ProductTerm, ...]
    public: int


@record
class Claim:
    """``sum of terms + sum of products = value``."""

    terms: tuple[Term, ...]
    products: tuple[ProductTerm, ...]
    value: LinearForm


_Maps = tuple[LinearMap, ...]
_Form = tuple[str, tuple[int, ...], tuple[int, ...]]
_Constant = One | Below | Chosen | Public | PublicRows


@dataclass
class _Sums:
    """Coefficients of a weighed sum of tensors, by what they belong to.

    Sums are reduced where they are used: there are ten thousands of small addends.
    """

    batches: dict[tuple[ArrayId, _Maps], dict[int, int]] = field(default_factory=dict)
    alone: dict[tuple[ArrayId, _Maps], int] = field(default_factory=dict)
    publics: dict[tuple[_Constant, _Maps], int] = field(default_factory=dict)
    products: dict[tuple[_Form, _Maps], dict[ProductSource, int]] = field(default_factory=dict)
    updated: dict[tuple[Updates, _Maps], dict[int, int]] = field(default_factory=dict)

    def add(self, tensors: Iterable[Tensor], scales: Iterable[int]) -> None:
        """Add tensors, each times its scale."""
        # Tensors of one form have the same batch in the same place: looked up when it changes.
        recent: dict[int, tuple[ArrayId, _Maps, dict[int, int]]] = {}
        nowhere: tuple[ArrayId | None, _Maps, dict[int, int]] = (None, (), {})
        for tensor, scale in zip(tensors, scales, strict=True):
            for place, ((source, maps), coefficient) in enumerate(tensor.terms.items()):
                k = scale if coefficient == 1 else scale * coefficient
                if type(source) is not ArraySource or source.instance is None:
                    self._add_alone(source, maps, k)
                    continue
                name, instance = source.id, source.instance
                known, same, vector = recent.get(place, nowhere)
                if known is not name or same is not maps:
                    vector = self.batches.setdefault((name, maps), {})
                    recent[place] = name, maps, vector
                vector[instance] = vector.get(instance, 0) + k

    def _add_alone(self, source: Source, maps: _Maps, k: int) -> None:
        """Add ``k`` times what is no instance of a batch."""
        if isinstance(source, ArraySource):
            key = (source.id, maps)
            self.alone[key] = self.alone.get(key, 0) + k
        elif isinstance(source, ProductSource):
            form = ((source.spec, source.a.dims, source.b.dims), maps)
            same = self.products.setdefault(form, {})
            same[source] = same.get(source, 0) + k
        elif isinstance(source, UpdatedSource):
            counts = self.updated.setdefault((source.updates, maps), {})
            counts[source.count] = counts.get(source.count, 0) + k
        else:
            self.publics[source, maps] = self.publics.get((source, maps), 0) + k

    def expand(self) -> None:
        """Replace updated tensors: ``sum_t e_t W_t = (sum_t e_t) W_0 + sum_s (sum_(t>s) e_t) u_s``.

        Suffix sums, so that many uses of one tensor cost no more than its steps.
        """
        for (updates, maps), counts in self.updated.items():
            later = 0
            for s in range(max(counts) - 1, -1, -1):
                later = (later + counts.get(s + 1, 0)) % ORDER
                self.add([updates.steps[s].view(*maps)], [later])
            self.add([updates.base.bare().view(*maps)], [later])


class Resolver:
    """Resolves tensors at weights into terms on arrays and products, and public parts.

    Parameters
    ----------
    engine : Engine
        Backend.
    layouts : mapping
        Layout of every committed array.
    """

    def __init__(self, engine: Engine, layouts: Mapping[ArrayId, Layout]) -> None:
        self._engine = engine
        self._layouts = layouts

    def resolve(
        self, tensors: Sequence[Tensor], instance_weights: Sequence[int], weights: Functional
    ) -> Resolved:
        """``sum_b instance_weights[b] <weights, tensors[b]>``.

        Parameters
        ----------
        tensors : sequence of Tensor
            Instances of equal dims.
        instance_weights : sequence of int
            One field element for each.
        weights : Functional
            Coefficients, the same for all instances.
        """
        sums = _Sums()
        sums.add(tensors, instance_weights)
        sums.expand()
        pulled: dict[tuple[LinearMap, ...], tuple[int, Functional]] = {}

        def pull(maps: tuple[LinearMap, ...]) -> tuple[int, Functional]:
            if maps not in pulled:
                pulled[maps] = pull_back(self._engine, maps, weights)
            return pulled[maps]

        engine, terms = self._engine, []
        for (name, maps), vector in sums.batches.items():
            factor, inner = pull(maps)
            layout = self._layouts[name]
            instances = engine.from_ints([vector.get(i, 0) for i in range(layout.count)])
            natural = ((1, instances), *inner)
            terms.append(Term(factor, name, layout.weights(engine, natural)))
        for (name, maps), k in sums.alone.items():
            factor, inner = pull(maps)
            ordered = self._layouts[name].weights(engine, inner)
            terms.append(Term(factor * k % ORDER, name, ordered))
        public = 0
        for (source, maps), k in sums.publics.items():
            factor, inner = pull(maps)
            public += k % ORDER * factor % ORDER * source.evaluate(engine, dense(engine, inner))
        products = []
        for (_, maps), same in sums.products.items():
            factor, inner = pull(maps)
            vectors = tuple(vectors_of(dense(engine, inner)))
            scales = tuple(factor * k % ORDER for k in same.values())
            products.append(ProductTerm(tuple(same), scales, vectors))
        return Resolved(tuple(terms), tuple(products), public % ORDER)

    def claim(
        self,
        tensors: Sequence[Tensor],
        instance_weights: Sequence[int],
        weights: Functional,
        value: LinearForm | int,
    ) -> Claim:
        """``sum_b instance_weights[b] <weights, tensors[b]> = value``.

        Parameters
        ----------
        tensors : sequence of Tensor
            Instances of equal dims.
        instance_weights : sequence of int
            One field element for each.
        weights : Functional
            Coefficients, the same for all instances.
        value : LinearForm or int
            Right-hand side.
        """
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
