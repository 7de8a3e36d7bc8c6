"""ONNX ops that read or write at places which depend on the data: by comparing with every place.

An index becomes a row of zeros with a one at its place, and reading or writing is a product with
these rows. That costs a lookup for each place, and is bounded accordingly.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.errors import UsageError
from veracity.frontends.onnx.calls import Call
from veracity.frontends.onnx.floats import Sym
from veracity.frontends.onnx.ops_linear import minus, plus
from veracity.graph.wires import MAX_NUMBERS, Step

__all__ = [
    "MAX_COMPARED",
    "MAX_PLACES",
    "ahead",
    "gather_nd_by_value",
    "one_hot",
    "ranked",
    "scatter_by_value",
]

Array = NDArray[Any]
#: Most places that an index is compared with, and comparisons of a node.
MAX_PLACES, MAX_COMPARED = 1 << 15, 1 << 22
#: Longest axis whose entries are put in order, or of which one is found.
MAX_AXIS = 1 << 11


def _hits(call: Call, index: Sym | Array, size: int) -> Sym:
    """Rows with a one at each index, which may be constant."""
    if isinstance(index, Sym):
        return one_hot(call, index, size)
    if index.size * size > MAX_COMPARED:
        raise UsageError(f"more than {MAX_COMPARED} places for all indices")
    return call.net.constant((index[..., None] % size == np.arange(size)).astype(np.float64))


def _last(call: Call, hit: Sym, axis: int) -> Sym:
    """Rows with a one at a place that no later row of the axis has, too.

    Parameters
    ----------
    call : Call
        The node.
    hit : Sym
        Ones at the place of each row.
    axis : int
        Of the rows.
    """
    n = hit.dims[axis]
    if n == 1:
        return hit
    later = ahead(call, hit, axis, np.triu(np.ones((n, n), dtype=int), 1))
    return call.net.function("step", minus(call, hit, later))


def ahead(call: Call, x: Sym, axis: int, matrix: Array) -> Sym:
    """A matrix of zeros and ones times an axis: by a wire where it is small, else as a weight.

    Parameters
    ----------
    call : Call
        The node.
    x : Sym
        What is read.
    axis : int
        Which.
    matrix : int array
        Square.
    """
    net, n = call.net, x.dims[axis]
    if 1 + n * n <= MAX_NUMBERS:
        return net.view(x, Step("taps", axis, (n, *matrix.reshape(-1).tolist())))
    if n > MAX_AXIS:
        raise UsageError(f"an axis of more than {MAX_AXIS} entries")
    letters = "abcdefghijk"[: len(x.dims)]
    spec = f"{letters},z{letters[axis]}->{letters.replace(letters[axis], 'z')}"
    weights = net.constant(matrix.astype(np.float64)).terms[0]
    return net.linear([(spec, net.ref(x), weights)], (), x.dims)


def one_hot(call: Call, index: Sym, size: int) -> Sym:
    """A new last axis: 1 where the index is its place.

    Parameters
    ----------
    call : Call
        The node.
    index : Sym
        Whole numbers.
    size : int
        Of the axis.
    """
    if size > MAX_PLACES or size * prod(index.dims) > MAX_COMPARED:
        raise UsageError(
            f"indices that depend on the data among {size} places, of which at most {MAX_PLACES} "
            f"for one and {MAX_COMPARED} for all are compared"
        )
    net, last = call.net, len(index.dims)
    spread = net.view(index, Step("repeat", last, (size,)))
    places = net.broadcast(net.constant(-np.arange(size, dtype=np.float64)), spread.dims)
    return net.function("zero", net.sum(spread, places))


def _flat_index(call: Call, index: Sym, sizes: tuple[int, ...]) -> Sym:
    """Row-major numbers of places from their coordinates, which stand along the last axis."""
    net, last = call.net, len(index.dims) - 1
    if index.dims[last] != len(sizes):
        raise UsageError("indices with another number of coordinates")
    strides = [prod(sizes[i + 1 :]) for i in range(len(sizes))]
    return net.view(index, Step("taps", last, (1, *strides)), Step("sum", last))


def gather_nd_by_value(call: Call, x: Sym | Array, index: Sym, batch: int) -> Sym:
    """``GatherND``: slices at coordinates that depend on the data.

    Parameters
    ----------
    call : Call
        The node.
    x : Sym or array
        What is read.
    index : Sym
        Coordinates along the last axis, not negative.
    batch : int
        Leading axes that both share.
    """
    net, count = call.net, index.dims[-1]
    dims = x.dims if isinstance(x, Sym) else x.shape
    lead, sizes = dims[:batch], dims[batch : batch + count]
    rest = dims[batch + count :]
    if index.dims[:batch] != lead or len(sizes) != count:
        raise UsageError("indices that do not fit what they read")
    chosen = one_hot(call, _flat_index(call, index, sizes), prod(sizes))
    wanted = (*lead, prod(sizes), *rest)
    flat = net.reshape(x, wanted) if isinstance(x, Sym) else net.constant(x.reshape(wanted))
    table = net.force(flat)
    free = len(chosen.dims) - 1 - batch
    letters = iter("abcdefghijklmnopqrstuvwxy")
    shared, own, beside = ("".join(next(letters) for _ in range(n)) for n in
                           (batch, free, len(rest)))  # fmt: skip
    spec = f"{shared}{own}z,{shared}z{beside}->{shared}{own}{beside}"
    made = (*chosen.dims[:-1], *rest)
    return net.chosen((spec, net.ref(chosen), net.ref(table)), made)


def scatter_by_value(
    call: Call, x: Sym, index: Sym | Array, updates: Sym | Array, adds: bool
) -> Sym:
    """``ScatterND`` and ``ScatterElements`` at places that depend on the data, which differ.

    Parameters
    ----------
    call : Call
        The node.
    x : Sym
        What stands elsewhere.
    index : Sym or array
        Coordinates along the last axis, or, for elements, places along the node's axis.
    updates : Sym or array
        What stands there.
    adds : bool
        Whether it is added to what stands there.
    """
    net = call.net
    shape = index.dims if isinstance(index, Sym) else index.shape
    if call.node.op == "ScatterND":
        sizes, rest = x.dims[: shape[-1]], x.dims[shape[-1] :]
        rows = prod(shape[:-1])
        number: Sym | Array
        if isinstance(index, Sym):
            number = net.force(net.reshape(_flat_index(call, index, sizes), (rows,)))
        else:
            places = np.arange(prod(sizes)).reshape(sizes)
            number = places[tuple(np.moveaxis(index, -1, 0))].reshape(rows)
        hit = _hits(call, number, prod(sizes))  # (rows, places)
        hit = hit if adds else _last(call, hit, 0)
        put = _laid(call, updates, (rows, prod(rest)))
        placed = net.linear(
            [("rz,rq->zq", net.ref(hit), net.ref(put))], (), (prod(sizes), prod(rest))
        )
        place = net.force(net.reshape(placed, x.dims))
        if adds:
            return net.sum(x, place)
        taken = net.view(net.settled(hit), Step("sum", 0))
        spread = net.view(taken, Step("repeat", 1, (prod(rest),)))
        return _covered(call, x, place, net.force(net.reshape(net.settled(spread), x.dims)))
    axis = call.int("axis", 0) % len(x.dims)
    others = [n for i, n in enumerate(shape) if i != axis]
    if len(shape) != len(x.dims) or any(n > x.dims[i] for i, n in enumerate(shape) if i != axis):
        raise UsageError("indices beyond the other axes")
    short = [(i, x.dims[i] - n) for i, n in enumerate(shape) if i != axis and n != x.dims[i]]
    order = (*(i for i in range(len(x.dims)) if i != axis), axis)
    turned = (
        net.view(index, Step("permute", 0, order))
        if isinstance(index, Sym)
        else index.transpose(order)
    )
    put = net.view(_laid(call, updates, shape), Step("permute", 0, order))
    hit = _hits(call, turned, x.dims[axis])  # (others, updates, places)
    hit = hit if adds else _last(call, hit, len(others))
    letters = "abcdefgh"[: len(others)]
    spec = f"{letters}uz,{letters}u->{letters}z"
    placed = net.linear([(spec, net.ref(hit), net.ref(put))], (), (*others, x.dims[axis]))
    turned_back = Step("permute", 0, tuple(int(i) for i in np.argsort(order)))
    back = (turned_back, *[Step("pad", i, (0, 0, more)) for i, more in short])
    if adds:
        return net.sum(x, net.view(placed, *back))
    taken = net.view(net.settled(hit), Step("sum", len(others)))
    return _covered(call, x, net.view(placed, *back), net.view(taken, *back))


def _laid(call: Call, x: Sym | Array, dims: tuple[int, ...]) -> Sym:
    """Other dims, of a constant or not."""
    if not isinstance(x, Sym):
        return call.net.constant(x.reshape(dims))
    return call.net.force(call.net.reshape(x, dims))


def _covered(call: Call, x: Sym, placed: Sym, taken: Sym) -> Sym:
    """``x (1 - taken) + placed``."""
    net, letters = call.net, "abcdefgh"[: len(x.dims)]
    free = plus(call, np.ones(x.dims), net.scale(taken, -1.0))
    kept = net.linear([(f"{letters},{letters}->{letters}", net.ref(x), net.ref(free))], (), x.dims)
    return net.sum(kept, placed)


def ranked(call: Call, x: Sym, k: int) -> tuple[Sym, Sym]:
    """The k largest entries along the last axis in order, and their places; the first of equals.

    An entry's rank is how many exceed it, and how many like it stand before.

    Parameters
    ----------
    call : Call
        The node.
    x : Sym
        What is sorted.
    k : int
        How many.
    """
    net, last = call.net, len(x.dims) - 1
    n = x.dims[last]
    if n > MAX_AXIS or prod(x.dims) * n > MAX_COMPARED:
        raise UsageError(f"more than {MAX_COMPARED} comparisons for the largest entries")
    x = net.spared(x)
    each = net.view(x, Step("repeat", last + 1, (n,)))  # (.., i, j): x_i
    other = net.view(x, Step("repeat", last, (n,)))  # x_j
    exceeds = net.function("step", minus(call, other, each))
    equal = net.function("zero", minus(call, other, each))
    before = np.tril(np.ones((n, n)), -1)  # j < i
    letters = "abcdefgh"[:last]
    mask = net.constant(before)
    tied = net.linear([(f"{letters}ij,ij->{letters}i", net.ref(equal), mask.terms[0])], (), x.dims)
    rank = net.settled(net.sum(net.view(exceeds, Step("sum", last + 1)), tied))
    place = one_hot(call, rank, n)  # (.., i, r)
    chosen = net.view(net.settled(place), Step("slice", last + 1, (0, k, 1)))
    dims = (*x.dims[:last], k)
    spec = f"{letters}ir,{letters}i->{letters}r"
    values = net.linear([(spec, net.ref(chosen), net.ref(x))], (), dims)
    turned = net.view(chosen, Step("taps", last, (1, *range(n))), Step("sum", last))
    return values, turned
