"""Small programs that are no text decoders: ports of any rank, weights of four dims, relu."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from veracity.graph import Output, Port, Program, Trace, WeightSpec, execute
from veracity.graph.ops import (
    Add,
    Contract,
    Function,
    Linear,
    Log2,
    Mul,
    Operand,
    Product,
    Rsqrt,
    Softmax,
)

S16 = 1 << 15


@dataclass(frozen=True, eq=False)
class Toy:
    """A program, its weights and inputs."""

    program: Program
    weights: dict[str, np.ndarray]
    inputs: dict[str, np.ndarray]

    @property
    def trace(self) -> Trace:
        return execute(self.program, self.weights, self.inputs)


def contraction(
    name: str, spec: str, x: str, weight: str, shift: int = 0, bits: int = 16
) -> Contract:
    """A value times a weight."""
    product = Product(spec=spec, a=Operand(x=x), b=Operand(x=weight, of="weight"))
    return Contract(name=name, products=(product,), addends=(), shift=shift, bits=bits)


def mlp(samples: int = 5, seed: int = 1) -> Toy:
    """Two dense layers with relu over (N, 8); a residual sum; an output of (N, 3)."""
    rng = np.random.default_rng(seed)
    ops = (
        Linear(name="h", x="x", weight="w1", bias="b1", shift=8, bits=16),
        Function(name="r", x="h", fn="relu", k_in=8, k_out=8),
        Linear(name="y", x="r", weight="w2", bias=None, shift=7, bits=16),
        Linear(name="skip", x="x", weight="w3", bias=None, shift=8, bits=16),
        Add(name="z", a="y", b="skip", shift_a=0, shift_b=1),
        Mul(name="out", a="z", b="y", shift=6, bits=24),
    )
    shapes = {"w1": (6, 8), "b1": (6,), "w2": (3, 6), "w3": (3, 8)}
    weights = {n: rng.integers(-90, 91, s).astype(np.int16) for n, s in shapes.items()}
    program = Program(
        name="mlp",
        arch={},
        inputs={"x": Port(("N", 8), 8, -S16, S16 - 1)},
        outputs={"scores": Output(("N", 3), 8, -(1 << 23), (1 << 23) - 1, "out")},
        limits={"N": 64},
        ops=ops,
        weights={n: WeightSpec(s, "int16", 8, 16) for n, s in shapes.items()},
        exponents={},
    )
    program.validate()
    return Toy(program, weights, {"x": rng.integers(-999, 1000, (samples, 8))})


def convolution(samples: int = 2, seed: int = 2) -> Toy:
    """A weight of four dims over patches: what a convolution is once its windows are laid out."""
    rng = np.random.default_rng(seed)
    ops = (
        contraction("c", "npcij,ocij->npo", "x", "k", shift=8),
        Function(name="r", x="c", fn="relu", k_in=8, k_out=8),
        contraction("y", "npo,po->n", "r", "m", shift=6, bits=24),
    )
    shapes = {"k": (5, 3, 2, 3), "m": (4, 5)}
    weights = {n: rng.integers(-90, 91, s).astype(np.int16) for n, s in shapes.items()}
    program = Program(
        name="convolution",
        arch={},
        inputs={"x": Port(("N", 4, 3, 2, 3), 8, -S16, S16 - 1)},
        outputs={"y": Output(("N",), 8, -(1 << 23), (1 << 23) - 1, "y")},
        limits={"N": 8},
        ops=ops,
        weights={n: WeightSpec(s, "int16", 8, 16) for n, s in shapes.items()},
        exponents={},
    )
    program.validate()
    return Toy(program, weights, {"x": rng.integers(-999, 1000, (samples, 4, 3, 2, 3))})


def statistics(seed: int = 4) -> Toy:
    """Sums of squares, their logarithms and roots, and shares of a sum of one."""
    rng = np.random.default_rng(seed)
    square = Product(spec="cyx,cyx->c", a=Operand(x="x"), b=Operand(x="x"))
    scale = Product(spec="nc,c->nc", a=Operand(x="w", of="weight"), b=Operand(x="r"))
    ops = (
        Contract(name="s", products=(square,), addends=(), shift=3, bits=48),
        Log2(name="l", x="s", eps=5, x_bits=40, k_out=10),
        Contract(name="e", products=(square,), addends=(), shift=0, bits=48),
        Rsqrt(name="r", x="e", constant=1 << 60, eps=7, x_bits=40),
        Contract(name="z", products=(scale,), addends=(), shift=14, bits=16),
        Softmax(name="p", x="z", exp_k=8),
    )
    weights = {"w": rng.integers(-90, 91, (2, 3)).astype(np.int16)}
    program = Program(
        name="statistics",
        arch={},
        inputs={"x": Port((3, 5, 4), 0, -2048, 2047)},
        outputs={"l": Output((3,), 10, 0, S16 * 2, "l"), "p": Output((2, 3), 15, 0, S16, "p")},
        limits={},
        ops=ops,
        weights={"w": WeightSpec((2, 3), "int16", 8, 16)},
        exponents={},
    )
    program.validate()
    return Toy(program, weights, {"x": rng.integers(-999, 1000, (3, 5, 4))})


@lru_cache(maxsize=1)
def toys() -> tuple[Toy, ...]:
    """All of them."""
    from tests.support.toy_vision import network

    return mlp(), convolution(), statistics(), network()
