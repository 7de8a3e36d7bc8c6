"""ONNX ops that move entries by indices known beforehand, and sorting networks."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.errors import UsageError
from veracity.frontends.onnx.floats import Ref, Sym
from veracity.frontends.onnx.lowering import Call, Result, handler
from veracity.frontends.onnx.ops_linear import minus, plus
from veracity.frontends.onnx.ops_logic import first_of_largest, moved_last
from veracity.frontends.onnx.ops_shape import MAX_TABLE, one_hot
from veracity.graph.wires import MAX_NUMBERS, Step

Array = NDArray[Any]
#: Most entries of an axis that is sorted: a relu for half of them in each of as many rounds.
MAX_SORTED = 64


def picked(call: Call, x: Sym, index: Array) -> Sym:
    """Entries of a value by their number in row-major order; -1 gives zero.

    Parameters
    ----------
    call : Call
        The node.
    x : Sym
        What is read.
    index : int array
        Which entries, under the dims of the result.
    """
    if not 1 <= index.size <= MAX_NUMBERS:
        raise UsageError(f"more than {MAX_NUMBERS} indices")
    size = prod(x.dims)
    flat = call.net.force(call.net.reshape(x, (size,)))
    found = call.net.view(flat, Step("pick", 0, tuple(index.reshape(-1).tolist())))
    return call.net.force(call.net.reshape(found, index.shape))


def _places(x: Sym) -> Array:
    """Numbers of all entries of a value."""
    return np.arange(prod(x.dims)).reshape(x.dims)


@handler("GatherND")
def gather_nd(call: Call) -> Result:
    """Entries by constant indices."""
    x, index = call.value(0), call.array(1).astype(np.int64)
    if call.int("batch_dims", 0):
        raise UsageError("indices for each batch")
    places = _places(x)
    return picked(call, x, places[tuple(np.moveaxis(index, -1, 0))])


@handler("GatherElements")
def gather_elements(call: Call) -> Result:
    """Entries along an axis, by constant indices or by comparing each index with every place."""
    x, index, net = call.any(0), call.any(1), call.net
    axis = call.int("axis", 0) % (len(x.dims) if isinstance(x, Sym) else x.ndim)
    x = net.sym(x)
    n, shape = x.dims[axis], index.dims if isinstance(index, Sym) else index.shape
    if not isinstance(index, Sym):
        near = tuple(slice(None) if i == axis else slice(d) for i, d in enumerate(shape))
        places = _places(x)[near]
        return picked(
            call, x, np.take_along_axis(places, np.where(index < 0, index + n, index), axis)
        )
    same = all(d == x.dims[i] for i, d in enumerate(shape) if i != axis)
    if len(shape) != len(x.dims) or not same or n > MAX_TABLE:
        raise UsageError(f"indices that depend on the data, into rows of more than {MAX_TABLE}")
    order = moved_last(axis, len(shape))
    rows = net.view(x, Step("permute", 0, order))
    chosen = one_hot(call, net.view(index, Step("permute", 0, order)), n)
    letters = "abcdefgh"[: len(shape) - 1]
    product = (f"{letters}mz,{letters}z->{letters}m", net.ref(chosen), net.ref(rows))
    found = net.linear([product], (), tuple(shape[i] for i in order))
    return net.view(found, Step("permute", 0, tuple(int(i) for i in np.argsort(order))))


def _scattered(call: Call, x: Sym, at: Array, updates: Sym | Array) -> Sym:
    """A value with other entries at some places; the last of several for one place holds.

    Parameters
    ----------
    call : Call
        The node.
    x : Sym
        What stands elsewhere.
    at : int array
        A place for each update.
    updates : Sym or array
        What stands there.
    """
    kept = _places(x).reshape(-1)
    put = np.full(kept.size, -1)
    put[at.reshape(-1)] = np.arange(at.size)
    left = picked(call, x, np.where(put >= 0, -1, kept).reshape(x.dims))
    if isinstance(updates, Sym):
        return call.net.sum(left, picked(call, updates, put.reshape(x.dims)))
    spread = np.where(put >= 0, updates.reshape(-1)[np.maximum(put, 0)], 0.0)
    return plus(call, left, spread.reshape(x.dims))


@handler("ScatterND", "ScatterElements", "Scatter")
def scatter(call: Call) -> Result:
    """Entries put at constant indices."""
    x, index, updates = call.value(0), call.array(1).astype(np.int64), call.any(2)
    if call.text("reduction", "none") != "none":
        raise UsageError("entries that are combined")
    places = _places(x)
    if call.node.op == "ScatterND":
        return _scattered(call, x, places[tuple(np.moveaxis(index, -1, 0))], updates)
    axis = call.int("axis", 0) % len(x.dims)
    found = [
        index % x.dims[axis] if i == axis else along
        for i, along in enumerate(np.indices(index.shape))
    ]
    return _scattered(call, x, places[tuple(found)], updates)


@handler("CumSum")
def cumulative(call: Call) -> Result:
    """Sums of all before, as a public matrix along the axis."""
    x = call.value(0)
    axis = int(call.array(1).reshape(-1)[0]) % len(x.dims)
    n = x.dims[axis]
    if 1 + n * n > MAX_NUMBERS:
        raise UsageError("an axis of more than 255 entries")
    matrix = np.tril(np.ones((n, n), dtype=int), -call.int("exclusive", 0))
    matrix = matrix.T if call.int("reverse", 0) else matrix
    return call.net.view(x, Step("taps", axis, (n, *matrix.reshape(-1).tolist())))


@handler("Hardmax")
def hard_max(call: Call) -> Result:
    """1 at the first of the largest entries, 0 elsewhere."""
    x = call.value(0)
    axis = call.int("axis", -1) % len(x.dims)
    if call.opset < 13 and axis != len(x.dims) - 1:
        raise UsageError("a maximum over several axes")
    return first_of_largest(call, x, axis)


@handler("TopK")
def top_k(call: Call) -> Result:
    """The largest or smallest entries in order, by a sorting network; not their indices.

    Odd and even neighbours are exchanged in turn: after as many rounds as there are entries the
    axis is in order.
    """
    if any(call.node.outputs[1:]) and call.node.outputs[1] in call.wanted:
        raise UsageError("its second output, the indices")
    x, net = call.value(0), call.net
    k = int(call.array(1).reshape(-1)[0]) if call.has(1) else call.int("k", 0)
    axis = call.int("axis", -1) % len(x.dims)
    n = x.dims[axis]
    if n > MAX_SORTED or not 1 <= k <= n:
        raise UsageError(f"an axis of more than {MAX_SORTED} entries is not sorted")
    sign = 1.0 if call.int("largest", 1) else -1.0
    order = moved_last(axis, len(x.dims))
    x = net.scale(net.view(x, Step("permute", 0, order)), sign)
    last = len(x.dims) - 1
    for turn in range(n if n > 2 else n - 1):
        x = Sym(x.dims, (Ref(net.value(x)),))
        first = turn % 2
        pairs = (n - first) // 2
        if not pairs:
            continue
        stop = first + 2 * pairs
        left, right = (net.view(x, Step("slice", last, (first + i, stop, 2))) for i in (0, 1))
        gain = net.function("relu", minus(call, right, left))
        index = np.full((2, n), -1)
        index[0, first:stop:2] = index[1, first + 1 : stop : 2] = np.arange(pairs)
        more, less = (net.view(gain, Step("pick", last, tuple(row))) for row in index.tolist())
        x = net.sum(x, more, net.scale(less, -1.0))
    x = Sym(x.dims, (Ref(net.value(x)),))
    x = net.scale(net.view(x, Step("slice", last, (0, k, 1))), sign)
    back = tuple(int(i) for i in np.argsort(order))
    return net.view(x, Step("permute", 0, back))
