"""The circuit of a window: some steps of training between two commitments of the weights.

Weights within a window are not committed: ``W_t`` is the start minus public multiples of products
of gradients and activations, which are committed anyway (:class:`Updates`). What a window commits
to, per neuron and example, is

    z, and the high digit of its remainder         acc + 2^(s-1) - 2^s z in [0, 2^s)
    activation a and mask M                        (z, a + 2^50 M) in the table ``relu``
    gradient g, and the high digit of its rest     M o (G W) + 2^(t-1) - 2^t g in [0, 2^t)

The packing pins ``a`` and ``M`` because both are bounded below ``2^49`` and the tag is larger than
twice that. A masked accumulator rounds to zero, so ``g`` is zero where a neuron is closed, and the
high digit is committed less its value there: zeros cost nothing.

All steps and all layers of equal shape are instances of the same relations. Reference for proving
steps side by side: zkDL (arXiv 2307.16273); exact updates, and weights that are no columns, are
ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from veracity.engine.api import Ints
from veracity.graph.training import Recipe, Step
from veracity.zk.committed import ArrayId
from veracity.zkml.circuit.build import Circuit, finish_circuit
from veracity.zkml.circuit.builder import Builder
from veracity.zkml.circuit.declared import Given
from veracity.zkml.circuit.linear_maps import Slice
from veracity.zkml.circuit.tables import OPEN, relu
from veracity.zkml.circuit.tensor import Tensor, Updates
from veracity.zkml.committed import TensorSpec
from veracity.zkml.training.data import BYTE, row_bits
from veracity.zkml.training.head import head_gradient
from veracity.zkml.training.state import end_id, start_id, weight_limits, weight_specs

__all__ = ["EXAMPLES", "WindowWitness", "batch_spec", "build_window"]

#: The examples of all steps of a window, (steps, batch, example).
EXAMPLES = ArrayId("data", "examples")


@dataclass(frozen=True)
class WindowWitness:
    """The prover's integers of a window.

    Attributes
    ----------
    examples : array
        (steps, batch, inputs + classes).
    start, end : mapping
        Master weights before and after.
    steps : list of Step
        What happened in between.
    """

    examples: Ints = field(repr=False)
    start: Mapping[str, Ints] = field(repr=False)
    end: Mapping[str, Ints] = field(repr=False)
    steps: list[Step] = field(repr=False)


def batch_spec(recipe: Recipe, steps: int) -> TensorSpec:
    """How the examples of a window lie: the rows of the data set, in the order of the steps."""
    dims = (steps, recipe.batch, recipe.example_size)
    return TensorSpec(dims, 0, 0, BYTE, row_bits(recipe.example_size), leading=2)


def build_window(
    recipe: Recipe, first: int, last: int, witness: WindowWitness | None = None
) -> Circuit:
    """The circuit of steps ``first .. last-1``.

    Parameters
    ----------
    recipe : Recipe
        What the steps do.
    first, last : int
        Range of steps.
    witness : WindowWitness, optional
        The prover's integers.
    """
    limits, specs = weight_limits(recipe, first), weight_specs(recipe)
    given = {
        start_id(n): Given(s, None if witness is None else witness.start[n], limit=limits[n])
        for n, s in specs.items()
    }
    examples = None if witness is None else witness.examples
    spec = batch_spec(recipe, last - first)
    given[EXAMPLES] = Given(spec, examples, limit=BYTE, stacked=True)
    builder = Builder(given, witness is not None)
    weights = {name: Updates(builder.array(start_id(name))) for name in specs}
    for t in range(first, last):
        step = None if witness is None else witness.steps[t - first]
        _step(builder, recipe, weights, builder.instance(EXAMPLES, t - first), t, step)
    for name, spec in specs.items():
        made = weights[name].now()
        value = None if witness is None else witness.end[name]
        result = Tensor(made.dims, made.terms, value)
        builder.hand_over(end_id(name), spec, result, bounded=False)
    return finish_circuit(builder)


def _step(
    b: Builder,
    recipe: Recipe,
    weights: Mapping[str, Updates],
    examples: Tensor,
    t: int,
    step: Step | None,
) -> None:
    """One step: forward, loss, backward, update."""
    size, inputs = recipe.example_size, recipe.widths[0]
    x = examples.view(Slice(1, 0, inputs, size))
    labels = examples.view(Slice(1, inputs, size, size))
    activations, masks = [x], []
    for layer in range(recipe.layers - 1):
        acc = _accumulator(recipe, weights, layer, activations[-1])
        a, mask = _activation(b, recipe, layer, acc, step)
        activations.append(a)
        masks.append(mask)
    acc = _accumulator(recipe, weights, recipe.layers - 1, activations[-1])
    gradients = [head_gradient(b, recipe, acc, labels, step)]
    for layer in range(recipe.layers - 1, 0, -1):
        matrix = weights[recipe.weight_name(layer)].now()
        back = Tensor.product("bo,oi->bi", gradients[0], matrix)
        value = masked = None
        if step is not None:
            value = step.backward[layer - 1]
            masked = value * (step.z[layer - 1] > 0)
        back = Tensor(back.dims, back.terms, value)
        product = Tensor.product("bi,bi->bi", masks[layer - 1], back)
        shift = recipe.backward_shift(layer)
        g = b.rescaled(f"gradient {layer}", "gradient", product, masked, shift, masked=True)
        gradients.insert(0, g)
    rate = recipe.rates[t]
    for layer, (g, a) in enumerate(zip(gradients, activations, strict=True)):
        update = Tensor.product("bo,bi->oi", g, a) * -rate
        weights[recipe.weight_name(layer)].add(update)
        scale = rate << 2 * recipe.input_exponent(layer)
        weights[recipe.bias_name(layer)].add(g.bare().sum(0) * -scale)


def _accumulator(recipe: Recipe, weights: Mapping[str, Updates], layer: int, x: Tensor) -> Tensor:
    product = Tensor.product("bi,oi->bo", x, weights[recipe.weight_name(layer)].now())
    bias = weights[recipe.bias_name(layer)].now().bare()
    return product + bias.broadcast(0, product.dims[0])


def _activation(
    b: Builder, recipe: Recipe, layer: int, acc: Tensor, step: Step | None
) -> tuple[Tensor, Tensor]:
    """Activation and mask of a hidden layer."""
    name, z_value = f"layer {layer}", None if step is None else step.z[layer]
    acc_value = None if step is None else step.forward[layer]
    z = b.rescaled(name, "z", acc, acc_value, recipe.forward_shift(layer))
    a_value = mask_value = None
    if z_value is not None:
        a_value, mask_value = np.maximum(z_value, 0), (z_value > 0).astype(np.int64)
    mask = b.column("relu.mask", acc.dims, mask_value, bounded=True)
    a = b.column("relu.a", acc.dims, a_value, bounded=True)
    b.lookup(name, relu(), z, a + mask * OPEN)
    return a, mask
