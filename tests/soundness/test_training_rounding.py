"""A rounding in stretches: the verifier knows them all, and each proof speaks of its own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.training import ENGINE, KEY, LOG_COLUMNS, Trained, small_recipe, train_and_prove
from tests.support.training_lies import tensors
from veracity.errors import FormatError, VerificationError
from veracity.graph.training.program import program_of
from veracity.zkml.model import commit_model
from veracity.zkml.training import accounting, rounding
from veracity.zkml.training import run as runs
from veracity.zkml.training.rounding import rounded_weights, rounding_ranges
from veracity.zkml.training.state import weight_specs

Patch = pytest.MonkeyPatch


@pytest.fixture(scope="module")
def cut_up() -> Trained:
    """A run whose weights are rounded in three stretches or more."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rounding, "_ROUNDING_LOOKUPS", 20)
        return train_and_prove()


@pytest.fixture(autouse=True)
def small_stretches(monkeypatch: Patch) -> None:
    monkeypatch.setattr(rounding, "_ROUNDING_LOOKUPS", 20)


def test_stretches_hold_every_weight_once(monkeypatch: Patch) -> None:
    recipe = small_recipe()
    names = range(len(weight_specs(recipe)))
    for limit in (1, 20, 30, 1 << 27):
        monkeypatch.setattr(rounding, "_ROUNDING_LOOKUPS", limit)
        ranges = rounding_ranges(recipe)
        assert [i for ends in ranges for i in range(*ends)] == list(names)
        assert len(ranges) == len(names) if limit == 1 else len(ranges) >= 1
    assert len(ranges) == 1


def test_a_run_with_stretches_verifies(cut_up: Trained) -> None:
    assert cut_up.proof is not None
    assert len(cut_up.proof.roundings) >= 3
    cut_up.verify()
    counted = accounting.count_rounding(cut_up.run.recipe, LOG_COLUMNS)
    assert [c.proof_bytes for c in counted] == [len(p) for p in cut_up.proof.roundings]


def test_stretches_cannot_change_places_or_be_missing(cut_up: Trained) -> None:
    assert cut_up.proof is not None
    first, second, *others = cut_up.proof.roundings
    with pytest.raises((VerificationError, FormatError)):
        cut_up.verify(replace(cut_up.proof, roundings=[second, first, *others]))
    for wrong in ([first, *others], [first, second, *others, first], []):
        with pytest.raises(FormatError, match="another number of roundings"):
            cut_up.verify(replace(cut_up.proof, roundings=wrong))


def test_weights_that_no_stretch_shows(cut_up: Trained, monkeypatch: Patch) -> None:
    """A model whose last weights were made up, behind honest proofs of the others."""
    recipe, proof = cut_up.run.recipe, cut_up.proof
    assert proof is not None
    (first, last), last_name = rounding_ranges(recipe)[-1], list(weight_specs(recipe))[-1]
    published = rounded_weights(recipe, cut_up.states[-1])
    published[last_name] = published[last_name] + 1
    files = commit_model(ENGINE, program_of(recipe), published)
    weights = tensors(cut_up.boundaries[0]), cut_up.boundaries[-1]
    shown = [ends for ends in rounding_ranges(recipe) if ends != (first, last)]
    monkeypatch.setattr(runs, "rounding_ranges", lambda _: shown)
    some = runs.prove_rounding(ENGINE, KEY, cut_up.run, weights, published, files)
    lie = replace(cut_up, files=files, proof=replace(proof, roundings=some))
    lie.verify()  # by a verifier who takes the stretches from the proof
    monkeypatch.setattr(runs, "rounding_ranges", rounding_ranges)
    with pytest.raises(FormatError, match="another number of roundings"):
        lie.verify()
    whole = runs.prove_rounding(ENGINE, KEY, cut_up.run, weights, published, files)
    with pytest.raises(VerificationError):
        replace(lie, proof=replace(proof, roundings=whole)).verify()
