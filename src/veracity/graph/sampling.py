"""Sampling as arithmetic: the token is the arg max of scores plus public noise.

If g(v) are independent Gumbel variables, the arg max over v of ``z(v) + T g(v)`` has the
distribution ``softmax(z / T)`` (Gumbel 1954; Maddison, Tarlow and Minka 2014, arXiv:1411.0030). The
noise comes from a seed, so that whoever knows the seed knows it: sampling becomes a function.

The noise of token v at position t is a function of seed, t and v alone, whatever the length of the
prompt, of the answer, or the cuts of a proof. Scores are integers, so ties happen; were they always
to go to the lower token, lower tokens would gain. So a bit of every position says whether they
go to the lower or to the higher one, and over both the advantage cancels.
"""

from __future__ import annotations

import hashlib
from dataclasses import field

import numpy as np
from numpy.typing import NDArray

from veracity.errors import UsageError
from veracity.graph.gumbel import FRACTION, gumbel
from veracity.records import record

__all__ = ["MAX_TEMPERATURE", "THOUSANDTHS", "Sampling", "check_scale"]

#: Temperatures are whole numbers of thousandths.
THOUSANDTHS = 1000
MAX_TEMPERATURE = 4 * THOUSANDTHS
#: Scores have at most so many bits after the point.
MAX_EXPONENT = 24
#: No Gumbel noise from 32-bit integers is larger; no two differ by more.
LARGEST, SPAN = 23, 27
#: Most bits by which noise may widen the distances between scores in a proof.
MAX_SPAN_BITS = 20
SEED_BYTES = 32
_DOMAIN = b"veracity sampling noise v1"


def check_scale(sampling: Sampling, exponent: int, bits: int = MAX_SPAN_BITS) -> None:
    """Raise :class:`UsageError` unless there is noise at this scale, and not too much of it.

    Parameters
    ----------
    sampling : Sampling
        How tokens are drawn.
    exponent : int
        Exponent of the scores.
    bits : int
        Most bits by which noise may widen the distances between scores.
    """
    check_exponent(exponent)
    if sampling.span(exponent).bit_length() > bits:
        raise UsageError(
            "this temperature is too high for the scale of the model's scores; give a lower one"
        )


def check_exponent(exponent: int) -> None:
    """Raise :class:`UsageError` unless there is noise at this scale."""
    if not 0 <= exponent <= MAX_EXPONENT:
        raise UsageError("scores of this scale cannot be sampled from; calibrate again")


@record
class Sampling:
    """How tokens are drawn.

    Attributes
    ----------
    seed : bytes
        32 bytes; public.
    temperature : int
        In thousandths, 1 .. 4000.
    """

    seed: bytes = field(repr=False)
    temperature: int

    def __post_init__(self) -> None:
        if len(self.seed) != SEED_BYTES or not 1 <= self.temperature <= MAX_TEMPERATURE:
            raise UsageError("sampling needs a seed of 32 bytes and a temperature of 0.001 .. 4")

    def encode(self) -> bytes:
        """Canonical encoding."""
        return _DOMAIN + self.temperature.to_bytes(4, "little") + self.seed

    def noise(self, position: int, vocabulary: int, exponent: int) -> NDArray[np.int64]:
        """``round(2^exponent T g(v))`` for every token v, at one position.

        Parameters
        ----------
        position : int
            Position of the last token that was read, from 0.
        vocabulary : int
            Number of tokens.
        exponent : int
            The scores stand for integers times ``2^-exponent``.

        Returns
        -------
        int64 array, shape (vocabulary,)

        Raises
        ------
        UsageError
            No noise has such an exponent.
        """
        check_exponent(exponent)
        words = self._words(position, vocabulary)[1:]
        unit = THOUSANDTHS << FRACTION
        scaled = gumbel(words) * (2 * self.temperature << exponent)
        return (scaled + unit) // (2 * unit)

    def largest(self, exponent: int) -> int:
        """What noise does not exceed in magnitude."""
        return 1 + (self.temperature * LARGEST << exponent) // THOUSANDTHS

    def span(self, exponent: int) -> int:
        """By how much two tokens' noise differs at most."""
        return 2 + (self.temperature * SPAN << exponent) // THOUSANDTHS

    def reverses(self, position: int) -> bool:
        """Whether ties at a position go to the higher token."""
        return bool(self._words(position, 0)[0] & 1)

    def pick(self, scores: NDArray[np.int64], first: int, exponent: int) -> NDArray[np.int64]:
        """The tokens that are drawn.

        Parameters
        ----------
        scores : int64 array, shape (rows, vocabulary)
            Scores at successive positions.
        first : int
            Position of the first row.
        exponent : int
            Exponent of the scores.

        Returns
        -------
        int64 array, shape (rows,)
        """
        rows, vocabulary = scores.shape
        out = np.empty(rows, dtype=np.int64)
        for row in range(rows):
            noisy = scores[row] + self.noise(first + row, vocabulary, exponent)
            if self.reverses(first + row):
                out[row] = vocabulary - 1 - int(noisy[::-1].argmax())
            else:
                out[row] = int(noisy.argmax())
        return out

    def _words(self, position: int, count: int) -> NDArray[np.uint32]:
        """One word for ties, then ``count`` words, one for each token."""
        stream = hashlib.shake_256(self.encode() + position.to_bytes(8, "little"))
        return np.frombuffer(stream.digest(4 * (count + 1)), dtype="<u4").astype(np.uint32)
