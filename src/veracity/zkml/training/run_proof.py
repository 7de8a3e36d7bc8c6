"""The messages of a training run: rows of the weights at every cut, and the proofs between them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from veracity.engine.api import POINT_BYTES
from veracity.errors import FormatError
from veracity.graph.training import Recipe
from veracity.zkml.committed import CommittedTensor
from veracity.zkml.training.state import state_specs

__all__ = ["RunProof"]


@dataclass(frozen=True)
class RunProof:
    """The messages of a run.

    Attributes
    ----------
    cuts : list of bytes
        Rows of all weights after each window, tensors in order of name.
    windows : list of bytes
        Proofs of the windows.
    roundings : list of bytes
        Proofs of the rounding, one for each stretch of weights.
    """

    cuts: list[bytes] = field(repr=False)
    windows: list[bytes] = field(repr=False)
    roundings: list[bytes] = field(repr=False)

    def tensors(self, recipe: Recipe) -> Iterator[dict[str, CommittedTensor]]:
        """Weights after each window; raises FormatError for a wrong number of rows."""
        specs = state_specs(recipe, recipe.steps)
        size = sum(s.rows for s in specs.values()) * POINT_BYTES
        for i, data in enumerate(self.cuts):
            if len(data) != size:
                raise FormatError(f"window {i + 1}", "its rows do not match the network")
            out, at = {}, 0
            for name, spec in specs.items():
                part = data[at : at + spec.rows * POINT_BYTES]
                out[name] = CommittedTensor(spec, part)
                at += len(part)
            yield out
