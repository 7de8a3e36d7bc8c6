"""ONNX comparisons, truth values, selections and the arg max."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.frontends.onnx.calls import Call, Result, handler
from veracity.frontends.onnx.floats import FloatOp, Ref, Sym
from veracity.frontends.onnx.ops_choice import ahead
from veracity.frontends.onnx.ops_linear import minus, plus, times
from veracity.frontends.onnx.ops_pointwise import maximum
from veracity.graph.wires import Step

Array = NDArray[Any]


def _step(call: Call, a: Sym | Array, b: Sym | Array) -> Sym:
    """1 where ``a > b``."""
    return call.net.function("step", minus(call, a, b))


def _not(call: Call, x: Sym) -> Sym:
    return plus(call, np.ones(x.dims), call.net.scale(x, -1.0))


_COMPARISONS: dict[str, Callable[[Call, Any, Any], Sym | Array]] = {
    "Greater": _step,
    "Less": lambda c, a, b: _step(c, b, a),
    "GreaterOrEqual": lambda c, a, b: _not(c, _step(c, b, a)),
    "LessOrEqual": lambda c, a, b: _not(c, _step(c, a, b)),
    "Equal": lambda c, a, b: c.net.function("zero", minus(c, a, b)),
    "And": times,
    "Or": lambda c, a, b: _not(c, c.net.sym(times(c, _opposite(c, a), _opposite(c, b)))),
    "Xor": lambda c, a, b: c.net.function("abs", minus(c, a, b)),
}


def _opposite(call: Call, x: Sym | Array) -> Sym | Array:
    return _not(call, x) if isinstance(x, Sym) else 1 - x.astype(np.int64)


@handler(*_COMPARISONS)
def compare(call: Call) -> Result:
    """Comparisons by a step of the difference, and logic on their results."""
    a, b = (x if isinstance(x, Sym) else x.astype(np.float64) for x in (call.any(0), call.any(1)))
    return _COMPARISONS[call.node.op](call, a, b)


@handler("Not")
def negation(call: Call) -> Result:
    """1 minus a truth value."""
    return _not(call, call.value(0))


@handler("ArgMax", "ArgMin")
def arg_max(call: Call) -> Result:
    """Along one axis; the indices are public. An output has them row by row, without that axis."""
    x, net = call.value(0), call.net
    axis = call.int("axis", 0) % len(x.dims)
    if call.node.op == "ArgMin":
        x = net.scale(x, -1.0)
    if call.int("select_last_index", 0):
        n = x.dims[axis]
        first = _place_of_largest(call, net.view(x, Step("flip", axis)), axis)
        return plus(call, net.scale(first, -1.0), np.full(first.dims, n - 1.0))
    if call.computed:
        return _place_of_largest(call, x, axis)
    last = net.view(x, Step("permute", 0, moved_last(axis, len(x.dims))))
    rows = prod(last.dims[:-1])
    flat = net.reshape(last, (rows, last.dims[-1]))
    op = FloatOp("top", net.fresh(), (rows,), addends=(Ref(net.value(flat)),))
    out = net.add(op)
    kept = (1,) if call.int("keepdims", 1) else ()
    dims = (*x.dims[:axis], *kept, *x.dims[axis + 1 :])
    return out if dims == (rows,) else net.reshape(out, dims)


def _place_of_largest(call: Call, x: Sym, axis: int) -> Sym:
    """The arg max as a value: places, weighed by 1 at the first of the largest entries.

    Parameters
    ----------
    call : Call
        The node.
    x : Sym
        What is read.
    axis : int
        Which.
    """
    net, n = call.net, x.dims[axis]
    chosen = first_of_largest(call, x, axis)
    step = Step("taps", axis, (1, *range(n)))
    if not call.int("keepdims", 1):
        return net.view(chosen, step, Step("sum", axis))
    return net.view(chosen, step)


def first_of_largest(call: Call, x: Sym, axis: int) -> Sym:
    """1 at the first of the largest entries: one that no other exceeds, none like it before it.

    Parameters
    ----------
    call : Call
        The node.
    x : Sym
        What is read.
    axis : int
        Which.
    """
    net, n = call.net, x.dims[axis]
    x = net.spared(x)
    best = maximum(call, x, axis)
    equal = net.function("zero", minus(call, x, Sym(best.dims, (Ref(net.value(best)),))))
    earlier = ahead(call, equal, axis, np.tril(np.ones((n, n), dtype=int), -1))
    return net.function("step", minus(call, equal, earlier))


def moved_last(axis: int, count: int) -> tuple[int, ...]:
    """An order of axes with one of them last."""
    return (*(i for i in range(count) if i != axis), axis)
