"""ONNX ops that only arrange entries: they become steps of wires."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.errors import UsageError
from veracity.frontends.onnx.calls import Call, Result, handler
from veracity.frontends.onnx.floats import Sym
from veracity.frontends.onnx.folding import axes_of, slices_of, target_shape
from veracity.frontends.onnx.ops_choice import MAX_PLACES, one_hot
from veracity.graph.wires import Step

Array = NDArray[Any]
#: Weights of a cubic interpolation, as most exporters mean it.
CUBIC = -0.75


@handler("Identity", "Dropout", "Cast", "CastLike")
def identity(call: Call) -> Result:
    """The same values; a cast to integers cuts off towards zero."""
    if call.node.op == "Dropout" and call.has(2) and bool(call.array(2)):
        raise UsageError("training mode; export for inference")
    kind = call.node.attributes.get("to", 1)
    x = call.value(0)
    if call.node.op == "Cast" and kind not in (1, 10, 11, 16) and not call.integers:
        if kind == 9:
            nothing = call.net.function("zero", x)
            return call.net.sum(call.net.constant(np.ones(x.dims)), call.net.scale(nothing, -1.0))
        truncated = [call.net.function("floor", call.net.function("relu", part))
                     for part in (x, call.net.scale(x, -1.0))]  # fmt: skip
        return call.net.sum(truncated[0], call.net.scale(truncated[1], -1.0))
    return x


@handler("Reshape", lazy=True)
def reshape(call: Call) -> Result:
    """Other dims; a merge waits for its reader."""
    x = call.any(0)
    wanted = call.setting(1, "shape")
    if not isinstance(x, Sym) or wanted is None:
        raise UsageError("without a shape")
    zero = bool(call.int("allowzero", 0))
    return call.net.reshape(x, target_shape(x.dims, wanted, zero))


@handler("Flatten", lazy=True)
def flatten(call: Call) -> Result:
    """Two axes."""
    x = call.any(0)
    if not isinstance(x, Sym):
        raise UsageError("a constant")
    axis = call.int("axis", 1)
    axis = axis + len(x.dims) if axis < 0 else axis
    rows = int(np.prod(x.dims[:axis], dtype=np.int64))
    return call.net.reshape(x, (rows, int(np.prod(x.dims[axis:], dtype=np.int64))))


@handler("Squeeze")
def squeeze(call: Call) -> Result:
    """Without axes of length 1."""
    x = call.value(0)
    axes = axes_of(call.node, _constants(call), 1)
    gone = {a % len(x.dims) for a in axes} if axes is not None else {
        i for i, d in enumerate(x.dims) if d == 1
    }  # fmt: skip
    return call.net.view(x, *[Step("sum", a) for a in sorted(gone, reverse=True)])


@handler("Unsqueeze")
def unsqueeze(call: Call) -> Result:
    """With further axes of length 1."""
    x = call.value(0)
    axes = axes_of(call.node, _constants(call), 1) or ()
    total = len(x.dims) + len(axes)
    return call.net.view(x, *[Step("repeat", a, (1,)) for a in sorted(a % total for a in axes)])


def _constants(call: Call) -> list[Array | None]:
    return [x if isinstance(x, np.ndarray) else None for x in call.given]


@handler("Transpose")
def transpose(call: Call) -> Result:
    """Axes in another order."""
    x = call.value(0)
    order = call.ints("perm", tuple(reversed(range(len(x.dims)))))
    return call.net.view(x, Step("permute", 0, order))


@handler("Slice")
def slice_(call: Call) -> Result:
    """Part of some axes, forwards or backwards."""
    x = call.value(0)
    for i in range(1, len(call.given)):
        call.optional_array(i)
    for axis, start, stop, step in slices_of(call.node, _constants(call), x.dims):
        indices = range(start, stop, step)
        if not indices:
            raise UsageError("an empty result")
        if step > 0:
            x = call.net.view(x, Step("slice", axis, (start, stop, step)))
        else:
            x = call.net.view(x, Step("pick", axis, tuple(indices)))
    return x


@handler("Split")
def split(call: Call) -> Result:
    """Parts of an axis."""
    x = call.value(0)
    axis = call.int("axis", 0) % len(x.dims)
    sizes = call.setting(1, "split")
    count = len(call.node.outputs)
    n = x.dims[axis]
    if sizes is None:
        part = -(-n // count)
        sizes = np.asarray([min(part, n - i * part) for i in range(count)])
    ends = np.cumsum(sizes).tolist()
    return [
        call.net.view(x, Step("slice", axis, (end - int(size), end, 1)))
        for end, size in zip(ends, sizes, strict=True)
    ]


@handler("Concat")
def concat(call: Call) -> Result:
    """A sum of operands that zeros surround."""
    parts = [call.value(i) for i in range(len(call.given))]
    axis = call.int("axis", 1) % len(parts[0].dims)
    total, at, placed = sum(p.dims[axis] for p in parts), 0, []
    for part in parts:
        n = part.dims[axis]
        placed.append(call.net.view(part, Step("pad", axis, (0, at, total - at - n))))
        at += n
    return call.net.sum(*placed)


@handler("Pad")
def pad(call: Call) -> Result:
    """Zeros, a constant, the edge or a reflection."""
    x, mode = call.value(0), call.text("mode", "constant")
    pads = call.setting(1, "pads")
    pads = np.asarray(call.ints("paddings", ())) if pads is None else pads
    value = call.setting(2, "value")
    if mode not in ("constant", "edge", "reflect", "wrap"):
        raise UsageError(f"padding {mode!r}")
    rank = len(x.dims)
    axes = [int(a) % rank for a in call.array(3)] if call.has(3) else list(range(rank))
    pads = np.array(pads)
    kind = {"constant": 0, "edge": 1, "reflect": 2, "wrap": 3}[mode]
    steps = []
    for i, axis in enumerate(axes):
        low, high = int(pads[i]), int(pads[len(axes) + i])
        if min(low, high) < 0:  # crops
            stop = x.dims[axis] + min(0, high)
            x = call.net.view(x, Step("slice", axis, (max(0, -low), stop, 1)))
            low, high = max(0, low), max(0, high)
            pads[i], pads[len(axes) + i] = low, high
        if kind == 3 and (low or high):
            n = x.dims[axis]
            steps.append(Step("pick", axis, tuple((j % n) for j in range(-low, n + high))))
        elif low or high:
            steps.append(Step("pad", axis, (kind, low, high)))
    out = call.net.view(x, *steps)
    if kind == 0 and value is not None and value.size and float(value.reshape(-1)[0]):
        outside = np.full(out.dims, float(value.reshape(-1)[0]))
        outside[tuple(slice(int(pads[axes.index(a)]) if a in axes else 0,
                            (int(pads[axes.index(a)]) if a in axes else 0) + x.dims[a])
                      for a in range(rank))] = 0  # fmt: skip
        out = call.net.sum(out, call.net.constant(outside))
    return out


@handler("Expand")
def expand(call: Call) -> Result:
    """Repeat along axes."""
    x = call.value(0)
    shape = tuple(int(n) for n in call.array(1))
    return call.net.broadcast(x, tuple(np.broadcast_shapes(x.dims, shape)))


@handler("Tile")
def tile(call: Call) -> Result:
    """Again and again along axes."""
    x = call.value(0)
    counts = [int(n) for n in call.array(1)]
    steps = [Step("tile", axis, (n,)) for axis, n in enumerate(counts) if n != 1]
    return call.net.view(x, *steps)


@handler("Gather")
def gather(call: Call) -> Result:
    """Entries by indices."""
    if isinstance(call.any(1), Sym):
        return gather_by_value(call)
    x, index = call.value(0), call.array(1)
    axis = call.int("axis", 0) % len(x.dims)
    found = np.where(index < 0, index + x.dims[axis], index)
    if found.min() < 0:
        raise UsageError("an index outside")
    out = call.net.view(x, Step("pick", axis, tuple(int(i) for i in found.reshape(-1))))
    if index.ndim == 0:
        return call.net.view(out, Step("sum", axis))
    return out if index.ndim == 1 else call.net.view(out, Step("split", axis, index.shape))


def gather_by_value(call: Call) -> Sym:
    """Entries by indices that depend on the data: by comparing with every place."""
    table, index, net = call.value(0), call.value(1), call.net
    axis = call.int("axis", 0) % len(table.dims)
    chosen = one_hot(call, index, table.dims[axis])
    letters, rest = "abcdefgh"[: len(index.dims)], "stuvwxy"[: len(table.dims) - 1]
    before, behind = rest[:axis], rest[axis:]
    spec = f"{letters}z,{before}z{behind}->{before}{letters}{behind}"
    dims = (*table.dims[:axis], *index.dims, *table.dims[axis + 1 :])
    return net.chosen((spec, net.ref(chosen), net.ref(table)), dims)


@handler("OneHot")
def one_hot_op(call: Call) -> Result:
    """Two values, by comparing an index with every place."""
    index, depth, values = call.value(0), int(call.array(1).reshape(-1)[0]), call.array(2)
    last = len(index.dims)
    axis = call.int("axis", -1) % (last + 1)
    if not 1 <= depth <= MAX_PLACES:
        raise UsageError(f"a depth beyond {MAX_PLACES}")
    off, on = (float(v) for v in values)
    out = one_hot(call, index, depth)
    order = [*range(axis), last, *range(axis, last)]
    out = call.net.view(out, Step("permute", 0, tuple(order)))
    scaled = call.net.scale(out, on - off)
    return call.net.sum(scaled, call.net.constant(np.full(out.dims, off))) if off else scaled


@handler("DepthToSpace")
def depth_to_space(call: Call) -> Result:
    """Channels become blocks of the picture."""
    x, b = call.value(0), call.int("blocksize", 1)
    n, c, h, w = x.dims
    deep = c // (b * b)
    if call.text("mode", "DCR") == "DCR":
        parts = call.net.view(x, Step("split", 1, (b, b, deep)))
        turned = call.net.view(parts, Step("permute", 0, (0, 3, 4, 1, 5, 2)))
    else:
        parts = call.net.view(x, Step("split", 1, (deep, b, b)))
        turned = call.net.view(parts, Step("permute", 0, (0, 1, 4, 2, 5, 3)))
    return call.net.reshape(turned, (n, deep, h * b, w * b))


@handler("SpaceToDepth")
def space_to_depth(call: Call) -> Result:
    """Blocks of the picture become channels."""
    x, b = call.value(0), call.int("blocksize", 1)
    n, c, h, w = x.dims
    parts = call.net.view(x, Step("split", 3, (w // b, b)), Step("split", 2, (h // b, b)))
    turned = call.net.view(parts, Step("permute", 0, (0, 3, 5, 1, 2, 4)))
    return call.net.reshape(turned, (n, c * b * b, h // b, w // b))


@handler("Trilu")
def trilu(call: Call) -> Result:
    """One triangle of the last two axes."""
    from veracity.frontends.onnx.ops_linear import times

    x = call.value(0)
    k = int(call.array(1)) if call.has(1) else 0
    mask = np.ones(x.dims[-2:])
    return times(call, x, np.triu(mask, k) if call.int("upper", 1) else np.tril(mask, k))


@handler("Resize", "Upsample")
def resize(call: Call) -> Result:
    """By a matrix on each axis: nearest or linear; by repetition where that says the same."""
    x, mode = call.value(0), call.text("mode", "nearest")
    scales = call.setting(1 if call.node.op == "Upsample" or call.opset < 11 else 2, "scales")
    if scales is not None and scales.size:
        out = [int(np.floor(d * float(s))) for d, s in zip(x.dims, scales, strict=True)]
        ratio = [float(s) for s in scales]
    elif call.has(3):
        out = [int(n) for n in call.array(3)]
        ratio = [n / d for n, d in zip(out, x.dims, strict=True)]
    else:
        raise UsageError("neither scales nor sizes")
    where = call.text("coordinate_transformation_mode", "half_pixel")
    if call.opset < 11:
        where = "asymmetric"
    for axis, (n, d, s) in enumerate(zip(out, x.dims, ratio, strict=True)):
        if n == d:
            continue
        at = _coordinates(where, n, d, s)
        if mode == "nearest":
            index = _nearest(call.text("nearest_mode", "round_prefer_floor"), at, call.opset)
            picks = np.clip(index, 0, d - 1).astype(int)
            x = call.net.view(x, Step("pick", axis, tuple(picks.tolist())))
        elif mode == "linear":
            x = _linear(call, x, axis, np.clip(at, 0, d - 1))
        elif mode == "cubic" and not call.int("exclude_outside", 0):
            x = _cubic(call, x, axis, at)
        else:
            raise UsageError(f"interpolation {mode!r}")
    return x


def _coordinates(where: str, n: int, d: int, s: float) -> Array:
    i = np.arange(n, dtype=np.float64)
    if where == "half_pixel" or (where == "pytorch_half_pixel" and n > 1):
        return (i + 0.5) / s - 0.5
    if where == "pytorch_half_pixel":
        return i * 0
    if where == "asymmetric":
        return i / s
    if where == "align_corners":
        return i * (d - 1) / max(n - 1, 1)
    raise UsageError(f"coordinates {where!r}")


def _nearest(mode: str, at: Array, opset: int) -> Array:
    if opset < 11 or mode == "floor":
        return np.floor(at + 1e-9)
    if mode == "ceil":
        return np.ceil(at - 1e-9)
    if mode == "round_prefer_ceil":
        return np.floor(at + 0.5)
    return np.ceil(at - 0.5)


def _cubic(call: Call, x: Sym, axis: int, at: Array) -> Sym:
    """Between four neighbours, edges repeated, by integers at 2^-12."""
    a, d = call.float("cubic_coeff_a", CUBIC), x.dims[axis]
    low = np.floor(at).astype(int)
    t = at - low
    near = [  # at distances 1 + t, t, 1 - t and 2 - t
        ((a * (t + 1) - 5 * a) * (t + 1) + 8 * a) * (t + 1) - 4 * a,
        ((a + 2) * t - (a + 3)) * t * t + 1,
        ((a + 2) * (1 - t) - (a + 3)) * (1 - t) ** 2 + 1,
    ]
    near.append(1 - sum(near))
    matrix = np.zeros((len(at), d), dtype=int)
    for k, weight in enumerate(near):
        shares = np.floor(weight * 4096 + 0.5).astype(int)
        np.add.at(matrix, (np.arange(len(at)), np.clip(low + k - 1, 0, d - 1)), shares)
    step = Step("taps", axis, (len(at), *matrix.reshape(-1).tolist()))
    return call.net.scale(call.net.view(x, step), 2.0**-12)


def _linear(call: Call, x: Sym, axis: int, at: Array) -> Sym:
    """Between two neighbours, by integers at 2^-12."""
    low = np.floor(at).astype(int)
    share = np.floor((at - low) * 4096 + 0.5).astype(int)
    matrix = np.zeros((len(at), x.dims[axis]), dtype=int)
    rows = np.arange(len(at))
    np.add.at(matrix, (rows, low), 4096 - share)
    np.add.at(matrix, (rows, np.minimum(low + 1, x.dims[axis] - 1)), share)
    step = Step("taps", axis, (len(at), *matrix.reshape(-1).tolist()))
    return call.net.scale(call.net.view(x, step), 2.0**-12)
