"""Small ONNX models, made here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Sequence[Any]],
    weights: Mapping[str, np.ndarray] | None = None,
    outputs: Sequence[str] = ("y",),
    opset: int = 17,
    learnt: int = 3,
    types: Mapping[str, int] | None = None,
    functions: Sequence[onnx.FunctionProto] = (),
) -> onnx.ModelProto:
    """A model whose outputs have no stated shape.

    Parameters
    ----------
    nodes, inputs, weights, outputs
        What it is made of.
    opset, learnt : int
        Versions of both domains.
    types : mapping, optional
        Types of inputs and outputs that are not floats.
    functions : sequence
        Of its own.
    """
    kinds = {**dict.fromkeys((*inputs, *outputs), TensorProto.FLOAT), **(types or {})}
    graph = helper.make_graph(
        list(nodes),
        "test",
        [helper.make_tensor_value_info(n, kinds[n], list(d)) for n, d in inputs.items()],
        [helper.make_tensor_value_info(n, kinds[n], None) for n in outputs],
        [numpy_helper.from_array(w, n) for n, w in (weights or {}).items()],
    )
    used = {n.domain for n in nodes} | {f.domain for f in functions}
    others = used - {"", "ai.onnx.ml"}
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", learnt)]
    imports += [helper.make_opsetid(d, 1) for d in sorted(others)]
    return helper.make_model(graph, opset_imports=imports, ir_version=10, functions=functions)


def save(made: onnx.ModelProto, folder: Path, name: str = "net") -> Path:
    path = folder / f"{name}.onnx"
    path.write_bytes(made.SerializeToString())
    return path


def node(op: str, reads: str, writes: str = "y", **attributes: Any) -> onnx.NodeProto:
    """``node("Add", "a b", "y")``; ``_`` for an input that is left out."""
    names = ["" if n == "_" else n for n in reads.split()]
    made = ["" if n == "_" else n for n in writes.split()]
    return helper.make_node(op, names, made, name=f"/{op}/{writes}", **attributes)


def lenet(seed: int = 0) -> onnx.ModelProto:
    """Convolutions, relu, max pools, dense layers: 62,006 parameters on 3x32x32."""
    rng = np.random.default_rng(seed)
    shapes = {
        "c1": (6, 3, 5, 5), "d1": (6,), "c2": (16, 6, 5, 5), "d2": (16,), "f1": (120, 400),
        "g1": (120,), "f2": (84, 120), "g2": (84,), "f3": (10, 84), "g3": (10,),
    }  # fmt: skip
    weights = {
        n: (rng.standard_normal(s) * np.sqrt(2 / max(1, np.prod(s[1:], dtype=int)))).astype("f4")
        for n, s in shapes.items()
    }
    pool = {"kernel_shape": [2, 2], "strides": [2, 2]}
    nodes = [
        node("Conv", "x c1 d1", "a1"),
        node("Relu", "a1", "a2"),
        node("MaxPool", "a2", "a3", **pool),
        node("Conv", "a3 c2 d2", "a4"),
        node("Relu", "a4", "a5"),
        node("MaxPool", "a5", "a6", **pool),
        node("Flatten", "a6", "a7"),
        node("Gemm", "a7 f1 g1", "b1", transB=1),
        node("Relu", "b1", "b2"),
        node("Gemm", "b2 f2 g2", "b3", transB=1),
        node("Relu", "b3", "b4"),
        node("Gemm", "b4 f3 g3", "y", transB=1),
    ]
    return model(nodes, {"x": (1, 3, 32, 32)}, weights)
