"""Rows of a witness are as long as its size asks for, and prover and verifier agree how long.

The bound on rows is lowered here, so that a small model has a witness in longer rows than those it
is committed in; weights, boundary tensors and witness then lie in rows of different lengths.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.support.programs import Example, claim, small_model
from veracity.engine import load_engine
from veracity.errors import FormatError, VerificationError
from veracity.zk.committed import count_rows
from veracity.zk.keys import MAX_LOG_COLUMNS, load_key
from veracity.zkml import Statement, chain, commit_model, count, cut_places, prove, verify
from veracity.zkml.circuit import build
from veracity.zkml.circuit.build import Circuit, build_circuit
from veracity.zkml.circuit.relations import Layout

LOG_COLUMNS = 9
ENGINE = load_engine("cpu")
KEY = load_key(ENGINE, LOG_COLUMNS)
REJECTED = (FormatError, VerificationError)


@pytest.fixture(scope="module")
def made() -> tuple[Example, Statement, Any]:
    e = small_model("llama", layers=2)
    files = commit_model(ENGINE, e.program, e.weights, log_columns=LOG_COLUMNS, key=KEY)
    return e, claim(e, commitment=files[0]), files[1]


def bits_of(statement: Statement) -> list[int]:
    return [build_circuit(statement, link).row_bits or 0 for link in statement.links]


def halves(statement: Statement) -> Statement:
    places = cut_places(statement.program)
    return replace(statement, cuts=(places[len(places) // 2],))


@pytest.mark.parametrize("many", [150, 300])
@pytest.mark.parametrize("cut", [False, True], ids=["one link", "two links"])
def test_longer_rows_prove_the_same(
    made: tuple[Example, Statement, Any], monkeypatch: pytest.MonkeyPatch, many: int, cut: bool
) -> None:
    e, statement, opening = made
    statement = halves(statement) if cut else statement
    usual = prove(ENGINE, statement, e.weights, opening, key=KEY)
    monkeypatch.setattr(build, "MANY_ROWS", many)
    bits = bits_of(statement)
    assert max(bits) > LOG_COLUMNS
    proof = prove(ENGINE, statement, e.weights, opening, key=KEY)
    assert len(proof) == count(statement).proof_bytes < len(usual)
    verify(ENGINE, statement, proof, key=KEY)
    verify(ENGINE, statement, proof, key=load_key(ENGINE, 14))
    for at in range(0, len(proof), len(proof) // 40):
        with pytest.raises(REJECTED):
            verify(ENGINE, statement, proof[:at] + bytes([proof[at] ^ 1]) + proof[at + 1 :])


@pytest.mark.parametrize("provers", [150, 1 << 20], ids=["longer", "shorter"])
def test_rows_of_another_length_than_the_sizes_say(
    made: tuple[Example, Statement, Any], monkeypatch: pytest.MonkeyPatch, provers: int
) -> None:
    e, statement, opening = made
    verifiers = 300
    monkeypatch.setattr(build, "MANY_ROWS", verifiers)
    right = bits_of(statement)
    monkeypatch.setattr(build, "MANY_ROWS", provers)
    assert bits_of(statement) != right
    proof = prove(ENGINE, statement, e.weights, opening, key=KEY)
    verify(ENGINE, statement, proof, key=KEY)
    monkeypatch.setattr(build, "MANY_ROWS", verifiers)
    with pytest.raises(REJECTED):
        verify(ENGINE, statement, proof, key=KEY)


def test_the_row_length_is_in_the_transcript(
    made: tuple[Example, Statement, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, statement, _ = made
    monkeypatch.setattr(build, "MANY_ROWS", 300)
    seen: list[tuple[str, bytes]] = []

    class Watching(chain.VerifierTranscript):
        def absorb(self, label: str, data: bytes) -> None:
            seen.append((label, data))
            super().absorb(label, data)

    monkeypatch.setattr(chain, "VerifierTranscript", Watching)
    with pytest.raises(FormatError):
        verify(ENGINE, statement, b"", key=KEY)
    (tables,) = [data for label, data in seen if label == "tables"]
    assert len(tables) == 33
    assert list(tables[32:]) == bits_of(statement)


def test_rows_are_the_shortest_that_are_few(
    made: tuple[Example, Statement, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, statement, _ = made
    for many in (1 << 20, 600, 300, 150, 100):
        monkeypatch.setattr(build, "MANY_ROWS", many)
        (bits,) = bits_of(statement)
        circuit = build_circuit(statement, statement.links[0])

        def rows(bits: int, circuit: Circuit = circuit) -> int:
            own = [Layout.of(circuit.builder.batches[name], bits).shape for name in circuit.own]
            return sum(count_rows(s.dims, bits) for s in [*own, *circuit.plan.arrays()])

        assert rows(bits) == sum(s.layout(bits).rows for s in circuit.witness_shapes())
        assert rows(bits) <= many or bits == MAX_LOG_COLUMNS
        assert bits == LOG_COLUMNS or rows(bits - 1) > many
