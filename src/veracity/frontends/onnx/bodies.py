"""Nodes as they stand in a file: their attributes, bodies inside of them, functions inlined.

A node of a local function is replaced by the function's nodes, under names of their own. Functions
that call each other in a circle, and nodes beyond a bound, are refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from veracity.errors import FormatError, UnsupportedModelError
from veracity.frontends.onnx.tensors import plain, read_tensor

__all__ = ["MAX_NODES", "Body", "Node", "NodeReader", "check_order"]

MAX_NODES, MAX_ATTRIBUTE, MAX_DEPTH = 10**5, 1 << 24, 16
#: Domains whose ops stand under their plain names.
PLAIN = ("", "ai.onnx", "ai.onnx.ml")

Array = NDArray[Any]


@dataclass(frozen=True)
class Node:
    """One node: an op of the format and the names it reads and writes."""

    name: str
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(repr=False)

    def bodies(self) -> list[Body]:
        """Graphs that are attributes of this node."""
        return [a for a in self.attributes.values() if isinstance(a, Body)]

    def reads(self) -> set[str]:
        """All names it needs from outside, those that its bodies read included."""
        return {n for n in self.inputs if n}.union(*[b.reads() for b in self.bodies()])


@dataclass(frozen=True)
class Body:
    """A graph inside a node, which may also read what stands outside of it.

    Attributes
    ----------
    inputs, outputs : tuple of str
        Names.
    constants : dict
        Arrays by name.
    nodes : tuple of Node
        In an order in which each reads what came before.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    constants: Mapping[str, Array]
    nodes: tuple[Node, ...]

    def reads(self) -> set[str]:
        """Names from outside."""
        own = {*self.inputs, *self.constants, *[n for node in self.nodes for n in node.outputs]}
        needed = set(self.outputs).union(*[node.reads() for node in self.nodes])
        return needed - own


@dataclass(frozen=True)
class _Names:
    """Names of a function's nodes where it is called: its operands', or with a prefix."""

    prefix: str = ""
    given: Mapping[str, str] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, name: str | bytes) -> str:
        text = plain(name)
        return self.given.get(text, self.prefix + text) if text else ""


@dataclass
class NodeReader:
    """Reads the nodes of one file.

    Attributes
    ----------
    path : Path
        The file.
    opset : int
        Version of the standard ops.
    functions : dict
        Functions of the file by domain and name.
    left : int
        How many more nodes there may be.
    """

    path: Path
    opset: int
    functions: Mapping[tuple[str, str], Any]
    left: int = MAX_NODES

    def nodes(self, found: Any, names: _Names | None = None, depth: int = 0) -> tuple[Node, ...]:
        """Nodes of a graph or a function, in their order.

        Parameters
        ----------
        found : sequence
            As the file has them.
        names : _Names, optional
            What they are called here.
        depth : int
            How many bodies and functions stand around them.
        """
        if depth > MAX_DEPTH:
            raise FormatError(self.path.name, "bodies or functions within each other without end")
        here = names or _Names()
        return tuple(n for i, one in enumerate(found) for n in self._node(one, i, here, depth))

    def _node(self, node: Any, index: int, names: _Names, depth: int) -> Iterator[Node]:
        self.left -= 1
        if self.left < 0:
            raise FormatError(self.path.name, f"more than {MAX_NODES} nodes")
        op_type, domain = plain(node.op_type), plain(node.domain)
        name = names.prefix + (plain(node.name) or f"{op_type}_{index}")
        stated = [(plain(a.name), names.attributes[a.ref_attr_name] if a.ref_attr_name else a)
                  for a in node.attribute
                  if not a.ref_attr_name or a.ref_attr_name in names.attributes]  # fmt: skip
        function = self.functions.get((domain, op_type))
        if function is not None:
            yield from self._inlined(function, node, name, names, dict(stated), depth)
            return
        op = op_type if domain in PLAIN else f"{domain}.{op_type}"
        attributes = {key: self._attribute(a, names, depth) for key, a in stated}
        inputs, outputs = (tuple(names(n) for n in side) for side in (node.input, node.output))
        yield Node(name, op, inputs, outputs, attributes)

    def _inlined(
        self,
        function: Any,
        node: Any,
        name: str,
        names: _Names,
        stated: dict[str, Any],
        depth: int,
    ) -> Iterator[Node]:
        """The nodes of a function where a node calls it.

        Parameters
        ----------
        function, node : message
            Both.
        name : str
            Of the node here.
        names : _Names
            Around the node.
        stated : dict
            Attributes of the node.
        depth : int
            How many functions stand around it.
        """
        versions = {o.domain or "ai.onnx": int(o.version) for o in function.opset_import}
        if versions.get("ai.onnx", self.opset) != self.opset:
            raise UnsupportedModelError(name, "a function of another opset", "export without")
        if len(node.input) > len(function.input) or len(node.output) > len(function.output):
            raise FormatError(self.path.name, f"{name} gives its function more than it takes")
        takes, gives = ([plain(f) for f in side] for side in (function.input, function.output))
        given = dict.fromkeys(takes, "")
        given |= {f: names(n) for f, n in zip(takes, node.input, strict=False)}
        actual = {f: names(n) for f, n in zip(gives, node.output, strict=False) if n}
        passed = [f for f in actual if f in given]
        given |= {f: n for f, n in actual.items() if f not in passed}
        known = {plain(a.name): a for a in function.attribute_proto} | stated
        inner = _Names(f"{name}.{self.left}/", given, known)  # nodes may share a name
        yield from self.nodes(function.node, inner, depth + 1)
        for formal in passed:
            yield Node(f"{name}/{formal}", "Identity", (given[formal],), (actual[formal],), {})

    def _attribute(self, a: Any, names: _Names, depth: int) -> Any:
        kinds = {1: a.f, 2: a.i, 3: a.s, 6: a.floats, 7: a.ints, 8: a.strings}
        if a.type == 4:
            return read_tensor(a.t, self.path)
        if a.type == 5:
            return self.body(a.g, names, depth + 1)
        if a.type not in kinds:
            return None  # of a kind that no op here reads
        value = kinds[a.type]
        if a.type == 3:
            return value.decode("utf-8", "replace")
        if a.type in (6, 7, 8):
            if len(value) > MAX_ATTRIBUTE:
                raise FormatError(self.path.name, f"attribute {a.name} is too long")
            return tuple(value)
        return value

    def body(self, graph: Any, names: _Names, depth: int) -> Body:
        """A graph inside a node.

        Parameters
        ----------
        graph : message
            As the file has it.
        names : _Names
            Around it.
        depth : int
            How many bodies and functions stand around it.
        """
        if graph.sparse_initializer:
            raise UnsupportedModelError(self.path.name, "a sparse weight", "export without")
        constants = {names(t.name): read_tensor(t, self.path) for t in graph.initializer}
        inputs = tuple(names(v.name) for v in graph.input if names(v.name) not in constants)
        outputs = tuple(names(v.name) for v in graph.output)
        return Body(inputs, outputs, constants, self.nodes(graph.node, names, depth))


def check_order(nodes: tuple[Node, ...], known: set[str], where: str) -> set[str]:
    """Raise FormatError unless each node, in bodies too, reads what is there before it.

    Parameters
    ----------
    nodes : tuple of Node
        As they stand.
    known : set of str
        What is there before all of them.
    where : str
        The file.

    Returns
    -------
    set of str
        What is there behind them.
    """
    seen = set(known)
    for node in nodes:
        for name in node.inputs:
            if name and name not in seen:
                raise FormatError(where, f"node {node.name} reads {name!r} before it is computed")
        for body in node.bodies():
            inside = check_order(body.nodes, seen | {*body.inputs, *body.constants}, where)
            if missing := [n for n in body.outputs if n not in inside]:
                raise FormatError(where, f"no node in {node.name} computes {missing[0]!r}")
        for name in node.outputs:
            if name and name in seen:
                raise FormatError(where, f"two nodes compute {name!r}")
            seen.add(name)
    return seen
