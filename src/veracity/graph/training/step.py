r"""One step of stochastic gradient descent in exact integers.

With :math:`\mathrm{rhu}(x, s) = \lfloor (x + 2^{s-1}) / 2^s \rfloor`, for layers ``l = 1 .. L``
with weights, of which ``A W^T``, ``G W`` and ``G^T A`` are the three products of the layer's rule
(:mod:`veracity.graph.training.layers`)::

    Z_l = rhu(A_(l-1) W_l^T + b_l, s_l)           in [-2^15, 2^15), else RangeError
    A_l = max(Z_l, 0),  M_l = [Z_l > 0]           zero is closed: M = 0 at Z = 0
    cross-entropy:  m = max Z_L, d = m - Z_L, e = EXP[d], inv = floor(2^31 / sum e),
                    P = rhu(e inv, 31 - g),  G_L = P - 2^g Y
    square loss:    G_L = 2^(g - a) Z_L - 2^g Y
    G_(l-1) = rhu(M_(l-1) o (G_l W_l), t_l)
    W_l <- W_l - m_t G_l^T A_(l-1),  b_l <- b_l - m_t 2^(2 a_(l-1)) sum G_l      exact

Where weights are rounded, ``rhu(W_l)`` and ``rhu(b_l)`` stand for these in all but the last line;
momentum and decay are :mod:`veracity.graph.training.update`.

Where averages are taken of ``A_l``, the next layer reads the sums, and ``G W`` is spread over the
entries of each square.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod

import numpy as np
from numpy.typing import NDArray

from veracity.errors import RangeError, UsageError
from veracity.graph.exact import rhu
from veracity.graph.ops.contract import einsum
from veracity.graph.tables import exp_table
from veracity.graph.training.network import Stage
from veracity.graph.training.recipe import ACTIVATION_BITS, Recipe
from veracity.graph.training.update import MOST, Settled, Weights, left, move
from veracity.graph.wires import apply_wire, gather_wire

__all__ = ["Step", "Weights", "predict", "train_step"]

Array = NDArray[np.int64]


@dataclass
class Step:
    """All integers of one step that a proof is about.

    Attributes
    ----------
    index : int
        Number of the step.
    forward : list of array
        Accumulators of every layer, (batch, *shape of its result).
    z : list of array
        What they are rounded to.
    backward : list of array
        Accumulators ``G_l W_l`` of the layers above the first, (batch, *shape of what they read).
    gradients : list of array
        ``G_1 .. G_L``.
    activations : list of array
        ``A_0 .. A_(L-1)``, (batch, *shape), before averages.
    kernels : dict of array
        Weights and biases before the step, by name, where they are few beside the results that read
        them.
    labels : array
        One-hot labels, (batch, classes).
    settled : Settled
        What the step rounds of weights and momentum.
    """

    index: int
    forward: list[Array] = field(default_factory=list)
    z: list[Array] = field(default_factory=list)
    backward: list[Array] = field(default_factory=list)
    gradients: list[Array] = field(default_factory=list)
    activations: list[Array] = field(default_factory=list)
    kernels: dict[str, Array] = field(default_factory=dict)
    labels: Array = field(default_factory=lambda: np.zeros((0, 0), np.int64))
    settled: Settled = field(default_factory=Settled)

    def loss(self, recipe: Recipe) -> float:
        """Mean loss of the batch, as floats: for people, never proved."""
        z = self.z[-1] * 2.0**-recipe.activation_bits
        if recipe.loss == "square":
            return float(((z - self.labels) ** 2).sum(1).mean() / 2)
        z = z - z.max(1, keepdims=True)
        chosen = (z * self.labels).sum(1)
        return float((np.log(np.exp(z).sum(1)) - chosen).mean())


def _product(spec: str, x: Array, y: Array, layer: int, step: int) -> Array:
    try:
        return einsum(spec, x, y)
    except UsageError as error:
        raise left("an accumulator", 62, layer, step) from error


def _checked(z: Array, layer: int, step: int) -> Array:
    half = 1 << (ACTIVATION_BITS - 1)
    if int(z.min()) < -half or int(z.max()) >= half:
        raise RangeError(
            f"layer {layer + 1} at step {step}",
            "an activation leaves 16 bits: lower the learning rate, or the bits of activations",
        )
    return z


def softmax(recipe: Recipe, z: Array) -> dict[str, Array]:
    """Integers of the exact softmax of rows: ``m, d, e, inverse, p`` (see the module text)."""
    m = z.max(1)
    d = m[:, None] - z
    e = exp_table(recipe.activation_bits)[d]
    inverse = (1 << 31) // e.sum(1)
    p = rhu(e * inverse[:, None], 31 - recipe.gradient_bits)
    return {"m": m, "d": d, "e": e, "inverse": inverse, "p": p}


def train_step(recipe: Recipe, index: int, weights: Weights, examples: Array) -> Step:
    """Do one step; new arrays take the places of the old ones in ``weights``.

    Parameters
    ----------
    recipe : Recipe
        What to do.
    index : int
        Which step.
    weights : Weights
        All master weights.
    examples : array, (batch, inputs + classes)
        Bytes, then one-hot labels.

    Raises
    ------
    RangeError
        Where an activation leaves 16 bits, a weight 45, a bias or an update 61, or an accumulator
        62: with layer, step and remedy.
    """
    inputs = recipe.inputs
    step = Step(index, labels=examples[:, inputs:].astype(np.int64))
    a, operands, used = _entered(recipe, examples[:, :inputs]), [], []
    for layer, stage in enumerate(recipe.stages):
        step.activations.append(a)
        operands.append(_operand(stage, a))
        used.append(_used(recipe, layer, weights))
        acc, z = _forward(recipe, layer, used[-1], operands[-1], index)
        step.forward.append(acc)
        step.z.append(z)
        if stage.rule.positions > 1:
            names = recipe.weight_name(layer), recipe.bias_name(layer)
            step.kernels |= {name: weights[name] for name in names}
        a = np.maximum(z, 0)
    step.gradients = [_head_gradient(recipe, step.z[-1], step.labels)]
    for layer in range(recipe.layers - 1, 0, -1):
        acc = _returned(recipe, layer, step.gradients[0], used[layer][0], index)
        step.backward.insert(0, acc)
        masked = apply_wire(recipe.stages[layer].spread, acc) * (step.z[layer - 1] > 0)
        step.gradients.insert(0, rhu(masked, recipe.backward_shift(layer)))
    _update(recipe, step, weights, operands)
    return step


def _entered(recipe: Recipe, inputs: Array) -> Array:
    return apply_wire(recipe.network.enter, inputs.astype(np.int64))


def _operand(stage: Stage, a: Array) -> Array:
    return apply_wire(stage.pooled + stage.rule.reads, a)


def _used(recipe: Recipe, layer: int, weights: Weights) -> tuple[Array, Array]:
    """Weights and bias of a layer as its products read them."""
    weight, bias = weights[recipe.weight_name(layer)], weights[recipe.bias_name(layer)]
    if not recipe.rounds(layer):
        return weight, bias
    shift = recipe.weight_bits(layer) - recipe.read_bits(layer)
    return rhu(weight, shift), rhu(bias, shift)


def _forward(
    recipe: Recipe, layer: int, used: tuple[Array, Array], operand: Array, index: int
) -> tuple[Array, Array]:
    rule, (weight, bias) = recipe.stages[layer].rule, used
    acc = _product(rule.forward, operand, weight, layer, index)
    acc = acc + bias.reshape(-1, *[1] * (len(rule.out) - 1))
    return acc, _checked(rhu(acc, recipe.forward_shift(layer)), layer, index)


def _returned(recipe: Recipe, layer: int, g: Array, w: Array, index: int) -> Array:
    """``G W``: the rule's backward product, or, where it reads windows, what flows to each tap
    of each window, summed over windows: the same integers, and far fewer of them.
    """
    stage = recipe.stages[layer]
    if not stage.rule.reads:
        return _product(stage.rule.backward, g, w, layer, index)
    inputs, out = stage.rule.forward.split("->")
    read, weight = inputs.split(",")
    taps = _product(f"{out},{weight}->{read}", g, w, layer, index)
    readers = prod(s.numbers[0] for s in stage.rule.reads)  # windows that read an entry, at most
    if int(np.abs(taps).max()) * readers >= 1 << 62:
        raise left("an accumulator", 62, layer, index)
    return gather_wire(stage.rule.reads, taps, (len(g), *stage.averaged))


def _head_gradient(recipe: Recipe, z: Array, labels: Array) -> Array:
    g = recipe.gradient_bits
    if recipe.loss == "square":
        return (z << (g - recipe.activation_bits)) - (labels << g)
    return softmax(recipe, z)["p"] - (labels << g)


def _update(recipe: Recipe, step: Step, weights: Weights, operands: list[Array]) -> None:
    moved = []
    for layer, (g, a) in enumerate(zip(step.gradients, operands, strict=True)):
        rule, count = recipe.stages[layer].rule, g.size // g.shape[1]
        if count * int(np.abs(g).max()) * max(1, int(np.abs(a).max())) >= MOST:
            raise left("an update", 61, layer, step.index)
        product = _product(rule.update, g, a, layer, step.index)
        moved.append((product, g.sum((0, *range(2, g.ndim)))))
    step.settled = move(recipe, step.index, weights, moved)


def predict(recipe: Recipe, weights: Weights, inputs: Array) -> Array:
    """Logits at ``2^-a`` of examples, by the master weights, (examples, classes).

    Parameters
    ----------
    recipe : Recipe
        Shapes and scales.
    weights : Weights
        All master weights.
    inputs : array, (examples, inputs)
        Bytes.
    """
    a = z = _entered(recipe, inputs)
    for layer, stage in enumerate(recipe.stages):
        used = _used(recipe, layer, weights)
        _, z = _forward(recipe, layer, used, _operand(stage, a), recipe.steps)
        a = np.maximum(z, 0)
    return z
