"""Collects what a circuit commits to and which relations remain to be shown.

A relation is proved in the field and meant over the integers. So the collector knows a bound of
every array in a relation (the projection's, or that of a table in which it was looked up) and
refuses one whose sides may reach a quarter of the field's order.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from veracity.engine.api import ORDER, Integers, Ints
from veracity.errors import RangeError, UnsupportedModelError
from veracity.zk.committed import ArrayId
from veracity.zk.projection import ENTRY_BITS
from veracity.zkml.circuit.declared import Batch, Given, LookupUse, weight_id, witness_id
from veracity.zkml.circuit.integers import OUTSIDE, compact
from veracity.zkml.circuit.tables import Table
from veracity.zkml.circuit.tensor import (
    ArraySource,
    ProductSource,
    Public,
    PublicRows,
    Source,
    Tensor,
    UpdatedSource,
    Updates,
)
from veracity.zkml.committed import TensorSpec

__all__ = ["Collector"]

_HALF = ORDER // 2


class Collector:
    """The circuit under construction, and what is known about the size of its integers.

    Parameters
    ----------
    given : mapping
        Tensors that were committed before, by id.
    proving : bool
        Whether tensors carry the prover's integers.
    integers : Integers, optional
        The prover's engine for these; NumPy computes where not given.
    """

    def __init__(
        self,
        given: Mapping[ArrayId, Given],
        proving: bool,
        integers: Integers | None = None,
    ) -> None:
        self.given = dict(given)
        self.proving = proving
        self.integers = integers
        self.batches: dict[ArrayId, Batch] = {}
        self.lookups: list[LookupUse] = []
        self.zeros: list[Tensor] = []
        self._limits: dict[ArraySource, int] = {}
        self._free: set[ArraySource] = set()
        self._bounds: dict[int, tuple[Tensor, int]] = {}  # by identity, kept alive beside it
        self._totals: dict[int, tuple[Updates, list[int]]] = {}  # so are these

    def array(self, name: ArrayId) -> Tensor:
        """A tensor that was committed before."""
        found = self.given[name]
        if self.proving and found.value is None:
            raise ValueError(f"{name} carries no integers")
        return Tensor(found.spec.dims, {(ArraySource(name), ()): 1}, found.value)

    def instance(self, name: ArrayId, index: int) -> Tensor:
        """One index of the first axis of a tensor that was committed before."""
        found = self.given[name]
        value = None if found.value is None else found.value[index]
        return Tensor(found.spec.dims[1:], {(ArraySource(name, index), ()): 1}, value)

    def weight(self, name: str) -> Tensor:
        """A tensor of the committed model."""
        return self.array(weight_id(name))

    def constant(self, c: int, dims: tuple[int, ...]) -> Tensor:
        """A public integer everywhere."""
        return Tensor.constant(c, dims, self.proving)

    def column(
        self,
        role: str,
        dims: tuple[int, ...],
        value: Ints | None,
        joint: bool = False,
        bounded: bool = False,
        free: bool = False,
    ) -> Tensor:
        """Commit to an array of integers of at most 63 bits.

        Parameters
        ----------
        role : str
            Arrays of one role and shape are batched.
        dims : tuple of int
            Dims of this one.
        value : array or None
            The prover's integers.
        joint : bool
            Claims weigh the last two axes together.
        bounded : bool
            To be shown: every entry is an integer far below the field's size.
        free : bool
            Nothing bounds the entries: the relations that pin them hold in the field.
        """
        name = witness_id(role, dims)
        batch = self.batches.get(name)
        if batch is None:
            batch = self.batches[name] = Batch(name, dims, joint, bounded)
        elif batch.joint is not joint or batch.bounded is not bounded:
            raise ValueError(f"role {role} is used in two ways")
        value = self._witness(role, dims, value)
        if value is not None:
            batch.values.append(value)
        batch.count += 1
        source = ArraySource(batch.id, batch.count - 1)  # one object names all of a batch
        if free:
            self._free.add(source)
        return Tensor(dims, {(source, ()): 1}, value)

    def _witness(self, role: str, dims: tuple[int, ...], value: Ints | None) -> Ints | None:
        """The prover's integers as they are committed."""
        if not self.proving:
            return None
        if value is None or value.shape != dims:
            raise ValueError(f"role {role}: the witness has another shape")
        return compact(value)

    def later(self, role: str, dims: tuple[int, ...]) -> Tensor:
        """An array whose integers depend on the first challenges."""
        name = witness_id(role, dims)
        batch = self.batches.setdefault(name, Batch(name, dims, joint=False, bounded=False))
        batch.count += 1
        return Tensor(dims, {(ArraySource(name, batch.count - 1), ()): 1})

    def hand_over(
        self, name: ArrayId, spec: TensorSpec, value: Tensor, bounded: bool = True
    ) -> None:
        """Commit to a value as a tensor of its own that others read.

        Whoever receives the tensor relies on the projection's bound, or knows one from elsewhere.

        Parameters
        ----------
        name : ArrayId
            Name of the boundary tensor.
        spec : TensorSpec
            How it is committed.
        value : Tensor
            What it has to equal.
        bounded : bool
            Whether the projection is to bound it; if not, the value it equals is bounded.
        """
        handed = self.handed_column(name, spec, value.value, bounded)
        if not bounded:
            self._require_integers(str(name), value)
            self._free.add(ArraySource(name))
        # identities are claimed at points: nobody needs the integers of a difference
        self.zero(handed.bare() - value.bare())

    def handed_column(
        self, name: ArrayId, spec: TensorSpec, value: Ints | None, bounded: bool = True
    ) -> Tensor:
        """A tensor of its own that others read, which relations are yet to pin.

        Parameters
        ----------
        name : ArrayId
            Name of the boundary tensor.
        spec : TensorSpec
            How it is committed.
        value : array or None
            The prover's integers.
        bounded : bool
            Whether the projection is to bound it.
        """
        integers = self._witness(str(name), spec.dims, value)
        values = [] if integers is None else [integers]
        self.batches[name] = Batch(name, spec.dims, False, bounded, spec, values, 1)
        return Tensor(spec.dims, {(ArraySource(name), ()): 1}, integers)

    def bound(self, tensor: Tensor) -> int | None:
        """What the integers of a tensor cannot exceed in magnitude; None where nothing says so.

        Bounded arrays (and whatever was committed before) have entries below ``2^49``, by a
        projection; arrays that were looked up lie in their tables.
        """
        known = self._bounds.get(id(tensor))
        if known is not None:
            return known[1]
        total = 0
        for (source, maps), c in tensor.terms.items():
            # a circuit has thousands of arrays, and few of the others
            largest = self._limit(source) if type(source) is ArraySource else self._size(source)
            if largest is None:
                return None
            for linear_map in maps:
                largest *= linear_map.gain()
            total += (c if c < _HALF else ORDER - c) * largest
        self._bounds[id(tensor)] = (tensor, total)
        return total

    def _size(self, source: Source) -> int | None:
        """What the integers of a source that is no array cannot exceed in magnitude."""
        if isinstance(source, ProductSource):
            left, right = self.bound(source.a), self.bound(source.b)
            unbounded = left is None or right is None
            return None if unbounded else source.contracted() * (left or 0) * (right or 0)
        if isinstance(source, Public):
            return int(np.abs(source.values).max()) if source.values.size else 0
        if isinstance(source, PublicRows):
            return source.largest
        return self._updated(source) if isinstance(source, UpdatedSource) else 1

    def _updated(self, source: UpdatedSource) -> int | None:
        """The bound of a tensor after some updates; a running sum, for there are many of them."""
        updates, count = source.updates, source.count
        known = self._totals.get(id(updates))
        base = self.bound(updates.base) if known is None else 0
        if base is None:
            return None
        _, totals = self._totals.setdefault(id(updates), (updates, [base]))
        for step in updates.steps[len(totals) - 1 : count]:
            moved = self.bound(step)
            if moved is None:
                return None
            totals.append(totals[-1] + moved)
        return totals[count]

    def _limit(self, source: ArraySource) -> int | None:
        known = self._limits.get(source)
        if known is not None:
            return known
        batch = self.batches.get(source.id)
        if batch is None:
            return self.given[source.id].limit
        return (1 << ENTRY_BITS) - 1 if batch.bounded else None

    def limit(self, array: Tensor, most: int) -> None:
        """Remember that relations pin the integers of a committed array below a magnitude.

        Parameters
        ----------
        array : Tensor
            An array as it is committed.
        most : int
            The magnitude; whoever states it has shown it.
        """
        ((source, _),) = array.terms
        if not isinstance(source, ArraySource) or source.id not in self.batches:
            raise ValueError("only an array of this circuit has a limit")
        self._limits[source] = most

    def lookup(
        self,
        op: str,
        table: Table,
        value: Tensor,
        image: Tensor | None = None,
        causal: bool = False,
    ) -> None:
        """To be shown: every (not hidden) entry stands in the table.

        Parameters
        ----------
        op : str
            The op that it belongs to.
        table : Table
            Where entries stand.
        value : Tensor
            What is looked up.
        image : Tensor, optional
            The function's value beside it.
        causal : bool
            Whether entries that the mask hides are exempt.
        """
        whole = (table.low, table.size) == (0, 1 << 16)  # nothing that 16 bits hold is outside
        if value.value is not None and not (whole and value.value.dtype == np.uint16):
            x = np.tril(value.value) if causal else value.value
            if x.size and (int(x.min()) < table.low or int(x.max()) >= table.low + table.size):
                raise RangeError(op, OUTSIDE)
        self.note_range(table, value, image)
        for tensor in (value, image):
            if tensor is not None:
                self._require_integers(op, tensor)
        self.lookups.append(LookupUse(op, table, value, image, causal))

    def note_range(self, table: Table, value: Tensor, image: Tensor | None) -> None:
        """Remember what a lookup says about the arrays in it.

        Parameters
        ----------
        table : Table
            Where entries stand.
        value : Tensor
            What is looked up.
        image : Tensor or None
            The function's value beside it.
        """
        self._note(value, max(-table.low, table.low + table.size - 1))
        if image is not None:
            self._note(image, table.largest_image())

    def _note(self, tensor: Tensor, limit: int) -> None:
        """Remember what a lookup of ``x + (terms of known bounds)`` says about ``x``."""
        found = None
        for (source, maps), c in tensor.terms.items():
            if type(source) is ArraySource and self._limit(source) is None:
                if found is not None or maps or c != 1:
                    return
                found = source
        if found is None:
            return
        others: int | None = 0
        if len(tensor.terms) > 1:
            rest = {k: c for k, c in tensor.terms.items() if k[0] != found}
            others = self.bound(Tensor(tensor.dims, rest))
        if others is not None:
            self._limits[found] = limit + others

    def _require_integers(self, op: str, tensor: Tensor) -> None:
        """A relation that holds in the field must hold over the integers, too.

        Raises
        ------
        UnsupportedModelError
            Where magnitudes may reach a quarter of the field's order.
        """
        bound = self.bound(tensor)
        if bound is None and not self._is_free(tensor):
            raise ValueError(f"{op}: nothing bounds a tensor in a relation")
        if bound is not None and bound >= ORDER // 4:
            raise UnsupportedModelError(
                op, "a value that may exceed the field", "rescale sooner, or with fewer bits"
            )

    def _is_free(self, tensor: Tensor) -> bool:
        """Whether a tensor reads arrays that relations pin in the field."""
        if any(source in self._free for source, _ in tensor.terms):
            return True
        for source, _ in tensor.terms:
            parts = source.operands() if isinstance(source, ProductSource | UpdatedSource) else ()
            if any(map(self._is_free, parts)):
                return True
        return False

    def product(self, spec: str, a: Tensor, b: Tensor, out: Tensor) -> None:
        """To be shown: ``out = einsum(spec, a, b)``.

        Parameters
        ----------
        spec : str
            ``"ij,jk->ik"`` and the like, two operands.
        a, b : Tensor
            Operands.
        out : Tensor
            What the product has to equal.
        """
        self.zero(Tensor.product(spec, a, b) - out)

    def zero(self, tensor: Tensor) -> None:
        """To be shown: every entry vanishes."""
        self._require_integers("an identity", tensor)
        self.zeros.append(tensor)

    def is_joint(self, tensor: Tensor) -> bool:
        """Whether claims may weigh the last two axes of the arrays in a tensor together."""
        return all(
            isinstance(source, ArraySource)
            and not maps
            and (len(tensor.dims) == 2 if source.instance is None else self._joint(source))
            for source, maps in tensor.terms
        )

    def _joint(self, source: ArraySource) -> bool:
        return self.batches[source.id].joint
