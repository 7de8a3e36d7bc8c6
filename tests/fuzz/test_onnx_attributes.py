"""Models of every op with one number or word of a node replaced: lowered, or refused by name."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import numpy as np
import onnx
from onnx import AttributeProto, numpy_helper

from tests.support.onnx_models import model, save
from tests.unit import (
    test_onnx_bodies,
    test_onnx_fused,
    test_onnx_learnt,
    test_onnx_more_ops,
    test_onnx_ops,
)
from veracity.errors import FormatError, UnsupportedModelError
from veracity.frontends.onnx import open_onnx

TABLES = (
    test_onnx_ops, test_onnx_learnt, test_onnx_bodies, test_onnx_more_ops, test_onnx_fused,
)  # fmt: skip
CASES = [case for table in TABLES for case in table.CASES.values()]
NUMBERS = (-1, 0, 1, 3, 70_000, -(1 << 40), 1 << 40, (1 << 62) + 1)
REALS = (0.0, -1.0, 1e-30, 3e38, -3e38)
WORDS = (b"", b"?", b"NONE", b"\xff\xfe", b"linear")


def attributes(nodes: Any) -> list[Any]:
    """Attributes of nodes, those inside of bodies included."""
    found = []
    for node in nodes:
        for a in node.attribute:
            found += attributes(a.g.node) if a.type == AttributeProto.GRAPH else [a]
    return found


def spoilt(made: onnx.ModelProto, rng: random.Random) -> str:
    """Replace one attribute or one integer weight; tells what was done."""
    places = [a for a in attributes(made.graph.node) if a.type != AttributeProto.TENSOR]
    whole = [t for t in made.graph.initializer if t.data_type == onnx.TensorProto.INT64]
    place = rng.choice([*places, *whole, None])
    if place is None:
        node = rng.choice(list(made.graph.node))
        if node.input:
            del node.input[rng.randrange(len(node.input)) :]
        return f"{node.name} reads {list(node.input)}"
    if isinstance(place, onnx.TensorProto):
        array = numpy_helper.to_array(place).copy()
        flat = array.reshape(-1)
        if flat.size:
            flat[rng.randrange(flat.size)] = rng.choice(NUMBERS)
        place.CopyFrom(numpy_helper.from_array(array, place.name))
        return f"{place.name} = {array.tolist()}"
    if place.type == AttributeProto.INT:
        place.i = rng.choice(NUMBERS)
    elif place.type == AttributeProto.FLOAT:
        place.f = rng.choice(REALS)
    elif place.type == AttributeProto.STRING:
        place.s = rng.choice(WORDS)
    elif place.type == AttributeProto.INTS:
        changed = [*place.ints, *[1] * rng.randrange(2)]
        if changed:
            changed[rng.randrange(len(changed))] = rng.choice(NUMBERS)
        place.ints[:] = changed[rng.randrange(2) :]
    elif place.type == AttributeProto.FLOATS:
        place.floats[:] = [rng.choice(REALS) for _ in place.floats][rng.randrange(2) :]
    elif place.type == AttributeProto.STRINGS:
        place.strings[:] = [rng.choice(WORDS) for _ in place.strings]
    return f"{place.name} = {onnx.helper.get_attribute_value(place)}"[:200]


@pytest.mark.parametrize("seed", range(8))
def test_nothing_but_faults_comes_of_spoilt_models(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    for case in CASES[seed::8]:
        nodes, inputs, weights, opset, _, version, types = (
            *case, *(None, 17, 0, 3, None)[len(case) - 2 :]
        )  # fmt: skip
        for _ in range(3):
            made = model(nodes, inputs, weights, opset=opset or 17, learnt=version, types=types)
            done = spoilt(made, rng)
            try:
                found = open_onnx(save(made, tmp_path)).trace()
            except (FormatError, UnsupportedModelError):
                continue
            except Exception as error:
                raise AssertionError(f"{case[0]}: {done}") from error
            for fault in found.faults:
                assert "node " in str(fault)
                assert f"opset {opset or 17}" in str(fault)
            for value in found.outputs.values():
                dims = value.shape if isinstance(value, np.ndarray) else value.dims
                assert np.prod(dims, dtype=float) <= 1 << 27
