"""Fine-tuning: a run whose first weights stand under the commitment of another model.

A committed weight ``W'`` at ``2^-e`` becomes the master weight ``W_0 = 2^(w - e) W'`` at ``2^-w``.
A public factor is linear: the rows of ``W_0`` are those of ``W'`` times it, and whoever opens the
one opens the other. So nothing is proved about the start, and nobody commits to it again.

``W'`` are integers below ``2^49`` by the model's own proof of well-formedness, which a verifier of
training requires; without it a "weight" might be any field element.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from veracity.engine.api import Engine, Ints
from veracity.errors import UsageError
from veracity.graph import Program
from veracity.graph.training import Recipe, Weights
from veracity.zk.mle import ones
from veracity.zkml.boundary import Boundary
from veracity.zkml.circuit.declared import weight_id
from veracity.zkml.committed import CommittedTensor, TensorSpec
from veracity.zkml.model import ModelCommitment, ModelOpening, weight_arrays
from veracity.zkml.training.state import start_id, weight_specs

__all__ = ["BaseModel"]


@dataclass(frozen=True)
class BaseModel:
    """The model that a run starts from, as everybody sees it.

    Attributes
    ----------
    program : Program
        Its program: names, dims and exponents of its weights.
    commitment : ModelCommitment
        Their rows.
    """

    program: Program
    commitment: ModelCommitment = field(repr=False)

    def check(self, recipe: Recipe) -> None:
        """Raise UsageError unless its weights are those of the recipe's network, laid out alike."""
        specs = weight_specs(recipe)
        missing = set(specs) ^ set(self.program.weights)
        if missing:
            raise UsageError(
                f"the model to start from has not the recipe's layers: {min(missing)!r} is in one "
                "of them only"
            )
        for name, spec in specs.items():
            weight = self.program.weights[name]
            if tuple(weight.shape) != spec.dims:
                raise UsageError(f"{name!r} of the model to start from has other dims")
            if not 0 <= weight.exponent <= spec.exponent:
                raise UsageError(
                    f"{name!r} of the model to start from is finer than weights while training; "
                    "give learning rates more bits (q)"
                )

    def _specs(self, recipe: Recipe) -> dict[str, TensorSpec]:
        """How the first weights lie: in rows as long as the model's."""
        length = self.commitment.log_columns
        return {n: replace(s, row_bits=length) for n, s in weight_specs(recipe).items()}

    def _factors(self, recipe: Recipe) -> dict[str, int]:
        """``2^(w - e)`` of every weight."""
        return {
            name: 1 << (spec.exponent - self.program.weights[name].exponent)
            for name, spec in weight_specs(recipe).items()
        }

    def tensors(self, engine: Engine, recipe: Recipe) -> dict[str, CommittedTensor]:
        """The first weights as everybody sees them.

        Raises
        ------
        FormatError
            The commitment's rows are no points, or of another number than its weights need.
        """
        held, out, specs = self.commitment.tensors(self.program), {}, self._specs(recipe)
        for name, factor in self._factors(recipe).items():
            points = held[name].points(engine, f"model to start from, {name}")
            scaled = engine.scale_points(points, engine.scale(ones(engine, len(points)), factor))
            out[name] = CommittedTensor(specs[name], engine.compress(scaled))
        return out

    def weights(self, recipe: Recipe, held: Mapping[str, Ints]) -> Weights:
        """The first weights, from the model's own integers."""
        return {
            name: np.asarray(held[name]).astype(np.int64) * factor
            for name, factor in self._factors(recipe).items()
        }

    def boundaries(
        self,
        engine: Engine,
        recipe: Recipe,
        held: Mapping[str, Ints],
        opening: ModelOpening,
    ) -> dict[str, Boundary]:
        """The first weights as their owner holds them.

        Parameters
        ----------
        engine : Engine
            Backend.
        recipe : Recipe
            Shapes and scales.
        held : mapping
            The model's integers.
        opening : ModelOpening
            What opens its commitment.

        Raises
        ------
        UsageError
            The opening belongs to another commitment.
        """
        arrays = weight_arrays(engine, self.program, held, (self.commitment, opening))
        tensors, weights = self.tensors(engine, recipe), self.weights(recipe, held)
        specs, out = self._specs(recipe), {}
        for name, factor in self._factors(recipe).items():
            blinds = engine.scale(arrays[weight_id(name)].blinds, factor)
            array = specs[name].arrays(start_id(name), weights[name], blinds)
            out[name] = Boundary(tensors[name], array)
        return out
