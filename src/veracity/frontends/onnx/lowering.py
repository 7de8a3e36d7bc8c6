"""Tracing: every node of a graph, in order, becomes constants or operands of a float network.

What does not depend on the input is computed at once (:mod:`veracity.frontends.onnx.folding`);
everything else goes to a handler, one for each op of the format. Shapes are known throughout.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.errors import UnsupportedModelError, UsageError
from veracity.frontends.onnx import (
    ops_algebra,
    ops_attention,
    ops_bits,
    ops_control,
    ops_einsum,
    ops_features,
    ops_fourier,
    ops_fused,
    ops_index,
    ops_linear,
    ops_logic,
    ops_losses,
    ops_masks,
    ops_pictures,
    ops_pointwise,
    ops_pools,
    ops_quantised,
    ops_recurrent,
    ops_scaling,
    ops_scores,
    ops_sequence,
    ops_shape,
    ops_svm,
    ops_trees,
)
from veracity.frontends.onnx.bodies import Body, Node
from veracity.frontends.onnx.calls import ALWAYS, HANDLERS, LAZY, Call, Parts, Value, Words
from veracity.frontends.onnx.floats import FloatNetwork, Sym
from veracity.frontends.onnx.folding import FOLDS, MAX_ENTRIES, fold
from veracity.frontends.onnx.reading import Graph
from veracity.frontends.onnx.refusals import REFUSED, fault_of

__all__ = ["Traced", "trace"]

#: Importing these registers their handlers.
_OPS = (ops_algebra, ops_attention, ops_bits, ops_control, ops_einsum, ops_features, ops_fourier,
        ops_fused, ops_index, ops_linear, ops_logic, ops_losses, ops_masks, ops_pictures,
        ops_pointwise, ops_pools, ops_quantised, ops_recurrent, ops_scaling, ops_scores,
        ops_sequence, ops_shape, ops_svm, ops_trees)  # fmt: skip

Array = NDArray[Any]
Known = MutableMapping[str, "Value | None"]
#: Types of whole numbers, as Cast names them.
INTEGERS = (2, 3, 4, 5, 6, 7, 9, 12, 13)
#: What may stand between an arg max and an output.
AFTER_TOP = ("Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten")
#: What passes words on beside these, and what reads them itself.
READ_WORDS = ("LabelEncoder",)
#: The type of text, as Cast names it.
TEXT = 8
#: Ops whose results are whole numbers whatever they read, and those whose second result is.
COUNTS = ("And", "ArgMax", "ArgMin", "Equal", "Greater", "GreaterOrEqual", "IsInf", "IsNaN", "Less",
          "LessOrEqual", "Not", "Or", "Xor")  # fmt: skip
PLACES = ("MaxPool", "TopK")
#: Ops that read no more of a value than its shape.
OF_SHAPE = ("Shape", "Size", "EyeLike")
#: Most nodes that bodies come to, all their repetitions together.
MAX_REPEATED = 1 << 14
#: Where an op's body has the results that its outputs are: behind a condition in a loop.
FIRST_RESULT = {"Loop": 1}
#: What a node that cannot be lowered raises, whatever its attributes are.
FAULTS = (UsageError, ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError,
          ZeroDivisionError, MemoryError)  # fmt: skip


@dataclass
class Traced:
    """A float network, and what could not be lowered.

    Attributes
    ----------
    net : FloatNetwork
        All ops.
    outputs : dict
        Operands by output name; constants where an output does not depend on the input.
    words : dict
        The words that an output's entries are the places of, by its name.
    faults : list of UnsupportedModelError
        Every node that cannot be proved.
    """

    net: FloatNetwork
    outputs: dict[str, Sym | Array] = field(default_factory=dict)
    words: dict[str, tuple[str, ...]] = field(default_factory=dict)
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
    net = FloatNetwork(dict(dims))
    found = Traced(net)
    tracer = _Tracer(net, graph.opset, {n for n, (_, t) in graph.inputs.items() if t.kind in "iub"})
    known: dict[str, Value | None] = {"": None, **graph.constants, **constants}
    for name in dims:
        known[name] = _scaled(net, net.input(name), pixels)
    needed, used = _needed(graph.nodes, outputs), _computed_with(graph.nodes)
    lost: set[str] = set()
    for node in graph.nodes:
        if not needed & set(node.outputs):
            continue
        if lost & node.reads():
            lost |= set(node.outputs)
            continue
        net.node = f"node {node.name!r} ({node.op})"
        try:
            with np.errstate(all="ignore"):  # what is not finite is refused as a constant
                results = tracer.lower(node, known, needed, used)
        except FAULTS as error:
            lost |= set(node.outputs)
            found.faults.append(fault_of(node, graph.opset, known, error))
            continue
        known |= dict(zip(node.outputs, results, strict=False))
        for name in node.outputs:
            if name and name not in known:
                lost.add(name)
    for name in outputs:
        result = known.get(name)
        if isinstance(result, Words):
            found.words[name] = result.words
            result = result.places
        if isinstance(result, Sym | np.ndarray):
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


@dataclass
class _Tracer:
    """Lowers one node after the other, and the bodies inside of them.

    Attributes
    ----------
    net : FloatNetwork
        Where ops go.
    opset : int
        Version of the standard ops.
    integers : set of str
        Names of values that are integers.
    left : int
        How many more nodes bodies may come to.
    """

    net: FloatNetwork
    opset: int
    integers: set[str]
    left: int = MAX_REPEATED

    def lower(
        self, node: Node, known: Known, needed: Iterable[str], used: Iterable[str]
    ) -> list[Value]:
        """The outputs of a node.

        Parameters
        ----------
        node : Node
            Which.
        known : mapping
            All values so far.
        needed, used : iterable of str
            Names that others read, and those that others compute with.
        """
        if node.op in REFUSED:
            raise UsageError(REFUSED[node.op])
        given = tuple(known[name] for name in node.inputs)
        inside = any(isinstance(known.get(name), Sym | Words) for name in node.reads())
        if node.op not in ALWAYS and (not inside or node.op in OF_SHAPE):
            return self._of_constants(node, given)
        if node.op not in HANDLERS:
            raise UsageError("no argument for this op")
        words = () if node.op in READ_WORDS else _words(node, given)
        if words:
            given = tuple(x.places if isinstance(x, Words) else x for x in given)
            if node.op == "Cast":
                return [Words(x, words) for x in given if isinstance(x, Sym)]
        kinds = tuple(self._whole(name, x) for name, x in zip(node.inputs, given, strict=True))
        tops = {op.name for op in self.net.ops if op.kind == "top"}
        if node.op not in AFTER_TOP and any(
            t.x in tops for x in given if isinstance(x, Sym) for t in x.terms
        ):
            raise UsageError("reads an arg max, which can be an output only")
        if node.op == "Identity" and isinstance(given[0], Parts):
            return [given[0]]
        if node.op not in LAZY:
            given = tuple(self.net.force(x) if isinstance(x, Sym) else x for x in given)
        wanted = frozenset(set(needed) & set(node.outputs))
        computed = bool(set(used) & set(node.outputs[:1]))

        def run(body: Body, inputs: Sequence[Value], whole: Sequence[bool]) -> list[Value]:
            return self._body(body, known, inputs, whole)

        result = HANDLERS[node.op](
            Call(self.net, node, self.opset, given, kinds, wanted, computed, run)
        )
        results: list[Value] = (
            [result] if isinstance(result, Sym | np.ndarray | Parts | Words) else list(result)
        )
        self._mark(node, kinds)
        return [Words(x, words) if words and isinstance(x, Sym) else x for x in results]

    def _whole(self, name: str, x: Value | None) -> bool:
        """Whether an input is of integers."""
        return x is None or (x.dtype.kind != "f" if isinstance(x, np.ndarray) else
                             name in self.integers)  # fmt: skip

    def _mark(self, node: Node, kinds: Sequence[bool]) -> None:
        """Remember which outputs of a node are integers."""
        whole = all(kinds) or node.op in COUNTS
        if node.op == "Cast":
            whole = node.attributes.get("to") in INTEGERS
        elif node.op == "CastLike":
            whole = kinds[-1]
        first, bodies = FIRST_RESULT.get(node.op, 0), node.bodies()
        for i, name in enumerate(node.outputs):
            inner = [b.outputs[first + i] for b in bodies if first + i < len(b.outputs)]
            if set(inner) <= self.integers if bodies else whole or (i == 1 and node.op in PLACES):
                self.integers.add(name)

    def _body(
        self, body: Body, around: Known, inputs: Sequence[Value], whole: Sequence[bool]
    ) -> list[Value]:
        """The outputs of a body, each time from scratch.

        Parameters
        ----------
        body : Body
            Which.
        around : mapping
            Values outside.
        inputs : sequence
            What it is given.
        whole : sequence of bool
            Which of that is integers.
        """
        given = dict(zip(body.inputs, inputs, strict=True))
        self.integers |= {n for n, one in zip(body.inputs, whole, strict=True) if one}
        self.integers -= {n for n, one in zip(body.inputs, whole, strict=True) if not one}
        known: Known = ChainMap({**body.constants, **given}, around)
        needed = _needed(body.nodes, body.outputs)
        for node in body.nodes:
            if not needed & set(node.outputs):
                continue
            self.left -= 1
            if self.left < 0:
                raise UsageError(f"bodies that come to more than {MAX_REPEATED} nodes")
            try:
                results = self.lower(node, known, needed, node.outputs)
            except FAULTS as error:
                fault = fault_of(node, self.opset, known, error)
                raise UsageError(f"in its body, {fault.node}: {fault.op}") from None
            known.update(zip(node.outputs, results, strict=False))
        found = [known[name] for name in body.outputs]
        return [x for x in found if x is not None]

    def _of_constants(self, node: Node, given: Sequence[Value | None]) -> list[Value]:
        """A node whose inputs are constants, or that reads their shapes only."""
        if any(isinstance(x, Parts) for x in given):
            raise UsageError("a sequence instead of a tensor")
        shaped = [np.empty(x.dims) if isinstance(x, Sym) else x for x in given]
        arrays = [x if isinstance(x, np.ndarray) else None for x in shaped]
        if node.op in FOLDS or node.op not in HANDLERS:
            return [fold(node, arrays)]
        return self._evaluated(node, arrays)

    def _evaluated(self, node: Node, given: Sequence[Array | None]) -> list[Value]:
        """A node of constants by way of its handler: a network of one input, run at once."""
        places = [i for i, x in enumerate(given) if x is not None and x.dtype.kind in "biuf"]
        if not places:
            raise UsageError("without inputs that are numbers")
        place = places[0]
        first = given[place]
        if first is None or not 0 < first.size <= MAX_ENTRIES:
            raise UsageError("a constant without entries, or too large")
        whole = all(x is None or x.dtype.kind != "f" for x in given)
        net = FloatNetwork({"x": first.shape})
        operands: list[Value | None] = [*given]
        operands[place] = net.input("x")
        tracer = _Tracer(net, self.opset, {"x"} if first.dtype.kind != "f" else set())
        names = [f"c{i}" for i in range(len(given))]
        names[place] = "x"
        inner = Node(node.name, node.op, tuple(names), node.outputs, node.attributes)
        known: Known = dict(zip(names, operands, strict=True))
        results = tracer.lower(inner, known, node.outputs, node.outputs)
        tensors = [x for x in results if isinstance(x, Sym | np.ndarray)]
        values = [net.value(x) if isinstance(x, Sym) else "" for x in tensors]
        computed = net.run({"x": first.astype(np.float64)})
        out: list[Value] = []
        for x, name in zip(tensors, values, strict=True):
            array = computed[name].reshape(x.dims) if isinstance(x, Sym) else x
            exact = whole or (len(out) == 1 and node.op == "TopK")
            out.append(array.round().astype(np.int64) if exact else array.astype(np.float32))
        return out


def _words(node: Node, given: Sequence[Value | None]) -> tuple[str, ...]:
    """The words that a node passes on, if it reads any."""
    found = [x.words for x in given if isinstance(x, Words)]
    if not found:
        return ()
    text = node.attributes.get("to") == TEXT
    if node.op not in AFTER_TOP or (node.op == "Cast" and not text):
        raise UsageError("words where numbers are read")
    return found[0]


def _computed_with(nodes: Sequence[Node]) -> set[str]:
    """Names that some op computes with, directly or behind others that only pass values on."""
    used: set[str] = set()
    for node in reversed(nodes):
        if node.op not in AFTER_TOP or used & set(node.outputs):
            used |= node.reads()
    return used


def _needed(nodes: Sequence[Node], outputs: Sequence[str]) -> set[str]:
    """Names that the outputs depend on."""
    needed = set(outputs)
    for node in reversed(nodes):
        if needed & set(node.outputs):
            needed |= node.reads()
    return needed
