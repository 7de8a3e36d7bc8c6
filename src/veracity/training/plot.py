"""A picture of how a run goes: loss, accuracy on examples held out, time."""

from __future__ import annotations

import io
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from veracity.codec import write_file
from veracity.errors import UsageError
from veracity.training.curves import Curves, read_curves

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_run"]

FORMATS = (".png", ".svg", ".pdf")
_LINE, _SOFT, _SECOND = "#1f4e79", "#a9c3dc", "#c0562b"


def plot_run(folder: str | Path, out: str | Path) -> Curves:
    """Draw the curves of a run, finished or not; returns them.

    Parameters
    ----------
    folder : str or path
        The run's folder.
    out : str or path
        A ``.png``, ``.svg`` or ``.pdf`` file; readable by its owner only.

    Raises
    ------
    UsageError
        There is nothing to draw yet, or the file's name has another ending.
    """
    from matplotlib.figure import Figure

    target, curves = Path(out), read_curves(Path(folder))
    if target.suffix.lower() not in FORMATS:
        raise UsageError(f"give a name that ends with {', '.join(FORMATS)}")
    if not curves.loss:
        raise UsageError(f"{Path(folder).name!r} holds no losses yet; train first")
    known = ((_loss, curves.loss), (_accuracy, curves.accuracy), (_time, curves.seconds))
    panels = [draw for draw, values in known if values]
    figure = Figure(figsize=(4.2 * len(panels), 3.2), layout="constrained")
    for axes, draw in zip(np.atleast_1d(figure.subplots(1, len(panels))), panels, strict=True):
        draw(axes, curves)
        axes.set_xlabel("steps")
        axes.set_xlim(left=0)
        axes.grid(visible=True, alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    stream = io.BytesIO()
    figure.savefig(stream, format=target.suffix[1:].lower(), dpi=150)
    write_file(target, stream.getvalue(), mode=0o600)
    return curves


def smooth(values: list[float], width: int) -> list[float]:
    """Means of the last ``width`` values, of fewer at the start."""
    sums = [0.0, *accumulate(values)]
    starts = [max(0, i - width) for i in range(1, len(sums))]
    return [(sums[i] - sums[j]) / (i - j) for i, j in enumerate(starts, start=1)]


def _loss(axes: Axes, curves: Curves) -> None:
    steps, losses = list(curves.loss), list(curves.loss.values())
    width = max(1, min(50, len(steps) // 10))
    axes.plot(steps, losses, color=_SOFT, linewidth=0.7, label="each step")
    axes.plot(steps, smooth(losses, width), color=_LINE, label=f"mean of {width}")
    axes.set_title("training loss")
    axes.set_ylim(bottom=0, top=1.05 * float(np.quantile(losses, 0.995)))
    axes.legend(frameon=False)


def _accuracy(axes: Axes, curves: Curves) -> None:
    steps, shares = list(curves.accuracy), list(curves.accuracy.values())
    axes.plot(steps, shares, color=_LINE, marker="o", markersize=3)
    axes.annotate(
        f"{shares[-1]:.4f}", (steps[-1], shares[-1]), textcoords="offset points", xytext=(-4, -12),
        ha="right",
    )  # fmt: skip
    axes.set_title("accuracy on examples held out")


def _time(axes: Axes, curves: Curves) -> None:
    steps, pairs = list(curves.seconds), list(curves.seconds.values())
    train = list(accumulate(a for a, _ in pairs))
    total = list(accumulate(a + b for a, b in pairs))
    axes.fill_between([0, *steps], [0, *train], color=_SECOND, alpha=0.8, label="training")
    axes.fill_between(
        [0, *steps], [0, *train], [0, *total], color=_SOFT, alpha=0.9, label="proving"
    )
    axes.set_title("seconds, all windows together")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, loc="upper left")
