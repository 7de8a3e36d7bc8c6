"""All claims about committed arrays become one linear equation on one row of entries.

Relation. Claims ``sum_t coefficient_t <W_t, X_t> = v`` with public coefficients ``W_t`` (Kronecker
products of vectors over groups of axes, zero on padding) on committed arrays ``X_t`` and hidden
``v``. They are batched with powers of a challenge and go through one inner-product sumcheck.

The prover never expands an array to field elements: for the inner axes it folds the vectors
``y_t = u_t^T X`` (one pass of small integers against field elements per claim), and for the outer
axes ``x' = X eq(r_inner)`` (one more pass).

Messages and checks. Those of :mod:`veracity.zk.sumcheck`.
Remaining claim. ``sum_X coefficient_X X(r) = claim``: since the coefficients are public, this is
one linear equation on ``t = sum_X coefficient_X sum_row eq(r_high, row) X[row]``, namely
``<t, eq(r_low)> = claim``.
Short rows. An array with fewer entry variables than the key has lives at the corner 0 of the gap
between them (:mod:`veracity.zk.committed`). The claim about it is a sum over the whole cube of
``W X prod_gap (1 - x_j)^2``, where one factor belongs to the public ``W``: a gap round sends
``v (1 - X)^2``, and ``coefficient_X`` contains ``prod_gap (1 - r_j)``. The array that such a claim
is about is therefore exactly what stands in the first entries of its rows; everything else in them
meets the weight zero. There are always at least ``log C`` rounds, so no coordinate is ever fixed.
Soundness error. ``(claims + 2 n) / |F|``.
Reference: batch evaluation by sumcheck as in Spartan (eprint 2019/550) section 7 and HyperPlonk
(2022/1355) section 3.8; binding the integers first: Thaler (2013/351).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

from veracity.engine.api import ORDER, Engine, Ints, Vec
from veracity.errors import VerificationError
from veracity.records import record
from veracity.zk.array_sums import KnownSums, Side, sum_axes
from veracity.zk.committed import ArrayId, ArrayShape, CommittedArray, RowLayout
from veracity.zk.hidden import HiddenChannel, HiddenProver, HiddenVerifier, LinearForm
from veracity.zk.mle import eq_dense, kron, powers, variables
from veracity.zk.single_entries import SingleEntries
from veracity.zk.sumcheck import Pair, SumcheckClaim, pad_factor, prove_sumcheck, verify_sumcheck

__all__ = [
    "Functional",
    "LinearClaim",
    "Placed",
    "RowEquation",
    "Term",
    "dense",
    "reduce_prover",
    "reduce_verifier",
]


@record(eq=False)
class Placed:
    """A vector of ``size`` entries that are zero but for a run from ``start`` on."""

    entries: Vec
    start: int
    size: int

    def __len__(self) -> int:
        return self.size


#: A Kronecker product over the axes of an array, slowest first: (number of axes, vector over
#: their present entries, or :class:`Placed`). A vector over several axes need not itself be a
#: product.
Functional = tuple[tuple[int, Vec], ...]


def dense(engine: Engine, functional: Functional) -> Functional:
    """The same functional with all entries of its vectors."""
    return tuple((span, _dense(engine, vector)) for span, vector in functional)


def _dense(engine: Engine, vector: Vec) -> Vec:
    if not isinstance(vector, Placed):
        return vector
    after = vector.size - vector.start - len(vector.entries)
    return engine.pad(vector.entries, vector.start, after)


def _weighed(engine: Engine, vector: Vec, table: Vec) -> int:
    """``<vector, table>``; of a long table only what a short run meets."""
    if isinstance(vector, Placed):
        table = table[vector.start : vector.start + len(vector.entries)]
        vector = vector.entries
    return engine.dot(vector, table)


@record
class Term:
    """``coefficient * <functional, array>``."""

    coefficient: int
    array: ArrayId
    functional: Functional


@record
class LinearClaim:
    """``sum of terms = value``."""

    terms: tuple[Term, ...]
    value: LinearForm


@record
class RowEquation:
    """``<t, eq(point[:log C])> = value``, ``t = sum_X coefficient_X sum_row eq(.., row) X[row]``.

    Attributes
    ----------
    point : list of int
        Point of the sumcheck, at least ``log C`` coordinates.
    coefficients : dict
        ``coefficient_X`` by array.
    value : LinearForm
        Right-hand side.
    """

    point: list[int]
    coefficients: Mapping[ArrayId, int]
    value: LinearForm


def _batch(
    channel: HiddenChannel, claims: Sequence[LinearClaim]
) -> tuple[dict[ArrayId, list[Term]], LinearForm]:
    """Batch claims with powers of one challenge; terms by array in order of appearance."""
    scale = powers(channel.challenge("claim batch"), len(claims))
    terms: dict[ArrayId, list[Term]] = {}
    value = LinearForm(0)
    for k, claim in zip(scale, claims, strict=True):
        value = value + k * claim.value
        for t in claim.terms:
            scaled = Term(k * t.coefficient % ORDER, t.array, t.functional)
            terms.setdefault(t.array, []).append(scaled)
    return terms, value


#: The eq table of a run of axes, and what vectors over it weigh there, by identity.
_Table = tuple[Vec, dict[int, int]]


class _Evaluation:
    """Functionals at one point; tables that arrays have in common are made once."""

    def __init__(self, engine: Engine, point: Sequence[int]) -> None:
        self._engine, self._point = engine, point
        self._tables: dict[tuple[tuple[int, ...], int, int], _Table] = {}
        self._of_layout: dict[RowLayout, dict[tuple[int, int], _Table]] = {}

    def total(self, layout: RowLayout, terms: Sequence[Term]) -> int:
        """The sum of coefficients times functionals over arrays of this layout."""
        known = self._of_layout.setdefault(layout, {})
        total = 0
        for term in terms:
            value, axis = term.coefficient, 0
            for span, vector in term.functional:
                if (axis, span) not in known:
                    known[axis, span] = self._table(layout, axis, axis + span)
                table, weighed = known[axis, span]
                if id(vector) not in weighed:
                    weighed[id(vector)] = _weighed(self._engine, vector, table)
                value = value * weighed[id(vector)] % ORDER
                axis += span
            total += value
        return total

    def _table(self, layout: RowLayout, first: int, last: int) -> _Table:
        """The eq table of the axes ``first .. last-1`` of a layout."""
        dims, under = layout.dims[first:last], variables(layout.dims[last:])
        place = (dims, under, layout.entry_bits)
        if place not in self._tables:
            local = layout.coordinates(self._point)[under : under + variables(dims)]
            self._tables[place] = eq_dense(self._engine, local, dims), {}
        return self._tables[place]


def _equation(
    engine: Engine,
    shapes: Mapping[ArrayId, ArrayShape],
    terms: Mapping[ArrayId, list[Term]],
    end: SumcheckClaim,
    key_bits: int,
) -> RowEquation:
    """Evaluate the batched functional of every array at the sumcheck's point."""
    point = end.point
    evaluation = _Evaluation(engine, point)
    corners: dict[RowLayout, int] = {}
    coefficients = {}
    for name, array_terms in terms.items():
        layout = shapes[name].layout(key_bits)
        if layout not in corners:
            corners[layout] = layout.gap_factor(point) * pad_factor(point, layout.variables)
        coefficients[name] = evaluation.total(layout, array_terms) * corners[layout] % ORDER
    return RowEquation(point, coefficients, end.value)


@record
class _Part:
    """One of the arrays that a functional is the same for, and what it counts."""

    values: Ints
    coefficient: int


class _Array:
    """Prover's state of one array: inner axes first, then outer axes (see the module text).

    Arrays of one shape whose claims have one functional are one: their weighed sum, which nobody
    makes. Terms that read one entry each go through the inner axes on their own.
    """

    def __init__(
        self,
        engine: Engine,
        layout: RowLayout,
        parts: Sequence[_Part],
        terms: Sequence[Term],
        known: KnownSums,
    ) -> None:
        self._engine = engine
        dims = layout.dims
        self._parts = parts
        self._split = split = _split_axis(dims, terms)
        self._outer_dims, self._inner_dims = dims[:split], dims[split:]
        self._entries, terms = _single_entries(engine, parts, split, terms)
        self._outers: list[Vec] = []
        inners: list[Vec] = []
        folded: list[Vec] = []
        for term in terms:
            outer, inner = _halves(engine, term.functional, split)
            y = self._known(known, term.functional)
            if y is None:
                y = self._summed(Side.OUTER, outer)
            self._outers.append(outer)
            inners.append(inner)
            folded.append(engine.scale(y, term.coefficient))
        self.variables = layout.variables
        self._gap = layout.gap
        self._round, self.factor = 0, 1
        self._inner_left = variables(self._inner_dims)
        self._bound: list[int] = []
        self._pair = Pair(
            engine, engine.concat(folded), engine.concat(inners), self._inner_dims, len(terms)
        )
        self._coefficients = [t.coefficient for t in terms]
        if self._inner_left == 0:
            self._to_outer()

    def _known(self, known: KnownSums, functional: Functional) -> Vec | None:
        """The weighed sum over the first axis, where that of every part was made before."""
        if self._split != 1 or len(self._inner_dims) != 1:
            return None
        found = [known.find(part.values, functional[0][1]) for part in self._parts]
        sums = [y for y in found if y is not None]
        if len(sums) < len(found):
            return None
        return self._engine.lincomb(sums, [part.coefficient for part in self._parts])

    def _summed(self, side: Side, weights: Vec) -> Vec:
        """The weighed sum of what the parts are, summed over the axes of a side."""
        engine = self._engine
        arrays = [part.values for part in self._parts]
        if len(arrays) > 1 or self._parts[0].coefficient != 1:
            counts = engine.from_ints([part.coefficient for part in self._parts])
            weights = engine.outer(counts, weights)
        return sum_axes(engine, arrays, self._split, weights, side)

    def _to_outer(self) -> None:
        bound_functionals = self._engine.to_ints(self._pair.b)
        table = eq_dense(self._engine, self._bound, self._inner_dims)
        scaled = [c * w for c, w in zip(self._coefficients, bound_functionals, strict=True)]
        if self._entries is not None:
            self._outers.append(self._entries.outer())
            scaled.append(1)
            self._entries = None
        combined = self._engine.lincomb(self._outers, scaled)
        self._outers = []
        self._pair = Pair(self._engine, self._summed(Side.INNER, table), combined, self._outer_dims)

    def pairs(self) -> Sequence[Pair]:
        """See :class:`~veracity.zk.sumcheck.Instance`: none in the gap."""
        return () if self._round in self._gap else self._all_pairs()

    def _all_pairs(self) -> Sequence[Pair]:
        return (self._pair,) if self._entries is None else (self._pair, self._entries.pair)

    def others(self) -> tuple[int, int, int]:
        """See :class:`~veracity.zk.sumcheck.Instance`: the gap's ``v (1 - X)^2``."""
        if self._round not in self._gap:
            return 0, 0, 0
        v = self.value()
        return v, -2 * v, v

    def bind(self, r: int) -> None:
        """See :class:`~veracity.zk.sumcheck.Instance`."""
        self._round += 1
        if self._round - 1 in self._gap:
            self.factor = self.factor * (1 - r) * (1 - r) % ORDER
            return
        if self._inner_left > 0:
            if self._entries is not None:
                self._entries.bind(r)
            self._bound.append(r)
            self._inner_left -= 1
            if self._inner_left == 0:
                self._to_outer()

    def value(self) -> int:
        """See :class:`~veracity.zk.sumcheck.Instance`."""
        return sum(p.value() for p in self._all_pairs()) * self.factor % ORDER


def _split_axis(dims: tuple[int, ...], terms: Sequence[Term]) -> int:
    """Where outer axes end: a boundary of all functionals that best balances both sides."""
    boundaries = set(range(1, len(dims)))
    for term in terms:
        at = 0
        own: set[int] = set()
        for span, _ in term.functional:
            at += span
            own.add(at)
        boundaries &= own
    return min(boundaries | {0}, key=lambda k: (abs(prod(dims[:k]) - prod(dims[k:])), k))


def _single_entries(
    engine: Engine, parts: Sequence[_Part], split: int, terms: Sequence[Term]
) -> tuple[SingleEntries | None, list[Term]]:
    """The terms that read one entry each of a single array, where there are several; the others."""
    places = [_place(t.functional) for t in terms]
    if len(parts) > 1 or len(places) - places.count(None) < 2:
        return None, list(terms)
    coefficients, found = [], []
    for term, place in zip(terms, places, strict=True):
        if place is not None:
            ends = [v.entries if isinstance(v, Placed) else v for _, v in term.functional]
            weight = engine.to_ints(kron(engine, ends))[0]
            coefficients.append(term.coefficient * weight % ORDER)
            found.append(place)
    dense_terms = [t for t, place in zip(terms, places, strict=True) if place is None]
    (part,) = parts
    return SingleEntries(engine, part.values, split, found, coefficients), dense_terms


def _place(functional: Functional) -> tuple[int, ...] | None:
    """The index of the only entry that a functional reads, if it is one."""
    place: list[int] = []
    for span, vector in functional:
        if isinstance(vector, Placed) and span == len(vector.entries) == 1:
            place.append(vector.start)
        elif len(vector) == 1:
            place += [0] * span
        else:
            return None
    return tuple(place)


def _halves(engine: Engine, functional: Functional, split: int) -> tuple[Vec, Vec]:
    outer: list[Vec] = []
    inner: list[Vec] = []
    at = 0
    for span, vector in dense(engine, functional):
        (outer if at < split else inner).append(vector)
        at += span
    return kron(engine, outer), kron(engine, inner)


def _instances(
    engine: Engine,
    key_bits: int,
    arrays: Mapping[ArrayId, CommittedArray],
    terms: Mapping[ArrayId, list[Term]],
    known: KnownSums,
) -> list[_Array]:
    """The prover's states of all arrays: one for all of one shape under one functional."""
    groups: dict[object, list[ArrayId]] = {}
    for name, found in terms.items():
        form: object = name
        if len(found) == 1:
            vectors = tuple((span, id(vector)) for span, vector in found[0].functional)
            form = (arrays[name].shape.layout(key_bits), vectors)
        groups.setdefault(form, []).append(name)
    out = []
    for names in groups.values():
        first, own = names[0], terms[names[0]]
        factors = [1]
        if len(names) > 1:
            factors = [terms[n][0].coefficient for n in names]
            own = [Term(1, first, own[0].functional)]
        alike = [_Part(arrays[n].values, k) for n, k in zip(names, factors, strict=True)]
        layout = arrays[first].shape.layout(key_bits)
        out.append(_Array(engine, layout, alike, own, known))
    return out


def reduce_prover(
    channel: HiddenProver,
    arrays: Mapping[ArrayId, CommittedArray],
    claims: Sequence[LinearClaim],
    known: KnownSums | None = None,
) -> RowEquation:
    """Prove all claims about committed arrays, up to one equation on a combined row.

    Parameters
    ----------
    channel : HiddenProver
        Where messages go.
    arrays : mapping
        The committed arrays that claims are about (others may be there, too).
    claims : sequence of LinearClaim
        What remains to be shown.
    known : KnownSums, optional
        Sums of these arrays that were made before.
    """
    engine, key_bits = channel.engine, channel.key.log_columns
    terms, total = _batch(channel, claims)
    instances = _instances(engine, key_bits, arrays, terms, known or KnownSums())
    end = prove_sumcheck(channel, instances, [1] * len(instances), total, "evaluation")
    return _equation(engine, {n: arrays[n].shape for n in terms}, terms, end, key_bits)


def reduce_verifier(
    channel: HiddenVerifier, shapes: Mapping[ArrayId, ArrayShape], claims: Sequence[LinearClaim]
) -> RowEquation:
    """Replay; returns the equation that the opening must prove.

    Parameters
    ----------
    channel : HiddenVerifier
        Where messages come from.
    shapes : mapping
        Shapes of the arrays that claims are about.
    claims : sequence of LinearClaim
        What remains to be shown.
    """
    key_bits = channel.key.log_columns
    terms, total = _batch(channel, claims)
    if not terms:
        raise VerificationError("the statement makes no claim about any array", "evaluation")
    rounds = max(shapes[n].layout(key_bits).variables for n in terms)
    end = verify_sumcheck(channel, rounds, total, "evaluation")
    return _equation(channel.engine, shapes, terms, end, key_bits)
