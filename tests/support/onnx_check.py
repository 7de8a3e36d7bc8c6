"""An ONNX model against onnxruntime: in floats, and as an integer program."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from tests.support.onnx_models import model, node, save
from veracity.frontends.onnx import import_onnx, open_onnx
from veracity.frontends.onnx.settling import settle
from veracity.graph import execute

#: Whole numbers from an input ``u`` of 0 .. 1.
WHOLE = [node("Mul", "u f", "a0"), node("Floor", "a0", "a1"), node("Cast", "a1", "i", to=7)]


def check_case(case: tuple[Any, ...], folder: Path) -> None:
    """One row of a table: nodes, inputs, and perhaps weights, opset, closeness, version, types."""
    nodes, inputs, weights, opset, close, version, types = (
        *case, *(None, 17, 1e-4, 3, None)[len(case) - 2 :]
    )  # fmt: skip
    made = model(nodes, inputs, weights, opset=opset or 17, learnt=version, types=types)
    check(save(made, folder), inputs, close=close)


def check(
    path: Path, inputs: Mapping[str, Any], expected: np.ndarray | None = None, *,
    close: float = 1e-4, within: float = 0.02, samples: Path | None = None,
) -> None:  # fmt: skip
    """Fail where output ``y`` is another: floats by ``close``, integers by ``within`` on average.

    Parameters
    ----------
    path : Path
        The model.
    inputs : mapping
        Dims of each input, or its entries.
    expected : array, optional
        What onnxruntime, which does not know the model, would compute.
    close, within : float
        Bounds.
    samples : Path, optional
        Folder of inputs to observe.
    """
    opened = open_onnx(path)
    traced = opened.trace()
    assert not traced.faults, traced.faults
    value = settle(traced, opened.outputs)["y"]
    rng = np.random.default_rng(1)
    x = {n: d if isinstance(d, np.ndarray) else rng.random(d).astype(np.float32)
         for n, d in inputs.items()}  # fmt: skip
    if expected is None:
        session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        (expected,) = session.run(["y"], x)
    found = traced.net.run(x)[value]
    assert found.size == expected.size
    scale = max(1.0, float(np.abs(expected).max(initial=0.0)))
    assert np.allclose(found.reshape(-1), expected.reshape(-1), rtol=close, atol=close * scale)
    network = import_onnx(path, path.with_suffix(".vprog"), samples=samples)
    program = network.program
    integers = {
        n: np.floor(np.ldexp(v.astype(float), program.inputs[n].exponent) + 0.5).astype(np.int64)
        for n, v in x.items()
    }
    got = execute(program, network.weights, integers).outputs["y"]
    reals = np.ldexp(got.astype(float), -program.outputs["y"].exponent).reshape(-1)
    signal = np.abs(expected).max(initial=0.0) or 1.0
    assert np.abs(reals - expected.reshape(-1)).mean() < within * signal
