"""Rotary embeddings by integer tables (RoFormer, arXiv 2104.09864)."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from veracity.engine.api import Integers
from veracity.graph.exact import rhu
from veracity.graph.ops.base import Array, Facts, Op, OpRule, Run, in_range, require, rounded
from veracity.graph.port import Dims
from veracity.graph.tables import round_exactly
from veracity.records import record

__all__ = ["FREQUENCY_BITS", "RULES", "Rope", "Rotation", "rope_tables"]

#: Frequencies of pairs are integers times 2 to the minus this, in radians a position.
FREQUENCY_BITS = 48


@record(kw_only=True)
class Rope(Op):
    """Rotary embedding by integer tables at 2^-frac, then ``rhu(.., frac)``."""

    x: str
    heads: int
    head_dim: int
    style: str
    base: str
    frac: int
    bits: int


@record(kw_only=True)
class Rotation(Op):
    """A rotary embedding of which every pair has a frequency of its own, in units of 2^-48.

    A pair of frequency 0 stays as it is.
    """

    x: str
    heads: int
    head_dim: int
    style: str
    frequencies: tuple[int, ...]
    frac: int
    bits: int


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


@lru_cache(maxsize=8)
def _turned(
    frequencies: tuple[int, ...], frac: int, tokens: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    pairs, unit = len(frequencies), Decimal(2**FREQUENCY_BITS)
    turns = np.array(frequencies, dtype=np.float64) * 2.0**-FREQUENCY_BITS
    angle = np.arange(tokens)[:, None] * turns[None, :]
    out = []
    for which, values in enumerate((np.cos(angle), np.sin(angle))):
        table = round_exactly(
            values.reshape(-1) * 2.0**frac,
            lambda i, w=which: (
                _cos_sin(Decimal(i // pairs * frequencies[i % pairs]) / unit % _TWO_PI)[w]  # type: ignore[misc]
                * 2**frac
            ),
        ).reshape(tokens, pairs)
        table.setflags(write=False)
        out.append(table)
    return out[0], out[1]


def rope_tables(op: Rope | Rotation, tokens: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """``(cos, sin)`` as int64 (tokens, head_dim / 2), scaled by ``2^frac``."""
    if isinstance(op, Rotation):
        return _turned(op.frequencies, op.frac, tokens)
    return _tables(op.head_dim, op.base, op.frac, tokens)


def _is_base(text: str) -> bool:
    """A decimal number from 1 to 10^12."""
    digits = text.replace(".", "", 1)  # isdigit alone would let superscripts pass
    plain = digits.isascii() and digits.isdigit() and len(text) <= 32
    return plain and 1 <= float(text) <= 1e12


def _shape(op: Rope | Rotation, _facts: Facts, dims: Sequence[Dims]) -> Dims:
    require(op.style in ("interleaved", "half"), op, "unknown style")
    require(op.head_dim % 2 == 0, op, "odd head dimension")
    require(len(dims[0]) == 2, op, "input is not (positions, features)")
    require(dims[0][-1] == op.heads * op.head_dim, op, "input has another width")
    if isinstance(op, Rope):
        require(_is_base(op.base), op, "base is no number from 1 to 10^12")
    else:
        require(len(op.frequencies) == op.head_dim // 2, op, "not one frequency for every pair")
        turning = all(0 <= f <= 1 << FREQUENCY_BITS + 6 for f in op.frequencies)
        require(turning, op, "a frequency out of bounds")
    return dims[0]


def _magnitude(
    op: Rope | Rotation, _facts: Facts, bounds: Sequence[int], _dims: Sequence[Dims]
) -> tuple[int, int]:
    return 1 << (op.bits - 1), rounded(bounds[0] * 2 << op.frac, op.frac)


def rotate(op: Rope | Rotation, x: Array, start: int, integers: Integers | None = None) -> Array:
    """The rotation of rows at positions ``start ..``, rescaled; ranges are not checked.

    Parameters
    ----------
    op : Rope or Rotation
        Heads, frequencies and scale of the tables.
    x : int64 array, shape (positions, heads * head_dim)
        What is rotated.
    start : int
        Position of the first row.
    integers : Integers, optional
        The engine that rounds; NumPy where not given.

    Returns
    -------
    int64 array, shape of ``x``
    """
    tokens = x.shape[0]
    cos, sin = (t[start:] for t in rope_tables(op, start + tokens))
    heads = x.reshape(tokens, op.heads, op.head_dim)
    out = np.empty_like(heads)
    half = op.head_dim // 2
    first = np.s_[..., 0::2] if op.style == "interleaved" else np.s_[..., :half]
    second = np.s_[..., 1::2] if op.style == "interleaved" else np.s_[..., half:]
    a, b, c, s = heads[first], heads[second], cos[:, None, :], sin[:, None, :]
    for turned, one, two in ((out[first], c, -s), (out[second], s, c)):
        np.multiply(a, one, out=turned)
        turned += b * two
    return rhu(out.reshape(tokens, -1), op.frac, integers)


def _evaluate(
    op: Rope | Rotation, run: Run, operands: Sequence[Array]
) -> tuple[Array, dict[str, Array]]:
    found = rotate(op, operands[0], run.state.position, run.integers)
    return in_range(op, found, op.bits), {}


_RULE = OpRule(_shape, _magnitude, _evaluate)
RULES: dict[type[Op], OpRule] = {Rope: _RULE, Rotation: _RULE}
