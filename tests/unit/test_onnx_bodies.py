"""Branches, loops and sequences against onnxruntime; bodies and functions that are hostile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx
from onnx import TensorProto, helper

from tests.support.onnx_check import check, check_case
from tests.support.onnx_models import model, node, save
from tests.unit.test_onnx_ops import real
from veracity.errors import FormatError, UnsupportedModelError
from veracity.formats.npy import save_array
from veracity.frontends.onnx import open_onnx

F, B, WHOLES = TensorProto.FLOAT, TensorProto.BOOL, TensorProto.INT64


def body(nodes: Any, reads: dict[str, int], writes: dict[str, int]) -> Any:
    """A graph inside a node: names with their types; whole numbers and truth values alone."""
    sides = [[helper.make_tensor_value_info(n, t, None if t == F else ()) for n, t in side.items()]
             for side in (reads, writes)]  # fmt: skip
    return helper.make_graph(nodes, "body", *sides)


HALF = body([node("Mul", "x h", "t")], {}, {"t": F})
LESS = body([node("Sub", "x h", "e")], {}, {"e": F})
ROUND = body(
    [
        node("Mul", "s h", "s1"),
        node("Add", "s1 x", "s2"),
        node("ReduceSum", "s2", "o"),
        node("Less", "i two", "c"),
    ],
    {"i": WHOLES, "b": B, "s": F},
    {"c": B, "s2": F, "o": F},
)
SCANNED = body(
    [node("Add", "s e", "s1"), node("Mul", "s1 h", "o")], {"s": F, "e": F}, {"s1": F, "o": F}
)
PARTS = body(
    [node("Gather", "x i", "g"), node("SequenceInsert", "q g", "q1"), node("Identity", "b", "c")],
    {"i": WHOLES, "b": B, "q": F},
    {"c": B, "q1": F},
)
for side in (PARTS.input[2], PARTS.output[1]):
    side.type.CopyFrom(helper.make_sequence_type_proto(helper.make_tensor_type_proto(F, None)))
GRAPHS = (HALF, LESS, ROUND, SCANNED, PARTS)
SMALL = {"x": (3, 4)}
HELD = {"h": np.float32([0.5]), "two": np.array(2), "no": np.array([False]),
        "yes": np.array(True), "n": np.array(7), "z": np.float32([0.25] * 4),
        "k": np.float32([0.5])}  # fmt: skip
CASES: dict[str, tuple[Any, ...]] = {
    "a branch": ([node("If", "no", "y", then_branch=HALF, else_branch=LESS)], SMALL, HELD),
    "a branch by the data": ([node("ReduceMean", "x", "m", keepdims=0),
                              node("Less", "m k", "c"),
                              node("If", "c", "y", then_branch=HALF, else_branch=LESS)], SMALL,
                             HELD),
    "a loop": ([node("Loop", "n yes x", "s o", body=ROUND), node("ReduceSum", "o", "p"),
                node("Add", "s p")], SMALL, HELD),
    "a scan": ([node("Scan", "z x", "s o", body=SCANNED, num_scan_inputs=1),
                node("Add", "s o")], SMALL, HELD),
    "a scan backwards": ([node("Transpose", "x", "t"),
                          node("Scan", "z t", "s o", body=SCANNED, num_scan_inputs=1,
                               scan_input_axes=[1], scan_input_directions=[1],
                               scan_output_directions=[1], scan_output_axes=[1]),
                          node("Transpose", "o", "p"), node("Add", "s p")], SMALL, HELD),
    "a sequence in a loop": ([node("SequenceEmpty", "", "q0"),
                              node("Loop", "three yes q0", "q2", body=PARTS),
                              node("ConcatFromSequence", "q2", axis=0, new_axis=1)], SMALL,
                             {**HELD, "three": np.array(3)}),
    "sequences": ([node("SplitToSequence", "x two", "s", axis=1),
                   node("SplitToSequence", "x", "r", axis=0, keepdims=0),
                   node("SequenceAt", "s one", "a"), node("SequenceErase", "r one", "r1"),
                   node("SequenceConstruct", "a a", "t"), node("SequenceInsert", "t a one", "u"),
                   node("SequenceLength", "u", "n2"), node("Cast", "n2", "n3", to=1),
                   node("ConcatFromSequence", "u", "v", axis=1), node("Mul", "v n3", "w"),
                   node("ConcatFromSequence", "r1", "r2", axis=0, new_axis=1),
                   node("ReduceSum", "r2", "r3"), node("Add", "w r3")], SMALL,
                  {"two": np.array(2), "one": np.array(1)}),
    "what may be missing": ([node("Optional", "x", "o"), node("OptionalHasElement", "o", "h1"),
                             node("OptionalGetElement", "o", "g"), node("Cast", "h1", "h2", to=1),
                             node("Add", "g h2")], SMALL),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_an_op_is_what_onnxruntime_computes(name: str, tmp_path: Path) -> None:
    check_case(CASES[name], tmp_path)


def called(name: str, *reads: str, out: str = "y", domain: str = "own", **given: Any) -> Any:
    """A node that calls a function."""
    return helper.make_node(name, list(reads), [out], name=f"/{name}", domain=domain, **given)


def function(
    name: str,
    reads: list[str],
    writes: list[str],
    nodes: Any,
    attributes: Any = (),
    opset: int = 17,
) -> Any:
    """A function of the domain ``own``."""
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("own", 1)]
    return helper.make_function("own", name, reads, writes, nodes, imports, list(attributes))


def leaky(attribute: str) -> Any:
    """A leaky relu whose slope is an attribute of the function around it."""
    made = node("LeakyRelu", "a", "b")
    slope = made.attribute.add()
    slope.name, slope.ref_attr_name, slope.type = "alpha", attribute, onnx.AttributeProto.FLOAT
    return made


def test_functions_are_inlined(tmp_path: Path) -> None:
    inner = function("Inner", ["a"], ["b", "a"], [leaky("slope")], ["slope"])
    scaled = helper.make_node("Inner", ["c"], ["d", "e"], domain="own")
    passed = scaled.attribute.add()
    passed.name, passed.ref_attr_name, passed.type = "slope", "steep", onnx.AttributeProto.FLOAT
    outer = function("Outer", ["x", "w"], ["y"],
                     [node("Sub", "x w", "c"), scaled, node("Add", "d e")], ["steep"])  # fmt: skip
    nodes = [called("Outer", "x", "w", out="a", steep=0.25),
             called("Outer", "a", "w", out="y", steep=0.5)]  # fmt: skip
    x, w = real(3, 4), real(4)
    made = model(nodes, {"x": (3, 4)}, {"w": w}, functions=[inner, outer])
    expected = x
    for slope in (0.25, 0.5):
        gap = expected - w
        expected = np.where(gap > 0, gap, slope * gap) + gap
    for i in range(4):
        save_array(tmp_path / f"{i}.npy", x * (1 + i / 8))
    check(save(made, tmp_path), {"x": x}, expected, samples=tmp_path)


def fault(made: Any, folder: Path) -> str:
    """What is wrong with the one node that cannot be lowered."""
    (found,) = open_onnx(save(made, folder)).trace().faults
    return str(found)


def test_functions_that_call_each_other_are_refused(tmp_path: Path) -> None:
    ping = function("Ping", ["a"], ["b"], [called("Pong", "a", out="b")])
    pong = function("Pong", ["a"], ["b"], [called("Ping", "a", out="b")])
    made = model([called("Ping", "x")], {"x": (2,)}, functions=[ping, pong])
    with pytest.raises(FormatError, match="without end"):
        open_onnx(save(made, tmp_path))


def test_functions_that_grow_are_refused(tmp_path: Path) -> None:
    level = [function("F0", ["a"], ["b"], [node("Relu", "a", "b")])]
    for i in range(1, 12):
        names = ["a", *[f"t{j}" for j in range(9)], "b"]
        calls = [called(f"F{i - 1}", names[j], out=names[j + 1]) for j in range(10)]
        level.append(function(f"F{i}", ["a"], ["b"], calls))
    made = model([called("F11", "x")], {"x": (2,)}, functions=level)
    with pytest.raises(FormatError, match="more than 100000 nodes"):
        open_onnx(save(made, tmp_path))


@pytest.mark.parametrize(
    ("nodes", "functions", "reason"),
    [
        ([called("F", "x", "x")], [function("F", ["a"], ["b"], [node("Relu", "a", "b")])],
         "more than it takes"),
        ([called("F", "x")], [function("F", ["a"], ["b"], [node("Relu", "a", "b")], (), 12)],
         "another opset"),
        ([called("F", "x")], [function("F", ["a"], ["b"], [node("Relu", "c", "b")])],
         "before it is computed"),
    ],
)  # fmt: skip
def test_functions_that_do_not_fit_are_refused(
    tmp_path: Path, nodes: Any, functions: Any, reason: str
) -> None:
    made = model(nodes, {"x": (2,)}, functions=functions)
    with pytest.raises((FormatError, UnsupportedModelError), match=reason):
        open_onnx(save(made, tmp_path))


ENDLESS = body([node("Identity", "b", "c"), node("Mul", "s h", "s2"), node("Relu", "s2", "o")],
               {"i": WHOLES, "b": B, "s": F}, {"c": B, "s2": F, "o": F})  # fmt: skip
WIDE = body([node("Concat", "x x", "t", axis=0)], {}, {"t": F})
BLIND = body([node("Mul", "nowhere h", "t")], {}, {"t": F})
ODD = body([node("Det", "x", "t")], {}, {"t": F})
NESTED = HALF
for depth in range(20):
    NESTED = body([node("If", "no", f"t{depth}", then_branch=NESTED, else_branch=LESS)], {},
                  {f"t{depth}": F})  # fmt: skip


@pytest.mark.parametrize(
    ("nodes", "reason"),
    [
        ([node("Loop", "_ yes x", "s o", body=ENDLESS), node("Add", "s o")], "more than 1024"),
        ([node("Loop", "big yes x", "s o", body=ENDLESS), node("Add", "s o")], "more than 1024"),
        ([node("Loop", "n c0 x", "s o", body=ENDLESS), node("Add", "s o")], "depends on the data"),
        ([node("Loop", "n yes", "o", body=ENDLESS), node("Relu", "o")], "another number of inputs"),
        ([node("Loop", "n no x", "s o", body=ENDLESS), node("Add", "s o")], "an empty result"),
        ([node("If", "c0", then_branch=HALF, else_branch=WIDE)], "shapes that depends on the data"),
        ([node("If", "no", then_branch=HALF)], "without its attribute 'else_branch'"),
        ([node("If", "no", then_branch=HALF, else_branch=ODD)], "in its body, node '/Det/t'"),
        ([node("Scan", "x", body=SCANNED, num_scan_inputs=3)], "other inputs"),
        ([node("SequenceConstruct", "x", "q"), node("Relu", "q")], "a sequence instead"),
        ([node("SequenceConstruct", "x", "q"), node("SequenceAt", "q n")], "not understood"),
        ([node("SequenceAt", "x n")], "without its sequence"),
        ([node("SplitToSequence", "x n", "q"), node("SequenceInsert", "q x n", "r"),
          node("ConcatFromSequence", "r", axis=0)], "outside of its sequence"),
    ],
)  # fmt: skip
def test_bodies_that_do_not_end_or_fit_are_refused(tmp_path: Path, nodes: Any, reason: str) -> None:
    before = [node("ReduceMean", "x", "m", keepdims=0), node("Less", "m k", "c0")]
    found = fault(model([*before, *nodes], SMALL, {**HELD, "big": np.array(1 << 40)}), tmp_path)
    assert reason in found, found


@pytest.mark.parametrize(("graph", "reason"), [(BLIND, "nowhere"), (NESTED, "without end")])
def test_bodies_that_are_none_are_refused(tmp_path: Path, graph: Any, reason: str) -> None:
    nodes = [node("If", "no", then_branch=HALF, else_branch=graph)]
    with pytest.raises(FormatError, match=reason):
        open_onnx(save(model(nodes, SMALL, HELD), tmp_path))
