"""A training run is proved, and other runs are refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.support.training import (
    ENGINE,
    KEY,
    Trained,
    committed_data,
    small_examples,
    small_recipe,
    train_and_prove,
)
from veracity.errors import FormatError, UsageError, VerificationError
from veracity.graph import execute
from veracity.graph.training import predict
from veracity.graph.training.network import dense
from veracity.graph.training.program import program_of
from veracity.zkml import Statement, prove, verify
from veracity.zkml.training import run as runs
from veracity.zkml.training import state
from veracity.zkml.training.data import prove_form, verify_form
from veracity.zkml.training.rounding import rounded_weights
from veracity.zkml.training.run import Run

REJECTED = (VerificationError, FormatError)


@pytest.fixture(scope="module")
def trained() -> Trained:
    return train_and_prove()


def test_a_run_is_proved(trained: Trained) -> None:
    trained.verify()


def test_cuts_have_rows_of_their_own_length(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in large networks: the rounding reads long rows beside the published ones."""
    for module in (state, runs):
        monkeypatch.setattr(module, "weight_row_bits", lambda _: 10)
    state.weight_specs.cache_clear()
    try:
        trained = train_and_prove(small_recipe(steps=3))
        (spec, *_) = (b.tensor.spec for b in trained.boundaries[-1].values())
        assert (spec.row_bits, trained.files[0].log_columns if trained.files else 0) == (10, 12)
        trained.verify()
        assert trained.proof is not None
        rows = trained.proof.cuts[0]
        cuts = [rows[32:64] + rows[:32] + rows[64:], *trained.proof.cuts[1:]]
        with pytest.raises(REJECTED):
            trained.verify(replace(trained.proof, cuts=cuts))
    finally:
        state.weight_specs.cache_clear()


def test_with_the_square_loss() -> None:
    train_and_prove(small_recipe("square", 3)).verify()


def test_an_answer_of_the_trained_model_is_proved(trained: Trained) -> None:
    """Custody: the commitment that training ends with is the one that answers refer to."""
    assert trained.files is not None
    recipe = trained.run.recipe
    program, weights = program_of(recipe), rounded_weights(recipe, trained.states[-1])
    x = small_examples(3, seed=5)[:, :8].astype(np.int64)
    trace = execute(program, weights, {"x": x})
    statement = Statement(program, {"x": x}, trace.outputs, commitment=trained.files[0])
    verify(ENGINE, statement, prove(ENGINE, statement, weights, trained.files[1]))
    close = trace.outputs["logits"] - predict(recipe, trained.states[-1], x)
    assert np.abs(close).max() <= 2


@pytest.mark.parametrize("change", ["rates", "batch", "network", "loss", "beacon", "window"])
def test_another_run(trained: Trained, change: str) -> None:
    recipe = trained.run.recipe
    rates = (recipe.rates[0] + 1, *recipe.rates[1:])
    lies = {
        "rates": replace(trained.run, recipe=replace(recipe, rates=rates)),
        "batch": replace(trained.run, recipe=replace(recipe, batch=5)),
        "network": replace(trained.run, recipe=replace(recipe, network=dense(8, 5, 6, 3))),
        "loss": replace(trained.run, recipe=replace(recipe, loss="square")),
        "beacon": replace(trained.run, beacon=b"later"),
        "window": replace(trained.run, window=3),
    }
    with pytest.raises(REJECTED):
        trained.verify(run=lies[change])


def test_other_data(trained: Trained) -> None:
    other, _ = committed_data(trained.examples)  # the same examples, committed anew
    with pytest.raises(REJECTED):
        trained.verify(run=replace(trained.run, data=(other,)))


def test_one_data_set_named_twice(trained: Trained) -> None:
    with pytest.raises(VerificationError, match="twice"):
        trained.verify(run=replace(trained.run, data=trained.run.data * 2))


def test_proof_of_form() -> None:
    examples = small_examples()
    data, seed = committed_data(examples)
    proofs = prove_form(ENGINE, KEY, data, examples, seed)
    verify_form(ENGINE, KEY, data, proofs)
    with pytest.raises(REJECTED):
        verify_form(ENGINE, KEY, replace(data, label="another owner's"), proofs)
    with pytest.raises(FormatError):
        verify_form(ENGINE, KEY, data, [])


@pytest.mark.parametrize(("place", "value"), [(0, 256), (0, -1), (8, 2), (9, 1)])
def test_data_of_another_form(place: int, value: int) -> None:
    examples = small_examples()
    examples[3, 8:] = [1, 0, 0]
    examples[3, place] = value
    data, seed = committed_data(examples)
    with pytest.raises(UsageError, match="bytes"):
        prove_form(ENGINE, KEY, data, examples, seed)


def test_runs_that_make_no_sense() -> None:
    data, _ = committed_data(small_examples())
    recipe = small_recipe()
    for bad in (
        replace(recipe, network=dense(7, 6, 5, 3)),
        replace(recipe, rates=()),
        replace(recipe, rates=(1 << 21,)),
        replace(recipe, batch=0),
        replace(recipe, batch=15),
        replace(recipe, loss="hinge"),
        replace(recipe, loss="square", gradient_bits=7),
    ):
        with pytest.raises(UsageError):
            Run(bad, (data,), 2, 12).check()
