"""Rotary embeddings of an opened value: the same public rotation of the value and of its mask.

``R (c - r) = R c - R r`` for the integer tables R at ``2^-frac``; both sides are rounded on their
own. No message, no material. Error: below one unit, from rounding twice.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from veracity.graph.ops import Rope, Rotation, rope_tables
from veracity.mpc.party import Array

__all__ = ["rotate"]

Integers = NDArray[np.int64]

#: c and r have up to 63 bits; a rotation of the lower bits and one of the upper fit 64.
_LOW = 24


def rotate(op: Rope | Rotation, x: Array, start: int) -> Array:
    """Rotate rows at positions ``start ..``; x is uint64 (tokens, heads * head_dim).

    Parameters
    ----------
    op : Rope or Rotation
        Heads, style and frequencies.
    x : uint64 array
        (tokens, heads * head_dim).
    start : int
        Position of the first row.
    """
    tokens = x.shape[0]
    cos, sin = (t[start:] for t in rope_tables(op, start + tokens))
    signed = np.ascontiguousarray(x).view(np.int64)
    high, low = signed >> _LOW, signed & ((1 << _LOW) - 1)
    upper = _turn(op, high, cos, sin) << (_LOW - op.frac)
    lower = (_turn(op, low, cos, sin) + (1 << (op.frac - 1))) >> op.frac
    return np.asarray(upper + lower).view(np.uint64)


def _turn(op: Rope | Rotation, x: Integers, cos: Integers, sin: Integers) -> Integers:
    heads = x.reshape(x.shape[0], op.heads, op.head_dim)
    out = np.empty_like(heads)
    half = op.head_dim // 2
    first = np.s_[..., 0::2] if op.style == "interleaved" else np.s_[..., :half]
    second = np.s_[..., 1::2] if op.style == "interleaved" else np.s_[..., half:]
    a, b, c, s = heads[first], heads[second], cos[:, None, :], sin[:, None, :]
    out[first], out[second] = a * c - b * s, a * s + b * c
    return out.reshape(x.shape)
