"""A recipe: everything about a training run that has meaning, as public integers.

A network (:mod:`veracity.graph.training.network`) is trained by stochastic gradient descent. An
activation ``A_l`` is an integer at ``2^-a_l``, a gradient ``G_l`` at ``2^-g``, a weight ``W_l`` at
``2^-w_l`` with ``w_l = a_(l-1) + g + q``, a bias at ``2^-(a_(l-1) + w_l)``. The learning rate of
step ``t`` is the integer ``m_t``: ``eta_t = m_t B 2^-q`` for batches of B examples. An update is
then a product of integers at the weights' own scale, and nothing in it is rounded. Averages over
squares of ``4^p`` entries are their sums at ``2^-(a_l + 2 p)``.

With ``weights = "rounded"`` a convolution reads ``rhu(W, w - r)``, ``r = 16 + a - a_(l-1)``, and
its bias alike: its results and the gradients behind it drop 16 bits then.

With momentum or weight decay, steps come in blocks of K, and each block ends with a *settle step*
(:mod:`veracity.graph.training.update`). Momentum's powers are integers ``d_j`` at ``2^-f``, and
weights are finer by f bits; decay takes ``lambda_i 2^-16`` of the weights at the end of block i.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import groupby
from math import prod

from veracity.codec import canonical_json
from veracity.errors import UsageError
from veracity.graph.training.network import Network, Stage

__all__ = ["DATA_EXPONENT", "DECAY_BITS", "LOSSES", "WEIGHTS", "Recipe"]

#: Inputs are bytes at 2^-8.
DATA_EXPONENT = 8
#: Losses that have a gradient here.
LOSSES = ("cross_entropy", "square")
#: How layers read their weights: as they are, or convolutions rounded ones.
WEIGHTS = ("exact", "rounded")

#: A weight loses ``lambda 2^-16`` of itself at the end of a block.
DECAY_BITS = 16
#: Most steps of a block: all that moved the weights in it is kept while it lasts.
MOST_SETTLE = 64

#: Bits of an activation with its sign; more is an error while training.
ACTIVATION_BITS = 16

_MOST = {"batch": 1 << 12, "steps": 1 << 20, "rate": 1 << 20}


@dataclass(frozen=True)
class Recipe:
    """The public integers of a run.

    Attributes
    ----------
    network : Network
        Layers and what they read.
    batch : int
        Examples per step.
    rates : tuple of int
        ``m_t`` of every step.
    activation_bits, gradient_bits, rate_bits : int
        a, g and q.
    weight_exponent : int
        Exponent of the weights that the model is published with.
    loss : str
        ``cross_entropy`` or ``square``.
    rounded : bool
        Whether convolutions read their weights rounded, so that less is rounded behind them.
    settle : int
        K, steps of a block; 0 where there is neither momentum nor decay.
    momentum_bits : int
        f; 0 without momentum.
    momentum : tuple of int
        ``d_0 .. d_K``; empty without momentum.
    decays : tuple of int
        ``lambda`` of every block; empty without decay.
    """

    network: Network
    batch: int
    rates: tuple[int, ...]
    activation_bits: int = 8
    gradient_bits: int = 8
    rate_bits: int = 12
    weight_exponent: int = 12
    loss: str = "cross_entropy"
    rounded: bool = False
    settle: int = 0
    momentum_bits: int = 0
    momentum: tuple[int, ...] = ()
    decays: tuple[int, ...] = ()

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The layers with weights."""
        return self.network.stages

    @property
    def layers(self) -> int:
        """Number of layers with weights."""
        return len(self.network.stages)

    @property
    def widths(self) -> tuple[int, ...]:
        """Entries of an example's input and of the results of every layer with weights."""
        return (self.inputs, *[prod(s.rule.out) for s in self.stages])

    @property
    def steps(self) -> int:
        """Number of steps."""
        return len(self.rates)

    @property
    def inputs(self) -> int:
        """Entries of an example's input."""
        return prod(self.network.input)

    @property
    def classes(self) -> int:
        """Width of the last layer."""
        return self.stages[-1].rule.out[0]

    @property
    def example_size(self) -> int:
        """Entries of an example: its input, then its label as a one-hot vector."""
        return self.inputs + self.classes

    def input_exponent(self, layer: int) -> int:
        """Exponent of what a layer reads: averages are finer than their entries."""
        before = self.activation_bits if layer else DATA_EXPONENT
        return before + self.stages[layer].pool_bits

    def weight_bits(self, layer: int) -> int:
        """``w_l``: exponent of a layer's weights while training."""
        bits = self.gradient_bits + self.rate_bits + self.momentum_bits
        return self.input_exponent(layer) + bits

    def rounds(self, layer: int) -> bool:
        """Whether a layer reads its weights rounded: few weights, many results."""
        return self.rounded and self.stages[layer].rule.positions > 1

    def read_bits(self, layer: int) -> int:
        """Exponent of a layer's weights as products read them; a result then drops 16 bits."""
        if self.rounds(layer):
            return 16 + self.activation_bits - self.input_exponent(layer)
        return self.weight_bits(layer)

    def forward_shift(self, layer: int) -> int:
        """Bits that a layer's accumulator drops."""
        return self.input_exponent(layer) + self.read_bits(layer) - self.activation_bits

    def backward_shift(self, layer: int) -> int:
        """Bits that the gradient of a layer's input drops, before averages where there are any."""
        return self.read_bits(layer) + self.stages[layer].pool_bits

    def rounding_shift(self, layer: int) -> int:
        """Bits that the published weights drop."""
        return self.weight_bits(layer) - self.weight_exponent

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Dims of all weights and biases by name, as ``torch.nn.Sequential`` names them."""
        out: dict[str, tuple[int, ...]] = {}
        for i, stage in enumerate(self.stages):
            out[self.weight_name(i)] = stage.rule.weight
            out[self.bias_name(i)] = stage.rule.weight[:1]
        return out

    def weight_name(self, layer: int) -> str:
        """Name of a layer's weights."""
        return f"{self.stages[layer].name}.weight"

    def bias_name(self, layer: int) -> str:
        """Name of a layer's bias."""
        return f"{self.stages[layer].name}.bias"

    @property
    def blocks(self) -> int:
        """How many blocks there are; the last one may be shorter."""
        return -(-self.steps // self.settle) if self.settle else 0

    def settles(self, step: int) -> bool:
        """Whether a block ends with this step: the run's last one always does."""
        return bool(self.settle) and ((step + 1) % self.settle == 0 or step + 1 == self.steps)

    @staticmethod
    def momentum_name(name: str) -> str:
        """Name of what a trained tensor has gathered at a settle step."""
        return f"momentum {name}"

    def state(self, step: int) -> dict[str, tuple[int, ...]]:
        """Dims of everything that the step reads but the data, where it begins a block."""
        out = self.shapes()
        if self.momentum and step:
            out |= {self.momentum_name(name): dims for name, dims in out.items()}
        return dict(sorted(out.items()))

    def exponent(self, layer: int, bias: bool) -> int:
        """Exponent of a trained tensor."""
        return self.weight_bits(layer) + (self.input_exponent(layer) if bias else 0)

    def validate(self) -> None:
        """Raise UsageError for a recipe that has no meaning or no proof."""
        a, g, q = self.activation_bits, self.gradient_bits, self.rate_bits
        self.network.validate()
        if not 1 <= self.batch <= _MOST["batch"]:
            raise UsageError("a batch has 1 to 4096 examples")
        if not 1 <= self.steps <= _MOST["steps"]:
            raise UsageError("a run has 1 to 1048576 steps")
        if any(abs(m) > _MOST["rate"] for m in self.rates):
            raise UsageError("a learning rate is too large; give it fewer bits (q)")
        counted = self.batch * max(s.rule.positions for s in self.stages)
        counted *= sum(self.momentum) if self.momentum else 1
        if counted * self.steps * max(1, *map(abs, self.rates)) > 1 << 50:
            raise UsageError(
                "batch, positions, steps, momentum and learning rates together exceed 2^50"
            )
        if self.loss not in LOSSES:
            raise UsageError(f"no loss {self.loss!r}; known: {', '.join(LOSSES)}")
        if self.loss == "square" and g < a:
            raise UsageError("with the square loss gradients need at least the activations' bits")
        if not (4 <= a <= 12 and 4 <= g <= 15 and 4 <= q <= 20):
            raise UsageError("integer widths leave 4..12 (a), 4..15 (g), 4..20 (q)")
        if self.weight_exponent < 0:
            raise UsageError("published weights have at least 0 bits after the point")
        self._validate_blocks()
        for layer in range(self.layers):
            shifts = (
                self.forward_shift(layer),
                self.backward_shift(layer),
                self.rounding_shift(layer),
            )
            if not all(1 <= s <= 48 for s in shifts):
                raise UsageError("a rescale drops 1 to 48 bits; choose other integer widths")
            if self.rounds(layer) and self.read_bits(layer) >= self.weight_bits(layer):
                raise UsageError("weights are too coarse to be rounded; raise q")
            if self.weight_bits(layer) < 14:
                raise UsageError("weights have at least 14 bits while training; raise q")

    def _validate_blocks(self) -> None:
        k, f = self.settle, self.momentum_bits
        if not 0 <= k <= MOST_SETTLE or bool(k) != bool(self.momentum or self.decays):
            raise UsageError("momentum and weight decay settle every 1 to 64 steps")
        if self.momentum:
            if len(self.momentum) != k + 1 or not 1 <= f <= 8 or self.momentum[0] != 1 << f:
                raise UsageError("momentum has a power for each step of a block and one more")
            if any(not 0 <= d <= 1 << f for d in self.momentum):
                raise UsageError("powers of momentum lie between 0 and 1")
        elif f:
            raise UsageError("bits of momentum without momentum")
        if self.decays and len(self.decays) != self.blocks:
            raise UsageError("weight decay has a number for each block")
        if any(not 0 <= x < 1 << DECAY_BITS for x in self.decays):
            raise UsageError("weight decay takes less than all of a weight")

    def to_json(self) -> dict[str, object]:
        """A canonical description, learning rates as runs of equal ones."""
        return {
            "input": list(self.network.input),
            "layers": list(self.network.layers),
            "batch": self.batch,
            "rates": _runs(self.rates),
            "integers": [self.activation_bits, self.gradient_bits, self.rate_bits],
            "weight_exponent": self.weight_exponent,
            "loss": self.loss,
            "weights": WEIGHTS[self.rounded],
            "settle": self.settle,
            "momentum": [self.momentum_bits, *self.momentum],
            "decays": _runs(self.decays),
        }

    @property
    def digest(self) -> bytes:
        """SHA-256 of the description."""
        return hashlib.sha256(b"veracity recipe v3" + canonical_json(self.to_json())).digest()


def _runs(numbers: tuple[int, ...]) -> list[list[int]]:
    return [[n, len(list(same))] for n, same in groupby(numbers)]
