"""Wires: what evaluation does and what proofs transpose are one map, for every kind of step."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from typing import cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.test_linear_maps import ENGINE, check
from veracity.engine.api import Engine
from veracity.errors import UsageError
from veracity.graph import Program
from veracity.graph.axes import KEPT_ENTRIES, axis_index, axis_shape
from veracity.graph.ops import Combine, MaxPool, Op, Operand
from veracity.graph.port import Output, Port
from veracity.graph.wires import (
    MODES,
    Step,
    Wire,
    apply_wire,
    gather_wire,
    wire_dims,
    wire_gain,
    wire_work,
)
from veracity.zk.counting import Shape, ShapeEngine
from veracity.zkml.circuit.axis_maps import maps_of
from veracity.zkml.circuit.linear_maps import functional_of, vectors_of

KINDS = ("permute", "split", "repeat", "sum", "window", "pad", "slice", "flip", "dilate", "tile",
         "each", "pick", "taps", "dft", "idft")  # fmt: skip
Dims = tuple[int, ...]


@st.composite
def steps(draw: st.DrawFn, dims: Dims, kind: str) -> Step:
    axis = draw(st.integers(0, len(dims) - 1))
    n = dims[axis]
    small = st.integers(1, 3)
    numbers: tuple[int, ...] = ()
    if kind == "permute":
        return Step(kind, 0, tuple(draw(st.permutations(range(len(dims))))))
    if kind == "repeat":
        return Step(kind, draw(st.integers(0, len(dims))), (draw(small),))
    if kind == "split":
        first = draw(st.sampled_from([d for d in range(1, n + 1) if n % d == 0]))
        numbers = (first, n // first)
    elif kind == "window":
        size, stride, dilation = draw(small), draw(small), draw(small)
        low = dilation * (size - 1)
        numbers = (size, stride, dilation, low, draw(st.integers(0, 2)))
    elif kind == "pad":
        mode = draw(st.integers(0, 2))
        most = st.integers(0, n - 1 if mode == 2 else 3)
        numbers = (mode, draw(most), draw(most))
    elif kind == "slice":
        start = draw(st.integers(0, n - 1))
        numbers = (start, draw(st.integers(start + 1, n)), draw(small))
    elif kind in ("dilate", "tile", "each"):
        numbers = (draw(small),)
    elif kind == "pick":
        numbers = tuple(draw(st.lists(st.integers(-1, n - 1), min_size=1, max_size=5)))
    elif kind == "taps":
        rows = draw(small)
        entries = st.lists(st.integers(-99, 99), min_size=rows * n, max_size=rows * n)
        numbers = (rows, *draw(entries))
    elif kind in ("dft", "idft"):
        half = draw(st.integers(0, 1))
        length = draw(st.sampled_from([2 * n - 2 or 1, 2 * n - 1])) if half else n
        numbers = (draw(st.integers(0, 1)), half, draw(st.integers(1, 9)))
        numbers = numbers if kind == "dft" else (*numbers, length)
    return Step(kind, axis, numbers)


@st.composite
def wires(draw: st.DrawFn) -> tuple[Dims, Wire]:
    """Up to four steps that fit each other, with the dims of their source."""
    source = dims = tuple(draw(st.lists(st.integers(1, 5), min_size=1, max_size=3)))
    wire: Wire = ()
    for kind in draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=4)):
        if (kind == "sum" and len(dims) == 1) or len(dims) > 5:
            continue
        wire = (*wire, draw(steps(dims, kind)))
        dims = wire_dims(wire, source)  # type: ignore[assignment]
    return source, wire


@settings(deadline=None, max_examples=300)
@given(wires(), st.integers(0, 1 << 30))
def test_pull_is_the_transpose_of_what_evaluation_does(found: tuple[Dims, Wire], seed: int) -> None:
    dims, wire = found
    check(dims, list(maps_of(wire, dims)), seed)
    x = np.random.default_rng(seed).integers(-1 << 20, 1 << 20, dims)
    y = apply_wire(wire, x)
    assert y.shape == wire_dims(wire, dims)
    for linear_map in maps_of(wire, dims):
        x = linear_map.forward(x)
    assert np.array_equal(x, y)
    assert np.abs(y).max(initial=0) <= wire_gain(wire, dims) << 20


@pytest.mark.parametrize("mode", range(3))
def test_padding_is_numpys(mode: int) -> None:
    x = np.arange(1, 6)
    names = ("constant", "edge", "reflect")
    padded = apply_wire((Step("pad", 0, (mode, 2, 3)),), x)
    assert np.array_equal(padded, np.pad(x, (2, 3), mode=names[mode])), MODES[mode]  # type: ignore[call-overload]


def test_a_window_is_what_convolutions_read() -> None:
    x = np.arange(1, 8)
    windows = apply_wire((Step("window", 0, (3, 2, 2, 1, 2)),), x)
    padded = np.pad(x, (1, 2))
    expected = [[padded[2 * p + 2 * t] for t in range(3)] for p in range(3)]
    assert windows.tolist() == expected


@pytest.mark.parametrize("n", [1, 2, 7, 8, 64])
def test_the_transform_is_numpys(n: int) -> None:
    """Forward, and back from half of the frequencies."""
    x = np.random.default_rng(n).standard_normal(n)
    cos, sin = (apply_wire((Step("dft", 0, (part, 1, 16)),), x) for part in (0, 1))
    spectrum = np.fft.rfft(x, norm="ortho")
    scale = 2.0**-16
    assert np.allclose(cos * scale - 1j * sin * scale, spectrum, atol=1e-3)
    re, im = (
        apply_wire((Step("idft", 0, (part, 1, 16, n)),), z) * scale
        for part, z in enumerate((spectrum.real, spectrum.imag))
    )
    assert np.allclose(re - im, x, atol=1e-3)


BAD = [
    Step("window", 0, (0, 1, 1, 0, 0)), Step("window", 0, (9, 1, 1, 0, 0)),
    Step("window", 0, (2, 1, 1, 0)), Step("window", 2, (1, 1, 1, 0, 0)),
    Step("window", 0, (1, 1, 1, 1 << 40, 0)), Step("pad", 0, (2, 4, 0)),
    Step("pad", 0, (3, 1, 1)), Step("slice", 0, (2, 2, 1)), Step("slice", 0, (0, 5, 1)),
    Step("split", 0, (3, 2)), Step("split", 0, (-2, -2)), Step("permute", 0, (0, 0)),
    Step("permute", 1, (0, 1)), Step("repeat", 3, (2,)), Step("repeat", 0, (1 << 40,)),
    Step("repeat", 0, ()), Step("dilate", 0, (0,)), Step("tile", 0, (1 << 29,)),
    Step("pick", 0, (4,)), Step("pick", 0, ()), Step("taps", 0, (1, 2, 3)), Step("taps", 0, ()),
    Step("dft", 0, (0, 0)), Step("dft", 0, (2, 0, 8)), Step("dft", 0, (0, 0, 40)),
    Step("idft", 0, (0, 1, 8, 4)), Step("idft", 0, (0, 1, 8)), Step("idft", 0, (0, 0, 8, 1 << 30)),
    Step("taps", 0, (1, 1, 1, 1, 1 << 40)), Step("sum", 0, (1,)), Step("other", 0), Step("sum", -1),
]  # fmt: skip


@pytest.mark.parametrize("step", BAD, ids=str)
def test_steps_that_do_not_fit_are_refused(step: Step) -> None:
    with pytest.raises(UsageError):
        wire_dims((step,), (4, 3))


def test_lengths_that_are_not_known_are_left_alone() -> None:
    assert wire_dims((Step("split", 1, (2, 2)), Step("permute", 0, (1, 0, 2))), ("N", 4)) == (
        2, "N", 2,
    )  # fmt: skip
    for step in (Step("flip", 0), Step("window", 0, (1, 1, 1, 0, 0)), Step("tile", 0, (2,))):
        with pytest.raises(UsageError, match="not known"):
            wire_dims((step,), ("N", 4))


def test_wires_stay_small() -> None:
    with pytest.raises(UsageError, match="too many steps"):
        wire_dims((Step("flip", 0),) * 33, (4,))
    with pytest.raises(UsageError, match="axes or entries"):
        wire_dims(tuple(Step("repeat", 0, (1 << 20,)) for _ in range(2)), (4,))


def test_the_work_of_a_wire_is_counted_and_bounded() -> None:
    steps = Step("permute", 0, (1, 0)), Step("window", 0, (3, 1, 1, 1, 1)), Step("sum", 1)
    assert wire_work(steps, (4, 8)) == (8 + 24) + (3 + 1)
    assert wire_work((Step("repeat", 0, (7,)), Step("taps", 1, (2, *[1] * 8))), (4,)) == 7 + 12
    long = Step("repeat", 0, (1 << 27,)), Step("sum", 0)
    with pytest.raises(UsageError, match=r"2\^26"):
        wire_dims(long, (4,))


WIDE = Combine(name="", addends=(Operand(x="x", wire=(Step("tile", 0, (1 << 18,)),)),))
POOL = MaxPool(name="", x="x", axis=0, size=64, stride=1, dilation=1, low=63, high=1 << 17)


@pytest.mark.parametrize("op", [WIDE, POOL], ids=["wires", "pools"])
def test_the_work_of_all_wires_of_a_program_is_bounded(op: Op) -> None:
    """Few bytes for each op: without the bound, reading such a file takes as long as it likes."""
    program = Program(
        name="wide",
        arch={},
        inputs={"x": Port((8, 1), 0, -8, 7)},
        outputs={"y": Output((8, 1), 0, -8, 7, "op0")},
        limits={},
        ops=tuple(replace(op, name=f"op{i}") for i in range(300)),
        weights={},
        exponents={},
    )
    with pytest.raises(UsageError, match=r"2\^26"):
        program.validate()


LONG = (
    Step("window", 0, (1024, 1, 1, 0, 0)), Step("window", 0, (1000, 1, 3, 9, 2990)),
    Step("pad", 0, (1, 1 << 20, 1 << 20)), Step("dilate", 0, (1 << 19,)),
    Step("tile", 0, (1 << 19,)), Step("each", 0, (1 << 18,)),
)  # fmt: skip


@pytest.mark.parametrize("step", LONG, ids=lambda step: step.kind)
def test_long_indices_are_neither_made_for_their_shape_nor_kept(step: Step) -> None:
    """A program of a few bytes would hold half a gibibyte as soon as it is read."""
    tracemalloc.start()
    try:
        shape = axis_shape(step, 4000 if step.kind == "window" else 8)
        assert wire_dims((step,), (4000 if step.kind == "window" else 8,)) == shape
        assert tracemalloc.get_traced_memory()[1] < 1 << 18
        index = axis_index(step, 4000 if step.kind == "window" else 8)
        assert index.shape == shape
        del index
        assert tracemalloc.get_traced_memory()[0] < 1 << 18
    finally:
        tracemalloc.stop()


def test_axes_beyond_all_bounds_are_refused_before_they_are_made() -> None:
    for step in (Step("flip", 0), Step("slice", 0, (0, 1 << 29, 1))):
        tracemalloc.start()
        with pytest.raises(UsageError, match="more than"):
            wire_dims((step,), (1 << 30,))
        assert tracemalloc.get_traced_memory()[1] < 1 << 18
        tracemalloc.stop()


def test_long_pulls_are_those_of_short_ones_and_hold_two_vectors() -> None:
    """Blocks of one axis are summed entry by entry; what was made on the way is let go."""
    copies = KEPT_ENTRIES // 4
    (step,) = maps_of((Step("tile", 0, (copies,)),), (8,))
    coefficients = np.arange(8 * copies) % 97
    given = functional_of([ENGINE.from_small(coefficients)])
    factor, pulled = step.pull(ENGINE, given)
    assert factor == 1
    assert ENGINE.to_ints(vectors_of(pulled)[0]) == coefficients.reshape(copies, 8).sum(0).tolist()
    tracemalloc.start()
    step.pull(ENGINE, given)
    assert tracemalloc.get_traced_memory()[0] < 1 << 18
    tracemalloc.stop()


def test_claims_about_a_wire_take_memory_for_its_axes_only() -> None:
    """A verifier that kept a row for every reader of the busiest entry would need 64 GiB here."""
    step = Step("pad", 0, (1, 1 << 20, 0))  # an edge that a million results read
    (found,) = maps_of((step,), (1 << 13,))
    tracemalloc.start()
    try:
        weights = Shape((1 << 20) + (1 << 13))
        _, pulled = found.pull(cast(Engine, ShapeEngine()), ((1, weights),))
        assert tracemalloc.get_traced_memory()[1] < 1 << 28
    finally:
        tracemalloc.stop()
    assert len(pulled[0][1]) == 1 << 13


@settings(deadline=None)
@given(st.data(), st.integers(0, 1 << 20))
def test_windows_are_gathered_by_the_transpose(data: st.DataObject, seed: int) -> None:
    """``<y, wire(x)> = <gather(y), x>``."""
    dims = tuple(data.draw(st.lists(st.integers(1, 6), min_size=2, max_size=3)))
    found = [data.draw(steps(dims, "window")) for _ in range(data.draw(st.integers(0, 2)))]
    wire = tuple({s.axis: s for s in found}.values())
    wire = tuple(sorted(wire, key=lambda s: -s.axis))
    try:
        read = wire_dims(wire, dims)
    except UsageError:  # windows beyond the axis
        return
    rng = np.random.default_rng(seed)
    x, y = rng.integers(-9, 9, dims), rng.integers(-9, 9, read)
    assert (y * apply_wire(wire, x)).sum() == (gather_wire(wire, y, dims) * x).sum()


def test_only_windows_are_gathered() -> None:
    with pytest.raises(UsageError, match="only windows"):
        gather_wire((Step("pad", 0, (0, 1, 1, 0, 0)),), np.zeros((3,), np.int64), (1,))
