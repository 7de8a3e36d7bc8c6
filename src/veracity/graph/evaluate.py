"""The integer meaning of a program, exact and fast, in one pass or token by token.

Attention, for head h, target t and visible source s <= t (d = head_dim, all integers):

    acc_z = q . k,  z = rhu(acc_z, score_shift),  m = max_s z,  e = EXP[m - z]
    S = sum_s e,  inv = floor(2^31 / S),  p = rhu(e inv, 16),  acc_y = sum_s p v
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from veracity.errors import RangeError, UsageError
from veracity.graph.exact import linear, matmul, rhu
from veracity.graph.ops import (
    Add,
    Attention,
    Embed,
    Function,
    Gain,
    Head,
    Linear,
    Mul,
    Norm,
    Op,
    Positions,
    Rescale,
    Rope,
    rope_tables,
)
from veracity.graph.program import Program
from veracity.graph.tables import exp_table, function_table

__all__ = [
    "State",
    "Trace",
    "check_tokens",
    "execute",
    "pointwise",
    "rescaled",
    "scores",
    "softmax",
    "step",
]

Array = NDArray[np.int64]
_REMEDY = "calibrate again with text like this input (veracity calibrate --text FILE)"


@dataclass(frozen=True)
class Trace:
    """One execution.

    Attributes
    ----------
    values : dict
        Result of every op, (T, features).
    details : dict
        Intermediates of an op by key, for the prover.
    output : list of int
        The answer: one token per head row.
    """

    values: dict[str, Array] = field(repr=False)
    details: dict[str, dict[str, Array]] = field(repr=False)
    output: list[int]


@dataclass
class State:
    """What decoding remembers between tokens: rotated keys and values by Attention op."""

    position: int = 0
    keys: dict[str, Array] = field(default_factory=dict)
    values: dict[str, Array] = field(default_factory=dict)


def _in_range(op: Op, y: Array, bits: int) -> Array:
    limit = 1 << (bits - 1)
    if y.size and (int(y.min()) < -limit or int(y.max()) >= limit):
        raise RangeError(op.name, _REMEDY)
    return y


def _norm(op: Norm, x: Array) -> tuple[Array, Array]:
    """``(result, rho)``; the row sums may need more than 64 bits."""
    d = x.shape[1]
    c = x if op.kind == "rms" else d * x - x.sum(axis=1, keepdims=True)
    if c.size and int(np.abs(x).max()) >= 1 << op.x_bits:
        raise RangeError(op.name, _REMEDY)
    largest = int(np.abs(c).max()) if c.size else 0
    squares = (
        (c * c).sum(axis=1)
        if d * largest * largest < 1 << 62
        else ((c.astype(object) ** 2).sum(axis=1))
    )
    rho = np.asarray([isqrt(op.constant // (int(m) + op.eps)) for m in squares], dtype=np.int64)
    if rho.size and int(rho.max()) * max(1, largest) >= 1 << 62:
        raise RangeError(op.name, _REMEDY)
    return rhu(c * rho[:, None], op.shift), rho


def _rope(op: Rope, x: Array, start: int) -> Array:
    tokens = x.shape[0]
    cos, sin = (t[start:] for t in rope_tables(op, start + tokens))
    heads = x.reshape(tokens, op.heads, op.head_dim)
    out = np.empty_like(heads)
    half = op.head_dim // 2
    first = np.s_[..., 0::2] if op.style == "interleaved" else np.s_[..., :half]
    second = np.s_[..., 1::2] if op.style == "interleaved" else np.s_[..., half:]
    a, b, c, s = heads[first], heads[second], cos[:, None, :], sin[:, None, :]
    out[first], out[second] = a * c - b * s, a * s + b * c
    return rhu(out.reshape(tokens, -1), op.frac)


def softmax(
    op: Attention, acc_z: Array, visible: NDArray[np.bool_]
) -> tuple[Array, dict[str, Array]]:
    """Attention's weights from its scores, row by row.

    Parameters
    ----------
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
    z = rhu(acc_z, op.score_shift)
    m = np.where(visible, z, np.iinfo(np.int64).min).max(axis=-1)
    _in_range(op, m, 16)
    d = np.where(visible, m[..., None] - z, 0)
    if d.size and int(d.max()) >= 1 << 16:
        raise RangeError(op.name, _REMEDY)
    e = np.where(visible, exp_table(op.exp_k)[d], 0)
    inverse = (1 << 31) // e.sum(axis=-1)
    p = rhu(e * inverse[..., None], 16)
    return p, {"m": m, "e": e, "inv": inverse, "p": p}


def rescaled(op: Linear | Head, acc: Array) -> Array:
    """What an accumulator means: ``rhu(acc, shift)`` in its range.

    Raises
    ------
    RangeError
    """
    return _in_range(op, rhu(acc, op.shift), 16 if isinstance(op, Head) else op.bits)


def pointwise(op: Op, values: Mapping[str, Array]) -> Array:
    """The result of an op that needs no weights and no positions.

    These act on single elements (Add, Rescale, Mul, Function) or on single rows (Norm) and do not
    depend on the order of either.

    Raises
    ------
    RangeError
    UsageError
        For any other op.
    """
    if not isinstance(op, Add | Rescale | Mul | Function | Norm):
        raise UsageError(f"{op.name}: {type(op).__name__} is more than a function of each row")
    return _apply(op, values, {}, np.zeros(0, dtype=np.int64), State())[0]


def _attention(
    op: Attention, q: Array, k: Array, v: Array, start: int
) -> tuple[Array, dict[str, Array]]:
    """Queries at positions ``start ..`` against all keys; details are (heads, T, S)."""
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
    y = _in_range(op, rhu(acc_y, op.mix_shift), op.bits)
    return y, {"acc_z": acc_z, **detail, "acc_y": acc_y}


def _head(op: Head, x: Array, weight: NDArray[np.integer]) -> tuple[list[int], Array]:
    acc = linear(x, weight)
    return [int(t) for t in rescaled(op, acc).argmax(axis=1)], acc


def _apply(
    op: Op,
    values: Mapping[str, Array],
    weights: Mapping[str, NDArray[np.integer]],
    tokens: Array,
    state: State,
) -> tuple[Array, dict[str, Array]]:
    """One op on the rows at positions ``state.position ..``; not for Head."""
    if isinstance(op, Embed):
        return weights[op.table][tokens].astype(np.int64), {}
    if isinstance(op, Positions):
        rows = weights[op.table][state.position : state.position + len(tokens)]
        return rows.astype(np.int64), {}
    if isinstance(op, Add):
        return (values[op.a] << op.shift_a) + (values[op.b] << op.shift_b), {}
    if isinstance(op, Rescale):
        return _in_range(op, rhu(values[op.x], op.shift), op.bits), {}
    if isinstance(op, Linear):
        acc = linear(values[op.x], weights[op.weight])
        if op.bias is not None:
            acc += weights[op.bias].astype(np.int64)
        return rescaled(op, acc), {"acc": acc}
    if isinstance(op, Norm):
        y, rho = _norm(op, values[op.x])
        return _in_range(op, y, op.bits), {"rho": rho}
    if isinstance(op, Rope):
        return _in_range(op, _rope(op, values[op.x], state.position), op.bits), {}
    if isinstance(op, Attention):
        k, v = values[op.k], values[op.v]
        if state.position:
            k = np.concatenate([state.keys[op.name], k])
            v = np.concatenate([state.values[op.name], v])
        state.keys[op.name], state.values[op.name] = k, v
        return _attention(op, values[op.q], k, v, state.position)
    if isinstance(op, Function):
        x = _in_range(op, values[op.x], 16)
        return function_table(op.fn, op.k_in, op.k_out)[x + (1 << 15)], {}
    if isinstance(op, Mul):
        return _in_range(op, rhu(values[op.a] * values[op.b], op.shift), op.bits), {}
    if isinstance(op, Gain):
        acc = values[op.x] * weights[op.weight].astype(np.int64)
        if op.bias is not None:
            acc += weights[op.bias].astype(np.int64)
        return _in_range(op, rhu(acc, op.shift), op.bits), {"acc": acc}
    raise UsageError(f"{op.name}: op {type(op).__name__} has no meaning here")


def execute(
    program: Program,
    weights: Mapping[str, NDArray[np.integer]],
    tokens: Sequence[int],
    prompt_length: int,
    span: tuple[int, int] | None = None,
    given: Mapping[str, Array] | None = None,
) -> Trace:
    """Run all positions in one causal pass, through all ops or some.

    Parameters
    ----------
    tokens : sequence of int
        Input tokens, (T,).
    prompt_length : int
        P; the answer has ``T - P + 1`` tokens, one per row ``P-1 .. T-1``.
    span : tuple of int, optional
        Run ops ``start .. stop-1`` only; the answer is empty where the head is not among them.
    given : mapping, optional
        Results of earlier ops that these read.

    Raises
    ------
    RangeError
        If a value leaves its calibrated range.
    UsageError
        If the tokens do not fit the program.
    """
    check_tokens(program, tokens)
    if not 1 <= prompt_length <= len(tokens):
        raise UsageError("the prompt needs at least one token")
    array, state = np.asarray(tokens, dtype=np.int64), State()
    values: dict[str, Array] = dict(given or {})
    details: dict[str, dict[str, Array]] = {}
    output: list[int] = []
    start, stop = (0, len(program.ops)) if span is None else span
    for op in program.ops[start:stop]:
        if isinstance(op, Head):
            output, acc = _head(op, values[op.x][prompt_length - 1 :], weights[op.weight])
            details[op.name] = {"acc": acc}
        else:
            values[op.name], details[op.name] = _apply(op, values, weights, array, state)
    return Trace(values, details, output)


def scores(
    program: Program, weights: Mapping[str, NDArray[np.integer]], tokens: Sequence[int]
) -> Array:
    """The rescaled logits at every position, (T, vocab); keeps no intermediates."""
    check_tokens(program, tokens)
    array, state = np.asarray(tokens, dtype=np.int64), State()
    last = {name: i for i, op in enumerate(program.ops) for name in op.inputs()}
    values: dict[str, Array] = {}
    for i, op in enumerate(program.ops):
        if isinstance(op, Head):
            return rescaled(op, linear(values[op.x], weights[op.weight]))
        values[op.name], _ = _apply(op, values, weights, array, state)
        for name in op.inputs():
            if last[name] == i:
                values.pop(name, None)
    raise UsageError("the program has no head")


def step(
    program: Program,
    weights: Mapping[str, NDArray[np.integer]],
    tokens: Sequence[int],
    state: State,
) -> int:
    """Feed more tokens; returns the greedy next token. Updates ``state``."""
    array = np.asarray(tokens, dtype=np.int64)
    values: dict[str, Array] = {}
    answer = -1
    for op in program.ops:
        if isinstance(op, Head):
            answer = _head(op, values[op.x][-1:], weights[op.weight])[0][0]
        else:
            values[op.name], _ = _apply(op, values, weights, array, state)
    state.position += len(tokens)
    return answer


def check_tokens(program: Program, tokens: Sequence[int]) -> None:
    """Raise UsageError unless the tokens fit the context and the vocabulary."""
    if not 1 <= len(tokens) <= program.context:
        raise UsageError(f"{len(tokens)} tokens do not fit the context of {program.context}")
    if any(not 0 <= t < program.vocab for t in tokens):
        raise UsageError("a token id is outside the vocabulary")
