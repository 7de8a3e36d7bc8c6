"""What a traced network gives out: a value for each output, and no op that none of them needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.errors import UnsupportedModelError
from veracity.frontends.onnx.floats import FloatNetwork, FloatOp, Ref
from veracity.frontends.onnx.lowering import Traced
from veracity.graph.program import MAX_LIVE
from veracity.graph.wires import Step

__all__ = ["settle"]

Array = NDArray[Any]
#: Most entries of an output that is constant.
MAX_CONSTANT = 1 << 20


def settle(found: Traced, outputs: Sequence[str]) -> dict[str, str]:
    """A computed value for each output, of its own; drops ops that none of them needs."""
    net = found.net
    tops = {op.name for op in net.ops if op.kind == "top"}
    values: dict[str, str] = {}
    for name in outputs:
        result = found.outputs.get(name)
        if result is None or (isinstance(result, np.ndarray) and result.dtype.kind not in "biuf"):
            raise UnsupportedModelError(
                f"output {name!r}", "an output that is no tensor of numbers",
                "choose others with --outputs",
            )  # fmt: skip
        if isinstance(result, np.ndarray) and not 0 < result.size <= MAX_CONSTANT:
            raise UnsupportedModelError(
                f"output {name!r}", "a constant without entries, or too large",
                "choose others with --outputs",
            )  # fmt: skip
        if isinstance(result, np.ndarray):
            values[name] = _constant(net, name, result)
            continue
        result = net.force(result)
        lone = result.terms[0].x
        value = lone if lone in tops else net.value(result)
        if value in net.inputs or value in values.values():
            value = net.linear((), (Ref(value),), net.dims[value]).terms[0].x
        values[name] = value
    needed = set(values.values())
    for op in reversed(net.ops):
        if op.name in needed:
            needed |= {r.x for r in op.reads() if r.of == "value"}
    net.ops = _ordered([op for op in net.ops if op.name in needed], list(values.values()))
    if unread := sorted(set(net.inputs) - needed):
        _tie(net, values, unread, tops)
    return values


def _ordered(ops: list[FloatOp], results: Sequence[str]) -> list[FloatOp]:
    """Ops as they came, or, where too many values wait, each just before what reads it."""
    if _most_alive(ops, results) <= MAX_LIVE // 2:
        return ops
    made, done, order = {op.name: op for op in ops}, set[str](), list[FloatOp]()
    waiting = [(name, False) for name in reversed(results)]
    while waiting:
        name, ready = waiting.pop()
        if name in done or name not in made:
            continue
        if ready:
            done.add(name)
            order.append(made[name])
            continue
        waiting.append((name, True))
        waiting += [(r.x, False) for r in reversed(made[name].reads()) if r.of == "value"]
    return min(ops, order, key=lambda found: _most_alive(found, results))


def _most_alive(ops: Sequence[FloatOp], results: Sequence[str]) -> int:
    """How many values at most are computed and still to be read."""
    last = {r.x: i for i, op in enumerate(ops) for r in op.reads()}
    last |= dict.fromkeys(results, len(ops))
    ends: dict[int, int] = {}
    for op in ops:
        end = last.get(op.name, -1)
        ends[end] = ends.get(end, 0) + 1
    alive = most = 0
    for i in range(len(ops)):
        alive += 1
        most = max(most, alive)
        alive -= ends.get(i, 0)
    return most


def _tie(net: FloatNetwork, values: dict[str, str], unread: Sequence[str], tops: set[str]) -> None:
    """Add an input that no output depends on to an output, and take it away again.

    So it is part of what is proved, and whoever verifies names it as the model has it.

    Parameters
    ----------
    net : FloatNetwork
        In floats.
    values : dict
        Value of each output; one of them is replaced.
    unread : sequence of str
        Inputs.
    tops : set of str
        Values that are indices, and cannot be added to.
    """
    name = next((n for n, value in values.items() if value not in tops), None)
    if name is None:
        raise UnsupportedModelError(
            f"input {unread[0]!r}", "an input that no output depends on",
            f"fix it with --constant {unread[0]}=0",
        )  # fmt: skip
    dims = net.dims[values[name]]
    terms = [Ref(values[name]), *[r for x in unread for r in _cancelled(net, x, dims)]]
    values[name] = net.linear((), terms, dims).terms[0].x


def _cancelled(net: FloatNetwork, x: str, dims: tuple[int, ...]) -> list[Ref]:
    """The first entry of an input, added everywhere and taken away again."""
    wire = tuple(Step("slice", i, (0, 1, 1)) for i in range(len(net.inputs[x])))
    wire += tuple(Step("sum", 0) for _ in net.inputs[x])
    wire += tuple(Step("repeat", i, (n,)) for i, n in enumerate(dims))
    return [Ref(x, wire=wire), Ref(x, wire=wire, factor=-1.0)]


def _constant(net: FloatNetwork, name: str, array: Array) -> str:
    """A value that is constant, beside an input that makes no difference."""
    if not net.inputs:
        raise UnsupportedModelError(
            f"output {name!r}", "a constant of a model without inputs", "give it an input"
        )
    shown = array if array.ndim else array.reshape(1)
    terms = [*net.constant(shown).terms, *_cancelled(net, next(iter(net.inputs)), shown.shape)]
    return net.linear((), terms, shown.shape).terms[0].x
