"""Tensors that stand alone under a commitment, as their prover holds them.

Values at a boundary between two links, sealed inputs, and outputs for other proofs to take up.
"""

from __future__ import annotations

from dataclasses import field, replace

from veracity.engine.api import Engine, Ints
from veracity.records import record
from veracity.zk.committed import ArrayId, CommittedArray, commit_array
from veracity.zk.keys import CommitmentKey
from veracity.zkml.committed import CommittedTensor, TensorSpec, row_blinds

__all__ = ["Boundary", "seal"]


@record
class Boundary:
    """The prover's side of a tensor that one link hands over and others receive.

    Attributes
    ----------
    tensor : CommittedTensor
        What everybody sees.
    array : CommittedArray
        Integers and blinds; secret.
    """

    tensor: CommittedTensor
    array: CommittedArray = field(repr=False)

    def named(self, name: ArrayId) -> CommittedArray:
        """The prover's array under the name that a circuit knows it by."""
        return replace(self.array, shape=self.tensor.spec.shape(name))

    @property
    def values(self) -> Ints:
        """The integers in natural order."""
        order = self.tensor.spec.order
        natural = sorted(range(len(order)), key=lambda axis: order[axis])
        return self.array.values.transpose(natural)


def seal(
    engine: Engine, key: CommitmentKey, spec: TensorSpec, values: Ints, seed: bytes, domain: bytes
) -> Boundary:
    """Commit to a tensor of its own: a sealed input, or an output for another proof to take up.

    Parameters
    ----------
    engine, key : Engine, CommitmentKey
        Backend and generators.
    spec : TensorSpec
        Dims, range and layout.
    values : array
        The integers, in natural order.
    seed : bytes
        32 secret bytes from the operating system.
    domain : bytes
        What the tensor is: one domain is never used for two values under a seed.
    """
    blinds = row_blinds(engine, seed, domain, spec.rows)
    array = spec.arrays(ArrayId("sealed", ""), values, blinds)
    points = commit_array(engine, key, array.shape, array.values, blinds)
    return Boundary(CommittedTensor(spec, engine.compress(points)), array)
