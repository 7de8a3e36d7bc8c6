"""All products of an execution in one sumcheck.

Relation. Claims of the form ``sum of terms + sum of products = value``, where a product term is a
weighed sum ``sum_b s_b <tau, einsum(spec, a_b, b_b)>`` over instances ``b`` of one form, with one
public vector ``tau_l`` per output letter. Letters only in ``a`` or only in ``b`` are bound by their
vector first (Thaler's matrix multiplication, eprint 2013/351); what is left is an inner product
over (instance, batch letters, contracted letters):

    sum_{i, l, k} [s_i tau_l A(i, l, k)] B(i, l, k)

The weights in brackets factor over axes, so at the end they move into the claim about ``a``. The
claims are batched with powers of a challenge; the total ``T`` of their product terms is sent, so
that their terms on arrays make one linear claim.

Levels. An operand may contain products itself (a weight in training is a sum of products of
gradients and activations). Claims about such operands are claims with products again, and are
proved in the same way by a next level, with a batching challenge and a sumcheck of its own, until
no claim has a product. How many levels there are is public.

Messages, for each level. ``T``; the sumcheck; then ``A, B`` of every product term at its point.
Checks (deferred). Those of the sumcheck; ``sum_g lambda_g pad_g A_g B_g`` equals its last claim.
Remaining claims. Linear claims: the batch, and one per operand and product term without products.
Soundness error. ``(claims + 2 n) / |F|`` per level, for a sumcheck over ``n`` variables.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from veracity.engine.api import ORDER, Engine, Ints, Vec
from veracity.records import record
from veracity.zk.array_sums import KnownSums
from veracity.zk.hidden import HiddenChannel, HiddenProver, HiddenVerifier, LinearForm
from veracity.zk.mle import axis_bits, axis_points, kron, ones, powers, variables
from veracity.zk.reduction import LinearClaim, Term
from veracity.zk.sumcheck import Pair, SumcheckClaim, pad_factor, prove_sumcheck, verify_sumcheck
from veracity.zkml.circuit.integer_rounds import ROUNDS, IntegerPair, product_type
from veracity.zkml.circuit.integers import stacked
from veracity.zkml.circuit.relations import Claim, ProductTerm, Resolver
from veracity.zkml.circuit.tensor import ProductSource, Tensor, UpdatedSource, Updates

__all__ = ["inner_dims", "prove_products", "verify_products"]


def _letters(spec: str) -> tuple[str, str, str, str, str]:
    """``(left, right, out, batch, contracted)`` of an einsum spec.

    ``batch`` letters stand in a, b and out; ``contracted`` ones in a and b only.
    """
    inputs, out = spec.split("->")
    left, right = inputs.split(",")
    shared = [c for c in left if c in right]
    batch = "".join(c for c in shared if c in out)
    return left, right, out, batch, "".join(c for c in shared if c not in out)


def _sizes(use: ProductSource) -> dict[str, int]:
    left, right, *_ = _letters(use.spec)
    return dict(zip(left + right, use.a.dims + use.b.dims, strict=True))


def inner_dims(uses: Sequence[ProductSource]) -> tuple[int, ...]:
    """Dims of the inner product of a product term: (instances, *batch, *contracted)."""
    sizes = _sizes(uses[0])
    *_, batch, contracted = _letters(uses[0].spec)
    return (len(uses), *[sizes[c] for c in batch + contracted])


@record
class _Group:
    """A product term with its letters sorted by role; ``factor`` weighs it in the batch."""

    uses: Sequence[ProductSource]
    factor: int
    left: str
    right: str
    batch: str
    contracted: str
    sizes: dict[str, int]
    tau: dict[str, Vec]
    instances: Vec

    @staticmethod
    def of(engine: Engine, term: ProductTerm, factor: int) -> _Group:
        left, right, out, batch, contracted = _letters(term.uses[0].spec)
        return _Group(
            term.uses,
            factor,
            left,
            right,
            batch,
            contracted,
            _sizes(term.uses[0]),
            dict(zip(out, term.weights, strict=True)),
            engine.from_ints(term.scale),
        )

    @property
    def kept(self) -> str:
        return self.batch + self.contracted

    @property
    def dims(self) -> tuple[int, ...]:
        return inner_dims(self.uses)


def _operand_claims(
    engine: Engine,
    resolver: Resolver,
    group: _Group,
    point: Sequence[int],
    ends: tuple[LinearForm, LinearForm],
) -> list[Claim]:
    """What the two bound operands of a group must equal."""
    local = axis_points(point[: variables(group.dims)], group.dims)
    at = [engine.eq(p, d) for p, d in zip(local, group.dims, strict=True)]
    kept = dict(zip(group.kept, at[1:], strict=True))
    claims = []
    for side, letters, end in (("a", group.left, ends[0]), ("b", group.right, ends[1])):
        weights = []
        for c in letters:
            vector = kept.get(c, group.tau.get(c))
            if vector is None:
                raise ValueError(f"letter {c} of {group.uses[0].spec} stands in one operand only")
            if side == "a" and c in group.batch:
                vector = engine.mul(kept[c], group.tau[c])
            weights.append((1, vector))
        instances = engine.mul(at[0], group.instances) if side == "a" else at[0]
        tensors: list[Tensor] = [getattr(u, side) for u in group.uses]
        claims.append(resolver.claim(tensors, engine.to_ints(instances), tuple(weights), end))
    return claims


def _join(
    channel: HiddenChannel,
    engine: Engine,
    resolver: Resolver,
    groups: Sequence[_Group],
    end: SumcheckClaim,
    ends: Sequence[LinearForm],
) -> list[Claim]:
    """Require the last claim of the sumcheck; claims about all operands."""
    total = LinearForm(0)
    claims = []
    for i, group in enumerate(groups):
        a, b = ends[2 * i], ends[2 * i + 1]
        factor = group.factor * pad_factor(end.point, variables(group.dims)) % ORDER
        total = total + factor * channel.constraints.multiply(a, b)
        claims += _operand_claims(engine, resolver, group, end.point, (a, b))
    channel.constraints.require_zero(total - end.value)
    return claims


def _bind(
    engine: Engine,
    arrays: Sequence[Ints],
    letters: str,
    group: _Group,
    known: KnownSums | None = None,
) -> Vec:
    """Bind the letters that are not kept; one array after the other, in the order of ``kept``."""
    kept = [c for c in group.kept if c in letters]
    bound = [c for c in letters if c not in kept]
    if any(values.dtype == object for values in arrays):
        if bound:
            raise ValueError("wide integers cannot be bound")
        order = [letters.index(c) for c in kept]
        wide = [v.transpose(order).reshape(-1).tolist() for v in arrays]
        return engine.from_ints([x for values in wide for x in values])
    if bound and letters == "".join([*bound, *kept]):
        vector = kron(engine, [group.tau[c] for c in bound])
        flat = [np.ascontiguousarray(v).reshape(1, len(vector), -1) for v in arrays]
        found = engine.contract_each(flat, vector)
        if known is not None and len(letters) == 2:
            each = flat[0].shape[-1]
            for k, values in enumerate(arrays):
                known.keep(values, vector, found[k * each : (k + 1) * each])
        return found
    order = [letters.index(c) for c in [*kept, *bound]]
    turned = [np.ascontiguousarray(v.transpose(order)) for v in arrays]
    if not bound:
        return engine.concat([engine.from_small(v) for v in turned])
    vector = kron(engine, [group.tau[c] for c in bound])
    return engine.contract_each([v.reshape(-1, len(vector), 1) for v in turned], vector)


#: What was bound of updated tensors: after each step, and by the tensors that they are updated by.
_Bound = dict[Updates, tuple[list[Vec], dict[int, Vec]]]


def _bind_updated(
    engine: Engine,
    source: UpdatedSource,
    letters: str,
    group: _Group,
    memo: _Bound,
) -> Vec:
    """Bind an updated matrix: the base once, then along the two factors of every update."""
    base = source.updates.base
    if base.value is None:
        raise ValueError("the prover's tensors carry values")
    known, bound = memo.setdefault(source.updates, ([], {}))
    if not known:
        known.append(_bind(engine, [base.value], letters, group))
    for parts in source.updates.parts[len(known) - 1 : source.count]:
        vectors = [_bind_part(engine, part, letters, group, bound) for _, part in parts]
        scales = [factor % ORDER for factor, _ in parts]
        known.append(engine.lincomb([known[-1], *vectors], [1, *scales]))
    return known[source.count]


def _bind_part(
    engine: Engine, part: Tensor, letters: str, group: _Group, bound: dict[int, Vec]
) -> Vec:
    """Bind what a tensor is updated by: once, however many updates it is in."""
    if id(part) not in bound:
        if part.value is not None:
            bound[id(part)] = _bind(engine, [part.value], letters, group)
        else:
            (((product, maps), factor),) = part.terms.items()
            if not isinstance(product, ProductSource) or maps:
                raise ValueError("an operand's updates are products")
            found = _bind_outer(engine, product, letters, group)
            bound[id(part)] = found if factor == 1 else engine.scale(found, factor)
    return bound[id(part)]


def _bind_outer(engine: Engine, product: ProductSource, letters: str, group: _Group) -> Vec:
    """Bind ``sum_b G(b, o) A(b, i)`` at the letters that are not kept: all of o, or all of i."""
    *sides, out, batch, contracted = _letters(product.spec)
    role = dict(zip(out, letters, strict=True))
    kept = [c for c in out if role[c] in group.kept]
    own = [[c for c in side if c in out] for side in sides]
    if batch or sorted(kept) not in [sorted(o) for o in own]:
        raise ValueError(f"an update {product.spec} is no sum of outer products")
    first = 0 if sorted(kept) == sorted(own[0]) else 1
    kept.sort(key=lambda c: group.kept.index(role[c]))
    gone = own[1 - first]
    stays = _flat((product.a, product.b)[first], sides[first], contracted, kept)
    goes = _flat((product.a, product.b)[1 - first], sides[1 - first], contracted, gone)
    vector = kron(engine, [group.tau[role[c]] for c in gone])
    rows = engine.contract(goes.reshape(*goes.shape, 1), vector)
    return engine.contract(stays[None, :, :], rows)


def _flat(tensor: Tensor, letters: str, first: str, second: Sequence[str]) -> Ints:
    """A tensor's integers as a matrix, letters ``first`` by letters ``second``."""
    if tensor.value is None:
        raise ValueError("the prover's tensors carry values")
    order = [letters.index(c) for c in (*first, *second)]
    rows = int(np.prod([tensor.dims[letters.index(c)] for c in first]))
    return np.ascontiguousarray(tensor.value.transpose(order).reshape(rows, -1))


def _bind_all(
    engine: Engine, tensors: Sequence[Tensor], letters: str, group: _Group, known: KnownSums
) -> Vec:
    """Bind an operand of all instances, by its integers or, where it has none, its updates."""
    values = [t.value for t in tensors if t.value is not None]
    if len(values) == len(tensors):
        return _bind(engine, values, letters, group, known)
    memo: _Bound = {}
    return engine.concat([_bind_tensor(engine, t, letters, group, memo) for t in tensors])


def _bind_tensor(engine: Engine, tensor: Tensor, letters: str, group: _Group, memo: _Bound) -> Vec:
    """Bind an operand by its integers, or, where it has none, along its updates."""
    if tensor.value is not None:
        return _bind(engine, [tensor.value], letters, group)
    if list(tensor.terms.values()) == [1]:
        ((source, maps),) = tensor.terms
        if isinstance(source, UpdatedSource) and not maps:
            return _bind_updated(engine, source, letters, group, memo)
    raise ValueError("the prover's tensors carry values")


def _integers(engine: Engine, tensors: Sequence[Tensor], letters: str, kept: str) -> Ints | None:
    """Integers of all instances, (instances, *kept), where nothing is to be bound."""
    if sorted(letters) != sorted(kept):
        return None
    values = [t.value for t in tensors if t.value is not None]
    if len(values) < len(tensors):
        return None
    return stacked(values, [0, *[1 + letters.index(c) for c in kept]], engine.integers)


def _instance(engine: Engine, group: _Group, known: KnownSums) -> Pair | IntegerPair:
    """The prover's state: integers as long as that is possible."""
    kept = group.kept
    if kept and axis_bits(group.sizes[kept[-1]]) >= ROUNDS:
        x = _integers(engine, [u.a for u in group.uses], group.left, kept)
        y = None if x is None else _integers(engine, [u.b for u in group.uses], group.right, kept)
        dtype = None if x is None or y is None else product_type(x, y)
        if x is not None and y is not None and dtype is not None:
            weights = [group.instances, *[group.tau[c] for c in group.batch]]
            weights += [ones(engine, group.sizes[c]) for c in group.contracted]
            return IntegerPair(engine, (x, y), dtype, weights, group.dims)
    return _pair(engine, group, known)


def _pair(engine: Engine, group: _Group, known: KnownSums) -> Pair:
    batch = kron(engine, [group.tau[c] for c in group.batch])
    repeat = int(np.prod([group.sizes[c] for c in group.contracted], dtype=np.int64))
    weights = engine.outer(group.instances, engine.outer(batch, ones(engine, repeat)))
    left = _bind_all(engine, [use.a for use in group.uses], group.left, group, known)
    right = _bind_all(engine, [use.b for use in group.uses], group.right, group, known)
    return Pair(engine, engine.mul(left, weights), right, group.dims)


def _batch(
    channel: HiddenChannel, engine: Engine, owing: Sequence[Claim]
) -> tuple[list[_Group], list[Term], LinearForm]:
    """Batch claims that have products: groups, terms on arrays, value."""
    scale = powers(channel.challenge("product batch"), len(owing))
    groups = [
        _Group.of(engine, term, k)
        for k, claim in zip(scale, owing, strict=True)
        for term in claim.products
    ]
    terms: list[Term] = []
    value = LinearForm(0)
    for k, claim in zip(scale, owing, strict=True):
        terms += [Term(k * t.coefficient % ORDER, t.array, t.functional) for t in claim.terms]
        value = value + k * claim.value
    return groups, terms, value


#: One level: the total, the sumcheck's last claim, the operands of every group.
_Level = Callable[[list[_Group]], tuple[LinearForm, SumcheckClaim, Sequence[LinearForm]]]


def _levels(
    channel: HiddenProver | HiddenVerifier,
    resolver: Resolver,
    claims: Sequence[Claim],
    level: _Level,
) -> list[LinearClaim]:
    """Level after level, at least one, until no claim has a product."""
    engine = channel.engine
    done: list[LinearClaim] = []
    while True:
        done += [LinearClaim(c.terms, c.value) for c in claims if not c.products]
        groups, terms, value = _batch(channel, engine, [c for c in claims if c.products])
        total, end, ends = level(groups)
        bound = _join(channel, engine, resolver, groups, end, ends)
        claims = [Claim(tuple(terms), (), value - total), *bound]
        if not any(c.products for c in claims):
            return done + [LinearClaim(c.terms, c.value) for c in claims]


def prove_products(
    channel: HiddenProver,
    resolver: Resolver,
    claims: Sequence[Claim],
    known: KnownSums | None = None,
) -> list[LinearClaim]:
    """Prove every product; returns the remaining claims about arrays.

    Parameters
    ----------
    channel : HiddenProver
        Where messages go.
    resolver : Resolver
        From tensors to committed arrays.
    claims : sequence of Claim
        Those with products and those without.
    known : KnownSums, optional
        Gets the sums that operands are bound to.
    """
    engine, sums_of = channel.engine, known or KnownSums()

    def level(groups: list[_Group]) -> tuple[LinearForm, SumcheckClaim, Sequence[LinearForm]]:
        pairs = [_instance(engine, g, sums_of) for g in groups]
        sums = sum(g.factor * p.value() for g, p in zip(groups, pairs, strict=True))
        (total,) = channel.send("product total", [sums])
        end = prove_sumcheck(channel, pairs, [g.factor for g in groups], total, "products")
        return total, end, channel.send("product operands", [v for p in pairs for v in p.ends()])

    return _levels(channel, resolver, claims, level)


def verify_products(
    channel: HiddenVerifier, resolver: Resolver, claims: Sequence[Claim]
) -> list[LinearClaim]:
    """Replay; returns the remaining claims about arrays.

    Parameters
    ----------
    channel : HiddenVerifier
        Where messages come from.
    resolver : Resolver
        From tensors to committed arrays.
    claims : sequence of Claim
        Those with products and those without.
    """

    def level(groups: list[_Group]) -> tuple[LinearForm, SumcheckClaim, Sequence[LinearForm]]:
        (total,) = channel.receive("product total", 1)
        rounds = max((variables(g.dims) for g in groups), default=0)
        end = verify_sumcheck(channel, rounds, total, "products")
        return total, end, channel.receive("product operands", 2 * len(groups))

    return _levels(channel, resolver, claims, level)
