"""How large values can be at all, where they follow from truth values and constants alone.

Samples show a tree, a table or a vote only where they lead. What is computed from comparisons and
constants is bounded whatever the input is, so that its scale can leave room for all of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.frontends.onnx.floats import FloatNetwork, FloatOp, Ref
from veracity.graph.wires import apply_wire

__all__ = ["bounds_of", "with_room"]

Array = NDArray[Any]
#: What stands for no bound, and from where on there is none.
NONE, FAR = 1e30, 1e15
#: How far beyond what samples show a scale makes room, at most: four bits.
MOST_ROOM = 16.0
#: Functions whose results are 0 or 1, or -1; and those that keep a bound.
_TRUTHS, _KEPT = ("step", "zero", "sign"), ("relu", "abs")


def bounds_of(net: FloatNetwork) -> dict[str, float]:
    """The greatest magnitude of each value that has one whatever the input is.

    Parameters
    ----------
    net : FloatNetwork
        In floats.
    """
    most: dict[str, Array] = {n: np.full(d, NONE) for n, d in net.inputs.items()}

    def read(r: Ref) -> Array:
        source = most[r.x] if r.of == "value" else np.abs(net.weights[r.x])
        return np.abs(apply_wire(r.wire, source) * r.factor)

    for op in net.ops:
        if any(s.kind in ("taps", "dft", "idft") and min(s.numbers, default=0) < 0
               for r in op.reads() for s in r.wire):  # fmt: skip
            found = np.full(op.dims, NONE)  # what cancels is no bound
        else:
            found = _of_op(op, read, most)
        most[op.name] = np.minimum(np.minimum(found, op.most), NONE)
    tops = {n: float(x.max(initial=0.0)) for n, x in most.items()}
    return {n: x for n, x in tops.items() if isfinite(x) and x < FAR}


def _of_op(op: FloatOp, read: Any, most: Mapping[str, Array]) -> Array:
    """Bounds of one op's entries from those of its operands.

    Parameters
    ----------
    op : FloatOp
        Which.
    read : callable
        Bounds of an operand.
    most : mapping
        Bounds of values.
    """
    if op.kind == "linear":
        total: Array = np.zeros(op.dims)
        for r in op.addends:
            total = total + read(r)
        for spec, a, b in op.products:
            total = total + np.einsum(spec, read(a), read(b), optimize=True)
        return total + 0.5 if op.rounded else total
    x = most[op.addends[0].x]
    if op.kind == "reshape":
        return x.reshape(op.dims)
    if op.kind == "function" and op.fn in _TRUTHS:
        return np.ones(op.dims)
    if op.kind == "function" and op.fn in _KEPT:
        return x
    return np.full(op.dims, NONE)


def with_room(net: FloatNetwork, largest: Mapping[str, float]) -> dict[str, float]:
    """What samples show, and more where a value is bounded; scales double it.

    Parameters
    ----------
    net : FloatNetwork
        In floats.
    largest : mapping
        Greatest magnitude of every value over all samples.
    """
    out = dict(largest)
    for name, most in bounds_of(net).items():
        seen = out.get(name, 0.0)
        room = most / 2 if seen == 0 else min(most / 2, MOST_ROOM * seen)
        if room > seen and name not in net.inputs:
            out[name] = room
    return out
