"""What every test may ask for: the folder with models and texts, when there is one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.minutes import Minutes

#: Read by Rust's and by NumPy's pools of threads when they start.
THREADS = ("RAYON_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--minutes", action="store_true", help="minutes by folder, against the budget")


def pytest_configure(config: pytest.Config) -> None:
    """Workers of ``-n`` get one thread each, and so do the processes that tests start."""
    workers = config.getoption("numprocesses", None) or 0
    if workers > 1:
        for name in THREADS:
            os.environ.setdefault(name, "1")
    if config.getoption("--minutes") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Minutes(max(1, workers)), "minutes")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Models and texts: ``VERACITY_DATA``, else ``../shared/data`` beside the checkout."""
    named = os.environ.get("VERACITY_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs models and texts: set VERACITY_DATA to their folder")
    return folder
