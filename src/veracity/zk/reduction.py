"""All claims about committed columns become one linear equation on one row of entries.

Relation. Claims ``sum_t coefficient_t <W_t, X_t> = v`` with public weights ``W_t`` (Kronecker
products of vectors over groups of axes, zero on padding) on committed columns ``X_t`` and hidden
``v``. They are batched with powers of a challenge and go through one inner-product sumcheck.

The prover never expands a column to field elements: for the inner axes it folds the vectors
``y_t = u_t^T X`` (one pass of small integers against field elements per claim), and for the outer
axes ``x' = X eq(r_inner)`` (one more pass).

Messages and checks. Those of :mod:`veracity.zk.sumcheck`.
Owed. ``sum_X weight_X X(r) = claim``: since the ``weight_X`` are public, this is one linear
equation
on ``t = sum_X weight_X sum_row eq(r_high, row) X[row]``, namely ``<t, eq(r_low)> = claim``.
Soundness error. ``(claims + 2 n) / |F|``.
Reference: batch evaluation by sumcheck as in Spartan (eprint 2019/550) section 7 and HyperPlonk
(2022/1355) section 3.8; binding the integers first: Thaler (2013/351).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

from veracity.engine.api import ORDER, Engine, Ints, Vec
from veracity.errors import VerificationError
from veracity.zk.columns import ColumnShape
from veracity.zk.ledger import Channel, HiddenProver, HiddenVerifier, LinearForm
from veracity.zk.mle import axis_points, eq_dense, kron, powers, variables
from veracity.zk.sumcheck import Pair, SumcheckClaim, pad_factor, prove_sumcheck, verify_sumcheck

__all__ = ["LinearClaim", "RowEquation", "Term", "Weights", "reduce_prover", "reduce_verifier"]

#: A Kronecker product over the axes of a column, slowest first: (number of axes, vector over
#: their present entries). A vector over several axes need not itself be a product.
Weights = tuple[tuple[int, Vec], ...]


@dataclass(frozen=True)
class Term:
    """``coefficient * <weights, column>``."""

    coefficient: int
    column: str
    weights: Weights


@dataclass(frozen=True)
class LinearClaim:
    """``sum of terms = value``."""

    terms: tuple[Term, ...]
    value: LinearForm


@dataclass(frozen=True)
class RowEquation:
    """``<t, eq(point[:log C])> = value`` for ``t = sum_X weight_X sum_row eq(.., row) X[row]``.

    Attributes
    ----------
    point : list of int
        Point of the sumcheck, at least ``log C`` coordinates.
    weights : dict
        ``weight_X`` by column name.
    value : LinearForm
        Right-hand side.
    """

    point: list[int]
    weights: Mapping[str, int]
    value: LinearForm


def _batch(
    channel: Channel, claims: Sequence[LinearClaim]
) -> tuple[dict[str, list[Term]], LinearForm]:
    """Batch claims with powers of one challenge; terms by column in order of appearance."""
    scale = powers(channel.challenge("claim batch"), len(claims))
    terms: dict[str, list[Term]] = {}
    value = LinearForm(0)
    for k, claim in zip(scale, claims, strict=True):
        value = value + k * claim.value
        for t in claim.terms:
            scaled = Term(k * t.coefficient % ORDER, t.column, t.weights)
            terms.setdefault(t.column, []).append(scaled)
    return terms, value


def _equation(
    engine: Engine,
    shapes: Mapping[str, ColumnShape],
    terms: Mapping[str, list[Term]],
    end: SumcheckClaim,
    log_columns: int,
) -> RowEquation:
    """Evaluate the batched weights of every column at the sumcheck's point."""
    point = end.point + [0] * (log_columns - len(end.point))
    weights = {}
    cache: dict[tuple[int, tuple[int, ...], int], int] = {}
    for name, column_terms in terms.items():
        dims = shapes[name].dims
        points = axis_points(point, dims)
        total = 0
        for term in column_terms:
            value, axis = term.coefficient, 0
            for span, vector in term.weights:
                key = (id(vector), dims[axis : axis + span], variables(dims[axis + span :]))
                if key not in cache:
                    local = [c for p in reversed(points[axis : axis + span]) for c in p]
                    table = eq_dense(engine, local, dims[axis : axis + span])
                    cache[key] = engine.dot(vector, table)
                value = value * cache[key] % ORDER
                axis += span
            total += value
        n = max(shapes[name].variables, log_columns)
        weights[name] = total * pad_factor(point, n) % ORDER
    return RowEquation(point, weights, end.value)


class _Column:
    """Prover's state of one column: inner axes first, then outer axes (see the module text)."""

    def __init__(
        self, engine: Engine, dims: tuple[int, ...], values: Ints, terms: Sequence[Term]
    ) -> None:
        self._engine = engine
        split = _split_axis(dims, terms)
        self._outer_dims, self._inner_dims = dims[:split], dims[split:]
        self._matrix = values.reshape(prod(self._outer_dims), prod(self._inner_dims))
        self._outers: list[Vec] = []
        inners: list[Vec] = []
        folded: list[Vec] = []
        for term in terms:
            outer, inner = _halves(engine, term.weights, split)
            y = engine.contract(self._matrix[None, :, :], outer)
            self._outers.append(outer)
            inners.append(inner)
            folded.append(engine.scale(y, term.coefficient))
        self.variables = variables(dims)
        self._inner_left = variables(self._inner_dims)
        self._bound: list[int] = []
        self._pair = Pair(
            engine, engine.concat(folded), engine.concat(inners), self._inner_dims, len(terms)
        )
        self._coefficients = [t.coefficient for t in terms]
        if self._inner_left == 0:
            self._to_outer()

    def _to_outer(self) -> None:
        weights = self._engine.to_ints(self._pair.b)
        table = eq_dense(self._engine, self._bound, self._inner_dims)
        bound = self._engine.contract(self._matrix[:, :, None], table)
        scaled = [c * w for c, w in zip(self._coefficients, weights, strict=True)]
        combined = self._engine.lincomb(self._outers, scaled)
        self._outers = []
        self._pair = Pair(self._engine, bound, combined, self._outer_dims)

    def round(self) -> tuple[int, int, int]:
        return self._pair.round()

    def bind(self, r: int) -> None:
        self._pair.bind(r)
        if self._inner_left > 0:
            self._bound.append(r)
            self._inner_left -= 1
            if self._inner_left == 0:
                self._to_outer()

    def value(self) -> int:
        return self._pair.value()


def _split_axis(dims: tuple[int, ...], terms: Sequence[Term]) -> int:
    """Where outer axes end: a boundary of all weights that best balances both sides."""
    boundaries = set(range(1, len(dims)))
    for term in terms:
        at = 0
        own: set[int] = set()
        for span, _ in term.weights:
            at += span
            own.add(at)
        boundaries &= own
    return min(boundaries | {0}, key=lambda k: (abs(prod(dims[:k]) - prod(dims[k:])), k))


def _halves(engine: Engine, weights: Weights, split: int) -> tuple[Vec, Vec]:
    outer: list[Vec] = []
    inner: list[Vec] = []
    at = 0
    for span, vector in weights:
        (outer if at < split else inner).append(vector)
        at += span
    return kron(engine, outer), kron(engine, inner)


def reduce_prover(
    channel: HiddenProver,
    shapes: Mapping[str, ColumnShape],
    values: Mapping[str, Ints],
    claims: Sequence[LinearClaim],
) -> RowEquation:
    """Prove all claims about columns, up to one equation on a combined row."""
    terms, total = _batch(channel, claims)
    engine = channel.engine
    columns = [_Column(engine, shapes[n].dims, values[n], t) for n, t in terms.items()]
    end = prove_sumcheck(channel, columns, [1] * len(columns), total, "evaluation")
    return _equation(engine, shapes, terms, end, channel.key.log_columns)


def reduce_verifier(
    channel: HiddenVerifier, shapes: Mapping[str, ColumnShape], claims: Sequence[LinearClaim]
) -> RowEquation:
    """Replay; returns the equation that the opening must prove."""
    terms, total = _batch(channel, claims)
    rounds = max((shapes[n].variables for n in terms), default=0)
    end = verify_sumcheck(channel, rounds, total, "evaluation")
    equation = _equation(channel.engine, shapes, terms, end, channel.key.log_columns)
    if not equation.weights:
        raise VerificationError("the statement makes no claim about any column", "evaluation")
    return equation
