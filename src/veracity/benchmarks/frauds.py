"""Provers who cheat while training: each makes a proof of a window that a verifier refuses.

They hold all secrets, execute something else than the recipe says, and prove it with the honest
prover's code, which checks nothing. What refuses them is the argument alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from veracity.engine.api import Engine
from veracity.errors import FormatError, VerificationError
from veracity.formats.data import DataFile, DataSecret
from veracity.graph.training import Recipe, Step, Weights, train_step
from veracity.graph.training.program import program_of
from veracity.zk.committed import CommittedArray
from veracity.zk.keys import load_key
from veracity.zkml.model import commit_model
from veracity.zkml.training.data import data_blinds
from veracity.zkml.training.rounding import rounded_weights
from veracity.zkml.training.run import Run, RunProof, prove_rounding, prove_window, verify_run
from veracity.zkml.training.state import commit_weights, open_start
from veracity.zkml.training.window import EXAMPLES, WindowWitness, batch_spec

__all__ = ["FRAUDS", "try_fraud"]

Examples = NDArray[np.int16]
Cheat = Callable[[Recipe, Weights, Examples], list[Step]]


def _honest(recipe: Recipe, weights: Weights, examples: Examples) -> list[Step]:
    return [train_step(recipe, t, weights, batch) for t, batch in enumerate(examples)]


def _other_rate(recipe: Recipe, weights: Weights, examples: Examples) -> list[Step]:
    rates = list(recipe.rates)
    rates[1] += 1
    return _honest(replace(recipe, rates=tuple(rates)), weights, examples)


def _flipped_label(recipe: Recipe, weights: Weights, examples: Examples) -> list[Step]:
    labels = examples[0, 0, recipe.inputs :]
    labels[:] = np.roll(labels, 1)
    return _honest(recipe, weights, examples)


def _skipped_step(recipe: Recipe, weights: Weights, examples: Examples) -> list[Step]:
    steps = []
    for t, batch in enumerate(examples):
        before = dict(weights)
        steps.append(train_step(recipe, t, weights, batch))
        if t == 1:
            weights.update(before)
    return steps


def _other_data(recipe: Recipe, weights: Weights, examples: Examples) -> list[Step]:
    examples[1] = examples[0]
    return _honest(recipe, weights, examples)


#: What a cheating prover does instead of the recipe, by name.
FRAUDS: dict[str, Cheat] = {
    "another learning rate in one step": _other_rate,
    "one label flipped": _flipped_label,
    "one step skipped": _skipped_step,
    "a batch used twice": _other_data,
}


def try_fraud(
    engine: Engine,
    recipe: Recipe,
    owner: tuple[DataFile, DataSecret],
    fraud: str | None,
    steps: int = 4,
) -> str:
    """Cheat in a run of a few steps; returns why it is refused, or an empty string.

    Parameters
    ----------
    engine : Engine
        Backend.
    recipe : Recipe
        Shapes and learning rates; the first steps of it are used.
    owner : tuple
        The data with what opens them.
    fraud : str or None
        One of :data:`FRAUDS`; None for an honest run, which must not be refused.
    steps : int
        How long the run is.
    """
    data, secret = owner
    recipe = replace(recipe, rates=recipe.rates[:steps])
    run = Run(recipe, (data.commitment,), steps, 14)
    run.check()
    key = load_key(engine, run.log_columns)
    weights, start = run.start_weights, run.start(engine, key)
    opened = open_start(engine, start, weights)
    before = dict(weights)
    rows = run.rows(start, 0, steps)
    examples = secret.examples(recipe.classes)[rows]
    done = (_honest if fraud is None else FRAUDS[fraud])(recipe, weights, examples)
    end = commit_weights(engine, key, recipe, weights, os.urandom(32), b"fraud")
    shape = batch_spec(recipe, steps).shape(EXAMPLES)
    array = CommittedArray(shape, examples, data_blinds(engine, secret.seed, rows))
    witness = WindowWitness(examples, before, dict(weights), done)
    window = prove_window(engine, key, run, (0, steps), (start, opened, end), array, witness)
    published = rounded_weights(recipe, weights)
    files = commit_model(engine, program_of(recipe), published)
    roundings = prove_rounding(engine, key, run, (start, end), published, files)
    cut = b"".join(end[name].tensor.data for name in sorted(end))
    try:
        verify_run(engine, key, run, files[0], RunProof([cut], [window], roundings))
    except (VerificationError, FormatError) as error:
        return str(error)
    return ""
