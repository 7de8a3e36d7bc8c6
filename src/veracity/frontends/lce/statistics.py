"""What the differences of a picture say of its blur and noise, and what follows from it.

All over the whole picture, once: 27 statistics, a small network that reads them, the correction
filter and the corrected picture, and the kernels that later convolutions use.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log2

import numpy as np

from veracity.frontends.lce.assembling import Assembly, Read, Term
from veracity.graph.ops import Function, Log2
from veracity.graph.wires import Step

__all__ = ["CENTRE", "Judgement", "correct", "kernel", "watch"]

#: Scale of pixels around the middle: integers are ``2 byte - 255``, so ``(pixel - 1/2) 2^9`` up to
#: the factor ``UNIT``, which the weights that read them make up for.
CENTRE, UNIT = 9, 512 / 510
DIRECTIONS = ((0, 1), (1, 0), (1, 1), (1, -1))
LAGS = (1, 2, 4)
STATISTICS = 27
#: Rows and columns at each edge where no difference is taken.
EDGE = 4
TAPS = 15
#: Windows at every place, nothing around them.
ONCE = (1, 1, 0, 0)
#: Widest logarithm; scale of logarithms, and of what is made of them.
WIDEST, LOGS, FEATURES, JUDGED = 40, 10, 14, 12
ACTIVATIONS, SHARES, FILTER, KERNEL, CORRECTED = 10, 12, 14, 12, 12


@dataclass(frozen=True)
class Judgement:
    """What is known of a picture.

    Attributes
    ----------
    mixture : Read
        Shares of the basis filters, (12,).
    kernels : Read
        Shares of the kernels' terms, (blocks * 2 * terms,).
    """

    mixture: Read
    kernels: Read


def _moved(x: Read, dy: int, dx: int, size: tuple[int, int]) -> Read:
    rows, columns = size
    return x.through(
        Step("slice", 1, (EDGE + dy, rows - EDGE + dy, 1)),
        Step("slice", 2, (EDGE + dx, columns - EDGE + dx, 1)),
    )


def _channel(x: Read, c: int) -> Read:
    return x.through(Step("slice", 0, (c, c + 1, 1)))


def _at(axis_length: int, index: int) -> Step:
    """A vector of one entry as an entry of a longer one."""
    return Step("pad", 0, (0, index, axis_length - 1 - index))


def watch(net: Assembly, pixels: Read, size: tuple[int, int], unit: Read) -> Judgement:
    """The statistics of a picture and the shares that follow.

    Parameters
    ----------
    net : Assembly
        Where ops go.
    pixels : Read
        The picture around its middle, (3, rows, columns).
    size : tuple of int
        Rows and columns.
    unit : Read
        The weight that is one.
    """
    parts = [_channel(pixels, c).times(k) for c, k in enumerate((1, 2, 1))]
    luma = net.contract("luma", parts, CENTRE)
    luma = Read(luma.x, "value", 0)  # twice R + 2 G + B in levels, up to a constant
    count = (size[0] - 2 * EDGE) * (size[1] - 2 * EDGE)
    totals: list[tuple[Read, int]] = []  # and what keeps its logarithm finite
    offsets: list[float] = []

    def note(name: str, terms: list[Term | Read], unit_size: int, eps: float) -> None:
        """``log2(sum / count + eps)`` where the integers are ``unit_size`` times as large."""
        most = 2 * (8160 if "size" in name else 8160**2 * 2) * count
        shift = max(0, ceil(log2(most)) + 1 - WIDEST)
        total = net.contract(f"{name}.sum", terms, -shift, 48)
        scale = unit_size * count / 2**shift
        totals.append((Read(total.x, "value", 0), max(1, round(eps * scale))))
        offsets.append(log2(scale))

    def squares(name: str, parts: list[tuple[int, int, int]]) -> Read:
        """Note the mean square of a mask: (factor, dy, dx) of each entry."""
        d = net.combine(name, [_moved(luma, dy, dx, size).times(k) for k, dy, dx in parts])
        note(name, [Term("nyx,nyx->n", d, d)], 4, 1.6)
        return d

    for i, (dy, dx) in enumerate(DIRECTIONS):
        for lag in LAGS:
            y, x = lag * dy, lag * dx
            squares(f"first.{i}.{lag}", [(1, y, x), (-1, 0, 0)])
            squares(f"second.{i}.{lag}", [(1, y, x), (-2, 0, 0), (1, -y, -x)])
    line = (1, -2, 1)
    mask = squares(
        "mask", [(a * b, y - 1, x - 1) for y, a in enumerate(line) for x, b in enumerate(line)]
    )
    found = net.add(Function(name="mask.abs", x=mask.x, fn="abs", k_in=0, k_out=0), 0)
    note("mask.size", [found.through(Step("sum", 1), Step("sum", 1))], 2, 1.0)

    features = _features(net, _logarithms(net, totals, unit), offsets, unit)
    hidden = net.contract(
        "est1",
        [Term("k,ok->o", features, net.weight("est1.weight", 10)), net.weight("est1.bias", 12)],
        ACTIVATIONS,
    )
    hidden = net.add(Function(name="est1.relu", x=hidden.x, fn="relu", k_in=0, k_out=0), 10)
    shares = net.contract(
        "est2",
        [Term("k,ok->o", hidden, net.weight("est2.weight", 12)), net.weight("est2.bias", 12)],
        SHARES,
        24,
    )
    outputs, filters = len(net.floats["est2.bias"]), len(net.floats["corrector.basis"])
    return Judgement(
        shares.through(Step("slice", 0, (0, filters, 1))),
        shares.through(Step("slice", 0, (filters, outputs, 1))),
    )


def _logarithms(net: Assembly, totals: list[tuple[Read, int]], unit: Read) -> Read:
    """Those of all sums, each with what is added to it, as one vector."""
    count = len(totals)
    each = [x.through(_at(count, i)) for i, (x, _) in enumerate(totals)]
    added = [
        Read(unit.x, unit.of, 0).through(_at(count, i)).times(more - 1)
        for i, (_, more) in enumerate(totals)
        if more > 1
    ]
    vector = net.combine("sums", [*each, *added])
    op = Log2(name="logs", x=vector.x, eps=1, x_bits=WIDEST, k_out=LOGS)
    return net.add(op, LOGS)


def _features(net: Assembly, logs: Read, offsets: list[float], unit: Read) -> Read:
    """A quarter of each logarithm less the mean of the four at the longest lag, and that mean."""
    count = len(offsets)
    matrix = np.zeros((STATISTICS, count), dtype=np.int64)  # times 2^-4 of a logarithm
    matrix[range(count), range(count)] = 4
    matrix[count - 1] *= 2  # the mean size is squared, to be like the others
    longest = [4, 10, 16, 22]
    matrix[:count, longest] -= 1
    matrix[-1, longest] = 1
    constant = np.round(-(matrix / 16) @ offsets * 2.0**FEATURES).astype(np.int64)
    constant[-1] -= round(10 / 4 * 2**FEATURES)
    vector = Read(logs.x, "value", FEATURES)

    def taps(rows: np.ndarray) -> Step:
        return Step("taps", 0, (len(rows), *rows.reshape(-1).tolist()))

    shift = Read(unit.x, unit.of, FEATURES)
    made = net.contract(
        "features.sum", [vector.through(taps(matrix)), shift.through(taps(constant))], JUDGED
    )
    # no photograph goes beyond, and nobody knows what the network makes of what does
    clipped = Function(name="features", x=made.x, fn="clip(-3;1.5)", k_in=JUDGED, k_out=JUDGED)
    return net.add(clipped, JUDGED)


def correct(
    net: Assembly, pixels: Read, size: tuple[int, int], judgement: Judgement
) -> tuple[Read, Read]:
    """The corrected picture (3, rows, columns) and the filter, (15, 15).

    Parameters
    ----------
    net : Assembly
        Where ops go.
    pixels : Read
        The picture around its middle, (3, rows, columns).
    size : tuple of int
        Rows and columns.
    judgement : Judgement
        What is known of it.
    """
    real = net.floats["corrector.basis"].astype(np.float64)
    exponent = 11
    basis = np.round((real - real.mean((1, 2), keepdims=True)) * 2.0**exponent)
    basis[:, TAPS // 2, TAPS // 2] -= basis.sum((1, 2))  # flat areas stay as they are, exactly
    read = net.weight("corrector.basis", exponent, basis * 2.0**-exponent)
    h = net.contract("filter", [Term("k,kuv->uv", judgement.mixture, read)], FILTER, 24)
    half = TAPS // 2
    framed = pixels.through(Step("pad", 1, (2, half, half)), Step("pad", 2, (2, half, half)))
    rows = [
        Term(
            "cyxv,v->cyx",
            framed.through(Step("slice", 1, (u, u + size[0], 1)), Step("window", 2, (TAPS, *ONCE))),
            h.through(Step("slice", 0, (u, u + 1, 1)), Step("sum", 0)),
        )
        for u in range(TAPS)  # one row of the filter at a time holds a fifteenth of the windows
    ]
    made = net.contract("corrected.sum", [*rows, pixels], CORRECTED)
    # a filter made for photographs may overshoot on drawings, beyond what the network knows
    clipped = Function(name="corrected", x=made.x, fn="clip(-1;1)", k_in=CORRECTED, k_out=CORRECTED)
    return net.add(clipped, CORRECTED), h


def kernel(net: Assembly, name: str, shares: Read) -> Read:
    """A kernel (out, in, 3, 3) made of its terms, for this picture.

    Parameters
    ----------
    net : Assembly
        Where ops go.
    name : str
        Of the convolution.
    shares : Read
        Of the terms.
    """
    terms = np.asarray(net.floats[f"{name}.terms"])
    flat = terms.reshape(-1, *terms.shape[2:])
    each = net.weight(f"{name}.terms", 13, flat).through(Step("split", 0, terms.shape[:2]))
    base = net.weight(f"{name}.weight", 13)
    return net.contract(f"{name}.kernel", [Term("k,kocuv->ocuv", shares, each), base], KERNEL, 24)
