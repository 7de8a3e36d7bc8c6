"""The program that a finished run is published as: the trained network on published weights."""

from __future__ import annotations

from functools import lru_cache

from veracity.graph.ops import Function, Linear, Op
from veracity.graph.port import Output, Port, WeightSpec
from veracity.graph.program import Program
from veracity.graph.training.recipe import ACTIVATION_BITS, DATA_EXPONENT, Recipe

__all__ = ["MOST_SAMPLES", "program_of"]

#: Samples that one proof may be about.
MOST_SAMPLES = 1 << 12


@lru_cache(maxsize=8)
def program_of(recipe: Recipe) -> Program:
    """Inference by the published weights: a function of the recipe alone.

    A verifier of training derives it and requires the commitment to pin it, so that the trained
    rows cannot be put under another program.
    """
    a, e = recipe.activation_bits, recipe.weight_exponent
    ops: list[Op] = []
    weights: dict[str, WeightSpec] = {}
    x = "x"
    for layer in range(recipe.layers):
        w, b = recipe.weight_name(layer), recipe.bias_name(layer)
        shapes, scale = recipe.shapes(), recipe.input_exponent(layer) + e
        weights[w] = WeightSpec(shapes[w], "int16", e, 16)
        weights[b] = WeightSpec(shapes[b], "int32", scale, 32)
        name = f"layer{layer}"
        ops.append(Linear(name=name, x=x, weight=w, bias=b, shift=scale - a, bits=ACTIVATION_BITS))
        x = name
        if layer < recipe.layers - 1:
            x = f"relu{layer}"
            ops.append(Function(name=x, x=name, fn="relu", k_in=a, k_out=a))
    half = 1 << (ACTIVATION_BITS - 1)
    program = Program(
        name="trained network",
        arch={"recipe": recipe.digest.hex()},
        inputs={"x": Port(("N", recipe.widths[0]), DATA_EXPONENT, 0, 255)},
        outputs={"logits": Output(("N", recipe.classes), a, -half, half - 1, x)},
        limits={"N": MOST_SAMPLES},
        ops=tuple(ops),
        weights=weights,
        exponents={},
    )
    program.validate()
    return program
