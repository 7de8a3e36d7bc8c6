"""Recipes as people write them, and the integers they mean.

A recipe file is TOML::

    [network]
    input = [28, 28, 1]          # height, width, channels; for dense layers alone it may be absent
    layers = ["conv 16 3x3 stride 2", "relu", "avgpool 2", "flatten", "dense 10"]

    [train]
    loss = "cross_entropy"       # or "square"
    batch = 64
    epochs = 1                   # or steps = 937
    lr = 0.1
    schedule = "cosine"          # or "constant", "linear"
    momentum = 0.9               # optional, with weight_decay and settle
    init = "seed"                # or the .vcom of a model to start from

    [integers]                   # all optional
    a = 8
    g = 8
    q = 14
    weight_exponent = 12

Unknown keys are errors. What is proved are the integers, learning rates step by step; the text is
not.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from veracity.codec import read_file
from veracity.errors import FormatError, UsageError
from veracity.graph.training import Recipe
from veracity.graph.training.layers import canonical
from veracity.graph.training.network import Network
from veracity.graph.training.recipe import DECAY_BITS, WEIGHTS

__all__ = ["Plan", "layers_of", "network_of", "parse_plan", "read_plan"]

SCHEDULES = ("constant", "cosine", "linear")
_KNOWN = {
    "network": {"layers", "input"},
    "train": {"loss", "batch", "epochs", "steps", "lr", "schedule", "beacon", "window", "init",
              "momentum", "weight_decay", "settle"},
    "integers": {"a", "g", "q", "f", "weight_exponent", "weights"},
}  # fmt: skip
#: What the design has and this version cannot do yet.
_LATER = {"optimizer", "import"}


@dataclass(frozen=True)
class Plan:
    """What somebody wants trained, before the data are known.

    Attributes
    ----------
    layers : tuple of str
        Layers by name.
    loss : str
        ``cross_entropy`` or ``square``.
    batch : int
        Examples per step.
    lr : float
        Greatest learning rate.
    schedule : str
        How it changes: ``constant``, ``cosine`` or ``linear`` down to zero.
    epochs, steps : int or None
        How long; one of them.
    input : tuple of int
        (height, width, channels) or (entries,) of an example, where stated.
    integers : mapping
        Widths that differ from the defaults: ``a``, ``g``, ``q``, ``weight_exponent``.
    beacon : bytes
        Public randomness that fixes the order of examples.
    window : int
        Steps that are proved together.
    init : str
        The ``.vcom`` to start from; empty for a public seed.
    momentum, weight_decay : float
        As ``torch.optim.SGD`` has them, but decay is decoupled from the gradient.
    settle : int
        Steps of a block, at whose end momentum is rounded and weights decay.
    weights : str
        ``exact``, or ``rounded`` for convolutions that read rounded ones.
    """

    layers: tuple[str, ...]
    loss: str = "cross_entropy"
    batch: int = 64
    lr: float = 0.1
    schedule: str = "cosine"
    epochs: int | None = None
    steps: int | None = None
    input: tuple[int, ...] = ()
    integers: Mapping[str, int] = field(default_factory=dict)
    beacon: bytes = b""
    window: int = 64
    init: str = ""
    momentum: float = 0.0
    weight_decay: float = 0.0
    settle: int = 16
    weights: str = "exact"

    def learning_rate(self, step: int, steps: int) -> float:
        """The learning rate of one of so many steps, before it becomes an integer."""
        return self.lr * _share(self.schedule, step, steps)

    def recipe(self, examples: int, inputs: int, classes: int) -> Recipe:
        """The integers of this plan on a data set.

        Parameters
        ----------
        examples : int
            How many there are.
        inputs, classes : int
            Dims of one.

        Raises
        ------
        UsageError
            Where plan and data do not fit, or the recipe has no meaning.
        """
        network = network_of(self.layers, self.input or (inputs,))
        if math.prod(network.input) != inputs:
            raise UsageError(
                f"the network reads {math.prod(network.input)} entries, an example has {inputs}"
            )
        last = network.stages[-1].rule.out[0]
        if last != classes:
            raise UsageError(f"the last layer has {last} neurons, the data have {classes} classes")
        if not 1 <= self.batch <= examples:
            raise UsageError(
                f"a batch of {self.batch} needs as many examples; there are {examples}"
            )
        steps = self.steps or (self.epochs or 1) * (examples // self.batch)
        if not math.isfinite(self.lr) or not 0 < self.lr <= 64:
            raise UsageError("the learning rate lies between 0 and 64")
        if self.schedule not in SCHEDULES:
            raise UsageError(f"no schedule {self.schedule!r}; known: {', '.join(SCHEDULES)}")
        q = self.integers.get("q", self._rate_bits())
        scale = self.lr / self.batch * 2.0**q
        shares = [_share(self.schedule, t, steps) for t in range(steps)]
        rates = _carried(scale * share for share in shares)
        if self.weights not in WEIGHTS:
            raise UsageError(f"no weights {self.weights!r}; known: {', '.join(WEIGHTS)}")
        bits, powers = self._powers()
        decays = self._decays(shares)
        recipe = Recipe(
            network,
            self.batch,
            rates,
            self.integers.get("a", 8),
            self.integers.get("g", 8),
            q,
            self.integers.get("weight_exponent", 12),
            self.loss,
            self.weights == "rounded",
            self.settle if powers or decays else 0,
            bits,
            powers,
            decays,
        )
        recipe.validate()
        return recipe

    def _rate_bits(self) -> int:
        """Bits of learning rates, where nobody states them: the greatest is about 6 or more.

        A schedule ends in rates that would then be 0 or 1; two bits more keep half of what that
        loses. They cost nothing as long as no rounding drops more than 32 bits.
        """
        least = max(4, math.ceil(math.log2(6 * self.batch / self.lr)))
        a, g = self.integers.get("a", 8), self.integers.get("g", 8)
        powers = self.integers.get("f", 4) if self.momentum else 0
        room = 32 - max(8, a, 16 - a) - g - powers  # bytes are at 2^-8
        return max(least, min(least + 2, room))

    def _powers(self) -> tuple[int, tuple[int, ...]]:
        """Bits and powers of momentum."""
        if not (0 <= self.momentum < 1 and self.settle >= 1):
            raise UsageError("momentum lies between 0 and 1; settle is a number of steps")
        if not self.momentum:
            return 0, ()
        bits = self.integers.get("f", 4)
        found = (self.momentum**j * 2.0**bits for j in range(self.settle + 1))
        return bits, tuple(math.floor(d + 0.5) for d in found)

    def _decays(self, shares: Sequence[float]) -> tuple[int, ...]:
        """What weights lose at the end of every block, rounded so that sums stay true."""
        if not 0 <= self.weight_decay < 1:
            raise UsageError("weight decay lies between 0 and 1")
        if not self.weight_decay:
            return ()
        scale = self.lr * self.weight_decay * 2.0**DECAY_BITS
        blocks = range(0, len(shares), self.settle)
        return _carried(scale * sum(shares[first : first + self.settle]) for first in blocks)


def _carried(values: Iterable[float]) -> tuple[int, ...]:
    """Integers with the sums of these numbers: what rounding leaves goes to the next one.

    A rate of 6.4 that became 6 at every step would be a run at a learning rate 6 % lower.
    """
    total, told, out = 0.0, 0, list[int]()
    for value in values:
        total += value
        out.append(math.floor(total + 0.5) - told)
        told += out[-1]
    return tuple(out)


def _share(schedule: str, t: int, steps: int) -> float:
    if schedule == "constant":
        return 1.0
    if schedule == "linear":
        return 1 - t / steps
    return 0.5 * (1 + math.cos(math.pi * t / steps))


def layers_of(net: Any) -> list[str]:
    """Layers as a recipe names them, of a list of names or of a ``torch.nn.Sequential``.

    Modules are read by class name and public attributes; torch is imported by the caller only.

    Raises
    ------
    UsageError
        Names a layer that cannot be trained with a proof.
    """
    if isinstance(net, list | tuple) and all(isinstance(x, str) for x in net):
        return list(net)
    return [_layer_of(module) for module in net]


def _layer_of(module: Any) -> str:
    kind = type(module).__name__
    if kind == "Linear":
        return f"dense {int(module.out_features)}"
    if kind in ("ReLU", "Flatten"):
        return kind.lower()
    if kind == "Conv2d":
        (height, width), strides = module.kernel_size, set(module.stride)
        pads = {"same": "same", "valid": 0}.get(module.padding, module.padding)
        pads = set(pads) if isinstance(pads, tuple | list) else {pads}
        plain = set(module.dilation) == {1} and module.groups == 1 and module.bias is not None
        if len(strides) == len(pads) == 1 and plain and module.padding_mode == "zeros":
            (stride,), (pad,) = strides, pads
            zeros = pad if pad == "same" else f"pad {pad}"
            return f"conv {module.out_channels} {height}x{width} stride {stride} {zeros}"
        raise UsageError(
            "Conv2d is trained with one stride, one padding of zeros, a bias, no dilation or groups"
        )
    if kind == "AvgPool2d":
        side = module.kernel_size
        sides = {side} if isinstance(side, int) else set(side)
        steps = {module.stride} if isinstance(module.stride, int) else set(module.stride)
        if sides == steps and len(sides) == 1 and module.padding in (0, (0, 0)):
            return f"avgpool {sides.pop()}"
        raise UsageError("AvgPool2d is trained with squares side by side, without padding")
    raise UsageError(
        f"{kind} cannot be trained with a proof yet; known: Linear, Conv2d, ReLU, AvgPool2d, "
        "Flatten"
    )


def network_of(layers: Sequence[str], size: Sequence[int]) -> Network:
    """The network of layers by name on an input; UsageError for layers that are none.

    Dense layers alone read an example's entries as they lie, whatever its dims.
    """
    texts = tuple(canonical(text) for text in layers)
    if all(text.partition(" ")[0] not in ("conv", "avgpool") for text in texts):
        size = (math.prod(size),)
    network = Network(tuple(size), texts)
    network.validate()
    return network


def parse_plan(text: str, where: str = "recipe") -> Plan:
    """A plan from TOML.

    Raises
    ------
    FormatError
        Not TOML, or a value of another type.
    UsageError
        A key that is not known.
    """
    try:
        body = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise FormatError(where, f"not TOML: {error}") from None
    for section, keys in body.items():
        if section not in _KNOWN or not isinstance(keys, dict):
            raise UsageError(f"{where}: no section {section!r}; known: {', '.join(_KNOWN)}")
        for key in keys:
            if key in _LATER:
                raise UsageError(f"{where}: {key!r} is not supported yet; leave it out")
            if key not in _KNOWN[section]:
                known = ", ".join(sorted(_KNOWN[section]))
                raise UsageError(f"{where}: no key {key!r} in [{section}]; known: {known}")
    network, train = body.get("network", {}), body.get("train", {})
    integers = body.get("integers", {})
    try:
        size = network.get("input", [])
        size = tuple(map(_whole, size if isinstance(size, list) else [size]))
        layers = tuple(layers_of(network["layers"]))
        network_of(layers, size or (1,))
        plan = Plan(
            layers,
            str(train.get("loss", "cross_entropy")),
            _whole(train.get("batch", 64)),
            float(train.get("lr", 0.1)),
            str(train.get("schedule", "cosine")),
            _perhaps(train.get("epochs")),
            _perhaps(train.get("steps")),
            size,
            {name: _whole(n) for name, n in integers.items() if name != "weights"},
            str(train.get("beacon", "")).encode(),
            _whole(train.get("window", 64)),
            _start(train.get("init", "seed")),
            float(train.get("momentum", 0.0)),
            float(train.get("weight_decay", 0.0)),
            _whole(train.get("settle", 16)),
            str(integers.get("weights", "exact")),
        )
    except KeyError:
        raise UsageError(f"{where}: [network] needs layers") from None
    except (TypeError, ValueError):
        raise FormatError(where, "a value is of another type") from None
    if plan.epochs and plan.steps:
        raise UsageError(f"{where}: give epochs or steps, not both")
    return plan


def _whole(n: object) -> int:
    if type(n) is not int:
        raise TypeError("not a whole number")
    return n


def _perhaps(n: object) -> int | None:
    return None if n is None else _whole(n)


def _start(init: object) -> str:
    if type(init) is not str:
        raise TypeError("no name of a file")
    return "" if init == "seed" else init


def read_plan(path: str | Path) -> Plan:
    """A plan from a TOML file, whose ``init`` is relative to it; raises UsageError, FormatError."""
    data = read_file(path, 1 << 20, "recipe")
    try:
        plan = parse_plan(data.decode("utf-8"), Path(path).name)
    except UnicodeDecodeError:
        raise FormatError(Path(path).name, "not UTF-8") from None
    return replace(plan, init=str(Path(path).parent / plan.init)) if plan.init else plan
