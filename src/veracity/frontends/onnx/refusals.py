"""What is said of a node that cannot be proved: its name, op, opset, shapes, and the way out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from veracity.errors import UnsupportedModelError, UsageError
from veracity.frontends.onnx.bodies import Node
from veracity.frontends.onnx.calls import Parts, Value, Words
from veracity.frontends.onnx.floats import Sym

__all__ = ["REFUSED", "fault_of"]

_RANDOM = "random numbers, which nobody could check (make them an input)"
_TEXT = "text (turn it into numbers before the model)"
_COUNT = "a result whose length depends on the data"
#: Ops that have no integer meaning here, and why.
REFUSED = {
    **dict.fromkeys(
        (
            "RandomNormal",
            "RandomNormalLike",
            "RandomUniform",
            "RandomUniformLike",
            "Bernoulli",
            "Multinomial",
        ),
        _RANDOM,
    ),
    **dict.fromkeys(
        (
            "RegexFullMatch",
            "StringConcat",
            "StringNormalizer",
            "StringSplit",
            "TfIdfVectorizer",
            "CategoryMapper",
            "DictVectorizer",
            "CastMap",
        ),
        _TEXT,
    ),
    **dict.fromkeys(("NonMaxSuppression", "Unique"), _COUNT),
    "ImageDecoder": "a picture file (give its pixels)",
    **dict.fromkeys(
        [
            f"com.microsoft.nchwc.{op}"
            for op in ("Conv", "MaxPool", "ReorderInput", "ReorderOutput")
        ],
        "a file for one machine (save it at the level extended of onnxruntime)",
    ),
    "DeformConv": "taps at places that depend on the data",
}


def fault_of(
    node: Node, opset: int, known: Mapping[str, Value | None], error: Exception
) -> UnsupportedModelError:
    """What is wrong with a node.

    Parameters
    ----------
    node : Node
        Which.
    opset : int
        Version of the standard ops.
    known : mapping
        All values so far.
    error : Exception
        What its handler raised.
    """
    shapes, cut = [], ""
    for name in node.inputs:
        x = known.get(name)
        if x is None:
            continue
        if isinstance(x, Parts):
            shapes.append(f"a sequence of {len(x.entries)}")
            continue
        if isinstance(x, Words):
            x = x.places
        shapes.append("x".join(map(str, x.dims if isinstance(x, Sym) else x.shape)) or "scalar")
        if not cut and not isinstance(x, np.ndarray):
            cut = name
    what = str(error) if isinstance(error, UsageError) else "an attribute that is not understood"
    on = f", on {', '.join(shapes)}" if shapes else ""
    cut = cut or (node.inputs[0] if node.inputs else "") or "NAME"
    return UnsupportedModelError(
        f"node {node.name!r}",
        f"{node.op}, opset {opset}{on}: {what}",
        f"cut the model before it (--outputs {cut})",
    )
