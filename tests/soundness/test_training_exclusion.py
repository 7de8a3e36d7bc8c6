"""That an example is not in a data set: provers who have it there, and verifiers who check less."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.support.training import ENGINE, KEY, committed_data, small_examples
from veracity.engine.api import ORDER
from veracity.errors import FormatError, UsageError, VerificationError
from veracity.zk import lookup
from veracity.zk.hidden import LinearForm
from veracity.zk.lookup import LeafClaim
from veracity.zk.mle import powers
from veracity.zk.transcript import ProverTranscript
from veracity.zkml.training import exclusion
from veracity.zkml.training.exclusion import prove_exclusion, rows_with, verify_exclusion

REJECTED = (FormatError, VerificationError)
PRESENT = 5
Patch = pytest.MonkeyPatch

EXAMPLES = small_examples()
DATA, SEED = committed_data(EXAMPLES)
THERE = EXAMPLES[PRESENT, :8].astype(np.uint8).tobytes()
ABSENT = bytes([*THERE[:7], THERE[7] ^ 1])


def proved(content: bytes) -> bytes:
    """A proof by a prover who does not look."""
    return exclusion._prove(ENGINE, KEY, DATA, EXAMPLES, SEED, content)


def test_what_is_not_there() -> None:
    proof = prove_exclusion(ENGINE, KEY, DATA, EXAMPLES, SEED, ABSENT)
    verify_exclusion(ENGINE, KEY, DATA, proof, ABSENT)
    again = prove_exclusion(ENGINE, KEY, DATA, EXAMPLES, SEED, ABSENT)
    messages = {proof[i : i + 32] for i in range(0, len(proof), 32)}
    assert not messages & {again[i : i + 32] for i in range(0, len(again), 32)}


@pytest.mark.parametrize("count", [1, 2, 3, 14, 64])
def test_any_number_of_rows(count: int) -> None:
    examples = small_examples(count)
    data, seed = committed_data(examples)
    proof = prove_exclusion(ENGINE, KEY, data, examples, seed, bytes(8))
    verify_exclusion(ENGINE, KEY, data, proof, bytes(8))


def test_what_is_there_is_refused_by_the_prover() -> None:
    assert rows_with(EXAMPLES, THERE) == [PRESENT]
    with pytest.raises(UsageError, match="row 5"):
        prove_exclusion(ENGINE, KEY, DATA, EXAMPLES, SEED, THERE)
    with pytest.raises(ValueError, match="not invertible"):
        proved(THERE)
    with pytest.raises(UsageError, match="8 bytes"):
        prove_exclusion(ENGINE, KEY, DATA, EXAMPLES, SEED, THERE[:7])


def test_everything_is_bound() -> None:
    """A proof is about these rows, under this header, and about this input."""
    proof = proved(ABSENT)
    anew, _ = committed_data(EXAMPLES)
    rows = DATA.rows
    for other in (
        anew,
        replace(DATA, rows=rows[32:64] + rows[:32] + rows[64:]),
        replace(DATA, rows=rows[:-32]),
        replace(DATA, rows=rows + rows[:32]),
        replace(DATA, inputs=7, classes=4),
        replace(DATA, label="another owner's"),
    ):
        with pytest.raises(REJECTED):
            verify_exclusion(ENGINE, KEY, other, proof, ABSENT)
    for content in (THERE, bytes(8), ABSENT[:7], ABSENT + b"\0"):
        with pytest.raises(REJECTED):
            verify_exclusion(ENGINE, KEY, DATA, proof, content)
    with pytest.raises(VerificationError, match="another size"):
        verify_exclusion(ENGINE, KEY, DATA, proof, ABSENT + b"\0")
    with pytest.raises(FormatError, match="dims of an example"):
        verify_exclusion(ENGINE, KEY, replace(DATA, classes=1), proof, ABSENT)
    with pytest.raises(FormatError, match="left over"):
        verify_exclusion(ENGINE, KEY, DATA, proof + b"\0", ABSENT)
    for bad in (proof[:-1], proof + b"\0", proof[:32], b""):
        with pytest.raises(REJECTED):
            verify_exclusion(ENGINE, KEY, DATA, bad, ABSENT)


def test_every_message(monkeypatch: Patch) -> None:
    written = []

    class Kept(ProverTranscript):
        def __init__(self, protocol: str, statement: bytes) -> None:
            super().__init__(protocol, statement)
            written.append(self)

    monkeypatch.setattr(exclusion, "ProverTranscript", Kept)
    proof = proved(ABSENT)
    spans = written[0].spans
    assert spans[-1].stop == len(proof)
    for span in spans:
        broken = bytearray(proof)
        broken[span.start] ^= 4
        with pytest.raises(REJECTED):
            verify_exclusion(ENGINE, KEY, DATA, bytes(broken), ABSENT)
            raise AssertionError(f"{span.label} does not matter")


# ---- provers who have the example, and the verifier without the one check ------------------------
def any_root(patch: Patch) -> None:
    """A product that is zero, and no inverse asked of it."""

    def root(_channel: Any, value: LinearForm, _inverse: LinearForm) -> LeafClaim:
        return LeafClaim([], LinearForm(0), value)

    patch.setattr(lookup, "_root", root)


def labels_too(patch: Patch) -> None:
    """The example with another label than it has there: all slots are weighed."""
    label = bytes(1 - EXAMPLES[PRESENT, 8:].astype(np.uint8))

    def coefficients(engine: Any, data: Any, rho: int) -> Any:
        return engine.from_ints(powers(rho, data.size))

    honest = exclusion._value
    patch.setattr(exclusion, "_coefficients", coefficients)
    patch.setattr(exclusion, "_value", lambda content, rho: honest(content + label, rho))


def one_left_out(patch: Patch) -> None:
    """The row that holds it counts as absent."""

    class Short:
        """An engine whose eq tables, as far as rows go, say nothing of one row."""

        def __getattr__(self, name: str) -> Any:
            return getattr(ENGINE, name)

        def eq_halved(self, point: Any, n: int) -> Any:
            table = ENGINE.to_ints(ENGINE.eq_halved(point, n))
            return ENGINE.from_ints([*table[:PRESENT], 0, *table[PRESENT + 1 :]])

    honest = exclusion._claim
    patch.setattr(exclusion, "_claim", lambda channel, _, *rest: honest(channel, Short(), *rest))


def padded(patch: Patch) -> None:
    """What a prover does who leaves it out: its leaf is a one."""
    honest = exclusion.FractionBlock

    def block(dims: tuple[int, ...], p: Any, d: Any) -> Any:
        values = ENGINE.to_ints(d)
        values[PRESENT] = 0
        return honest(dims, p, ENGINE.from_ints(values))

    patch.setattr(exclusion, "FractionBlock", block)


def made_up(patch: Patch) -> None:
    """What a prover does whose product has no inverse: any number."""
    patch.setattr(lookup, "inverse", lambda x: pow(x or 7, -1, exclusion.ORDER))


def numerators_at_will(patch: Patch) -> None:
    """A tree over fractions: the first challenge says which numerator makes the product a one.

    Nobody has committed to numerators, so only that they are nothing keeps the product honest.
    """

    def prove(channel: Any, leaves: Any, variables: int, _progress: Any) -> LeafClaim:
        (block,) = leaves
        values = [1 + d for d in ENGINE.to_ints(block.d)]
        others = [f for i, f in enumerate(values) if i != PRESENT]
        claim = lookup._root(channel, *channel.send("lookup root", [1, 1]))
        lam = channel.challenge("lookup batch")
        there = pow(lam, -1, ORDER)
        for f in others:
            there = there * pow(f, -1, ORDER) % ORDER
        numerators = [there if i == PRESENT else 0 for i in range(len(values))]
        tree = ENGINE.fraction_tree(
            [exclusion.FractionBlock(block.dims, ENGINE.from_ints(numerators), block.d)]
        )
        assert tree.root() == 0
        for depth in range(variables):
            lam = channel.challenge("lookup batch") if depth else lam
            tree.descend(lam)
            value, point = lam * claim.numerator + claim.denominator, []
            for size in lookup.round_sizes(depth):
                left = claim.point[len(point) :]
                h = lookup._polynomial(tree, left, size, channel.value(value))
                sent = channel.send("lookup round", h)
                bound, value = lookup._round(channel, sent, left[:size], value)
                for r in bound:
                    tree.bind(r)
                point += bound
            ends = channel.send("lookup ends", tree.ends())
            claim = lookup._layer_end(channel, ends, lam, value, point)
        return claim

    patch.setattr(exclusion, "prove_lookups", prove)


def any_numerator(patch: Patch) -> None:
    """Numerators of the tree's last layer may be anything."""
    honest = exclusion._claim
    lenient: Any = SimpleNamespace(constraints=SimpleNamespace(require_zero=lambda _: None))
    patch.setattr(exclusion, "_claim", lambda _channel, *rest: honest(lenient, *rest))


LIES: dict[str, tuple[Callable[[Patch], None], Callable[[Patch], None]]] = {
    "no inverse": (made_up, any_root),
    "another label": (lambda _: None, labels_too),
    "a row left out": (padded, one_left_out),
    "numerators": (numerators_at_will, any_numerator),
}


@pytest.mark.parametrize("name", LIES)
def test_a_lie(monkeypatch: Patch, name: str) -> None:
    needed, check = LIES[name]
    with monkeypatch.context() as patch:
        needed(patch)
        check(patch)
        proof = proved(THERE)
        verify_exclusion(ENGINE, KEY, DATA, proof, THERE)
    with pytest.raises(REJECTED):
        verify_exclusion(ENGINE, KEY, DATA, proof, THERE)


@pytest.mark.parametrize("name", ["no inverse", "a row left out", "numerators"])
def test_a_lie_by_the_rules(monkeypatch: Patch, name: str) -> None:
    """The same provers, who follow the protocol but for what they must make up."""
    with monkeypatch.context() as patch:
        LIES[name][0](patch)
        proof = proved(THERE)
    with pytest.raises(REJECTED):
        verify_exclusion(ENGINE, KEY, DATA, proof, THERE)
