"""A small training run, executed, committed and proved with hooks for a cheating prover."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from veracity.engine import load_engine
from veracity.graph.training import Recipe, Step, Weights, train_step
from veracity.graph.training.network import dense
from veracity.graph.training.program import program_of
from veracity.zk.committed import CommittedArray, commit_array
from veracity.zk.keys import CommitmentKey, load_key
from veracity.zk.mle import zeros
from veracity.zkml.boundary import Boundary
from veracity.zkml.committed import CommittedTensor
from veracity.zkml.model import ModelCommitment, ModelOpening, commit_model
from veracity.zkml.training.data import DataCommitment, commit_data, data_blinds
from veracity.zkml.training.rounding import rounded_weights
from veracity.zkml.training.run import Run, RunProof, prove_rounding, prove_window, verify_run
from veracity.zkml.training.state import commit_weights, open_start, start_id, weight_specs
from veracity.zkml.training.window import EXAMPLES, WindowWitness, batch_spec

ENGINE = load_engine("cpu")
LOG_COLUMNS = 12
KEY = load_key(ENGINE, LOG_COLUMNS)

Change = Callable[[int, WindowWitness], WindowWitness]


def small_recipe(loss: str = "cross_entropy", steps: int = 5) -> Recipe:
    """8 inputs, two hidden layers, 3 classes, batches of 4."""
    rates = tuple(30 - 4 * t for t in range(steps))
    return Recipe(dense(8, 6, 5, 3), 4, rates, loss=loss)


def small_examples(count: int = 14, seed: int = 1) -> np.ndarray:
    """Random bytes with random labels for :func:`small_recipe`."""
    rng = np.random.default_rng(seed)
    out = np.zeros((count, 11), np.int16)
    out[:, :8] = rng.integers(0, 256, (count, 8))
    out[np.arange(count), 8 + rng.integers(0, 3, count)] = 1
    return out


@dataclass
class Trained:
    """A run with everything that its prover holds."""

    run: Run
    examples: np.ndarray
    seed: bytes
    states: list[Weights] = field(default_factory=list)
    witnesses: list[WindowWitness] = field(default_factory=list)
    boundaries: list[dict[str, Boundary]] = field(default_factory=list)
    files: tuple[ModelCommitment, ModelOpening] | None = None
    proof: RunProof | None = None

    @property
    def start(self) -> dict[str, Boundary]:
        return self.boundaries[0]

    def verify(self, proof: RunProof | None = None, run: Run | None = None) -> None:
        assert self.files is not None
        assert self.proof is not None
        verify_run(
            ENGINE, KEY, self.run if run is None else run, self.files[0],
            self.proof if proof is None else proof,
        )  # fmt: skip


def committed_data(examples: np.ndarray, classes: int = 3) -> tuple[DataCommitment, bytes]:
    """A data commitment and its secret."""
    seed = os.urandom(32)
    return commit_data(ENGINE, KEY, examples, classes, seed), seed


def unblinded(
    recipe: Recipe, weights: Weights, key: CommitmentKey = KEY
) -> dict[str, CommittedTensor]:
    """Rows of weights without blinds: what a verifier makes of a start from a seed."""
    out = {}
    for name, spec in weight_specs(recipe).items():
        values, blinds = spec.stored(weights[name]), zeros(ENGINE, spec.rows)
        points = commit_array(ENGINE, key, spec.shape(start_id(name)), values, blinds)
        out[name] = CommittedTensor(spec, ENGINE.compress(points))
    return out


def execute_windows(
    trained: Trained,
    step: Callable[[Recipe, int, Weights, np.ndarray], Step] = train_step,
    start: dict[str, Boundary] | None = None,
) -> None:
    """Train, one ``step`` after the other, and commit to the weights at every cut.

    A run that starts from a model has its start given, as the model's owner holds it.
    """
    run = trained.run
    if start is None:
        weights = run.start_weights
        trained.boundaries.append(open_start(ENGINE, run.start(ENGINE, KEY), weights))
    else:
        weights = {name: b.values for name, b in start.items()}
        trained.boundaries.append(start)
    trained.states.append(dict(weights))
    tensors = {n: b.tensor for n, b in trained.start.items()}
    cut_seed = os.urandom(32)
    for i, (first, last) in enumerate(run.ranges()):
        examples = trained.examples[run.rows(tensors, first, last)]
        before = dict(weights)
        steps: list[Step] = [
            step(run.recipe, t, weights, examples[t - first]) for t in range(first, last)
        ]
        trained.states.append(dict(weights))
        trained.witnesses.append(WindowWitness(examples, before, dict(weights), steps))
        domain = f"window {i}".encode()
        committed = commit_weights(ENGINE, KEY, run.recipe, weights, cut_seed, domain)
        trained.boundaries.append(committed)


def window_proof(trained: Trained, index: int, witness: WindowWitness | None = None) -> bytes:
    """The proof of one window, of a changed witness where one is given."""
    run, ends = trained.run, trained.run.ranges()[index]
    honest = trained.witnesses[index]
    tensors = {n: b.tensor for n, b in trained.start.items()}
    rows = run.rows(tensors, *ends)
    array = CommittedArray(
        batch_spec(run.recipe, ends[1] - ends[0]).shape(EXAMPLES),
        honest.examples,
        data_blinds(ENGINE, trained.seed, rows),
    )
    weights = (tensors, trained.boundaries[index], trained.boundaries[index + 1])
    return prove_window(
        ENGINE, KEY, run, ends, weights, array, honest if witness is None else witness
    )


def train_and_prove(
    recipe: Recipe | None = None, window: int = 2, examples: np.ndarray | None = None
) -> Trained:
    """A whole run: trained, proved, rounded, committed."""
    recipe = small_recipe() if recipe is None else recipe
    examples = small_examples() if examples is None else examples
    data, seed = committed_data(examples, recipe.classes)
    trained = Trained(Run(recipe, (data,), window, LOG_COLUMNS), examples, seed)
    execute_windows(trained)
    finish(trained)
    return trained


def finish(trained: Trained) -> None:
    """Prove what was executed, round it, commit to it."""
    recipe = trained.run.recipe
    windows = [window_proof(trained, i) for i in range(len(trained.run.ranges()))]
    published = rounded_weights(recipe, trained.states[-1])
    trained.files = commit_model(ENGINE, program_of(recipe), published)
    weights = {n: b.tensor for n, b in trained.start.items()}, trained.boundaries[-1]
    roundings = prove_rounding(ENGINE, KEY, trained.run, weights, published, trained.files)
    cuts = [b"".join(b[name].tensor.data for name in sorted(b)) for b in trained.boundaries[1:]]
    trained.proof = RunProof(cuts, windows, roundings)
