"""LogUp as a GKR fractional sumcheck, over all lookups of all tables at once, hidden.

Relation. Blocks of fractions ``p/q``: lookups have ``p`` = 1 (or a public 0/1 mask) and
``q = alpha - value - beta * image - beta^2 * tag``; tables have ``p = -multiplicity`` and the same
``q`` of their entries. If the sum of all fractions is zero (and no ``q`` is), then except with
probability ``(N + 3 sum of table sizes) / |F|`` over ``alpha, beta`` every looked-up tuple stands
in its table.

Messages. The root denominator and its inverse; per layer the round polynomials of
``sum_x eq(rho, x) [lam (p0 q1 + p1 q0) + q0 q1]`` (0 = even child, 1 = odd child; each round sends
the quadratic ``h`` with ``g(X) = eq(rho_j, X) h(X)``), and then ``p0, q0, p1, q1`` at the point.
The last variables of a layer are bound in pairs: such a round sends the nine coefficients of
``h(X, Y)``, which is half as many messages.
Checks (deferred). Root numerator zero; root denominator times inverse one; every round
``(1-rho_j) h(0) + rho_j h(1) = claim``, or ``sum_b eq((rho_j, rho_j+1), b) h(b) = claim``; the last
claim equals the bracket at the four values.
Remaining claims. The numerators' and the denominators' multilinear extensions at the final point.
Soundness error. ``(n^2 + n) / |F|`` for ``2^n`` leaves, plus the LogUp error above.
References: Haboeck, "Multivariate lookups based on logarithmic derivatives" (eprint 2022/1530);
Papini-Haboeck, "Improving logarithmic-derivative lookup arguments using GKR" (2023/1284);
round polynomials without the eq factor: Gruen (2024/108).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from veracity.engine.api import ORDER, FractionBlock, FractionTree
from veracity.records import record
from veracity.zk.hidden import HiddenChannel, HiddenProver, HiddenVerifier, LinearForm
from veracity.zk.mle import inverse

__all__ = ["LeafClaim", "prove_lookups", "round_sizes", "verify_lookups"]

#: How many of a layer's variables are bound in pairs, the last ones: an even number.
PAIRED = 10


@record
class LeafClaim:
    """What a lookup argument leaves to be checked.

    Attributes
    ----------
    point : list of int
        A point of the cube of all leaves.
    numerator, denominator : LinearForm
        Claimed values of the multilinear extensions of ``p`` and ``q`` there.
    """

    point: list[int]
    numerator: LinearForm
    denominator: LinearForm


def _root(channel: HiddenChannel, root: LinearForm, root_inverse: LinearForm) -> LeafClaim:
    """Require that the root denominator is not zero; the root numerator is zero."""
    channel.constraints.require_zero(channel.constraints.multiply(root, root_inverse) - 1)
    return LeafClaim([], LinearForm(0), root)


def round_sizes(variables: int) -> list[int]:
    """How many variables each round of a layer binds: one each, and the last ones in pairs."""
    pairs = min(variables, PAIRED) // 2
    return [1] * (variables - 2 * pairs) + [2] * pairs


def _monomials(values: Sequence[Sequence[int]]) -> list[int]:
    """Products of one value for each variable, the first variable's changing fastest."""
    out = [1]
    for own in values:
        out = [x * y % ORDER for y in own for x in out]
    return out


def _round(
    channel: HiddenChannel, h: Sequence[LinearForm], rho: Sequence[int], claim: LinearForm
) -> tuple[list[int], LinearForm]:
    """Require ``sum_b eq(rho, b) h(b) = claim``; returns the challenges and ``h`` there.

    ``h`` is quadratic in each variable and given by its coefficients: of a variable's 1, X and X^2
    the sum over both corners has the factors 1, rho and rho.
    """
    at_corners = LinearForm.combination(_monomials([(1, x, x) for x in rho]), h)
    channel.constraints.require_zero(at_corners - claim)
    point = channel.challenges("lookup round", len(rho))
    powers = _monomials([(1, r, r * r % ORDER) for r in point])
    return point, LinearForm.combination(powers, h)


def _layer_end(
    channel: HiddenChannel,
    ends: Sequence[LinearForm],
    lam: int,
    claim: LinearForm,
    point: list[int],
) -> LeafClaim:
    """Require the bracket at the four values; join the two children."""
    p0, q0, p1, q1 = ends
    multiply = channel.constraints.multiply
    cross = multiply(p0, q1) + multiply(p1, q0)
    channel.constraints.require_zero(lam * cross + multiply(q0, q1) - claim)
    x = channel.challenge("lookup child")
    return LeafClaim([x, *point], p0 + x * (p1 - p0), q0 + x * (q1 - q0))


def _polynomial(tree: FractionTree, point: Sequence[int], size: int, claim: int) -> Sequence[int]:
    """Coefficients of the round that binds the next ``size`` variables, whose sum is known."""
    if size == 2:
        return tree.pair(point)
    rho = point[0]
    h0, h2 = tree.round(point)
    # (1 - rho) h(0) + rho h(1) = claim determines h(1)
    h1 = (claim - (1 - rho) * h0) * inverse(rho) - h0 - h2
    return h0, h1, h2


def prove_lookups(
    channel: HiddenProver,
    leaves: Sequence[FractionBlock],
    variables: int,
    progress: Callable[[float], None] = lambda _: None,
) -> LeafClaim:
    """Prove that the fractions of all blocks add up to zero.

    Parameters
    ----------
    channel : HiddenProver
        Where messages go.
    leaves : sequence of FractionBlock
        The leaf blocks, by falling size.
    variables : int
        Variables of the cube.
    progress : callable
        Receives the fraction of the work that is done.
    """
    tree = channel.engine.fraction_tree(leaves)
    del leaves  # the tree has its own
    root = tree.root()
    claim = _root(channel, *channel.send("lookup root", [root, inverse(root)]))
    for depth in range(variables):
        lam = channel.challenge("lookup batch")
        tree.descend(lam)
        value = lam * claim.numerator + claim.denominator
        point: list[int] = []
        before = 2.0 ** (depth - variables)  # a layer takes as long as all before it
        for size in round_sizes(depth):
            left = claim.point[len(point) :]
            h = channel.send("lookup round", _polynomial(tree, left, size, channel.value(value)))
            bound, value = _round(channel, h, left[:size], value)
            for r in bound:
                tree.bind(r)
            point += bound
            progress(before * (2 - 2.0 ** -len(point)))
        claim = _layer_end(channel, channel.send("lookup ends", tree.ends()), lam, value, point)
        progress(2 * before)
    return claim


def verify_lookups(channel: HiddenVerifier, variables: int) -> LeafClaim:
    """Replay the argument over a cube of ``variables`` variables; returns the remaining claim."""
    claim = _root(channel, *channel.receive("lookup root", 2))
    for _ in range(variables):
        lam = channel.challenge("lookup batch")
        value = lam * claim.numerator + claim.denominator
        point: list[int] = []
        for size in round_sizes(len(claim.point)):
            h = channel.receive("lookup round", 3**size)
            bound, value = _round(channel, h, claim.point[len(point) :][:size], value)
            point += bound
        claim = _layer_end(channel, channel.receive("lookup ends", 4), lam, value, point)
    return claim
