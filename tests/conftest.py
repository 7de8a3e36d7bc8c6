"""What every test may ask for: the folder with models and texts, when there is one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Models and texts: ``VERACITY_DATA``, else ``../shared/data`` beside the checkout."""
    named = os.environ.get("VERACITY_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs models and texts: set VERACITY_DATA to their folder")
    return folder
