"""ONNX ops with bodies: branches, and loops that are unrolled."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.errors import UsageError
from veracity.frontends.onnx.calls import Call, Parts, Result, Value, Words, handler
from veracity.frontends.onnx.floats import Sym
from veracity.frontends.onnx.ops_linear import minus, plus, times
from veracity.frontends.onnx.ops_sequence import Pile
from veracity.graph.wires import Step

Array = NDArray[Any]
#: Most repetitions of a loop.
MAX_ROUNDS = 1 << 10


@handler("If", always=True)
def branch(call: Call) -> Result:
    """One branch where the condition is constant; else both, and a choice between them."""
    condition = call.any(0)
    bodies = [call.body(f"{way}_branch") for way in ("then", "else")]
    if not isinstance(condition, Sym):
        return call.run(bodies[0 if bool(condition.reshape(-1)[0]) else 1], (), ())
    if np.prod(condition.dims) != 1:
        raise UsageError("a condition of more than one entry")
    sides = [call.run(body, (), ()) for body in bodies]
    return [_chosen(call, condition, a, b) for a, b in zip(*sides, strict=True)]


def _chosen(call: Call, condition: Sym, a: Value, b: Value) -> Sym:
    """``b + c (a - b)``."""
    if isinstance(a, Parts | Words) or isinstance(b, Parts | Words):
        raise UsageError("a choice between sequences or words that depends on the data")
    dims = a.dims if isinstance(a, Sym) else a.shape
    if dims != (b.dims if isinstance(b, Sym) else b.shape):
        raise UsageError("a choice between shapes that depends on the data")
    left, right = (x if isinstance(x, Sym) else x.astype(np.float64) for x in (a, b))
    steps = [Step("sum", 0)] * len(condition.dims)
    one = call.net.view(condition, *steps)
    gap = minus(call, left, right) if isinstance(left, Sym) or isinstance(right, Sym) else (
        left - right)  # fmt: skip
    return plus(call, right, times(call, one, gap))


def _fixed(x: Value) -> bool:
    """A condition, which must be constant."""
    if not isinstance(x, np.ndarray):
        raise UsageError("how often it runs depends on the data")
    return bool(x.reshape(-1)[0])


@handler("Loop", always=True)
def loop(call: Call) -> Result:
    """Unrolled: as often as its count says, or until its condition, which must be constants."""
    body = call.body("body")
    most = int(call.array(0).reshape(-1)[0]) if call.has(0) else MAX_ROUNDS + 1
    going = _fixed(call.any(1)) if call.has(1) else True
    state = [x for x in call.given[2:] if x is not None]
    whole = list(call.kinds[2:])
    outputs = [Pile(call) for _ in range(len(body.outputs) - 1 - len(state))]
    if len(body.inputs) != 2 + len(state) or len(body.outputs) < 1 + len(state):
        raise UsageError("a body of another number of inputs or outputs")
    rounds = 0
    while going and rounds < most:
        if rounds == MAX_ROUNDS:
            raise UsageError(f"more than {MAX_ROUNDS} repetitions")
        start = (np.array(rounds), np.array(True), *state)
        condition, *results = call.run(body, start, (True, True, *whole))
        going = _fixed(condition)
        state = results[: len(state)]
        for column, found in zip(outputs, results[len(state) :], strict=True):
            column.add(_tensor(found))
        rounds += 1
    if outputs and not rounds:
        raise UsageError("an empty result")
    return [*state, *[column.whole() for column in outputs]]


def _tensor(found: Value) -> Sym | Array:
    if isinstance(found, Parts | Words):
        raise UsageError("a sequence or words instead of a tensor")
    return found


@handler("Scan", always=True)
def scan(call: Call) -> Result:
    """Unrolled along an axis of what is scanned."""
    body, count = call.body("body"), call.int("num_scan_inputs", 1)
    given = [x for x in call.given if isinstance(x, Sym | np.ndarray)]
    kept = len(given) - count
    if call.opset < 9 or not 0 < count <= len(given) or len(given) != len(call.given):
        raise UsageError("other inputs than those of version 9")
    if len(body.inputs) != len(given) or len(body.outputs) < kept:
        raise UsageError("a body of another number of inputs or outputs")
    state: list[Value] = [*given[:kept]]
    read, made = given[kept:], len(body.outputs) - kept
    axes = call.ints("scan_input_axes", (0,) * count)
    ways = call.ints("scan_input_directions", (0,) * count)
    axes = tuple(a % len(_dims(x)) for a, x in zip(axes, read, strict=True))
    length = _dims(read[0])[axes[0]]
    if length > MAX_ROUNDS or any(_dims(x)[a] != length for x, a in zip(read, axes, strict=True)):
        raise UsageError(f"other than equal lengths of at most {MAX_ROUNDS}")
    outputs = [Pile(call) for _ in range(made)]
    for t in range(length):
        at = [_slice(call, x, a, length - 1 - t if way else t)
              for x, a, way in zip(read, axes, ways, strict=True)]  # fmt: skip
        results = call.run(body, (*state, *at), call.kinds)
        state = results[:kept]
        for column, found in zip(outputs, results[kept:], strict=True):
            column.add(_tensor(found))
    out_axes = call.ints("scan_output_axes", (0,) * made)
    out_ways = call.ints("scan_output_directions", (0,) * made)
    sides = zip(outputs, out_axes, out_ways, strict=True)
    return [*state, *[_placed(call, column.whole(bool(way)), a) for column, a, way in sides]]


def _placed(call: Call, x: Sym | Array, axis: int) -> Sym | Array:
    """With its first axis at another place."""
    rank = len(_dims(x))
    order = [*range(1, rank)]
    order.insert(axis % rank, 0)
    if isinstance(x, Sym):
        return call.net.view(x, Step("permute", 0, tuple(order)))
    return x.transpose(order)


def _dims(x: Sym | Array) -> tuple[int, ...]:
    return x.dims if isinstance(x, Sym) else x.shape


def _slice(call: Call, x: Sym | Array, axis: int, at: int) -> Sym | Array:
    if not isinstance(x, Sym):
        return np.asarray(np.take(x, at, axis=axis))
    return call.net.view(x, Step("slice", axis, (at, at + 1, 1)), Step("sum", axis))
