"""A pytest plugin: minutes by subject and by folder, and a warning beyond the budget.

``pytest --minutes`` prints them at the end. A test's time counts set-up and tear-down; where
several workers share the tests (``-n``), their times are added up and divided by the number of
workers, so that the sum is about what a wall clock shows. Budgets are those of the everyday suite
on two cores.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pytest

__all__ = ["BUDGETS", "Minutes", "subject_of"]

#: Minutes of the everyday suite by subject; twelve in all.
BUDGETS: Mapping[str, float] = {
    "text and proofs": 4.5,
    "private": 2.5,
    "training": 1.5,
    "vision": 1.5,
    "server": 1.0,
    "the rest": 1.0,
}

#: The first of these that stands in a test's path names its subject.
_SUBJECTS = (
    ("private", ("unit/mpc/", "unit/net/", "tests/privacy/", "private")),
    ("training", ("training",)),
    ("vision", ("vision", "onnx")),
    (
        "server",
        (
            "unit/server/",
            "test_openai",
            "_served",
            "test_server",
            "test_proxy",
            "test_receipt",
            "test_audit",
            "test_reports",
            "test_proofs_on_demand",
            "test_killed",
        ),
    ),
    ("the rest", ("tests/conformance/", "tests/architecture/")),
)


def subject_of(path: str) -> str:
    """The subject whose budget a test file counts to."""
    for subject, marks in _SUBJECTS:
        if any(mark in path for mark in marks):
            return subject
    return "text and proofs"


@dataclass(eq=False)
class Minutes:
    """Adds up the times of all phases of all tests.

    Attributes
    ----------
    workers : int
        How many processes share the tests.
    seconds : dict
        By test file.
    """

    workers: int = 1
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Under ``-n`` the reports of all workers arrive at the one process that prints."""
        self.seconds[report.nodeid.split("::")[0]] += report.duration / self.workers

    def totals(self) -> tuple[dict[str, float], dict[str, float]]:
        """Minutes by subject, in the order of the budgets, and by folder."""
        subjects = dict.fromkeys(BUDGETS, 0.0)
        folders: dict[str, float] = defaultdict(float)
        for path, spent in self.seconds.items():
            subjects[subject_of(path)] += spent / 60
            folders[path.rpartition("/")[0]] += spent / 60
        return subjects, dict(sorted(folders.items()))

    def lines(self) -> Iterator[str]:
        """What is printed: folders, then subjects beside their budgets, then warnings."""
        subjects, folders = self.totals()
        for folder, spent in folders.items():
            yield f"{spent:6.2f}  {folder}"
        yield f"{sum(folders.values()):6.2f}  in all, of {sum(BUDGETS.values()):g}"
        for subject, spent in subjects.items():
            yield f"{spent:6.2f}  {subject}, of {BUDGETS[subject]:g}"
        for subject, spent in subjects.items():
            if spent > BUDGETS[subject]:
                yield (
                    f"warning: {subject} takes {spent:.1f} minutes, budget "
                    f"{BUDGETS[subject]:g}; mark tests slow or make them faster"
                )

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print."""
        terminalreporter.section("minutes")
        for line in self.lines():
            warning = line.startswith("warning")
            terminalreporter.write_line(line, yellow=warning, bold=warning)
