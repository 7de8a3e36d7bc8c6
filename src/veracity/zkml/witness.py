"""Committing to the witness: columns, then the projection that bounds them, then multiplicities."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from veracity.engine.api import POINT_BYTES, Engine, Ints, Points
from veracity.errors import FormatError
from veracity.zk.columns import ColumnData, ColumnShape, commit_column
from veracity.zk.keys import CommitmentKey
from veracity.zk.ledger import Channel
from veracity.zk.mle import axis_bits, axis_points
from veracity.zk.projection import (
    ROWS,
    Directions,
    draw_directions,
    limbs_of,
    project,
    projection_claim,
)
from veracity.zk.reduction import LinearClaim, Term
from veracity.zk.transcript import ProverTranscript, VerifierTranscript
from veracity.zkml.circuit import Circuit
from veracity.zkml.lookups import LookupPlan, count_multiplicities
from veracity.zkml.relations import Resolver
from veracity.zkml.tensor import ColumnSource, Tensor

__all__ = ["Witness", "bound_claim", "commit_witness", "read_witness"]

Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class Witness:
    """The prover's columns, and what was fixed while they were committed."""

    columns: dict[str, ColumnData]
    plan: LookupPlan
    multiplicities: dict[str, Ints]
    directions: list[Directions]


def commit_witness(
    engine: Engine,
    key: CommitmentKey,
    circuit: Circuit,
    transcript: ProverTranscript,
    progress: Progress,
) -> Witness:
    """Commit to every column of the witness, then to the projection and the multiplicities."""
    columns: dict[str, ColumnData] = {}
    total = len(circuit.witness_shapes())

    def commit(shape: ColumnShape, values: Ints) -> None:
        blinds = engine.random(shape.layout(key.log_columns).rows)
        points = commit_column(engine, key, shape, values, blinds)
        transcript.write(f"column {shape.name}", engine.compress(points))
        columns[shape.name] = ColumnData(shape, values, blinds)
        progress("commit", len(columns) / total)

    late = _stack_of(circuit.projection)
    for name, layout in circuit.own.items():
        if name != late:
            commit(layout.shape, layout.store(circuit.builder.stacks[name].values))
    directions = draw_directions(transcript.challenge_bytes, circuit.bounded())
    limbs = limbs_of(project(directions, {n: c.values for n, c in columns.items()}))
    commit(circuit.layouts[late].shape, circuit.layouts[late].store(limbs))
    sources = [source for limb in circuit.projection for source, _ in limb.terms]
    plan = circuit.plan.fill(dict(zip(sources, limbs, strict=True)))
    multiplicities = count_multiplicities(plan)
    for shape in plan.columns():
        commit(shape, multiplicities[shape.name])
    return Witness(columns, plan, multiplicities, directions)


def _stack_of(tensors: Sequence[Tensor]) -> str:
    """The stack that tensors which are plain columns share."""
    (name,) = {s.stack for t in tensors for s, _ in t.terms if isinstance(s, ColumnSource)}
    return name


def bound_claim(
    channel: Channel,
    resolver: Resolver,
    engine: Engine,
    circuit: Circuit,
    directions: Sequence[Directions],
) -> LinearClaim:
    """The claim that ties the projection to the columns it bounds."""
    point = channel.challenges("projection point", 2 * axis_bits(ROWS))

    def limbs(scale: Sequence[int], at: Sequence[int]) -> Term:
        axes = tuple((1, engine.eq(p, ROWS)) for p in axis_points(at, (ROWS, ROWS)))
        (term,) = resolver.resolve(circuit.projection, scale, axes).terms
        return term

    return projection_claim(engine, directions, limbs, point)


def read_witness(
    engine: Engine, key: CommitmentKey, circuit: Circuit, transcript: VerifierTranscript
) -> tuple[dict[str, Points], list[Directions]]:
    """Read the commitments to the witness; lengths come from the circuit."""
    shapes, late = circuit.witness_shapes(), _stack_of(circuit.projection)
    counts = [s.layout(key.log_columns).rows for s in shapes]
    directions: list[Directions] = []
    data = bytearray()
    for shape, n in zip(shapes, counts, strict=True):
        if shape.name == late:
            directions = draw_directions(transcript.challenge_bytes, circuit.bounded())
        data += transcript.read(f"column {shape.name}", n * POINT_BYTES)
    try:
        points = engine.decompress(bytes(data))
    except ValueError as error:
        raise FormatError("proof, columns", "not a point of the group") from error
    out, at = {}, 0
    for shape, n in zip(shapes, counts, strict=True):
        out[shape.name] = points[at : at + n]
        at += n
    return out, directions
