"""Tracing: every node of a graph, in order, becomes constants or operands of a float network.

What does not depend on the input is computed at once (:mod:`veracity.frontends.onnx.folding`);
everything else goes to a handler, one for each op of the format. Shapes are known throughout.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.errors import UnsupportedModelError, UsageError
from veracity.frontends.onnx.floats import FloatNetwork, Sym
from veracity.frontends.onnx.folding import fold
from veracity.frontends.onnx.reading import Graph, Node

__all__ = ["Call", "Result", "Traced", "handler", "spatial_pads", "trace"]

Array = NDArray[Any]
Result = Sym | Array | Sequence[Sym | Array]


@dataclass(frozen=True)
class Call:
    """One node with what it reads.

    Attributes
    ----------
    net : FloatNetwork
        Where ops go.
    node : Node
        Which.
    opset : int
        Version of the standard ops.
    given : tuple
        What it reads; None for an input that is left out.
    integers : bool
        Whether all values it reads are integers.
    wanted : frozenset of str
        What other nodes read and what is shown, as far as this one makes it.
    computed : bool
        Whether other nodes compute with its first output, instead of only passing it on.
    """

    net: FloatNetwork
    node: Node
    opset: int
    given: tuple[Sym | Array | None, ...]
    integers: bool
    wanted: frozenset[str]
    computed: bool

    def has(self, i: int) -> bool:
        """Whether input ``i`` is there."""
        return i < len(self.given) and self.given[i] is not None

    def any(self, i: int) -> Sym | Array:
        """Input ``i``, a constant or not."""
        if not self.has(i):
            raise UsageError(f"without its input {i}")
        found = self.given[i]
        if found is None:
            raise UsageError(f"without its input {i}")
        return found

    def value(self, i: int) -> Sym:
        """Input ``i`` as a value."""
        return self.net.sym(self.any(i))

    def array(self, i: int) -> Array:
        """Input ``i``, which must be a constant."""
        found = self.any(i)
        if isinstance(found, Sym):
            raise UsageError(f"its input {i} depends on the data")
        return found

    def optional_array(self, i: int) -> Array | None:
        """Input ``i`` where it is there."""
        return self.array(i) if self.has(i) else None

    def setting(self, i: int, name: str) -> Array | None:
        """A setting that older versions have as an attribute, newer ones as input ``i``."""
        if self.has(i):
            return self.array(i)
        found = self.node.attributes.get(name)
        return None if found is None else np.asarray(found)

    def ints(self, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
        """An attribute of integers."""
        found = self.node.attributes.get(name)
        return default if found is None else tuple(int(n) for n in found)

    def int(self, name: str, default: int) -> int:
        """An attribute."""
        return int(self.node.attributes.get(name, default))

    def float(self, name: str, default: float) -> float:
        """An attribute."""
        return float(self.node.attributes.get(name, default))

    def text(self, name: str, default: str) -> str:
        """An attribute."""
        return str(self.node.attributes.get(name, default))


#: Types of whole numbers, as Cast names them.
INTEGERS = (2, 3, 4, 5, 6, 7, 9, 12, 13)
#: What may stand between an arg max and an output.
AFTER_TOP = ("Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten")
#: Handlers by op, and those that read merges that are still to be made.
HANDLERS: dict[str, Callable[[Call], Result]] = {}
LAZY: set[str] = set()


def handler(
    *ops: str, lazy: bool = False
) -> Callable[[Callable[[Call], Result]], Callable[[Call], Result]]:
    """Register what lowers an op."""

    def register(function: Callable[[Call], Result]) -> Callable[[Call], Result]:
        for op in ops:
            HANDLERS[op] = function
            if lazy:
                LAZY.add(op)
        return function

    return register


def spatial_pads(
    call: Call, dims: Sequence[int], taps: Sequence[int], strides: Sequence[int]
) -> list[tuple[int, int]]:
    """Pads by axis, from ``pads`` or ``auto_pad``.

    Parameters
    ----------
    call : Call
        The node.
    dims, taps, strides : sequence of int
        Of the spatial axes.
    """
    mode, axes = call.text("auto_pad", "NOTSET"), len(dims)
    if mode in ("NOTSET", "VALID"):
        given = call.ints("pads", (0,) * 2 * axes)
        return [(given[i], given[axes + i]) for i in range(axes)]
    pads = []
    for n, k, s in zip(dims, taps, strides, strict=True):
        total = max((-(-n // s) - 1) * s + k - n, 0)
        small, large = total // 2, total - total // 2
        pads.append((small, large) if mode == "SAME_UPPER" else (large, small))
    return pads


@dataclass
class Traced:
    """A float network, and what could not be lowered.

    Attributes
    ----------
    net : FloatNetwork
        All ops.
    outputs : dict
        Operands by output name; constants where an output does not depend on the input.
    faults : list of UnsupportedModelError
        Every node that cannot be proved.
    """

    net: FloatNetwork
    outputs: dict[str, Sym | Array] = field(default_factory=dict)
    faults: list[UnsupportedModelError] = field(default_factory=list)


def trace(
    graph: Graph,
    dims: Mapping[str, tuple[int, ...]],
    constants: Mapping[str, Array],
    outputs: Sequence[str],
    pixels: tuple[float, float] | None = None,
) -> Traced:
    """Lower a graph; never raises for a node, but lists what is wrong with it.

    Parameters
    ----------
    graph : Graph
        From the file.
    dims : mapping
        Shape of each input that is a value.
    constants : mapping
        Inputs that are fixed.
    outputs : sequence of str
        Which results are wanted.
    pixels : tuple of float, optional
        Mean and deviation of inputs that are bytes (:class:`Traceable`).
    """
    from veracity.frontends.onnx import (
        ops_bits,
        ops_einsum,
        ops_index,
        ops_linear,
        ops_logic,
        ops_pointwise,
        ops_quantised,
        ops_recurrent,
        ops_scaling,
        ops_shape,
        ops_trees,
    )

    _ = ops_bits, ops_einsum, ops_index, ops_linear, ops_logic, ops_pointwise, ops_quantised
    _ = ops_recurrent, ops_scaling, ops_shape, ops_trees
    net = FloatNetwork(dict(dims))
    found = Traced(net)
    known: dict[str, Sym | Array | None] = {"": None, **graph.constants, **constants}
    integers = {n for n, (_, dtype) in graph.inputs.items() if dtype.kind in "iub"}
    for name in dims:
        known[name] = _scaled(net, net.input(name), pixels)
    needed = _needed(graph, outputs)
    used = _computed_with(graph)
    lost: set[str] = set()
    for node in graph.nodes:
        if not needed & set(node.outputs):
            continue
        if lost & set(node.inputs):
            lost |= set(node.outputs)
            continue
        try:
            results = _lower(net, node, graph.opset, known, integers, (needed, used))
        except (UsageError, ValueError, IndexError, KeyError, TypeError, OverflowError,
                ZeroDivisionError) as error:  # fmt: skip
            lost |= set(node.outputs)
            found.faults.append(_fault(node, graph.opset, known, error))
            continue
        known |= dict(zip(node.outputs, results, strict=False))
        for name in node.outputs:
            if name and name not in known:
                lost.add(name)
    for name in outputs:
        result = known.get(name)
        if result is not None:
            found.outputs[name] = result
    return found


def _scaled(net: FloatNetwork, x: Sym, pixels: tuple[float, float] | None) -> Sym:
    """What a model reads of bytes: a factor costs nothing, a mean one value for each byte."""
    if pixels is None:
        return x
    mean, deviation = pixels
    scaled = net.scale(x, 1 / (255 * deviation))
    if mean == 0:
        return scaled
    return net.sum(scaled, net.broadcast(net.constant(np.array(-mean / deviation)), x.dims))


def _lower(
    net: FloatNetwork,
    node: Node,
    opset: int,
    known: Mapping[str, Sym | Array | None],
    integers: set[str],
    names: tuple[set[str], set[str]],
) -> list[Sym | Array]:
    given = tuple(known[name] for name in node.inputs)
    if not any(isinstance(x, Sym) for x in given) or node.op in ("Shape", "Size"):
        shaped = [np.empty(x.dims) if isinstance(x, Sym) else x for x in given]
        return [fold(node, shaped)]
    if node.op not in HANDLERS:
        raise UsageError("no argument for this op")
    whole = all(
        name in integers if isinstance(x, Sym) else x is None or x.dtype.kind != "f"
        for name, x in zip(node.inputs, given, strict=True)
    )
    tops = {op.name for op in net.ops if op.kind == "top"}
    if node.op not in AFTER_TOP and any(
        t.x in tops for x in given if isinstance(x, Sym) for t in x.terms
    ):
        raise UsageError("reads an arg max, which can be an output only")
    if node.op not in LAZY:
        given = tuple(net.force(x) if isinstance(x, Sym) else x for x in given)
    made = set(node.outputs)
    wanted, computed = frozenset(names[0] & made), bool(names[1] & set(node.outputs[:1]))
    result = HANDLERS[node.op](Call(net, node, opset, given, whole, wanted, computed))
    results = [result] if isinstance(result, Sym | np.ndarray) else list(result)
    kept = node.attributes.get("to") in INTEGERS if node.op == "Cast" else whole
    if kept:
        integers |= set(node.outputs)
    return results


def _computed_with(graph: Graph) -> set[str]:
    """Names that some op computes with, directly or behind others that only pass values on."""
    used: set[str] = set()
    for node in reversed(graph.nodes):
        if node.op not in AFTER_TOP or used & set(node.outputs):
            used |= {n for n in node.inputs if n}
    return used


def _needed(graph: Graph, outputs: Sequence[str]) -> set[str]:
    """Names that the outputs depend on."""
    needed = set(outputs)
    for node in reversed(graph.nodes):
        if needed & set(node.outputs):
            needed |= {n for n in node.inputs if n}
    return needed


def _fault(
    node: Node, opset: int, known: Mapping[str, Sym | Array | None], error: Exception
) -> UnsupportedModelError:
    shapes = []
    for name in node.inputs:
        x = known.get(name)
        if x is not None:
            shapes.append("x".join(map(str, x.dims if isinstance(x, Sym) else x.shape)) or "scalar")
    what = str(error) if isinstance(error, UsageError) else "an attribute that is not understood"
    return UnsupportedModelError(
        f"node {node.name!r}",
        f"{node.op}, opset {opset}, on {', '.join(shapes)}: {what}",
        f"cut the model before it (--outputs {node.inputs[0] if node.inputs else 'NAME'})",
    )
