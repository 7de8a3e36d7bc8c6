"""A network that can be trained: layers by name, sorted into stages.

A *stage* is one layer with weights and what stands around it: the averages that are taken before
it, and the ReLU behind it, which every stage but the last has. Averages over squares are sums at
another exponent: exact, and free in a proof.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import prod

from veracity.errors import UsageError
from veracity.graph.training.layers import POOLS, WEIGHTED, Rule, Shape, canonical, rule_of
from veracity.graph.wires import Step, Wire

__all__ = ["Network", "Stage", "dense"]

_MOST_STAGES, _MOST_ENTRIES = 64, 1 << 20


@dataclass(frozen=True)
class Stage:
    """A layer with weights.

    Attributes
    ----------
    name : str
        Its place among the layers, as ``torch.nn.Sequential`` counts.
    source : tuple of int
        Shape of what the stage before hands on.
    pool : int
        Side of the squares of it that are averaged; 1 for none.
    rule : Rule
        The layer.
    """

    name: str
    source: Shape
    pool: int
    rule: Rule

    @property
    def averaged(self) -> Shape:
        """Shape of what the layer reads."""
        return _averaged(self.source, self.pool)

    @property
    def pooled(self) -> Wire:
        """From (batch, *source) to sums over squares, which the layer reads."""
        if self.pool == 1:
            return ()
        k = self.pool
        axes = [
            (Step("split", i, (self.source[i - 1] // k, k)), Step("sum", i + 1)) for i in (3, 2)
        ]
        return (*axes[0], *axes[1])

    @property
    def squares(self) -> Wire:
        """From (batch, *source) to axes of squares and places in them."""
        return tuple(step for step in self.pooled if step.kind == "split")

    @property
    def spread(self) -> Wire:
        """The transpose of :attr:`pooled`: a gradient for every entry of a square."""
        k = self.pool
        return () if k == 1 else (Step("each", 3, (k,)), Step("each", 2, (k,)))

    @property
    def pool_bits(self) -> int:
        """How much finer the exponent of an average is."""
        return 2 * (self.pool.bit_length() - 1)


@dataclass(frozen=True)
class Network:
    """Layers on an input.

    Attributes
    ----------
    input : tuple of int
        (entries,), or (height, width, channels) as the entries of an example lie.
    layers : tuple of str
        Texts as :func:`veracity.graph.training.layers.canonical` gives them.
    """

    input: tuple[int, ...]
    layers: tuple[str, ...]

    @cached_property
    def stages(self) -> tuple[Stage, ...]:
        """All layers with weights, in order; UsageError where the layers are no network."""
        shape, pool, out = self.shape, 1, list[Stage]()
        flat = len(shape) == 1
        for place, text in enumerate(self.layers):
            kind = text.partition(" ")[0]
            after = self.layers[place + 1] if place + 1 < len(self.layers) else ""
            try:
                if kind in WEIGHTED:
                    if kind == "dense" and not flat:
                        raise UsageError("'flatten' stands between pictures and dense layers")
                    if kind == "conv" and flat:
                        raise UsageError(
                            "a convolution reads pictures: state input = [height, width, channels]"
                        )
                    found = Stage(str(place), shape, pool, rule_of(text, _averaged(shape, pool)))
                    out.append(found)
                    shape, pool = found.rule.out, 1
                    flat = len(shape) == 1
                    if after and after != "relu":
                        raise UsageError("a relu stands behind every layer with weights")
                elif kind == "relu":
                    if place == 0 or self.layers[place - 1].partition(" ")[0] not in WEIGHTED:
                        raise UsageError("a relu stands behind a layer with weights")
                elif text == "flatten":
                    flat = True
                elif kind == "avgpool":
                    pool *= _pool(text, shape, pool, flat)
                else:
                    raise UsageError("known: conv, dense, relu, avgpool, flatten")
            except UsageError as error:
                raise UsageError(f"layer {text!r} cannot stand there: {error}") from None
        if not self.layers or not self.layers[-1].startswith("dense "):
            raise UsageError("the last layer of a network is dense")
        return tuple(out)

    @property
    def shape(self) -> Shape:
        """Shape of an example as layers read it: channels come first."""
        if len(self.input) == 1:
            return self.input
        height, width, channels = self.input
        return (channels, height, width)

    @property
    def enter(self) -> Wire:
        """From (batch, entries) to (batch, *shape)."""
        if len(self.input) == 1:
            return ()
        return (Step("split", 1, self.input), Step("permute", 0, (0, 3, 1, 2)))

    def validate(self) -> None:
        """Raise UsageError unless it is a network of bearable size."""
        if len(self.input) not in (1, 3):
            raise UsageError("an input is [entries] or [height, width, channels]")
        if any(not 1 <= n <= 1 << 15 for n in self.input) or prod(self.input) > 1 << 15:
            raise UsageError("an input has 1 to 32768 entries")
        weighted = sum(t.partition(" ")[0] in WEIGHTED for t in self.layers)
        if not 1 <= weighted <= _MOST_STAGES or len(self.layers) > 4 * _MOST_STAGES:
            raise UsageError("a network has 1 to 64 layers with weights")
        if any(canonical(t) != t for t in self.layers):
            raise UsageError("a layer is not in canonical form")
        if any(max(prod(s.rule.out), prod(s.source)) > _MOST_ENTRIES for s in self.stages):
            raise UsageError("a layer has at most 2^20 results for an example")
        if self.stages[-1].rule.out[0] < 2:
            raise UsageError("the last layer has at least 2 neurons")


def _averaged(shape: Shape, pool: int) -> Shape:
    return shape if pool == 1 else (shape[0], shape[1] // pool, shape[2] // pool)


def _pool(text: str, shape: Shape, before: int, flat: bool) -> int:
    if text not in {f"avgpool {k}" for k in POOLS}:
        raise UsageError(f"sides of squares are {', '.join(map(str, POOLS))}")
    side = int(text.split()[1])
    if flat:
        raise UsageError("averages are taken of pictures: state input = [height, width, channels]")
    if shape[1] % (before * side) or shape[2] % (before * side):
        raise UsageError(f"a picture of {shape[1]} x {shape[2]} has no whole number of squares")
    return side


def dense(*widths: int) -> Network:
    """Dense layers with ReLU between them: entries of an input, neurons of every layer."""
    layers = [text for n in widths[1:] for text in (f"dense {n}", "relu")][:-1]
    return Network(widths[:1], tuple(layers))
