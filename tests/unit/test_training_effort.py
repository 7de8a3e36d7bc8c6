"""What a training proof may cost is told before anything is done about it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.training import KEY, LOG_COLUMNS, committed_data, small_examples, small_recipe
from veracity.errors import UsageError
from veracity.formats.data import DataFile
from veracity.formats.training import RunDescription, TrainingProof
from veracity.graph.training import Recipe
from veracity.graph.training.network import Network, dense
from veracity.training.effort import require_training_effort, training_seconds
from veracity.work.effort import MAX_TIME
from veracity.zkml.training.run import Run, RunProof

DATA = DataFile(committed_data(small_examples())[0], (bytes(5000),))
SMALL = Run(small_recipe(), (DATA.commitment,), 2, LOG_COLUMNS)
#: Its convolution reads windows of four million entries along one axis.
WINDOWS = Network((1 << 15, 1, 1), ("conv 1 128x1", "relu", "flatten", "dense 2"))


def claimed(run: Run, windows: int = 1, size: int = 1 << 10, rows: int = 1 << 10) -> TrainingProof:
    """A proof of no meaning with messages of these sizes."""
    messages = RunProof([bytes(rows)] * windows, [bytes(size)] * windows, [bytes(size)])
    return TrainingProof(RunDescription.of(run), "00" * 32, messages)


def test_small_runs_are_checked_without_being_asked_twice() -> None:
    assert KEY.log_columns == LOG_COLUMNS
    require_training_effort(SMALL, claimed(SMALL, 2), [DATA], MAX_TIME)
    epoch = replace(SMALL, recipe=Recipe(dense(784, 128, 64, 10), 64, (1,) * 937), log_columns=14)
    assert 1 < training_seconds(epoch, claimed(epoch, 15, 20_000), [DATA]) < 20
    large = Recipe(dense(784, *[1224] * 7, 10), 64, (1,) * 16)
    large_run = replace(SMALL, recipe=large, log_columns=16)
    assert 1 < training_seconds(large_run, claimed(large_run, 1, 50_000), [DATA]) < 10


@pytest.mark.parametrize(
    ("run", "proof"),
    [
        # each is a file of little size, or none that it would take an honest prover to make
        (replace(SMALL, recipe=Recipe(dense(8, 3), 4, (1,) * (1 << 18))), {}),
        (replace(SMALL, recipe=Recipe(dense(8, *[2] * 60, 3), 4, (1,) * 2048)), {}),
        (replace(SMALL, recipe=Recipe(dense(8, *[1 << 14] * 4, 3), 4, (1,) * 4)), {}),
        (replace(SMALL, recipe=Recipe(dense(8, 3), 1 << 16, (1,) * 256)), {}),
        (replace(SMALL, recipe=Recipe(WINDOWS, 1, (1,) * 256)), {"windows": 64}),
        (replace(SMALL, log_columns=16), {"size": 1 << 25}),
        (SMALL, {"windows": 1 << 11}),
        (SMALL, {"rows": 1 << 28}),
    ],
    ids=["steps", "layers", "weights", "batch", "axes", "messages", "windows", "cuts"],
)
def test_what_may_take_long_has_to_be_asked_for(run: Run, proof: dict[str, int]) -> None:
    made = claimed(run, **proof)
    with pytest.raises(UsageError, match=r"--max-time \d+"):
        require_training_effort(run, made, [DATA], MAX_TIME)
    require_training_effort(run, made, [DATA], 1e9)


def test_every_data_set_counts() -> None:
    more = DataFile(replace(DATA.commitment, rows=DATA.commitment.rows * (1 << 20)), ())
    found = training_seconds(SMALL, claimed(SMALL, 15), [DATA, more])
    assert found > training_seconds(SMALL, claimed(SMALL, 15), [DATA]) + 10
    form = DataFile(DATA.commitment, (bytes(1 << 24),))
    assert training_seconds(SMALL, claimed(SMALL), [form]) > 2


@pytest.mark.parametrize("allowed", [0.0, -1.0, float("nan")])
def test_the_time_allowed_is_a_positive_number(allowed: float) -> None:
    with pytest.raises(UsageError, match="positive"):
        require_training_effort(SMALL, claimed(SMALL), [DATA], allowed)
