"""An ONNX file as nodes and arrays; ``onnx`` parses the protobuf and does nothing else.

Everything in the file is untrusted: sizes are bounded before work, external data comes from a plain
name in the model's folder (:mod:`veracity.frontends.onnx.tensors`), numbers must be finite, names
unique, and nodes in an order in which each reads only what came before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.codec import read_file
from veracity.errors import FormatError, UnsupportedModelError, UsageError
from veracity.frontends.onnx.bodies import Node, NodeReader, check_order
from veracity.frontends.onnx.tensors import TYPES, plain, read_tensor

__all__ = ["Graph", "Node", "read_onnx"]

MAX_FILE = 1 << 31
OPSETS = range(7, 27)
Array = NDArray[Any]


@dataclass(frozen=True)
class Graph:
    """A model file.

    Attributes
    ----------
    name, sha256 : str
        Of the file.
    opset : int
        Version of the standard ops.
    nodes : tuple of Node
        In an order in which each reads what came before.
    constants : dict
        Arrays by name.
    inputs : dict
        Dims (names where they are not known) and type of each input.
    outputs : tuple of str
        Names.
    """

    name: str
    sha256: str
    opset: int
    nodes: tuple[Node, ...]
    constants: Mapping[str, Array]
    inputs: Mapping[str, tuple[tuple[int | str, ...], np.dtype[Any]]]
    outputs: tuple[str, ...]


def read_onnx(path: str | Path) -> Graph:
    """Read a model file.

    Raises
    ------
    UsageError
        It cannot be read, or ``onnx`` is not installed.
    FormatError
        It is damaged, inconsistent or too large.
    UnsupportedModelError
        It uses a version or a domain that is not known.
    """
    try:
        from google.protobuf.message import DecodeError
        from onnx import ModelProto
    except ImportError:
        raise UsageError("reading ONNX files needs `pip install 'veracity[onnx]'`") from None
    path = Path(path)
    data = read_file(path, MAX_FILE, "ONNX model")
    try:
        model = ModelProto.FromString(data)
    except DecodeError:
        raise FormatError(path.name, "not an ONNX file") from None
    opset = _opset(model, path.name)
    graph = model.graph
    if not graph.node or not graph.output:
        raise FormatError(path.name, "a model without nodes or outputs")
    if graph.sparse_initializer:
        raise UnsupportedModelError(path.name, "a sparse weight", "export without")
    constants = {plain(t.name): read_tensor(t, path) for t in graph.initializer}
    if len(constants) != len(graph.initializer):
        raise FormatError(path.name, "two weights have one name")
    inputs = {plain(v.name): _port(v, path.name) for v in graph.input
              if plain(v.name) not in constants}  # fmt: skip
    functions = {(plain(f.domain), plain(f.name)): f for f in model.functions}
    nodes = NodeReader(path, opset, functions).nodes(graph.node)
    check_order(nodes, {*constants, *inputs}, path.name)
    outputs = tuple(plain(v.name) for v in graph.output)
    digest = hashlib.sha256(data).hexdigest()
    return Graph(path.stem, digest, opset, nodes, constants, inputs, outputs)


def _opset(model: Any, where: str) -> int:
    found = {plain(o.domain) or "ai.onnx": int(o.version) for o in model.opset_import}
    version = found.get("ai.onnx", OPSETS[-1] if found else 0)  # with other domains' ops only
    if version not in OPSETS:
        raise UnsupportedModelError(
            where, f"opset {version}", f"export it with an opset of {OPSETS[0]} to {OPSETS[-1]}"
        )
    return version


def _port(value: Any, where: str) -> tuple[tuple[int | str, ...], np.dtype[Any]]:
    kind = value.type.tensor_type
    if kind.elem_type not in TYPES or not kind.HasField("shape"):
        raise UnsupportedModelError(where, f"input {value.name!r}", "give it a shape and a type")
    dims: list[int | str] = []
    for i, d in enumerate(kind.shape.dim):
        known = d.WhichOneof("value") == "dim_value" and d.dim_value > 0
        dims.append(int(d.dim_value) if known else (d.dim_param or f"{value.name}.{i}"))
    return tuple(dims), np.dtype(TYPES[kind.elem_type])
