"""What every op means, over unbounded integers: written from the formulas, with Python's integers.

``MEANINGS[op class](op, operands, weights)`` takes object arrays and returns an :class:`Outcome`:
the result, everything that is computed on the way, and whether the op's ranges hold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from math import isqrt
from typing import Any

import numpy as np

from veracity.graph import ops
from veracity.graph.ops.rotary import rope_tables
from veracity.graph.tables import exp_table, function_table
from veracity.graph.wires import apply_wire

Object = Any  # an array of Python's integers


@dataclass
class Outcome:
    """The result of one op, every integer on the way, and whether its ranges hold."""

    value: Object = None
    held: list[Object] = field(default_factory=list)
    fits: bool = True

    def hold(self, x: Object) -> Object:
        """Note what is computed on the way."""
        self.held.append(np.asarray(x, dtype=object))
        return x

    def within(self, x: Object, low: int, high: int) -> Object:
        """Note a range, ``low <= x < high``."""
        flat = np.asarray(x, dtype=object).reshape(-1)
        self.fits = self.fits and all(low <= v < high for v in flat)
        return x

    def rescale(self, acc: Object, shift: int, bits: int = 16) -> Outcome:
        """Round half up, in its signed width."""
        half = 2 ** (shift - 1) if shift else 0
        self.value = self.hold(self.hold(acc) + half) // 2**shift
        self.within(self.value, -(2 ** (bits - 1)), 2 ** (bits - 1))
        return self


Meaning = Callable[[Any, Sequence[Object], Mapping[str, Object]], Outcome]


def wide(x: Any) -> Object:
    """Python's integers."""
    return np.array(np.asarray(x).tolist(), dtype=object).reshape(np.shape(x))


def contraction(out: Outcome, spec: str, a: Object, b: Object) -> Object:
    """``einsum(spec, a, b)`` term by term; partial sums count as on the way."""
    inputs, result = spec.split("->")
    left, right = inputs.split(",")
    size = dict(zip(left + right, a.shape + b.shape, strict=True))
    summed = [c for c in size if c not in result]
    found = np.zeros([size[c] for c in result], dtype=object)
    for at in product(*[range(size[c]) for c in result]):
        where = dict(zip(result, at, strict=True))
        for inner in product(*[range(size[c]) for c in summed]):
            where.update(zip(summed, inner, strict=True))
            found[at] += a[tuple(where[c] for c in left)] * b[tuple(where[c] for c in right)]
            out.hold(found[at])
    return found


def _add(op: ops.Add, x: Sequence[Object], _w: Mapping[str, Object]) -> Outcome:
    out = Outcome()
    out.value = out.hold(x[0] * 2**op.shift_a) + out.hold(x[1] * 2**op.shift_b)
    return out


def _linear(op: ops.Linear, x: Sequence[Object], w: Mapping[str, Object]) -> Outcome:
    out = Outcome()
    lead = "abcdef"[: x[0].ndim - 1]
    acc = contraction(out, f"{lead}k,nk->{lead}n", x[0], w[op.weight])
    return out.rescale(acc if op.bias is None else acc + w[op.bias], op.shift, op.bits)


def _gain(op: ops.Gain, x: Sequence[Object], w: Mapping[str, Object]) -> Outcome:
    out = Outcome()
    acc = out.hold(x[0] * w[op.weight])
    return out.rescale(acc if op.bias is None else acc + w[op.bias], op.shift, op.bits)


def _operand(out: Outcome, o: ops.Operand, values: Mapping[str, Object]) -> Object:
    return out.hold(out.hold(apply_wire(o.wire, values[o.x])) * o.factor)


def _combine(op: ops.Combine, x: Sequence[Object], w: Mapping[str, Object]) -> Outcome:
    out, values = Outcome(), {**dict(zip(op.inputs(), x, strict=True)), **w}
    out.value = sum(_operand(out, o, values) for o in op.addends)
    return out


def _contract(op: ops.Contract, x: Sequence[Object], w: Mapping[str, Object]) -> Outcome:
    out, values = Outcome(), {**dict(zip(op.inputs(), x, strict=True)), **w}
    acc: Object = 0
    for o in op.addends:
        acc = out.hold(acc + _operand(out, o, values))
    for p in op.products:
        a, b = (_operand(out, o, values) for o in (p.a, p.b))
        acc = out.hold(acc + contraction(out, p.spec, a, b))
    return out.rescale(np.asarray(acc), op.shift, op.bits)


def _function(op: ops.Function, x: Sequence[Object], _w: Mapping[str, Object]) -> Outcome:
    out = Outcome()
    out.within(x[0], -(2**15), 2**15)
    if out.fits:
        table = function_table(op.fn, op.k_in, op.k_out).tolist()
        out.value = wide([table[v + 2**15] for v in x[0].reshape(-1)]).reshape(x[0].shape)
    return out


def _pool(op: ops.MaxPool, x: Sequence[Object], _w: Mapping[str, Object]) -> Outcome:
    out, source = Outcome(), np.moveaxis(x[0], op.axis, 0)
    places = (len(source) + op.low + op.high - op.dilation * (op.size - 1) - 1) // op.stride + 1
    rows = []
    for place in range(places):
        taps = [place * op.stride - op.low + op.dilation * t for t in range(op.size)]
        present = [source[t] for t in taps if 0 <= t < len(source)]
        most = present[0]
        for entry in present[1:]:
            out.within(out.hold(entry - most), -(2**15), 2**15)
            most = np.maximum(most, entry)
        rows.append(most)
    out.value = np.moveaxis(np.stack(rows), 0, op.axis)
    return out


def _clamp(op: ops.Clamp, x: Sequence[Object], _w: Mapping[str, Object]) -> Outcome:
    out = Outcome()
    out.within(x[0], -(2**op.x_bits) + 1, 2**op.x_bits)
    out.value = np.minimum(np.maximum(x[0], op.low), op.high)
    return out


def _norm(op: ops.Norm, x: Sequence[Object], _w: Mapping[str, Object]) -> Outcome:
    out, d = Outcome(), x[0].shape[-1]
    out.within(x[0], -(2**op.x_bits) + 1, 2**op.x_bits)
    if not out.fits:
        return out
    c = x[0] if op.kind == "rms" else d * x[0] - x[0].sum(axis=-1, keepdims=True)
    squares = (c * c).sum(axis=-1, keepdims=True)  # may need more than 64 bits, and may
    rho = np.vectorize(lambda m: isqrt(op.constant // (m + op.eps)), otypes=[object])(squares)
    return out.rescale(out.hold(c) * out.hold(rho), op.shift, op.bits)


def _rsqrt(op: ops.Rsqrt, x: Sequence[Object], _w: Mapping[str, Object]) -> Outcome:
    out = Outcome()
    out.hold(out.within(x[0] + op.eps, 1, 2**op.x_bits + 1))
    if out.fits:
        found = [isqrt(op.constant // (m + op.eps)) for m in x[0].reshape(-1)]
        out.value = wide(found).reshape(x[0].shape)
    return out


def _log2(op: ops.Log2, x: Sequence[Object], _w: Mapping[str, Object]) -> Outcome:
    out, found = Outcome(), []
    table = function_table("log2_1p", 14, op.k_out).tolist()
    for n in out.within(x[0] + op.eps, 1, 2**op.x_bits).reshape(-1):
        if out.fits:
            j = n.bit_length() - 1
            mantissa = Outcome().rescale(n * 2 ** (op.x_bits - 1 - j), op.x_bits - 15).value
            found.append(j * 2**op.k_out + table[int(mantissa) - 2**14 + 2**15])
    out.value = wide(found).reshape(x[0].shape) if out.fits else None
    return out


def _softmax(op: ops.Softmax, x: Sequence[Object], _w: Mapping[str, Object]) -> Outcome:
    out, rows, table = Outcome(), [], exp_table(op.exp_k).tolist()
    for row in x[0].reshape(-1, x[0].shape[-1]):
        out.within(max(row), -(2**15), 2**15)
        out.within([max(row) - v for v in row], 0, 2**16)
        if out.fits:
            e = [table[max(row) - v] for v in row]
            rows.append([out.hold(y * (2**31 // sum(e)) + 2**15) // 2**16 for y in e])
    out.value = wide(rows).reshape(x[0].shape) if out.fits else None
    return out


def _rope(op: ops.Rope | ops.Rotation, x: Sequence[Object], _w: Mapping[str, Object]) -> Outcome:
    out, rows = Outcome(), x[0]
    cos, sin = (t.tolist() for t in rope_tables(op, len(rows)))
    half, acc = op.head_dim // 2, np.zeros(rows.shape, dtype=object)
    for t, h, i in product(range(len(rows)), range(op.heads), range(half)):
        base = h * op.head_dim
        first = base + (2 * i if op.style == "interleaved" else i)
        second = base + (2 * i + 1 if op.style == "interleaved" else i + half)
        a, b = rows[t, first], rows[t, second]
        acc[t, first] = out.hold(a * cos[t][i]) - out.hold(b * sin[t][i])
        acc[t, second] = out.hold(a * sin[t][i]) + out.hold(b * cos[t][i])
    return out.rescale(acc, op.frac, op.bits)


def _attention(op: ops.Attention, x: Sequence[Object], _w: Mapping[str, Object]) -> Outcome:
    out, d, (q, k, v) = Outcome(), op.head_dim, x
    table, acc = exp_table(op.exp_k).tolist(), np.zeros(q.shape, dtype=object)
    for t, h in product(range(len(q)), range(op.kv_heads * op.group)):
        g = h // op.group * d
        # masked entries are computed, too, and thrown away
        dots = [out.hold(q[t, h * d : h * d + d] @ k[s, g : g + d]) for s in range(len(k))]
        if isinstance(op, ops.AdjustedAttention) and op.slopes:
            dots = [out.hold(dot - op.slopes[h] * (t - s)) for s, dot in enumerate(dots)]
        z = [s.value for s in (Outcome().rescale(dot, op.score_shift, 64) for dot in dots)][: t + 1]
        out.held += [dot + 2**op.score_shift // 2 for dot in dots]
        if isinstance(op, ops.AdjustedAttention):
            z = _adjusted(out, op, z)
            if not out.fits:
                return out
        out.within(max(z), -(2**15), 2**15)
        out.within([max(z) - s for s in z], 0, 2**16)
        if not out.fits:
            return out
        e = [table[max(z) - s] for s in z]
        p = [(y * (2**31 // sum(e)) + 2**15) >> 16 for y in e]
        acc[t, h * d : h * d + d] = sum(p[s] * v[s, g : g + d] for s in range(t + 1))
    return out.rescale(acc, op.mix_shift, op.bits)


def _adjusted(out: Outcome, op: ops.AdjustedAttention, z: list[int]) -> list[int]:
    """The scores of one row after cap and window."""
    if op.cap:
        out.within(z, -(2**15), 2**15)
        if out.fits:
            table = function_table(f"softcap({op.cap})", op.exp_k, op.exp_k).tolist()
            z = [table[s + 2**15] for s in z]
    beyond = len(z) - op.window if op.window else 0
    return [score - (2**15 if s < beyond else 0) for s, score in enumerate(z)]


def _head_norm(op: ops.HeadNorm, x: Sequence[Object], w: Mapping[str, Object]) -> Outcome:
    out = _norm(op, [x[0].reshape(len(x[0]), op.heads, -1)], w)
    out.value = None if out.value is None else out.value.reshape(x[0].shape)
    return out


def _head(op: ops.Head, x: Sequence[Object], w: Mapping[str, Object]) -> Outcome:
    out = Outcome()
    acc = contraction(out, "rk,vk->rv", x[0][-1:], w[op.weight])
    out.rescale(acc + w[op.bias] if isinstance(op, ops.HeadWithBias) else acc, op.shift)
    rows = out.value.tolist()
    out.value = wide([row.index(max(row)) for row in rows])
    return out


def _top(_op: ops.Top, x: Sequence[Object], _w: Mapping[str, Object]) -> Outcome:
    return Outcome(wide([row.index(max(row)) for row in x[0].tolist()]))


MEANINGS: dict[type[ops.Op], Meaning] = {
    ops.Embed: lambda op, x, w: Outcome(w[op.table][x[0].astype(int)]),
    ops.Positions: lambda op, _x, w: Outcome(w[op.table]),  # all of its rows
    ops.Linear: _linear,
    ops.Gain: _gain,
    ops.Contract: _contract,
    ops.Combine: _combine,
    ops.Reshape: lambda op, x, _w: Outcome(x[0].reshape(op.dims)),
    ops.Add: _add,
    ops.Rescale: lambda op, x, _w: Outcome().rescale(x[0], op.shift, op.bits),
    ops.Mul: lambda op, x, _w: Outcome().rescale(x[0] * x[1], op.shift, op.bits),
    ops.Function: _function,
    ops.MaxPool: _pool,
    ops.Clamp: _clamp,
    ops.Top: _top,
    ops.Norm: _norm,
    ops.HeadNorm: _head_norm,
    ops.Rsqrt: _rsqrt,
    ops.Log2: _log2,
    ops.Softmax: _softmax,
    ops.Rope: _rope,
    ops.Rotation: _rope,
    ops.Attention: _attention,
    ops.AdjustedAttention: _attention,
    ops.Head: _head,
    ops.HeadWithBias: _head,
}
