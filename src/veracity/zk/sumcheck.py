"""A batched sumcheck for inner products of different sizes, with hidden round polynomials.

Relation. Instances ``i`` with ``n_i`` variables and value ``S_i = sum_x sum_k a_ik(x) b_ik(x)``;
the claim is ``sum_i lambda_i S_i = S`` for public ``lambda_i`` and a hidden ``S``.

Messages. Round ``j``: a commitment to the coefficients of ``g_j(X) = c0 + c1 X + c2 X^2``.
Checks (deferred). ``g_j(0) + g_j(1)`` equals the running claim; the next claim is
``g_j(r_j)``.
Remaining claim. ``sum_i lambda_i pad_i(r) sum_k a_ik(r_i) b_ik(r_i) = claim`` where ``r_i`` is the
first ``n_i`` coordinates of ``r`` and ``pad_i(r) = prod_{j >= n_i} (1 - r_j)``: a shorter instance
lives at the corner 0 of the variables it does not have.
Soundness error. ``2 n / |F|`` for ``n`` rounds. Reference: Lund-Fortnow-Karloff-Nisan; Thaler,
"Proofs, Arguments, and Zero-Knowledge", section 4.1; hiding as in Hyrax (eprint 2017/1132).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Protocol

from veracity.engine.api import ORDER, Engine, Vec
from veracity.records import record
from veracity.zk.hidden import HiddenChannel, HiddenProver, HiddenVerifier, LinearForm
from veracity.zk.mle import variables

__all__ = ["Instance", "Pair", "SumcheckClaim", "pad_factor", "prove_sumcheck", "verify_sumcheck"]


class Instance(Protocol):
    """The prover's state of one instance.

    A round's polynomial is ``factor`` times that of the :class:`Pair` parts, and what is not in
    pairs besides.

    Attributes
    ----------
    variables : int
        How many there are.
    factor : int
        What the pairs count for.
    """

    variables: int
    factor: int

    def pairs(self) -> Sequence[Pair]:
        """The inner products that the next variable is of."""
        ...

    def others(self) -> tuple[int, int, int]:
        """Coefficients of what else the round's polynomial is a sum of."""
        ...

    def bind(self, r: int) -> None:
        """Bind the next variable; that of the pairs is bound."""
        ...

    def value(self) -> int:
        """The instance's sum once all variables are bound."""
        ...


@record
class SumcheckClaim:
    """What a sumcheck leaves to be checked: the batched value at ``point``."""

    point: list[int]
    value: LinearForm


class Pair:
    """An instance ``sum_k sum_x a_k(x) b_k(x)``, k below ``count``; x is folded last axis first."""

    factor = 1

    def __init__(self, engine: Engine, a: Vec, b: Vec, dims: Sequence[int], count: int = 1) -> None:
        self._engine = engine
        self.a, self.b = a, b
        self.variables = variables(dims)
        # the leading axis is only summed over, never folded
        self._dims = [count, *[d for d in dims if d > 1]]
        if len(a) != prod(self._dims) or len(b) != len(a):
            raise ValueError("operands of a product do not have the stated dims")

    @property
    def length(self) -> int:
        """Entries of a row of what is left."""
        return self._dims[-1]

    def pairs(self) -> Sequence[Pair]:
        """See :class:`Instance`."""
        return (self,)

    def others(self) -> tuple[int, int, int]:
        """See :class:`Instance`: nothing."""
        return 0, 0, 0

    def bind(self, r: int) -> None:
        """See :class:`Instance`."""

    def halve(self, a: Vec, b: Vec) -> None:
        """Go on with the operands whose next variable is bound."""
        self.a, self.b = a, b
        self._dims[-1] = (self._dims[-1] + 1) // 2
        if self._dims[-1] == 1 and len(self._dims) > 1:
            self._dims.pop()

    def value(self) -> int:
        """See :class:`Instance`."""
        return self._engine.dot(self.a, self.b)

    def ends(self) -> tuple[int, int]:
        """The bound operands ``a(r), b(r)``."""
        return self._engine.to_ints(self.a)[0], self._engine.to_ints(self.b)[0]


def _round(
    engine: Engine, instances: Sequence[Instance], weights: Sequence[int]
) -> tuple[int, int, int]:
    """The weighed sum of the instances' round polynomials."""
    c0 = c1 = c2 = 0
    pairs: list[Pair] = []
    factors: list[int] = []
    for instance, weight in zip(instances, weights, strict=True):
        d0, d1, d2 = instance.others()
        c0, c1, c2 = c0 + weight * d0, c1 + weight * d1, c2 + weight * d2
        found = instance.pairs()
        pairs += found
        factors += [weight * instance.factor % ORDER] * len(found)
    if pairs:
        d0, d1, d2 = engine.product_rounds([(p.a, p.b, p.length) for p in pairs], factors)
        c0, c1, c2 = c0 + d0, c1 + d1, c2 + d2
    return c0, c1, c2


def _bind(engine: Engine, instances: Sequence[Instance], r: int) -> None:
    """Bind the next variable of all instances."""
    pairs = [pair for instance in instances for pair in instance.pairs()]
    halves = engine.fold_each([(side, p.length) for p in pairs for side in (p.a, p.b)], r)
    for k, pair in enumerate(pairs):
        pair.halve(halves[2 * k], halves[2 * k + 1])
    for instance in instances:
        instance.bind(r)


def pad_factor(point: Sequence[int], n: int) -> int:
    """``prod_{j >= n} (1 - r_j)``."""
    out = 1
    for r in point[n:]:
        out = out * (1 - r) % ORDER
    return out


def _step(
    channel: HiddenChannel, coefficients: list[LinearForm], claim: LinearForm, label: str
) -> tuple[int, LinearForm]:
    """Require ``g(0) + g(1) = claim``, draw the challenge, return it with the next claim."""
    c0, c1, c2 = coefficients
    channel.constraints.require_zero(2 * c0 + c1 + c2 - claim)
    r = channel.challenge(label)
    return r, c0 + r * c1 + (r * r % ORDER) * c2


def prove_sumcheck(
    channel: HiddenProver,
    instances: Sequence[Instance],
    coefficients: Sequence[int],
    claim: LinearForm,
    label: str,
) -> SumcheckClaim:
    """Prove ``sum_i coefficients[i] * S_i = claim``; leaves the instances bound.

    Parameters
    ----------
    channel : HiddenProver
        Where messages go.
    instances : sequence of Instance
        The prover's states, of any sizes.
    coefficients : sequence of int
        One field element for each instance.
    claim : LinearForm
        The batched sum.
    label : str
        Of the messages and challenges.
    """
    rounds = max((i.variables for i in instances), default=0)
    point: list[int] = []
    ended = 0
    for j in range(rounds):
        left = [(i, k) for i, k in zip(instances, coefficients, strict=True) if i.variables >= j]
        ended += sum(k * i.value() for i, k in left if i.variables == j)
        left = [(i, k) for i, k in left if i.variables > j]
        active = [i for i, _ in left]
        c0, c1, c2 = _round(channel.engine, active, [k for _, k in left])
        sent = channel.send(label, [c0 + ended, c1 - ended, c2])
        r, claim = _step(channel, sent, claim, label)
        _bind(channel.engine, active, r)
        ended = ended * (1 - r) % ORDER
        point.append(r)
    return SumcheckClaim(point, claim)


def verify_sumcheck(
    channel: HiddenVerifier, rounds: int, claim: LinearForm, label: str
) -> SumcheckClaim:
    """Replay ``rounds`` rounds; returns the remaining claim.

    Parameters
    ----------
    channel : HiddenVerifier
        Where messages come from.
    rounds : int
        Variables of the largest instance.
    claim : LinearForm
        The batched sum.
    label : str
        Of the messages and challenges.
    """
    point: list[int] = []
    for _ in range(rounds):
        r, claim = _step(channel, channel.receive(label, 3), claim, label)
        point.append(r)
    return SumcheckClaim(point, claim)
