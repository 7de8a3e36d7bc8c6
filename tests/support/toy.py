"""A small statement over the zk layer alone: every entry of a hidden array stands in a public
table.

It goes through every sub-protocol: row commitments, lookup, deferred products, evaluation,
opening. The tests cheat with it in all ways.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from veracity.engine import load_engine
from veracity.engine.api import ORDER, Engine, FractionBlock, Leaves
from veracity.zk.batch import GroupEquation, require_all
from veracity.zk.committed import ArrayId, ArrayShape, CommittedArray, commit_array
from veracity.zk.fractions import axis_tables, place
from veracity.zk.hidden import HiddenProver, HiddenVerifier
from veracity.zk.keys import CommitmentKey, load_key
from veracity.zk.lookup import LeafClaim, prove_lookups, verify_lookups
from veracity.zk.mle import eq_at, kron, ones
from veracity.zk.opening import prove_opening, verify_opening
from veracity.zk.reduction import LinearClaim, Term, reduce_prover, reduce_verifier
from veracity.zk.transcript import ProverTranscript, Span, VerifierTranscript

DIMS = (3, 7)
TABLE = np.arange(5, dtype=np.int64)
X, M = ArrayId("toy", "x"), ArrayId("toy", "m")
SHAPES = {X: ArrayShape(X, DIMS), M: ArrayShape(M, (len(TABLE),))}
PLACE = place([DIMS, (len(TABLE),)])


@dataclass(frozen=True)
class Toy:
    """Engine, key and the statement's name."""

    engine: Engine
    key: CommitmentKey
    statement: bytes = b"toy"


def make_toy(name: str = "cpu") -> Toy:
    """Rows of 8 entries and 256 slots."""
    engine = load_engine(name)
    return Toy(engine, load_key(engine, 3, lambda e, label, n: e.generators(label, min(n, 256))))


def claims_of(engine: Engine, leaf: LeafClaim, alpha: int) -> list[LinearClaim]:
    """What the leaves' extensions leave, as in :mod:`veracity.zkml.circuit.lookups`."""
    tables = axis_tables(engine, leaf.point[:5], DIMS)
    dx = kron(engine, tables)
    dm = engine.eq_halved(leaf.point[:3], len(TABLE))
    at_x = eq_at(leaf.point[5:], PLACE.offsets[0] >> 5)
    at_m = eq_at(leaf.point[3:], PLACE.offsets[1] >> 3)
    present = engine.dot(dx, ones(engine, DIMS[0] * DIMS[1]))
    table = engine.logup_denominators(
        Leaves(TABLE[None, :], None, engine.from_ints([alpha - 1]), 0)
    )
    denominator = 1 + at_x * (alpha - 1) * present + at_m * engine.dot(dm, table)
    weights = tuple((1, table) for table in tables)
    return [
        LinearClaim((Term(-at_m % ORDER, M, ((1, dm),)),), leaf.numerator - at_x * present % ORDER),
        LinearClaim((Term(-at_x % ORDER, X, weights),), leaf.denominator - denominator % ORDER),
    ]


def prove_toy(
    toy: Toy,
    values: NDArray[np.int64],
    counts: NDArray[np.int64],
    sabotage: Callable[[str, list[int]], list[int]] | None = None,
) -> tuple[bytes, list[Span]]:
    """Prove; ``sabotage(label, values)`` may change hidden messages before they are committed."""
    engine, key = toy.engine, toy.key
    transcript = ProverTranscript("toy", toy.statement)
    data = {X: values, M: counts}
    arrays = {}
    for name, shape in SHAPES.items():
        blinds = engine.random(shape.layout(key.log_columns).rows)
        points = commit_array(engine, key, shape, data[name], blinds)
        transcript.write(str(name), engine.compress(points))
        arrays[name] = CommittedArray(shape, data[name], blinds)
    channel = HiddenProver(engine, key, transcript)
    if sabotage is not None:
        honest, change = channel.send, sabotage
        setattr(channel, "send", lambda label, v: honest(label, change(label, list(v))))  # noqa: B010
    alpha = channel.challenge("alpha")
    one = engine.from_ints([alpha - 1])
    runs = [
        FractionBlock(
            DIMS,
            None,
            Leaves(values, None, engine.from_ints([alpha - 1] * DIMS[0]), 0),
        ),
        FractionBlock(
            (len(TABLE),),
            engine.from_small(-counts),
            Leaves(TABLE[None, :], None, one, 0),
        ),
    ]
    leaf = prove_lookups(channel, runs, PLACE.variables)
    equation = reduce_prover(channel, arrays, claims_of(engine, leaf, alpha))
    prove_opening(channel, arrays, equation)
    return transcript.finish(), transcript.spans


def require(engine: Engine, key: CommitmentKey, remaining: Sequence[GroupEquation]) -> None:
    """Check what a verifier's replay leaves."""
    require_all(engine, key, [remaining], 7)


def verify_toy(toy: Toy, proof: bytes) -> None:
    """Verify; raises FormatError or VerificationError."""
    engine, key = toy.engine, toy.key
    transcript = VerifierTranscript("toy", toy.statement, proof)
    points = {}
    for name, shape in SHAPES.items():
        data = transcript.read(str(name), 32 * shape.layout(key.log_columns).rows)
        try:
            points[name] = engine.decompress(data)
        except ValueError as error:
            from veracity.errors import FormatError

            raise FormatError("toy", "not a point") from error
    channel = HiddenVerifier(engine, key, transcript)
    alpha = channel.challenge("alpha")
    leaf = verify_lookups(channel, PLACE.variables)
    equation = reduce_verifier(channel, SHAPES, claims_of(engine, leaf, alpha))
    remaining = verify_opening(channel, SHAPES, points, equation)
    transcript.finish()
    require(engine, key, remaining)
