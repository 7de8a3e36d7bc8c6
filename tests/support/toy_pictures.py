"""Networks from picture to picture whose ports fit each other: what one gives another takes."""

from __future__ import annotations

import numpy as np

from tests.support.toy_programs import Toy
from veracity.formats.program import NetworkFile
from veracity.graph import Output, Port, Program, WeightSpec
from veracity.graph.ops import Clamp, Contract, Operand, Product
from veracity.graph.wires import Step

SIZE = (3, 5, 6)


def sharpener(seed: int = 1) -> Toy:
    """A convolution of a picture, cut to bytes."""
    rng = np.random.default_rng(seed)
    wire = (Step("window", 1, (3, 1, 1, 1, 1)), Step("window", 3, (3, 1, 1, 1, 1)))
    product = Product(
        spec="cyuxv,ocuv->oyx", a=Operand(x="x", wire=wire), b=Operand(x="k", of="weight")
    )
    ops = (
        Contract(name="c", products=(product,), addends=(), shift=8, bits=16),
        Clamp(name="y", x="c", low=0, high=255, x_bits=16),
    )
    program = Program(
        name=f"sharpener {seed}",
        arch={},
        inputs={"x": Port(SIZE, 0, 0, 255)},
        outputs={"y": Output(SIZE, 0, 0, 255, "y")},
        limits={},
        ops=ops,
        weights={"k": WeightSpec((3, 3, 3, 3), "int16", 8, 16)},
        exponents={},
    )
    program.validate()
    weights = {"k": rng.integers(-60, 90, (3, 3, 3, 3)).astype(np.int16)}
    return Toy(program, weights, {"x": rng.integers(0, 256, SIZE)})


def sharpener_file(seed: int = 1) -> NetworkFile:
    toy = sharpener(seed)
    source = {"name": toy.program.name, "kind": "test", "sha256": "0" * 64, "parameters": 81}
    report = {"samples": {"count": 0}, "accuracy": {"snr_db": "0"}}
    return NetworkFile(source, toy.program, toy.weights, report)
