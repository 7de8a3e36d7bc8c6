"""Quotients, remainders, digits and projections of a prover's integers: plain arithmetic."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.programs import small_model
from veracity.engine import load_engine
from veracity.engine.api import Integers
from veracity.errors import RangeError
from veracity.lm.text_decoder import forward, ports_of
from veracity.zk import projection
from veracity.zk.committed import ArrayId
from veracity.zkml import Execution
from veracity.zkml.circuit.build import build_circuit
from veracity.zkml.circuit.integers import digits_of, divided, looked_up, stacked

LARGE = (1 << 61) + 12345
INTEGERS = load_engine("cpu").integers


@pytest.mark.parametrize("shift", [0, 1, 13, 16, 17, 30, 31, 33])
@pytest.mark.parametrize("top", [100, (1 << 31) - 1, LARGE])
@pytest.mark.parametrize("n", [0, 1, 70])
@pytest.mark.parametrize("integers", [None, INTEGERS])
def test_divided(shift: int, top: int, n: int, integers: Integers | None) -> None:
    """Quotients that fit a short type, and such that do not."""
    value = np.random.default_rng(3).integers(-top, top, n, dtype=np.int64, endpoint=True)
    value[: n // 2 : 3] = top
    quotient, rest = divided(value.reshape(-1, 1), shift, integers)
    assert quotient.shape == rest.shape == (n, 1)
    shifted = value + (1 << shift >> 1)
    np.testing.assert_array_equal(quotient[:, 0], shifted >> shift)
    np.testing.assert_array_equal(rest[:, 0], shifted & (1 << shift) - 1)


def test_divided_integers_of_python_and_short_ones() -> None:
    wide = np.array([-(1 << 80), (1 << 70) + 3], dtype=object)
    quotient, rest = divided(wide, 4, INTEGERS)
    assert quotient.tolist() == [-(1 << 76), 1 << 66]
    assert rest.tolist() == [8, 11]
    quotient, rest = divided(np.array([32767, -32768], dtype=np.int16), 15)
    assert quotient.tolist() == [1, -1]
    assert rest.tolist() == [16383, 16384]


@pytest.mark.parametrize("integers", [None, INTEGERS])
def test_divided_of_columns(integers: Integers | None) -> None:
    value = np.arange(24, dtype=np.int64).reshape(4, 6).T
    quotient, rest = divided(value, 2, integers)
    np.testing.assert_array_equal(quotient * 4 + rest - 2, value)


@pytest.mark.parametrize("dtype", [np.int64, object])
def test_digits(dtype: type) -> None:
    numbers = np.array([[0, 65535], [65536, (1 << 48) - 1]], dtype=dtype)
    found = digits_of("op", numbers, (2, 2), 3)
    assert found.shape == (3, 2, 2)
    total = sum(found[i].astype(object) << 16 * i for i in range(3))
    np.testing.assert_array_equal(total, numbers)


@pytest.mark.parametrize("number", [-1, 1 << 32, 1 << 90])
def test_numbers_that_have_no_such_digits(number: int) -> None:
    types = (object,) if number >> 63 > 0 else (object, np.int64)
    for dtype in types:
        with pytest.raises(RangeError, match=r"calibrated range"):
            digits_of("op", np.array([5, number], dtype=dtype), (2,), 2)


@pytest.mark.parametrize("dims", [(5, 300), (300, 5), (140, 150), (150, 140), (1, 1)])
def test_projections(dims: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Matrices of any form, in several blocks."""
    monkeypatch.setattr(projection, "_CHUNK", 64)
    draw, name = np.random.default_rng(4), ArrayId("witness", "x")
    values = draw.integers(-(1 << 15), 1 << 15, dims).astype(np.int16)
    sides = projection.Sides(name, dims, 1)
    (directions,) = projection.draw_directions(lambda _label, n: draw.bytes(n), [sides])
    found = projection.project(load_engine("cpu"), [directions, directions], {name: values})
    left, right = (x.astype(np.int64) for x in (directions.left, directions.right))
    np.testing.assert_array_equal(found, 2 * left @ values.astype(np.int64) @ right.T)


def test_scores_may_lie_further_apart_than_each_from_zero() -> None:
    """Quotients of 16 bits, distances of up to 2^16."""
    example = small_model("llama", seed=2)
    execution = Execution(example.program, *ports_of(example.tokens, example.prompt_length))
    trace = forward(example.program, example.weights, example.tokens[:-1], example.prompt_length)
    head = example.program.ops[-1]
    scores = trace.details[head.name]["acc"]
    scores[:] = -30_000 << head.shift
    for row, token in zip(scores, example.tokens[example.prompt_length :], strict=True):
        row[token] = 30_000 << head.shift
    made = build_circuit(execution, execution.links[0], example.weights, trace, INTEGERS)
    (distances,) = [b for b in made.builder.batches.values() if b.id.name == "head.distance"]
    assert {int(n) for d in distances.values for n in d.flat} == {0, 60_000}


@pytest.mark.parametrize("integers", [None, INTEGERS])
def test_looked_up(integers: Integers | None) -> None:
    """Images in a short type; an argument that the table does not have is the caller's to mend."""
    images = np.arange(100, 200, dtype=np.int64)
    found = looked_up("op", np.array([[-50, 49], [0, 1]]), -50, images, integers)
    assert found.tolist() == [[100, 199], [150, 151]]
    assert found.dtype.itemsize <= 2
    short = np.array([-20], dtype=np.int8)
    assert looked_up("op", short, -300, np.arange(600), integers).tolist() == [280]
    assert looked_up("op", np.array([3], dtype=object), -50, images, integers).tolist() == [153]
    for outside in (-51, 50):
        with pytest.raises(RangeError, match="out of its calibrated range"):
            looked_up("op", np.array([0, outside]), -50, images, integers)


@pytest.mark.parametrize("integers", [None, INTEGERS])
def test_stacked(integers: Integers | None) -> None:
    arrays = [np.arange(6, dtype=np.int16).reshape(2, 3), np.full((3, 2), 7, dtype=np.int32).T]
    found = stacked(arrays, (2, 0, 1), integers)
    np.testing.assert_array_equal(found, np.stack(arrays).transpose(2, 0, 1))
    assert found.dtype == np.int32
    assert found.flags.c_contiguous
    beyond = np.array([1 << 15], dtype=np.uint16)
    assert stacked([beyond, np.array([3], dtype=np.int16)], (0, 1), integers).dtype == np.uint16
    assert stacked([beyond, np.array([-3], dtype=np.int16)], (0, 1), integers).dtype == np.int32
    wide = np.array([1 << 70], dtype=object)
    assert stacked([wide, wide], (1, 0), integers).tolist() == [[1 << 70, 1 << 70]]
