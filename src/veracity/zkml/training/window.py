"""The circuit of a window: some steps of training between two commitments of the weights.

Weights within a window are not committed: ``W_t`` is the start minus public multiples of products
of gradients and activations, which are committed anyway (:mod:`veracity.zkml.training.moving`).
What a window commits to, per neuron and example, is

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

from veracity.engine.api import Integers, Ints
from veracity.graph.training import Recipe, Step
from veracity.graph.training.recipe import ACTIVATION_BITS
from veracity.graph.wires import Wire, apply_wire
from veracity.zk.committed import ArrayId
from veracity.zkml.circuit.axis_maps import maps_of
from veracity.zkml.circuit.build import Circuit, finish_circuit
from veracity.zkml.circuit.builder import Builder
from veracity.zkml.circuit.declared import Given
from veracity.zkml.circuit.linear_maps import Slice
from veracity.zkml.circuit.tables import OPEN, relu
from veracity.zkml.circuit.tensor import Tensor
from veracity.zkml.committed import TensorSpec
from veracity.zkml.training.data import BYTE, row_bits
from veracity.zkml.training.head import head_gradient
from veracity.zkml.training.moving import Moving, handed, moving_tensors
from veracity.zkml.training.state import end_id, start_id, state_limits, state_specs

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
    recipe: Recipe,
    first: int,
    last: int,
    witness: WindowWitness | None = None,
    specs: Mapping[str, TensorSpec] | None = None,
    integers: Integers | None = None,
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
    specs : mapping, optional
        How the weights lie that it receives; a model to start from has rows of its own length.
    integers : Integers, optional
        The prover's engine for integers; NumPy computes where not given.
    """
    limits, laid = state_limits(recipe, first), state_specs(recipe, first)
    given = {
        start_id(n): Given(s, None if witness is None else witness.start[n], limit=limits[n])
        for n, s in (laid if specs is None else specs).items()
    }
    found = None if witness is None else witness.examples
    spec = batch_spec(recipe, last - first)
    given[EXAMPLES] = Given(spec, found, limit=BYTE, stacked=True)
    builder = Builder(given, witness is not None, integers)
    weights = moving_tensors(builder, recipe, first)
    for t in range(first, last):
        step = None if witness is None else witness.steps[t - first]
        examples = builder.instance(EXAMPLES, t - first)
        _step(builder, recipe, weights, examples, t, step, t == last - 1)
    end = None if witness is None else witness.end
    for name, result in handed(recipe, weights, end):
        builder.hand_over(end_id(name), state_specs(recipe, last)[name], result, bounded=False)
    return finish_circuit(builder)


def _step(
    b: Builder,
    recipe: Recipe,
    weights: Mapping[str, Moving],
    examples: Tensor,
    t: int,
    step: Step | None,
    last: bool,
) -> None:
    """One step: forward, loss, backward, update."""
    size, inputs = recipe.example_size, recipe.inputs
    x = _wired(examples.view(Slice(1, 0, inputs, size)), recipe.network.enter)
    labels = examples.view(Slice(1, inputs, size, size))
    operands, masks, used, acc = list[Tensor](), list[Tensor](), list[Tensor](), x
    for layer, stage in enumerate(recipe.stages):
        operands.append(_wired(x, stage.pooled + stage.rule.reads))
        weight, bias = _used(b, recipe, weights, layer, step)
        used.append(weight)
        acc = _accumulator(recipe, layer, operands[-1], weight, bias)
        if layer < recipe.layers - 1:
            x, mask = _activation(b, recipe, layer, acc, step)
            masks.append(mask)
    gradients = [head_gradient(b, recipe, acc, labels, step)]
    for layer in range(recipe.layers - 1, 0, -1):
        above = gradients[0], masks.pop(), used[layer]
        gradients.insert(0, _gradient(b, recipe, layer, above, step))
    for layer, (g, a) in enumerate(zip(gradients, operands, strict=True)):
        product = Tensor.product(recipe.stages[layer].rule.update, g, a)
        weights[recipe.weight_name(layer)].move(b, recipe, t, product, step, last)
        total = g.bare()
        for axis in (*range(len(g.dims) - 1, 1, -1), 0):
            total = total.sum(axis)
        weights[recipe.bias_name(layer)].move(b, recipe, t, total, step, last)


def _wired(x: Tensor, wire: Wire) -> Tensor:
    return x.view(*maps_of(wire, x.dims))


def _used(
    b: Builder, recipe: Recipe, weights: Mapping[str, Moving], layer: int, step: Step | None
) -> tuple[Tensor, Tensor]:
    """Weights and bias as products read them.

    Where weights are few, they carry the prover's integers; else products bind them along their
    updates.
    """
    out = []
    for name in (recipe.weight_name(layer), recipe.bias_name(layer)):
        now = weights[name].now()
        kernel = None if step is None else step.kernels.get(name)
        if kernel is not None:
            now = Tensor(now.dims, now.terms, kernel)
        if recipe.rounds(layer):
            shift = recipe.weight_bits(layer) - recipe.read_bits(layer)
            now = b.rescaled(f"kernel {name}", "kernel", now, kernel, shift)
        out.append(now)
    return out[0], out[1]


def _accumulator(recipe: Recipe, layer: int, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    product = Tensor.product(recipe.stages[layer].rule.forward, x, weight)
    wide = bias.bare().broadcast(0, product.dims[0])
    for axis, size in enumerate(product.dims[2:], 2):
        wide = wide.broadcast(axis, size)
    return product + wide


def _gradient(
    b: Builder,
    recipe: Recipe,
    layer: int,
    above: tuple[Tensor, Tensor, Tensor],
    step: Step | None,
) -> Tensor:
    """The gradient of what a layer reads, before averages: from its result's, a mask, weights."""
    stage, (gradient, mask, weight) = recipe.stages[layer], above
    product = Tensor.product(stage.rule.backward, _wired(gradient, stage.rule.returns), weight)
    value = masked = None
    if step is not None:
        value = step.backward[layer - 1]
        masked = apply_wire(stage.spread, value) * (step.z[layer - 1] > 0)
    back = Tensor(product.dims, product.terms, value)
    spec = _MASKED[len(stage.source), stage.pool > 1]
    return b.rescaled(
        f"gradient {layer}",
        "gradient",
        Tensor.product(spec, _wired(mask, stage.squares), back),
        masked,
        recipe.backward_shift(layer),
        dims=mask.dims,
        arrange=lambda y: _wired(y, stage.squares),
        masked=True,
    )


#: The product of a mask with what flows back, by axes of an example and whether there are averages.
_MASKED = {
    (1, False): "bi,bi->bi",
    (3, False): "bchw,bchw->bchw",
    (3, True): "bchpwq,bchw->bchpwq",
}


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
    b.limit(a, 1 << (ACTIVATION_BITS - 1))  # there is one way to pack both
    b.limit(mask, 1)
    return a, mask
