"""ONNX's pools: windows of pictures, or whole pictures."""

from __future__ import annotations

from math import prod

import numpy as np

from veracity.errors import UsageError
from veracity.frontends.onnx.calls import Call, Result, handler, spatial_pads
from veracity.frontends.onnx.floats import Ref, Sym
from veracity.frontends.onnx.ops_linear import minus, times
from veracity.frontends.onnx.ops_pointwise import maximum, mean_over
from veracity.graph.axes import Step, axis_index
from veracity.graph.wires import apply_wire

#: Most entries whose places are told as numbers of 16 bits.
MAX_PLACES = 1 << 14


@handler("MaxPool")
def max_pool(call: Call) -> Result:
    """Along one axis after the other."""
    if len(call.node.outputs) > 1 and call.node.outputs[1] in call.wanted:
        return _with_places(call)
    x, size = call.value(0), call.ints("kernel_shape", ())
    axes = len(size)
    strides, dilations = call.ints("strides", (1,) * axes), call.ints("dilations", (1,) * axes)
    before = call.net.made.get(x.terms[0].x) if x.terms == (Ref(x.terms[0].x),) else None
    last = before is not None and before.fn == "relu"
    if last and before is not None:  # the maximum first: relu has fewer entries then
        x = Sym(x.dims, before.addends)
    for i, numbers in enumerate(_windows(call, x, size, strides, dilations)):
        if numbers[0] > 1 or numbers[1] > 1:
            x = call.net.pool(x, 2 + i, numbers)
    return call.net.function("relu", x) if last else x


def _with_places(call: Call) -> list[Sym]:
    """The maxima of windows, and where in the whole tensor each of them stands."""
    net, x, size = call.net, call.net.settled(call.value(0)), call.ints("kernel_shape", ())
    axes = len(size)
    strides, dilations = call.ints("strides", (1,) * axes), call.ints("dilations", (1,) * axes)
    windows = _windows(call, x, size, strides, dilations)
    if any(low or high for *_, low, high in windows) or call.int("storage_order", 0):
        raise UsageError("the places of maxima beside pads, or column by column")
    if prod(x.dims) > MAX_PLACES:
        raise UsageError(f"the places of maxima among more than {MAX_PLACES} entries")
    steps = [Step("window", 2 + i, windows[i]) for i in reversed(range(axes))]
    order = (0, 1, *range(2, 2 + 2 * axes, 2), *range(3, 3 + 2 * axes, 2))
    steps.append(Step("permute", 0, order))
    found = net.view(x, *steps)
    near = apply_wire(tuple(steps), np.arange(prod(x.dims)).reshape(x.dims))
    flat, count = found.dims[: 2 + axes], prod(found.dims[2 + axes :])
    entries = net.force(net.reshape(found, (*flat, count)))
    best = Sym((*flat, 1), (Ref(net.value(maximum(call, entries, 2 + axes))),))
    equal = net.function("zero", minus(call, entries, best))
    before = np.tril(np.ones((count, count), dtype=int), -1).reshape(-1).tolist()
    earlier = net.view(equal, Step("taps", 2 + axes, (count, *before)))
    first = net.function("step", minus(call, equal, earlier))
    places = net.sym(times(call, first, near.reshape(*flat, count).astype(np.float64)))
    drop = Step("sum", 2 + axes)
    return [net.view(best, drop), net.view(places, drop)]


def _windows(
    call: Call,
    x: Sym,
    size: tuple[int, ...],
    strides: tuple[int, ...],
    dilations: tuple[int, ...],
) -> list[tuple[int, int, int, int, int]]:
    """Window of each axis, with ``ceil_mode`` as further high pads.

    Parameters
    ----------
    call : Call
        The node.
    x : Sym
        What is pooled.
    size, strides, dilations : tuple of int
        By axis.
    """
    taps = [(k - 1) * d + 1 for k, d in zip(size, dilations, strict=True)]
    pads = spatial_pads(call, x.dims[2:], taps, strides)
    out = []
    for i, (low, high) in enumerate(pads):
        n, s = x.dims[2 + i] + low + high, strides[i]
        more = 0
        if call.int("ceil_mode", 0) and (n - taps[i]) % s:
            more = s - (n - taps[i]) % s
            if (n + more - taps[i]) // s * s >= x.dims[2 + i] + low:  # would begin outside
                more = 0
        out.append((size[i], s, dilations[i], low, high + more))
    return out


@handler("AveragePool", "LpPool")
def average_pool(call: Call) -> Result:
    """A sum over windows, divided by what lies inside or by the window."""
    x, size = call.value(0), call.ints("kernel_shape", ())
    axes = len(size)
    strides, dilations = call.ints("strides", (1,) * axes), call.ints("dilations", (1,) * axes)
    windows = _windows(call, x, size, strides, dilations)
    p = call.int("p", 2)
    if call.node.op == "LpPool":
        if p not in (1, 2):
            raise UsageError("a norm other than 1 and 2")
        x = times(call, x, x) if p == 2 else call.net.function("abs", x)  # type: ignore[assignment]
    inside = call.node.op == "AveragePool" and not call.int("count_include_pad", 0)
    out = x
    counts = np.ones([1] * len(x.dims))
    for i, numbers in enumerate(windows):
        axis = 2 + i
        step = Step("window", axis, numbers)
        if inside:
            present = (axis_index(step, x.dims[axis]) >= 0).sum(axis=1)
            shape = [1] * len(x.dims)
            shape[axis] = len(present)
            counts = counts * present.reshape(shape)
        out = call.net.view(out, step, Step("sum", axis + 1))
    if call.node.op == "LpPool":
        return call.net.function("sqrt", out) if p == 2 else out
    if not inside:
        return call.net.scale(out, 1 / prod(size))
    return times(call, out, 1 / counts)


@handler("GlobalAveragePool", "GlobalMaxPool")
def global_pool(call: Call) -> Result:
    """Over all axes of the picture."""
    x = call.value(0)
    axes = tuple(range(2, len(x.dims)))
    if call.node.op == "GlobalMaxPool":
        for axis in axes:
            x = maximum(call, x, axis)
        return x
    return mean_over(call, x, axes, True)
