"""ONNX ops of single entries, maxima, reductions, comparisons and what is made of them."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.errors import UsageError
from veracity.frontends.onnx.calls import Call, Result, handler
from veracity.frontends.onnx.floats import Ref, Sym
from veracity.frontends.onnx.folding import axes_of
from veracity.frontends.onnx.ops_linear import minus, plus, times
from veracity.graph.wires import Step

Array = NDArray[Any]
#: A bound that no value comes near: it makes no difference.
BEYOND = 1e9

#: Ops that are a function of the table by another name.
_FUNCTIONS = {
    "Relu": "relu", "Sigmoid": "sigmoid", "Tanh": "tanh", "Erf": "erf", "Softplus": "softplus",
    "Softsign": "softsign", "Mish": "mish", "Exp": "exp", "Log": "log", "Sqrt": "sqrt",
    "Sin": "sin", "Cos": "cos", "Abs": "abs", "Sign": "sign", "Floor": "floor", "Ceil": "ceil",
    "Round": "round", "HardSwish": "hard_swish", "Reciprocal": "power(-1)",
    "Tan": "tan", "Atan": "atan", "Asin": "asin", "Acos": "acos", "Sinh": "sinh", "Cosh": "cosh",
    "Asinh": "asinh", "Acosh": "acosh", "Atanh": "atanh",
}  # fmt: skip


def decimal(x: float) -> str:
    """A real number as a parameter of a function: plain decimals."""
    return format(np.float32(x).item(), ".9f").rstrip("0").rstrip(".") or "0"


@handler(*_FUNCTIONS)
def function(call: Call) -> Result:
    """A function of the table by another name."""
    return call.net.function(_FUNCTIONS[call.node.op], call.value(0))


@handler("Gelu")
def gelu(call: Call) -> Result:
    """GELU in either form."""
    fn = "gelu_tanh" if call.text("approximate", "none") == "tanh" else "gelu"
    return call.net.function(fn, call.value(0))


@handler("LeakyRelu", "Elu", "Celu", "HardSigmoid", "Selu")
def with_parameters(call: Call) -> Result:
    """Functions with parameters."""
    op, x = call.node.op, call.value(0)
    if op == "HardSigmoid":
        a, b = call.float("alpha", 0.2), call.float("beta", 0.5)
        return call.net.function(f"hard_sigmoid({decimal(a)};{decimal(b)})", x)
    if op == "Selu":
        return call.net.function("selu", x)
    word = {"LeakyRelu": "leaky", "Elu": "elu", "Celu": "celu"}[op]
    alpha = call.float("alpha", 0.01 if op == "LeakyRelu" else 1.0)
    return call.net.function(f"{word}({decimal(alpha)})", x)


@handler("PRelu")
def prelu(call: Call) -> Result:
    """One slope is a leaky relu; a slope for each channel takes both halves apart."""
    x, slope = call.net.settled(call.value(0)), call.any(1)
    if not isinstance(slope, Sym) and np.all(slope == slope.reshape(-1)[0]):
        return call.net.function(f"leaky({decimal(float(slope.reshape(-1)[0]))})", x)
    above = call.net.function("relu", x)
    below = call.net.function("relu", call.net.scale(x, -1.0))
    return minus(call, above, times(call, below, slope))


@handler("Clip")
def clip(call: Call) -> Result:
    """Between bounds, attributes or inputs."""
    x = call.value(0)
    if any(call.has(i) and isinstance(call.any(i), Sym) for i in (1, 2)):
        if call.has(1):
            x = larger(call, x, call.net.broadcast(call.value(1), x.dims))
        if call.has(2):
            top = call.net.broadcast(call.value(2), x.dims)
            x = minus(call, top, call.net.function("relu", minus(call, top, x)))
        return x
    low, high = call.setting(1, "min"), call.setting(2, "max")
    least = -1e6 if low is None else max(float(low), -1e6)
    most = 1e6 if high is None else min(float(high), 1e6)
    if low is None and high is None:
        return x
    if least > most:
        raise UsageError("bounds the wrong way round")
    return call.net.function(f"clip({decimal(least)};{decimal(most)})", x)


@handler("Pow")
def power(call: Call) -> Result:
    """A square is a product; powers of a constant are exponentials, others come from a table."""
    base = call.any(0)
    if not isinstance(base, Sym) and np.all(base == base.reshape(-1)[0]):
        c = float(base.reshape(-1)[0])
        if c <= 0 or c == 1:
            raise UsageError("a power of a constant that is not positive, or 1")
        exponent = call.net.broadcast(
            call.value(1), tuple(np.broadcast_shapes(base.shape, call.value(1).dims))
        )
        return call.net.function("exp", call.net.scale(exponent, float(np.log(c))))
    x, p = call.value(0), call.any(1)
    if isinstance(p, Sym) or p.size != 1:  # of what is positive
        logs = call.net.function("log", x)
        return call.net.function("exp", call.net.sym(times(call, logs, p)))
    fixed = float(p.reshape(-1)[0])
    if fixed == 2:
        return times(call, x, x)
    return call.net.function(f"power({decimal(fixed)})", x)


# ---- maxima --------------------------------------------------------------------------------------
def larger(call: Call, a: Sym | Array, b: Sym | Array) -> Sym:
    """The larger of two: ``b + relu(a - b)``.

    Parameters
    ----------
    call : Call
        The node.
    a, b : Sym or array
        Operands.
    """
    return plus(call, b, call.net.function("relu", minus(call, a, b)))


@handler("Max", "Min")
def extreme(call: Call) -> Result:
    """The largest or smallest of several operands."""
    sign = 1.0 if call.node.op == "Max" else -1.0
    parts = [call.any(i) for i in range(len(call.given))]
    parts = [p for p in parts if isinstance(p, Sym) or np.any(sign * p > -BEYOND)]
    best = parts[0]
    for part in parts[1:]:
        if call.node.op == "Max":
            best = larger(call, best, part)
        else:
            best = minus(call, part, call.net.function("relu", minus(call, part, best)))
    return call.net.sym(best)


def maximum(call: Call, x: Sym, axis: int) -> Sym:
    """Along an axis, kept with length 1: halves against each other.

    Parameters
    ----------
    call : Call
        The node.
    x : Sym
        What is read.
    axis : int
        Which.
    """
    while x.dims[axis] > 1:
        n = x.dims[axis]
        half = n // 2
        first = call.net.view(x, Step("slice", axis, (0, half, 1)))
        second = call.net.view(x, Step("slice", axis, (half, 2 * half, 1)))
        best = Sym(first.dims, (Ref(call.net.value(larger(call, first, second))),))
        if n % 2:
            last = call.net.view(x, Step("slice", axis, (n - 1, n, 1)))
            best = call.net.sum(
                call.net.view(best, Step("pad", axis, (0, 0, 1))),
                call.net.view(last, Step("pad", axis, (0, half, 0))),
            )
        x = best
    return x


# ---- reductions ----------------------------------------------------------------------------------
def sum_over(call: Call, x: Sym, axes: tuple[int, ...], keep: bool) -> Sym:
    """Over axes, which stay with length 1 where kept.

    Parameters
    ----------
    call : Call
        The node.
    x : Sym
        What is read.
    axes : tuple of int
        Which.
    keep : bool
        Whether they stay with length 1.
    """
    steps = []
    for axis in sorted(axes, reverse=True):
        steps.append(Step("sum", axis))
        if keep:
            steps.append(Step("repeat", axis, (1,)))
    return call.net.view(x, *steps)


def mean_over(call: Call, x: Sym, axes: tuple[int, ...], keep: bool) -> Sym:
    """The mean over axes.

    Parameters
    ----------
    call : Call
        The node.
    x : Sym
        What is read.
    axes : tuple of int
        Which.
    keep : bool
        Whether they stay with length 1.
    """
    count = prod(x.dims[a] for a in axes)
    return call.net.scale(sum_over(call, x, axes, keep), 1 / count)


def _axes(call: Call, x: Sym) -> tuple[int, ...]:
    given = [v if isinstance(v, np.ndarray) else None for v in call.given]
    found = axes_of(call.node, given, 1)
    if not found:
        return () if call.int("noop_with_empty_axes", 0) else tuple(range(len(x.dims)))
    return tuple(sorted(a % len(x.dims) for a in found))


@handler("ReduceSum", "ReduceMean", "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceMax",
         "ReduceMin", "ReduceLogSumExp", "ReduceLogSum")  # fmt: skip
def reduce(call: Call) -> Result:
    """Sums, norms and maxima over axes."""
    x, op = call.value(0), call.node.op
    axes, keep = _axes(call, x), bool(call.int("keepdims", 1))
    net = call.net
    if op == "ReduceMean":
        return mean_over(call, x, axes, keep)
    if op in ("ReduceMax", "ReduceMin"):
        sign = 1.0 if op == "ReduceMax" else -1.0
        best = net.scale(x, sign)
        for axis in axes:
            best = maximum(call, best, axis)
        return sum_over(call, net.scale(best, sign), () if keep else axes, False)
    if op == "ReduceLogSumExp":
        best = x
        for axis in axes:
            best = maximum(call, best, axis)
        held = Sym(best.dims, (Ref(net.value(best)),))
        total = sum_over(call, net.function("exp", minus(call, x, held)), axes, True)
        out = plus(call, held, net.function("log", total))
        return sum_over(call, out, () if keep else axes, False)
    if op == "ReduceL1":
        return sum_over(call, net.function("abs", x), axes, keep)
    if op in ("ReduceL2", "ReduceSumSquare"):
        total = sum_over(call, net.sym(times(call, x, x)), axes, keep)
        return net.function("sqrt", total) if op == "ReduceL2" else total
    total = sum_over(call, x, axes, keep)
    return net.function("log", total) if op == "ReduceLogSum" else total


def softmax_along(call: Call, x: Sym, axes: tuple[int, ...], logarithm: bool = False) -> Sym:
    """A softmax over axes, or its logarithm.

    Parameters
    ----------
    call : Call
        The node.
    x : Sym
        What is read.
    axes : tuple of int
        Which.
    logarithm : bool
        Whether its logarithm is wanted.
    """
    best, net = x, call.net
    for a in axes:
        best = maximum(call, best, a)
    shifted = net.settled(minus(call, x, net.settled(best)))
    shifted = Sym(shifted.dims, (Ref(net.value(shifted)),))
    powers = net.function("exp", shifted)
    total = sum_over(call, powers, axes, True)
    if logarithm:
        return minus(call, shifted, net.function("log", total))
    return net.sym(times(call, powers, net.function("power(-1)", total)))


def normalised(call: Call, x: Sym, axes: tuple[int, ...], eps: float) -> Sym:
    """Minus the mean, divided by the root of the variance.

    Parameters
    ----------
    call : Call
        The node.
    x : Sym
        What is read.
    axes : tuple of int
        Which.
    eps : float
        Added to the variance.
    """
    net = call.net
    centred = minus(call, x, mean_over(call, x, axes, True))
    centred = Sym(centred.dims, (Ref(net.value(centred)),))
    variance = mean_over(call, net.sym(times(call, centred, centred)), axes, True)
    root = net.function("power(-0.5)", plus(call, variance, np.full(variance.dims, eps)))
    return net.sym(times(call, centred, root))


def _normalised_groups(
    call: Call, x: Sym, gain: Array, bias: Array | None, eps: float
) -> tuple[Sym, Array, Array | None]:
    """Of groups of channels; gain and bias are per group before version 21, then per channel.

    Parameters
    ----------
    call : Call
        The node.
    x : Sym
        What is read.
    gain, bias : array
        As they are stored.
    eps : float
        Added to the variance.
    """
    groups, channels = call.int("num_groups", 0), x.dims[1]
    if groups < 1 or channels % groups:
        raise UsageError("groups of unequal size")
    split = call.net.reshape(x, (x.dims[0], groups, channels // groups, *x.dims[2:]))
    split = call.net.force(split)
    out = normalised(call, split, tuple(range(2, len(split.dims))), eps)
    shape = (-1, *[1] * (len(x.dims) - 2))

    def each(v: Array) -> Array:
        return (v if len(v) == channels else np.repeat(v, channels // groups)).reshape(shape)

    held = call.net.force(call.net.reshape(out, x.dims))
    return held, each(gain), None if bias is None else each(bias)


@handler("InstanceNormalization", "LayerNormalization", "GroupNormalization")
def normalise(call: Call) -> Result:
    """By mean and variance over axes, then a gain and a bias."""
    x, gain = call.value(0), call.array(1)
    bias = call.optional_array(2)
    eps = call.float("epsilon", 1e-5)
    if call.node.op == "LayerNormalization":
        first = call.int("axis", -1) % len(x.dims)
        out = normalised(call, x, tuple(range(first, len(x.dims))), eps)
    elif call.node.op == "InstanceNormalization":
        out = normalised(call, x, tuple(range(2, len(x.dims))), eps)
        gain = gain.reshape(-1, *[1] * (len(x.dims) - 2))
        bias = None if bias is None else bias.reshape(gain.shape)
    else:
        out, gain, bias = _normalised_groups(call, x, gain, bias, eps)
    scaled = times(call, out, gain)
    return scaled if bias is None else plus(call, scaled, bias)
