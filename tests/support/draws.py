"""Exact distributions of drawn tokens, from the tables of the noise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from veracity.graph.gumbel import FRACTION, tables


def distribution(temperature: int, exponent: int) -> tuple[int, np.ndarray]:
    """Least noise, and the probability that noise is at most that plus k, from the tables."""
    low, high = tables()
    numbers = np.arange(len(low), dtype=np.int64)
    dropped = np.maximum((numbers >> 11) - 1, 0)
    share = 2.0 ** (dropped - 32.0)  # of the uniform integers that are in a cell
    unit = 1000 << FRACTION
    noise = np.concatenate([low, high]) * (2 * temperature << exponent)
    noise = (noise + unit) // (2 * unit)
    least = int(noise.min())
    masses = np.bincount(noise - least, weights=np.concatenate([share, share]))
    return least, np.cumsum(masses)


def chances(
    groups: Sequence[tuple[int, int]],
    temperature: int,
    exponent: int,
    orders: tuple[int, ...] = (1, -1),
) -> np.ndarray:
    """The chance of each group of tokens, (score, how many), in order of their ids.

    Ties go to the lower token (order 1), to the higher one (-1), or half of them to either.
    """
    least, rising = distribution(temperature, exponent)
    top = max(score for score, _ in groups)
    size = len(rising) + top - min(score for score, _ in groups) + 2
    places = np.arange(size) + least + min(score for score, _ in groups) - 1

    def below(score: int, bound: np.ndarray) -> np.ndarray:
        """Chance that noise and score do not exceed a bound."""
        at = np.clip(bound - score - least, -1, len(rising) - 1)
        return np.where(at < 0, 0.0, rising[np.maximum(at, 0)])

    total = np.zeros(len(groups))
    for order in orders:
        listed = groups[::order]
        for i, (score, count) in enumerate(listed):
            won = below(score, places) ** count - below(score, places - 1) ** count
            for j, (other, many) in enumerate(listed):
                if j != i:
                    won = won * below(other, places - 1 if j < i else places) ** many
            total[i if order == 1 else len(groups) - 1 - i] += won.sum() / len(orders)
    return total
