"""What a run would cost, told before it begins, and how many steps a window may have.

Lookups, committed values and bytes are counted; times and memory follow from them as for other
proofs (:mod:`veracity.work.estimate`), with what windows have beside. A step of training is timed.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import prod
from typing import Any

import numpy as np

from veracity.engine.api import Engine
from veracity.errors import RangeError, UsageError
from veracity.formats.data import DataFile
from veracity.graph.training import Recipe, start_weights, train_step
from veracity.training.recipe import Plan
from veracity.work.effort import verification_seconds
from veracity.work.estimate import PER_LOOKUP, PER_VALUE, SEGMENT_S, measure_speed
from veracity.work.memory import MARGIN
from veracity.zkml.accounting import Costs
from veracity.zkml.training.accounting import count_rounding, count_window
from veracity.zkml.training.run import Run
from veracity.zkml.training.state import weight_row_bits

__all__ = ["RunEstimate", "estimate_run", "fit_window"]

# Seen on two cores with networks of 0.1 and 10 million parameters.
#: Peak memory of a window: always, per weight that is read, per lookup, per value. No window gives
#: back what it frees, so a value takes more than one of an answer under a limit.
BASE_BYTES, WEIGHT_BYTES, LOOKUP_BYTES, VALUE_BYTES = 100_000_000, 2.25, 32, 45
#: Bytes beside a window's: for a trained parameter, for a byte of an example.
PARAMETER_BYTES, EXAMPLE_BYTES = 24, 3
#: The verifier's seconds for a layer in a step, and for a parameter of a start from a seed.
LAYER_S, START_S = 8e-4, 6e-8


@dataclass(frozen=True)
class RunEstimate:
    """The cost of a run on this machine; times in seconds, sizes in bytes.

    Attributes
    ----------
    parameters, steps, window, windows : int
        Of the network; of the run; steps that are proved together; how many times.
    lookups, committed_values : int
        Of the whole run.
    train_s, prove_s, verify_s : float
        Training, proving, checking.
    proof_bytes, peak_memory_bytes : int
        Size of the ``.vtrain``; most that one process which proves occupies.
    """

    parameters: int
    steps: int
    window: int
    windows: int
    lookups: int
    committed_values: int
    train_s: float
    prove_s: float
    verify_s: float
    proof_bytes: int
    peak_memory_bytes: int

    def to_plain(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def _parameters(recipe: Recipe) -> int:
    return sum(prod(dims) for dims in recipe.shapes().values())


def _memory(recipe: Recipe, costs: Costs, examples: int) -> int:
    beside = PARAMETER_BYTES * _parameters(recipe) + EXAMPLE_BYTES * examples * recipe.example_size
    return beside + int(
        BASE_BYTES
        + WEIGHT_BYTES * costs.weights
        + LOOKUP_BYTES * costs.lookups
        + VALUE_BYTES * costs.committed_values
    )


def _step_seconds(recipe: Recipe) -> float:
    """The time of one step, on examples of noise."""
    rng = np.random.default_rng(0)
    examples = np.zeros((recipe.batch, recipe.example_size), np.int64)
    examples[:, : recipe.inputs] = rng.integers(0, 256, (recipe.batch, recipe.inputs))
    labels = rng.integers(0, recipe.classes, recipe.batch)
    examples[np.arange(recipe.batch), recipe.inputs + labels] = 1
    weights, times = start_weights(recipe, bytes(32)), []
    for _ in range(2):  # the first one warms up
        started = time.perf_counter()
        try:
            train_step(recipe, 0, weights, examples)
        except RangeError:  # noise is harder than examples
            continue
        times.append(time.perf_counter() - started)
    return times[-1] if times else 0.0


def estimate_run(run: Run, engine: Engine) -> RunEstimate:
    """Tell what a run would cost.

    Parameters
    ----------
    run : Run
        Recipe, data and window.
    engine : Engine
        What computes.
    """
    recipe, parameters = run.recipe, _parameters(run.recipe)
    examples, count = sum(d.examples for d in run.data), len(run.ranges())
    window = count_window(recipe, run.window, run.log_columns)
    roundings = count_rounding(recipe, run.log_columns)
    share = recipe.steps / run.window  # the last window may be a shorter one
    lookups = int(window.lookups * share) + sum(r.lookups for r in roundings)
    values = int(window.committed_values * share) + sum(r.committed_values for r in roundings)
    speed = measure_speed(engine)
    rows = window.witness_rows * count + sum(r.witness_rows for r in roundings)
    proofs = count + len(roundings)
    return RunEstimate(
        parameters=parameters,
        steps=recipe.steps,
        window=run.window,
        windows=count,
        lookups=lookups,
        committed_values=values,
        train_s=round(_step_seconds(recipe) * recipe.steps, 2),
        prove_s=round(
            SEGMENT_S * proofs
            + lookups * PER_LOOKUP * speed.multiplication
            + values * PER_VALUE * speed.committed_value,
            2,
        ),
        verify_s=round(
            verification_seconds(proofs, rows, values)
            + LAYER_S * recipe.layers * recipe.steps
            + START_S * parameters,
            2,
        ),
        proof_bytes=window.proof_bytes * count + sum(r.proof_bytes for r in roundings),
        peak_memory_bytes=max(_memory(recipe, costs, examples) for costs in (window, *roundings)),
    )


def fit_window(plan: Plan, sets: Sequence[DataFile], memory: int, jobs: int = 1) -> int:
    """The most steps, up to the plan's, that can be proved together within a limit.

    Parameters
    ----------
    plan : Plan
        What is wanted.
    sets : sequence of DataFile
        The data.
    memory : int
        Bytes, for all processes together.
    jobs : int
        How many processes prove.

    Raises
    ------
    UsageError
        The shortest window needs more.
    """
    first, examples = sets[0].commitment, sum(d.commitment.examples for d in sets)
    recipe = plan.recipe(examples, first.inputs, first.classes)
    columns, block = max(14, weight_row_bits(recipe)), recipe.settle or 1
    room = int(memory / (jobs + (jobs > 1)) * (1 - MARGIN))
    steps = min(plan.window, recipe.steps) // block * block or block
    while True:
        needed = _memory(recipe, count_window(recipe, steps, columns), examples)
        if needed <= room:
            return steps
        if steps == block:
            raise UsageError(
                f"a window of {steps} step(s) needs {needed >> 20} MiB in each process that "
                "proves; raise --memory, ask for fewer --jobs or for a smaller batch"
            )
        steps = max(block, steps // 2 // block * block)
