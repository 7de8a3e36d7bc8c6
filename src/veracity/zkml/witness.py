"""Committing to the witness: arrays, then the projection that bounds them, then multiplicities."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from veracity.engine.api import POINT_BYTES, Engine, Ints, Points
from veracity.errors import FormatError
from veracity.records import record
from veracity.zk.committed import ArrayId, ArrayShape, CommittedArray, commit_array
from veracity.zk.hidden import HiddenChannel
from veracity.zk.keys import CommitmentKey
from veracity.zk.mle import axis_bits, axis_points
from veracity.zk.projection import (
    ROWS,
    Directions,
    draw_directions,
    limbs_of,
    project,
    projection_claim,
)
from veracity.zk.randomness import hedged_scalars
from veracity.zk.reduction import LinearClaim, Term
from veracity.zk.transcript import ProverTranscript, VerifierTranscript
from veracity.zkml.circuit.build import Circuit
from veracity.zkml.circuit.lookups import LookupPlan, count_multiplicities
from veracity.zkml.circuit.relations import Resolver
from veracity.zkml.circuit.tensor import ArraySource, Tensor

__all__ = ["Witness", "bound_claim", "commit_witness", "read_witness"]

Progress = Callable[[str, float], None]


@record
class Witness:
    """The prover's arrays, and what was fixed while they were committed.

    Attributes
    ----------
    arrays : dict
        What this circuit commits to within its own transcript.
    plan : LookupPlan
        The lookups, with the integers of the projection.
    multiplicities : dict
        How often each table entry is looked up.
    directions : list of Directions
        The random directions of the projection.
    """

    arrays: dict[ArrayId, CommittedArray]
    plan: LookupPlan
    multiplicities: dict[ArrayId, Ints]
    directions: list[Directions]


def commit_witness(
    engine: Engine,
    key: CommitmentKey,
    circuit: Circuit,
    earlier: Mapping[ArrayId, CommittedArray],
    transcript: ProverTranscript,
    secret: bytes,
    progress: Progress,
) -> Witness:
    """Commit to every array of the witness, then to the projection and the multiplicities.

    Parameters
    ----------
    engine, key : Engine, CommitmentKey
        Backend and generators.
    circuit : Circuit
        With the prover's integers.
    earlier : mapping
        Arrays that were committed before this transcript began.
    transcript : ProverTranscript
        Where the rows go.
    secret : bytes
        Hedges the blinds.
    progress : callable
        Receives (phase, fraction done).
    """
    arrays: dict[ArrayId, CommittedArray] = {}
    total = len(circuit.witness_shapes())

    def commit(shape: ArrayShape, values: Ints) -> None:
        rows = shape.layout(key.log_columns).rows
        blinds = hedged_scalars(engine, secret, transcript.state(), rows)
        points = commit_array(engine, key, shape, values, blinds)
        transcript.write(str(shape.id), engine.compress(points))
        arrays[shape.id] = CommittedArray(shape, values, blinds)
        progress("commit", len(arrays) / total)

    late = _batch_of(circuit.projection)
    for name, layout in circuit.own.items():
        if name != late:
            commit(
                layout.shape, layout.store(circuit.builder.batches[name].values, engine.integers)
            )
    directions = draw_directions(transcript.challenge_bytes, circuit.bounded())
    known = {n: a.values for n, a in {**earlier, **arrays}.items()}
    limbs = limbs_of(project(engine, directions, known))
    commit(circuit.layouts[late].shape, circuit.layouts[late].store(limbs, engine.integers))
    sources = [source for limb in circuit.projection for source, _ in limb.terms]
    plan = circuit.plan.fill(dict(zip(sources, limbs, strict=True)))
    multiplicities = count_multiplicities(engine, plan)
    for shape in plan.arrays():
        commit(shape, multiplicities[shape.id])
    return Witness(arrays, plan, multiplicities, directions)


def _batch_of(tensors: Sequence[Tensor]) -> ArrayId:
    """The batch that tensors share which are plain arrays."""
    (name,) = {s.id for t in tensors for s, _ in t.terms if isinstance(s, ArraySource)}
    return name


def bound_claim(
    channel: HiddenChannel,
    resolver: Resolver,
    engine: Engine,
    circuit: Circuit,
    directions: Sequence[Directions],
) -> LinearClaim:
    """The claim that ties the projection to the arrays it bounds.

    Parameters
    ----------
    channel : Channel
        Draws the point.
    resolver : Resolver
        Of the circuit.
    engine : Engine
        Backend.
    circuit : Circuit
        With the limbs of the projection.
    directions : sequence of Directions
        As drawn after the arrays were committed.
    """
    point = channel.challenges("projection point", 2 * axis_bits(ROWS))

    def limbs(scale: Sequence[int], at: Sequence[int]) -> Term:
        axes = tuple((1, engine.eq(p, ROWS)) for p in axis_points(at, (ROWS, ROWS)))
        (term,) = resolver.resolve(circuit.projection, scale, axes).terms
        return term

    return projection_claim(engine, directions, limbs, point)


def read_witness(
    engine: Engine, key: CommitmentKey, circuit: Circuit, transcript: VerifierTranscript
) -> tuple[dict[ArrayId, Points], list[Directions]]:
    """Read the commitments to the witness; lengths come from the circuit.

    Parameters
    ----------
    engine, key : Engine, CommitmentKey
        Backend and generators.
    circuit : Circuit
        Public shapes.
    transcript : VerifierTranscript
        Where the rows come from.
    """
    shapes, late = circuit.witness_shapes(), _batch_of(circuit.projection)
    counts = [s.layout(key.log_columns).rows for s in shapes]
    directions: list[Directions] = []
    data = bytearray()
    for shape, n in zip(shapes, counts, strict=True):
        if shape.id == late:
            directions = draw_directions(transcript.challenge_bytes, circuit.bounded())
        data += transcript.read(str(shape.id), n * POINT_BYTES)
    try:
        points = engine.decompress(bytes(data))
    except ValueError as error:
        raise FormatError("proof, witness", "not a point of the group") from error
    out, at = {}, 0
    for shape, n in zip(shapes, counts, strict=True):
        out[shape.id] = points[at : at + n]
        at += n
    return out, directions
