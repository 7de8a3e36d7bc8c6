"""Malicious provers on contractions, pools, clamps, copies and arg max: one relation stops each.

Every attack runs twice: against the argument, where the verifier must refuse, and against one that
owes everything but that relation, where it must accept.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest

from tests.support.tensor_lies import ENGINE, KEY, LOG_COLUMNS, Lie, first_plus, program, try_lie
from tests.support.toy_programs import Toy
from veracity.engine.api import Ints
from veracity.errors import UsageError, VerificationError
from veracity.graph.ops import (
    Clamp,
    Combine,
    Contract,
    Function,
    MaxPool,
    Operand,
    Product,
    Reshape,
    Top,
)
from veracity.graph.wires import Step
from veracity.zkml import Statement, commit_model, prove, verify
from veracity.zkml.circuit import build


def pool() -> Toy:
    x = np.array([[3, 9, 4, 1, 7, 7, 2]])
    op = MaxPool(name="y", x="x", axis=1, size=3, stride=2, dilation=1, low=1, high=1)
    return program(op, x=x, dims=(1, 4))


def too_large() -> Lie:
    """A maximum that no entry has."""
    toy = pool()
    output = toy.trace.outputs["y"].copy()
    output[0, 0] += 1
    columns = {"pool.gain 1": first_plus(1)}
    return Lie(toy, output, ("Public", "pool.gain"), columns, looked_up=True)


def one_ignored() -> Lie:
    """A maximum over all entries of a window but the largest."""
    toy = pool()
    output = toy.trace.outputs["y"].copy()
    output[0, 0] = 3

    def ignore(values: Ints) -> Ints:
        out = values.astype(np.int64)
        out[0, 0] = 0
        return out

    return Lie(toy, output, ("Public", "pool.gain"), {"pool.gain 1": ignore}, looked_up=True)


def above_the_clamp() -> Lie:
    """The upper bound given for a value that lies below it."""
    x = np.array([5, -70000, 70000, 99])
    toy = program(Clamp(name="y", x="x", low=-9, high=200, x_bits=24), x=x, dims=(4,))
    columns = {"clamp.below of y": first_plus(195)}
    output = toy.trace.outputs["y"].copy()
    output[0] = 200
    return Lie(toy, output, ("clamp.below", "clamp.above", "Public", "1"), columns)


def beyond_the_clamp() -> Lie:
    """A value that should have been cut to the bound."""
    x = np.array([5, 201, 3])
    toy = program(Clamp(name="y", x="x", low=-9, high=200, x_bits=15), x=x, dims=(3,))
    output = toy.trace.outputs["y"].copy()
    output[1] = 201
    columns = {"clamp.above of y": lambda v: v * 0}
    relation = ("clamp.below", "clamp.above", "Public")
    return Lie(toy, output, relation, columns, looked_up=True)


def another_class() -> Lie:
    """The place of an entry that is not the largest."""
    toy = program(Top(name="y", x="x"), x=np.array([[1, 8, 3], [4, 2, 0]]), dims=(2,))
    relation = ("top.value Broadcast", "Public", "Below")
    return Lie(toy, np.array([2, 0]), relation, looked_up=True)


def later_of_equals() -> Lie:
    """The second of two largest entries."""
    toy = program(Top(name="y", x="x"), x=np.array([[1, 8, 8]]), dims=(1,))
    relation = ("top.value Broadcast", "Public", "Below")
    return Lie(toy, np.array([2]), relation, looked_up=True)


def class_of_no_entry() -> Lie:
    """A greatest value that the chosen entry does not have."""
    toy = program(Top(name="y", x="x"), x=np.array([[1, 8, 3]]), dims=(1,))
    relation = ("top.value", "Public", "Chosen")
    return Lie(toy, np.array([2]), relation, {"top.value": first_plus(6)})


def convolution() -> Toy:
    rng = np.random.default_rng(7)
    x, k = rng.integers(-99, 99, (2, 5, 4)), rng.integers(-99, 99, (3, 2, 3, 3)).astype(np.int16)
    wire = (Step("window", 1, (3, 1, 1, 1, 1)), Step("window", 3, (3, 2, 1, 1, 1)))
    product = Product(
        spec="cyuxv,ocuv->oyx", a=Operand(x="x", wire=wire), b=Operand(x="k", of="weight")
    )
    op = Contract(name="y", products=(product,), addends=(), shift=5, bits=16)
    return program(op, x=x, dims=(3, 5, 2), weights={"k": k})


def border() -> Lie:
    """A convolution whose result at the border is one off: the remainder shows it."""
    toy = convolution()
    output = toy.trace.outputs["y"].copy()
    output[0, 0, 0] += 1
    relation = ("Public", "k", "contract.y", "1")
    return Lie(toy, output, relation, {"contract.y": first_plus(1)}, looked_up=True)


def other_padding() -> Lie:
    """A convolution of the picture that repeats at its edge, where the program pads zeros."""
    toy = convolution()
    x = np.pad(toy.inputs["x"], ((0, 0), (1, 1), (1, 1)), mode="edge")
    (op,) = toy.program.ops
    assert isinstance(op, Contract)
    wire = (Step("window", 1, (3, 1, 1, 0, 0)), Step("window", 3, (3, 2, 1, 0, 0)))
    product = Product(spec=op.products[0].spec, a=Operand(x="x", wire=wire), b=op.products[0].b)
    other = Contract(name="y", products=(product,), addends=(), shift=5, bits=16)
    output = program(other, x=x, dims=(3, 5, 2), weights=toy.weights).trace.outputs["y"]
    assert not np.array_equal(output, toy.trace.outputs["y"])
    relation = ("Public", "k", "contract.y", "1")
    return Lie(toy, output, relation, {"contract.y": lambda _: output}, looked_up=True)


def swapped_copy() -> Lie:
    """A reshape that exchanges two entries."""
    x = np.arange(12).reshape(2, 6)
    toy = program(Reshape(name="y", x="x", dims=(4, 3)), x=x, dims=(4, 3))
    output = toy.trace.outputs["y"].copy()
    output[0, :2] = output[0, 1::-1]
    relation = ("reshape Split", "Public")
    return Lie(toy, output, relation, {"reshape": lambda _: output})


def chosen_by_two() -> Lie:
    """A selection with a condition that is neither 0 nor 1."""
    x = np.array([[1, -1, 1], [5, 6, 7], [2, 2, 2]])
    row = [(Step("slice", 0, (i, i + 1, 1)),) for i in range(3)]
    gap = (Operand(x="x", wire=row[1]), Operand(x="x", wire=row[2], factor=-1))
    select = Product(spec="ax,ax->ax", a=Operand(x="c"), b=Operand(x="d"))
    toy = program(
        Combine(name="x0", addends=(Operand(x="x", wire=row[0]),)),
        Function(name="c", x="x0", fn="step", k_in=0, k_out=0),
        Combine(name="d", addends=gap),
        Contract(
            name="y", products=(select,), addends=(Operand(x="x", wire=row[2]),), shift=0, bits=16
        ),
        x=x, dims=(1, 3),
    )  # fmt: skip
    output = toy.trace.outputs["y"].copy()
    output[0, 0] = 2 + 2 * (5 - 2)
    columns = {"function.y": first_plus(1), "contract.y": lambda _: output}
    return Lie(toy, output, ("Public", "function.y"), columns, looked_up=True)


LIES = [
    too_large, one_ignored, above_the_clamp, beyond_the_clamp, another_class, later_of_equals,
    class_of_no_entry, border, other_padding, swapped_copy, chosen_by_two,
]  # fmt: skip


@pytest.mark.parametrize("present", [True, False], ids=["refused", "accepted without"])
@pytest.mark.parametrize("made", LIES)
def test_one_relation_stops_each(
    monkeypatch: pytest.MonkeyPatch, made: Callable[[], Lie], present: bool
) -> None:
    try_lie(monkeypatch, made(), present)


@pytest.mark.parametrize("index", [-1, 3, 1 << 14])
def test_an_index_that_nothing_has_is_no_answer(index: int) -> None:
    toy = program(Top(name="y", x="x"), x=np.array([[1, 8, 3]]), dims=(1,))
    files = commit_model(ENGINE, toy.program, toy.weights, log_columns=LOG_COLUMNS, key=KEY)
    lie = Statement(toy.program, toy.inputs, {"y": np.array([index])}, commitment=files[0])
    with pytest.raises(VerificationError, match="index"):
        verify(ENGINE, lie, bytes(1 << 14), key=KEY)


# ---- programs that are refused -------------------------------------------------------------------
def test_pools_that_lie_outside() -> None:
    for numbers in ((3, 1, 1, 9, 0), (3, 9, 2, 0, 9), (65, 1, 1, 64, 0), (0, 1, 1, 0, 0)):
        size, stride, dilation, low, high = numbers
        with pytest.raises(UsageError):
            program(
                MaxPool(
                    name="y", x="x", axis=0, size=size, stride=stride, dilation=dilation,
                    low=low, high=high,
                ),
                x=np.arange(4), dims=(4,),
            )  # fmt: skip


def test_a_sum_that_doubles_is_committed_before_it_grows() -> None:
    """Each op reads the one before in two ways: without copies, 2^14 terms."""
    flips = ((), (Step("flip", 0),), (Step("tile", 0, (2,)), Step("slice", 0, (1, 5, 1))))
    ops = [
        Combine(
            name=f"s{i}" if i < 13 else "y",
            addends=tuple(Operand(x=f"s{i - 1}" if i else "x", wire=w) for w in flips[i % 2 :][:2]),
        )
        for i in range(14)
    ]
    toy = program(*ops, x=np.arange(4) - 1, dims=(4,))
    files = commit_model(ENGINE, toy.program, toy.weights, log_columns=LOG_COLUMNS, key=KEY)
    statement = Statement(toy.program, toy.inputs, toy.trace.outputs, commitment=files[0])
    circuit = build.build_circuit(statement, statement.links[0])
    assert max(len(t.terms) for t in circuit.builder.zeros) < 200
    verify(ENGINE, statement, prove(ENGINE, statement, {}, files[1], key=KEY), key=KEY)


def test_a_class_of_many_is_checked_without_a_matrix_of_classes() -> None:
    """Committed entries take 32 bytes for a row of thousands; the verifier makes none of them."""
    entries = 1 << 13
    toy = program(Top(name="y", x="x"), x=np.arange(entries)[None] % 999, dims=(1,))
    statement = Statement(
        toy.program,
        {"x": toy.inputs["x"]},
        {"y": np.array([998])},
        commitment=commit_model(ENGINE, toy.program, {}, b"")[0],
    )
    tracemalloc.start()
    build.build_circuit(statement, statement.links[0])
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < entries**2 // 8
