"""The lookups of an execution as blocks of fractions, and the claims they leave.

Block of a group of lookups: dims (instances, *shape), numerators 1 (or the causal mask),
``q - 1 = (alpha - 1 - beta^2 tag_b) - value - beta image``. Block of a table: numerators minus its
multiplicities. See :mod:`veracity.zk.lookup` for the argument.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from math import prod
from typing import Any

import numpy as np

from veracity.engine.api import ORDER, Engine, FractionBlock, Ints, Leaves, Vec
from veracity.records import record
from veracity.zk.committed import ArrayId, ArrayShape
from veracity.zk.fractions import Placement, axis_tables, place
from veracity.zk.hidden import HiddenChannel, HiddenProver, HiddenVerifier
from veracity.zk.lookup import LeafClaim, prove_lookups, verify_lookups
from veracity.zk.mle import eq_at, ones, variables, zeros
from veracity.zk.reduction import Functional, Term
from veracity.zkml.circuit.declared import LookupUse
from veracity.zkml.circuit.linear_maps import Causal
from veracity.zkml.circuit.relations import Claim, ProductTerm, Resolver
from veracity.zkml.circuit.tables import Table
from veracity.zkml.circuit.tensor import Source, Tensor

__all__ = ["LookupPlan", "count_multiplicities", "prove_all_lookups", "verify_all_lookups"]


@record
class LookupPlan:
    """Blocks of the lookup argument; a function of public shapes only."""

    groups: Sequence[Sequence[LookupUse]]
    tables: tuple[Table, ...]

    @staticmethod
    def of(groups: Sequence[Sequence[LookupUse]]) -> LookupPlan:
        """The plan for grouped lookups; tables sorted by name."""
        names = {use.table.name: use.table for group in groups for use in group}
        return LookupPlan(groups, tuple(names[n] for n in sorted(names)))

    def fill(self, values: Mapping[Source, Ints]) -> LookupPlan:
        """The plan with the integers of arrays that come later than the others."""
        groups = [[_filled(use, values) for use in group] for group in self.groups]
        return LookupPlan(groups, self.tables)

    @cached_property
    def _tags(self) -> dict[str, int]:
        return {table.name: k for k, table in enumerate(self.tables, 1)}

    def tag(self, table: Table) -> int:
        """The table's id inside the tuple, from 1."""
        return self._tags[table.name]

    def dims(self) -> list[tuple[int, ...]]:
        """Dims of all blocks: lookup groups, then tables."""
        blocks = [(len(g), *g[0].value.dims) for g in self.groups]
        return [*blocks, *[(t.size,) for t in self.tables]]

    def placement(self) -> Placement:
        """Offsets of all blocks."""
        return place(self.dims())

    def arrays(self) -> list[ArrayShape]:
        """The arrays of multiplicities."""
        return [ArrayShape(multiplicity_id(t), (t.size,)) for t in self.tables]

    def count(self) -> int:
        """Number of lookups that count (hidden entries excluded)."""
        total = 0
        for g in self.groups:
            dims = g[0].value.dims
            square = dims[-1] * (dims[-1] + 1) // 2 * prod(dims[:-2]) if g[0].causal else 0
            total += len(g) * (square if g[0].causal else prod(dims))
        return total


def _filled(use: LookupUse, values: Mapping[Source, Ints]) -> LookupUse:
    sources = [source for source, _ in use.value.terms]
    if len(sources) != 1 or sources[0] not in values:
        return use
    return replace(use, value=replace(use.value, value=values[sources[0]]))


def multiplicity_id(table: Table) -> ArrayId:
    """Name of a table's multiplicities."""
    return ArrayId("multiplicity", table.name)


def count_multiplicities(engine: Engine, plan: LookupPlan) -> dict[ArrayId, Ints]:
    """How often each entry of each table is looked up."""
    found: dict[str, list[Ints]] = {table.name: [] for table in plan.tables}
    for group in plan.groups:
        for use in group:
            values = _values(use.value)
            if use.causal:
                size = values.shape[-1]
                seen = np.tril(np.ones((size, size), dtype=bool))
                values = np.ascontiguousarray(values[..., seen])
            found[use.table.name].append(values)
    counted = [(t, engine.integers.count(found[t.name], t.low, t.size)) for t in plan.tables]
    return {multiplicity_id(table): _narrow(counts) for table, counts in counted}


def _narrow(counts: Ints) -> Ints:
    """The same in the shortest of the engine's types: every pass over it takes less."""
    for dtype in (np.int16, np.int32):
        if _fits(counts, dtype):
            return counts.astype(dtype)
    return counts


def _values(tensor: Tensor) -> Ints:
    """The prover's integers, of a dtype and an order that the engine takes."""
    values = tensor.value
    if values is None:
        raise ValueError("the prover's tensors carry values")
    short = values.dtype.kind == "i" or values.dtype == np.uint16
    return np.ascontiguousarray(values, dtype=None if short else np.int64)


def _constants(
    engine: Engine, plan: LookupPlan, group: Sequence[LookupUse], alpha: int, beta: int
) -> Vec:
    """``alpha - 1 - beta^2 tag`` per instance."""
    return engine.from_ints([alpha - 1 - beta * beta * plan.tag(u.table) for u in group])


_LIMITS = {dtype: np.iinfo(dtype) for dtype in (np.int16, np.int32)}


def _fits(array: Ints, dtype: type[np.signedinteger[Any]]) -> bool:
    limits = _LIMITS[dtype]
    return int(array.min()) >= limits.min and int(array.max()) <= limits.max


def _leaves(
    engine: Engine, plan: LookupPlan, multiplicities: Mapping[ArrayId, Ints], alpha: int, beta: int
) -> list[FractionBlock]:
    """All blocks, by falling size."""
    placement, dims = plan.placement(), plan.dims()
    out = []
    for i in placement.order:
        p: Vec | Leaves | None = None
        if i < len(plan.groups):
            group = plan.groups[i]
            found = [_values(u.image) for u in group if u.image is not None]
            constants = _constants(engine, plan, group, alpha, beta)
            d = Leaves([_values(u.value) for u in group], found or None, constants, beta)
            if group[0].causal:
                mask = -Causal(dims[i][-1], visible=True).mask()
                hidden = np.ascontiguousarray(np.broadcast_to(mask, dims[i][1:]))
                p = Leaves([hidden] * len(group), None, zeros(engine, len(group)), 0)
        else:
            table = plan.tables[i - len(plan.groups)]
            d = _table_leaves(engine, plan, table, alpha, beta)
            counts = multiplicities[multiplicity_id(table)]
            p = Leaves([counts], None, zeros(engine, 1), 0)
        out.append(FractionBlock(dims[i], p, d))
    return out


def _table_leaves(engine: Engine, plan: LookupPlan, table: Table, alpha: int, beta: int) -> Leaves:
    constant = engine.from_ints([alpha - 1 - beta * beta * plan.tag(table)])
    images = table.images()
    return Leaves([table.values()], None if images is None else [images], constant, beta)


class _Sums:
    """Sums of eq tables with public integers, each made once: many blocks have the same tables."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._found: dict[int, tuple[Vec, int, int]] = {}

    def of(self, vector: Vec) -> tuple[int, int]:
        """``sum_i v_i`` and ``sum_i i v_i``."""
        if id(vector) not in self._found:
            n = len(vector)
            counted = np.stack([np.ones(n, dtype=np.int32), np.arange(n, dtype=np.int32)])
            total, first = self.with_integers(vector, counted)
            self._found[id(vector)] = vector, total, first
        return self._found[id(vector)][1:]

    def with_integers(self, vector: Vec, rows: Ints) -> list[int]:
        """``sum_i rows[k, i] v_i`` for each row."""
        return self._engine.to_ints(self._engine.contract(rows[:, :, None], vector))

    def of_table(self, vector: Vec, table: Table, constant: int, beta: int) -> int:
        """``sum_i v_i (constant - value_i - beta image_i)`` over the entries of a table."""
        total, first = self.of(vector)
        out = (constant - table.low) * total - first
        images = table.images()
        if images is not None:
            out -= beta * self.with_integers(vector, images[None, :])[0]
        return out


def _claims(
    engine: Engine, resolver: Resolver, plan: LookupPlan, leaf: LeafClaim, alpha: int, beta: int
) -> list[Claim]:
    """The two claims that the leaves' extensions leave."""
    placement, dims = plan.placement(), plan.dims()
    counts: list[Term] = []
    terms: list[Term] = []
    products: list[ProductTerm] = []
    numerator, denominator = 0, 1
    tables: dict[tuple[int, int], Vec] = {}
    sums = _Sums(engine)
    for i, block in enumerate(dims):
        n = variables(block)
        prefix = eq_at(leaf.point[n:], placement.offsets[i] >> n)
        vectors = axis_tables(engine, leaf.point[:n], block, tables)
        if i >= len(plan.groups):
            table = plan.tables[i - len(plan.groups)]
            weights: Functional = ((1, vectors[0]),)
            counts.append(Term(-prefix % ORDER, multiplicity_id(table), weights))
            constant = alpha - 1 - beta * beta * plan.tag(table)
            denominator += prefix * sums.of_table(vectors[0], table, constant, beta)
            continue
        group = plan.groups[i]
        instances = engine.to_ints(vectors[0])
        first, *others = [sums.of(v)[0] for v in vectors]
        rest = prod_mod(others)
        if group[0].causal:
            _, joined = Causal(block[-1], visible=True).pull(
                engine, tuple((1, v) for v in vectors[1:])
            )
            inside = prod_mod(engine.dot(v, ones(engine, len(v))) for _, v in joined)
        else:
            inside = rest
        numerator += prefix * first % ORDER * inside
        constants = _constants(engine, plan, group, alpha, beta)
        denominator += prefix * engine.dot(vectors[0], constants) % ORDER * rest
        axes: Functional = tuple((1, v) for v in vectors[1:])
        scale = [-prefix * w % ORDER for w in instances]
        parts = [resolver.resolve([u.value for u in group], scale, axes)]
        images = [u.image for u in group if u.image is not None]
        if images:
            parts.append(resolver.resolve(images, [beta * s % ORDER for s in scale], axes))
        for part in parts:
            terms += part.terms
            products += part.products
            denominator += part.public
    return [
        Claim(tuple(counts), (), leaf.numerator - numerator % ORDER),
        Claim(tuple(terms), tuple(products), leaf.denominator - denominator % ORDER),
    ]


def prod_mod(values: object) -> int:
    """Product modulo the group order."""
    out = 1
    for v in values:  # type: ignore[attr-defined]
        out = out * v % ORDER
    return out


def _challenges(channel: HiddenChannel) -> tuple[int, int]:
    return channel.challenge("lookup alpha"), channel.challenge("lookup beta")


def prove_all_lookups(
    channel: HiddenProver,
    resolver: Resolver,
    plan: LookupPlan,
    multiplicities: Mapping[ArrayId, Ints],
    progress: Callable[[float], None] = lambda _: None,
) -> list[Claim]:
    """Prove every lookup; returns the remaining claims about arrays.

    Parameters
    ----------
    channel : HiddenProver
        Where messages go.
    resolver : Resolver
        From tensors to committed arrays.
    plan : LookupPlan
        With the prover's integers.
    multiplicities : mapping
        How often each table entry is looked up; committed already.
    progress : callable
        Receives the fraction done.
    """
    alpha, beta = _challenges(channel)
    leaf = prove_lookups(
        channel,
        _leaves(channel.engine, plan, multiplicities, alpha, beta),
        plan.placement().variables,
        progress,
    )
    return _claims(channel.engine, resolver, plan, leaf, alpha, beta)


def verify_all_lookups(
    channel: HiddenVerifier, resolver: Resolver, plan: LookupPlan
) -> list[Claim]:
    """Replay; returns the remaining claims about arrays.

    Parameters
    ----------
    channel : HiddenVerifier
        Where messages come from.
    resolver : Resolver
        From tensors to committed arrays.
    plan : LookupPlan
        Public shapes.
    """
    alpha, beta = _challenges(channel)
    leaf = verify_lookups(channel, plan.placement().variables)
    return _claims(channel.engine, resolver, plan, leaf, alpha, beta)
