"""Tables of ``docs/vision.md``."""

from __future__ import annotations

from math import sqrt

import numpy as np

from benches.tabling import Measured, load, table

CONTROLS = {"plain": "equal parameters", "plain-cost": "equal cost of proof"}


def gain(row: Measured, control: str) -> tuple[float, float]:
    """Decibels of LCE over a control, networks of one seed together: mean and standard error."""
    differences = np.subtract(row["lce"], row[control])
    return float(differences.mean()), float(differences.std(ddof=1) / sqrt(len(differences)))


def lce_controls() -> list[str]:
    """LCE beside plain networks."""
    groups = [
        [row for row in load("lce-controls")["rows"] if row["set"] == name]
        for name in ("Set5", "photos")
    ]

    def cells(row: Measured) -> list[str]:
        gains = (gain(row, control) for control in CONTROLS)
        return [
            f"{row['bicubic']:.2f}",
            f"{np.mean(row['lce']):.2f}",
            *(f"{mean:+.2f} ± {error:.2f}" for mean, error in gains),
        ]

    head = [
        f"{title}: {column}"
        for title in ("Set5", "photographs")
        for column in ("bicubic", "LCE", *(f"over {name}" for name in CONTROLS.values()))
    ]
    return table(
        ["degradation", *head],
        ([one["setting"], *cells(one), *cells(two)] for one, two in zip(*groups, strict=True)),
    )
