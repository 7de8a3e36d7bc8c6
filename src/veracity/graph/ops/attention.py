"""Causal multi-head attention with an exact softmax.

For head h, target t and visible source s <= t (d = head_dim, all integers):

    acc_z = q . k,  z = rhu(acc_z, score_shift),  m = max_s z,  e = EXP[m - z]
    S = sum_s e,  inv = floor(2^31 / S),  p = rhu(e inv, 16),  acc_y = sum_s p v

Where scores are adjusted: ``acc_z = q . k - slope_h (t - s)``, ``z = CAP[rhu(acc_z, score_shift)]``
less :data:`FAR` for sources beyond the window, whose exponentials are thereby zero.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from veracity.engine.api import Integers
from veracity.errors import UsageError
from veracity.graph.exact import matmul, rhu
from veracity.graph.functions import find_function
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
from veracity.graph.tables import exp_table, function_table
from veracity.records import record

__all__ = ["FAR", "RULES", "AdjustedAttention", "Attention", "Softmax", "cap_of", "softmax"]

#: What a score beyond the window is less: every exponential of a distance about this is zero.
FAR = 1 << 15


@record(kw_only=True)
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


@record(kw_only=True)
class AdjustedAttention(Attention):
    """Attention whose scores are adjusted.

    ``slopes`` (one for each head, or none) are what a step of distance takes from an accumulator;
    ``cap`` is ``c`` of a soft cap as decimal text, or empty; ``window`` is how many sources a row
    sees, itself included, 0 for all.
    """

    slopes: tuple[int, ...]
    cap: str
    window: int

    def tables(self) -> tuple[tuple[str, int, int], ...]:
        """The cap's, if any."""
        return ((cap_of(self), self.exp_k, self.exp_k),) if self.cap else ()


@record(kw_only=True)
class Softmax(Op):
    """``rhu(e floor(2^31 / sum e), 16)`` with ``e = EXP[max x - x]``: probabilities at 2^-15.

    ``EXP[d] = round(exp(-d 2^-exp_k) 2^15)``. The greatest entry of a row has 16 bits, and no
    other lies 2^16 or more below it.
    """

    x: str
    exp_k: int


def cap_of(op: AdjustedAttention) -> str:
    """The function that scores go through."""
    return f"softcap({op.cap})"


def _shape(op: Attention, _facts: Facts, dims: Sequence[Dims]) -> Dims:
    q, k, v = dims
    require(all(len(d) == 2 for d in dims), op, "operands are not (positions, features)")
    require(q[0] == k[0] == v[0], op, "operands of different lengths")
    require(q[1] == op.kv_heads * op.group * op.head_dim, op, "q has another width")
    require(k[1] == v[1] == op.kv_heads * op.head_dim, op, "k or v has another width")
    if isinstance(op, AdjustedAttention):
        every = op.kv_heads * op.group
        require(len(op.slopes) in (0, every), op, "not one slope for every head")
        require(all(0 <= s < 1 << 40 for s in op.slopes), op, "a slope out of bounds")
        require(0 <= op.window <= 1 << 16, op, "a window out of bounds")
        require(bool(op.slopes or op.cap or op.window), op, "adjusts nothing")
        if op.cap:
            try:
                find_function(cap_of(op))
            except UsageError as error:
                raise UsageError(f"{op.name}: {error}") from error
    return q


def _magnitude(
    op: Attention, facts: Facts, bounds: Sequence[int], dims: Sequence[Dims]
) -> tuple[int, int]:
    """A probability is at most ``2^15``."""
    length = dims[0][0]
    positions = facts.limits[length] if isinstance(length, str) else length
    products = op.head_dim * bounds[0] * bounds[1]
    if isinstance(op, AdjustedAttention):
        products += max(op.slopes, default=0) * positions
    scores = rounded(products, op.score_shift)
    mixed = rounded((positions << 15) * bounds[2], op.mix_shift)
    return 1 << (op.bits - 1), max(scores, mixed)


def softmax(
    op: Attention,
    acc_z: Array,
    visible: NDArray[np.bool_],
    integers: Integers | None = None,
) -> tuple[Array, dict[str, Array]]:
    """Attention's weights from its scores, row by row.

    Parameters
    ----------
    op : Attention
        Shift of the scores and scale of the exponential.
    acc_z : int64 array, shape (..., sources)
        Accumulators ``q . k``.
    visible : bool array, broadcast to ``acc_z``
        Which sources a row may see, at least one each; (targets, sources), the first ones of each
        row, where scores are adjusted.
    integers : Integers, optional
        The engine that rounds; NumPy where not given.

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
    z = rhu(acc_z, op.score_shift, integers)
    details = _shares(op, _adjusted(op, z, visible), visible)
    return details["p"], details


def _shares(
    op: Attention | Softmax, z: Array, visible: NDArray[np.bool_] | np.bool_
) -> dict[str, Array]:
    """``m``, ``e``, ``inv`` and ``p`` of scores ``z``."""
    m, inverse = np.empty(z.shape[:-1], np.int64), np.empty(z.shape[:-1], np.int64)
    e, p = np.empty(z.shape, np.int64), np.empty(z.shape, np.int64)
    seen = np.broadcast_to(visible, z.shape)
    if z.ndim < 3:
        _share_rows(op, z, seen, (m, e, inverse, p))
    else:  # one head after the other: what is between then stays in the cache
        for i in range(len(z)):
            _share_rows(op, z[i], seen[i], (m[i], e[i], inverse[i], p[i]))
    return {"m": m, "e": e, "inv": inverse, "p": p}


def _share_rows(
    op: Attention | Softmax,
    z: Array,
    visible: NDArray[np.bool_],
    out: tuple[Array, Array, Array, Array],
) -> None:
    """``m``, ``e``, ``inv`` and ``p`` of some rows, written where they belong."""
    m, e, inverse, p = out
    np.where(visible, z, np.iinfo(np.int64).min).max(axis=-1, out=m)
    in_range(op, m, 16)
    hidden = ~visible
    d = np.subtract(m[..., None], z, out=p)
    np.copyto(d, 0, where=hidden)
    within(op, d, 1 << 16)
    exp_table(op.exp_k).take(d, out=e, mode="wrap")  # every index is below its length
    np.copyto(e, 0, where=hidden)
    np.floor_divide(1 << 31, e.sum(axis=-1), out=inverse)
    np.multiply(e, inverse[..., None], out=p)
    p += 1 << 15
    p >>= 16


def _adjusted(op: Attention, z: Array, visible: NDArray[np.bool_]) -> Array:
    """Scores as the softmax takes them; the last two axes are targets and sources."""
    if not isinstance(op, AdjustedAttention):
        return z
    if op.cap:
        z = in_range(op, np.where(visible, z, 0), 16)
        z = function_table(cap_of(op), op.exp_k, op.exp_k)[z + (1 << 15)]
    if op.window:
        last = visible.sum(axis=1)[:, None] - 1
        z = z - FAR * (np.arange(visible.shape[1])[None, :] <= last - op.window)
    return z


def attend(
    op: Attention, q: Array, k: Array, v: Array, start: int, integers: Integers | None = None
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
    integers : Integers, optional
        The engine that rounds; NumPy where not given.

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
    if isinstance(op, AdjustedAttention) and op.slopes:
        distance = start + np.arange(tokens)[:, None] - np.arange(sources)[None, :]
        acc_z = acc_z - np.asarray(op.slopes, dtype=np.int64)[:, None, None] * distance
    visible = np.arange(sources)[None, :] <= start + np.arange(tokens)[:, None]
    p, detail = softmax(op, acc_z, visible, integers)
    values = v.reshape(sources, op.kv_heads, op.head_dim).transpose(1, 0, 2)
    mixed = matmul(p.reshape(op.kv_heads, -1, sources), values)
    mixed = mixed.reshape(op.kv_heads, op.group, tokens, op.head_dim).transpose(2, 0, 1, 3)
    acc_y = np.ascontiguousarray(mixed).reshape(tokens, heads * op.head_dim)
    y = in_range(op, rhu(acc_y, op.mix_shift, integers), op.bits)
    return y, {"acc_z": acc_z, **detail, "acc_y": acc_y}


def _evaluate(op: Attention, run: Run, operands: Sequence[Array]) -> tuple[Array, dict[str, Array]]:
    q, k, v = operands
    state = run.state
    if state.position:
        before = state.cache[op.name]
        k, v = np.concatenate([before[0], k]), np.concatenate([before[1], v])
    state.cache[op.name] = (k, v)
    y, details = attend(op, q, k, v, state.position, run.integers)
    del details["p"]  # as large as all others, and it follows from e and inv
    return y, details


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


_RULE = OpRule(_shape, _magnitude, _evaluate)
RULES: dict[type[Op], OpRule] = {
    Attention: _RULE,
    AdjustedAttention: _RULE,
    Softmax: OpRule(_softmax_shape, _softmax_magnitude, _softmax, over=unchanged),
}
