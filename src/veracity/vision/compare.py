"""A picture to look at: bicubic enlargement, the network's, and the filter that it corrected by."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from veracity.frontends.lce.network import BICUBIC

__all__ = ["bicubic", "compare", "filter_picture"]

Pixels = NDArray[np.uint8]
#: Pixels between parts; side of the drawn filter's cells.
GAP, CELL = 8, 8


def bicubic(pixels: Pixels) -> Pixels:
    """Twice as large, (height, width, channels), edges repeated: what everybody can do."""
    x = pixels.astype(np.float64)
    for axis in (0, 1):
        x = np.moveaxis(x, axis, 0)
        n = len(x)
        padded = np.pad(x, ((2, 2), (0, 0), (0, 0)), mode="edge")
        halves = [
            sum(t / 128 * padded[i + odd : i + odd + n] for i, t in enumerate(taps))
            for odd, taps in enumerate((BICUBIC, BICUBIC[::-1]))
        ]
        x = np.moveaxis(np.stack(halves, axis=1).reshape(2 * n, *x.shape[1:]), 0, axis)
    return np.clip(np.floor(x + 0.5), 0, 255).astype(np.uint8)


def filter_picture(h: NDArray[np.float64]) -> Pixels:
    """A filter drawn in squares: grey is zero, the largest tap is white or black."""
    largest = max(float(np.abs(h).max()), 1e-9)
    grey = np.floor(127.5 + 127.5 * h / largest).clip(0, 255).astype(np.uint8)
    return np.repeat(np.repeat(grey, CELL, 0), CELL, 1)[..., None]


def compare(pixels: Pixels, enhanced: Pixels, h: NDArray[np.float64] | None = None) -> Pixels:
    """Bicubic, enhanced and, where given, the filter, side by side.

    Parameters
    ----------
    pixels : uint8 array, (height, width, 1 or 3)
        The picture before.
    enhanced : uint8 array, (2 height, 2 width, 3)
        And after.
    h : array, optional
        The correction filter.
    """
    parts = [bicubic(pixels), enhanced] + ([] if h is None else [filter_picture(h)])
    height = max(len(p) for p in parts)
    columns = []
    for part in parts:
        shown = np.broadcast_to(part, (*part.shape[:2], 3))
        room = np.full((height, part.shape[1] + GAP, 3), 255, np.uint8)
        room[: len(part), : part.shape[1]] = shown
        columns.append(room)
    return np.concatenate(columns, axis=1)[:, :-GAP]
