"""ONNX recurrent layers, unrolled: one product and a few tables for each step of a sequence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.errors import UsageError
from veracity.frontends.onnx.calls import Call, Result, handler
from veracity.frontends.onnx.floats import Ref, Sym
from veracity.frontends.onnx.ops_linear import minus, plus, times
from veracity.frontends.onnx.ops_pointwise import decimal
from veracity.frontends.onnx.ops_sequence import Pile, stacked
from veracity.graph.wires import Step

Array = NDArray[Any]
State = Sym | Array
#: Most steps that are unrolled.
MAX_STEPS = 512


@dataclass(frozen=True)
class _Layer:
    """One direction: weights of the input and of the state, and both biases, by gate."""

    call: Call
    w: Array
    r: Array
    bias: Array
    width: int
    functions: tuple[str, ...]
    peepholes: Array | None = None

    def gates(self, x: Sym, h: State, first: int, last: int) -> Sym:
        """``x W^T + h R^T + bias`` for gates ``first .. last-1``, (n, gates * width)."""
        rows = slice(first * self.width, last * self.width)
        total = self.inputs(x, rows)
        if isinstance(h, Sym):
            total = plus(self.call, total, self.states(h, rows))
        both = self.bias if self.bias.ndim == 1 else self.bias.sum(axis=0)
        return plus(self.call, total, both[rows])

    def inputs(self, x: Sym, rows: slice) -> Sym:
        """``x W^T``."""
        return self._product(x, self.w[rows])

    def states(self, h: Sym, rows: slice) -> Sym:
        """``h R^T``."""
        return self._product(h, self.r[rows])

    def _product(self, x: Sym, weights: Array) -> Sym:
        net = self.call.net
        kernel = net.constant(weights).terms[0]
        dims = (x.dims[0], len(weights))
        return net.linear([("nk,gk->ng", net.ref(x), kernel)], (), dims)

    def gate(self, total: Sym, index: int) -> Sym:
        """One gate of several."""
        span = (index * self.width, (index + 1) * self.width, 1)
        return self.call.net.view(total, Step("slice", 1, span))

    def activated(self, i: int, x: Sym) -> Sym:
        """Activation ``i`` of every entry, which is cut to bounds before where there are any."""
        net, bound = self.call.net, self.call.float("clip", 0.0)
        if bound > 0:
            x = net.function(f"clip({decimal(-bound)};{decimal(bound)})", x)
        return net.function(self.functions[i], x)

    def peeped(self, gate: Sym, i: int, c: State) -> Sym:
        """A gate that also sees the cell, by weights of its own."""
        if self.peepholes is None or not (isinstance(c, Sym) or np.any(c)):
            return gate
        seen = self.peepholes[i * self.width : (i + 1) * self.width]
        return plus(self.call, gate, times(self.call, c, seen))


def _lstm(layer: _Layer, x: Sym, h: State, c: State) -> tuple[Sym, State]:
    call = layer.call
    total = _one(call, layer.gates(x, h, 0, 4))
    opened = layer.activated(0, layer.peeped(layer.gate(total, 0), 0, c))
    held = layer.activated(0, layer.peeped(layer.gate(total, 2), 2, c))
    new = times(call, opened, layer.activated(1, layer.gate(total, 3)))
    kept = times(call, held, c) if isinstance(c, Sym) or np.any(c) else None
    cell = _one(call, plus(call, new, kept) if kept is not None else call.net.sym(new))
    shown = layer.activated(0, layer.peeped(layer.gate(total, 1), 1, cell))
    out = times(call, shown, call.net.function(layer.functions[2], cell))
    return call.net.sym(out), cell


def _gru(layer: _Layer, x: Sym, h: State, _c: State) -> tuple[Sym, State]:
    call, width = layer.call, layer.width
    total = _one(call, layer.gates(x, h, 0, 2))
    update = layer.activated(0, layer.gate(total, 0))
    reset = layer.activated(0, layer.gate(total, 1))
    rows = slice(2 * width, 3 * width)
    of_input, of_state = (b[rows] for b in layer.bias)
    if call.int("linear_before_reset", 0):
        inner: State = of_state
        if isinstance(h, Sym):
            inner = plus(call, layer.states(h, rows), of_state)
        before = plus(call, layer.inputs(x, rows), times(call, reset, inner), of_input)
    elif isinstance(h, Sym):
        held = call.net.sym(times(call, reset, h))
        before = plus(call, layer.inputs(x, rows), layer.states(held, rows), of_input + of_state)
    else:
        before = plus(call, layer.inputs(x, rows), of_input + of_state)
    found = layer.activated(1, before)
    # (1 - z) n + z h = n + z (h - n)
    return _one(call, plus(call, found, times(call, update, minus(call, h, found)))), h


def _rnn(layer: _Layer, x: Sym, h: State, c: State) -> tuple[Sym, State]:
    return layer.activated(0, layer.gates(x, h, 0, 1)), c


def _one(call: Call, x: Sym) -> Sym:
    """The sum as one computed value."""
    name = call.net.value(x)
    return Sym(x.dims, (Ref(name),))


#: Gates, one step, and the usual activations.
_STEPS = {
    "LSTM": (4, _lstm, ("Sigmoid", "Tanh", "Tanh")),
    "GRU": (3, _gru, ("Sigmoid", "Tanh")),
    "RNN": (1, _rnn, ("Tanh",)),
}
_ACTIVATIONS = {
    "sigmoid": "sigmoid", "tanh": "tanh", "relu": "relu", "softsign": "softsign",
    "softplus": "softplus", "hardsigmoid": "hard_sigmoid(0.2;0.5)", "leakyrelu": "leaky(0.01)",
    "elu": "elu(1)",
}  # fmt: skip


@handler("LSTM", "GRU", "RNN")
def recurrent(call: Call) -> Result:
    """A sequence, forwards, backwards or both."""
    x, w, r = call.value(0), call.array(1), call.array(2)
    first = bool(call.int("layout", 0))  # the batch is the first axis
    if first:
        x = call.net.view(x, Step("permute", 0, (1, 0, 2)))
    peepholes = call.optional_array(7)
    count, step, usual = _STEPS[call.node.op]
    length, batch = x.dims[0], x.dims[1]
    width = call.int("hidden_size", r.shape[-1])
    given = call.node.attributes.get("activations") or usual * len(w)
    names = [n.decode() if isinstance(n, bytes) else str(n) for n in given]
    known = [_ACTIVATIONS.get(n.lower(), "") for n in names]
    if "" in known or len(known) != len(usual) * len(w) or call.int("input_forget", 0):
        raise UsageError(f"activations other than {', '.join(sorted(_ACTIVATIONS))}")
    if call.floats("activation_alpha").size or call.floats("activation_beta").size:
        raise UsageError("parameters of activations")
    lengths = call.optional_array(4)
    if length > MAX_STEPS or (lengths is not None and np.any(lengths != length)):
        raise UsageError(f"a sequence of more than {MAX_STEPS} steps, or of several lengths")
    both = call.optional_array(3)
    bias = np.zeros((len(w), 2 * count * width)) if both is None else both
    backwards = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}
    hidden: list[Sym | Array] = []
    cells: list[Sym | Array] = []
    results: list[Sym | Array] = []
    for d, reverse in enumerate(backwards[call.text("direction", "forward")]):
        halves = bias[d].reshape(2, -1)
        summed = halves if count == 3 else halves.sum(axis=0)
        functions = tuple(known[d * len(usual) : (d + 1) * len(usual)])
        layer = _Layer(call, w[d], r[d], summed, width, functions,
                       None if peepholes is None else peepholes[d])  # fmt: skip
        h, c = _initial(call, 5, d, (batch, width)), _initial(call, 6, d, (batch, width))
        outputs = Pile(call)
        for t in reversed(range(length)) if reverse else range(length):
            at = call.net.view(x, Step("slice", 0, (t, t + 1, 1)), Step("sum", 0))
            h, c = step(layer, at, h, c)
            outputs.add(call.net.sym(h))
        hidden.append(call.net.sym(h))
        cells.append(call.net.sym(c) if call.node.op == "LSTM" else hidden[-1])
        results.append(outputs.whole(reverse))
    last, cell = (call.net.sym(stacked(call, side, 0)) for side in (hidden, cells))
    every = call.net.sym(stacked(call, results, 1))  # (length, directions, batch, width)
    if first:
        every = call.net.view(every, Step("permute", 0, (2, 0, 1, 3)))
        last, cell = (call.net.view(s, Step("permute", 0, (1, 0, 2))) for s in (last, cell))
    return [every, last, cell]


def _initial(call: Call, i: int, direction: int, dims: tuple[int, int]) -> State:
    """A state at the beginning: zeros, constants, or a value."""
    if not call.has(i):
        return np.zeros(dims)
    found = call.any(i)
    if call.int("layout", 0):  # (batch, directions, width)
        found = call.net.view(found, Step("permute", 0, (1, 0, 2))) if isinstance(
            found, Sym) else found.transpose(1, 0, 2)  # fmt: skip
    if not isinstance(found, Sym):
        return call.net.constant(found[direction]) if np.any(found[direction]) else np.zeros(dims)
    span = (direction, direction + 1, 1)
    return call.net.view(found, Step("slice", 0, span), Step("sum", 0))
