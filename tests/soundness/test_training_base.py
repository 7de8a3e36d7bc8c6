"""Fine-tuning: runs that start from a committed model, and provers who start from another one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.support.training import (
    ENGINE,
    KEY,
    LOG_COLUMNS,
    Trained,
    committed_data,
    execute_windows,
    finish,
    small_examples,
    small_recipe,
    train_and_prove,
)
from tests.support.training_lies import tensors
from veracity.engine.api import ORDER
from veracity.errors import FormatError, UsageError, VerificationError
from veracity.formats.training import RunDescription
from veracity.graph.training.network import dense
from veracity.graph.training.program import program_of
from veracity.zkml.boundary import Boundary
from veracity.zkml.model import commit_model
from veracity.zkml.training.base import BaseModel
from veracity.zkml.training.rounding import rounded_weights
from veracity.zkml.training.run import Run
from veracity.zkml.training.state import commit_weights, weight_specs
from veracity.zkml.well_formed import prove_well_formed, verify_well_formed

REJECTED = (FormatError, VerificationError)
Patch = pytest.MonkeyPatch


@pytest.fixture(scope="module")
def earlier() -> Trained:
    """The run that made the model to start from."""
    return train_and_prove(small_recipe(steps=2))


def held(trained: Trained) -> Mapping[str, Any]:
    """The integers of the model that a run ended with."""
    return rounded_weights(trained.run.recipe, trained.states[-1])


def base_of(trained: Trained) -> BaseModel:
    assert trained.files is not None
    return BaseModel(program_of(trained.run.recipe), trained.files[0])


def tuned(base: BaseModel, start: dict[str, Boundary]) -> Trained:
    """A run of one window from a start, proved to its end."""
    examples = small_examples(seed=2)
    data, secret = committed_data(examples)
    out = Trained(Run(small_recipe(steps=2), (data,), 2, LOG_COLUMNS, b"", base), examples, secret)
    execute_windows(out, start=start)
    finish(out)
    return out


@pytest.fixture(scope="module")
def whole(earlier: Trained) -> Trained:
    base = base_of(earlier)
    assert earlier.files is not None
    recipe = small_recipe(steps=2)
    return tuned(base, base.boundaries(ENGINE, recipe, held(earlier), earlier.files[1]))


def test_it_starts_where_the_model_is(earlier: Trained, whole: Trained) -> None:
    whole.verify()
    recipe = whole.run.recipe
    for name, spec in weight_specs(recipe).items():
        shift = spec.exponent - program_of(earlier.run.recipe).weights[name].exponent
        assert np.array_equal(whole.states[0][name], held(earlier)[name].astype(np.int64) << shift)


def test_a_model_with_rows_of_another_length(earlier: Trained) -> None:
    program, recipe = program_of(earlier.run.recipe), small_recipe(steps=2)
    commitment, opening = commit_model(ENGINE, program, held(earlier), log_columns=6)
    base = BaseModel(program, commitment)
    tuned(base, base.boundaries(ENGINE, recipe, held(earlier), opening)).verify()
    longer = BaseModel(program, replace(commitment, log_columns=13))
    with pytest.raises(UsageError, match="rows of a window"):
        replace(earlier.run, base=longer).check()


def test_the_start_is_bound(earlier: Trained, whole: Trained) -> None:
    """Neither the same model committed anew, nor rows read at another scale, nor a seed."""
    base = base_of(earlier)
    program, commitment = base.program, base.commitment
    anew, _ = commit_model(ENGINE, program, held(earlier))
    coarser = replace(program.weights["2.weight"], exponent=11)
    rescaled = replace(program, weights={**program.weights, "2.weight": coarser})
    swapped = commitment.rows[32:64] + commitment.rows[:32] + commitment.rows[64:]
    others = [
        BaseModel(program, anew),
        BaseModel(rescaled, commitment),
        BaseModel(program, replace(commitment, rows=swapped)),
        BaseModel(program, replace(commitment, rows=commitment.rows[32:])),
        None,
    ]
    for other in others:
        with pytest.raises(REJECTED):
            whole.verify(run=replace(whole.run, base=other))


def test_another_start(monkeypatch: Patch, earlier: Trained) -> None:
    """A prover who trains from other weights than those of the model."""
    recipe, base = small_recipe(steps=2), base_of(earlier)
    weights = base.weights(recipe, held(earlier))
    weights["0.weight"] = weights["0.weight"].copy()
    weights["0.weight"][2, 3] += 1
    mine = commit_weights(ENGINE, KEY, recipe, weights, bytes(32), b"mine")
    lie = tuned(base, mine)
    with monkeypatch.context() as patch:
        patch.setattr(Run, "start", lambda *_: tensors(mine))
        lie.verify()
    with pytest.raises(REJECTED):
        lie.verify()


def halved(earlier: Trained) -> tuple[BaseModel, dict[str, Boundary]]:
    """A model whose weights are no integers: those of a start that it could not have, divided."""
    recipe, honest = small_recipe(steps=2), base_of(earlier)
    weights = honest.weights(recipe, held(earlier))
    weights["0.weight"] = weights["0.weight"] + 1
    start = commit_weights(ENGINE, KEY, recipe, weights, bytes(32), b"no integers")
    rows = bytearray()
    for name, factor in honest._factors(recipe).items():
        points = start[name].tensor.points(ENGINE, name)
        by = ENGINE.from_ints([pow(factor, -1, ORDER)] * len(points))
        rows += ENGINE.compress(ENGINE.scale_points(points, by))
    forged = replace(honest.commitment, rows=bytes(rows))
    return BaseModel(honest.program, forged), start


def test_a_model_that_is_no_integers(earlier: Trained) -> None:
    """The argument alone accepts such a start; the proof of well-formedness does not exist."""
    base, start = halved(earlier)
    assert all(base.tensors(ENGINE, small_recipe(steps=2))[n] == b.tensor for n, b in start.items())
    tuned(base, start).verify()
    assert earlier.files is not None
    proof = prove_well_formed(ENGINE, base.program, held(earlier), earlier.files)
    verify_well_formed(ENGINE, base.program, earlier.files[0], proof)
    with pytest.raises(VerificationError):
        verify_well_formed(ENGINE, base.program, base.commitment, proof)


def test_another_model_than_the_run_says(earlier: Trained, whole: Trained) -> None:
    base, data = base_of(earlier), whole.run.data
    description = RunDescription.of(whole.run)
    assert description.run(data, base) == whole.run
    assert RunDescription.parse(description.encoded, "it") == description
    other = BaseModel(base.program, replace(base.commitment, rows=bytes(32)))
    for given, match in ((None, "--init"), (other, "another model")):
        with pytest.raises(UsageError, match=match):
            description.run(data, given)
    with pytest.raises(UsageError, match="public seed"):
        RunDescription.of(earlier.run).run(earlier.run.data, base)


def test_models_that_a_recipe_cannot_start_from(earlier: Trained) -> None:
    base = base_of(earlier)
    weights = base.program.weights

    def lies(match: str, **changes: Any) -> None:
        other = replace(base.program, weights={**weights, **changes})
        with pytest.raises(UsageError, match=match):
            BaseModel(other, base.commitment).check(small_recipe())

    base.check(small_recipe())
    lies("layers", **{"6.weight": weights["0.weight"]})
    lies("other dims", **{"0.weight": replace(weights["0.weight"], shape=(8, 6))})
    lies("finer", **{"0.weight": replace(weights["0.weight"], exponent=29)})
    lies("finer", **{"0.weight": replace(weights["0.weight"], exponent=-1)})
    shorter = replace(small_recipe(), network=dense(8, 6, 3))
    with pytest.raises(UsageError, match="layers"):
        base.check(shorter)
