"""A small convolutional program with every op and every step that pictures need."""

from __future__ import annotations

import numpy as np

from tests.support.toy_programs import S16, Toy
from veracity.graph import Output, Port, Program, WeightSpec
from veracity.graph.ops import (
    Clamp,
    Combine,
    Contract,
    Function,
    MaxPool,
    Operand,
    Product,
    Reshape,
    Top,
)
from veracity.graph.wires import Step

WINDOWS = (Step("window", 1, (3, 1, 1, 1, 1)), Step("window", 3, (3, 2, 1, 1, 1)))


def network(seed: int = 3) -> Toy:
    """(2, 6, 7) through a convolution, pooling, a gate, a dense layer, a clamp and an arg max."""
    rng = np.random.default_rng(seed)
    picture, kernel = Operand(x="x", wire=WINDOWS), Operand(x="k", of="weight")
    per_pixel = (Step("repeat", 1, (6,)), Step("repeat", 2, (4,)))
    bias = Operand(x="b", of="weight", wire=per_pixel, factor=4)
    ops = (
        Contract(
            name="c",
            products=(Product(spec="cyuxv,ocuv->oyx", a=picture, b=kernel),),
            addends=(bias,),
            shift=7,
            bits=16,
        ),
        Function(name="r", x="c", fn="relu", k_in=0, k_out=0),
        MaxPool(name="p", x="r", axis=1, size=3, stride=2, dilation=1, low=1, high=1),
        MaxPool(name="q", x="p", axis=2, size=2, stride=2, dilation=1, low=0, high=0),
        Combine(
            name="s",
            addends=(
                Operand(x="q", factor=3),
                Operand(x="q", wire=(Step("flip", 1), Step("pad", 2, (2, 1, 0)),
                                     Step("slice", 2, (0, 2, 1)))),
            ),
        ),
        Contract(
            name="g",
            products=(Product(spec="oyx,oyx->oyx", a=Operand(x="s"), b=Operand(x="q")),),
            addends=(),
            shift=9,
            bits=24,
        ),
        Reshape(name="f", x="g", dims=(1, 18)),
        Contract(
            name="d",
            products=(
                Product(spec="nk,mk->nm", a=Operand(x="f"), b=Operand(x="w", of="weight")),
            ),
            addends=(),
            shift=8,
            bits=24,
        ),
        Clamp(name="y", x="d", low=-900, high=1000, x_bits=24),
        Top(name="t", x="y"),
    )  # fmt: skip
    shapes = {"k": (3, 2, 3, 3), "b": (3,), "w": (5, 18)}
    weights = {n: rng.integers(-90, 91, s).astype(np.int16) for n, s in shapes.items()}
    program = Program(
        name="network",
        arch={},
        inputs={"x": Port((2, 6, 7), 8, -S16, S16 - 1)},
        outputs={
            "scores": Output((1, 5), 8, -S16, S16 - 1, "y"),
            "class": Output((1,), 0, 0, 5, "t"),
        },
        limits={},
        ops=ops,
        weights={n: WeightSpec(s, "int16", 8, 16) for n, s in shapes.items()},
        exponents={},
    )
    program.validate()
    return Toy(program, weights, {"x": rng.integers(-99, 300, (2, 6, 7))})
