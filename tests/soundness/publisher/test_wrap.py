"""The evaluator never wraps around: what it gives is what unbounded integers give, or an error.

A publisher who finds a program where it does has two models under one commitment: the one that runs
and the one that is proved.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isqrt
from typing import Any

import numpy as np
import pytest

from tests.support.publisher import checked, decoder
from veracity.errors import FormatError, UsageError
from veracity.graph.ops import (
    Add,
    Embed,
    Gain,
    Linear,
    Mul,
    Norm,
    Op,
    Positions,
    Rescale,
    Rope,
    rope_tables,
)
from veracity.lm.text_decoder import forward

Wide = np.ndarray
TOKENS = [2, 1]
SMALL = np.array([[1, 2], [3, 4], [5, 6], [7, -8]])


# ---- the meaning of a few ops over unbounded integers --------------------------------------------
def rounded(x: Wide, shift: int) -> Wide:
    return x if shift == 0 else (x + (1 << shift - 1)) >> shift


def fits(x: Wide, bits: int) -> Wide:
    if any(not -(1 << bits - 1) <= int(v) < 1 << bits - 1 for v in x.reshape(-1)):
        raise OverflowError
    return x


def meaning(op: Any, values: Mapping[str, Wide], weights: Mapping[str, Wide]) -> Wide:
    """The result of an op; OverflowError where it is out of its range."""
    if isinstance(op, Embed):
        return weights[op.table][TOKENS]
    if isinstance(op, Positions):
        return weights[op.table][: len(TOKENS)]
    if isinstance(op, Add):
        return values[op.a] * (1 << op.shift_a) + values[op.b] * (1 << op.shift_b)
    if isinstance(op, Rescale):
        return fits(rounded(values[op.x], op.shift), op.bits)
    if isinstance(op, Mul):
        return fits(rounded(values[op.a] * values[op.b], op.shift), op.bits)
    if isinstance(op, Linear):
        acc = values[op.x] @ weights[op.weight].T
        return fits(rounded(acc + (weights[op.bias] if op.bias else 0), op.shift), op.bits)
    if isinstance(op, Gain):
        acc = values[op.x] * weights[op.weight]
        return fits(rounded(acc + (weights[op.bias] if op.bias else 0), op.shift), op.bits)
    if isinstance(op, Norm):
        x = values[op.x]
        fits(x, op.x_bits + 1)
        c = x if op.kind == "rms" else x.shape[1] * x - x.sum(axis=1, keepdims=True)
        rho = [isqrt(op.constant // (int(s) + op.eps)) for s in (c * c).sum(axis=1)]
        return fits(rounded(c * np.array(rho, dtype=object)[:, None], op.shift), op.bits)
    if isinstance(op, Rope):
        cos, sin = (t.astype(object) for t in rope_tables(op, len(TOKENS)))
        a, b = values[op.x][:, 0::2], values[op.x][:, 1::2]
        out = np.empty_like(values[op.x])
        out[:, 0::2], out[:, 1::2] = a * cos - b * sin, a * sin + b * cos
        return fits(rounded(out, op.frac), op.bits)
    raise NotImplementedError


# ---- attacks -------------------------------------------------------------------------------------
def times(power: int, source: str = "x", name: str = "w") -> list[Op]:
    """``source * 2^power``, called ``name``, by sums."""
    ops: list[Op] = []
    while power:
        step = min(power, 33)
        power -= step
        made = f"{name}.{power}" if power else name
        ops.append(Add(name=made, a=source, b=source, shift_a=step - 1, shift_b=step - 1))
        source = made
    return ops


def rescale(name: str, x: str, shift: int, bits: int = 24) -> Rescale:
    return Rescale(name=name, x=x, shift=shift, bits=bits)


def norm(kind: str, x_bits: int, shift: int = 0) -> Norm:
    return Norm(name="y", x="w", kind=kind, constant=2, eps=1, shift=shift, bits=16, x_bits=x_bits)


def rope(x: str) -> Rope:
    return Rope(
        name="y", x=x, heads=1, head_dim=2, style="interleaved", base="10000", frac=14, bits=16
    )


INT64 = np.iinfo(np.int64)
EXTREME = np.array([[INT64.max, INT64.min], [1 << 62, -(1 << 62)], [(1 << 63) - 5, 3], [0, 1]])
#: At 2^60, the least integer of 64 bits; nothing but the first position.
LEAST = np.full((4, 2), -8)
FIRST = np.array([[0, 0], [0, 0], [5, 6], [0, 0]])
Case = tuple[Sequence[Op], dict[str, Wide]]
CASES: dict[str, Callable[[], Case]] = {
    "a sum, scaled down again": lambda: (
        [*times(65), rescale("r", "w", 32), rescale("y", "r", 32)],
        {},
    ),
    "a power of two that vanishes": lambda: ([*times(64), rescale("y", "w", 0, 16)], {}),
    "a sum of two values": lambda: (
        [*times(62), Add(name="s", a="w", b="w", shift_a=1, shift_b=1), rescale("y", "s", 32)],
        {},
    ),
    "a rounding that overflows": lambda: (
        [rescale("r", "x", 32), rescale("y", "r", 32)],
        {"t": EXTREME},
    ),
    "a square": lambda: (
        [*times(33), Mul(name="y", a="w", b="w", shift=32, bits=24)],
        {},
    ),
    "a product of sums": lambda: (
        [*times(40), *times(24, name="u"), Mul(name="y", a="w", b="u", shift=0, bits=16)],
        {},
    ),
    "a gain of wide weights": lambda: (
        [Gain(name="y", x="x", weight="g", bias=None, shift=32, bits=24)],
        {"g": np.array([1 << 62, 1 << 61]), "t": 8 * SMALL},
    ),
    "a gain's bias": lambda: (
        [Gain(name="y", x="x", weight="g", bias="b", shift=32, bits=24)],
        {"g": np.array([1 << 61, 1 << 62]), "b": np.array([1 << 33, -1]), "t": 8 * SMALL},
    ),
    "a bias": lambda: (
        [Linear(name="y", x="x", weight="m", bias="b", shift=32, bits=24)],
        {"m": np.array([[1 << 59, 0], [0, 1 << 59]]), "b": np.array([INT64.max, INT64.min])},
    ),
    "a linear map of a sum": lambda: (
        [*times(50), Linear(name="y", x="w", weight="m", bias=None, shift=32, bits=24)],
        {"m": np.array([[1 << 12, 7], [3, 1 << 12]])},
    ),
    "a norm of the least integer": lambda: ([*times(60), norm("rms", 40)], {"t": LEAST}),
    "a layer norm of the least integer": lambda: ([*times(60), norm("layer", 40)], {"t": LEAST}),
    "a rotation of a sum": lambda: ([*times(60), rope("w")], {"t": FIRST}),
    "wide positions": lambda: (
        [
            Positions(name="p", table="q"),
            Add(name="w", a="x", b="p", shift_a=0, shift_b=3),
            rescale("y", "w", 32),
        ],
        {"q": np.array([[1 << 61, INT64.max]] * 8)},
    ),
    "wide embeddings": lambda: (
        [Add(name="w", a="x", b="x", shift_a=1, shift_b=1), rescale("y", "w", 32)],
        {"t": EXTREME},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_evaluator_gives_what_unbounded_integers_give(name: str) -> None:
    ops, given = CASES[name]()
    arrays = {"t": SMALL, "projection": SMALL, **given}
    dtypes = {
        n: "int16" if np.array_equal(a, a.astype("int16")) else "int64" for n, a in arrays.items()
    }
    shapes = {n: a.shape for n, a in arrays.items()}
    program = decoder(
        *ops, last="y", shapes=shapes, width=2, dtypes=dtypes, projection="projection"
    )
    weights = {n: a.astype(dtypes[n]) for n, a in arrays.items()}
    try:
        found = forward(checked(program), weights, TOKENS, 1).values["y"]
    except (FormatError, UsageError):
        return
    values: dict[str, Wide] = {}
    for op in program.ops[:-1]:
        values[op.name] = meaning(op, values, {n: a.astype(object) for n, a in arrays.items()})
    assert found.tolist() == values["y"].tolist()
