"""Causal multi-head attention with an exact softmax.

For head h, target t and visible source s <= t (d = head_dim, all integers):

    acc_z = q . k,  z = rhu(acc_z, score_shift),  m = max_s z,  e = EXP[m - z]
    S = sum_s e,  inv = floor(2^31 / S),  p = rhu(e inv, 16),  acc_y = sum_s p v
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from veracity.graph.exact import matmul, rhu
from veracity.graph.ops.base import (
    Array,
    Facts,
    Op,
    OpRule,
    Run,
    in_range,
    require,
    rounded,
    unchanged,
    within,
)
from veracity.graph.port import Dims
from veracity.graph.tables import exp_table

__all__ = ["RULES", "Attention", "Softmax", "softmax"]


@dataclass(frozen=True, kw_only=True)
class Attention(Op):
    """Causal attention; head ``h = kv * group + g``."""

    q: str
    k: str
    v: str
    kv_heads: int
    group: int
    head_dim: int
    score_shift: int
    exp_k: int
    mix_shift: int
    bits: int


@dataclass(frozen=True, kw_only=True)
class Softmax(Op):
    """``rhu(e floor(2^31 / sum e), 16)`` with ``e = EXP[max x - x]``: probabilities at 2^-15.

    ``EXP[d] = round(exp(-d 2^-exp_k) 2^15)``. The greatest entry of a row has 16 bits, and no
    other lies 2^16 or more below it.
    """

    x: str
    exp_k: int


def _shape(op: Attention, _facts: Facts, dims: Sequence[Dims]) -> Dims:
    q, k, v = dims
    require(all(len(d) == 2 for d in dims), op, "operands are not (positions, features)")
    require(q[0] == k[0] == v[0], op, "operands of different lengths")
    require(q[1] == op.kv_heads * op.group * op.head_dim, op, "q has another width")
    require(k[1] == v[1] == op.kv_heads * op.head_dim, op, "k or v has another width")
    return q


def _magnitude(
    op: Attention, facts: Facts, bounds: Sequence[int], dims: Sequence[Dims]
) -> tuple[int, int]:
    """A probability is at most ``2^15``."""
    length = dims[0][0]
    positions = facts.limits[length] if isinstance(length, str) else length
    scores = rounded(op.head_dim * bounds[0] * bounds[1], op.score_shift)
    mixed = rounded((positions << 15) * bounds[2], op.mix_shift)
    return 1 << (op.bits - 1), max(scores, mixed)


def softmax(
    op: Attention, acc_z: Array, visible: NDArray[np.bool_]
) -> tuple[Array, dict[str, Array]]:
    """Attention's weights from its scores, row by row.

    Parameters
    ----------
    op : Attention
        Shift of the scores and scale of the exponential.
    acc_z : int64 array, shape (..., sources)
        Accumulators ``q . k``.
    visible : bool array, broadcast to ``acc_z``
        Which sources a row may see, at least one each.

    Returns
    -------
    p : int64 array, shape of ``acc_z``
        Zero where not visible.
    details : dict
        ``m``, ``e``, ``inv`` and ``p``.

    Raises
    ------
    RangeError
        Where a greatest score needs more than 16 bits, or a row spans more than 2^16.
    """
    details = _shares(op, rhu(acc_z, op.score_shift), visible)
    return details["p"], details


def _shares(
    op: Attention | Softmax, z: Array, visible: NDArray[np.bool_] | np.bool_
) -> dict[str, Array]:
    """``m``, ``e``, ``inv`` and ``p`` of scores ``z``."""
    m = np.where(visible, z, np.iinfo(np.int64).min).max(axis=-1)
    in_range(op, m, 16)
    d = np.where(visible, m[..., None] - z, 0)
    within(op, d, 1 << 16)
    e = np.where(visible, exp_table(op.exp_k)[d], 0)
    inverse = (1 << 31) // e.sum(axis=-1)
    return {"m": m, "e": e, "inv": inverse, "p": rhu(e * inverse[..., None], 16)}


def attend(
    op: Attention, q: Array, k: Array, v: Array, start: int
) -> tuple[Array, dict[str, Array]]:
    """Queries at positions ``start ..`` against all keys.

    Parameters
    ----------
    op : Attention
        Heads, shifts, width.
    q : int64 array, shape (T, kv_heads * group * head_dim)
        Queries.
    k, v : int64 array, shape (S, kv_heads * head_dim)
        Keys and values, those of earlier positions included.
    start : int
        Position of the first query; a query sees the keys up to its own position.

    Returns
    -------
    y : int64 array, shape of ``q``
        The result.
    details : dict
        ``acc_z``, ``e`` and ``p`` (heads, T, S), ``m`` and ``inv`` (heads, T), ``acc_y`` (T, ..).

    Raises
    ------
    RangeError
    """
    tokens, sources = q.shape[0], k.shape[0]
    heads = op.kv_heads * op.group
    # (kv, group * T, d) @ (kv, d, S)
    q_rows = q.reshape(tokens, op.kv_heads, op.group, op.head_dim).transpose(1, 2, 0, 3)
    keys = k.reshape(sources, op.kv_heads, op.head_dim).transpose(1, 2, 0)
    acc_z = matmul(q_rows.reshape(op.kv_heads, -1, op.head_dim), keys)
    acc_z = acc_z.reshape(heads, tokens, sources)
    visible = np.arange(sources)[None, :] <= start + np.arange(tokens)[:, None]
    p, detail = softmax(op, acc_z, visible)
    values = v.reshape(sources, op.kv_heads, op.head_dim).transpose(1, 0, 2)
    mixed = matmul(p.reshape(op.kv_heads, -1, sources), values)
    mixed = mixed.reshape(op.kv_heads, op.group, tokens, op.head_dim).transpose(2, 0, 1, 3)
    acc_y = np.ascontiguousarray(mixed).reshape(tokens, heads * op.head_dim)
    y = in_range(op, rhu(acc_y, op.mix_shift), op.bits)
    return y, {"acc_z": acc_z, **detail, "acc_y": acc_y}


def _evaluate(op: Attention, run: Run, operands: Sequence[Array]) -> tuple[Array, dict[str, Array]]:
    q, k, v = operands
    state = run.state
    if state.position:
        before = state.cache[op.name]
        k, v = np.concatenate([before[0], k]), np.concatenate([before[1], v])
    state.cache[op.name] = (k, v)
    return attend(op, q, k, v, state.position)


def _softmax_shape(op: Softmax, _facts: Facts, dims: Sequence[Dims]) -> Dims:
    require(len(dims[0]) >= 2, op, "a softmax is over the last axis of several")
    n = dims[0][-1]
    require(isinstance(n, int) and n < 1 << 16, op, "a softmax over an axis that is not known")
    return dims[0]


def _softmax_magnitude(
    _op: Softmax, _facts: Facts, bounds: Sequence[int], _dims: Sequence[Dims]
) -> tuple[int, int]:
    return 1 << 15, max(2 * bounds[0], 1 << 32)


def _softmax(op: Softmax, _run: Run, operands: Sequence[Array]) -> tuple[Array, dict[str, Array]]:
    x = operands[0]
    details = _shares(op, x, np.True_)
    return details["p"], details


RULES: dict[type[Op], OpRule] = {
    Attention: OpRule(_shape, _magnitude, _evaluate),
    Softmax: OpRule(_softmax_shape, _softmax_magnitude, _softmax, over=unchanged),
}
