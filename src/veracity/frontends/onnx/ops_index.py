"""ONNX ops that move entries by indices known beforehand, and sorting networks."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.errors import UsageError
from veracity.frontends.onnx.calls import Call, Result, handler
from veracity.frontends.onnx.floats import Ref, Sym
from veracity.frontends.onnx.ops_choice import (
    ahead,
    gather_nd_by_value,
    one_hot,
    ranked,
    scatter_by_value,
)
from veracity.frontends.onnx.ops_linear import minus, plus
from veracity.frontends.onnx.ops_logic import first_of_largest, moved_last
from veracity.frontends.onnx.ops_pointwise import maximum
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
    """Entries by constant coordinates, or by comparing each with every place."""
    found, batch = call.any(1), call.int("batch_dims", 0)
    if isinstance(found, Sym):
        return gather_nd_by_value(call, call.any(0), found, batch)
    x, index = call.value(0), found.astype(np.int64)
    lead = np.indices(index.shape[:-1])[:batch]  # coordinates of the axes that both share
    places = _places(x)
    return picked(call, x, places[(*lead, *np.moveaxis(index, -1, 0))])


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
    if len(shape) != len(x.dims) or any(d > x.dims[i] for i, d in enumerate(shape) if i != axis):
        raise UsageError("indices beyond the other axes")
    cut = [(i, d) for i, d in enumerate(shape) if i != axis and d != x.dims[i]]
    x = net.view(x, *[Step("slice", i, (0, d, 1)) for i, d in cut])
    order = moved_last(axis, len(shape))
    rows = net.view(x, Step("permute", 0, order))
    chosen = one_hot(call, net.view(index, Step("permute", 0, order)), n)
    letters = "abcdefgh"[: len(shape) - 1]
    product = (f"{letters}mz,{letters}z->{letters}m", net.ref(chosen), net.ref(rows))
    found = net.chosen(product, tuple(shape[i] for i in order))
    return net.view(found, Step("permute", 0, tuple(int(i) for i in np.argsort(order))))


def _scattered(call: Call, x: Sym, at: Array, updates: Sym | Array, adds: bool) -> Sym:
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
    adds : bool
        Whether constants are added to what stands there.
    """
    if adds and not isinstance(updates, Sym):
        more = np.zeros(prod(x.dims))
        np.add.at(more, at.reshape(-1), updates.reshape(-1))
        return plus(call, x, more.reshape(x.dims))
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
    """Entries put at constant indices, or by comparing each with every place."""
    x, found, updates = call.value(0), call.any(1), call.any(2)
    reduction = call.text("reduction", "none")
    if reduction not in ("none", "add"):
        raise UsageError(f"entries that are combined by {reduction}")
    adds = reduction == "add"
    if isinstance(found, Sym) or (adds and isinstance(updates, Sym)):
        return scatter_by_value(call, x, found, updates, adds)
    index = found.astype(np.int64)
    places = _places(x)
    if call.node.op == "ScatterND":
        return _scattered(call, x, places[tuple(np.moveaxis(index, -1, 0))], updates, adds)
    axis = call.int("axis", 0) % len(x.dims)
    at = [
        index % x.dims[axis] if i == axis else along
        for i, along in enumerate(np.indices(index.shape))
    ]
    return _scattered(call, x, places[tuple(at)], updates, adds)


@handler("CumSum")
def cumulative(call: Call) -> Result:
    """Sums of all before, as a public matrix along the axis."""
    x = call.value(0)
    axis = int(call.array(1).reshape(-1)[0]) % len(x.dims)
    n = x.dims[axis]
    matrix = np.tril(np.ones((n, n), dtype=int), -call.int("exclusive", 0))
    return ahead(call, x, axis, matrix.T if call.int("reverse", 0) else matrix)


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
    """The largest or smallest entries in order: by their ranks where their places are wanted.

    Else by a sorting network: odd and even neighbours are exchanged in turn, and after as many
    rounds as there are entries the axis is in order.
    """
    x, net = call.value(0), call.net
    k = int(call.array(1).reshape(-1)[0]) if call.has(1) else call.int("k", 0)
    axis = call.int("axis", -1) % len(x.dims)
    n = x.dims[axis]
    placed = len(call.node.outputs) > 1 and call.node.outputs[1] in call.wanted
    if not 1 <= k <= n:
        raise UsageError("more entries than there are, or none")
    sign = 1.0 if call.int("largest", 1) else -1.0
    if k == 1 and not placed:
        return net.scale(maximum(call, net.scale(x, sign), axis), sign)
    placed = placed or n > MAX_SORTED
    order = moved_last(axis, len(x.dims))
    x = net.scale(net.view(x, Step("permute", 0, order)), sign)
    last = len(x.dims) - 1
    if placed:
        turned = Step("permute", 0, tuple(int(i) for i in np.argsort(order)))
        values, places = ranked(call, x, k)
        return [net.view(net.scale(values, sign), turned), net.view(places, turned)]
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


@handler("ReverseSequence")
def reverse_sequence(call: Call) -> Result:
    """The first entries of each row the other way round; how many is constant."""
    x, lengths = call.value(0), call.array(1).astype(int)
    time, batch = call.int("time_axis", 0), call.int("batch_axis", 1)
    places = np.moveaxis(_places(x), (batch, time), (0, 1)).copy()
    for row, length in zip(places, lengths, strict=True):
        row[:length] = row[:length][::-1]
    return picked(call, x, np.moveaxis(places, (0, 1), (batch, time)))


@handler("Compress")
def compress(call: Call) -> Result:
    """The entries at which a constant is true."""
    x, condition = call.value(0), call.array(1).astype(bool).reshape(-1)
    places = _places(x)
    axis = call.node.attributes.get("axis")
    if axis is None:
        return picked(call, x, np.compress(condition, places))
    return picked(call, x, np.compress(condition, places, axis=int(axis) % len(x.dims)))
