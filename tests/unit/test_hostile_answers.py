"""Proofs of several answers: what is asked of arguments and files beside the proof itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.test_formats import COMMITMENT, MODEL
from tests.unit.test_hostile_commitments import PROOF
from tests.unit.test_program_limits import HONEST
from veracity.errors import (
    FormatError,
    MismatchError,
    UnsupportedModelError,
    UsageError,
    VerificationError,
)
from veracity.formats.answers import AnswersProof
from veracity.formats.commitment import Commitment
from veracity.graph import ops
from veracity.lm import several as copies
from veracity.lm.several import MAX_ANSWERS, several
from veracity.proving import verify_answers as verifying

ONE = replace(PROOF, argument=b"", context="")
ANSWERS = AnswersProof(COMMITMENT.digest, (ONE, ONE), b"argument", (), "case 7")


@pytest.fixture
def accepted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every argument is taken for proved; the number of times that one was checked."""
    calls: list[str] = []
    monkeypatch.setattr(verifying, "discharge", lambda *_, **__: calls.append("checked"))
    return calls


def verify(proof: AnswersProof = ANSWERS, pinned: Commitment = COMMITMENT, **rest: Any) -> Any:
    return verifying.verify_answers(proof, pinned, **{"backend": "reference"} | rest)


def test_proofs_as_expected(accepted: list[str]) -> None:
    found = verify(prompts=["aa", "aa"], raw=True, context="case 7", digest=COMMITMENT.digest)
    assert [one.answer for one in found] == ["a", "a"]
    assert accepted == ["checked"]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"digest": 7}, "'digest' must be str"),
        ({"digest": "00"}, "the digest is not one"),
        ({"context": 7}, "'context' must be str"),
        ({"context": "x" * 4097}, "at most 4096 are allowed"),
        ({"raw": 1}, "'raw' must be bool"),
        ({"threads": 0}, "'threads' is 0"),
        ({"backend": None}, "'backend' must be str"),
        ({"progress": 7}, "'progress' must be a function"),
        ({"prompts": "aa"}, "as a list"),
    ],
)
def test_arguments_that_cannot_be(accepted: list[str], change: dict[str, Any], match: str) -> None:
    with pytest.raises(UsageError, match=match):
        verify(**change)
    assert not accepted


def test_files_that_do_not_belong_together(accepted: list[str]) -> None:
    with pytest.raises(FormatError, match="row length out of bounds"):
        verify(pinned=replace(COMMITMENT, model=replace(MODEL, log_columns=60)))
    with pytest.raises(VerificationError, match="another commitment"):
        verify(replace(ANSWERS, commitment_digest="00" * 32))
    with pytest.raises(VerificationError, match="not the one announced"):
        verify(digest="00" * 32)
    assert not accepted


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"prompts": ["aa"]}, "number of answers"),
        ({"prompts": ["aa", "a"]}, "prompt"),
        ({"context": "case 8"}, "context"),
    ],
)
def test_true_proofs_of_something_else(
    accepted: list[str], change: dict[str, Any], match: str
) -> None:
    with pytest.raises(MismatchError, match=match):
        verify(**{"raw": True} | change)
    assert accepted == ["checked"]


def test_copies_are_programs() -> None:
    """Values that are fine alone, and too large together, or of ops that have no copy."""
    program = COMMITMENT.program
    assert len(several(program, 2).ops) == 2 * len(program.ops)
    with pytest.raises(UsageError, match="belongs to no value"):
        several(replace(program, exponents={"none": 8}), 2)


def test_ops_that_have_no_copy() -> None:
    """Operands that stand elsewhere than in the fields that are renamed."""
    first = ops.Combine(name="c", addends=(ops.Operand(x="x"),))
    wired = replace(HONEST, ops=(first, *HONEST.ops))
    with pytest.raises(UnsupportedModelError, match="Combine in a proof of several answers"):
        several(wired, 2)


def test_how_many_copies_there_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    program = COMMITMENT.program
    assert len(several(program, MAX_ANSWERS).ops) == MAX_ANSWERS * len(program.ops)
    for count in (0, MAX_ANSWERS + 1):
        with pytest.raises(UsageError, match="1 to 32 answers"):
            several(program, count)
    monkeypatch.setattr(copies, "MAX_OPS", 2 * len(program.ops))
    assert several(program, 2)
    with pytest.raises(UsageError, match="too many for one proof"):
        several(program, 3)
