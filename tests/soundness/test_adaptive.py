"""Provers who lie once and then adapt every later message: each is stopped by one check alone.

Every attack runs twice: against the verifier, which must refuse, and against a verifier without
the check in question, which must accept. So no check can go without a test that notices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import pytest

from tests.support import toy as toys
from tests.support.programs import claim, small_model
from tests.support.toy import DIMS, TABLE, make_toy, prove_toy, require, verify_toy
from veracity.engine import load_engine
from veracity.engine.api import ORDER, FractionBlock
from veracity.errors import VerificationError
from veracity.lm.text_decoder import forward
from veracity.zk import hidden, lookup, opening
from veracity.zk.hidden import DeferredConstraints, HiddenProver, LinearForm
from veracity.zk.keys import load_key
from veracity.zk.lookup import LeafClaim
from veracity.zk.mle import inverse, kron
from veracity.zk.reduction import LinearClaim
from veracity.zk.sumcheck import prove_sumcheck
from veracity.zk.transcript import ProverTranscript, VerifierTranscript
from veracity.zkml import argument, commit_model
from veracity.zkml.circuit import products
from veracity.zkml.circuit.build import build_circuit
from veracity.zkml.model import weight_arrays
from veracity.zkml.statement import Statement

HALF = inverse(2)


@contextmanager
def check(present: bool) -> Iterator[None]:
    """What the verifier has to say."""
    if present:
        with pytest.raises(VerificationError):
            yield
    else:
        yield


present = pytest.mark.parametrize("present", [True, False], ids=["ours", "without the check"])


# ---- the lookup argument: a lie in one layer's ends, honest polynomials below --------------------
def tree_liar(
    last: int,
    channel: HiddenProver,
    leaves: Sequence[FractionBlock],
    variables: int,
    _progress: Callable[[float], None] = lambda _: None,
) -> LeafClaim:
    """Claims a sum of zero for a tree whose sum is not, and lies on down to the layer ``last``.

    ``value`` follows what was claimed, ``known`` what the tree says. Below that layer the rounds
    send the true polynomials, so that everything but the first round of the next layer fits: a
    round of one variable below layer 0, and of two below layer 1.
    """
    tree = channel.engine.fraction_tree(leaves)
    root = tree.root()
    claim = lookup._root(channel, *channel.send("lookup root", [root, inverse(root)]))
    true = [0, 0]
    for depth in range(variables):
        lam = channel.challenge("lookup batch")
        tree.descend(lam)
        value = lam * claim.numerator + claim.denominator
        lying = depth <= last
        known = channel.value(value) if lying else (lam * true[0] + true[1]) % ORDER
        point: list[int] = []
        for size in lookup.round_sizes(depth):
            left = claim.point[len(point) :]
            h = lookup._polynomial(tree, left, size, known)
            sent = channel.send("lookup round", h)
            bound, value = lookup._round(channel, sent, left[:size], value)
            monomials = lookup._monomials([(1, r, r * r) for r in bound])
            known = sum(m * c for m, c in zip(monomials, h, strict=True)) % ORDER
            for r in bound:
                tree.bind(r)
            point += bound
        p0, q0, p1, q1 = tree.ends()
        excess = known - (lam * (p0 * q1 + p1 * q0) + q0 * q1)
        told = (p0 + excess * inverse(lam * q1)) % ORDER if lying else p0
        ends = channel.send("lookup ends", [told, q0, p1, q1])
        claim = lookup._layer_end(channel, ends, lam, value, point)
        x = claim.point[0]
        true = [(p0 + x * (p1 - p0)) % ORDER, (q0 + x * (q1 - q0)) % ORDER]
    return claim


def unchecked_round(
    channel: Any, h: Sequence[LinearForm], rho: Sequence[int], _claim: LinearForm
) -> tuple[list[int], LinearForm]:
    point = channel.challenges("lookup round", len(rho))
    return point, LinearForm.combination(lookup._monomials([(1, r, r * r) for r in point]), h)


@present
@pytest.mark.parametrize("last", [0, 1], ids=["one variable", "two variables"])
def test_a_round_ties_a_layer_to_the_one_above(
    monkeypatch: pytest.MonkeyPatch, present: bool, last: int
) -> None:
    assert lookup.round_sizes(last + 1)[0] == last + 1
    values = np.random.default_rng(1).integers(0, len(TABLE), DIMS)
    counts = np.bincount(values.reshape(-1), minlength=len(TABLE))
    values[1, 3] = 6
    monkeypatch.setattr(toys, "prove_lookups", partial(tree_liar, last))
    if not present:
        monkeypatch.setattr(lookup, "_round", unchecked_round)
    toy = make_toy()
    proof = prove_toy(toy, values, counts)[0]
    with check(present):
        verify_toy(toy, proof)


# ---- deferred products: two false results whose errors cancel in every linear equation --
def cancelling(label: str, values: list[int]) -> list[int]:
    """``p0 q1`` and ``p1 q0`` of the top layer: only their sum is used."""
    if label == "products":
        n = len(values) // 3
        values[2 * n + 1] += 1
        values[2 * n + 2] -= 1
    return values


def false_products() -> tuple[toys.Toy, bytes]:
    values = np.random.default_rng(1).integers(0, len(TABLE), DIMS)
    counts = np.bincount(values.reshape(-1), minlength=len(TABLE))
    toy = make_toy()
    return toy, prove_toy(toy, values, counts, sabotage=cancelling)[0]


@present
def test_the_residue_pins_products(monkeypatch: pytest.MonkeyPatch, present: bool) -> None:
    toy, proof = false_products()
    if not present:
        honest = toys.verify_opening
        monkeypatch.setattr(toys, "verify_opening", lambda *given: honest(*given)[1:])
    with check(present):
        verify_toy(toy, proof)


class SquareForger:
    """Moves the error of false products into ``square``, and keeps its sumcheck consistent."""

    def __init__(self) -> None:
        self.honest_value, self.honest_square = opening._gate_value, opening._prove_square
        self.x: Sequence[int] | None = None
        self.offset = 0

    def value(self, system: Any, a: Sequence[int], b: Sequence[int]) -> int:
        """Of the calls (x, d), (d, d), (z, z) the last one is lied about."""
        if self.x is None:
            self.x = a
            excess = system.square * self.honest_value(system, a, a) * HALF
            excess -= system.single * opening._gate_linear(system, a)
            self.offset = -excess * inverse(system.square) % ORDER
            self.d = b
        lie = 2 * self.offset if a is b and a is not self.d else 0
        return (self.honest_value(system, a, b) + lie) % ORDER

    def square(self, transcript: Any, system: Any, z: Sequence[int]) -> list[int]:
        """Every round's polynomial grows by a constant that makes up for the lie.

        A constant ``k`` adds ``(1 + gamma^(2^j)) k`` to the claim of round ``j``; of what is
        written, the value at 1 and the leading coefficient, it adds to the first.
        """
        write, sent, extra, power = transcript.write_scalar, 0, self.offset, system.gamma

        def adding(label: str, value: int) -> None:
            nonlocal sent, extra, power
            if label == "opening square round":
                if sent % 2 == 0:
                    extra = extra * inverse(1 + power) % ORDER
                    power = power * power % ORDER
                    value += extra
                sent += 1
            write(label, value)

        transcript.write_scalar = adding
        try:
            return self.honest_square(transcript, system, z)
        finally:
            del transcript.write_scalar


def unchecked_square(transcript: Any, system: Any, _square: int) -> tuple[list[int], int, int]:
    point = []
    for _ in range((len(system.gates) - 1).bit_length()):
        for _ in range(2):
            transcript.read_scalar("opening square round")
        point.append(transcript.challenge("opening square"))
    ends = [transcript.read_scalar(f"opening square {side}") for side in ("left", "right")]
    return point, ends[0], ends[1]


@present
def test_the_squares_last_claim_pins_it(monkeypatch: pytest.MonkeyPatch, present: bool) -> None:
    forger = SquareForger()
    with monkeypatch.context() as patch:
        patch.setattr(opening, "_gate_value", forger.value)
        patch.setattr(opening, "_prove_square", forger.square)
        toy, proof = false_products()
    assert forger.offset != 0
    if not present:
        monkeypatch.setattr(opening, "_verify_square", unchecked_square)
    with check(present):
        verify_toy(toy, proof)


@present
def test_the_squares_rounds_begin_at_its_sum(
    monkeypatch: pytest.MonkeyPatch, present: bool
) -> None:
    """The same lie about ``square``, with a sumcheck of the true one below it.

    A round's value at 0 is not written, but follows from the claim: so the lie is in every claim.
    """
    forger = SquareForger()
    with monkeypatch.context() as patch:
        patch.setattr(opening, "_gate_value", forger.value)
        toy, proof = false_products()
    assert forger.offset != 0
    if not present:
        # a verifier whose rounds begin at what makes their last claim true
        honest = opening._verify_square

        def begins_anywhere(transcript: Any, system: Any, square: int) -> Any:
            return honest(transcript, system, square - forger.offset)

        monkeypatch.setattr(opening, "_verify_square", begins_anywhere)
    with check(present):
        verify_toy(toy, proof)


# ---- copies of operands: true products of numbers that are not the operands ---------------------
def other_operands(label: str, values: list[int]) -> list[int]:
    """The top layer's ``p0 q1`` with a copy of ``p0`` that makes it ``-p1 q0``: a sum of zero."""
    if label == "products":
        n = len(values) // 3
        values[2 * n + 1] = -values[2 * n + 2] % ORDER
        values[1] = values[2 * n + 1] * inverse(values[n + 1]) % ORDER
    return values


@present
def test_copies_are_the_operands(monkeypatch: pytest.MonkeyPatch, present: bool) -> None:
    if not present:  # nothing is owed about copies, on either side
        honest = hidden._settle
        monkeypatch.setattr(hidden, "_settle", lambda owed, _, *rest: honest(owed, [], *rest))
    values = np.random.default_rng(1).integers(0, len(TABLE), DIMS)
    counts = np.bincount(values.reshape(-1), minlength=len(TABLE))
    values[1, 3] = 6
    toy = make_toy()
    proof = prove_toy(toy, values, counts, sabotage=other_operands)[0]
    with check(present):
        verify_toy(toy, proof)


# ---- products of tensors: the total forced to fit the linear claim, rounds kept consistent -------
class TotalForger:
    """Sends the total that makes the batch's linear claim true, whatever the products are."""

    def __init__(self) -> None:
        self.arrays: dict[Any, Any] = {}
        self.commit = argument.commit_witness

    def commit_witness(self, *given: Any) -> Any:
        """Remember the arrays."""
        found = self.commit(*given)
        self.arrays |= {name: data.values for name, data in found.arrays.items()}
        return found

    def prove(self, channel: Any, resolver: Any, claims: Any, known: Any) -> list[LinearClaim]:
        """:func:`veracity.zkml.circuit.products.prove_products` with a lie that adapts."""
        engine = channel.engine
        linear = [LinearClaim(c.terms, c.value) for c in claims if not c.products]
        groups, terms, value = products._batch(channel, engine, [c for c in claims if c.products])
        pairs = [products._pair(engine, g, known) for g in groups]
        true = sum(g.factor * engine.dot(p.a, p.b) for g, p in zip(groups, pairs, strict=True))
        forced = channel.value(value) - sum(
            t.coefficient
            * engine.dot(
                kron(engine, [w for _, w in t.functional]),
                engine.from_small(np.ascontiguousarray(self.arrays[t.array]).reshape(-1)),
            )
            for t in terms
        )
        assert (forced - true) % ORDER
        (total,) = channel.send("product total", [forced % ORDER])
        send, extra = channel.send, (forced - true) % ORDER

        def adding(label: str, values: list[int]) -> list[LinearForm]:
            nonlocal extra
            if label == "products":
                extra = extra * HALF % ORDER
                values = [values[0] + extra, *values[1:]]
            return send(label, values)

        channel.send = adding
        end = prove_sumcheck(channel, pairs, [g.factor for g in groups], total, "products")
        del channel.send
        ends = channel.send("product operands", [v for p in pairs for v in p.ends()])
        operands = products._join(channel, engine, resolver, groups, end, ends)
        assert not any(c.products for c in operands)  # one level is all that this circuit has
        bound = [LinearClaim(c.terms, c.value) for c in operands]
        return [*linear, LinearClaim(tuple(terms), value - total), *bound]


def false_relation(statement: Statement, *secrets: Any) -> Any:
    """The circuit with one relation that does not hold: a product plus one."""
    circuit = build_circuit(statement, statement.links[0], *secrets)
    zeros = circuit.builder.zeros
    where = next(
        i for i, z in enumerate(zeros) for s, _ in z.terms if isinstance(s, products.ProductSource)
    )
    zeros[where] = zeros[where] + 1
    return circuit


@present
def test_the_products_last_claim_pins_their_total(
    monkeypatch: pytest.MonkeyPatch, present: bool
) -> None:
    engine = load_engine("cpu")
    key, e = load_key(engine, 9), small_model("llama", layers=1)
    commitment, secret = commit_model(engine, e.program, e.weights, log_columns=9, key=key)
    statement = claim(e, commitment=commitment)
    forger = TotalForger()
    model = weight_arrays(engine, e.program, e.weights, (commitment, secret))
    forger.arrays |= {name: data.values for name, data in model.items()}
    trace = forward(e.program, e.weights, e.tokens[:-1], e.prompt_length)
    if not present:
        honest = products._join

        def lenient(channel: Any, *given: Any) -> Any:
            with monkeypatch.context() as patch:
                patch.setattr(DeferredConstraints, "require_zero", lambda _self, _form: None)
                return honest(channel, *given)

        monkeypatch.setattr(products, "_join", lenient)
    transcript = ProverTranscript("forger", b"")
    with monkeypatch.context() as patch:
        patch.setattr(argument, "commit_witness", forger.commit_witness)
        patch.setattr(argument, "prove_products", forger.prove)
        circuit = false_relation(statement, e.weights, trace)
        argument.prove_circuit(engine, key, circuit, model, transcript)
    points = commitment.points(engine, e.program)
    reader = VerifierTranscript("forger", b"", transcript.finish())
    with check(present):
        circuit = false_relation(statement)
        require(engine, key, argument.verify_circuit(engine, key, circuit, points, reader))
