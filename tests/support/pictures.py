"""A small convolutional network, trained and proved like :mod:`tests.support.training`'s."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.support.training import ENGINE, KEY, LOG_COLUMNS, Trained, execute_windows
from veracity.graph.training import Recipe
from veracity.graph.training.network import Network
from veracity.zkml.training.data import commit_data
from veracity.zkml.training.run import Run

LAYERS = (
    "conv 3 3x3 pad 1", "relu", "avgpool 2", "conv 4 3x3 stride 2 pad 1", "relu", "flatten",
    "dense 3",
)  # fmt: skip


def picture_recipe(steps: int = 2, loss: str = "cross_entropy") -> Recipe:
    """Pictures of 8 x 8 in two channels, two convolutions with an average between, batches of 4."""
    network = Network((8, 8, 2), LAYERS)
    return Recipe(network, 4, tuple(60 - 8 * t for t in range(steps)), loss=loss)


def settled_recipe(steps: int = 2) -> Recipe:
    """The same with rounded kernels, and with momentum and decay in blocks of two steps."""
    decays = (900,) * -(-steps // 2)
    return replace(
        picture_recipe(steps), rounded=True, settle=2, momentum_bits=4, momentum=(16, 14, 13),
        decays=decays,
    )  # fmt: skip


def picture_examples(count: int = 9, seed: int = 1) -> np.ndarray:
    """Random pictures with random labels for :func:`picture_recipe`."""
    rng = np.random.default_rng(seed)
    out = np.zeros((count, 131), np.int16)
    out[:, :128] = rng.integers(0, 256, (count, 128))
    out[np.arange(count), 128 + rng.integers(0, 3, count)] = 1
    return out


def executed_pictures(recipe: Recipe | None = None) -> Trained:
    """One window of the recipe, trained and committed but not proved; always on the same rows."""
    recipe = picture_recipe() if recipe is None else recipe
    examples, secret = picture_examples(), bytes(32)
    data = commit_data(ENGINE, KEY, examples, 3, secret)
    out = Trained(Run(recipe, (data,), recipe.steps, LOG_COLUMNS), examples, secret)
    execute_windows(out)
    return out
