"""What the tables of the pages are made with."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

FIGURES = Path(__file__).resolve().parent.parent / "docs" / "figures"

Measured = Mapping[str, Any]
Row = Sequence[str]


def load(name: str, folder: Path = FIGURES) -> Measured:
    """One measurement by name."""
    found: Measured = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    return found


def seconds(value: float) -> str:
    """Two significant figures, one more from ten on."""
    return f"{value:.0f} s" if value >= 10 else f"{value:.2g} s" if value < 1 else f"{value:.1f} s"


def memory(value: float) -> str:
    """Megabytes below a gigabyte."""
    return f"{value / 1e9:.2f} GB" if value >= 1e9 else f"{value / 1e6:.0f} MB"


def plain(value: float) -> str:
    """Three significant figures, no exponent."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def short(value: float) -> str:
    """As few digits as tell the value."""
    return f"{value:g}"


def table(head: Row, rows: Iterable[Row]) -> list[str]:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(cells) + " |" for cells in lines]
