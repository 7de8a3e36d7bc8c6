"""The gradient of the loss at the logits, exact and deterministic.

Cross-entropy, for logits ``z = m - d`` of an example with one-hot label y, as in attention
(:mod:`veracity.zkml.ops.attention`), but without a mask::

    acc + 2^(s-1) - 2^s (m - d) in [0, 2^s)      m in 16 bits; (d, e) in the exponential table
    sum_c b = 1,  b d = 0                        some d is 0, hence m is the maximum
    I S = 2^31 - w,  0 <= w < S = sum_c e        I = floor(2^31 / S)
    p = rescale(e I, 31 - g),  G = p - 2^g y

Square loss: ``G = 2^(g - a) z - 2^g y`` with z the rescaled accumulator, looked up in 16 bits.
"""

from __future__ import annotations

import numpy as np

from veracity.engine.api import Ints
from veracity.graph.training import Recipe, Step
from veracity.graph.training.step import softmax
from veracity.zkml.circuit.builder import Builder
from veracity.zkml.circuit.tables import exponential, signed
from veracity.zkml.circuit.tensor import Tensor

__all__ = ["head_gradient"]

_OP = "loss"


def head_gradient(
    b: Builder, recipe: Recipe, acc: Tensor, labels: Tensor, step: Step | None
) -> Tensor:
    """``G_L`` from the last accumulator.

    Parameters
    ----------
    b : Builder
        The window's circuit.
    recipe : Recipe
        Scales and loss.
    acc : Tensor
        Accumulator of the last layer, (batch, classes).
    labels : Tensor
        One-hot labels.
    step : Step or None
        The prover's integers.
    """
    value = None if step is None else step.forward[-1]
    shift = recipe.forward_shift(recipe.layers - 1)
    one_hot = labels.bare() * (1 << recipe.gradient_bits)
    if recipe.loss == "square":
        z = b.rescaled(_OP, "logits", acc, value, shift)
        b.lookup(_OP, signed(16), z)
        gradient = z.bare() * (1 << (recipe.gradient_bits - recipe.activation_bits)) - one_hot
    else:
        gradient = _softmax(b, recipe, acc, value, shift) - one_hot
    return Tensor(gradient.dims, gradient.terms, None if step is None else step.gradients[-1])


def _softmax(b: Builder, recipe: Recipe, acc: Tensor, value: Ints | None, shift: int) -> Tensor:
    square, half = acc.dims, 1 << (shift - 1)
    examples, classes = square
    found: dict[str, Ints] = {}
    rest = pick = None
    if value is not None:
        shifted = value + half
        found = dict(softmax(recipe, shifted >> shift))
        rest = shifted & ((1 << shift) - 1)
        pick = np.zeros(square, dtype=np.int64)
        pick[np.arange(examples), (found["d"] == 0).argmax(1)] = 1
    m = b.ranged(_OP, "loss.max", (examples,), found.get("m"), signed(16))
    d = b.column("loss.distance", square, found.get("d"))
    e = b.column("loss.exp", square, found.get("e"))
    b.lookup(_OP, exponential(recipe.activation_bits), d, e)
    z = m.bare().broadcast(1, classes) - d.bare()
    b.remainder(_OP, "loss.r", acc.bare() - z * (1 << shift) + half, rest, shift)
    chosen = b.column("loss.pick", square, pick, free=True)
    b.zero(chosen.sum(1) - 1)
    b.product("bc,bc->bc", chosen, d, b.constant(0, square))
    inverse = b.reciprocal(_OP, "loss", e.sum(1), found.get("inverse"))
    return _probabilities(b, recipe, inverse, e)


def _probabilities(b: Builder, recipe: Recipe, inverse: Tensor, e: Tensor) -> Tensor:
    """``p = rescale(e I, 31 - g)``, at most ``2^g``."""
    value = None
    if e.value is not None and inverse.value is not None:
        value = e.value.astype(np.int64) * inverse.value.astype(np.int64)[:, None]
    acc = Tensor.product("b,bc->bc", inverse, e)
    return b.rescaled(_OP, "loss.p", acc, value, 31 - recipe.gradient_bits)
