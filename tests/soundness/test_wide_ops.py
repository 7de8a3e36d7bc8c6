"""Malicious provers on wide sums, logarithms, roots and softmax: one relation stops each.

Every attack runs twice: against the argument, where the verifier must refuse, and against one that
owes everything but that relation, where it must accept.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isqrt
from typing import Any

import numpy as np
import pytest

from tests.support.tensor_lies import Lie, first_plus, program, try_lie
from tests.support.toy_programs import Toy
from veracity.engine.api import Ints
from veracity.errors import RangeError, UsageError
from veracity.graph.exact import rhu
from veracity.graph.ops import Contract, Log2, Operand, Product, Rsqrt, Softmax
from veracity.graph.tables import exp_table, function_table

HIGH = 1 << 47
BITS = 40


def always(values: Any) -> Callable[[Ints], Ints]:
    return lambda _: np.asarray(values, dtype=np.int64)


# ---- sums of 48 bits -----------------------------------------------------------------------------
def squares(shift: int) -> Toy:
    x = np.array([[90000, -7], [3, 4]])
    square = Product(spec="ab,ab->a", a=Operand(x="x"), b=Operand(x="x"))
    op = Contract(name="y", products=(square,), addends=(), shift=shift, bits=48)
    return program(op, x=x, dims=(2,), high=HIGH)


def another_sum() -> Lie:
    toy = squares(0)
    output = toy.trace.outputs["y"] + np.array([1, 0])
    columns = {"contract.wide of y": first_plus(1)}
    return Lie(toy, output, ("Public", "contract.wide", "1"), columns)


def another_rounding() -> Lie:
    toy = squares(4)
    output = toy.trace.outputs["y"] + np.array([1, 0])
    columns = {"contract.wide of y": first_plus(1)}
    return Lie(toy, output, ("Public", "contract.wide", "1"), columns, looked_up=True)


# ---- logarithms ----------------------------------------------------------------------------------
def logarithm(*x: int, k_out: int = 10) -> Toy:
    op = Log2(name="y", x="x", eps=1, x_bits=BITS, k_out=k_out)
    return program(op, x=np.array(x) - 1, dims=(len(x),), high=HIGH)


def with_bits(toy: Toy, bits: list[int]) -> tuple[np.ndarray, dict[str, Callable[[Ints], Ints]]]:
    """The output, and the arrays behind it, that these bits of the exponent lead to."""
    op = toy.program.ops[0]
    assert isinstance(op, Log2)
    x = int(toy.inputs["x"][0]) + 1
    q = sum(b << (BITS - 1 - j) for j, b in enumerate(bits))
    mantissa = (x * q + (1 << (BITS - 16))) >> (BITS - 15)
    fraction = int(function_table("log2_1p", 14, op.k_out)[mantissa - (1 << 14) + (1 << 15)])
    output = fraction + sum(j * b << op.k_out for j, b in enumerate(bits))
    power = sum(b << j for j, b in enumerate(bits))
    return np.array([output]), {
        "log2.bits": always([bits]),
        "log2.mantissa.y": always([mantissa]),
        "log2.above of y": always([x - power]),
        "log2.below of y": always([2 * power - 1 - x]),
    }


def exponent(j: int) -> list[int]:
    return [int(i == j) for i in range(BITS)]


def no_bits() -> Lie:
    """3 and -1 in places 3 and 4: the same power of two, another mantissa."""
    toy = logarithm(8)
    bits = exponent(3)
    bits[3:5] = [3, -1]
    output, columns = with_bits(toy, bits)
    for same in ("log2.above of y", "log2.below of y"):
        columns.pop(same)
    return Lie(toy, output, ("log2.bits",), columns, looked_up=True)


def too_high(shown: bool) -> Lie:
    """An exponent so high that the mantissa keeps few bits."""
    toy = logarithm(11)
    output, columns = with_bits(toy, exponent(15))
    if shown:
        return Lie(toy, output, ("log2.above",), columns, looked_up=True)
    columns.pop("log2.above of y")
    relation = ("log2.above", "Public", "1", "log2.bits AxisMatrix Sum")
    return Lie(toy, output, relation, columns)


def too_low(shown: bool) -> Lie:
    """An exponent one too low, and a mantissa with one bit more."""
    for x in range((1 << 22) + 1, 1 << 23, 1001):
        toy = logarithm(x, k_out=13)
        output, columns = with_bits(toy, exponent(21))
        if not np.array_equal(output, toy.trace.outputs["y"]):
            break
    if shown:
        return Lie(toy, output, ("log2.below",), columns, looked_up=True)
    columns.pop("log2.below of y")
    relation = ("log2.below", "Public", "1", "log2.bits AxisMatrix Sum")
    return Lie(toy, output, relation, columns)


def another_mantissa() -> Lie:
    toy = logarithm(11)
    _, columns = with_bits(toy, exponent(3))
    mantissa = int(columns["log2.mantissa.y"](np.zeros(1))[0]) + 99
    fraction = function_table("log2_1p", 14, 10)[mantissa - (1 << 14) + (1 << 15)]
    lies = {"log2.mantissa.y": first_plus(99)}
    relation = ("log2.mantissa.r.high",)
    return Lie(toy, np.array([(3 << 10) + fraction]), relation, lies, looked_up=True)


def another_logarithm() -> Lie:
    toy = logarithm(11)
    output = toy.trace.outputs["y"] + 1
    relation = ("log2.mantissa.y", "log2.fraction", "1")
    return Lie(toy, output, relation, {"log2.fraction": first_plus(1)}, looked_up=True)


# ---- roots ---------------------------------------------------------------------------------------
CONSTANT = 1 << 20


def another_root(times: float, relation: str, of: int = 1) -> Lie:
    """A root ``times`` too large, with the bracket of ``of (x + eps)``."""
    toy = program(
        Rsqrt(name="y", x="x", constant=CONSTANT, eps=3, x_bits=20),
        x=np.array([997]), dims=(1,), high=HIGH,
    )  # fmt: skip
    m = 1000 * of
    rho = int(isqrt(CONSTANT // m) * times)
    made = {"rho": rho, "g": rho * m, "u": CONSTANT - rho * rho * m}
    made["v"] = (rho + 1) ** 2 * m - CONSTANT - 1
    columns = {f"norm.{k} of y": always([v]) for k, v in made.items()}
    if of != 1:
        every = ("norm.g", "norm.u", "norm.v", "1", "Public")
        return Lie(toy, np.array([rho]), every, columns)
    return Lie(toy, np.array([rho]), (relation,), columns, looked_up=True)


# ---- softmax -------------------------------------------------------------------------------------
ROW = np.array([[40, -300, 90, 7]])


def shares(change: Callable[[dict[str, Any]], None]) -> tuple[Toy, np.ndarray]:
    """What another maximum or other exponentials lead to."""
    toy = program(Softmax(name="y", x="x", exp_k=6), x=ROW, dims=(1, 4), high=1 << 16)
    detail = toy.trace.details["y"]
    change(detail)
    return toy, rhu(detail["e"] * detail["inv"][:, None], 16)


def higher(detail: dict[str, Any]) -> None:
    """A maximum that no entry is."""
    detail["m"] = detail["m"] + 25
    detail["e"] = exp_table(6)[detail["m"][:, None] - ROW]
    detail["inv"] = (1 << 31) // detail["e"].sum(axis=1)


def favoured(detail: dict[str, Any]) -> None:
    """An entry whose exponential is another's."""
    detail["e"] = detail["e"].copy()
    detail["e"][0, 1] = detail["e"][0, 0]
    detail["inv"] = (1 << 31) // detail["e"].sum(axis=1)


def no_maximum() -> Lie:
    toy, output = shares(higher)
    return Lie(toy, output, ("row.pick Sum", "1"), {"row.pick": np.zeros_like}, details=higher)


def maximum_of_nobody() -> Lie:
    toy, output = shares(higher)
    relation = ("row.pick", "row.max Broadcast", "Public", "1")
    return Lie(toy, output, relation, details=higher)


def another_exponential() -> Lie:
    toy, output = shares(favoured)
    relation = ("row.max Broadcast", "Public", "row.exp")
    return Lie(toy, output, relation, details=favoured, looked_up=True)


def another_share() -> Lie:
    toy, output = shares(lambda _: None)
    output = output + np.array([[1, 0, 0, 0]])
    relation = ("row.inverse", "row.exp", "row.share.y", "1")
    return Lie(toy, output, relation, {"row.share.y": first_plus(1)}, looked_up=True)


LIES: dict[str, Callable[[], Lie]] = {
    "acc = y": another_sum,
    "acc - 2^s y in range": another_rounding,
    "bits are bits": no_bits,
    "X - P >= 0": lambda: too_high(True),
    "above = X - P": lambda: too_high(False),
    "2 P - 1 - X >= 0": lambda: too_low(True),
    "below = 2 P - 1 - X": lambda: too_low(False),
    "n = rescale(X Q)": another_mantissa,
    "the logarithm's table": another_logarithm,
    "M = x + eps": lambda: another_root(1, "", of=4),
    "rho^2 M <= K": lambda: another_root(1.3, "norm.u"),
    "(rho + 1)^2 M > K": lambda: another_root(0.5, "norm.v"),
    "a row has a maximum": no_maximum,
    "the maximum is an entry": maximum_of_nobody,
    "the exponential's table": another_exponential,
    "p = rescale(e I)": another_share,
}


@pytest.mark.parametrize("present", [True, False], ids=["refused", "accepted without"])
@pytest.mark.parametrize("name", LIES)
def test_one_relation_stops_each(monkeypatch: pytest.MonkeyPatch, name: str, present: bool) -> None:
    try_lie(monkeypatch, LIES[name](), present)


@pytest.mark.parametrize("x", [-1, -99])
def test_what_has_no_logarithm(x: int) -> None:
    with pytest.raises(RangeError):
        _ = logarithm(x + 1).trace


def test_what_has_no_root() -> None:
    op = Rsqrt(name="y", x="x", constant=CONSTANT, eps=3, x_bits=20)
    with pytest.raises(RangeError):
        _ = program(op, x=np.array([-3]), dims=(1,), high=HIGH).trace


def test_two_bits_of_an_exponent_leave_the_table() -> None:
    """Why nothing says that the bits sum to one: every pair gives a mantissa out of the table."""
    for i in range(1, BITS):
        for j in range(i):
            x = (1 << i) + (1 << j)  # the least of a bracket with this power
            q = (1 << (BITS - 1 - i)) + (1 << (BITS - 1 - j))
            assert (x * q >> (BITS - 15)) - (1 << 14) >= 1 << 15


def test_widths_of_other_ops() -> None:
    """48 bits are for contractions."""
    from veracity.graph.ops import Rescale

    with pytest.raises(UsageError, match="bits"):
        program(Rescale(name="y", x="x", shift=1, bits=48), x=np.array([1]), dims=(1,))
