"""Which places of the logits a user asks for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["Pick", "greedy"]


#: Logits to places.
Pick = Callable[[NDArray[np.int64]], NDArray[np.int64]]


def greedy(logits: NDArray[np.int64]) -> NDArray[np.int64]:
    """Places of the greatest logit."""
    return np.flatnonzero(logits == logits.max())
