"""What ``make demo-training`` shows: cheats are refused, and nothing else is."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.training import ENGINE, small_examples, small_recipe
from veracity.benchmarks.frauds import FRAUDS, try_fraud
from veracity.formats.data import DataFile, DataSecret
from veracity.training.data import commit_examples


@pytest.fixture(scope="module")
def owner() -> tuple[DataFile, DataSecret]:
    examples = small_examples()
    labels = examples[:, 8:].argmax(1).astype(np.int64)
    return commit_examples(ENGINE, (examples[:, :8].astype(np.uint8), labels), 3)


def test_an_honest_run_is_accepted(owner: tuple[DataFile, DataSecret]) -> None:
    assert try_fraud(ENGINE, small_recipe(), owner, None) == ""


@pytest.mark.parametrize("fraud", FRAUDS)
def test_a_cheat_is_refused(owner: tuple[DataFile, DataSecret], fraud: str) -> None:
    assert try_fraud(ENGINE, small_recipe(), owner, fraud) != ""
