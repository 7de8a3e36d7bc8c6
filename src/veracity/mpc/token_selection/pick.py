"""How a user chooses its token: among logits that it sees, or by noise where it sees none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["GREEDY", "Chooser", "Noise", "Pick", "greedy"]


#: Logits to places.
Pick = Callable[[NDArray[np.int64]], NDArray[np.int64]]
#: Noise for every token, from the position of the last token that was read, the number of tokens,
#: and the exponent of the noise; its arg max with the logits is the token.
Noise = Callable[[int, int, int], NDArray[np.int64]]


def greedy(logits: NDArray[np.int64]) -> NDArray[np.int64]:
    """Places of the greatest logit."""
    return np.flatnonzero(logits == logits.max())


@dataclass(frozen=True)
class Chooser:
    """A user's choice of tokens; nobody else has it.

    Parameters
    ----------
    pick : callable
        Places among logits, where the mode shows them.
    noise : callable, optional
        What the user adds to logits that nobody sees; nothing by default.
    """

    pick: Pick = greedy
    noise: Noise | None = None


#: The most likely token.
GREEDY = Chooser()
