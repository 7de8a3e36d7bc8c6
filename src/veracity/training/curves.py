"""How a run goes, for its owner's eyes: losses, accuracy on examples held out, time.

``curves.jsonl`` has a line for each step with its loss, a line for each window with the time that
it took and, where examples were held out, one with the share of them that its weights get right. A
window that is done again after a crash is written again; the last line counts.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from veracity.errors import RangeError, UsageError
from veracity.graph.training import Recipe, Step, Weights, predict

__all__ = [
    "CURVES",
    "Curves",
    "Examples",
    "accuracy_lines",
    "check_held_out",
    "note",
    "read_curves",
    "step_lines",
]

CURVES = "curves.jsonl"
#: Examples held out are put through the network so many at a time.
_TOGETHER = 1024

Examples = tuple[NDArray[np.uint8], NDArray[np.int64]]


@dataclass(frozen=True)
class Curves:
    """What a run's folder holds of how it went, by number of steps done.

    Attributes
    ----------
    loss : dict
        Mean loss of each step's batch.
    accuracy : dict
        Share of right answers on the examples held out, after each window that has it.
    seconds : dict
        Time of each window: training, proving.
    """

    loss: dict[int, float] = field(default_factory=dict)
    accuracy: dict[int, float] = field(default_factory=dict)
    seconds: dict[int, tuple[float, float]] = field(default_factory=dict)


def accuracy_lines(
    recipe: Recipe, weights: Weights, steps: int, held_out: Examples | None
) -> list[dict[str, float]]:
    """A line with the share of right answers by the master weights, where there is one.

    There is none without examples, or where an activation leaves its range: those that were never
    trained on may do that.

    Parameters
    ----------
    recipe : Recipe
        Shapes and scales.
    weights : Weights
        All master weights.
    steps : int
        How many were done.
    held_out : tuple of array or None
        Inputs as bytes, and labels.
    """
    if held_out is None:
        return []
    inputs, labels = held_out
    right = 0
    try:
        for first in range(0, len(labels), _TOGETHER):
            part = slice(first, first + _TOGETHER)
            logits = predict(recipe, weights, inputs[part].astype(np.int64))
            right += int((logits.argmax(1) == labels[part]).sum())
    except RangeError:
        return []
    return [{"steps": steps, "accuracy": right / len(labels)}]


def check_held_out(held_out: Examples, recipe: Recipe) -> Examples:
    """Raise UsageError unless examples held out are of the network's dims."""
    inputs, labels = held_out
    size = recipe.example_size - recipe.classes
    if inputs.shape[1] != size or int(labels.max()) >= recipe.classes:
        raise UsageError(
            f"the examples held out do not fit: the network reads {size} bytes and tells "
            f"{recipe.classes} classes apart"
        )
    return held_out


def note(path: Path, lines: Sequence[Mapping[str, float]]) -> None:
    """Append lines; a folder that cannot be written loses what is for people only."""
    text = "".join(json.dumps(line) + "\n" for line in lines)
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "a", encoding="utf-8") as stream:
            stream.write(text)


def step_lines(recipe: Recipe, steps: Sequence[Step]) -> list[dict[str, float]]:
    """A line for each step."""
    return [{"step": s.index, "loss": round(s.loss(recipe), 5)} for s in steps]


def read_curves(folder: Path) -> Curves:
    """What a run's folder holds; lines that do not parse, such as half a last one, are left out."""
    found = Curves()
    try:
        lines = (folder / CURVES).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return found
    for line in lines:
        with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
            entry = json.loads(line)
            if "loss" in entry:
                found.loss[int(entry["step"]) + 1] = float(entry["loss"])
            elif "accuracy" in entry:
                found.accuracy[int(entry["steps"])] = float(entry["accuracy"])
            else:
                times = float(entry["train_s"]), float(entry["prove_s"])
                found.seconds[int(entry["steps"])] = times
    return Curves(
        dict(sorted(found.loss.items())),
        dict(sorted(found.accuracy.items())),
        dict(sorted(found.seconds.items())),
    )
