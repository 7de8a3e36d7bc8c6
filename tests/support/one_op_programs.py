"""Programs of one op, drawn by hypothesis: widths, shifts and parameters up to where 62 bits end.

Values come mostly from the ends of their ranges.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from veracity.graph import Output, Port, Program, WeightSpec, ops
from veracity.graph.ops.base import LARGEST
from veracity.graph.port import DTYPES
from veracity.graph.wires import Step

__all__ = ["BUILD", "Case", "program_of", "sizes_of"]

Draw = Callable[[Any], Any]


class Case:
    """A program of one op under construction: its ports and weights, and their integers."""

    def __init__(self, data: st.DataObject) -> None:
        self.draw: Draw = data.draw
        self.inputs: dict[str, Port] = {}
        self.weights: dict[str, WeightSpec] = {}
        self.integers: dict[str, np.ndarray] = {}

    def number(self, low: int, high: int) -> int:
        return int(self.draw(st.integers(low, high)))

    def one(self, *choices: Any) -> Any:
        return self.draw(st.sampled_from(choices))

    def values(self, shape: tuple[int, ...], low: int, high: int) -> np.ndarray:
        """Mostly ends of the range."""
        ends = [low, high, max(low, min(high, 0)), max(low, min(high, 1))]
        entry = st.sampled_from(ends) | st.integers(low, high)
        size = int(np.prod(shape))
        found = self.draw(st.lists(entry, min_size=size, max_size=size))
        return np.array(found, dtype=np.int64).reshape(shape)

    def value(self, name: str, *shape: int, most: int = 61) -> str:
        """An input port of any width; the first axis may be a symbol."""
        bits = self.one(0, 8, 15, 16, self.number(0, most))
        bits = min(bits, most)
        low, high = self.one((-(1 << bits), (1 << bits) - self.number(0, 1)), (0, 0))
        dims = ("T", *shape[1:]) if self.draw(st.booleans()) and len(shape) > 1 else shape
        self.inputs[name] = Port(dims, 0, low, high)
        self.integers[name] = self.values(shape, low, high)
        return name

    def weight(self, name: str, *shape: int) -> str:
        dtype = self.one(*DTYPES)
        bits = self.number(1, DTYPES[dtype])
        spec = WeightSpec(shape, dtype, 0, bits)
        self.weights[name] = spec
        self.integers[name] = self.values(shape, -spec.bound, spec.bound - 1).astype(dtype)
        return name

    def shift(self) -> int:
        return int(self.one(0, 1, 16, 32, self.number(0, 32)))

    def bits(self) -> int:
        return int(self.one(16, 24))


def _operand(case: Case, name: str, of: str = "value", wire: tuple[Step, ...] = ()) -> ops.Operand:
    factor = case.one(1, -1, 3, -(1 << case.number(0, 40)))
    return ops.Operand(x=name, of=of, wire=wire, factor=factor)


def _contract(c: Case) -> ops.Op:
    x, w = c.value("x", 2, 3), c.weight("w", 3, 2)
    wire = c.one((), (Step("flip", 1),), (Step("taps", 1, (3, 1, 0, -7, 5, 5, 5, 0, 0, 1)),))
    products = (
        ops.Product(
            spec=c.one("tk,kn->tn", "tk,kn->nt"),
            a=_operand(c, x, wire=wire if isinstance(c.inputs[x].dims[0], int) else ()),
            b=_operand(c, w, "weight"),
        ),
    )
    squares = (ops.Operand(x="y"),) if c.draw(st.booleans()) else ()
    if squares:
        c.value("y", 2, 2)
        c.inputs = {n: _plain(c, n) for n in c.inputs}
    return ops.Contract(
        name="o", products=products, addends=squares, shift=c.shift(), bits=c.one(16, 24, 48)
    )


def _plain(c: Case, name: str) -> Port:
    port = c.inputs[name]
    return Port(c.integers[name].shape, port.exponent, port.low, port.high)


def _combine(c: Case) -> ops.Op:
    c.value("x", 2, 3)
    c.inputs["x"] = _plain(c, "x")
    wire = c.one((), (Step("sum", 1), Step("repeat", 1, (3,))), (Step("pad", 0, (1, 1, 0)),
                 Step("slice", 0, (0, 2, 1))))  # fmt: skip
    return ops.Combine(name="o", addends=(_operand(c, "x"), _operand(c, "x", wire=wire)))


def _norm(c: Case) -> ops.Op:
    shift = c.number(0, 32)
    return ops.Norm(
        name="o", x=c.value("x", 2, 3, most=40), kind=c.one("rms", "layer"),
        constant=c.number(1, 1 << c.number(0, 128)), eps=c.number(1, 1 << c.number(0, 64)),
        shift=shift, bits=c.bits(), x_bits=c.number(1, 40),
    )  # fmt: skip


def _rope(c: Case) -> ops.Op:
    return ops.Rope(
        name="o", x=c.value("x", 3, 4), heads=1, head_dim=4, style=c.one("interleaved", "half"),
        base="10000", frac=c.number(1, 16), bits=c.bits(),
    )  # fmt: skip


def _rotation(c: Case) -> ops.Op:
    frequency = c.one(0, 1, 1 << 54, c.number(0, 1 << 54))
    return ops.Rotation(
        name="o", x=c.value("x", 3, 4), heads=1, head_dim=4, style=c.one("interleaved", "half"),
        frequencies=(1 << 48, frequency), frac=c.number(1, 16), bits=c.bits(),
    )  # fmt: skip


def _head_norm(c: Case) -> ops.Op:
    plain = _norm(c)
    port = c.inputs["x"]
    c.inputs["x"] = Port((*port.dims[:-1], 6), port.exponent, port.low, port.high)
    c.integers["x"] = np.concatenate([c.integers["x"]] * 2, axis=-1)
    return ops.HeadNorm(**vars(plain), heads=2)


def _adjusted(c: Case) -> ops.Op:
    plain = _attention(c)
    slopes = c.one((), (c.number(0, 1 << 20), c.number(0, 1 << 39)))
    return ops.AdjustedAttention(
        **vars(plain), slopes=slopes, cap=c.one("", "50", "0.5"), window=c.number(0, 3)
    )


def _attention(c: Case) -> ops.Op:
    names = [c.value(n, 3, 4 if n == "q" else 2, most=31) for n in ("q", "k", "v")]
    c.inputs = {n: _plain(c, n) for n in c.inputs}
    return ops.Attention(
        name="o", q=names[0], k=names[1], v=names[2], kv_heads=1, group=2, head_dim=2,
        score_shift=c.shift(), exp_k=c.number(0, 16), mix_shift=c.shift(), bits=c.bits(),
    )  # fmt: skip


def _entrywise(c: Case, kind: type[ops.Op], **rest: Any) -> ops.Op:
    names = {n: c.value(n, 2, 3) for n in ("a", "b")}
    c.inputs = {n: _plain(c, n) for n in c.inputs}
    return kind(name="o", **names, **rest)


def _embed(c: Case) -> ops.Op:
    c.inputs["x"] = Port((3,), 0, 0, 4)
    c.integers["x"] = c.values((3,), 0, 4)
    return ops.Embed(name="o", table=c.weight("w", 5, 2), x="x")


BUILD: dict[type[ops.Op], Callable[[Case], ops.Op]] = {
    ops.Embed: _embed,
    ops.Positions: lambda c: ops.Positions(
        name="o", table=c.weight("w", 4, 2) if c.value("x", 2, 1) else "", axis="T"
    ),
    ops.Linear: lambda c: ops.Linear(
        name="o", x=c.value("x", 2, 3), weight=c.weight("w", 2, 3),
        bias=c.one(None, "b") and c.weight("b", 2), shift=c.shift(), bits=c.bits(),
    ),
    ops.Gain: lambda c: ops.Gain(
        name="o", x=c.value("x", 2, 3), weight=c.weight("w", 3),
        bias=c.one(None, "b") and c.weight("b", 3), shift=c.shift(), bits=c.bits(),
    ),
    ops.Contract: _contract,
    ops.Combine: _combine,
    ops.Reshape: lambda c: ops.Reshape(name="o", x=c.value("x", 6), dims=(3, 2)),
    ops.Add: lambda c: _entrywise(c, ops.Add, shift_a=c.shift(), shift_b=c.shift()),
    ops.Mul: lambda c: _entrywise(c, ops.Mul, shift=c.shift(), bits=c.bits()),
    ops.Rescale: lambda c: ops.Rescale(
        name="o", x=c.value("x", 2, 3), shift=c.shift(), bits=c.bits()
    ),
    ops.Function: lambda c: ops.Function(
        name="o", x=c.value("x", 2, 3), fn=c.one("relu", "silu"), k_in=8, k_out=c.one(0, 8, 16)
    ),
    ops.MaxPool: lambda c: ops.MaxPool(
        name="o", x=c.value("x", 2, 5), axis=1, size=c.number(1, 3), stride=c.number(1, 2),
        dilation=c.number(1, 2), low=c.number(0, 2), high=c.number(0, 2),
    ),
    ops.Clamp: lambda c: ops.Clamp(
        name="o", x=c.value("x", 2, 3), low=c.number(-99, 0), high=c.number(1, 99),
        x_bits=c.number(7, 40),
    ),
    ops.Top: lambda c: ops.Top(name="o", x=c.value("x", 2, 3)),
    ops.Norm: _norm,
    ops.HeadNorm: _head_norm,
    ops.Rsqrt: lambda c: ops.Rsqrt(
        name="o", x=c.value("x", 2, 3), constant=c.number(1, 1 << c.number(0, 65)),
        eps=c.number(1, 1 << c.number(0, 64)), x_bits=c.number(1, 40),
    ),
    ops.Log2: lambda c: ops.Log2(
        name="o", x=c.value("x", 2, 3), eps=c.number(1, 99), x_bits=c.number(8, 40),
        k_out=c.number(0, 14),
    ),
    ops.Softmax: lambda c: ops.Softmax(
        name="o", x=c.value("x", 2, 3), exp_k=c.number(0, 16)
    ),
    ops.Rope: _rope,
    ops.Rotation: _rotation,
    ops.Attention: _attention,
    ops.AdjustedAttention: _adjusted,
    ops.Head: lambda c: ops.Head(
        name="o", x=c.value("x", 2, 3), weight=c.weight("w", 4, 3), shift=c.shift(), rows="A"
    ),
    ops.HeadWithBias: lambda c: ops.HeadWithBias(
        name="o", x=c.value("x", 2, 3), weight=c.weight("w", 4, 3), bias=c.weight("b", 4),
        shift=c.shift(), rows="A",
    ),
}  # fmt: skip


def program_of(case: Case, op: ops.Op) -> Program:
    """The program of this one op; its output has the dims of the op's result."""
    every = {"T": 4, "A": 1}
    bare = Program("o", {}, case.inputs, {}, every, (op,), case.weights, {})
    rule = ops.RULES[type(op)]
    dims = rule.shape(op, bare.facts, [case.inputs[n].dims for n in op.inputs()])
    most = LARGEST - 1
    shown = {"out": Output(dims, 0, -most, most, "o")}
    named = {d for port in (*case.inputs.values(), *shown.values()) for d in port.dims}
    limits = {symbol: most for symbol, most in every.items() if symbol in named}
    return Program("o", {}, case.inputs, shown, limits, (op,), case.weights, {})


def sizes_of(program: Program) -> dict[str, int]:
    """What the symbols of a program of one op stand for."""
    return {s: n for s, n in {"T": 2, "A": 1}.items() if s in program.limits}
