"""The account of the suite's time: what counts to which budget, and when it warns."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.minutes import BUDGETS, Minutes, subject_of


def took(path: str, seconds: float) -> Any:
    return SimpleNamespace(nodeid=f"{path}::test_it", duration=seconds)


def test_budget_is_twelve_minutes() -> None:
    assert sum(BUDGETS.values()) == 12


@pytest.mark.parametrize(
    ("path", "subject"),
    [
        ("tests/unit/net/test_relay.py", "private"),
        ("tests/e2e/test_private.py", "private"),
        ("tests/soundness/test_zkml.py", "text and proofs"),
        ("tests/e2e/test_memory.py", "text and proofs"),
        ("tests/soundness/training/test_window.py", "training"),
        ("tests/unit/test_frontends_onnx.py", "vision"),
        ("tests/unit/server/test_chat.py", "server"),
        ("tests/conformance/test_field.py", "the rest"),
    ],
)
def test_every_file_counts_to_one_subject(path: str, subject: str) -> None:
    assert subject_of(path) == subject
    assert subject in BUDGETS


def test_times_of_all_workers_are_shared_out() -> None:
    account = Minutes(workers=2)
    for _ in range(3):  # set-up, call, tear-down
        account.pytest_runtest_logreport(took("tests/soundness/test_zkml.py", 60.0))
    account.pytest_runtest_logreport(took("tests/e2e/test_memory.py", 60.0))
    subjects, folders = account.totals()
    assert folders == {"tests/e2e": 0.5, "tests/soundness": 1.5}
    assert subjects["text and proofs"] == 2.0


def test_warns_beyond_the_budget_only() -> None:
    account = Minutes()
    account.pytest_runtest_logreport(took("tests/privacy/test_attacks.py", 149.0))
    assert not [line for line in account.lines() if line.startswith("warning")]
    account.pytest_runtest_logreport(took("tests/privacy/test_attacks.py", 2.0))
    (warning,) = [line for line in account.lines() if line.startswith("warning")]
    assert "private takes 2.5 minutes, budget 2.5" in warning
