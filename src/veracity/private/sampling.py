"""Sampling instead of the greedy token, where the user sees the logits: in a secret order, that is.

The user draws a place among permuted logits and obtains the token that stands there; the owner does
not see which. In mode ``secure`` nobody sees logits, so its answers are greedy.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from veracity.errors import UsageError
from veracity.graph import Program
from veracity.mpc.token_selection.pick import Pick

__all__ = ["Sampling"]


@dataclass(frozen=True)
class Sampling:
    """How to draw a token.

    Parameters
    ----------
    temperature : float
        Logits are divided by it: below 1 prefers likely tokens more, above 1 less.
    top_k : int
        Draw among so many most likely tokens only; 0 means all.
    """

    temperature: float
    top_k: int = 0

    def __post_init__(self) -> None:
        if not (0 < self.temperature <= 100 and self.top_k >= 0):
            raise UsageError("a temperature is above 0 and at most 100, --top-k from 0")

    def pick(self, program: Program) -> Pick:
        """Draws a place; ``exp(logit / temperature)`` is its weight."""
        unit = 2.0 ** -program.exponents.get(program.ops[-1].name, 0) / self.temperature
        draw = np.random.default_rng(secrets.randbits(256))

        def place(logits: NDArray[np.int64]) -> NDArray[np.int64]:
            # A greatest sum of logit and Gumbel noise is a draw by the softmax.
            scores = logits * unit + draw.gumbel(size=len(logits))
            if 0 < self.top_k < len(logits):
                least = np.partition(logits, -self.top_k)[-self.top_k]
                scores = np.where(logits >= least, scores, -np.inf)
            return np.asarray([scores.argmax()], dtype=np.int64)

        return place
