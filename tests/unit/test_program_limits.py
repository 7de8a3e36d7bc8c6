"""Programs, wires and recipes that are wrong in one thing only are refused, and told what it is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from veracity.errors import UsageError
from veracity.graph import Output, Port, Program, WeightSpec, ops
from veracity.graph.ops.base import LARGEST
from veracity.graph.port import bind_sizes
from veracity.graph.program import MAX_LENGTH, MAX_LIMIT, MAX_LIVE, MAX_NAME, MAX_OPS, MAX_PORTS
from veracity.graph.samples import MAX_SAMPLES, choices_over, program_over
from veracity.graph.training import Recipe
from veracity.graph.training.network import Network, dense
from veracity.graph.training.order import batch_rows
from veracity.graph.wires import MAX_AXES, MAX_NUMBERS, MAX_STEPS, Step, gather_wire, wire_dims


def add(name: str, a: str, b: str) -> ops.Add:
    return ops.Add(name=name, a=a, b=b, shift_a=0, shift_b=0)


HONEST = Program(
    name="p",
    arch={},
    inputs={"x": Port(("T", 4), 8, -9, 9)},
    outputs={"y": Output(("T", 4), 8, -99, 99, "s")},
    limits={"T": 6},
    ops=(
        ops.Gain(name="g", x="x", weight="w", bias=None, shift=0, bits=16),
        add("s", "g", "x"),
    ),
    weights={"w": WeightSpec((4,), "int16", 8, 16)},
    exponents={"g": 8},
)
X, Y = HONEST.inputs["x"], HONEST.outputs["y"]
W = HONEST.weights["w"]
GAIN, SUM = HONEST.ops
TOPS = ops.Top(name="t", x="s")
SHOWN = Output(("T",), 0, 0, 3, "t")


def port(**changes: Any) -> Program:
    return replace(HONEST, inputs={"x": replace(X, **changes)})


def shown(**changes: Any) -> Program:
    return replace(HONEST, outputs={"y": replace(Y, **changes)})


def weight(**changes: Any) -> Program:
    return replace(HONEST, weights={"w": replace(W, **changes)})


def chain(count: int) -> tuple[ops.Op, ...]:
    return (*(add(f"a{i}", "x", "x") for i in range(count)), *HONEST.ops)


def alive(count: int) -> tuple[ops.Op, ...]:
    first = [add(f"a{i}", "x", "x") for i in range(count)]
    return (GAIN, *first, *(add(f"b{i}", f"a{i}", f"a{i}") for i in range(count)), SUM)


WRONG: list[tuple[Program, str]] = [
    (replace(HONEST, ops=()), "1 to 16384 ops"),
    (replace(HONEST, ops=chain(MAX_OPS - 1)), "1 to 16384 ops"),
    (replace(HONEST, weights={f"w{i}": W for i in range(MAX_OPS + 1)}), "1 to 16384 ops"),
    (replace(HONEST, outputs={}), "1 to 64 outputs"),
    (replace(HONEST, outputs={f"y{i}": Y for i in range(MAX_PORTS + 1)}), "1 to 64 outputs"),
    (
        replace(HONEST, inputs={"x": X} | {f"x{i}": X for i in range(MAX_PORTS)}),
        "1 to 64 outputs",
    ),
    (replace(HONEST, name="p" * (MAX_NAME + 1)), "longer than 200"),
    (replace(HONEST, name="a\u202eb"), "cannot be printed"),
    (replace(HONEST, limits={"T": 0}), "a limit is out of bounds"),
    (replace(HONEST, limits={"T": MAX_LIMIT + 1}), "a limit is out of bounds"),
    (replace(HONEST, outputs={"x": Y}), "an input and an output"),
    (replace(HONEST, outputs={"y": Y, "z": Y}), "two outputs show one value"),
    (port(dims=()), "dims out of bounds"),
    (port(dims=(1,) * 9), "dims out of bounds"),
    (port(dims=("T", 0)), "dims out of bounds"),
    (port(dims=("T", MAX_LENGTH + 1)), "dims out of bounds"),
    (port(low=10), "no such range"),
    (port(low=-LARGEST), "no such range"),
    (port(high=LARGEST), "no such range"),
    (port(exponent=65), "exponent out of bounds"),
    (port(exponent=-65), "exponent out of bounds"),
    (port(dims=("U", 4)), "no limit of U"),
    (weight(dtype="float32"), "no such integers"),
    (weight(bits=0), "no such integers"),
    (weight(bits=17), "no such integers"),  # a proof of widths would say less than evaluation has
    (weight(exponent=65), "exponent out of bounds"),
    (weight(exponent=-65), "exponent out of bounds"),
    (replace(HONEST, exponents={"none": 8}), "belongs to no value"),
    (replace(HONEST, exponents={"g": 65}), "an exponent is out of bounds"),
    (replace(HONEST, exponents={"g": -65}), "an exponent is out of bounds"),
    (replace(HONEST, weights={"w": W, "v": W}), "weights that no op reads"),
    (replace(HONEST, ops=(GAIN, replace(SUM, name="g"), SUM)), "two ops have this name"),
    (replace(HONEST, ops=(replace(GAIN, name="x"), SUM)), "two ops have this name"),
    (replace(HONEST, ops=(SUM, GAIN)), "reads g before it is computed"),
    (
        replace(
            HONEST,
            ops=(*HONEST.ops, TOPS, add("u", "t", "t")),
            outputs={"y": Y, "t": SHOWN},
        ),
        "reads t before it is computed",
    ),
    (replace(HONEST, weights={"v": W}), "weight w has no spec"),
    (replace(HONEST, ops=(replace(GAIN, shift=33), SUM)), "shift out of bounds"),
    (replace(HONEST, ops=(GAIN, replace(SUM, shift_a=32, shift_b=32)), inputs={
        "x": replace(X, high=1 << 40)}), "62 bits"),
    (replace(HONEST, ops=alive(MAX_LIVE + 1)), "are alive at once"),
    (shown(value="x"), "no op x has a result"),
    (shown(value="none"), "no op none has a result"),
    (shown(dims=("T", 5)), "no op s has a result"),
    (replace(HONEST, ops=(*HONEST.ops, TOPS)), "a choice that is no output"),
]  # fmt: skip


def test_the_honest_program_is_fine() -> None:
    HONEST.validate()
    replace(HONEST, ops=alive(MAX_LIVE - 1)).validate()
    replace(HONEST, exponents={"g": -64}).validate()
    port(low=1 - LARGEST >> 33, high=LARGEST >> 33, exponent=64).validate()
    tops = replace(HONEST, ops=(*HONEST.ops, TOPS), outputs={"y": Y, "t": SHOWN})
    tops.validate()
    assert Program.from_json(HONEST.to_json()) == HONEST


@pytest.mark.parametrize(("program", "said"), WRONG)
def test_one_thing_wrong_is_told(program: Program, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        program.validate()


def test_a_value_has_few_axes() -> None:
    wire = tuple(Step("repeat", 0, (1,)) for _ in range(7))
    op = ops.Combine(name="c", addends=(ops.Operand(x="x", wire=wire),))
    many = replace(HONEST, ops=(op, *HONEST.ops))
    with pytest.raises(UsageError, match="a value has 1 to 8 dims"):
        many.validate()


def test_sizes_and_ranges() -> None:
    HONEST.check_sizes({"T": 1})
    HONEST.check_sizes({"T": 6})
    for sizes in ({"T": 0}, {"T": 7}, {"U": 1}):
        with pytest.raises(UsageError, match="not within the program's limits"):
            HONEST.check_sizes(sizes)
    x = np.zeros((3, 4), dtype=np.int64)
    assert HONEST.check_inputs({"x": x}) == {"T": 3}
    for inputs in ({}, {"x": x, "z": x}, {"z": x}):
        with pytest.raises(UsageError, match="the program's inputs are"):
            HONEST.check_inputs(inputs)
    for value in (-10, 10):
        with pytest.raises(UsageError, match="a value is not within -9"):
            HONEST.check_inputs({"x": x + value})


@pytest.mark.parametrize(
    ("shapes", "said"),
    [
        ({"z": (3, 4)}, "no port 'z'"),
        ({"x": (3,)}, "has 2 dims, not 1"),
        ({"x": (3, 5)}, "dim 4 is 4, not 5"),
        ({"x": (3, 4), "y": (2, 4)}, "dim T is 3, not 2"),
        ({"x": (7, 4)}, "T = 7 is not within 1 .. 6"),
        ({"x": (0, 4)}, "T = 0 is not within 1 .. 6"),
    ],
)
def test_shapes_that_do_not_fit(shapes: dict[str, tuple[int, ...]], said: str) -> None:
    ports = {**HONEST.inputs, **HONEST.outputs}
    assert bind_sizes(ports, {"x": (6, 4), "y": (6, 4)}, HONEST.limits) == {"T": 6}
    with pytest.raises(UsageError, match=said):
        bind_sizes(ports, shapes, HONEST.limits)


# ---- several samples -----------------------------------------------------------------------------
FIXED = replace(port(dims=(3, 4)), outputs={"y": replace(Y, dims=(3, 4))}, limits={})


def test_samples_have_bounds() -> None:
    assert program_over(FIXED, 2).inputs["x"].dims == (2, 3, 4)
    for samples in (0, MAX_SAMPLES + 1):
        with pytest.raises(UsageError, match="1 to 1048576 samples"):
            program_over(FIXED, samples)
    assert program_over(HONEST, 2).inputs["x"].dims == (2, 4)
    bare = replace(HONEST, weights={}, exponents={})
    turned = ops.Operand(x="x", wire=(Step("permute", 0, (1, 0)),))
    attend = ops.Attention(
        name="s", q="x", k="x", v="x", kv_heads=1, group=1, head_dim=4, score_shift=9, exp_k=8,
        mix_shift=15, bits=16,
    )  # fmt: skip
    for op, inside, outside in (
        (add("s", "x", "x"), (4, "T"), (4, "T")),  # samples are not the first axis
        (ops.Combine(name="s", addends=(turned,)), ("T", 4), (4, "T")),  # nor in what is shown
        (attend, ("T", 4), ("T", 4)),  # an op that mixes them
    ):
        ports = {"x": replace(X, dims=inside)}, {"y": replace(Y, dims=outside)}
        program = replace(bare, ops=(op,), inputs=ports[0], outputs=ports[1])
        program.validate()
        with pytest.raises(UsageError, match="lengths are open"):
            program_over(program, 2)


def test_choices_have_an_output_with_entries() -> None:
    assert choices_over(FIXED, 2)[1] == 12
    with pytest.raises(UsageError, match="which output has the scores"):
        choices_over(FIXED, 2, "none")
    two = replace(FIXED, outputs={"y": Y_FIXED, "z": replace(Y_FIXED, value="g")})
    with pytest.raises(UsageError, match="which output has the scores"):
        choices_over(two, 2)
    top = replace(FIXED, ops=(*FIXED.ops, TOPS), outputs={"t": Output((3,), 0, 0, 3, "t")})
    with pytest.raises(UsageError, match="one choice for each sample"):
        choices_over(top, 2)
    taken = replace(FIXED, ops=(*FIXED.ops, add("class.top", "x", "x")))
    with pytest.raises(UsageError, match="a name that is needed"):
        choices_over(taken, 2)
    single = replace(
        FIXED,
        inputs={"x": replace(X, dims=(1,))},
        outputs={"y": replace(Y, dims=(1,))},
        weights={"w": replace(W, shape=(1,))},
    )
    with pytest.raises(UsageError, match="among two or more"):
        choices_over(single, 2)


Y_FIXED = FIXED.outputs["y"]


# ---- wires ---------------------------------------------------------------------------------------
LONG = 1 << 23
STEPS: list[tuple[Step, tuple[Any, ...], str]] = [
    (Step("permute", 1, (1, 0)), (2, 3), "no order of the axes"),
    (Step("permute", 0, (0, 0)), (2, 3), "no order of the axes"),
    (Step("permute", 0, (0, 2)), (2, 3), "no order of the axes"),
    (Step("repeat", 3, (2,)), (2, 3), "no such axis"),
    (Step("repeat", -1, (2,)), (2, 3), "no such axis"),
    (Step("repeat", 0, (0,)), (2, 3), "."),
    (Step("repeat", 0, ()), (2, 3), "other numbers"),
    (Step("sum", 2), (2, 3), "no such axis"),
    (Step("sum", -1), (2, 3), "no such axis"),
    (Step("sum", 0), ("T", 3), "whose length is not known"),
    (Step("sum", 0, (1,)), (2, 3), "."),
    (Step("split", 1, (2, 2)), (2, 3), "a split into other sizes"),
    (Step("split", 1, ()), (2, 1), "a split into other sizes"),
    (Step("split", 1, (-1, -3)), (2, 3), "."),
    (Step("none", 0), (2, 3), "no step 'none'"),
    (Step("window", 1, (4, 1, 1, 0, 0)), (2, 3), "."),
    (Step("window", 1, (2, 0, 1, 0, 0)), (2, 3), "."),
    (Step("window", 1, (0, 1, 1, 0, 0)), (2, 3), "."),
    (Step("window", 1, (2, 1, 0, 0, 0)), (2, 3), "."),
    (Step("window", 1, (2, 1, 1, -1, 0)), (2, 3), "."),
    (Step("window", 1, (2, 1, 1)), (2, 3), "other numbers"),
    (Step("pad", 1, (3, 1, 1)), (2, 3), "no such padding"),
    (Step("pad", 1, (2, 3, 0)), (2, 3), "no such padding"),
    (Step("pad", 1, (2, 0, 3)), (2, 3), "no such padding"),
    (Step("pad", 1, (0, 0, -1)), (2, 3), "."),
    (Step("pad", 1, (0, 0, LONG)), (2, 3), "."),
    (Step("slice", 1, (-1, 2, 1)), (2, 3), "a slice leaves its axis"),
    (Step("slice", 1, (2, 2, 1)), (2, 3), "a slice leaves its axis"),
    (Step("slice", 1, (0, 4, 1)), (2, 3), "a slice leaves its axis"),
    (Step("slice", 1, (0, 2, 0)), (2, 3), "."),
    (Step("flip", 1, (1,)), (2, 3), "."),
    (Step("dilate", 1, (0,)), (2, 3), "."),
    (Step("dilate", 1, (LONG,)), (2, 3), "."),
    (Step("tile", 1, (0,)), (2, 3), "."),
    (Step("tile", 1, (LONG,)), (2, 3), "."),
    (Step("each", 1, (0,)), (2, 3), "."),
    (Step("each", 1, (LONG,)), (2, 3), "."),
    (Step("pick", 1, ()), (2, 3), "."),
    (Step("pick", 1, (-2,)), (2, 3), "an index leaves its axis"),
    (Step("pick", 1, (3,)), (2, 3), "an index leaves its axis"),
    (Step("taps", 1, (1, 1, 1)), (2, 3), "another number of entries"),
    (Step("taps", 1, (1, 1, 1, 1 << 31)), (2, 3), "too large"),
    (Step("taps", 1, (1, 1, 1, -(1 << 31))), (2, 3), "too large"),
    (Step("taps", 1, (0,)), (2, 3), "."),
    (Step("dft", 1, (0, 0)), (2, 3), "other numbers"),
    (Step("idft", 1, (0, 0, 8)), (2, 3), "other numbers"),
    (Step("dft", 1, (2, 0, 8)), (2, 3), "no such transform"),
    (Step("dft", 1, (0, 2, 8)), (2, 3), "no such transform"),
    (Step("dft", 1, (0, 0, 0)), (2, 3), "no such transform"),
    (Step("dft", 1, (0, 0, 17)), (2, 3), "no such transform"),
    (Step("dft", 1, (0, 0, 8)), (2, 1025), "no such transform"),
    (Step("idft", 1, (0, 0, 8, 0)), (2, 3), "no such transform"),
    (Step("idft", 1, (0, 0, 8, 4)), (2, 3), "a transform of another length"),
    (Step("pick", 1, (0,) * (MAX_NUMBERS + 1)), (2, 3), "too many numbers"),
]  # fmt: skip


@pytest.mark.parametrize(("step", "dims", "said"), STEPS)
def test_steps_that_do_not_fit(step: Step, dims: tuple[Any, ...], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        wire_dims((step,), dims)


def test_wires_have_bounds() -> None:
    flip = Step("flip", 0)
    assert wire_dims((flip,) * MAX_STEPS, (3,)) == (3,)
    with pytest.raises(UsageError, match="too many steps"):
        wire_dims((flip,) * (MAX_STEPS + 1), (3,))
    more = Step("repeat", 0, (1,))
    assert len(wire_dims((more,) * (MAX_AXES - 1), (3,))) == MAX_AXES
    with pytest.raises(UsageError, match="too many axes or entries"):
        wire_dims((more,) * MAX_AXES, (3,))
    with pytest.raises(UsageError, match="too many axes or entries"):
        wire_dims((Step("repeat", 0, (1 << 20,)), Step("repeat", 0, (1 << 10,))), (3,))
    with pytest.raises(UsageError, match="only windows are gathered"):
        gather_wire((Step("pick", 0, (0, 1, 2, 0, 0)),), np.zeros((5, 1)), (3,))


# ---- training ------------------------------------------------------------------------------------
PICTURE = Network((8, 8, 1), ("conv 2 3x3", "relu", "flatten", "dense 3"))


@pytest.mark.parametrize(
    ("network", "said"),
    [
        (Network((2, 2), ("dense 3",)), r"\[entries\] or \[height"),
        (Network((0,), ("dense 3",)), "1 to 32768 entries"),
        (Network(((1 << 15) + 1,), ("dense 3",)), "1 to 32768 entries"),
        (Network((256, 256, 1), ("flatten", "dense 3")), "1 to 32768 entries"),
        (Network((4,), ("relu",)), "1 to 64 layers with weights"),
        (dense(4, *[2] * 65), "1 to 64 layers with weights"),
        (Network((8, 8, 1), ("flatten",) * 256 + ("dense 3",)), "1 to 64 layers with weights"),
        (Network((4,), ("dense  3",)), "canonical form"),
        (Network((4,), ("dense 1",)), "at least 2 neurons"),
        (Network((4,), ("dense x",)), "a dense layer is written as"),
        (Network((4,), ("dense 0",)), "."),
        (Network((4,), ("dense 99999999",)), "."),
        (Network((4,), ("dense 3", "relu")), "the last layer of a network is dense"),
        (Network((4,), ("dense 3", "dense 3")), "a relu stands behind every layer"),
        (Network((4,), ("relu", "dense 3")), "a relu stands behind a layer"),
        (Network((4,), ("dense 3", "relu", "relu", "dense 3")), "a relu stands behind a layer"),
        (Network((8, 8, 1), ("dense 3",)), "'flatten' stands between"),
        (Network((4,), ("conv 2 3x3", "relu", "dense 3")), "a convolution reads pictures"),
        (Network((4,), ("avgpool 2", "dense 3")), "averages are taken of pictures"),
        (
            Network((8, 8, 1), ("flatten", "avgpool 2", "dense 3")),
            "averages are taken of pictures",
        ),
        (Network((8, 8, 1), ("avgpool 3", "flatten", "dense 3")), "sides of squares are"),
        (Network((9, 8, 1), ("avgpool 2", "flatten", "dense 3")), "no whole number of squares"),
        (Network((8, 9, 1), ("avgpool 2", "flatten", "dense 3")), "no whole number of squares"),
        (Network((8, 8, 1), ("conv 2", "relu", "flatten", "dense 3")), "a convolution is written"),
        (Network((8, 8, 1), ("conv 2 9x3", "relu", "flatten", "dense 3")), "larger than its"),
        (
            Network((8, 8, 1), ("conv 2 3x3 pad 3", "relu", "flatten", "dense 3")),
            "padding is narrower",
        ),
        (
            Network((8, 8, 1), ("conv 2 2x2 same", "relu", "flatten", "dense 3")),
            "square kernel with odd sides",
        ),
        (
            Network((8, 8, 1), ("conv 2 3x5 same", "relu", "flatten", "dense 3")),
            "square kernel with odd sides",
        ),
        (Network((4,), ("softmax", "dense 3")), "known: conv, dense"),
    ],
)
def test_networks_that_are_none(network: Network, said: str) -> None:
    PICTURE.validate()
    dense(4, *[2] * 64).validate()
    with pytest.raises(UsageError, match=said):
        network.validate()


def test_a_batch_needs_as_many_examples() -> None:
    with pytest.raises(UsageError, match="a batch of 4 needs as many"):
        batch_rows(b"s" * 32, 3, 4, 0, 1)


COARSE = {"activation_bits": 4, "gradient_bits": 4, "rate_bits": 5}
RECIPE = Recipe(dense(4, 3), batch=2, rates=(1, 1))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"network": Network((4,), ("relu",))}, "layers with weights"),
        ({"batch": 0}, "1 to 4096 examples"),
        ({"batch": 4097}, "1 to 4096 examples"),
        ({"rates": ()}, "1 to 1048576 steps"),
        ({"rates": (1,) * ((1 << 20) + 1)}, "1 to 1048576 steps"),
        ({"rates": (1 << 21,)}, "a learning rate is too large"),
        ({"rates": (-(1 << 21),)}, "a learning rate is too large"),
        ({"rates": (1 << 20,) * ((1 << 18) + 1), "batch": 4096}, "together exceed"),
        ({"loss": "hinge"}, "no loss 'hinge'"),
        ({"activation_bits": 3}, "integer widths leave"),
        ({"activation_bits": 13}, "integer widths leave"),
        ({"gradient_bits": 3}, "integer widths leave"),
        ({"gradient_bits": 16}, "integer widths leave"),
        ({"rate_bits": 3}, "integer widths leave"),
        ({"rate_bits": 21}, "integer widths leave"),
        ({"loss": "square", "activation_bits": 12, "gradient_bits": 11}, "square loss"),
        ({"settle": 2}, "settle every 1 to 64"),
        ({"settle": 65, "decays": (0,)}, "settle every 1 to 64"),
        ({"settle": -1, "decays": (0,)}, "settle every 1 to 64"),
        ({"decays": (0,)}, "settle every 1 to 64"),
        ({"settle": 1, "momentum_bits": 4, "momentum": (16,)}, "a power for each step"),
        ({"settle": 1, "momentum_bits": 4, "momentum": (15, 8)}, "a power for each step"),
        ({"settle": 1, "momentum_bits": 9, "momentum": (512, 8)}, "a power for each step"),
        ({"settle": 1, "momentum_bits": 0, "momentum": (1, 0)}, "a power for each step"),
        ({"settle": 1, "momentum_bits": 4, "momentum": (16, 17)}, "lie between 0 and 1"),
        ({"settle": 1, "momentum_bits": 4, "momentum": (16, -1)}, "lie between 0 and 1"),
        ({"momentum_bits": 4}, "bits of momentum without"),
        ({"settle": 1, "decays": (1,)}, "a number for each block"),
        ({"settle": 1, "decays": (1, 1 << 16)}, "less than all of a weight"),
        ({"settle": 1, "decays": (1, -1)}, "less than all of a weight"),
        ({"network": dense(4, 3, 3), **COARSE}, "at least 14 bits while training"),
    ],
)
def test_recipes_that_are_none(changes: dict[str, Any], said: str) -> None:
    RECIPE.validate()
    with pytest.raises(UsageError, match=said):
        replace(RECIPE, **changes).validate()
