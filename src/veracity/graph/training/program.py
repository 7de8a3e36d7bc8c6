"""The program that a finished run is published as: the trained network on published weights."""

from __future__ import annotations

from functools import lru_cache

from veracity.graph.ops import Contract, Function, Linear, Op, Operand, Product
from veracity.graph.port import Output, Port, WeightSpec
from veracity.graph.program import Program
from veracity.graph.training.recipe import ACTIVATION_BITS, DATA_EXPONENT, Recipe
from veracity.graph.wires import Step

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
        ops.append(_layer(recipe, layer, x, scale - a))
        x = ops[-1].name
        if layer < recipe.layers - 1:
            ops.append(Function(name=f"relu{layer}", x=x, fn="relu", k_in=a, k_out=a))
            x = ops[-1].name
    half = 1 << (ACTIVATION_BITS - 1)
    program = Program(
        name="trained network",
        arch={"recipe": recipe.digest.hex()},
        inputs={"x": Port(("N", *recipe.network.input), DATA_EXPONENT, 0, 255)},
        outputs={"logits": Output(("N", recipe.classes), a, -half, half - 1, x)},
        limits={"N": MOST_SAMPLES},
        ops=tuple(ops),
        weights=weights,
        exponents={},
    )
    program.validate()
    return program


def _layer(recipe: Recipe, layer: int, x: str, shift: int) -> Op:
    """One layer with weights: a dense one on a row as it is, all others through their wiring."""
    stage = recipe.stages[layer]
    rule, name = stage.rule, f"layer{layer}"
    w, b = recipe.weight_name(layer), recipe.bias_name(layer)
    if len(stage.source) == 1:
        return Linear(name=name, x=x, weight=w, bias=b, shift=shift, bits=ACTIVATION_BITS)
    # examples come as pictures here, not as rows
    enter = tuple(s for s in recipe.network.enter if s.kind != "split") if layer == 0 else ()
    read = Operand(x=x, wire=(*enter, *stage.pooled, *rule.reads))
    repeats = tuple(Step("repeat", 1 + i, (n,)) for i, n in enumerate(rule.out[1:]))
    bias = Operand(x=b, of="weight", wire=repeats)
    product = Product(spec=rule.forward, a=read, b=Operand(x=w, of="weight"))
    return Contract(
        name=name, products=(product,), addends=(bias,), shift=shift, bits=ACTIVATION_BITS
    )
