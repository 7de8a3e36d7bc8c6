"""ONNX ops of quantised networks: as the real values that their integers stand for.

What such an op rounds is rounded here, too; its products are exact where the format's are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.errors import UsageError
from veracity.frontends.onnx.calls import Call, Result, handler
from veracity.frontends.onnx.floats import Sym
from veracity.frontends.onnx.ops_linear import minus, plus, times
from veracity.frontends.onnx.ops_masks import net_value
from veracity.frontends.onnx.ops_pointwise import decimal, maximum, mean_over, softmax_along
from veracity.frontends.onnx.ops_sequence import joined
from veracity.graph.wires import Step

Array = NDArray[Any]


def _real(call: Call, i: int, scale: int | None, zero: int, axis: int) -> Sym | Array:
    """Input ``i`` from its zero point, times its scale.

    Parameters
    ----------
    call : Call
        The node.
    i : int
        Which input.
    scale, zero : int
        Inputs that are its scale (None for 1) and its zero point.
    axis : int
        Where scales and zero points of channels lie.
    """
    x = call.any(i)
    dims = x.dims if isinstance(x, Sym) else x.shape

    def along(values: Array) -> Array:
        if values.size == 1:
            return values.astype(np.float64).reshape(())
        shape = [1] * len(dims)
        shape[axis % len(dims)] = -1
        return values.astype(np.float64).reshape(shape)

    if call.has(zero) and isinstance(call.any(zero), Sym):
        if scale is not None:
            raise UsageError("a zero point that depends on the data, beside a scale")
        return minus(call, x, call.net.broadcast(call.value(zero), dims))
    offset = along(call.array(zero)) if call.has(zero) else np.zeros(())
    factor = np.ones(()) if scale is None else along(call.array(scale))
    if not isinstance(x, Sym):
        return (x.astype(np.float64) - offset) * factor
    moved = minus(call, x, np.broadcast_to(offset, dims)) if np.any(offset) else x
    return times(call, moved, factor) if np.any(factor != 1) else moved


def _lower(call: Call, op: str, given: tuple[Sym | Array | None, ...], **more: Any) -> Sym:
    """Another op of these operands, with this one's attributes."""
    (found,) = call.lower(op, given, **more)
    if not isinstance(found, Sym):
        raise UsageError("a product of constants")
    return found


def _steps(call: Call, x: Sym, scale: int, zero: int) -> Sym:
    """Rounded to steps of a scale and cut to the type of the zero point."""
    point = call.array(zero) if call.has(zero) else np.zeros(1, dtype=np.uint8)
    if point.dtype.kind not in "iu" or point.dtype.itemsize > 2 or point.size != 1:
        raise UsageError("results of other than 8 or 16 bits")
    info, net = np.iinfo(point.dtype), call.net
    steps = net.rounded(net.sym(times(call, x, 1 / call.array(scale).astype(float))))
    offset = float(point.reshape(-1)[0])
    moved = plus(call, steps, np.full(x.dims, offset)) if offset else steps
    return net.function(f"clip({info.min};{info.max})", moved)


@handler("QLinearConv")
def quantised_convolution(call: Call) -> Result:
    """A convolution of what the integers stand for, rounded to steps."""
    x, w = _real(call, 0, 1, 2, 1), _real(call, 3, 4, 5, 0)
    bias = None
    if call.has(8):
        steps = call.array(1).astype(float) * call.array(4).astype(float).reshape(-1)
        bias = call.array(8).astype(np.float64) * steps
    return _steps(call, _lower(call, "Conv", (x, w, bias)), 6, 7)


@handler("QLinearMatMul")
def quantised_product(call: Call) -> Result:
    """A matrix product of what the integers stand for, rounded to steps."""
    a, b = _real(call, 0, 1, 2, -2), _real(call, 3, 4, 5, -1)
    return _steps(call, _lower(call, "MatMul", (a, b)), 6, 7)


@handler("MatMulInteger")
def integer_product(call: Call) -> Result:
    """A matrix product of integers from their zero points."""
    return _lower(call, "MatMul", (_real(call, 0, None, 2, -2), _real(call, 1, None, 3, -1)))


@handler("ConvInteger")
def integer_convolution(call: Call) -> Result:
    """A convolution of integers from their zero points."""
    return _lower(call, "Conv", (_real(call, 0, None, 2, 1), _real(call, 1, None, 3, 0)))


@handler("DynamicQuantizeLinear")
def dynamic_steps(call: Call) -> Result:
    """255 steps between the least and the largest entry, zero among them; scale and zero point."""
    x, net = net_value(call, call.value(0)), call.net
    flat = net.force(net.reshape(x, (int(np.prod(x.dims)),)))
    high = net.function("relu", maximum(call, flat, 0))
    low = net.function("relu", maximum(call, net.scale(flat, -1.0), 0))
    span = net.settled(net.sum(high, low))
    inverse = net.function("power(-1)", net.scale(span, 1 / 255))
    point = net.function("round", net.sym(times(call, low, inverse)))
    zero = net.function("clip(0;255)", point)
    one = Step("sum", 0)
    steps = net.rounded(net.sym(times(call, x, net.view(inverse, one))))
    shifted = plus(call, steps, net.view(zero, one))
    scale = net.scale(net.view(span, one), 1 / 255)
    return [net.function("clip(0;255)", shifted), scale, net.view(zero, one)]


# ---- ops of onnxruntime's quantiser --------------------------------------------------------------
@handler("com.microsoft.QLinearAdd", "com.microsoft.QLinearMul")
def quantised_pair(call: Call) -> Result:
    """A sum or product of what the integers stand for, rounded to steps."""
    a, b = _real(call, 0, 1, 2, -1), _real(call, 3, 4, 5, -1)
    both = plus(call, a, b) if call.node.op.endswith("Add") else times(call, a, b)
    return _steps(call, call.net.sym(both), 6, 7)


@handler("com.microsoft.QLinearSigmoid", "com.microsoft.QLinearLeakyRelu")
def quantised_function(call: Call) -> Result:
    """A function of what the integers stand for, rounded to steps."""
    leaky = f"leaky({decimal(call.float('alpha', 0.01))})"
    fn = "sigmoid" if call.node.op.endswith("Sigmoid") else leaky
    return _steps(call, call.net.function(fn, call.net.sym(_real(call, 0, 1, 2, -1))), 3, 4)


@handler("com.microsoft.QLinearSoftmax")
def quantised_softmax(call: Call) -> Result:
    """A softmax of what the integers stand for, rounded to steps."""
    x = call.net.sym(_real(call, 0, 1, 2, -1))
    axis, rank = call.int("axis", -1) % len(x.dims), len(x.dims)
    axes = (axis,) if call.int("opset", 13) >= 13 else tuple(range(axis, rank))
    return _steps(call, softmax_along(call, x, axes), 3, 4)


@handler("com.microsoft.QLinearGlobalAveragePool", "com.microsoft.QLinearAveragePool")
def quantised_pool(call: Call) -> Result:
    """Means over windows or the whole picture, rounded to steps."""
    if call.int("channels_last", 0):
        raise UsageError("channels on the last axis")
    x = call.net.sym(_real(call, 0, 1, 2, -1))
    if call.node.op.endswith("QLinearAveragePool"):
        return _steps(call, _lower(call, "AveragePool", (x,)), 3, 4)
    return _steps(call, mean_over(call, x, tuple(range(2, len(x.dims))), True), 3, 4)


@handler("com.microsoft.QLinearConcat")
def quantised_concat(call: Call) -> Result:
    """What several arrays of integers stand for side by side, rounded to steps."""
    parts = [_real(call, i, i + 1, i + 2, -1) for i in range(2, len(call.given), 3)]
    return _steps(call, call.net.sym(joined(call, parts, call.int("axis", 0))), 0, 1)


@handler("com.microsoft.QGemm")
def quantised_gemm(call: Call) -> Result:
    """A dense layer of what the integers stand for, rounded to steps where it has them."""
    a = _real(call, 0, 1, 2, -1)
    b = _real(call, 3, 4, 5, 0 if call.int("transB", 0) else -1)
    bias = None
    if call.has(6):
        step = call.array(1).astype(float) * call.array(4).astype(float).reshape(-1)
        bias = call.array(6).astype(np.float64) * step * call.float("alpha", 1.0)
    out = _lower(call, "Gemm", (a, b, bias), beta=1.0)
    return _steps(call, out, 7, 8) if call.has(7) else out


@handler("com.microsoft.MatMulIntegerToFloat")
def integer_product_in_floats(call: Call) -> Result:
    """A matrix product of what the integers stand for; the first scale may depend on the data."""
    scale, zero = call.any(2), 4 if call.has(4) else 0
    left = _real(call, 0, None, zero, -2) if zero else call.any(0)
    out: Sym | Array = _lower(call, "MatMul", (left, _real(call, 1, 3, 5, -1)))
    out = times(call, out, scale)
    return plus(call, out, call.any(6)) if call.has(6) else out


@handler("com.microsoft.DynamicQuantizeMatMul")
def dynamic_product(call: Call) -> Result:
    """A matrix product of 255 steps of the data and what integers stand for."""
    x, scale, zero = (call.net.sym(y) for y in call.lower("DynamicQuantizeLinear", call.given[:1])
                      if isinstance(y, Sym))  # fmt: skip
    moved = minus(call, x, call.net.broadcast(zero, x.dims))
    out: Sym | Array = _lower(call, "MatMul", (moved, _real(call, 1, 2, 3, -1)))
    out = times(call, out, scale)
    return plus(call, out, call.any(4)) if call.has(4) else out
