"""Recipes as people write them, and the integers they mean.

A recipe file is TOML::

    [network]
    layers = ["dense 128", "relu", "dense 64", "relu", "dense 10"]

    [train]
    loss = "cross_entropy"       # or "square"
    batch = 64
    epochs = 1                   # or steps = 937
    lr = 0.1
    schedule = "cosine"          # or "constant", "linear"
    init = "seed"                # or the .vcom of a model to start from

    [integers]                   # all optional
    a = 8
    g = 8
    q = 12
    weight_exponent = 12

Unknown keys are errors. What is proved are the integers, learning rates step by step; the text is
not.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from veracity.codec import read_file
from veracity.errors import FormatError, UsageError
from veracity.graph.training import Recipe

__all__ = ["Plan", "layers_of", "parse_plan", "read_plan"]

SCHEDULES = ("constant", "cosine", "linear")
_KNOWN = {
    "network": {"layers", "input"},
    "train": {"loss", "batch", "epochs", "steps", "lr", "schedule", "beacon", "window", "init"},
    "integers": {"a", "g", "q", "weight_exponent"},
}
#: What the design has and this version cannot do yet.
_LATER = {"momentum", "settle", "optimizer", "weight_decay", "weights", "import"}


@dataclass(frozen=True)
class Plan:
    """What somebody wants trained, before the data are known.

    Attributes
    ----------
    hidden : tuple of int
        Neurons of the dense layers, the last one's classes among them.
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
    inputs : int or None
        Entries of an input, where stated.
    integers : mapping
        Widths that differ from the defaults: ``a``, ``g``, ``q``, ``weight_exponent``.
    beacon : bytes
        Public randomness that fixes the order of examples.
    window : int
        Steps that are proved together.
    init : str
        The ``.vcom`` to start from; empty for a public seed.
    """

    hidden: tuple[int, ...]
    loss: str = "cross_entropy"
    batch: int = 64
    lr: float = 0.1
    schedule: str = "cosine"
    epochs: int | None = None
    steps: int | None = None
    inputs: int | None = None
    integers: Mapping[str, int] = field(default_factory=dict)
    beacon: bytes = b""
    window: int = 64
    init: str = ""

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
        if self.inputs is not None and self.inputs != inputs:
            raise UsageError(f"the network reads {self.inputs} entries, an example has {inputs}")
        if self.hidden[-1] != classes:
            raise UsageError(
                f"the last layer has {self.hidden[-1]} neurons, the data have {classes} classes"
            )
        if not 1 <= self.batch <= examples:
            raise UsageError(
                f"a batch of {self.batch} needs as many examples; there are {examples}"
            )
        steps = self.steps or (self.epochs or 1) * (examples // self.batch)
        if not math.isfinite(self.lr) or not 0 < self.lr <= 64:
            raise UsageError("the learning rate lies between 0 and 64")
        if self.schedule not in SCHEDULES:
            raise UsageError(f"no schedule {self.schedule!r}; known: {', '.join(SCHEDULES)}")
        # m_t must not be coarse: its greatest value is at least 6
        q = self.integers.get("q", max(4, math.ceil(math.log2(6 * self.batch / self.lr))))
        scale = self.lr / self.batch * 2.0**q
        rates = tuple(
            math.floor(scale * _share(self.schedule, t, steps) + 0.5) for t in range(steps)
        )
        recipe = Recipe(
            (inputs, *self.hidden),
            self.batch,
            rates,
            self.integers.get("a", 8),
            self.integers.get("g", 8),
            q,
            self.integers.get("weight_exponent", 12),
            self.loss,
        )
        recipe.validate()
        return recipe


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
    out = []
    for module in net:
        kind = type(module).__name__
        if kind == "Linear":
            out.append(f"dense {int(module.out_features)}")
        elif kind in ("ReLU", "Flatten"):
            out.append(kind.lower())
        else:
            raise UsageError(
                f"{kind} cannot be trained with a proof yet; known: Linear, ReLU, Flatten"
            )
    return out


def dense_widths(layers: list[str]) -> tuple[int, ...]:
    """Widths of the dense layers, which ReLUs stand between.

    Raises
    ------
    UsageError
        For any other network.
    """
    widths: list[int] = []
    names = [name.strip() for name in layers if name.strip() != "flatten"]
    for i, name in enumerate(names):
        found = re.fullmatch(r"dense (\d{1,6})", name)
        if i % 2 == 0 and found:
            widths.append(int(found[1]))
        elif not (i % 2 and name == "relu"):
            raise UsageError(
                f"layer {name!r} cannot stand there: this version trains dense layers with a relu "
                'between them, such as ["dense 128", "relu", "dense 10"]'
            )
    if len(names) % 2 == 0:
        raise UsageError("the last layer of a network is dense")
    return tuple(widths)


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
        size = network.get("input")
        inputs = math.prod(size) if isinstance(size, list) else size
        plan = Plan(
            dense_widths(layers_of(network["layers"])),
            str(train.get("loss", "cross_entropy")),
            _whole(train.get("batch", 64)),
            float(train.get("lr", 0.1)),
            str(train.get("schedule", "cosine")),
            _perhaps(train.get("epochs")),
            _perhaps(train.get("steps")),
            _perhaps(inputs),
            {name: _whole(n) for name, n in integers.items()},
            str(train.get("beacon", "")).encode(),
            _whole(train.get("window", 64)),
            _start(train.get("init", "seed")),
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
