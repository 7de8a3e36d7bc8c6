"""The same training in float32, beside which the integers are judged: never proved.

Same start, same batches, unrounded learning rates; momentum and decay as ``torch.optim.SGD`` has
the one and AdamW the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.graph.training import Recipe
from veracity.graph.training.network import Stage
from veracity.graph.wires import apply_wire, gather_wire

__all__ = ["FloatNetwork"]

Floats = NDArray[np.float32]


class FloatNetwork:
    """The network of a recipe with weights in float32.

    Parameters
    ----------
    recipe : Recipe
        Layers, loss and scales.
    start : mapping
        Integer master weights that it starts from.
    momentum, decay : float
        Of SGD; decay is decoupled from the gradient.
    """

    def __init__(
        self,
        recipe: Recipe,
        start: Mapping[str, NDArray[np.int64]],
        momentum: float = 0.0,
        decay: float = 0.0,
    ) -> None:
        self.recipe, self._momentum, self._decay = recipe, momentum, decay
        self.weights: list[Floats] = []
        self.biases: list[Floats] = []
        for layer, stage in enumerate(recipe.stages):
            weight, bias = start[recipe.weight_name(layer)], start[recipe.bias_name(layer)]
            column = bias.reshape(-1, *[1] * (len(stage.rule.out) - 1))
            self.weights.append((weight * 2.0 ** -recipe.exponent(layer, False)).astype(np.float32))
            self.biases.append((column * 2.0 ** -recipe.exponent(layer, True)).astype(np.float32))
        self._moved = [np.zeros_like(p) for p in (*self.weights, *self.biases)]

    def _forward(self, inputs: NDArray[Any]) -> tuple[list[Floats], list[Floats]]:
        a = apply_wire(self.recipe.network.enter, (inputs / 256).astype(np.float32))
        read, found = [], []
        for stage, w, b in zip(self.recipe.stages, self.weights, self.biases, strict=True):
            mean = apply_wire(stage.pooled, a) / np.float32(stage.pool**2)
            read.append(apply_wire(stage.rule.reads, mean))
            found.append(np.einsum(stage.rule.forward, read[-1], w, optimize=True) + b)
            a = np.maximum(found[-1], 0)
        return read, found

    def predict(self, inputs: NDArray[Any]) -> Floats:
        """Logits of examples, (examples, classes)."""
        return self._forward(inputs)[1][-1]

    def step(self, examples: NDArray[Any], rate: float) -> float:
        """Do one step; returns the mean loss of the batch before it.

        Parameters
        ----------
        examples : array, (batch, inputs + classes)
            Bytes, then one-hot labels.
        rate : float
            Learning rate.
        """
        recipe, labels = self.recipe, examples[:, self.recipe.inputs :]
        read, z = self._forward(examples[:, : recipe.inputs])
        loss, g = _loss(recipe.loss, z[-1], labels)
        gradients: list[Floats] = []
        for layer in reversed(range(recipe.layers)):
            stage = recipe.stages[layer]
            moved, bias = g, g.sum((0, *range(2, g.ndim))).reshape(self.biases[layer].shape)
            if layer:
                g = _returned(stage, g, self.weights[layer])
                spread = apply_wire(stage.spread, g) / np.float32(stage.pool**2)
                g = (spread * (z[layer - 1] > 0)).astype(np.float32)
            weight = np.einsum(stage.rule.update, moved, read[layer], optimize=True)
            gradients = [weight, *gradients, bias]
        count = recipe.layers
        biases = gradients[count:][::-1]  # gathered from the last layer on
        scale, lost = np.float32(1 / len(examples)), np.float32(1 - rate * self._decay)
        parameters = [*self.weights, *self.biases]
        for p, v, d in zip(parameters, self._moved, [*gradients[:count], *biases], strict=True):
            v *= np.float32(self._momentum)
            v += d * scale
            p *= lost
            p -= np.float32(rate) * v
        return loss


def _returned(stage: Stage, g: Floats, weight: Floats) -> Floats:
    """What flows back to a layer's operand: to each tap of each window, then summed over them."""
    rule = stage.rule
    if not rule.reads:
        return np.asarray(np.einsum(rule.backward, g, weight, optimize=True))
    inputs, out = rule.forward.split("->")
    read, kernel = inputs.split(",")
    taps = np.einsum(f"{out},{kernel}->{read}", g, weight, optimize=True)
    return gather_wire(rule.reads, taps, (len(g), *stage.averaged)).astype(np.float32)


def _loss(kind: str, z: Floats, labels: NDArray[Any]) -> tuple[float, Floats]:
    """Mean loss of a batch, and its gradient at the logits, summed over the batch."""
    if kind == "square":
        g = z - labels
        return float((g**2).sum(1).mean() / 2), g.astype(np.float32)
    e = np.exp(z - z.max(1, keepdims=True))
    p = e / e.sum(1, keepdims=True)
    chosen = np.maximum((p * labels).sum(1), 1e-30)
    return float(-np.log(chosen).mean()), (p - labels).astype(np.float32)
