"""What a run would cost, and the same training in floats."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from tests.support.training import (
    ENGINE,
    LOG_COLUMNS,
    small_examples,
    small_recipe,
    window_proof,
)
from tests.support.training_lies import executed, prove_published
from veracity.cli import main
from veracity.errors import UsageError
from veracity.formats.data import DataFile
from veracity.graph.training import Recipe, predict, start_weights, train_step
from veracity.graph.training.network import Network
from veracity.training.estimate import estimate_run, fit_window
from veracity.training.floats import FloatNetwork
from veracity.training.recipe import Plan
from veracity.training.train import run_on
from veracity.zkml.training.accounting import count_rounding, count_window
from veracity.zkml.training.data import DataCommitment
from veracity.zkml.training.rounding import rounded_weights

DATA = DataCommitment(8, 3, bytes(32 * 400))
PLAN = Plan(("dense 256", "relu", "dense 3"), batch=64, steps=40)


def test_bytes_are_counted() -> None:
    trained = executed(steps=2)
    recipe = trained.run.recipe
    rows = sum(len(b.tensor.data) for b in trained.boundaries[-1].values())
    found = count_window(recipe, 2, LOG_COLUMNS)
    assert found.proof_bytes == len(window_proof(trained, 0)) + rows
    _, proof = prove_published(trained, rounded_weights(recipe, trained.states[-1]))
    (counted,) = count_rounding(recipe, LOG_COLUMNS)
    assert counted.proof_bytes == len(proof)


def test_windows_fit_a_limit() -> None:
    file, least = DataFile(DATA, ()), 250_000_000
    assert fit_window(PLAN, [file], 1 << 34) == 40
    shorter = fit_window(PLAN, [file], least)
    assert 1 <= shorter < 40
    assert fit_window(PLAN, [file], 3 * least, jobs=2) == shorter
    with pytest.raises(UsageError, match="raise --memory"):
        fit_window(PLAN, [file], 50_000_000)
    cost = estimate_run(run_on(replace(PLAN, window=16), [DATA]), ENGINE)
    assert (cost.windows, cost.window, cost.steps) == (3, 16, 40)
    assert cost.prove_s > 0


NETWORKS = {
    "dense": (small_recipe().network, "cross_entropy"),
    "square": (small_recipe().network, "square"),
    "pictures": (
        Network((4, 2, 1), ("conv 2 3x3 pad 1", "relu", "avgpool 2", "flatten", "dense 3")),
        "cross_entropy",
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_floats_do_what_the_integers_do(name: str) -> None:
    """As far as their bits allow: fine scales, so that differences are small."""
    network, loss = NETWORKS[name]
    recipe = Recipe(network, 4, (9,) * 6, 10, 12, 8, 8, loss)
    examples = small_examples(24)
    weights = start_weights(recipe, bytes(32))
    floats = FloatNetwork(recipe, weights)
    for t in range(6):
        batch = examples[4 * t : 4 * t + 4]
        rate = recipe.rates[t] * recipe.batch * 2.0**-recipe.rate_bits
        exact = train_step(recipe, t, weights, batch.astype(np.int64)).loss(recipe)
        assert floats.step(batch, rate) == pytest.approx(exact, abs=1e-2)
    logits = predict(recipe, weights, examples[:, :8].astype(np.int64)) * 2.0**-10
    assert floats.predict(examples[:, :8]) == pytest.approx(logits, abs=3e-2)


def test_the_commands(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    x, y = rng.integers(0, 256, (40, 8), dtype=np.uint8), rng.integers(0, 3, 40)
    np.savez(tmp_path / "toy.npz", x=x, y=y)
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        '[network]\nlayers = ["dense 6", "relu", "dense 3"]\n[train]\nbatch = 4\nsteps = 30\n'
    )

    def call(*words: str) -> dict[str, object]:
        done = CliRunner().invoke(main, [*words, "--json"])
        assert done.exit_code == 0, done.output
        return dict(json.loads(done.output))

    call("data", "commit", str(tmp_path / "toy.npz"), "-q")
    data = ("--data", str(tmp_path / "toy.vdata"))
    told = call("train", "estimate", str(recipe), *data)
    assert (told["window"], told["windows"]) == (30, 1)
    secret = ("--data-secret", str(tmp_path / "toy.vdsec"))
    told = call("train", str(recipe), *data, *secret, "--dry-run", "-q")
    epoch = told["one_epoch"]
    assert isinstance(epoch, dict)
    assert epoch["steps"] == 10
    assert epoch["loss_exact"] == pytest.approx(epoch["loss_float"], abs=0.1)
