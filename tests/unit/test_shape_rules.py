"""Rules of ops: each program that is wrong in one thing only is refused, and told what it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from veracity.errors import UsageError
from veracity.graph import Port, WeightSpec, ops
from veracity.graph.ops.base import Facts, check_parameters, same
from veracity.graph.ops.contract import MAX_FACTOR, MAX_TERMS
from veracity.graph.ops.extrema import MAX_WINDOW
from veracity.graph.ops.pointwise import Mul
from veracity.graph.ops.rotary import FREQUENCY_BITS
from veracity.graph.wires import Step

WEIGHTS = {
    "W": WeightSpec((6, 4), "int16", 8, 16),
    "square": WeightSpec((4, 4), "int16", 8, 16),
    "b6": WeightSpec((6,), "int16", 8, 16),
    "b4": WeightSpec((4,), "int16", 8, 16),
    "cube": WeightSpec((2, 6, 4), "int16", 8, 16),
}
PORTS = {
    "tokens": Port(("T",), 0, 0, 5),
    "grid": Port(("T", 2), 0, 0, 5),
    "signed": Port(("T",), 0, -1, 5),
    "few": Port(("T",), 0, 0, 4),
}
FACTS = Facts(PORTS, WEIGHTS, {"T": 6, "A": 6, "long": 7})
COMMON = {"score_shift": 4, "exp_k": 8, "mix_shift": 15, "bits": 16}
ATTENTION = ops.Attention(name="o", q="q", k="k", v="v", kv_heads=1, group=2, head_dim=4, **COMMON)
ADJUSTED = ops.AdjustedAttention(
    name="o", q="q", k="k", v="v", kv_heads=1, group=2, head_dim=4, slopes=(), cap="", window=3,
    **COMMON,
)  # fmt: skip
SOFTMAX = ops.Softmax(name="o", x="x", exp_k=8)
QKV = (("T", 8), ("T", 4), ("T", 4))
X, W = ops.Operand(x="x"), ops.Operand(x="W", of="weight")
PRODUCT = ops.Product(spec="tk,nk->tn", a=X, b=W)
CONTRACT = ops.Contract(name="o", products=(PRODUCT,), addends=(), shift=8, bits=16)
COMBINE = ops.Combine(name="o", addends=(X, ops.Operand(x="y")))
RESHAPE = ops.Reshape(name="o", x="x", dims=(6, 4))
EMBED = ops.Embed(name="o", table="W")
POSITIONS = ops.Positions(name="o", table="W")
POOL = ops.MaxPool(name="o", x="x", axis=1, size=2, stride=2, dilation=1, low=0, high=0)
CLAMP = ops.Clamp(name="o", x="x", low=0, high=255, x_bits=20)
TOP = ops.Top(name="o", x="x")
HEAD = ops.Head(name="o", x="x", weight="W", shift=8)
BIASED = ops.HeadWithBias(name="o", x="x", weight="W", shift=8, bias="b6")
LINEAR = ops.Linear(name="o", x="x", weight="W", bias="b6", shift=8, bits=16)
GAIN = ops.Gain(name="o", x="x", weight="b4", bias="b4", shift=8, bits=16)
LOG = ops.Log2(name="o", x="x", eps=1, x_bits=20, k_out=8)
NORM = ops.Norm(name="o", x="x", kind="rms", constant=1 << 60, eps=1, shift=8, bits=16, x_bits=20)
HEADS = ops.HeadNorm(
    name="o", x="x", kind="rms", constant=1 << 60, eps=1, shift=8, bits=16, x_bits=20, heads=2
)
ROOT = ops.Rsqrt(name="o", x="x", constant=1 << 60, eps=1, x_bits=20)
ROPE = ops.Rope(name="o", x="x", heads=2, head_dim=4, style="half", base="10000", frac=14, bits=16)
TURN = ops.Rotation(
    name="o", x="x", heads=2, head_dim=4, style="half", frequencies=(1, 0), frac=14, bits=16
)
FUNCTION = ops.Function(name="o", x="x", fn="relu", k_in=8, k_out=8)
MUL = Mul(name="o", a="a", b="b", shift=8, bits=16)

#: Ops with dims of what they read, all of it right.
RIGHT: list[tuple[ops.Op, Sequence[Any]]] = [
    (ATTENTION, QKV),
    (ADJUSTED, QKV),
    (replace(ADJUSTED, slopes=(0, (1 << 40) - 1), cap="30", window=1 << 16), QKV),
    (SOFTMAX, [("T", 5)]),
    (CONTRACT, [("T", 4)]),
    (replace(CONTRACT, products=(replace(PRODUCT, a=replace(X, factor=-MAX_FACTOR)),)), [(3, 4)]),
    (replace(CONTRACT, addends=(ops.Operand(x="b6", of="weight"),)), [("T", 4)]),
    (COMBINE, [("T", 4), ("T", 4)]),
    (replace(COMBINE, addends=(X,) * MAX_TERMS), [("T", 4)]),
    (RESHAPE, [(4, 6)]),
    (EMBED, [("T",)]),
    (POSITIONS, []),
    (POOL, [(3, 6)]),
    (replace(POOL, size=MAX_WINDOW, stride=1), [(3, MAX_WINDOW)]),
    (CLAMP, [("T", 4)]),
    (TOP, [("T", 4)]),
    (HEAD, [("T", 4)]),
    (BIASED, [("T", 4)]),
    (LINEAR, [("T", 4)]),
    (GAIN, [("T", 4)]),
    (LOG, [("T", 4)]),
    (NORM, [("T", 4)]),
    (HEADS, [("T", 4)]),
    (ROOT, [("T", 4)]),
    (ROPE, [("T", 8)]),
    (TURN, [("T", 8)]),
    (FUNCTION, [("T", 8)]),
    (MUL, [("T", 8), ("T", 8)]),
]


def wrong_factor(factor: int) -> ops.Contract:
    return replace(CONTRACT, products=(replace(PRODUCT, a=replace(X, factor=factor)),))


def spelled(spec: str) -> ops.Contract:
    return replace(CONTRACT, products=(replace(PRODUCT, spec=spec),))


UNKNOWN = "whose length is not known"
#: The same, each with one thing wrong, and what is said of it.
WRONG: list[tuple[ops.Op, Sequence[Any], str]] = [
    (ATTENTION, [("T", 8, 1), ("T", 4), ("T", 4)], "not (positions, features)"),
    (ATTENTION, [("T", 8), ("T", 4), ("T", 4, 1)], "not (positions, features)"),
    (ATTENTION, [(6, 8), ("T", 4), ("T", 4)], "different lengths"),
    (ATTENTION, [("T", 8), (6, 4), ("T", 4)], "different lengths"),
    (ATTENTION, [("T", 8), ("T", 4), (6, 4)], "different lengths"),
    (ATTENTION, [("T", 4), ("T", 4), ("T", 4)], "q has another width"),
    (ATTENTION, [("T", 8), ("T", 8), ("T", 4)], "k or v has another width"),
    (ATTENTION, [("T", 8), ("T", 4), ("T", 8)], "k or v has another width"),
    (replace(ADJUSTED, slopes=(1,)), QKV, "not one slope for every head"),
    (replace(ADJUSTED, slopes=(1, -1)), QKV, "a slope out of bounds"),
    (replace(ADJUSTED, slopes=(1, 1 << 40)), QKV, "a slope out of bounds"),
    (replace(ADJUSTED, window=-1), QKV, "a window out of bounds"),
    (replace(ADJUSTED, window=(1 << 16) + 1), QKV, "a window out of bounds"),
    (replace(ADJUSTED, window=0), QKV, "adjusts nothing"),
    (replace(ADJUSTED, cap="x"), QKV, "no function"),
    (replace(ADJUSTED, cap="0"), QKV, "positive parameter"),
    (SOFTMAX, [(5,)], "over the last axis of several"),
    (SOFTMAX, [(5, "T")], "an axis that is not known"),
    (SOFTMAX, [("T", 1 << 16)], "an axis that is not known"),
    (replace(COMBINE, addends=(X, replace(X, of="port"))), [("T", 4)], "a value or a weight"),
    (wrong_factor(0), [("T", 4)], "a factor out of bounds"),
    (wrong_factor(MAX_FACTOR + 1), [("T", 4)], "a factor out of bounds"),
    (wrong_factor(-MAX_FACTOR - 1), [("T", 4)], "a factor out of bounds"),
    (spelled("tk,nk"), [("T", 4)], "no contraction of two operands"),
    (spelled("tk->t"), [("T", 4)], "no contraction of two operands"),
    (spelled("tk,nK->tn"), [("T", 4)], "letters of the spec"),
    (spelled("tk,1k->t1"), [("T", 4)], "letters of the spec"),
    (spelled("tk,ék->té"), [("T", 4)], "letters of the spec"),
    (spelled("tk,tk->"), [("T", 4)], "letters of the spec"),
    (spelled("abcdefghijklm,abcdefghijklm->abcdefghijk"), [("T", 4)], "letters of the spec"),
    (spelled("tt,nt->tn"), [("T", 4)], "a letter stands twice"),
    (spelled("tk,kk->t"), [("T", 4)], "a letter stands twice"),
    (spelled("tk,nk->tnn"), [("T", 4)], "a letter stands twice"),
    (spelled("tk,nk->t"), [("T", 4)], "must stand in the result"),
    (spelled("tk,nk->tnz"), [("T", 4)], "must stand in the result"),
    (spelled("tka,nk->tna"), [("T", 4)], "does not fit its operands"),
    (spelled("tk,k->t"), [("T", 4)], "does not fit its operands"),
    (CONTRACT, [("T", 5)], "operands of a product do not fit"),
    (replace(CONTRACT, products=()), [], "1 to 64 terms"),
    (replace(COMBINE, addends=(X,) * (MAX_TERMS + 1)), [("T", 4)], "1 to 64 terms"),
    (replace(COMBINE, addends=(W,)), [], "reads no value"),
    (COMBINE, [("T", 4), ("T", 5)], "terms of different dims"),
    (replace(COMBINE, addends=(X, ops.Operand(x="b4", of="weight"))), [("T", 4)], "different dims"),
    (replace(CONTRACT, addends=(ops.Operand(x="b4", of="weight"),)), [("T", 4)], "different dims"),
    (
        replace(CONTRACT, products=(PRODUCT, replace(PRODUCT, spec="tk,nk->nt"))),
        [("T", 4)],
        "different dims",
    ),
    (replace(COMBINE, addends=(replace(X, wire=(Step("sum", 0),)),)), [(4,)], "without axes"),
    (RESHAPE, [("T", 4)], UNKNOWN),
    (RESHAPE, [(5, 5)], "another number of entries"),
    (replace(RESHAPE, dims=(-6, -4)), [(4, 6)], "another number of entries"),
    (replace(RESHAPE, dims=()), [(1,)], "another number of entries"),
    (replace(RESHAPE, dims=(24, *[1] * 8)), [(4, 6)], "another number of entries"),
    (replace(EMBED, table="cube"), [("T",)], "not a matrix"),
    (replace(EMBED, table="b6"), [("T",)], "not a matrix"),
    (replace(EMBED, x="other"), [("T",)], "not an input of the program"),
    (replace(EMBED, x="grid"), [("T", 2)], "indices are no list"),
    (replace(EMBED, x="signed"), [("T",)], "another number of rows"),
    (replace(EMBED, x="few"), [("T",)], "another number of rows"),
    (replace(POSITIONS, table="cube"), [], "not a matrix"),
    (replace(POSITIONS, axis="long"), [], "another number of rows"),
    (replace(POSITIONS, axis="none"), [], "another number of rows"),
    (replace(POOL, axis=2), [(3, 6)], "no such axis"),
    (replace(POOL, axis=-1), [(3, 6)], "no such axis"),
    (replace(POOL, size=0), [(3, 6)], "a window has 1 to 64"),
    (replace(POOL, size=MAX_WINDOW + 1), [(3, 99)], "a window has 1 to 64"),
    (replace(POOL, axis=0), [("T", 6)], UNKNOWN),
    (replace(POOL, low=2), [(3, 6)], "a window lies outside"),
    (replace(CLAMP, low=255), [("T", 4)], "too far apart"),
    (replace(CLAMP, low=0, high=1 << 16), [("T", 4)], "too far apart"),
    (replace(CLAMP, x_bits=7), [("T", 4)], "a bound beyond the values"),
    (replace(CLAMP, low=-300, high=0, x_bits=8), [("T", 4)], "a bound beyond the values"),
    (TOP, [(4,)], "reads (rows, entries)"),
    (TOP, [(4, "T")], "reads (rows, entries)"),
    (replace(HEAD, weight="cube"), [("T", 4)], "not a matrix"),
    (HEAD, [("T", 4, 4)], "not (positions, features)"),
    (HEAD, [("T", 5)], "the weight does not fit its input"),
    (replace(BIASED, bias="b4"), [("T", 4)], "the bias does not fit"),
    (replace(HEAD, rows="none"), [("T", 4)], "no limit of none"),
    (replace(HEAD, rows="long"), [("T", 4)], "more answers than positions"),
    (HEAD, [(5, 4)], "more answers than positions"),
    (replace(LINEAR, weight="cube"), [("T", 4)], "not a matrix"),
    (LINEAR, [("T", 5)], "the weight does not fit its input"),
    (replace(LINEAR, bias="b4"), [("T", 4)], "the bias does not fit"),
    (replace(GAIN, weight="b6"), [("T", 4)], "the gain does not fit"),
    (replace(GAIN, bias="b6"), [("T", 4)], "the gain does not fit"),
    (replace(LOG, x_bits=14), [("T", 4)], "x_bits must be more than 14"),
    (replace(LOG, k_out=14), [("T", 4)], "k_out must be less than 14"),
    (replace(LOG, eps=1 << 20), [("T", 4)], "eps beyond the values"),
    (LOG, [(1,) * 8], "at most 7 axes"),
    (replace(NORM, kind="batch"), [("T", 4)], "unknown kind"),
    (replace(NORM, constant=1 << 64), [("T", 4)], "may exceed 32 bits"),
    (NORM, [(4,)], "over the last axis of several"),
    (NORM, [(4, "T")], "an axis of known length"),
    (HEADS, [("T", 4, 4)], "not (positions, features)"),
    (HEADS, [("T", 5)], "the heads do not divide"),
    (replace(ROOT, constant=1 << 64), [("T", 4)], "may exceed 32 bits"),
    (replace(ROOT, eps=(1 << 20) + 1), [("T", 4)], "eps beyond the values"),
    (replace(ROPE, style="other"), [("T", 8)], "unknown style"),
    (replace(ROPE, head_dim=3), [("T", 6)], "odd head dimension"),
    (ROPE, [("T", 8, 8)], "not (positions, features)"),
    (ROPE, [("T", 4)], "input has another width"),
    (replace(ROPE, base="0.5"), [("T", 8)], "base is no number"),
    (replace(TURN, frequencies=(1,)), [("T", 8)], "not one frequency for every pair"),
    (replace(TURN, frequencies=(1, -1)), [("T", 8)], "a frequency out of bounds"),
    (
        replace(TURN, frequencies=(1, (1 << FREQUENCY_BITS + 6) + 1)),
        [("T", 8)],
        "a frequency out of bounds",
    ),
    (replace(FUNCTION, fn="nothing"), [("T", 8)], "no function"),
    (replace(FUNCTION, fn="relu(3)"), [("T", 8)], "no function"),
    (replace(FUNCTION, fn="clip"), [("T", 8)], "no function"),
    (replace(FUNCTION, fn="clip(1)"), [("T", 8)], "clip has 2 parameters"),
    (replace(FUNCTION, fn="celu(0)"), [("T", 8)], "positive parameter"),
    (replace(FUNCTION, fn="softcap(0)"), [("T", 8)], "positive parameter"),
    (replace(FUNCTION, fn="power(65)"), [("T", 8)], "a power beyond 64"),
    (replace(FUNCTION, fn="power(-65)"), [("T", 8)], "a power beyond 64"),
    (MUL, [("T", 8), ("T", 4)], "inputs of different widths"),
]


def shape_of(op: ops.Op, dims: Sequence[Any]) -> Any:
    return ops.RULES[type(op)].shape(op, FACTS, dims)


@pytest.mark.parametrize(("op", "dims"), RIGHT)
def test_what_is_right_has_dims(op: ops.Op, dims: Sequence[Any]) -> None:
    check_parameters(op)
    assert shape_of(op, dims)


@pytest.mark.parametrize(("op", "dims", "said"), WRONG)
def test_one_thing_wrong_is_told(op: ops.Op, dims: Sequence[Any], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        shape_of(op, dims)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("op", "said"),
    [
        (replace(LINEAR, shift=-1), "shift out of bounds"),
        (replace(LINEAR, shift=33), "shift out of bounds"),
        (replace(LINEAR, bits=17), "bits must be one of"),
        (replace(CONTRACT, bits=40), "bits must be one of"),
        (replace(NORM, eps=0), "eps out of bounds"),
        (replace(ATTENTION, head_dim=0), "head_dim out of bounds"),
        (replace(ATTENTION, exp_k=17), "exp_k out of bounds"),
    ],
)
def test_parameters_have_bounds(op: ops.Op, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        check_parameters(op)


def test_operands_of_one_width() -> None:
    assert same(MUL, [("T", 2), ("T", 2)]) == ("T", 2)
    with pytest.raises(UsageError, match="different widths"):
        same(MUL, [("T", 2), (3, 2)])
