"""Frozen bytes: challenges, and a proof made once that must verify for ever (protocol v5)."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.support.toy import make_toy, verify_toy
from tests.vectors import make
from veracity.engine import load_engine
from veracity.zk import keys
from veracity.zk.transcript import ProverTranscript, VerifierTranscript
from veracity.zkml import ModelCommitment, count, verify
from veracity.zkml.training.data import verify_form
from veracity.zkml.training.run import verify_run

FIRST = 0x1CA90A939BB6FF18D0F16934A5FEE49C9FD16776D75172CB2359F91A74B842D2
SECOND = 0x216E7D32789B1CF5E4C63410DB25EDD78190017C64B64E2893BBE89C606F60BA


def test_challenges() -> None:
    transcript = ProverTranscript("vector", b"statement")
    transcript.write("message", bytes(range(40)))
    transcript.write_scalar("scalar", 7)
    assert transcript.challenge("first") == FIRST
    assert transcript.challenge("second") == SECOND
    reader = VerifierTranscript("vector", b"statement", transcript.finish())
    reader.read("message", 40)
    assert reader.read_scalar("scalar") == 7
    assert reader.challenges("first", 1) == [FIRST]
    reader.finish()


@pytest.mark.parametrize(
    ("protocol", "statement", "label", "data"),
    [
        ("vectos", b"statement", "message", bytes(40)),
        ("vector", b"statemens", "message", bytes(40)),
        ("vector", b"statement", "messagf", bytes(40)),
        ("vector", b"statement", "message", bytes(41)),
        ("vector", b"statement", "message", bytes(39) + b"\1"),
    ],
)
def test_everything_absorbed_changes_the_challenge(
    protocol: str, statement: bytes, label: str, data: bytes
) -> None:
    plain = ProverTranscript("vector", b"statement")
    plain.write("message", bytes(40))
    other = ProverTranscript(protocol, statement)
    other.write(label, data)
    assert plain.challenge("x") != other.challenge("x")


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_frozen_lookup_verifies(backend: str) -> None:
    verify_toy(make_toy(backend), make.read(make.TOY))


@pytest.mark.parametrize("path", [make.ANSWER, make.CHAIN], ids=["answer", "chain"])
def test_frozen_answer_verifies(path: Path) -> None:
    """Program, commitment and proof of one day are those of every later one."""
    engine = load_engine("cpu")
    commitment = ModelCommitment.from_bytes(make.read(make.COMMITMENT))
    statement = make.statements(commitment)[path]
    proof = make.read(path)
    verify(engine, statement, proof)
    assert len(proof) == count(statement).proof_bytes


def test_frozen_proof_about_tensors_verifies() -> None:
    """So are programs over samples, sealed ports and the links between them."""
    engine = load_engine("cpu")
    model, sealed, proof = make.parts_of(make.TENSORS)
    statement = make.tensor_statement(ModelCommitment.from_bytes(model), sealed)
    verify(engine, statement, proof)
    assert len(proof) == count(statement).proof_bytes


def test_frozen_run_verifies() -> None:
    """So do start, order, rules of the steps and layout of a run of training."""
    engine = load_engine("cpu")
    run, form, commitment, proof = make.frozen_run()
    key = keys.load_key(engine, run.log_columns)
    verify_form(engine, key, run.data[0], form)
    verify_run(engine, key, run, commitment, proof)


def test_generators_have_the_digests_that_are_pinned() -> None:
    """Those of a shorter key are the first ones of a longer: the longest is made, once."""
    engine = load_engine("cpu")
    for name in {name for name, _ in keys._DIGESTS}:
        pinned = {number: d for (of, number), d in keys._DIGESTS.items() if of == name}
        points = engine.generators(f"{keys.GENERATOR_LABEL}/{name}", max(pinned))
        data = engine.compress(points)
        for number, digest in pinned.items():
            assert hashlib.sha256(data[: 32 * number]).hexdigest() == digest
