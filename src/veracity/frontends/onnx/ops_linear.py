"""ONNX ops that are linear, or products: convolutions, dense layers, sums, means, norms' scales."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from string import ascii_lowercase
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.errors import UsageError
from veracity.frontends.onnx.calls import Call, Result, handler, spatial_pads
from veracity.frontends.onnx.floats import Ref, Sym
from veracity.graph.wires import Step, apply_wire

Array = NDArray[Any]


def convolve(
    call: Call,
    x: Sym,
    w: Sym | Array,
    bias: Sym | Array | None,
    strides: Sequence[int],
    dilations: Sequence[int],
    pads: Sequence[tuple[int, int]],
) -> Sym:
    """Windows of the picture times a dense kernel (out, in, taps..).

    Parameters
    ----------
    call : Call
        Where ops go.
    x : Sym
        (n, channels, axes..).
    w : Sym or array
        Kernel; of dims (channels, 1, taps..) for one kernel a channel.
    bias : Sym, array or None
        (out,).
    strides, dilations : sequence of int
        By axis.
    pads : sequence of (low, high)
        By axis.
    """  # fmt: skip
    net, axes = call.net, len(x.dims) - 2
    shape = w.dims if isinstance(w, Sym) else w.shape
    steps = []
    for i in reversed(range(axes)):
        numbers = (shape[2 + i], strides[i], dilations[i], *pads[i])
        steps.append(Step("window", 2 + i, numbers))
    windows = net.view(x, *steps)
    places, taps = "defg"[:axes], "uvwz"[:axes]
    read = "nc" + "".join(p + t for p, t in zip(places, taps, strict=True))
    sizes = tuple(windows.dims[2 + 2 * i] for i in range(axes))
    if shape[1] != x.dims[1] and shape[:2] != (x.dims[1], 1):
        raise UsageError("a kernel of another number of channels")
    kernel = net.sym(w)
    if shape[1] == x.dims[1]:
        spec, out = f"{read},oc{taps}->no{places}", shape[0]
    else:
        spec, out = f"{read},c{taps}->nc{places}", x.dims[1]
        kernel = net.view(kernel, Step("sum", 1)) if isinstance(w, Sym) else net.sym(w[:, 0])
    dims = (x.dims[0], out, *sizes)
    addends: tuple[Ref, ...] = ()
    if isinstance(bias, Sym):
        around = [Step("repeat", 0, (1,)), *[Step("repeat", 2 + i, (1,)) for i in range(axes)]]
        addends = net.broadcast(net.view(bias, *around), dims).terms
    elif bias is not None and np.any(bias):
        shaped = net.constant(bias.reshape(1, -1, *[1] * axes))
        addends = net.broadcast(shaped, dims).terms
    return net.linear([(spec, net.ref(windows), net.ref(kernel))], addends, dims)


def dense_kernel(w: Array, groups: int, channels: int) -> Array:
    """A kernel of groups as one of all channels, zero elsewhere; one a channel stays as it is.

    Parameters
    ----------
    w : array
        (out, in of a group, taps..).
    groups, channels : int
        Of the input.
    """
    if not 1 <= groups <= channels or w.shape[0] % groups or channels != groups * w.shape[1]:
        raise UsageError("groups that do not fit the channels")
    if groups == 1 or (groups == channels and w.shape[0] == channels):
        return w
    out = np.zeros((w.shape[0], channels, *w.shape[2:]))
    for g in range(groups):
        rows = slice(g * w.shape[0] // groups, (g + 1) * w.shape[0] // groups)
        out[rows, g * w.shape[1] : (g + 1) * w.shape[1]] = w[rows]
    return out


@handler("Conv")
def conv(call: Call) -> Result:
    """A convolution: groups become zeros of a dense kernel, or one kernel a channel."""
    x, w = call.value(0), call.any(1)
    shape = w.dims if isinstance(w, Sym) else w.shape
    axes = len(shape) - 2
    strides = call.ints("strides", (1,) * axes)
    dilations = call.ints("dilations", (1,) * axes)
    taps = [(k - 1) * d + 1 for k, d in zip(shape[2:], dilations, strict=True)]
    pads = spatial_pads(call, x.dims[2:], taps, strides)
    groups, bias = call.int("group", 1), call.any(2) if call.has(2) else None
    if isinstance(w, Sym):
        if groups != 1 and (groups, shape[0]) != (x.dims[1], x.dims[1]):
            raise UsageError("groups of a kernel that depends on the data")
        return convolve(call, x, w, bias, strides, dilations, pads)
    kernel = dense_kernel(w, groups, x.dims[1])
    return convolve(call, x, kernel, bias, strides, dilations, pads)


@handler("ConvTranspose")
def conv_transpose(call: Call) -> Result:
    """A convolution of the picture with zeros between its entries, kernel turned round."""
    x, w, bias = call.value(0), call.array(1), call.optional_array(2)
    axes, groups = w.ndim - 2, call.int("group", 1)
    strides, dilations = call.ints("strides", (1,) * axes), call.ints("dilations", (1,) * axes)
    dilated = call.net.view(
        x, *[Step("dilate", 2 + i, (strides[i],)) for i in range(axes) if strides[i] > 1]
    )
    pads, crops = [], []
    for i, (low, high) in enumerate(_uncovered(call, x.dims[2:], w.shape[2:])):
        reach = (w.shape[2 + i] - 1) * dilations[i]
        pads.append((max(0, reach - low), max(0, reach - high)))
        crops.append((max(0, low - reach), max(0, high - reach)))
    if not 1 <= groups <= x.dims[1] or w.shape[0] % groups:
        raise UsageError("groups that do not fit the channels")
    per = w.shape[0] // groups
    parts = [np.swapaxes(w[g * per : (g + 1) * per], 0, 1) for g in range(groups)]
    flipped = np.flip(np.concatenate(parts), axis=tuple(range(2, w.ndim)))
    kernel = dense_kernel(flipped, groups, x.dims[1])
    out = convolve(call, dilated, kernel, bias, (1,) * axes, dilations, pads)
    cut = [Step("slice", 2 + i, (low, out.dims[2 + i] - high, 1))
           for i, (low, high) in enumerate(crops) if low or high]  # fmt: skip
    return call.net.view(out, *cut)


def _uncovered(call: Call, dims: Sequence[int], taps: Sequence[int]) -> list[tuple[int, int]]:
    """What a transposed convolution leaves out on both sides of each axis; may be below zero.

    Parameters
    ----------
    call : Call
        The node.
    dims, taps : sequence of int
        Of the picture and of the kernel.
    """
    axes, mode = len(dims), call.text("auto_pad", "NOTSET")
    strides, dilations = call.ints("strides", (1,) * axes), call.ints("dilations", (1,) * axes)
    extra, shape = call.ints("output_padding", (0,) * axes), call.ints("output_shape", ())
    given = call.ints("pads", (0,) * 2 * axes)
    out = []
    for i in range(axes):
        full = strides[i] * (dims[i] - 1) + extra[i] + (taps[i] - 1) * dilations[i] + 1
        if not shape and mode in ("NOTSET", "VALID"):
            out.append((given[i], given[axes + i] - extra[i]))
            continue
        total = max(0, full - (shape[i] if shape else dims[i] * strides[i]))
        small, large = total // 2, total - total // 2
        low, high = (large, small) if mode == "SAME_LOWER" or (
            shape and mode == "NOTSET") else (small, large)  # fmt: skip
        out.append((low, high - extra[i]))
    return out


def matmul(call: Call, a: Sym | Array, b: Sym | Array) -> Sym:
    """``a @ b`` with broadcast leading axes.

    Parameters
    ----------
    call : Call
        The node.
    a, b : Sym or array
        Both sides.
    """
    net = call.net
    left, right = net.force(net.sym(a)), net.force(net.sym(b))
    one_left, one_right = len(left.dims) == 1, len(right.dims) == 1
    if one_left:
        left = net.view(left, Step("repeat", 0, (1,)))
    if one_right:
        right = net.view(right, Step("repeat", 1, (1,)))
    lead = np.broadcast_shapes(left.dims[:-2], right.dims[:-2])
    letters = ascii_lowercase[: len(lead)]

    def operand(x: Sym) -> tuple[Sym, str]:
        kept, steps = "", []
        start = len(lead) - (len(x.dims) - 2)
        for axis in reversed(range(len(x.dims) - 2)):
            if x.dims[axis] == lead[start + axis]:
                kept = letters[start + axis] + kept
            else:
                steps.append(Step("sum", axis))
        return net.view(x, *steps), kept

    (left, of_left), (right, of_right) = operand(left), operand(right)
    missing = [c for c in letters if c not in of_left + of_right]
    if missing:
        raise UsageError("leading axes of neither operand")
    spec = f"{of_left}xy,{of_right}yz->{letters}xz"
    dims = (*lead, left.dims[-2], right.dims[-1])
    out = net.linear([(spec, net.ref(left), net.ref(right))], (), dims)
    wanted = (*lead, *(() if one_left else (dims[-2],)), *(() if one_right else (dims[-1],)))
    return net.reshape(out, wanted) if wanted != dims else out


@handler("MatMul", lazy=True)
def mat_mul(call: Call) -> Result:
    """A matrix product with broadcast leading axes."""
    return dense(call, call.any(0), call.any(1))


@handler("Gemm", lazy=True)
def gemm(call: Call) -> Result:
    """A matrix product with factors and a bias."""
    a, b = call.any(0), call.any(1)
    if call.int("transA", 0):
        a = transposed(call, a)
    if call.int("transB", 0):
        b = transposed(call, b)
    out = dense(call, a, b)
    out = call.net.scale(out, call.float("alpha", 1.0))
    if call.has(2):
        bias = call.net.broadcast(call.net.sym(call.any(2)), out.dims)
        out = call.net.sum(out, call.net.scale(bias, call.float("beta", 1.0)))
    return out


def transposed(call: Call, x: Sym | Array) -> Sym | Array:
    """Of a matrix."""
    if isinstance(x, Sym):
        return call.net.view(call.net.force(x), Step("permute", 0, (1, 0)))
    return x.T


def dense(call: Call, x: Sym | Array, w: Sym | Array) -> Sym:
    """A matrix product; where ``x`` waits for a merge, the weight is split instead.

    Parameters
    ----------
    call : Call
        The node.
    x, w : Sym or array
        Both sides.
    """
    net = call.net
    if not isinstance(x, Sym) or x.merged is None or isinstance(w, Sym) or w.ndim != 2:
        return matmul(call, x, w)
    source, rows = x.merged, x.dims[:-1]
    lead = next((i for i in range(len(source.dims)) if prod(source.dims[:i]) == prod(rows)), 0)
    inner = tuple(d for d in source.dims[lead:] if d != 1)
    fits = prod(source.dims[:lead]) == prod(rows) and 1 <= len(inner) <= 3
    if not fits or prod(inner) != w.shape[0] or len(rows) != 1:
        return matmul(call, x, w)
    kept = net.reshape(source, (*source.dims[:lead], *inner))
    outer = "".join(ascii_lowercase[:lead])
    summed = "uvw"[: len(inner)]
    weight = net.constant(w.reshape(*inner, w.shape[1]))
    if prod(rows) == 1:  # keep one axis of rows
        kept = net.reshape(source, (1, *inner))
        outer = "a"
    elif lead != 1:
        return matmul(call, x, w)
    spec = f"{outer}{summed},{summed}z->{outer}z"
    return net.linear([(spec, net.ref(kept), weight.terms[0])], (), (rows[0], w.shape[1]))


# ---- sums and products of entries --------------------------------------------------------------
def times(call: Call, a: Sym | Array, b: Sym | Array) -> Sym | Array:
    """Entry by entry, broadcast.

    Parameters
    ----------
    call : Call
        The node.
    a, b : Sym or array
        Factors.
    """
    net = call.net
    if not isinstance(a, Sym) and not isinstance(b, Sym):
        return np.asarray(a * b)
    if not isinstance(a, Sym):
        a, b = b, a
    if not isinstance(a, Sym):
        raise UsageError("a product of constants")
    if not isinstance(b, Sym) and np.all(b == b.reshape(-1)[0]):
        dims = np.broadcast_shapes(a.dims, b.shape)
        factor = float(b.reshape(-1)[0])
        return net.scale(net.broadcast(a, dims), factor) if factor else np.zeros(dims)
    right = net.sym(b)
    dims = np.broadcast_shapes(a.dims, right.dims)
    letters = ascii_lowercase[: len(dims)]

    def operand(x: Sym) -> tuple[Sym, str]:
        start, steps, kept = len(dims) - len(x.dims), [], ""
        for axis in reversed(range(len(x.dims))):
            if x.dims[axis] == dims[start + axis]:
                kept = letters[start + axis] + kept
            else:
                steps.append(Step("sum", axis))
        return net.view(net.force(x), *steps), kept

    (left, of_left), (right, of_right) = operand(a), operand(right)
    spec = f"{of_left},{of_right}->{letters}"
    return net.linear([(spec, net.ref(left), net.ref(right))], (), dims)


def plus(call: Call, *parts: Sym | Array) -> Sym:
    """A sum, broadcast; nothing is computed yet."""
    net = call.net
    syms = [net.sym(p) for p in parts if isinstance(p, Sym) or np.any(p)]
    dims = np.broadcast_shapes(*[p.dims if isinstance(p, Sym) else p.shape for p in parts])
    return net.sum(*[net.broadcast(s, dims) for s in syms])


def minus(call: Call, a: Sym | Array, b: Sym | Array) -> Sym:
    """A difference, broadcast.

    Parameters
    ----------
    call : Call
        The node.
    a, b : Sym or array
        Operands.
    """
    return plus(call, a, call.net.scale(b, -1.0) if isinstance(b, Sym) else -b)


@handler("Sub")
def subtract(call: Call) -> Result:
    """A difference, broadcast."""
    a, b = call.any(0), call.any(1)
    if isinstance(a, Sym) and call.node.inputs[0] == call.node.inputs[1]:
        return np.zeros(a.dims)
    return minus(call, a, b)


@handler("Neg")
def negate(call: Call) -> Result:
    """Times -1."""
    return call.net.scale(call.value(0), -1.0)


@handler("Mul")
def multiply(call: Call) -> Result:
    """A product of entries, broadcast."""
    return times(call, call.any(0), call.any(1))


@handler("Div")
def divide(call: Call) -> Result:
    """By a constant; else times the inverse from a table."""
    a, b = call.any(0), call.any(1)
    if isinstance(a, Sym) and call.node.inputs[0] == call.node.inputs[1]:
        return np.ones(a.dims)
    if call.integers:
        return _whole_division(call, a, b)
    if not isinstance(b, Sym):
        if np.any(b == 0):
            raise UsageError("a division by zero")
        return times(call, a, 1.0 / b.astype(np.float64))
    return times(call, a, call.net.function("power(-1)", b))


def _whole_division(call: Call, a: Sym | Array, b: Sym | Array) -> Sym:
    """By one constant, towards zero; half a step keeps whole results clear of the step below.

    Parameters
    ----------
    call : Call
        The node.
    a, b : Sym or array
        Dividend and divisor.
    """
    if isinstance(b, Sym) or not isinstance(a, Sym) or b.size != 1 or not np.any(b):
        raise UsageError("a division of integers by other than one constant")
    c, net = float(b.reshape(-1)[0]), call.net
    half = np.full(a.dims, 0.5 / abs(c))
    size = plus(call, net.scale(net.function("abs", a), 1 / abs(c)), half)
    whole = net.function("floor", size)
    return net.scale(net.sym(times(call, net.function("sign", a), whole)), 1.0 if c > 0 else -1.0)


@handler("Mean")
def mean(call: Call) -> Result:
    """The mean of its operands."""
    count = len(call.node.inputs)
    return call.net.scale(plus(call, *[call.any(i) for i in range(count)]), 1 / count)


@handler("BatchNormalization")
def batch_norm(call: Call) -> Result:
    """A factor and an offset for each channel."""
    if call.int("training_mode", 0):
        raise UsageError("training mode; export for inference")
    x = call.value(0)
    gain, bias, mu, var = (call.array(i).astype(np.float64) for i in range(1, 5))
    factor = gain / np.sqrt(var + call.float("epsilon", 1e-5))
    shape = (1, -1, *[1] * (len(x.dims) - 2))
    scaled = folded(call, x, factor) or times(call, x, factor.reshape(shape))
    return plus(call, scaled, (bias - mu * factor).reshape(shape))


def folded(call: Call, x: Sym, factor: Array) -> Sym | None:
    """Factors for each channel inside the kernel of the convolution before; None where it is none.

    Parameters
    ----------
    call : Call
        The node.
    x : Sym
        What is scaled, (n, channels, ..).
    factor : array
        One for each channel.
    """
    net = call.net
    op = net.unread(x.terms[0]) if len(x.terms) == 1 else None
    if op is None or len(op.products) != 1:
        return None
    ((spec, picture, kernel),) = op.products
    letter, of_kernel = spec[-len(op.dims) + 1], spec.partition("->")[0].partition(",")[2]
    if kernel.of != "weight" or letter not in of_kernel or kernel.factor != 1:
        return None
    shape = [-1 if c == letter else 1 for c in of_kernel]
    weights = apply_wire(kernel.wire, net.weights[kernel.x]) * factor.reshape(shape)
    addends: list[Ref] = []
    for ref in op.addends:
        if ref.of != "weight":
            return None
        full = apply_wire(ref.wire, net.weights[ref.x]) * ref.factor
        each = full.reshape(*full.shape[:2], -1)[0, :, :1]
        if not np.all(full.reshape(*full.shape[:2], -1)[0] == each):
            return None
        scaled = (each[:, 0] * factor).reshape(1, -1, *[1] * (len(op.dims) - 2))
        addends += net.broadcast(net.constant(scaled), op.dims).terms
    product = (spec, picture, net.constant(weights).terms[0])
    return net.linear([product], addends, op.dims)
