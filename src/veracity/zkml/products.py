"""All products of an execution in one sumcheck.

Relation. Groups of ``out_b = einsum(spec, a_b, b_b)``, ``b`` over instances. Letters only in ``a``
or
only in ``b`` are bound at random points first (Thaler's matrix multiplication, eprint 2013/351);
what
is left is an inner product over (instance, batch letters, contracted letters):

    Out(tau) = sum_{i, l, k} [eq(tau_0, i) eq(tau_l, l) A(i, l, k)] B(i, l, k)

The weights in brackets factor over axes, so at the end they move into the claim about ``a``.

Messages. The batched outputs; the sumcheck; then ``A, B`` of every group at its point.
Checks (ledger). Those of the sumcheck; ``sum_g lambda_g pad_g A_g B_g`` equals its last claim.
Owed. Linear claims: the outputs' batch, and one per operand and group.
Soundness error. ``(sum of variables of all groups) / |F|`` up to small factors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from veracity.engine.api import ORDER, Engine, Ints, Vec
from veracity.zk.ledger import Channel, HiddenProver, HiddenVerifier, LinearForm
from veracity.zk.mle import axis_bits, axis_points, kron, variables
from veracity.zk.reduction import LinearClaim, Term, Weights
from veracity.zk.sumcheck import Pair, SumcheckClaim, pad_factor, prove_sumcheck, verify_sumcheck
from veracity.zkml.builder import ProductUse
from veracity.zkml.relations import Resolver
from veracity.zkml.tensor import Tensor

__all__ = ["prove_products", "verify_products"]


@dataclass(frozen=True)
class _Group:
    """A group with its letters sorted by role, and its random output point.

    ``batch`` letters stand in a, b and out; ``contracted`` in a and b; others are bound by
    ``tau``. ``dims`` of the inner product: (instances, *batch, *contracted).
    """

    uses: Sequence[ProductUse]
    left: str
    right: str
    out: str
    sizes: dict[str, int]
    batch: str
    contracted: str
    tau: dict[str, Vec]
    tau_instances: Vec

    @property
    def kept(self) -> str:
        return self.batch + self.contracted

    @property
    def dims(self) -> tuple[int, ...]:
        return (len(self.uses), *[self.sizes[c] for c in self.kept])


def _draw(channel: Channel, engine: Engine, uses: Sequence[ProductUse]) -> _Group:
    inputs, out = uses[0].spec.split("->")
    left, right = inputs.split(",")
    sizes = dict(zip(left, uses[0].a.dims, strict=True))
    sizes.update(zip(right, uses[0].b.dims, strict=True))
    tau = {}
    for letter in out:
        point = channel.challenges("product point", axis_bits(sizes[letter]))
        tau[letter] = engine.eq(point, sizes[letter])
    instances = channel.challenges("product instances", axis_bits(len(uses)))
    shared = [c for c in left if c in right]
    return _Group(
        uses,
        left,
        right,
        out,
        sizes,
        "".join(c for c in shared if c in out),
        "".join(c for c in shared if c not in out),
        tau,
        engine.eq(instances, len(uses)),
    )


def _out_weights(group: _Group) -> Weights:
    return tuple((1, group.tau[c]) for c in group.out)


def _outputs(
    engine: Engine, resolver: Resolver, groups: Sequence[_Group], lambdas: Sequence[int]
) -> tuple[list[Term], int]:
    """The batched outputs as terms and a public number."""
    terms: list[Term] = []
    public = 0
    for group, lam in zip(groups, lambdas, strict=True):
        scale = [lam * w % ORDER for w in engine.to_ints(group.tau_instances)]
        found, number = resolver.resolve([u.out for u in group.uses], scale, _out_weights(group))
        terms += found
        public += number
    return terms, public % ORDER


def _operand_claims(
    engine: Engine,
    resolver: Resolver,
    group: _Group,
    point: Sequence[int],
    ends: tuple[LinearForm, LinearForm],
) -> list[LinearClaim]:
    """What the two bound operands of a group must equal."""
    local = axis_points(point[: variables(group.dims)], group.dims)
    at = [engine.eq(p, d) for p, d in zip(local, group.dims, strict=True)]
    kept = dict(zip(group.kept, at[1:], strict=True))
    claims = []
    for side, letters in (("a", group.left), ("b", group.right)):
        weights = []
        for c in letters:
            vector = kept.get(c, group.tau.get(c))
            if vector is None:
                raise ValueError(f"letter {c} of {group.uses[0].spec} stands in one operand only")
            if side == "a" and c in group.batch:
                vector = engine.mul(kept[c], group.tau[c])
            weights.append((1, vector))
        instances = engine.mul(at[0], group.tau_instances) if side == "a" else at[0]
        tensors: list[Tensor] = [getattr(u, side) for u in group.uses]
        terms, public = resolver.resolve(tensors, engine.to_ints(instances), tuple(weights))
        end = ends[0] if side == "a" else ends[1]
        claims.append(LinearClaim(tuple(terms), end - public))
    return claims


def _join(
    channel: Channel,
    engine: Engine,
    resolver: Resolver,
    groups: Sequence[_Group],
    lambdas: Sequence[int],
    end: SumcheckClaim,
    ends: Sequence[LinearForm],
) -> list[LinearClaim]:
    """Owe the last claim of the sumcheck; claims about all operands."""
    total = LinearForm(0)
    claims = []
    for i, (group, lam) in enumerate(zip(groups, lambdas, strict=True)):
        a, b = ends[2 * i], ends[2 * i + 1]
        factor = lam * pad_factor(end.point, variables(group.dims)) % ORDER
        total = total + factor * channel.ledger.multiply(a, b)
        claims += _operand_claims(engine, resolver, group, end.point, (a, b))
    channel.ledger.require_zero(total - end.value)
    return claims


def _bind(engine: Engine, values: Ints, letters: str, group: _Group) -> Vec:
    """Bind the letters of an operand that are not kept; entries in the order of ``kept``."""
    kept = [c for c in group.kept if c in letters]
    bound = [c for c in letters if c not in kept]
    if values.dtype == object:
        if bound:
            raise ValueError("wide integers cannot be bound")
        order = [letters.index(c) for c in kept]
        return engine.from_ints(values.transpose(order).reshape(-1).tolist())
    vector = kron(engine, [group.tau[c] for c in bound])
    count = len(vector)
    if bound and letters == "".join([*bound, *kept]):
        return engine.contract(np.ascontiguousarray(values).reshape(1, count, -1), vector)
    array = np.ascontiguousarray(values.transpose([letters.index(c) for c in [*kept, *bound]]))
    if not bound:
        return engine.from_small(array.reshape(-1))
    return engine.contract(array.reshape(-1, count, 1), vector)


def _pair(engine: Engine, group: _Group) -> Pair:
    batch = kron(engine, [group.tau[c] for c in group.batch])
    repeat = int(np.prod([group.sizes[c] for c in group.contracted], dtype=np.int64))
    ones = engine.from_small(np.ones(repeat, dtype=np.int8))
    weights = engine.outer(group.tau_instances, engine.outer(batch, ones))
    left, right = [], []
    for use in group.uses:
        if use.a.value is None or use.b.value is None:
            raise ValueError("the prover's tensors carry values")
        left.append(_bind(engine, use.a.value, group.left, group))
        right.append(_bind(engine, use.b.value, group.right, group))
    a = engine.mul(engine.concat(left), weights)
    return Pair(engine, a, engine.concat(right), group.dims)


def prove_products(
    channel: HiddenProver, resolver: Resolver, grouped: Sequence[Sequence[ProductUse]]
) -> list[LinearClaim]:
    """Prove every product; returns claims about columns that are still owed."""
    engine = channel.engine
    groups = [_draw(channel, engine, uses) for uses in grouped]
    lambdas = channel.challenges("product batch", len(groups))
    pairs = [_pair(engine, g) for g in groups]
    value = sum(lam * engine.dot(p.a, p.b) for lam, p in zip(lambdas, pairs, strict=True))
    (total,) = channel.send("product outputs", [value])
    terms, public = _outputs(engine, resolver, groups, lambdas)
    end = prove_sumcheck(channel, pairs, lambdas, total, "products")
    ends = channel.send("product operands", [v for p in pairs for v in p.ends()])
    claims = _join(channel, engine, resolver, groups, lambdas, end, ends)
    return [LinearClaim(tuple(terms), total - public), *claims]


def verify_products(
    channel: HiddenVerifier, resolver: Resolver, grouped: Sequence[Sequence[ProductUse]]
) -> list[LinearClaim]:
    """Replay; returns the claims about columns that are still owed."""
    engine = channel.engine
    groups = [_draw(channel, engine, uses) for uses in grouped]
    lambdas = channel.challenges("product batch", len(groups))
    (total,) = channel.receive("product outputs", 1)
    terms, public = _outputs(engine, resolver, groups, lambdas)
    rounds = max(variables(g.dims) for g in groups)
    end = verify_sumcheck(channel, rounds, total, "products")
    ends = channel.receive("product operands", 2 * len(groups))
    claims = _join(channel, engine, resolver, groups, lambdas, end, ends)
    return [LinearClaim(tuple(terms), total - public), *claims]
