r"""How weights move: exactly, at once or with momentum; what is rounded, at settle steps only.

With ``U_s = G_s^T A_s`` the product of step s (for a bias ``sum G_s``, at ``2^(2 a)``)::

    no momentum:   W <- W - m_s U_s
    momentum:      V_s = sum_(t0 <= u <= s) d_(s-u) U_u + d_(s-t0+1) V,     W <- W - m_s V_s

where a block begins with step ``t0`` and what was gathered before it, V. It ends, after its K-th
step or the run's last one, with::

    V <- rhu(V_s, f)
    W <- W + rhu(-lambda W, 16)             which is rhu((2^16 - lambda) W, 16)

Between settle steps everything is linear in products that a proof has anyway. Powers of momentum
are those of ``torch.optim.SGD`` without dampening; decay is decoupled from the gradient and takes
at once what belongs to all steps of a block.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from veracity.errors import RangeError
from veracity.graph.exact import rhu
from veracity.graph.training.recipe import DECAY_BITS, Recipe

__all__ = ["MOST", "WEIGHT_LIMIT", "Settled", "Weights", "left", "move"]

Array = NDArray[np.int64]
#: Master weights and biases by name; between blocks, what momentum has gathered, too.
Weights = dict[str, Array]

#: Weights stay below this, so that float64 holds them and products of them split exactly.
WEIGHT_LIMIT = 1 << 45
#: Updates and biases stay below this, so that no sum of two integers here leaves 64 bits.
MOST = 1 << 61


@dataclass
class Settled:
    """What a settle step rounds, by name.

    Attributes
    ----------
    gathered : dict of array
        ``V_s`` before it is rounded; empty without momentum.
    decaying : dict of array
        ``-lambda W``; empty without decay.
    """

    gathered: Weights = field(default_factory=dict)
    decaying: Weights = field(default_factory=dict)


def left(what: str, bits: int, layer: int, step: int) -> RangeError:
    """The error of a value that leaves its range.

    Parameters
    ----------
    what : str
        Which value.
    bits : int
        What it has to fit.
    layer, step : int
        Where.
    """
    where = f"layer {layer + 1} at step {step}"
    return RangeError(where, f"{what} leaves {bits} bits: lower the learning rate")


def move(recipe: Recipe, step: int, weights: Weights, moved: list[tuple[Array, Array]]) -> Settled:
    """Move all weights by the products of a step; new arrays take the places of the old ones.

    Parameters
    ----------
    recipe : Recipe
        Learning rates, momentum, decay.
    step : int
        Which step.
    weights : Weights
        All master weights, and the products of the block so far.
    moved : list of tuple
        For every layer ``G^T A`` and ``sum G``.

    Raises
    ------
    RangeError
        Where a weight leaves 45 bits, a bias or an update 61.
    """
    settled = Settled()
    for layer, products in enumerate(moved):
        names = recipe.weight_name(layer), recipe.bias_name(layer)
        scale = 1 << 2 * recipe.input_exponent(layer)
        for name, product, bias in zip(names, products, (False, True), strict=True):
            rate = recipe.rates[step] * (scale if bias else 1)
            if recipe.momentum:
                product = _gathered(recipe, step, weights, name, product, layer)
            if int(np.abs(product).max()) * max(1, abs(rate)) >= MOST:
                raise left("an update", 61, layer, step)
            weights[name] = weights[name] - rate * product
            if recipe.settles(step):
                _settle(recipe, step, weights, name, product, settled)
            if int(np.abs(weights[name]).max()) >= (MOST if bias else WEIGHT_LIMIT):
                raise left("a bias" if bias else "a weight", 61 if bias else 45, layer, step)
    return settled


def _gathered(
    recipe: Recipe, step: int, weights: Weights, name: str, product: Array, layer: int
) -> Array:
    """``V_s``; the products of a block so far stand beside the weights until it settles."""
    at, key = step % recipe.settle, f"block {name}"
    if at == 0:
        weights[key] = np.zeros((recipe.settle, *product.shape), dtype=np.int64)
    block, powers = weights[key], recipe.momentum
    block[at] = product
    before = weights.get(recipe.momentum_name(name))
    largest = int(np.abs(block[: at + 1]).max()) * sum(powers[: at + 1])
    largest += 0 if before is None else int(np.abs(before).max()) * powers[at + 1]
    if largest >= MOST:
        raise left("an update", 61, layer, step)
    total = np.tensordot(np.array(powers[at::-1], dtype=np.int64), block[: at + 1], 1)
    return np.asarray(total if before is None else total + powers[at + 1] * before)


def _settle(
    recipe: Recipe, step: int, weights: Weights, name: str, gathered: Array, settled: Settled
) -> None:
    if recipe.momentum:
        settled.gathered[name] = gathered
        weights[recipe.momentum_name(name)] = rhu(gathered, recipe.momentum_bits)
        del weights[f"block {name}"]
    if recipe.decays:
        lost = recipe.decays[step // recipe.settle]
        if int(np.abs(weights[name]).max()) * max(1, lost) >= MOST:
            raise RangeError(name, "a decaying weight leaves 61 bits: lower the weight decay")
        settled.decaying[name] = -lost * weights[name]
        weights[name] = weights[name] + rhu(settled.decaying[name], DECAY_BITS)
