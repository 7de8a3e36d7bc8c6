"""Proof that committed weights are integers: made once, when a model is committed.

Relation. Every entry of every weight of a model commitment is an integer below ``2^49`` in
magnitude, as the representative nearest to zero in the field.
Why. Nothing else in a proof of an answer bounds the weights. A dishonest publisher could commit to
field elements that solve a layer for chosen answers; with integers below ``2^49`` every accumulator
stays far below the field's order, and an accepted answer is the program's meaning over integers.
Messages and checks. Those of one circuit whose only relation is the projection that bounds its
arrays (:mod:`veracity.zk.projection`), over the rows of the commitment themselves. The transcript
absorbs generator label, row length, program and all rows before the projection is drawn.
Soundness error. That of the projection and of the argument.

It says nothing about the *stated* widths of the weights, which only speed up evaluation: within
them or not, a proved answer follows from the committed integers.
"""

from __future__ import annotations

from collections.abc import Mapping

from veracity.engine.api import Engine, Ints
from veracity.errors import UsageError, VerificationError
from veracity.graph import Program
from veracity.zk.batch import batch_challenge, require_all
from veracity.zk.keys import GENERATOR_LABEL, CommitmentKey, load_key
from veracity.zk.transcript import ProverTranscript, VerifierTranscript, framed
from veracity.zkml.argument import Progress, prove_circuit, silent, verify_circuit
from veracity.zkml.circuit.build import Circuit, finish_circuit
from veracity.zkml.circuit.builder import Builder
from veracity.zkml.circuit.declared import Given, weight_id
from veracity.zkml.model import ModelCommitment, ModelOpening, weight_arrays, weight_specs

__all__ = ["PROTOCOL", "commitment_statement", "prove_well_formed", "verify_well_formed"]

#: Name and version of the protocol, and the kind of what is proved; absorbed first.
PROTOCOL = "veracity v5 well-formed"


def commitment_statement(program: Program, commitment: ModelCommitment) -> bytes:
    """What transcripts about a commitment absorb: label, row length, program and all rows."""
    return framed(
        GENERATOR_LABEL.encode(),
        bytes([commitment.log_columns]),
        bytes.fromhex(program.digest),
        commitment.rows,
    )


def _circuit(
    program: Program, log_columns: int, weights: Mapping[str, Ints] | None = None
) -> Circuit:
    specs = weight_specs(program, log_columns)
    given = {
        weight_id(n): Given(spec, None if weights is None else weights[n], bounded=True)
        for n, spec in specs.items()
    }
    return finish_circuit(Builder(given, weights is not None))


def prove_well_formed(
    engine: Engine,
    program: Program,
    weights: Mapping[str, Ints],
    files: tuple[ModelCommitment, ModelOpening],
    progress: Progress = silent,
    key: CommitmentKey | None = None,
) -> bytes:
    """Prove that the weights under a commitment are integers below ``2^49``.

    Parameters
    ----------
    engine : Engine
        Backend.
    program : Program
        Dims and order of the weights.
    weights : mapping
        The committed integers (may be memory-mapped).
    files : tuple
        The commitment and the secret that opens it.
    progress : callable
        Receives (phase, fraction of the phase done).
    key : CommitmentKey, optional
        Generators, if loaded already.

    Raises
    ------
    RangeError
        If the weights are too many or too large for one projection.
    UsageError
        If the files do not belong together.
    """
    commitment, opening = files
    if commitment.program_digest.hex() != program.digest:
        raise UsageError("the commitment belongs to another program")
    key = load_key(engine, commitment.log_columns) if key is None else key
    circuit = _circuit(program, commitment.log_columns, weights)
    arrays = weight_arrays(engine, program, weights, files)
    transcript = ProverTranscript(PROTOCOL, commitment_statement(program, commitment))
    prove_circuit(engine, key, circuit, arrays, transcript, opening.seed, progress)
    return transcript.finish()


def verify_well_formed(
    engine: Engine,
    program: Program,
    commitment: ModelCommitment,
    proof: bytes,
    key: CommitmentKey | None = None,
    most_sides: int | None = None,
) -> None:
    """Check the proof that committed weights are integers below ``2^49``.

    Parameters
    ----------
    engine : Engine
        Backend.
    program : Program
        Dims and order of the weights.
    commitment : ModelCommitment
        Their rows.
    proof : bytes
        All messages.
    key : CommitmentKey, optional
        Generators, if loaded already.
    most_sides : int, optional
        Most rows and columns of the matrices that the projection bounds.

    Raises
    ------
    VerificationError, FormatError
    UsageError
        There are more of them.
    """
    if commitment.program_digest.hex() != program.digest:
        raise VerificationError("the commitment belongs to another program", "statement")
    circuit = _circuit(program, commitment.log_columns)
    if most_sides is not None and circuit.sides > most_sides:
        raise UsageError(
            "the weights are long: checking what the commitment says of them may take longer than "
            "allowed; allow more with --max-time"
        )
    key = load_key(engine, commitment.log_columns) if key is None else key
    points = commitment.points(engine, program)
    statement = commitment_statement(program, commitment)
    transcript = VerifierTranscript(PROTOCOL, statement, proof)
    remaining = verify_circuit(engine, key, circuit, points, transcript)
    transcript.finish()
    rho = batch_challenge(commitment.digest, [transcript.state()])
    require_all(engine, key, [remaining], rho)
