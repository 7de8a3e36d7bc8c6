"""ONNX ops on the bits of whole numbers, by constants; and questions that have one answer here."""

from __future__ import annotations

import numpy as np

from veracity.errors import UsageError
from veracity.frontends.onnx.calls import Call, Result, handler
from veracity.frontends.onnx.floats import Sym
from veracity.frontends.onnx.ops_choice import one_hot
from veracity.frontends.onnx.ops_linear import minus, plus, times

#: Widest numbers whose bits are taken apart.
MAX_BITS = 15


@handler("IsNaN", "IsInf")
def never(call: Call) -> Result:
    """No value of a proof is infinite or none at all."""
    return np.zeros(call.value(0).dims, dtype=bool)


@handler("BitShift")
def shift(call: Call) -> Result:
    """By a constant, or by what depends on the data: times a power of two, or a division by one."""
    net, by, left = call.net, call.any(1), call.text("direction", "LEFT") == "LEFT"
    x = call.value(0)
    if isinstance(by, Sym):
        steps = np.arange(MAX_BITS + 1, dtype=np.float64)
        powers = net.constant(2.0 ** (steps if left else -steps)).terms[0]
        chosen = one_hot(call, by, MAX_BITS + 1)
        letters = "abcdefgh"[: len(by.dims)]
        product = (f"{letters}z,z->{letters}", net.ref(chosen), powers)
        moved = net.sym(times(call, x, net.linear([product], (), by.dims)))
        if left:
            return moved
        half = np.full(moved.dims, 0.5**MAX_BITS / 2)
        return net.function("floor", plus(call, moved, half))
    by = by.astype(int)
    if np.any(by < 0) or np.any(by > 31):
        raise UsageError("a shift of more than 31 bits")
    factor = 2.0 ** by.astype(float)
    if left:
        return times(call, x, factor)
    # half a step keeps whole results clear of the step below
    parts = plus(call, times(call, x, 1 / factor), np.broadcast_to(0.5 / factor, x.dims))
    return net.function("floor", parts)


@handler("BitwiseNot")
def complement(call: Call) -> Result:
    """``-x - 1``, as signed numbers have it."""
    x = call.value(0)
    return plus(call, call.net.scale(x, -1.0), np.full(x.dims, -1.0))


def _bits(call: Call, x: Sym, count: int) -> list[Sym]:
    """The lowest bits of whole numbers that are not negative, the lowest first."""
    net, out, left = call.net, [], x
    for _ in range(count):
        half = plus(call, net.scale(left, 0.5), np.full(x.dims, 0.25))
        rest = net.settled(net.function("floor", half))
        out.append(net.settled(minus(call, left, net.scale(rest, 2.0))))
        left = rest
    return out


@handler("BitwiseAnd", "BitwiseOr", "BitwiseXor")
def bitwise(call: Call) -> Result:
    """With a constant of at most 15 bits or another value, of whole numbers that are not negative.

    ``x & m`` sums the bits of ``x`` where ``m`` has one; ``x | m = x + m - (x & m)`` and
    ``x ^ m = x + m - 2 (x & m)``.
    """
    first, second = call.any(0), call.any(1)
    mask = second if not isinstance(second, Sym) else first
    if isinstance(first, Sym) and isinstance(second, Sym):
        return _of_both(call, first, second)
    if isinstance(mask, Sym):
        raise UsageError("without a constant")
    x = call.value(0 if mask is second else 1)
    whole = mask.astype(np.int64)
    if whole.min() < 0 or whole.max() >= 1 << MAX_BITS:
        raise UsageError(f"a constant of more than {MAX_BITS} bits")
    dims = np.broadcast_shapes(x.dims, whole.shape)
    x, whole = call.net.broadcast(x, dims), np.broadcast_to(whole, dims)
    parts = []
    for j, bit in enumerate(_bits(call, x, int(whole.max()).bit_length())):
        wanted = (whole >> j & 1).astype(float)
        if np.any(wanted):
            parts.append(call.net.sym(times(call, bit, wanted * 2.0**j)))
    both = call.net.sum(*parts) if parts else None
    if call.node.op == "BitwiseAnd":
        return both if both is not None else np.zeros(dims)
    total = plus(call, x, whole.astype(float))
    if both is None:
        return total
    return minus(call, total, call.net.scale(both, 1.0 if call.node.op == "BitwiseOr" else 2.0))


@handler("Swish")
def swish(call: Call) -> Result:
    """``x sigmoid(alpha x)``."""
    x = call.net.settled(call.value(0))
    gate = call.net.function("sigmoid", call.net.scale(x, call.float("alpha", 1.0)))
    return times(call, x, gate)


@handler("GlobalLpPool")
def global_norm(call: Call) -> Result:
    """The length of each channel."""
    from veracity.frontends.onnx.ops_pointwise import sum_over

    x, net, p = call.value(0), call.net, call.int("p", 2)
    if p not in (1, 2):
        raise UsageError("a norm other than 1 and 2")
    terms = net.function("abs", x) if p == 1 else net.sym(times(call, x, x))
    total = sum_over(call, terms, tuple(range(2, len(x.dims))), True)
    return total if p == 1 else net.function("sqrt", total)


def _of_both(call: Call, first: Sym, second: Sym) -> Sym:
    """Bit by bit, of two values of at most 15 bits."""
    net = call.net
    dims = np.broadcast_shapes(first.dims, second.dims)
    a, b = (net.broadcast(x, tuple(dims)) for x in (first, second))
    pairs = zip(_bits(call, a, MAX_BITS), _bits(call, b, MAX_BITS), strict=True)
    both = net.sum(*[net.scale(net.sym(times(call, x, y)), 2.0**j)
                     for j, (x, y) in enumerate(pairs)])  # fmt: skip
    if call.node.op == "BitwiseAnd":
        return both
    total = plus(call, a, b)
    return minus(call, total, net.scale(both, 1.0 if call.node.op == "BitwiseOr" else 2.0))
