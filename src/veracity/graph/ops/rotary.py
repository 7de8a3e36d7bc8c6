"""Integer tables of rotary embeddings (RoFormer, arXiv 2104.09864)."""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from veracity.graph.ops.description import Rope
from veracity.graph.tables import round_exactly

__all__ = ["rope_tables"]

_TWO_PI = Decimal("6.28318530717958647692528676655900576839433879875021164194988918")


def _angle(position: int, pair: int, head_dim: int, base: str) -> Decimal:
    """``position * base^(-2 pair / head_dim)`` reduced modulo 2 pi."""
    frequency = (-Decimal(2 * pair) / Decimal(head_dim) * Decimal(base).ln()).exp()
    return (Decimal(position) * frequency) % _TWO_PI


def _cos_sin(angle: Decimal) -> tuple[Decimal, Decimal]:
    """Maclaurin series."""
    cos, sin, term, n = Decimal(0), Decimal(0), Decimal(1), 0
    while abs(term) > Decimal(10) ** -45:
        sign = 1 if n % 4 < 2 else -1
        if n % 2 == 0:
            cos += sign * term
        else:
            sin += sign * term
        n += 1
        term *= angle / n
    return cos, sin


@lru_cache(maxsize=32)
def _tables(
    head_dim: int, base: str, frac: int, tokens: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    pairs = head_dim // 2
    frequency = float(base) ** (-2.0 * np.arange(pairs) / head_dim)
    angle = np.arange(tokens)[:, None] * frequency[None, :]
    out = []
    for which, values in enumerate((np.cos(angle), np.sin(angle))):
        table = round_exactly(
            values.reshape(-1) * 2.0**frac,
            lambda i, w=which: (
                _cos_sin(_angle(i // pairs, i % pairs, head_dim, base))[w]  # type: ignore[misc]
                * 2**frac
            ),
        ).reshape(tokens, pairs)
        table.setflags(write=False)
        out.append(table)
    return out[0], out[1]


def rope_tables(op: Rope, tokens: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """``(cos, sin)`` as int64 (tokens, head_dim / 2), scaled by ``2^frac``."""
    return _tables(op.head_dim, op.base, op.frac, tokens)
