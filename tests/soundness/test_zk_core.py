"""The zk layer against provers who cheat, on a toy statement (see tests/support/toy.py)."""

from __future__ import annotations

import dataclasses
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest

from tests.support.toy import DIMS, TABLE, Toy, make_toy, prove_toy, verify_toy
from veracity.engine.api import ORDER
from veracity.errors import FormatError, VerificationError
from veracity.zk import lookup
from veracity.zk.hidden import HiddenProver, LinearForm
from veracity.zk.mle import inverse

REJECTED = (FormatError, VerificationError)


@pytest.fixture(scope="module")
def toy() -> Toy:
    return make_toy()


def witness() -> tuple[np.ndarray, np.ndarray]:
    values = np.random.default_rng(1).integers(0, len(TABLE), DIMS)
    return values, np.bincount(values.reshape(-1), minlength=len(TABLE))


def test_honest_proof_is_accepted(toy: Toy) -> None:
    proof, spans = prove_toy(toy, *witness())
    verify_toy(toy, proof)
    assert spans[-1].stop == len(proof)


def test_backends_accept_each_other(toy: Toy) -> None:
    """The slow definition verifies what the kernels prove, and the other way round."""
    reference = make_toy("reference")
    verify_toy(reference, prove_toy(toy, *witness())[0])
    verify_toy(toy, prove_toy(reference, *witness())[0])


def test_value_outside_the_table_is_rejected(toy: Toy) -> None:
    values, counts = witness()
    values[1, 3] = 6
    with pytest.raises(VerificationError):
        verify_toy(toy, prove_toy(toy, values, counts)[0])


def test_wrong_multiplicities_are_rejected(toy: Toy) -> None:
    values, counts = witness()
    counts[0] += 1
    counts[1] -= 1
    with pytest.raises(VerificationError):
        verify_toy(toy, prove_toy(toy, values, counts)[0])


def test_every_message_of_the_proof_is_bound(toy: Toy) -> None:
    proof, spans = prove_toy(toy, *witness())
    for span in spans:
        broken = bytearray(proof)
        broken[(span.start + span.stop) // 2] ^= 4
        with pytest.raises(REJECTED):
            verify_toy(toy, bytes(broken))


def test_scalars_are_canonical(toy: Toy) -> None:
    proof, spans = prove_toy(toy, *witness())
    span = next(s for s in spans if s.label == "opening beta")
    value = int.from_bytes(proof[span.start : span.stop], "little") + ORDER
    other = proof[: span.start] + value.to_bytes(32, "little") + proof[span.stop :]
    with pytest.raises(FormatError):
        verify_toy(toy, other)


@pytest.mark.parametrize("cut", [0, 1, 31, 33, -1, -32])
def test_truncated_proofs_are_rejected(toy: Toy, cut: int) -> None:
    proof, _ = prove_toy(toy, *witness())
    with pytest.raises(FormatError):
        verify_toy(toy, proof[:cut])


def test_left_over_bytes_are_rejected(toy: Toy) -> None:
    with pytest.raises(FormatError):
        verify_toy(toy, prove_toy(toy, *witness())[0] + b"\0")


def test_another_statement_is_rejected(toy: Toy) -> None:
    proof, _ = prove_toy(toy, *witness())
    with pytest.raises(VerificationError):
        verify_toy(dataclasses.replace(toy, statement=b"other"), proof)


def test_every_hidden_message_is_checked(toy: Toy) -> None:
    """Change one hidden value of one message, for every message and position."""
    sizes: list[int] = []
    prove_toy(toy, *witness(), sabotage=lambda _, v: sizes.append(len(v)) or v)
    for target, size in enumerate(sizes):
        for position in {0, size // 2, size - 1}:
            seen = iter(range(len(sizes)))

            def change(_: str, values: list[int]) -> list[int]:
                if next(seen) == target:  # noqa: B023
                    values[position] += 1  # noqa: B023
                return values

            with pytest.raises(VerificationError):
                verify_toy(toy, prove_toy(toy, *witness(), sabotage=change)[0])


@pytest.mark.parametrize("present", [True, False], ids=["ours", "without the relation"])
def test_a_round_begins_where_the_last_one_ended(
    toy: Toy, monkeypatch: pytest.MonkeyPatch, present: bool
) -> None:
    """A value outside the table; its fraction is taken out of the first layer, and no other.

    The second layer is the honest one: what its first round says is not what was claimed before.
    """
    challenges: dict[str, int] = {}
    honest = HiddenProver.challenge

    def challenge(channel: HiddenProver, label: str) -> int:
        challenges[label] = honest(channel, label)
        return challenges[label]

    monkeypatch.setattr(HiddenProver, "challenge", challenge)
    if not present:

        def any_round(channel: Any, h: Any, rho: Any, _claim: Any) -> Any:
            point = channel.challenges("lookup round", len(rho))
            powers = lookup._monomials([(1, r, r * r) for r in point])
            return point, LinearForm.combination(powers, h)

        monkeypatch.setattr(lookup, "_round", any_round)
    taken: list[int] = []

    def change(label: str, values: list[int]) -> list[int]:
        if label == "lookup ends" and not taken:
            p0, q0, p1, q1 = values
            values[0] = -p1 * q0 * inverse(q1) % ORDER
            taken.append(p0 - values[0])
        elif label == "lookup round" and len(taken) == 1:
            x, lam = challenges["lookup child"], challenges["lookup batch"]
            taken.append(lam * (1 - x) * taken[0] % ORDER)
            values[1] = (values[1] + taken[1] * inverse(x)) % ORDER
        return values

    values, counts = witness()
    values[1, 3] = 6
    proof, _ = prove_toy(toy, values, counts, sabotage=change)
    assert len(taken) == 2
    with pytest.raises(VerificationError) if present else nullcontext():
        verify_toy(toy, proof)


def test_random_bytes_are_rejected(toy: Toy) -> None:
    size = len(prove_toy(toy, *witness())[0])
    for seed in range(5):
        with pytest.raises(REJECTED):
            verify_toy(toy, np.random.default_rng(seed).bytes(size))


def test_two_proofs_share_no_message(toy: Toy) -> None:
    (one, spans), (two, _) = prove_toy(toy, *witness()), prove_toy(toy, *witness())
    for span in spans:
        assert one[span.start : span.stop] != two[span.start : span.stop], span.label
