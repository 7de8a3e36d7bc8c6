"""Trained tensors within a window: sums of products, and what settle steps commit to.

Between settle steps nothing is committed (:class:`Updates`). With ``V_s`` what momentum has
gathered and W a weight at the end of a block, a settle step commits to two tensors for each::

    V = rhu(V_s, f)               V_s + 2^(f-1) - 2^f V in [0, 2^f)
    D = rhu(-lambda W, 16)        -lambda W + 2^15 - 2^16 D in [0, 2^16),     W <- W + D

A window's last V is the boundary tensor that it hands over: it is committed to once.
``V_s`` and W are sums of products; the remainders are looked up without being committed. Both
columns are bounded by the projection: else ``(V_s - r) / 2^f mod p`` would fit for every r.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from veracity.engine.api import Ints
from veracity.graph.training import Recipe, Step
from veracity.graph.training.recipe import DECAY_BITS
from veracity.zkml.circuit.builder import Builder
from veracity.zkml.circuit.tensor import Tensor, Updates
from veracity.zkml.training.state import end_id, start_id, state_specs, weight_specs

__all__ = ["Moving", "handed", "moving_tensors"]


@dataclass
class Moving:
    """One trained tensor.

    Attributes
    ----------
    name : str
        Its name.
    updates : Updates
        What it is after each step.
    scale : int
        What its products are multiplied with beside the learning rate.
    gathered : Tensor or None
        What momentum had gathered when the block began.
    block : list of Tensor
        The products of the block so far.
    """

    name: str
    updates: Updates
    scale: int
    gathered: Tensor | None
    block: list[Tensor] = field(default_factory=list)

    def now(self) -> Tensor:
        """The tensor as it is now."""
        return self.updates.now()

    def move(
        self,
        b: Builder,
        recipe: Recipe,
        t: int,
        product: Tensor,
        step: Step | None,
        last: bool,
    ) -> None:
        """Move by the product of a step, and settle where a block ends.

        Parameters
        ----------
        b : Builder
            The window's circuit.
        recipe : Recipe
            Learning rates, momentum, decay.
        t : int
            Which step.
        product : Tensor
            ``G^T A``, or for a bias ``sum G``.
        step : Step or None
            The prover's integers.
        last : bool
            Whether the window ends with it: what momentum has gathered is handed over.
        """
        parts = [(1, product)]
        if recipe.momentum:
            self.block.append(product)
            parts = [
                (recipe.momentum[len(self.block) - 1 - u], p) for u, p in enumerate(self.block)
            ]
            if self.gathered is not None:
                parts.append((recipe.momentum[len(self.block)], self.gathered))
        rate = -recipe.rates[t] * self.scale
        self.updates.add(*[(rate * d, p) for d, p in parts])
        if not recipe.settles(t):
            return
        settled = None if step is None else step.settled
        if recipe.momentum:
            total = _total(parts)
            value = None if settled is None else settled.gathered[self.name]
            bits = recipe.momentum_bits
            name, handed = recipe.momentum_name(self.name), None
            if last:
                handed = end_id(name), state_specs(recipe, t + 1)[name]
            self.gathered = b.rescaled(name, "momentum", total, value, bits, handed=handed)
            self.block = []
        if recipe.decays:
            lost = recipe.decays[t // recipe.settle]
            value = None if settled is None else settled.decaying[self.name]
            total = self.now().bare() * -lost
            gone = b.rescaled(f"decay of {self.name}", "decay", total, value, DECAY_BITS)
            self.updates.add((1, gone))


def _total(parts: list[tuple[int, Tensor]]) -> Tensor:
    (scale, first), *others = parts
    total = first.bare() * scale
    for scale, part in others:
        total = total + part.bare() * scale
    return total


def moving_tensors(b: Builder, recipe: Recipe, first: int) -> dict[str, Moving]:
    """All trained tensors as a window receives them, by name.

    Parameters
    ----------
    b : Builder
        The window's circuit.
    recipe : Recipe
        Shapes and scales.
    first : int
        The window's first step, with which a block begins.
    """
    out = {}
    for layer in range(recipe.layers):
        names = recipe.weight_name(layer), recipe.bias_name(layer)
        scales = 1, 1 << 2 * recipe.input_exponent(layer)
        for name, scale in zip(names, scales, strict=True):
            gathered = None
            if recipe.momentum and first:
                gathered = b.array(start_id(recipe.momentum_name(name)))
            out[name] = Moving(name, Updates(b.array(start_id(name))), scale, gathered)
    return out


def handed(
    recipe: Recipe, tensors: Mapping[str, Moving], end: Mapping[str, Ints] | None
) -> Iterator[tuple[str, Tensor]]:
    """The weights that a window hands over, by name, with the prover's integers.

    What momentum has gathered stands under its boundary tensor since the last settle step.

    Parameters
    ----------
    recipe : Recipe
        What is trained.
    tensors : mapping
        All trained tensors after the last step.
    end : mapping, optional
        Integers of the weights.
    """
    for name in weight_specs(recipe):
        now = tensors[name].now()
        yield name, Tensor(now.dims, now.terms, None if end is None else end[name])
