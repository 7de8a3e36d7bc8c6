"""Notebooks of the documentation print what they are shown to print."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest

from tools.site.notebooks import cells, markdown, masked, record, recorded, run

FOLDER = Path(__file__).resolve().parents[2] / "docs/notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_cells_print_what_is_recorded(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    notebook = json.loads(path.read_text(encoding="utf-8"))
    printed = run(notebook)
    again = "run `make notebooks` and look at what changed"
    assert [*map(masked, printed)] == [*map(masked, recorded(notebook))], again
    assert any("REJECTED" in text for text in printed)


def test_another_output_is_noticed_and_another_measurement_is_not() -> None:
    assert masked("proof 19 kB, checked in 0.42 s") == masked("proof 20 kB, checked in 1.7 s")
    assert masked("ACCEPTED 24 tokens") != masked("ACCEPTED 25 tokens")
    assert masked("REJECTED") != masked("ACCEPTED")


def test_outputs_are_recorded_and_shown() -> None:
    source = ["x = 2\n", "print(x)"]
    notebook = {
        "cells": [
            {"cell_type": "markdown", "source": ["# Title"]},
            {"cell_type": "code", "source": source, "outputs": [], "execution_count": None},
        ]
    }
    record(notebook, run(notebook))
    assert recorded(notebook) == ["2\n"]
    assert cells(notebook, "code")[0]["execution_count"] == 1
    page = markdown(notebook, "x.ipynb")
    assert page.startswith("# Title\n\n```python\nx = 2\nprint(x)\n```\n\n```{")
    assert "\n2\n```\n" in page


def test_there_is_a_notebook() -> None:
    assert NOTEBOOKS
