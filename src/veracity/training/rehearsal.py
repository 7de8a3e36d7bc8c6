"""One epoch in integers and in float32, side by side: whether a recipe's integers suffice."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from veracity.graph.training import batch_rows, predict, train_step
from veracity.progress import Progress, silent
from veracity.training.base import Base, first_weights
from veracity.training.curves import Examples
from veracity.training.floats import FloatNetwork
from veracity.training.recipe import Plan
from veracity.training.runner import Owners, told
from veracity.zkml.training.run import Run

__all__ = ["Rehearsal", "rehearse"]

#: Losses are told as means of so many last steps.
LAST = 50


@dataclass(frozen=True)
class Rehearsal:
    """What both made of the same batches.

    Attributes
    ----------
    steps : int
        How many were done.
    loss_exact, loss_float : float
        Mean loss of the last ones.
    accuracy_exact, accuracy_float : float or None
        On the examples held out, where there are some.
    """

    steps: int
    loss_exact: float
    loss_float: float
    accuracy_exact: float | None = None
    accuracy_float: float | None = None

    def to_plain(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def rehearse(
    plan: Plan,
    run: Run,
    owners: Owners,
    base: Base | None = None,
    held_out: Examples | None = None,
    progress: Progress = silent,
) -> Rehearsal:
    """Train for one epoch, or the whole run if that is shorter; nothing is proved or kept.

    The order of examples is not that of the run, which hangs on commitments.

    Parameters
    ----------
    plan : Plan
        Unrounded learning rates.
    run : Run
        Recipe and data.
    owners : sequence
        Data sets with what opens them, in the run's order.
    base : Base, optional
        The model that the run starts from.
    held_out : tuple of array, optional
        Examples to tell the accuracy on.
    progress : Progress
        Called as the work advances.

    Raises
    ------
    RangeError
        A value leaves its range: with layer, step and remedy.
    """
    recipe = run.recipe
    examples = np.concatenate([secret.examples(recipe.classes) for _, secret in owners])
    steps = min(recipe.steps, len(examples) // recipe.batch)
    order = batch_rows(bytes(32), len(examples), recipe.batch, 0, steps)
    weights = first_weights(run, base)
    floats = FloatNetwork(recipe, weights, plan.momentum, plan.weight_decay)
    losses: list[tuple[float, float]] = []
    for t, rows in enumerate(order):
        with told():
            step = train_step(recipe, t, weights, examples[rows])
        rate = plan.learning_rate(t, recipe.steps)
        losses.append((step.loss(recipe), floats.step(examples[rows], rate)))
        progress("train", (t + 1) / steps)
    exact, inexact = np.mean(losses[-LAST:], axis=0)
    shares: list[float | None] = [None, None]
    if held_out is not None:
        inputs, labels = held_out
        logits = predict(recipe, weights, inputs.astype(np.int64)), floats.predict(inputs)
        shares = [round(float((z.argmax(1) == labels).mean()), 4) for z in logits]
    return Rehearsal(steps, round(float(exact), 4), round(float(inexact), 4), *shares)
