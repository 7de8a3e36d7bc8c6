"""ONNX ops that read pictures at given places: by products with weights of each axis."""

from __future__ import annotations

from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.errors import UsageError
from veracity.frontends.onnx.calls import Call, Result, handler
from veracity.frontends.onnx.floats import Sym
from veracity.frontends.onnx.ops_choice import MAX_COMPARED, one_hot
from veracity.frontends.onnx.ops_linear import minus, plus
from veracity.graph.wires import Step

Array = NDArray[Any]
#: Weights of a cubic interpolation; most samples of a part of a region.
CUBIC, MAX_TAPS = -0.75, 1 << 10


# ---- places that a grid gives ------------------------------------------------------------------
def _reflected(at: Array, size: int, corners: bool) -> Array:
    """Coordinates turned back at the borders."""
    low, span = (0.0, float(size - 1)) if corners else (-0.5, float(size))
    if span == 0:
        return np.zeros_like(at)
    turned = np.abs(at - low) % (2 * span)
    return low + np.where(turned > span, 2 * span - turned, turned)


def _near(mode: str, at: Array) -> list[tuple[Array, Array]]:
    """Pixels that are read, and their weights."""
    if mode == "nearest":
        return [(np.round(at), np.ones_like(at))]
    low = np.floor(at)
    t = at - low
    if mode in ("linear", "bilinear"):
        return [(low, 1 - t), (low + 1, t)]
    if mode not in ("cubic", "bicubic"):
        raise UsageError(f"interpolation {mode!r}")
    a = CUBIC
    outer = [((a * (d + 1) - 5 * a) * (d + 1) + 8 * a) * (d + 1) - 4 * a for d in (t, 1 - t)]
    inner = [((a + 2) * d - (a + 3)) * d * d + 1 for d in (t, 1 - t)]
    return [(low - 1, outer[0]), (low, inner[0]), (low + 1, inner[1]), (low + 2, outer[1])]


def _constant_weights(call: Call, at: Array, size: int) -> Array:
    """Weights of all pixels of an axis for each place, (.., size)."""
    outside, corners = call.text("padding_mode", "zeros"), bool(call.int("align_corners", 0))
    mode = call.text("mode", "bilinear")
    if at.size * size > MAX_COMPARED:
        raise UsageError(f"more than {MAX_COMPARED} places for all pixels of an axis")
    if outside == "border" and "cubic" not in mode:
        at = np.clip(at, 0, size - 1)
    elif outside == "reflection" and "cubic" not in mode:
        at = np.clip(_reflected(at, size, corners), 0, size - 1)
    out = np.zeros((*at.shape, size))
    for pixel, weight in _near(mode, at):
        if outside == "border":
            pixel = np.clip(pixel, 0, size - 1)
        elif outside == "reflection":
            pixel = np.clip(np.round(_reflected(pixel, size, corners)), 0, size - 1)
        inside = (pixel >= 0) & (pixel < size)
        rows = pixel[..., None] == np.arange(size)
        out += rows * (weight * inside)[..., None]
    return out


def _computed_weights(call: Call, at: Sym, size: int) -> Sym:
    """The same where places depend on the data: ``relu(1 - |at - pixel|)``, or 1 at the nearest."""
    net, mode = call.net, call.text("mode", "bilinear")
    outside = call.text("padding_mode", "zeros")
    if np.prod(at.dims) * size > MAX_COMPARED:
        raise UsageError(f"more than {MAX_COMPARED} places for all pixels of an axis")
    if outside == "border":
        at = net.function(f"clip(0;{size - 1})", at)
    elif outside != "zeros":
        raise UsageError(f"what lies outside by {outside!r}, at places that depend on the data")
    if mode == "nearest":
        return one_hot(call, net.function("round", at), size)
    if mode not in ("linear", "bilinear"):
        raise UsageError(f"interpolation {mode!r} at places that depend on the data")
    spread = net.view(at, Step("repeat", len(at.dims), (size,)))
    far = net.function("abs", minus(call, spread, np.broadcast_to(
        np.arange(size, dtype=np.float64), spread.dims)))  # fmt: skip
    return net.function("relu", plus(call, np.ones(spread.dims), net.scale(far, -1.0)))


@handler("GridSample")
def grid_sample(call: Call) -> Result:
    """One axis of the picture after the other, each with the weights that the grid gives."""
    x, grid, net = call.value(0), call.any(1), call.net
    dims = grid.dims if isinstance(grid, Sym) else grid.shape
    axes = len(x.dims) - 2
    if axes not in (2, 3) or len(dims) != len(x.dims) or dims[-1] != axes or dims[0] != x.dims[0]:
        raise UsageError("a grid that does not fit the picture")
    places = int(np.prod(dims[1:-1]))
    flat: Sym | Array = (
        net.force(net.reshape(grid, (dims[0], places, axes)))
        if isinstance(grid, Sym)
        else grid.reshape(dims[0], places, axes).astype(np.float64)
    )
    letters, found, done = "hwd"[:axes], x, ""
    for i in reversed(range(axes)):  # the last axis of the picture is the grid's first number
        size, column = x.dims[2 + i], axes - 1 - i
        factor, shift = ((size - 1) / 2, (size - 1) / 2) if call.int("align_corners", 0) else (
            size / 2, (size - 1) / 2)  # fmt: skip
        if isinstance(flat, Sym):
            one = net.view(flat, Step("slice", 2, (column, column + 1, 1)), Step("sum", 2))
            scaled = net.scale(one, factor) if factor else net.scale(one, 1.0)
            at = net.settled(plus(call, scaled, np.full(one.dims, shift)))
            weights = net.ref(_computed_weights(call, at, size))
        else:
            weights = net.constant(
                _constant_weights(call, flat[..., column] * factor + shift, size)
            ).terms[0]
        left = letters[:i]
        spec = f"nc{letters[: i + 1]}{done},np{letters[i]}->nc{left}p"
        made = (*x.dims[:2], *x.dims[2 : 2 + i], places)
        found = net.linear([(spec, net.ref(found), weights)], (), made)
        done = "p"
    return net.reshape(found, (*x.dims[:2], *dims[1:-1]))


@handler("AffineGrid")
def affine_grid(call: Call) -> Result:
    """Coordinates of all pixels, moved by matrices."""
    theta, size = call.value(0), [int(n) for n in call.array(1).reshape(-1)]
    axes = len(size) - 2
    if axes not in (2, 3) or theta.dims != (size[0], axes, axes + 1) or min(size) < 1 or (
        np.prod(size) > MAX_COMPARED
    ):  # fmt: skip
        raise UsageError("matrices that do not fit the picture")
    lines = [np.linspace(-1, 1, n) if call.int("align_corners", 0) and n > 1
             else (2 * np.arange(n) + 1) / n - 1 for n in size[2:]]  # fmt: skip
    grids = np.meshgrid(*lines, indexing="ij")[::-1]
    base = np.stack([*grids, np.ones(size[2:])], -1)
    letters = "hwd"[:axes]
    product = (
        f"nkj,{letters}j->n{letters}k",
        call.net.ref(theta),
        call.net.constant(base).terms[0],
    )
    return call.net.linear([product], (), (size[0], *size[2:], axes))


# ---- parts of pictures -------------------------------------------------------------------------
@handler("RoiAlign")
def regions(call: Call) -> Result:
    """Means of samples in regions that are constant."""
    x, net = call.value(0), call.net
    boxes, batch = call.array(1).astype(np.float64), call.array(2).astype(int)
    if call.text("mode", "avg") != "avg":
        raise UsageError("regions whose largest sample is wanted")
    if boxes.ndim != 2 or boxes.shape[1] != 4 or len(batch) != len(boxes) or not len(boxes):
        raise UsageError("regions that are none")
    half = call.text("coordinate_transformation_mode",
                     "half_pixel" if call.opset >= 16 else "output_half_pixel")  # fmt: skip
    shift, ratio = (0.5 if half == "half_pixel" else 0.0), call.int("sampling_ratio", 0)
    scaled = boxes * call.float("spatial_scale", 1.0) - shift
    weights = []
    for axis, column in ((3, 0), (2, 1)):
        count = call.int("output_width" if axis == 3 else "output_height", 1)
        size = x.dims[axis]
        if count < 1 or not 0 <= ratio <= MAX_TAPS:
            raise UsageError("samples that are none, or too many")
        if count * size * len(boxes) > MAX_COMPARED:
            raise UsageError(f"more than {MAX_COMPARED} places for all pixels of an axis")
        rows = np.zeros((len(boxes), count, size))
        for r, (low, high) in enumerate(scaled[:, [column, column + 2]]):
            span = high - low if shift else max(high - low, 1.0)
            taps = ratio or max(1, ceil(span / count))
            if taps > MAX_TAPS:
                raise UsageError("samples that are none, or too many")
            at = low + span / count * (np.arange(count)[:, None] + (np.arange(taps) + 0.5) / taps)
            valid = (at >= -1) & (at <= size)
            for pixel, weight in _near("linear", np.clip(at, 0, size - 1)):
                hit = np.minimum(pixel, size - 1)[..., None] == np.arange(size)
                rows[r] += (hit * (weight * valid)[..., None]).mean(1)
        weights.append(net.constant(rows).terms[0])
    chosen = net.view(x, Step("pick", 0, tuple(batch.tolist())))
    wide = net.linear([("rchw,rqw->rchq", net.ref(chosen), weights[0])], (),
                      (*chosen.dims[:3], call.int("output_width", 1)))  # fmt: skip
    return net.linear([("rchq,rph->rcpq", net.ref(wide), weights[1])], (),
                      (*chosen.dims[:2], call.int("output_height", 1), wide.dims[3]))  # fmt: skip


@handler("CenterCropPad")
def centred(call: Call) -> Result:
    """The middle of an axis, or zeros on both sides of it."""
    x = call.value(0)
    rank = len(x.dims)
    wanted = [int(n) for n in call.array(1).reshape(-1)]
    axes = [a % rank for a in call.ints("axes", tuple(range(rank)))]
    for axis, n in zip(axes, wanted, strict=True):
        size = x.dims[axis]
        if n < 1:
            raise UsageError("an empty result")
        if n < size:
            low = (size - n) // 2
            x = call.net.view(x, Step("slice", axis, (low, low + n, 1)))
        elif n > size:
            low = (n - size) // 2
            x = call.net.view(x, Step("pad", axis, (0, low, n - size - low)))
    return x


@handler("Col2Im")
def columns_to_picture(call: Call) -> Result:
    """Blocks put where they come from, and summed where they overlap."""
    x, net = call.value(0), call.net
    image, block = ([int(n) for n in call.array(i).reshape(-1)] for i in (1, 2))
    axes = len(image)
    strides, dilations = call.ints("strides", (1,) * axes), call.ints("dilations", (1,) * axes)
    pads = call.ints("pads", (0,) * 2 * axes)
    if len(x.dims) != 3 or len(block) != axes or not 1 <= axes <= 3 or min(*image, *block) < 1:
        raise UsageError("blocks that do not fit the picture")
    counts = [(image[i] + pads[i] + pads[axes + i] - dilations[i] * (block[i] - 1) - 1)
              // strides[i] + 1 for i in range(axes)]  # fmt: skip
    channels = x.dims[1] // int(np.prod(block))
    if (channels * int(np.prod(block)), int(np.prod(counts))) != x.dims[1:] or min(counts) < 1:
        raise UsageError("blocks that do not fit the picture")
    split = net.view(x, Step("split", 2, tuple(counts)), Step("split", 1, (channels, *block)))
    blocks, steps, made = "abe"[:axes], "ijk"[:axes], "hwd"[:axes]
    left, read = split, f"nc{blocks}{steps}"
    for i in range(axes):
        if image[i] * block[i] * counts[i] > MAX_COMPARED:
            raise UsageError("blocks of too large a picture")
        at = (np.arange(block[i])[:, None] * dilations[i] + np.arange(counts[i]) * strides[i]
              - pads[i])  # fmt: skip
        kernel = net.constant((np.arange(image[i])[:, None, None] == at).astype(np.float64))
        out = read.replace(blocks[i], "").replace(steps[i], "") + made[i]
        sizes = {**dict(zip(read, left.dims, strict=True)), made[i]: image[i]}
        spec = f"{read},{made[i]}{blocks[i]}{steps[i]}->{out}"
        left = net.linear([(spec, net.ref(left), kernel.terms[0])], (),
                          tuple(sizes[c] for c in out))  # fmt: skip
        read = out
    return left


@handler("MaxUnpool")
def unpool(call: Call) -> Result:
    """Entries put at numbered places, zeros elsewhere."""
    x, net = call.value(0), call.net
    size = call.ints("kernel_shape", ())
    strides, pads = call.ints("strides", (1,) * len(size)), call.ints("pads", (0,) * 2 * len(size))
    sides = zip(x.dims[2:], strides, size, pads[: len(size)], pads[len(size) :], strict=True)
    usual = [(n - 1) * s + k - low - high for n, s, k, low, high in sides]
    dims = (*x.dims[:2], *usual)
    index, total, count = call.any(1), int(np.prod(dims)), int(np.prod(x.dims))
    if call.has(2) and tuple(int(n) for n in call.array(2)) != dims:
        raise UsageError("places of a picture of another size")
    if total < 1 or total * count > MAX_COMPARED:
        raise UsageError(f"more than {MAX_COMPARED} places for all entries")
    flat = net.force(net.reshape(x, (count,)))
    hit = (
        one_hot(call, net.force(net.reshape(index, (count,))), total)
        if isinstance(index, Sym)
        else net.constant((index.reshape(-1, 1) == np.arange(total)).astype(np.float64))
    )
    put = net.linear([("i,iz->z", net.ref(flat), net.ref(hit))], (), (total,))
    return net.reshape(put, dims)
