"""Matrices of discrete Fourier transforms in integers (:mod:`veracity.graph.wires`)."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from veracity.errors import UsageError
from veracity.graph.functions import PI, find_function
from veracity.graph.tables import round_exactly

__all__ = ["fourier_matrix"]

#: Longest axis that is transformed.
MAX_TRANSFORM = 1 << 10


def fourier_matrix(kind: str, n: int, numbers: Sequence[int]) -> NDArray[np.int64]:
    """The matrix that ``dft`` or ``idft`` multiplies an axis by.

    Parameters
    ----------
    kind : str
        Which of them.
    n : int
        Length of the axis.
    numbers : sequence of int
        The step's.

    Raises
    ------
    UsageError
        Where the numbers do not fit.
    """
    inverse = kind == "idft"
    if len(numbers) != 3 + inverse:
        raise UsageError(f"{kind} has other numbers")
    part, half, scale = numbers[:3]
    length = numbers[3] if inverse else n
    fits = part in (0, 1) and half in (0, 1) and 1 <= scale <= 16
    if not fits or not 1 <= length <= MAX_TRANSFORM:
        raise UsageError("no such transform")
    frequencies = length // 2 + 1 if half else length
    if inverse and n != frequencies:
        raise UsageError("a transform of another length")
    turns = np.arange(frequencies)[:, None] * np.arange(length)[None] % length
    matrix = _waves(part, scale, length)[turns]
    if inverse and half:
        matrix[1 : (length + 1) // 2] *= 2
    matrix = np.ascontiguousarray(matrix.T if inverse else matrix)
    matrix.setflags(write=False)
    return matrix


@lru_cache(maxsize=64)
def _waves(part: int, scale: int, length: int) -> NDArray[np.int64]:
    """One turn of a cosine or a sine over ``sqrt(length)``, the same on every machine."""
    angles = np.arange(length) * (2 * np.pi / length)
    size = 2.0**scale / np.sqrt(length)
    exact = find_function(("cos", "sin")[part])[1]

    def entry(i: int) -> Decimal:
        return exact(2 * PI * i / length) * (1 << scale) / Decimal(length).sqrt()

    return round_exactly(np.asarray((np.cos, np.sin)[part](angles) * size), entry)
