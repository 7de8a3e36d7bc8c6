"""What evaluation refuses: sizes, operands and products that the program's facts do not bound."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.unit.test_program_limits import HONEST, X
from tests.unit.test_shape_rules import FACTS, PRODUCT
from veracity.errors import FormatError, UnsupportedModelError, UsageError
from veracity.graph import Output, Program, WeightSpec, execute, ops
from veracity.graph.evaluate import pointwise
from veracity.graph.exact import linear, matmul, multiply
from veracity.graph.samples import choices_over, program_over
from veracity.graph.wires import MAX_WORK, Step, gather_wire, wire_gain

GAIN = HONEST.ops[0]
ANSWERS = replace(
    HONEST,
    ops=(ops.Head(name="h", x="x", weight="w", shift=0),),
    inputs={"x": X},
    outputs={"h": Output(("A",), 0, 0, 2, "h")},
    limits={"T": 6, "A": 6},
    weights={"w": WeightSpec((3, 4), "int16", 8, 16)},
    exponents={},
)
WEIGHTS = {"w": np.ones((3, 4), np.int16)}
TOKENS = np.ones((5, 4), np.int64)


@pytest.mark.parametrize("sizes", [{"A": 0}, {"A": 7}, {"B": 1}])
def test_sizes_beyond_a_limit(sizes: dict[str, int]) -> None:
    assert execute(ANSWERS, WEIGHTS, {"x": TOKENS}, {"A": 5}).outputs["h"].shape == (5,)
    with pytest.raises(UsageError, match="not within the program's limits"):
        execute(ANSWERS, WEIGHTS, {"x": TOKENS}, {"A": 1} | sizes)


def test_more_answers_than_positions() -> None:
    with pytest.raises(UsageError, match="more answers than positions"):
        execute(ANSWERS, WEIGHTS, {"x": TOKENS}, {"A": 6})


def test_ops_that_need_more_than_operands() -> None:
    add = HONEST.ops[1]
    x = np.arange(8).reshape(2, 4)
    assert (pointwise(add, {"g": x, "x": x}) == 2 * x).all()
    with pytest.raises(UsageError, match="g: Gain is more than a function"):
        pointwise(GAIN, {"x": x})


@pytest.mark.parametrize("product", [matmul, multiply])
def test_products_of_more_than_62_bits(product: Any) -> None:
    a, b = np.array([[1 << 31]]), np.array([[(1 << 31) - 1]])
    assert int(product(a, b)[0, 0]) == (1 << 62) - (1 << 31)
    with pytest.raises(UsageError, match="exceed 62 bits"):
        product(a, a)


def test_sums_of_more_than_62_bits() -> None:
    x, w = np.array([[1 << 45, 1 << 45]]), np.ones((1, 2), np.int16)
    assert linear(x, w).tolist() == [[1 << 46]]
    with pytest.raises(UsageError, match="exceed 62 bits"):
        linear(2 * x, w)  # 2 * 2^46 * 2^15


@pytest.mark.parametrize(("name", "said"), [("x", "no spec"), ("w", "a value or a weight")])
def test_operands_are_values_or_weights(name: str, said: str) -> None:
    term = ops.Operand(x=name, of="port")
    first = ops.Combine(name="c", addends=(ops.Operand(x="x"), term))
    with pytest.raises(UsageError, match=said):
        replace(HONEST, ops=(first, *HONEST.ops)).validate()


def test_wires_of_one_op_are_counted_together() -> None:
    """Each of them has work for a third of what is allowed, and a little more."""
    long = ops.Operand(x="x", wire=(Step("repeat", 0, (MAX_WORK // 3 + 1,)),))
    wiring = ops.RULES[ops.Combine].wiring
    two, three = (ops.Combine(name="c", addends=(long,) * n) for n in (2, 3))
    assert wiring(two, FACTS, [(4,)]) == 2 * (MAX_WORK // 3 + 1)
    with pytest.raises(UsageError, match="more than 2\\^26 entries"):
        wiring(three, FACTS, [(4,)])
    product = ops.Contract(
        name="c", products=(replace(PRODUCT, a=long, b=long),), addends=(long,), shift=0, bits=16
    )
    with pytest.raises(UsageError, match="more than 2\\^26 entries"):
        wiring(product, FACTS, [(4,)])
    halves = tuple(replace(two, name=f"c{i}") for i in range(2))
    with pytest.raises(UsageError, match="more than 2\\^26 entries"):
        replace(HONEST, inputs={"x": replace(X, dims=(1,))}, ops=(*halves, *HONEST.ops)).validate()


@pytest.mark.parametrize(
    ("words", "change"),
    [
        ("another format version", lambda text: "[]"),
        ("another format version", lambda text: "1"),
        ("another format version", lambda text: text.replace('"format":', '"form":')),
        ("another format version", lambda text: "{}"),
        ("not canonical", lambda text: text + " "),
        ("not canonical", lambda text: text.replace(":", ": ", 1)),
        ("malformed", lambda text: text.replace('"limits":{"T":6}', '"limits":{"T":true}')),
        ("malformed", lambda text: text[:-1]),
    ],
)  # fmt: skip
def test_programs_that_are_not_written_so(words: str, change: Any) -> None:
    text = HONEST.to_json()
    assert change(text) != text
    with pytest.raises(FormatError, match=words):
        Program.from_json(change(text))


def test_samples_of_programs_that_cannot_have_them() -> None:
    """An axis more than a value may have, and an op that mixes rows."""
    add = replace(HONEST.ops[1], name="s", a="x", b="x")
    deep = replace(
        HONEST,
        inputs={"x": replace(X, dims=(1,) * 8)},
        outputs={"y": replace(HONEST.outputs["y"], dims=(1,) * 8)},
        limits={},
        ops=(add,),
        weights={},
        exponents={},
    )
    deep.validate()
    with pytest.raises(UsageError, match="dims out of bounds"):
        program_over(deep, 2)
    head = replace(
        ANSWERS,
        inputs={"x": replace(X, dims=(6, 4))},
        outputs={"h": Output((6,), 0, 0, 2, "h")},
        limits={},
    )
    with pytest.raises(UnsupportedModelError, match="Head on several samples"):
        program_over(head, 2)


def test_choices_among_values_too_large_to_compare() -> None:
    """Values of 61 bits are fine; the difference of two of them needs one bit more."""
    for bits, fine in ((60, True), (61, False)):
        large = replace(
            HONEST,
            inputs={"x": replace(X, dims=(4,), low=0, high=1 << bits)},
            outputs={"y": replace(HONEST.outputs["y"], dims=(4,))},
            limits={},
            ops=(ops.Combine(name="s", addends=(ops.Operand(x="x"),)),),
            weights={},
            exponents={},
        )
        large.validate()
        if fine:
            assert choices_over(large, 2)[1] == 4
            continue
        with pytest.raises(UsageError, match="more than 62 bits"):
            choices_over(large, 2)


def test_wires_on_lengths_that_nobody_knows() -> None:
    assert wire_gain((Step("sum", 1),), ("T", 3)) == 3
    with pytest.raises(UsageError, match="whose length is not known"):
        wire_gain((Step("sum", 0),), ("T", 3))
    window = (Step("window", 0, (2, 1, 1, 0, 0)),)
    assert gather_wire(window, np.ones((2, 2), np.int64), (3,)).tolist() == [1, 2, 1]
    with pytest.raises(UsageError, match="whose length is not known"):
        gather_wire(window, np.ones((2, 2), np.int64), ("T",))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="only windows are gathered"):
        gather_wire((Step("flip", 0),), np.ones(3, np.int64), (3,))
