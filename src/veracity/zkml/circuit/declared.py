"""What a circuit declares: arrays by name, batches of them, lookups."""

from __future__ import annotations

from dataclasses import dataclass, field

from veracity.engine.api import Ints
from veracity.records import record
from veracity.zk.committed import ArrayId
from veracity.zk.projection import ENTRY_BITS
from veracity.zkml.circuit.tables import Table
from veracity.zkml.circuit.tensor import Tensor
from veracity.zkml.committed import TensorSpec

__all__ = ["Batch", "Given", "LookupUse", "boundary_id", "port_id", "weight_id", "witness_id"]


def witness_id(role: str, dims: tuple[int, ...]) -> ArrayId:
    """Name of the batch of witness arrays of a role."""
    return ArrayId("witness", role, dims)


def weight_id(name: str) -> ArrayId:
    """Name of a weight."""
    return ArrayId("weight", name)


def boundary_id(name: str) -> ArrayId:
    """Name of a value that crosses from one circuit to another."""
    return ArrayId("boundary", name)


def port_id(name: str) -> ArrayId:
    """Name of an input that the statement commits to."""
    return ArrayId("port", name)


@record
class LookupUse:
    """Every entry of ``value`` (with ``image``) stands in ``table``; masked entries are exempt."""

    op: str
    table: Table
    value: Tensor
    image: Tensor | None
    causal: bool


@dataclass
class Batch:
    """Committed arrays of one role and shape, one per instance.

    Attributes
    ----------
    id : ArrayId
        Role and dims.
    dims : tuple of int
        Dims of an instance.
    joint : bool
        Claims weigh the last two axes together, so they must stay adjacent.
    bounded : bool
        The projection bounds every entry (:mod:`veracity.zk.projection`).
    spec : TensorSpec or None
        For a tensor that leaves the circuit: it stands alone, laid out by its own spec.
    """

    id: ArrayId
    dims: tuple[int, ...]
    joint: bool
    bounded: bool
    spec: TensorSpec | None = None
    values: list[Ints] = field(default_factory=list)
    count: int = 0


@record
class Given:
    """A tensor that was committed before the circuit: a weight, or what another one hands over.

    Attributes
    ----------
    spec : TensorSpec
        Its dims and layout.
    value : Ints or None
        The prover's integers.
    bounded : bool
        This circuit's projection bounds every entry, as nobody else does.
    limit : int
        What entries cannot exceed in magnitude, as whoever committed it has shown.
    stacked : bool
        Relations read it by indices of its first axis, like instances of a batch.
    """

    spec: TensorSpec
    value: Ints | None = field(default=None, repr=False)
    bounded: bool = False
    limit: int = (1 << ENTRY_BITS) - 1
    stacked: bool = False
