"""A prover who lies about one layer's ends and is honest below: only a round's check can see it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from tests import toy as toys
from tests.toy import DIMS, TABLE, make_toy, prove_toy, verify_toy
from veracity.engine.api import ORDER
from veracity.errors import VerificationError
from veracity.zk import lookup
from veracity.zk.fractions import Level, Run
from veracity.zk.ledger import HiddenProver
from veracity.zk.lookup import LeafClaim
from veracity.zk.mle import inverse


def adaptive_prover(
    channel: HiddenProver,
    leaves: Sequence[Run],
    variables: int,
    _progress: Callable[[float], None] = lambda _: None,
) -> LeafClaim:
    """Claims a sum of zero for a tree whose sum is not, and mends it in the first layer's ends.

    ``value`` follows what was claimed, ``true`` what the tree says: the rounds send the true
    polynomials, so that everything but the first round of the second layer fits.
    """
    engine = channel.engine
    levels = [Level.of(engine, leaves, None)]
    for _ in range(variables):
        levels.append(levels[-1].next(engine))
    root = levels.pop().root(engine)
    claim = lookup._root(channel, *channel.send("lookup root", [root, inverse(root)]))
    true = [0, 0]
    for depth in range(variables):
        halves = levels.pop().halves(engine)
        lam = channel.challenge("lookup batch")
        value = lam * claim.numerator + claim.denominator
        known = (lam * true[0] + true[1]) % ORDER
        point: list[int] = []
        for j, rho in enumerate(claim.point):
            h0, h2 = halves.round(claim.point[j:], lam)
            h1 = ((known - (1 - rho) * h0) * inverse(rho) - h0 - h2) % ORDER
            r, value = lookup._round(
                channel, channel.send("lookup round", [h0, h1, h2]), rho, value
            )
            known = (h0 + r * h1 + r * r * h2) % ORDER
            halves.bind(r)
            point.append(r)
        p0, q0, p1, q1 = halves.ends()
        told = (-p1 * q0 * inverse(q1)) % ORDER if depth == 0 else p0
        ends = channel.send("lookup ends", [told, q0, p1, q1])
        claim = lookup._layer_end(channel, ends, lam, value, point)
        x = claim.point[0]
        true = [(p0 + x * (p1 - p0)) % ORDER, (q0 + x * (q1 - q0)) % ORDER]
    return claim


def proof_of_a_value_outside(monkeypatch: pytest.MonkeyPatch) -> tuple[toys.Toy, bytes]:
    values = np.random.default_rng(1).integers(0, len(TABLE), DIMS)
    counts = np.bincount(values.reshape(-1), minlength=len(TABLE))
    values[1, 3] = 6
    monkeypatch.setattr(toys, "prove_lookups", adaptive_prover)
    toy = make_toy()
    return toy, prove_toy(toy, values, counts)[0]


def test_a_lie_in_one_layer_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    toy, proof = proof_of_a_value_outside(monkeypatch)
    with pytest.raises(VerificationError):
        verify_toy(toy, proof)


def test_only_the_rounds_check_sees_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without that check the false proof is accepted: the attack is a real one."""

    def careless(channel, h, rho, claim):  # type: ignore[no-untyped-def]
        h0, h1, h2 = h
        r = channel.challenge("lookup round")
        return r, h0 + r * h1 + (r * r % ORDER) * h2

    monkeypatch.setattr(lookup, "_round", careless)
    toy, proof = proof_of_a_value_outside(monkeypatch)
    verify_toy(toy, proof)
