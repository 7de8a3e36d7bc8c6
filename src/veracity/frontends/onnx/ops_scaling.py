"""ONNX ops that round, quantise and normalise, and activations made of others."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.errors import UsageError
from veracity.frontends.onnx.calls import Call, Result, handler
from veracity.frontends.onnx.floats import Ref, Sym
from veracity.frontends.onnx.ops_linear import minus, plus, times
from veracity.frontends.onnx.ops_pointwise import (
    decimal,
    mean_over,
    normalised,
    sum_over,
)
from veracity.graph.wires import Step

Array = NDArray[Any]


@handler("Mod")
def remainder(call: Call) -> Result:
    """By one constant: what is left after whole multiples, of the divisor's sign or the value's."""
    x, net = call.value(0), call.net
    if isinstance(call.any(1), Sym) and not call.integers and not call.int("fmod", 0):
        by = call.value(1)
        parts = net.sym(times(call, x, net.function("power(-1)", by)))
        return minus(call, x, net.sym(times(call, net.function("floor", parts), by)))
    divisor = call.array(1).astype(np.float64)
    c = float(divisor.reshape(-1)[0])
    if divisor.size != 1 or c == 0:
        raise UsageError("a remainder by other than one constant")
    if call.int("fmod", 0):
        sign = net.function("sign", x)
        whole = net.function("floor", net.scale(net.function("abs", x), 1 / abs(c)))
        return minus(call, x, net.scale(net.sym(times(call, sign, whole)), abs(c)))
    parts = net.scale(x, 1 / c)
    if call.integers:  # half a step keeps whole results clear of the step below
        parts = plus(call, parts, np.full(x.dims, 0.5 / abs(c)))
    return minus(call, x, net.scale(net.function("floor", parts), c))


def _along(values: Array, x: Sym, axis: int) -> Array:
    """Constants for each entry of an axis, or one for all."""
    if values.size == 1:
        return values.astype(np.float64).reshape(())
    shape = [1] * len(x.dims)
    shape[axis % len(x.dims)] = -1
    return values.astype(np.float64).reshape(shape)


@handler("QuantizeLinear", "com.microsoft.QuantizeLinear")
def quantise(call: Call) -> Result:
    """Rounded to whole steps and cut to the bounds of the type."""
    x, axis = call.value(0), call.int("axis", 1)
    if call.int("block_size", 0):
        raise UsageError("scales of blocks")
    zero = call.optional_array(2)
    dtype = np.dtype(np.uint8) if zero is None else zero.dtype
    if dtype.kind not in "iu" or dtype.itemsize > 2:
        raise UsageError("a type of other than 8 or 16 bits")
    info = np.iinfo(dtype)
    offset = np.zeros(()) if zero is None else _along(zero, x, axis)
    if isinstance(call.any(1), Sym):
        parts = times(call, x, call.net.function("power(-1)", call.value(1)))
    else:
        parts = times(call, x, 1 / _along(call.array(1), x, axis))
    steps = call.net.rounded(call.net.sym(parts))
    moved = plus(call, steps, np.broadcast_to(offset, x.dims)) if np.any(offset) else steps
    return call.net.function(f"clip({info.min};{info.max})", moved)


@handler("DequantizeLinear", "com.microsoft.DequantizeLinear")
def dequantise(call: Call) -> Result:
    """Steps from the zero point, in real numbers."""
    x, axis = call.value(0), call.int("axis", 1)
    if call.int("block_size", 0):
        raise UsageError("scales of blocks")
    zero = call.optional_array(2)
    if zero is not None and np.any(zero):
        x = minus(call, x, np.broadcast_to(_along(zero, x, axis), x.dims))
    return times(call, x, _along(call.array(1), x, axis))


@handler("ThresholdedRelu")
def thresholded(call: Call) -> Result:
    """The entry itself above a threshold, else zero."""
    x = call.value(0)
    alpha = np.full(x.dims, call.float("alpha", 1.0))
    return times(call, x, call.net.function("step", minus(call, x, alpha)))


@handler("Shrink")
def shrink(call: Call) -> Result:
    """Nearer to zero by a bias outside of a band, zero inside."""
    x, net = call.value(0), call.net
    bias, band = call.float("bias", 0.0), np.full(x.dims, call.float("lambd", 0.5))
    parts = []
    for sign in (1.0, -1.0):
        y = net.scale(x, sign)
        less = minus(call, y, np.full(x.dims, bias)) if bias else y
        part = times(call, less, net.function("step", minus(call, y, band)))
        parts.append(net.scale(net.sym(part), sign))
    return net.sum(*parts)


@handler("LpNormalization")
def to_length_one(call: Call) -> Result:
    """Divided by the sum of magnitudes or by the root of the sum of squares."""
    x, net = call.value(0), call.net
    axis, p = call.int("axis", -1) % len(x.dims), call.int("p", 2)
    if p not in (1, 2):
        raise UsageError("a norm other than 1 and 2")
    terms = net.function("abs", x) if p == 1 else net.sym(times(call, x, x))
    total = sum_over(call, terms, (axis,), True)
    return times(call, x, net.function("power(-1)" if p == 1 else "power(-0.5)", total))


@handler("MeanVarianceNormalization")
def standardised(call: Call) -> Result:
    """Minus the mean, divided by the deviation, over axes."""
    x = call.value(0)
    axes = tuple(a % len(x.dims) for a in call.ints("axes", (0, 2, 3)))
    return normalised(call, x, axes, 1e-9)


@handler("RMSNormalization")
def root_mean_square(call: Call) -> Result:
    """Divided by the root of the mean of squares, then a gain."""
    x, net = call.value(0), call.net
    axes = tuple(range(call.int("axis", -1) % len(x.dims), len(x.dims)))
    mean = mean_over(call, net.sym(times(call, x, x)), axes, True)
    eps = np.full(mean.dims, call.float("epsilon", 1e-5))
    root = net.function("power(-0.5)", plus(call, mean, eps))
    return times(call, net.sym(times(call, x, root)), call.array(1))


@handler("LRN")
def local_response(call: Call) -> Result:
    """Divided by a power of the squares of neighbouring channels."""
    x, net = call.value(0), call.net
    size = call.int("size", 1)
    low, high = (size - 1) // 2, size // 2
    squares = net.sym(times(call, x, x))
    squares = Sym(squares.dims, (Ref(net.value(squares)),))
    near = net.view(squares, Step("window", 1, (size, 1, 1, low, high)), Step("sum", 2))
    scaled = net.scale(near, call.float("alpha", 1e-4) / size)
    total = plus(call, scaled, np.full(x.dims, call.float("bias", 1.0)))
    return times(call, x, net.function(f"power({decimal(-call.float('beta', 0.75))})", total))


@handler("ReduceProd")
def product_over(call: Call) -> Result:
    """Products over axes, halves with each other."""
    x, net = call.value(0), call.net
    given = call.setting(1, "axes")
    every = range(len(x.dims)) if given is None else given
    axes = tuple(int(a) % len(x.dims) for a in every)
    for axis in axes:
        while x.dims[axis] > 1:
            n, half = x.dims[axis], x.dims[axis] // 2
            parts = [net.view(x, Step("slice", axis, (i, i + half, 1))) for i in (0, half)]
            found = net.sym(times(call, parts[0], parts[1]))
            found = Sym(found.dims, (Ref(net.value(found)),))
            if n % 2:
                last = net.view(x, Step("slice", axis, (n - 1, n, 1)))
                found = net.sum(
                    net.view(found, Step("pad", axis, (0, 0, 1))),
                    net.view(last, Step("pad", axis, (0, half, 0))),
                )
            x = found
    keep = call.int("keepdims", 1)
    if prod(x.dims) == 0:
        raise UsageError("an axis without entries")
    return sum_over(call, x, () if keep else axes, False)
