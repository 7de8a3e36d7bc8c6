"""An ONNX file as nodes and arrays; ``onnx`` parses the protobuf and does nothing else.

Everything in the file is untrusted: sizes are bounded before work, external data is read here (a
plain name in the model's folder, a regular file, exactly as long as the tensor), numbers must be
finite, names unique, and nodes in an order in which each reads only what came before.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.codec import read_file
from veracity.errors import FormatError, UnsupportedModelError, UsageError

__all__ = ["Graph", "Node", "read_onnx"]

MAX_FILE, MAX_NODES, MAX_ELEMENTS, MAX_ATTRIBUTE = 1 << 31, 10**5, 1 << 31, 1 << 24
OPSETS = range(7, 26)
#: Types of tensors by their number in the format.
_TYPES: dict[int, str] = {
    1: "<f4", 2: "|u1", 3: "|i1", 4: "<u2", 5: "<i2", 6: "<i4", 7: "<i8", 9: "|b1", 10: "<f2",
    11: "<f8", 12: "<u4", 13: "<u8",
}  # fmt: skip
#: Fields of the format that hold the entries where they are not raw, by type.
_FIELDS = {1: "float_data", 7: "int64_data", 11: "double_data", 12: "uint64_data",
           13: "uint64_data"}  # fmt: skip

Array = NDArray[Any]


@dataclass(frozen=True)
class Node:
    """One node: an op of the format and the names it reads and writes."""

    name: str
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(repr=False)


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
    if len(graph.node) > MAX_NODES:
        raise FormatError(path.name, f"more than {MAX_NODES} nodes")
    if not graph.node or not graph.output:
        raise FormatError(path.name, "a model without nodes or outputs")
    if graph.sparse_initializer or model.functions:
        raise UnsupportedModelError(path.name, "a sparse weight or a function", "export without")
    constants = {t.name: read_tensor(t, path) for t in graph.initializer}
    if len(constants) != len(graph.initializer):
        raise FormatError(path.name, "two weights have one name")
    inputs = {v.name: _port(v, path.name) for v in graph.input if v.name not in constants}
    nodes = tuple(_node(n, i, path) for i, n in enumerate(graph.node))
    ordered = _ordered(nodes, {*constants, *inputs}, path.name)
    outputs = tuple(v.name for v in graph.output)
    digest = hashlib.sha256(data).hexdigest()
    return Graph(path.stem, digest, opset, ordered, constants, inputs, outputs)


def _opset(model: Any, where: str) -> int:
    found = {o.domain or "ai.onnx": int(o.version) for o in model.opset_import}
    version = found.get("ai.onnx", 0)
    if version not in OPSETS:
        raise UnsupportedModelError(
            where, f"opset {version}", f"export it with an opset of {OPSETS[0]} to {OPSETS[-1]}"
        )
    return version


def _port(value: Any, where: str) -> tuple[tuple[int | str, ...], np.dtype[Any]]:
    kind = value.type.tensor_type
    if kind.elem_type not in _TYPES or not kind.HasField("shape"):
        raise UnsupportedModelError(where, f"input {value.name!r}", "give it a shape and a type")
    dims: list[int | str] = []
    for i, d in enumerate(kind.shape.dim):
        known = d.WhichOneof("value") == "dim_value" and d.dim_value > 0
        dims.append(int(d.dim_value) if known else (d.dim_param or f"{value.name}.{i}"))
    return tuple(dims), np.dtype(_TYPES[kind.elem_type])


def _node(node: Any, index: int, path: Path) -> Node:
    name = node.name or f"{node.op_type}_{index}"
    if node.domain not in ("", "ai.onnx", "ai.onnx.ml"):
        raise UnsupportedModelError(name, f"{node.domain}.{node.op_type}", "export standard ops")
    attributes = {a.name: _attribute(a, path) for a in node.attribute}
    return Node(name, node.op_type, tuple(node.input), tuple(node.output), attributes)


def _attribute(a: Any, path: Path) -> Any:
    kinds = {1: a.f, 2: a.i, 3: a.s, 6: a.floats, 7: a.ints, 8: a.strings}
    if a.type == 4:
        return read_tensor(a.t, path)
    if a.type not in kinds:
        return None  # a graph: the op is refused by name
    value = kinds[a.type]
    if a.type == 3:
        return value.decode("utf-8", "replace")
    if a.type in (6, 7, 8):
        if len(value) > MAX_ATTRIBUTE:
            raise FormatError(path.name, f"attribute {a.name} is too long")
        return tuple(value)
    return value


def read_tensor(tensor: Any, path: Path) -> Array:
    """The array of a tensor in the file or beside it; finite numbers only."""
    where = f"{path.name}, {tensor.name or 'a constant'}"
    if tensor.data_type not in _TYPES:
        raise UnsupportedModelError(where, "this type of numbers", "export it in float32")
    dtype = np.dtype(_TYPES[tensor.data_type])
    shape = tuple(int(d) for d in tensor.dims)
    if any(d < 0 for d in shape) or len(shape) > 12 or prod(shape) > MAX_ELEMENTS:
        raise FormatError(where, "no such shape")
    size = prod(shape) * dtype.itemsize
    if tensor.data_location == 1:
        raw = _external(tensor, path, size, where)
        array = np.frombuffer(raw, dtype=dtype)
    elif tensor.raw_data:
        if len(tensor.raw_data) != size:
            raise FormatError(where, "another number of bytes than its shape says")
        array = np.frombuffer(tensor.raw_data, dtype=dtype)
    else:
        entries = getattr(tensor, _FIELDS.get(tensor.data_type, "int32_data"))
        if len(entries) != prod(shape):
            raise FormatError(where, "another number of entries than its shape says")
        if dtype == np.float16:  # bits, in a field of integers
            array = np.array(entries, dtype=np.uint16).view(np.float16)
        else:
            array = np.array(entries).astype(dtype)
    if dtype.kind == "f" and not np.isfinite(array).all():
        raise FormatError(where, "a number is not finite")
    return array.reshape(shape)


def _external(tensor: Any, path: Path, size: int, where: str) -> bytes:
    """Entries from a file beside the model: a plain name, a regular file, within its length."""
    facts = {e.key: e.value for e in tensor.external_data}
    name = facts.get("location", "")
    if not name or name != os.path.basename(name) or name in (".", "..") or "\\" in name:  # noqa: PTH119
        raise FormatError(where, "external data must have a plain name in the model's folder")
    try:
        offset, length = int(facts.get("offset", "0")), int(facts.get("length", str(size)))
    except ValueError:
        raise FormatError(where, "external data without a place") from None
    if length != size or offset < 0:
        raise FormatError(where, "external data has another length than its shape says")
    try:
        handle = os.open(path.parent / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        raise FormatError(where, f"its external data {name!r} cannot be read") from None
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1 or offset + size > found.st_size:
            raise FormatError(where, f"its external data {name!r} is no such file")
        raw = os.pread(handle, size, offset)
    finally:
        os.close(handle)
    if len(raw) != size:
        raise FormatError(where, f"its external data {name!r} is incomplete")
    return raw


def _ordered(nodes: tuple[Node, ...], known: set[str], where: str) -> tuple[Node, ...]:
    """The nodes as they stand, which must be an order of computation."""
    seen = set(known)
    for node in nodes:
        for name in node.inputs:
            if name and name not in seen:
                raise FormatError(where, f"node {node.name} reads {name!r} before it is computed")
        for name in node.outputs:
            if name and name in seen:
                raise FormatError(where, f"two nodes compute {name!r}")
            seen.add(name)
    return nodes
