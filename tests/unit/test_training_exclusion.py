"""Searches of all data of a run, and of others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.support.training import ENGINE, small_recipe
from veracity.errors import FormatError, UsageError, VerificationError
from veracity.formats.data import DataFile, DataSecret
from veracity.formats.exclusion import ExclusionProof
from veracity.formats.training import RunDescription, TrainingProof
from veracity.training.data import commit_examples
from veracity.training.exclusion import check_exclusion, exclude_input, require_whole_run
from veracity.zkml.training.run import RunProof

Owner = tuple[DataFile, DataSecret]
ELSEWHERE = bytes(range(8))


@pytest.fixture(scope="module")
def owners() -> list[Owner]:
    rng = np.random.default_rng(5)
    return [
        commit_examples(
            ENGINE, (rng.integers(0, 256, (n, 8), dtype=np.uint8), rng.integers(0, 3, n)), 3
        )
        for n in (6, 9)
    ]


@pytest.fixture(scope="module")
def proof(owners: list[Owner]) -> ExclusionProof:
    return exclude_input(ENGINE, owners, ELSEWHERE)


def test_every_data_set_is_searched(owners: list[Owner], proof: ExclusionProof) -> None:
    sets = [data for data, _ in owners]
    check_exclusion(ENGINE, sets, proof)
    check_exclusion(ENGINE, sets[::-1], ExclusionProof.from_bytes(proof.to_bytes()), ELSEWHERE)
    with pytest.raises(VerificationError, match="another input"):
        check_exclusion(ENGINE, sets, proof, bytes(8))
    for some in (sets[:1], []):
        with pytest.raises(VerificationError, match="other data"):
            check_exclusion(ENGINE, some, proof)
    first = ExclusionProof(proof.content, proof.data[:1], proof.proofs[:1])
    with pytest.raises(VerificationError, match="other data"):
        check_exclusion(ENGINE, sets, first)
    swapped = replace(proof, proofs=proof.proofs[::-1])
    with pytest.raises((VerificationError, FormatError)):
        check_exclusion(ENGINE, sets, swapped)


def test_data_sets_whose_form_is_not_proved(owners: list[Owner], proof: ExclusionProof) -> None:
    """A row of other numbers than bytes might hold the input in disguise."""
    first, second = (data for data, _ in owners)
    for form in ((), (b"",), second.form):
        with pytest.raises((VerificationError, FormatError)):
            check_exclusion(ENGINE, [replace(first, form=form), second], proof)


def test_a_run_is_searched_as_a_whole(proof: ExclusionProof) -> None:
    def run_on(*digests: bytes) -> TrainingProof:
        description = RunDescription(small_recipe(), digests, 2, 14, b"")
        return TrainingProof(description, "ab" * 32, RunProof([], [], []))

    require_whole_run(proof, run_on(*proof.data))
    for others in (proof.data[:1], (*proof.data, bytes(32))):
        with pytest.raises(VerificationError, match="other data"):
            require_whole_run(proof, run_on(*others))


def test_searches_that_make_no_sense(owners: list[Owner], proof: ExclusionProof) -> None:
    with pytest.raises(UsageError, match="give the data"):
        exclude_input(ENGINE, [], ELSEWHERE)
    with pytest.raises(UsageError, match="twice"):
        exclude_input(ENGINE, [owners[0], owners[0]], ELSEWHERE)
    with pytest.raises(UsageError, match="matching pair"):
        exclude_input(ENGINE, [(owners[0][0], owners[1][1])], ELSEWHERE)
    with pytest.raises(UsageError, match="row 4"):
        exclude_input(ENGINE, owners, owners[1][1].inputs[4].tobytes())
    for data in ((), proof.data[:1] * 2):
        bad = ExclusionProof(ELSEWHERE, data, proof.proofs[: len(data)])
        with pytest.raises(FormatError, match="data sets"):
            ExclusionProof.from_bytes(bad.to_bytes())
