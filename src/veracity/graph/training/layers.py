"""The layers that can be trained, each in one place: its name, its product and the backward one.

A layer with weights ``W`` computes a product of a wiring of its input with W, and what flows back
and what W moves by are products, too (:class:`Rule`)::

    acc = einsum(forward, reads(A), W) + bias          b = example, o = output channel
    back = einsum(backward, returns(G), W)
    moved = einsum(update, G, reads(A))

The integers of a step (:mod:`veracity.graph.training.step`), the argument of a window
(``zkml/training/window.py``) and the published program (:mod:`veracity.graph.training.program`) all
read the rule; a further layer of this kind is a function in :data:`WEIGHTED` and nothing else. One
with other products in it (attention, a frozen base with an adapter) is a further kind of rule
beside this one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod

from veracity.errors import UsageError
from veracity.graph.wires import Step, Wire

__all__ = ["POOLS", "WEIGHTED", "Rule", "Shape", "canonical", "rule_of"]

#: Dims of an example's value: (entries,), or (channels, height, width).
Shape = tuple[int, ...]

#: Sides of the squares that can be averaged: their sums are exact at another exponent.
POOLS = (2, 4, 8)
_MOST_SIDE, _MOST_WIDTH = 1 << 10, 1 << 15


@dataclass(frozen=True)
class Rule:
    """What a layer with weights does to one shape of input.

    Attributes
    ----------
    out : tuple of int
        Shape of its result.
    weight : tuple of int
        Dims of its weights, outputs first; a bias for each of these.
    reads, returns : Wire
        How the products read the input and the gradient of the result, both (batch, *shape).
    forward, backward, update : str
        Specs of the three products.
    """

    out: Shape
    weight: Shape
    reads: Wire
    returns: Wire
    forward: str
    backward: str
    update: str

    @property
    def fan_in(self) -> int:
        """How many products an accumulator sums."""
        return prod(self.weight[1:])

    @property
    def positions(self) -> int:
        """How many results of an example read the same weights."""
        return prod(self.out[1:])


def _dense(text: str, shape: Shape) -> Rule:
    """``dense N``: every output reads every entry; weights keep the shape of the input."""
    found = re.fullmatch(r"dense (\d{1,6})", text, re.ASCII)
    if not found:
        raise UsageError("a dense layer is written as 'dense 128'")
    n = _number(found[1], _MOST_WIDTH, "a layer has 1 to 32768 neurons")
    entry = "i" if len(shape) == 1 else "chw"
    return Rule(
        (n,), (n, *shape), (), (), f"b{entry},o{entry}->bo", f"bo,o{entry}->b{entry}",
        f"bo,b{entry}->o{entry}",
    )  # fmt: skip


_CONV = re.compile(
    r"conv (\d{1,6}) (\d{1,4})x(\d{1,4})(?: stride (\d{1,4}))?(?: (same|pad (\d{1,4})))?",
    re.ASCII,
)


def _conv_numbers(text: str) -> tuple[int, tuple[int, int], int, int]:
    """Channels, sides of the kernel, stride, zeros around the picture."""
    found = _CONV.fullmatch(text)
    if not found:
        raise UsageError("a convolution is written as 'conv 16 3x3 stride 2 pad 1'")
    n = _number(found[1], _MOST_WIDTH, "a convolution has 1 to 32768 channels")
    sides = (int(found[2]), int(found[3]))
    stride = _number(found[4] or "1", 64, "a stride is 1 to 64")
    if found[5] == "same":
        if sides[0] != sides[1] or sides[0] % 2 == 0:
            raise UsageError("'same' needs a square kernel with odd sides")
        return n, sides, stride, sides[0] // 2
    pad = int(found[6] or "0")
    if max(sides) > _MOST_SIDE or pad >= min(sides):
        raise UsageError("padding is narrower than the kernel, whose sides are 1 to 1024")
    return n, sides, stride, pad


def _conv(text: str, shape: Shape) -> Rule:
    """``conv N KxK [stride S] [pad P | same]``: weights (out, in, height, width)."""
    n, sides, stride, pad = _conv_numbers(text)
    places, reads, returns = [], [], []
    for axis, side in ((3, sides[1]), (2, sides[0])):  # the last one first: axes keep their number
        length = shape[axis - 1]
        if length + 2 * pad < side:
            raise UsageError("a kernel is larger than its picture")
        count = (length + 2 * pad - side) // stride + 1
        places.append(count)
        reads.append(Step("window", axis, (side, stride, 1, pad, pad)))
        # an input at i is read at place y by tap i + pad - stride y: G with zeros between, turned
        if stride > 1:
            returns.append(Step("dilate", axis, (stride,)))
        low, high = side - 1 - pad, length - (count - 1) * stride - 1 + pad
        returns.append(Step("window", axis, (side, 1, 1, low, high)))
        returns.append(Step("flip", axis + 1))
    return Rule(
        (n, places[1], places[0]), (n, shape[0], *sides), tuple(reads), tuple(returns),
        "bcypxq,ocpq->boyx", "bohpwq,ocpq->bchw", "boyx,bcypxq->ocpq",
    )  # fmt: skip


#: Layers with weights by the first word of their text.
WEIGHTED: Mapping[str, Callable[[str, Shape], Rule]] = {"dense": _dense, "conv": _conv}


def rule_of(text: str, shape: Shape) -> Rule:
    """The rule of a layer with weights; UsageError where it does not fit the shape of its input."""
    return WEIGHTED[text.partition(" ")[0]](text, shape)


def canonical(text: str) -> str:
    """A layer as recipes are digested with it: one text for one meaning."""
    words = re.sub(r"(?<![0-9])0+(?=[0-9])", "", " ".join(text.split()))
    if words.startswith("conv ") and _CONV.fullmatch(words):
        n, (height, width), stride, pad = _conv_numbers(words)
        words = f"conv {n} {height}x{width}"
        words += (f" stride {stride}" if stride > 1 else "") + (f" pad {pad}" if pad else "")
    return words


def _number(text: str, most: int, otherwise: str) -> int:
    if not 1 <= int(text) <= most:
        raise UsageError(otherwise)
    return int(text)
