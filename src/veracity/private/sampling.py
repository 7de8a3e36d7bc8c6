"""Sampling instead of the greedy token, with the user's own randomness; nobody else learns of it.

In the ``shuffled`` modes the user sees the logits in a secret order: it draws a place among them
and obtains the token that stands there; the owner does not see which. In mode ``secure`` nobody
sees logits: the user adds Gumbel noise to its share of them, as :mod:`veracity.graph.sampling` adds
it to the program's, and obtains the arg max of the sums. That works at the program's scales only,
and draws among all tokens.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from veracity.errors import UsageError
from veracity.graph import Program
from veracity.graph.sampling import MAX_TEMPERATURE, SEED_BYTES, THOUSANDTHS, check_scale
from veracity.graph.sampling import Sampling as _Drawn
from veracity.lm.text_decoder import check_drawable
from veracity.mpc.modes import find_mode
from veracity.mpc.token_selection.pick import Chooser, Noise, Pick

__all__ = ["Sampling", "centred"]


@dataclass(frozen=True)
class Sampling:
    """How to draw a token.

    Parameters
    ----------
    temperature : float
        Logits are divided by it: below 1 prefers likely tokens more, above 1 less. In mode
        ``secure`` from 0.001 to 4 with at most three digits after the point.
    top_k : int
        Draw among so many most likely tokens only; 0 means all, as mode ``secure`` always does.
    """

    temperature: float
    top_k: int = 0

    def __post_init__(self) -> None:
        if not (0 < self.temperature <= 100 and self.top_k >= 0):
            raise UsageError("a temperature is above 0 and at most 100, --top-k from 0")

    def chooser(self, program: Program, mode: str) -> Chooser:
        """A choice of tokens by fresh randomness.

        Parameters
        ----------
        program : Program
            A text decoder.
        mode : str
            How it is evaluated.

        Raises
        ------
        UnsupportedModelError
            The model caps its logits, which greedy answers need not know.
        UsageError
            The mode cannot draw so.
        """
        check_drawable(program)
        bits = find_mode(mode).noise_bits
        return Chooser(noise=self._noise(program, bits)) if bits else Chooser(self._pick(program))

    def _pick(self, program: Program) -> Pick:
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

    def _noise(self, program: Program, bits: int) -> Noise:
        """Draws noise of less than so many bits of the program's unit, its sign apart."""
        if self.top_k:
            raise UsageError(
                "in mode 'secure' nobody sees which tokens are most likely, so it draws among all; "
                "leave out --top-k"
            )
        thousandths = round(self.temperature * THOUSANDTHS)
        if thousandths / THOUSANDTHS != self.temperature or not 1 <= thousandths <= MAX_TEMPERATURE:
            raise UsageError(
                "in mode 'secure' a temperature is from 0.001 to 4, with at most three digits "
                "after the point"
            )
        exponent = program.exponents.get(program.ops[-1].name, -1)
        check_scale(_Drawn(bytes(SEED_BYTES), thousandths), exponent, bits + 1)

        def noise(position: int, vocabulary: int, exponent: int) -> NDArray[np.int64]:
            drawn = _Drawn(secrets.token_bytes(SEED_BYTES), thousandths)
            return centred(drawn.noise(position, vocabulary, exponent))

        return noise


def centred(noise: NDArray[np.int64]) -> NDArray[np.int64]:
    """The same noise but for a common summand, as small as possible: only differences count."""
    return noise - np.int64((int(noise.max()) + int(noise.min())) // 2)
