"""ONNX sums and choices, some of which hide entries from a softmax, and the softmax itself.

A mask of attention puts entries at -10000, at -1e9, at the least float32 or at minus infinity. As
numbers these would take all the bits that a value has. So a sum or a choice with such a constant
is kept apart (:class:`veracity.frontends.onnx.floats.Hidden`): a softmax gives the entries that are
left out exact zeros, and any other reader gets the sum as it stands.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.errors import UsageError
from veracity.frontends.onnx.calls import Call, Result, handler
from veracity.frontends.onnx.floats import Hidden, Ref, Sym
from veracity.frontends.onnx.ops_linear import minus, plus, times
from veracity.frontends.onnx.ops_pointwise import maximum, softmax_along, sum_over

__all__ = ["hide", "softmax_without"]

Array = NDArray[Any]
#: Constants at or below are meant to hide.
LEVEL = -1e4
#: Where entries are put before samples have told how low the others lie.
FIRST_FLOOR = -16.0


def hide(call: Call, x: Sym, mask: Sym | Array, whole: Hidden) -> Sym:
    """A sum with entries that a softmax leaves out, beyond those that it left out before.

    Parameters
    ----------
    call : Call
        The node.
    x : Sym
        The entries, perhaps with some that are left out already.
    mask : Sym or array
        1 where an entry is left out, of the dims of ``x``.
    whole : Hidden
        What it is for any other reader.
    """
    rest = x
    if x.hidden is not None:
        rest, other = x.hidden.rest, x.hidden.mask
        if isinstance(mask, Sym) or isinstance(other, Sym):
            both = times(call, mask, other)
            mask = minus(call, plus(call, mask, other), both)
        else:
            mask = np.maximum(mask, other)
    return Sym(x.dims, (), None, Hidden(rest, mask, whole.whole))


@handler("Add", "Sum", lazy=True)
def add(call: Call) -> Result:
    """A sum, broadcast; nothing is computed yet."""
    given = [call.any(i) for i in range(len(call.node.inputs))]
    parts = _apart(call, given)
    dims = np.broadcast_shapes(*[_dims(p) for p in parts])
    values = [p for p in parts if isinstance(p, Sym)]
    hiding = [p for p in parts if _hides(p)]
    kept = [p for p in values if not _hides(p)]
    whole = Hidden(values[0], np.zeros(()), lambda: plus(call, *map(call.net.lifted, given)))
    if len(parts) != 2 or len(hiding) != 1 or len(kept) != 1 or kept[0].dims != dims:
        return whole.whole()
    if isinstance(hiding[0], Sym):
        first = hiding[0].terms[0].factor
        mask = call.net.broadcast(call.net.scale(hiding[0], -1 / abs(first)), dims)
        return hide(call, kept[0], mask, whole)
    entries = np.broadcast_to(hiding[0], dims).astype(np.float64)
    left_out = entries <= LEVEL
    x, more = kept[0], np.where(left_out, 0.0, entries)
    if np.any(more):
        x = plus(call, call.net.force(x), more) if x.hidden is None else x
        if kept[0].hidden is not None:
            return whole.whole()
    return hide(call, x, left_out.astype(np.float64), whole)


def _dims(x: Sym | Array) -> tuple[int, ...]:
    return x.dims if isinstance(x, Sym) else x.shape


def _apart(call: Call, parts: list[Sym | Array]) -> list[Sym | Array]:
    """Two parts, or three with what hides apart: a bias and a mask may come as one sum."""
    for i, x in enumerate(parts):
        if len(parts) != 2 or not isinstance(x, Sym) or x.hidden is not None or x.merged:
            continue
        low = tuple(t for t in x.terms if abs(t.factor) >= -LEVEL)
        other = parts[1 - i]
        if low and len(low) < len(x.terms) and isinstance(other, Sym) and other.hidden is None:
            rest = tuple(t for t in x.terms if t not in low)
            bias = plus(call, call.net.force(other), Sym(x.dims, rest))
            return [bias, Sym(x.dims, low)]
    return parts


def _hides(x: Sym | Array) -> bool:
    """Whether it is a constant with entries that are meant to hide, or a multiple of such."""
    if not isinstance(x, Sym):
        return x.dtype.kind == "f" and bool(x.min(initial=0.0) <= LEVEL)
    if x.hidden is not None or x.merged is not None or not x.terms:
        return False
    return all(abs(t.factor) >= -LEVEL for t in x.terms)


@handler("Where", lazy=True)
def where(call: Call) -> Result:
    """``b + c (a - b)``; a choice of a constant far below hides entries from a softmax."""
    net = call.net
    c, a, b = (x if isinstance(x, Sym) else x.astype(np.float64) for x in
               (call.any(0), call.any(1), call.any(2)))  # fmt: skip
    dims = np.broadcast_shapes(_dims(c), _dims(a), _dims(b))
    c = net.lifted(c)
    if not isinstance(c, Sym) and np.all(c == c.reshape(-1)[0]):
        only = net.lifted(a if c.reshape(-1)[0] else b)
        return net.broadcast(only, dims) if isinstance(only, Sym) else np.broadcast_to(only, dims)

    def chosen() -> Sym:
        left, right = net.lifted(a), net.lifted(b)
        if not isinstance(left, Sym) and not isinstance(right, Sym):
            return plus(call, right, times(call, c, left - right))
        return plus(call, right, times(call, c, minus(call, left, right)))

    if not isinstance(a, Sym) and not isinstance(b, Sym) and isinstance(c, Sym):
        other = net.settled(plus(call, np.ones(c.dims), net.scale(c, -1.0)))
        for low, at, high, open_ in ((a, c, b, other), (b, other, a, c)):
            if low.size == 1 and low.max() <= LEVEL < high.min(initial=0.0):
                hidden = net.broadcast(net.scale(at, float(low.max())), dims)
                return plus(call, times(call, open_, high), hidden)
    for kept, level, opposite in ((b, a, False), (a, b, True)):
        if isinstance(level, Sym) or not isinstance(kept, Sym) or np.any(level > LEVEL):
            continue
        if kept.dims != dims:
            continue
        kept = net.force(kept) if kept.hidden is None else kept
        mask = c if not opposite else (plus(call, np.ones(c.dims), net.scale(c, -1.0))
                                       if isinstance(c, Sym) else 1 - c)  # fmt: skip
        full = (net.broadcast(mask, dims) if isinstance(mask, Sym)
                else np.broadcast_to(mask, dims))  # fmt: skip
        return hide(call, kept, full, Hidden(kept, full, chosen))
    return chosen()


@handler("Softmax", "LogSoftmax", lazy=True)
def softmax(call: Call) -> Result:
    """Powers of what lies below the maximum, divided by their sum."""
    x = call.value(0)
    axis = call.int("axis", -1 if call.opset >= 13 else 1) % len(x.dims)
    axes = (axis,) if call.opset >= 13 else tuple(range(axis, len(x.dims)))
    if x.hidden is not None and call.node.op == "Softmax":
        return softmax_without(call, x.hidden, axes)
    return softmax_along(call, call.net.force(x), axes, call.node.op == "LogSoftmax")


def softmax_without(call: Call, x: Hidden, axes: tuple[int, ...]) -> Sym:
    """A softmax over the entries that are not left out, and exact zeros at the others.

    A row of which nothing is left has equal shares, as entries that are all as low have.

    Parameters
    ----------
    call : Call
        The node.
    x : Hidden
        Entries and mask.
    axes : tuple of int
        Over which axes.
    """
    net, rest = call.net, net_value(call, x.rest)
    mask = x.mask
    if not isinstance(mask, Sym) and not np.any(mask):
        return softmax_along(call, rest, axes)
    letters, addends = "abcdefghijkl"[: len(rest.dims)], tuple[Ref, ...](())
    spec = f"{letters},{letters}->{letters}"
    if isinstance(mask, Sym):
        mask = net.settled(mask)
        keep = net.settled(plus(call, np.ones(rest.dims), net.scale(mask, -1.0)))
        level = net.constant(np.full(rest.dims[-1], FIRST_FLOOR))
        floor = (f"{letters},{letters[-1]}->{letters}", net.ref(mask), level.terms[0])
        products = [(spec, net.ref(rest), net.ref(keep)), floor]
    else:
        if prod(rest.dims) != mask.size:
            raise UsageError("a mask of another shape")
        keep = net.constant(1.0 - mask)
        level = net.constant(mask * FIRST_FLOOR)
        products, addends = [(spec, net.ref(rest), keep.terms[0])], level.terms
    net.floors.append((level.terms[0].x, rest.terms[0].x))
    filled = net.linear(products, addends, rest.dims)
    best = filled
    for axis in axes:
        best = maximum(call, best, axis)
    shifted = net_value(call, minus(call, filled, net.settled(best)))
    powers = net.function("exp", shifted)
    if isinstance(mask, Sym):
        nothing = net.function("zero", net.settled(sum_over(call, keep, axes, True)))
    else:
        nothing = net.constant(np.all(mask != 0, axis=axes, keepdims=True).astype(np.float64))
    even = net.broadcast(nothing, rest.dims).terms
    left = net.linear([(spec, net.ref(powers), net.ref(keep))], even, rest.dims)
    left = net_value(call, left)
    total = sum_over(call, left, axes, True)
    return net.sym(times(call, left, net.function("power(-1)", total)))


def net_value(call: Call, x: Sym) -> Sym:
    """The same as one computed value."""
    return Sym(x.dims, (Ref(call.net.value(x)),))
