"""Programs over samples mean what they mean sample by sample, whatever the op."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.one_op_programs import BUILD, Case, program_of
from tests.support.pictures import picture_recipe
from tests.support.programs import small_model
from tests.support.toy_vision import network
from tests.support.training import small_recipe
from veracity.errors import RangeError, UnsupportedModelError, UsageError
from veracity.graph import Program, execute
from veracity.graph.ops import RULES, Attention, Clamp, Contract, Op, Operand, Product
from veracity.graph.port import Output, Port, WeightSpec
from veracity.graph.samples import MAX_SAMPLES, choices_over, program_over, sample_ports
from veracity.graph.training import Recipe
from veracity.graph.training.program import program_of as trained_program
from veracity.graph.wires import Step, apply_wire, wire_over

WITH = [kind for kind in BUILD if RULES[kind].over is not None]
SAMPLES = 3


def samples_of(case: Case, inputs: dict[str, tuple[int, int]]) -> Iterator[dict[str, np.ndarray]]:
    for _ in range(SAMPLES):
        yield {n: case.values(case.integers[n].shape, *bounds) for n, bounds in inputs.items()}


@pytest.mark.parametrize("kind", WITH)
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_each_op_acts_on_every_sample_alone(kind: type[Op], data: st.DataObject) -> None:
    case = Case(data)
    op = BUILD[kind](case)
    case.inputs = {n: replace(p, dims=case.integers[n].shape) for n, p in case.inputs.items()}
    try:
        program = program_of(case, op)
        program.validate()
    except UsageError:
        return
    weights = {n: case.integers[n] for n in case.weights}
    each = list(samples_of(case, {n: (p.low, p.high) for n, p in case.inputs.items()}))
    try:
        alone = [execute(program, weights, x).outputs["out"] for x in each]
    except RangeError:
        return
    together = {n: np.stack([x[n] for x in each]) for n in case.inputs}
    over = program_over(program, SAMPLES)
    found = execute(over, weights, together).outputs["out"]
    assert np.array_equal(found, np.stack(alone))
    assert over.weights == program.weights


def test_a_network_acts_on_every_sample_alone() -> None:
    toy = network()
    x = np.stack([toy.inputs["x"], toy.inputs["x"] // 2, -toy.inputs["x"]])
    found = execute(program_over(toy.program, 3), toy.weights, {"x": x}).outputs
    for name, values in found.items():
        alone = [execute(toy.program, toy.weights, {"x": one}).outputs[name] for one in x]
        assert np.array_equal(values, np.stack(alone))
    again = program_over(toy.program, 3)
    assert Program.from_json(again.to_json()).digest == again.digest
    assert len({program_over(toy.program, n).digest for n in (1, 2, 3)}) == 3


@pytest.mark.parametrize("port", ["scores", "class", None])
def test_choices(port: str | None) -> None:
    toy = network()
    x = np.stack([toy.inputs["x"], toy.inputs["x"] // 2, -toy.inputs["x"]])
    true = execute(program_over(toy.program, 3), toy.weights, {"x": x}).outputs
    program, classes = choices_over(toy.program, 3, port)
    assert classes == 5
    found = execute(program, toy.weights, {"x": x}).outputs
    assert set(found) == {"class"}
    assert np.array_equal(found["class"], true["class"].reshape(3))


def axis_of_its_own(op: Op, dims: tuple[int | str, ...]) -> Program:
    """One op on values of dims ("N", 3)."""
    return Program(
        name="own", arch={}, inputs={"x": Port(("N", 3), 0, -9, 9)},
        outputs={"y": Output(dims, 0, -(1 << 15), (1 << 15) - 1, op.name)},
        limits={"N": 5}, ops=(op,), exponents={},
        weights={n: WeightSpec((3, 3), "int16", 0, 8) for n in op.weight_names()},
    )  # fmt: skip


def test_an_axis_of_its_own_mixes_no_samples() -> None:
    """Every product of a value with itself or a weight, either way round: alone, or refused."""
    made = np.random.default_rng(1)
    x, w = made.integers(-9, 10, (4, 3)), made.integers(-9, 10, (3, 3))
    turned = ((), (Step("permute", 0, (1, 0)),))
    seen = {"alone": 0, "refused": 0}
    for of, right, a, b in product(("x", "w"), product("abcd", repeat=2), turned, turned):
        letters = dict.fromkeys(("a", "b", *right))
        for out in chain.from_iterable(permutations(letters, n) for n in (1, 2, 3)):
            spec = f"ab,{''.join(right)}->{''.join(out)}"
            factor = Operand(x=of, of="value" if of == "x" else "weight", wire=b)
            term = Product(spec=spec, a=Operand(x="x", wire=a), b=factor)
            op = Contract(name="o", products=(term,), addends=(), shift=0, bits=16)
            for dims in product(("N", 3), repeat=len(out)):
                program = axis_of_its_own(op, dims)
                try:
                    program.validate()
                except UsageError:
                    continue
                try:
                    over = program_over(program, 4)
                except UsageError:
                    seen["refused"] += 1
                    continue
                found = execute(over, {"w": w}, {"x": x}).outputs["y"]
                alone = [execute(program, {"w": w}, {"x": one[None]}).outputs["y"] for one in x]
                assert np.array_equal(found, np.concatenate(alone)), (spec, a, b)
                seen["alone"] += 1
    assert min(seen.values()) > 5


@pytest.mark.parametrize("recipe", [small_recipe(), picture_recipe()], ids=["dense", "pictures"])
def test_what_training_ends_with_acts_on_every_sample_alone(recipe: Recipe) -> None:
    made = np.random.default_rng(2)
    program = trained_program(recipe)
    weights = {n: made.integers(-50, 50, s.shape) for n, s in program.weights.items()}
    x = made.integers(0, 256, (3, *program.inputs["x"].dims[1:]))
    found = execute(program_over(program, 3), weights, {"x": x}).outputs["logits"]
    alone = [execute(program, weights, {"x": one[None]}).outputs["logits"] for one in x]
    assert np.array_equal(found, np.concatenate(alone))
    assert sample_ports(program)["x"].dims == recipe.network.input


def test_open_lengths_that_are_no_samples() -> None:
    """A second open length, and ops that are not known to leave samples alone."""
    keep = Clamp(name="o", x="x", low=-9, high=9, x_bits=16)
    program = axis_of_its_own(keep, ("N", 3))
    assert program_over(program, 2).inputs["x"].dims == (2, 3)
    two = replace(
        program, limits={"N": 5, "M": 5}, inputs={"x": Port(("N", "M"), 0, -9, 9)},
        outputs={"y": replace(program.outputs["y"], dims=("N", "M"))},
    )  # fmt: skip
    two.validate()
    with pytest.raises(UsageError, match="lengths are open"):
        program_over(two, 2)


def test_products_of_weights_alone_and_of_values_alone() -> None:
    toy = network()
    by = Operand(x="w", of="weight")
    square = Product(spec="nk,mk->nm", a=by, b=by)
    op = Contract(
        name="g2", products=(square,), addends=(Operand(x="o", factor=3),), shift=3, bits=24
    )
    outer = Product(spec="na,nb->ab", a=Operand(x="y"), b=Operand(x="y"))
    ops = (
        *toy.program.ops[:-1],
        Contract(name="o", products=(outer,), addends=(), shift=8, bits=24),
        op,
    )
    shown = {"y": replace(toy.program.outputs["scores"], dims=(5, 5), value="g2")}
    program = replace(toy.program, ops=ops, outputs=shown)
    program.validate()
    x = np.stack([toy.inputs["x"], -toy.inputs["x"]])
    found = execute(program_over(program, 2), toy.weights, {"x": x}).outputs["y"]
    alone = [execute(program, toy.weights, {"x": one}).outputs["y"] for one in x]
    assert np.array_equal(found, np.stack(alone))


def test_wires_leave_the_first_axis_alone() -> None:
    wire = (
        Step("window", 1, (2, 1, 1, 0, 0)),
        Step("permute", 0, (2, 0, 1)),
        Step("sum", 0),
        Step("repeat", 1, (2,)),
        Step("taps", 0, (1, 1, -2, 3)),
    )
    x = np.arange(24).reshape(2, 3, 4)
    alone = [apply_wire(wire, one) for one in x]
    assert np.array_equal(apply_wire(wire_over(wire), x), np.stack(alone))


def test_what_has_no_samples() -> None:
    toy = network()
    for samples in (0, -1, MAX_SAMPLES + 1):
        with pytest.raises(UsageError):
            program_over(toy.program, samples)
    with pytest.raises(UsageError, match="lengths are open"):
        program_over(small_model("llama", layers=1).program, 2)
    with pytest.raises(UsageError, match="which output"):
        choices_over(toy.program, 2, "other")
    unlike = (*(k for k in BUILD if k not in WITH),)
    assert unlike
    case_ops = {k.__name__ for k in unlike}
    assert case_ops == {
        "Embed", "Positions", "Rope", "Attention", "Head",
        "HeadNorm", "Rotation", "AdjustedAttention", "HeadWithBias",
    }  # fmt: skip


def test_an_op_without_samples_is_named() -> None:
    toy = network()
    flat = Attention(
        name="l", q="f", k="f", v="f", kv_heads=1, group=1, head_dim=18, score_shift=9, exp_k=8,
        mix_shift=15, bits=16,
    )  # fmt: skip
    ops = (*toy.program.ops[:7], flat)
    shown = {"y": replace(toy.program.outputs["scores"], dims=(1, 18), value="l")}
    used = {n: toy.program.weights[n] for n in ("k", "b")}
    program = replace(toy.program, ops=ops, outputs=shown, weights=used)
    with pytest.raises(UnsupportedModelError, match="Attention on several samples"):
        program_over(program, 2)
