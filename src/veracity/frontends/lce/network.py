"""The network LCE for a picture of a size, as a program over integers.

What it computes, in floats, is in ``docs/vision.md``. Values around here are (tiles down, tiles
across, channels, rows, columns); letters of contractions are ``j i c y x`` for these, ``u v`` for
taps, ``h d`` for heads and channels of a head, ``k`` for frequencies along a row.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from veracity.frontends.lce.assembling import Assembly, Read, Term
from veracity.frontends.lce.layout import Layout
from veracity.frontends.lce.statistics import CENTRE, UNIT, Judgement, correct, kernel, watch
from veracity.graph import Output, Port, Program
from veracity.graph.ops import Function, Reshape, Rsqrt, Softmax
from veracity.graph.wires import Step, Wire

__all__ = ["BLOCKS", "SCALE", "TERMS", "build"]

#: How much larger a picture becomes; blocks; terms of a kernel.
SCALE, BLOCKS, TERMS = 2, 4, 3
#: Channels of the residual stream, and of the frequency branch; heads of attention.
CHANNELS, MAPS, HEADS = 16, 8, 2
#: Scales: activations; the frequency branch's spectrum; public matrices of the transform; gates.
ACTIVATIONS, SPECTRUM, TRANSFORM, GATE = 10, 7, 9, 12
#: Scales of attention over channels: Gram matrices and what they give, roots, scores, mixtures.
GRAM, ROOT, SCORES, MIXER = 15, 10, 12, 12
#: Added to the diagonals, for channels that are black.
BLACK = 1e-3
#: 16-bit windows of 3 taps.
_CONV: Wire = (Step("window", 3, (3, 1, 1, 1, 1)), Step("window", 5, (3, 1, 1, 1, 1)))
_CONV_SPEC = "jicyuxv,ocuv->jioyx"
#: Weights of the four nearest pixels of an enlarged one, times 128.
BICUBIC = (-3, 29, 111, -9)
COS, SIN = 0, 1


def build(
    floats: Mapping[str, NDArray[np.floating]],
    height: int,
    width: int,
    tile: int,
    show_filter: bool = False,
) -> tuple[Program, dict[str, NDArray[np.integer]]]:
    """The program for pictures of one size, and its integer weights.

    Parameters
    ----------
    floats : mapping
        Weights of the trained network by name.
    height, width : int
        Of the picture to be enlarged, in pixels.
    tile : int
        Most pixels of a side that is computed at once.
    show_filter : bool
        Whether the correction filter is an output, too.

    Returns
    -------
    program : Program
        Input ``picture`` (3, height, width), output ``enlarged`` (3, 2 height, 2 width), bytes.
    weights : dict
        Integers by name.

    Raises
    ------
    UsageError
        Where the picture is too small, or the tile out of bounds.
    """
    layout = Layout.of(height, width, tile)
    net = Assembly(floats)
    unit = net.weight("unit", 0, np.ones(1))
    picture = Read("picture", "value", CENTRE).times(2)
    middle = Read(unit.x, unit.of, CENTRE).times(-255)
    pixels = net.contract("pixels", [picture, _spread(middle, (3, height, width))], CENTRE)
    judgement = watch(net, pixels, (height, width), unit)
    corrected, h = correct(net, pixels, (height, width), judgement)
    low, clean = (x.through(*layout.cut()) for x in (pixels, corrected))
    x = first = _head(net, low, clean, layout)
    f, spectrum = _frequencies(net, clean, layout)
    for block in range(BLOCKS):
        x = _Block(net, f"blocks.{block}", layout).apply(x, f, spectrum, judgement, block)
    enlarged = _tail(net, x, first, low, unit, layout)
    outputs = {"enlarged": Output((3, 2 * height, 2 * width), 0, 0, 255, enlarged.x)}
    if show_filter:
        most = 1 << 23
        outputs["filter"] = Output((15, 15), h.exponent, -most, most - 1, h.x)
    program = Program(
        name="lce",
        arch={"network": "LCE", "scale": SCALE, "tile": tile, "tiles": layout.count},
        inputs={"picture": Port((3, height, width), 0, 0, 255)},
        outputs=outputs,
        limits={},
        ops=tuple(net.ops),
        weights=net.specs,
        exponents=net.exponents,
    )
    program.validate()
    return program, net.integers


def _spread(vector: Read, dims: tuple[int, ...], axis: int = 0) -> Read:
    """A vector along one axis of an array, the same along all others."""
    before = [Step("repeat", i, (n,)) for i, n in enumerate(dims[:axis])]
    after = [Step("repeat", axis + 1 + i, (n,)) for i, n in enumerate(dims[axis + 1 :])]
    alone = (Step("tile", 0, (dims[axis],)),) if vector.x == "unit" else ()
    return vector.through(*alone, *before, *after)


def _head(net: Assembly, low: Read, clean: Read, layout: Layout) -> Read:
    """The first features: a convolution of the picture and of the corrected one."""
    real = net.floats["head.weight"] * UNIT
    weight = net.weight("head.weight", 12, real)
    of_low, of_clean = (weight.through(Step("slice", 1, (3 * i, 3 * i + 3, 1))) for i in (0, 1))
    terms = [
        Term(_CONV_SPEC, low.through(*_CONV), of_low),
        Term(_CONV_SPEC, clean.through(*_CONV), of_clean),
    ]
    return _with_bias(net, "head", terms, layout)


def _with_bias(net: Assembly, name: str, terms: list[Term], layout: Layout) -> Read:
    """Activations: a sum, and the bias of each channel."""
    bias = net.weight(f"{name}.bias", ACTIVATIONS + 4)
    spread = _spread(bias, layout.grid(len(net.floats[f"{name}.bias"])), 2)
    return net.contract(name, [*terms, spread], ACTIVATIONS)


def _frequencies(net: Assembly, clean: Read, layout: Layout) -> tuple[Read, tuple[Read, Read]]:
    """Maps of the corrected picture, and their spectrum: half of its columns, re and im."""
    weight = net.weight("maps.weight", 12, net.floats["maps.weight"] * UNIT)
    f = net.contract("maps", [Term(_CONV_SPEC, clean.through(*_CONV), weight)], ACTIVATIONS)

    def both(down: int, across: int) -> Read:
        read = f.through(
            Step("dft", 3, (down, 0, TRANSFORM)), Step("dft", 4, (across, 1, TRANSFORM))
        )
        return Read(read.x, read.of, f.exponent + 2 * TRANSFORM, read.wire)

    re = net.combine("spectrum.re", [both(COS, COS), both(SIN, SIN).times(-1)])
    im = net.combine("spectrum.im", [both(SIN, COS).times(-1), both(COS, SIN).times(-1)])
    return f, (re, im)


class _Block:
    """Attention over channels, the frequency branch with its gates, two convolutions."""

    def __init__(self, net: Assembly, name: str, layout: Layout) -> None:
        self.net, self.name, self.layout = net, name, layout

    def weight(self, name: str, exponent: int) -> Read:
        return self.net.weight(f"{self.name}.{name}", exponent)

    def contract(self, name: str, terms: list[Term | Read], exponent: int, bits: int = 16) -> Read:
        return self.net.contract(f"{self.name}.{name}", terms, exponent, bits)

    def apply(
        self, x: Read, f: Read, spectrum: tuple[Read, Read], judgement: Judgement, block: int
    ) -> Read:
        """One step of the residual stream."""
        net, name = self.net, self.name
        mixer, g = self.attention(x), self.branch(f, spectrum)
        gate = _with_bias(
            net, f"{name}.gate",
            [Term(_CONV_SPEC, g.through(*_CONV), self.weight("gate.weight", 12))], self.layout,
        )  # fmt: skip
        gate = net.add(
            Function(name=f"{name}.open", x=gate.x, fn="sigmoid", k_in=ACTIVATIONS, k_out=GATE),
            GATE,
        )
        u = self.weight("u", 12)
        own, theirs = (
            u.through(Step("slice", 1, (a, b, 1)))
            for a, b in ((0, CHANNELS), (CHANNELS, CHANNELS + MAPS))
        )
        bias = self.weight("u_bias", 14)
        gated = self.contract(
            "gated",
            [
                Term("jicyx,oc->jioyx", x, own),
                Term("jicyx,oc->jioyx", g, theirs),
                _spread(bias, self.layout.grid(CHANNELS), 2),
            ],
            ACTIVATIONS,
        )
        opened = gate.through(Step("each", 2, (CHANNELS // HEADS,)))
        mixed = self.contract(
            "mixed",
            [
                Term("jioc,jicyx->jioyx", mixer, x),
                Term("jicyx,jicyx->jicyx", gated, opened),
            ],
            ACTIVATIONS,
        )
        x = net.combine(f"{name}.attended", [x, mixed])
        y = self.convolve("ffn1", x, judgement, 2 * block)
        y = net.add(Function(name=f"{name}.relu", x=y.x, fn="relu", k_in=0, k_out=0), ACTIVATIONS)
        y = self.convolve("ffn2", y, judgement, 2 * block + 1)
        return net.combine(f"{name}.out", [x, y])

    def convolve(self, name: str, x: Read, judgement: Judgement, index: int) -> Read:
        """A convolution whose kernel is this picture's."""
        shares = judgement.kernels.through(
            Step("slice", 0, (TERMS * index, TERMS * (index + 1), 1))
        )
        made = kernel(self.net, f"{self.name}.{name}", shares)
        term = Term(_CONV_SPEC, x.through(*_CONV), made)
        return _with_bias(self.net, f"{self.name}.{name}", [term], self.layout)

    def attention(self, x: Read) -> Read:
        """The matrix that mixes channels, (down, across, 16, 16), from their Gram matrix."""
        count = self.layout.rows.tile * self.layout.columns.tile
        lift = 20  # the mean over pixels to about 8 bits; a factor common to all cancels
        mean = Read(x.x, x.of, x.exponent + lift, x.wire, round(2.0**lift / count))
        g = self.contract("gram", [Term("jiayx,jibyx->jiab", mean, x)], GRAM, 24)
        heads = Step("split", 0, (HEADS, CHANNELS // HEADS))
        q, k, v = (self.weight(n, 12).through(heads) for n in "qkv")
        o = self.weight("o", 12).through(Step("split", 1, (HEADS, CHANNELS // HEADS)))
        qg, kg = (
            self.contract(f"{n}.gram", [Term("hqa,jiab->jihqb", w, g)], GRAM, 24)
            for n, w in (("q", q), ("k", k))
        )
        scores = self.contract("scores", [Term("jihqb,hkb->jihqk", qg, k)], GRAM, 24)
        roots = [
            self._root(n, [Term("jihqb,hqb->jihq", read, w)])
            for n, read, w in (("q", qg, q), ("k", kg, k))
        ]
        scores = self.contract(
            "scores.q", [Term("jihqk,jihq->jihqk", scores, roots[0])], GRAM - 4, 24
        )
        scores = self.contract(
            "scores.k", [Term("jihqk,jihk->jihqk", scores, roots[1])], SCORES, 24
        )
        sharp = self.weight("sharpness", 10)
        scores = self.contract("sharp", [Term("jihqk,h->jihqk", scores, sharp)], SCORES)
        shares = self.net.add(Softmax(name=f"{self.name}.shares", x=scores.x, exp_k=SCORES), 15)
        mixed = self.contract("values", [Term("jihqk,hkc->jihqc", shares, v)], MIXER + 4, 24)
        return self.contract("mixer", [Term("ohq,jihqc->jioc", o, mixed)], MIXER, 24)

    def _root(self, name: str, terms: list[Term | Read]) -> Read:
        """One over the root of a diagonal."""
        made = self.contract(f"{name}.norm", terms, GRAM, 24)
        op = Rsqrt(
            name=f"{self.name}.{name}.root",
            x=made.x,
            constant=1 << (GRAM + 2 * ROOT),
            eps=round(BLACK * 2**GRAM),
            x_bits=24,
        )
        return self.net.add(op, ROOT)

    def branch(self, f: Read, spectrum: tuple[Read, Read]) -> Read:
        """``f`` and the inverse transform of a small network on its spectrum."""
        f1, f2 = self.weight("f1", 9), self.weight("f2", 9)
        parts = [
            Term("jicyk,oc->jioyk", s, f1.through(Step("slice", 1, (MAPS * i, MAPS * (i + 1), 1))))
            for i, s in enumerate(spectrum)
        ]
        r = self.contract("f1.out", list(parts), SPECTRUM)
        r = self.net.add(
            Function(name=f"{self.name}.f1.relu", x=r.x, fn="relu", k_in=0, k_out=0), SPECTRUM
        )
        rows, columns = self.layout.rows.tile, self.layout.columns.tile

        def back(down: int, across: int) -> Read:
            read = r.through(
                Step("idft", 3, (down, 0, TRANSFORM, rows)),
                Step("idft", 4, (across, 1, TRANSFORM, columns)),
            )
            return Read(read.x, read.of, SPECTRUM + 2 * TRANSFORM, read.wire)

        re = self.net.combine(f"{self.name}.back.re", [back(COS, COS), back(SIN, SIN).times(-1)])
        im = self.net.combine(
            f"{self.name}.back.im", [back(SIN, COS).times(-1), back(COS, SIN).times(-1)]
        )
        out = [
            Term("jicyx,oc->jioyx", s, f2.through(Step("slice", 0, (MAPS * i, MAPS * (i + 1), 1))))
            for i, s in enumerate((re, im))
        ]
        return self.contract("f2.out", [*out, f], ACTIVATIONS)


def _tail(net: Assembly, x: Read, first: Read, low: Read, unit: Read, layout: Layout) -> Read:
    """Two by two pixels from each, on top of the bicubic enlargement, as bytes."""
    features = net.combine("features.out", [x, first])
    weight = net.weight("tail.weight", 4, net.floats["tail.weight"] * 255)
    bias = net.weight("tail.bias", 8, net.floats["tail.bias"] * 255)
    pixels = Step("split", 0, (3, SCALE, SCALE))
    grid = layout.grid(3)
    dims = (*grid[:4], SCALE, grid[4], SCALE)
    bicubic = low.through(*_enlarging(3), *_enlarging(5))
    # (pixel - 1/2) 510 and 128^2 of the taps; a level is 1/255
    bicubic = Read(bicubic.x, bicubic.of, 15, bicubic.wire)
    half = Read(unit.x, unit.of, 1).times(255)
    spread = bias.through(
        pixels, *(Step("repeat", i, (n,)) for i, n in ((0, dims[0]), (1, dims[1]))),
        Step("repeat", 3, (dims[3],)), Step("repeat", 5, (dims[5],)),
    )  # fmt: skip
    out = net.contract(
        "levels",
        [
            Term("jicyuxv,rstcuv->jirysxt", features.through(*_CONV), weight.through(pixels)),
            bicubic,
            spread,
            _spread(half, dims),
        ],
        0,
    )
    out = net.add(Function(name="bytes", x=out.x, fn="clip(0;255)", k_in=0, k_out=0), 0)
    order = Step("permute", 0, (2, 0, 3, 4, 1, 5, 6))
    beside = net.combine("beside", [out.through(order)])
    joined = net.add(Reshape(name="joined", x=beside.x, dims=layout.joined(SCALE)), 0)
    cropped = layout.join(SCALE)
    return net.combine("enlarged", [joined.through(*cropped)]) if cropped else joined


def _enlarging(axis: int) -> Wire:
    """Bicubic enlargement by two, times 128, edges repeated: an axis as (n, 2)."""
    taps = (*BICUBIC, 0, 0, *BICUBIC[::-1])
    return (
        Step("pad", axis, (1, 2, 2)),
        Step("window", axis, (5, 1, 1, 0, 0)),
        Step("taps", axis + 1, (2, *taps)),
    )
