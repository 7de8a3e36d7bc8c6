"""ONNX's Fourier transforms, as products with constant matrices of cosines and sines."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.errors import UsageError
from veracity.frontends.onnx.calls import Call, Result, handler
from veracity.frontends.onnx.floats import Sym
from veracity.graph.wires import Step

Array = NDArray[Any]
#: Most entries of a matrix.
MAX_ENTRIES = 1 << 22


def _matrix(n: int, length: int, frequencies: int, inverse: bool) -> Array:
    """``(frequencies, n, from, to)``: real and imaginary parts against each other.

    Parameters
    ----------
    n : int
        Entries that are read; those up to the length are zero.
    length : int
        Of the transform.
    frequencies : int
        How many are wanted.
    inverse : bool
        Whether it is the inverse.
    """
    if frequencies * n > MAX_ENTRIES:
        raise UsageError(f"a transform of more than {MAX_ENTRIES} products")
    turn = 2 * np.pi * np.outer(np.arange(frequencies), np.arange(n)) / length
    sign = 1.0 if inverse else -1.0
    real, imaginary = np.cos(turn), sign * np.sin(turn)
    out = np.stack([np.stack([real, imaginary], -1), np.stack([-imaginary, real], -1)], -2)
    return out / length if inverse else out


@handler("DFT")
def transform(call: Call) -> Result:
    """Along one axis; the last axis has real and imaginary parts, or real ones only."""
    x, net = call.value(0), call.net
    rank = len(x.dims)
    given = int(call.array(2).reshape(-1)[0]) if call.has(2) else (-2 if call.opset >= 20 else 1)
    axis = (call.int("axis", given) if call.opset < 20 else given) % rank
    length = int(call.array(1).reshape(-1)[0]) if call.has(1) else x.dims[axis]
    inverse = bool(call.int("inverse", 0))
    if axis == rank - 1 or x.dims[-1] not in (1, 2) or length < 1:
        raise UsageError("other than real and imaginary parts along the last axis")
    half = bool(call.int("onesided", 0))
    if half and (inverse or x.dims[-1] == 2):
        raise UsageError("half of the frequencies of complex numbers")
    n = min(length, x.dims[axis])
    if n < x.dims[axis]:
        x = net.view(x, Step("slice", axis, (0, n, 1)))
    count = length // 2 + 1 if half else length
    kernel = _matrix(n, length, count, inverse)[:, :, : x.dims[-1]]
    letters = "abcdefgh"[:rank]
    before, at, after = letters[:axis], letters[axis], letters[axis + 1 : -1]
    spec = f"{letters},k{at}{letters[-1]}z->{before}k{after}z"
    dims = (*x.dims[:axis], count, *x.dims[axis + 1 : -1], 2)
    return net.linear([(spec, net.ref(x), net.constant(kernel).terms[0])], (), dims)


@handler("STFT")
def short_time(call: Call) -> Result:
    """Transforms of windows of a signal."""
    x, net = call.value(0), call.net
    step = int(call.array(1).reshape(-1)[0])
    window = call.optional_array(2)
    size = int(call.array(3).reshape(-1)[0]) if call.has(3) else (
        window.size if window is not None else 0)  # fmt: skip
    if len(x.dims) == 3:
        if x.dims[2] != 1:
            raise UsageError("windows of complex numbers")
        x = net.view(x, Step("sum", 2))
    if step < 1 or not 1 <= size <= x.dims[1] or (window is not None and window.size != size):
        raise UsageError("windows that do not fit the signal")
    frames: Sym = net.view(x, Step("window", 1, (size, step, 1, 0, 0)))
    count = size // 2 + 1 if call.int("onesided", 1) else size
    kernel = _matrix(size, size, count, False)[:, :, 0]
    if window is not None:
        kernel = kernel * window.astype(np.float64).reshape(1, -1, 1)
    dims = (x.dims[0], frames.dims[1], count, 2)
    return net.linear([("npt,ktz->npkz", net.ref(frames), net.constant(kernel).terms[0])], (), dims)
