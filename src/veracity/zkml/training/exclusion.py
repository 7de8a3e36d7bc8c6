"""No row of a committed data set holds a given input, whatever label it might have there.

Relation. For a public input ``x*`` and every row ``x_i`` of a data set, ``x_i != x*`` on the
entries of the input. With ``f_i = sum_j rho^j (x_ij - x*_j)``, which is linear in the row, a row
that holds ``x*`` has ``f_i = 0`` for every ``rho``; another one has not, but for at most
``inputs`` of them.
Messages and checks. A tree of fractions ``0 / f_i`` (:mod:`veracity.zk.lookup`): the root's
denominator is the product of all ``f_i`` and is shown to have an inverse. What the tree leaves is
one linear claim on the rows, which are opened as they stand in the data commitment.
Transcript. It absorbs header, rows and ``x*`` before ``rho`` is drawn.
Soundness error. That of the tree and of the opening: the choice of ``rho`` decides only whether
an honest proof exists, which fails with ``examples * inputs / |F|``.
"""

from __future__ import annotations

import numpy as np

from veracity.engine.api import ORDER, Engine, FractionBlock, Ints, Vec
from veracity.errors import UsageError, VerificationError
from veracity.zk.batch import batch_challenge, require_all
from veracity.zk.committed import CommittedArray
from veracity.zk.hidden import HiddenChannel, HiddenProver, HiddenVerifier
from veracity.zk.keys import GENERATOR_LABEL, CommitmentKey
from veracity.zk.lookup import LeafClaim, prove_lookups, verify_lookups
from veracity.zk.mle import axis_bits, ones, powers, zeros
from veracity.zk.opening import prove_opening, verify_opening
from veracity.zk.reduction import LinearClaim, Term, reduce_prover, reduce_verifier
from veracity.zk.transcript import ProverTranscript, VerifierTranscript, framed
from veracity.zkml.argument import Progress, silent
from veracity.zkml.training.data import ROWS, DataCommitment, data_blinds, rows_spec

__all__ = ["EXCLUSION_PROTOCOL", "prove_exclusion", "rows_with", "verify_exclusion"]

#: Name and version of the protocol, and the kind of what is proved; absorbed first.
EXCLUSION_PROTOCOL = "veracity v5 exclusion"


def _statement(data: DataCommitment, log_columns: int, content: bytes) -> bytes:
    return framed(GENERATOR_LABEL.encode(), bytes([log_columns]), data.digest, content)


def _coefficients(engine: Engine, data: DataCommitment, rho: int) -> Vec:
    """``1, rho, rho^2, ..`` over the entries of the input, nothing over those of the label."""
    return engine.concat([engine.from_ints(powers(rho, data.inputs)), zeros(engine, data.classes)])


def _value(content: bytes, rho: int) -> int:
    """``sum_j rho^j x*_j``."""
    return sum(k * x for k, x in zip(powers(rho, len(content)), content, strict=True)) % ORDER


def _claim(
    channel: HiddenChannel,
    engine: Engine,
    data: DataCommitment,
    content: bytes,
    rho: int,
    leaf: LeafClaim,
) -> LinearClaim:
    """What the tree leaves: ``1 + sum_i eq(r, i) (f_i - 1)`` is the last denominator."""
    channel.constraints.require_zero(leaf.numerator)
    weights = engine.eq_halved(leaf.point, data.examples)
    present = engine.dot(weights, ones(engine, data.examples))
    term = Term(1, ROWS, ((1, weights), (1, _coefficients(engine, data, rho))))
    return LinearClaim((term,), leaf.denominator - 1 + present * (1 + _value(content, rho)))


def _input(data: DataCommitment, content: bytes) -> bytes:
    if len(content) != data.inputs:
        raise UsageError(f"an input of these data has {data.inputs} bytes, not {len(content)}")
    return content


def rows_with(examples: Ints, content: bytes) -> list[int]:
    """Numbers of the rows that hold an input.

    Parameters
    ----------
    examples : array, (examples, inputs + classes)
        Bytes, then labels.
    content : bytes
        The input.
    """
    same = examples[:, : len(content)] == np.frombuffer(content, dtype=np.uint8)
    return np.flatnonzero(same.all(1)).tolist()


def prove_exclusion(
    engine: Engine,
    key: CommitmentKey,
    data: DataCommitment,
    examples: Ints,
    seed: bytes,
    content: bytes,
    progress: Progress = silent,
) -> bytes:
    """Prove that no row of a data set holds an input.

    Parameters
    ----------
    engine, key : Engine, CommitmentKey
        Backend and generators.
    data : DataCommitment
        The rows.
    examples : array, (examples, inputs + classes)
        What they commit to.
    seed : bytes
        Secret of the rows.
    content : bytes
        The input, entry by entry.
    progress : callable
        Receives (phase, fraction of the phase done).

    Raises
    ------
    UsageError
        Some row holds it, or it has another size.
    """
    found = rows_with(examples, _input(data, content))
    if found:
        raise UsageError(f"row {found[0]} of the data set holds this input")
    return _prove(engine, key, data, examples, seed, content, progress)


def _prove(
    engine: Engine,
    key: CommitmentKey,
    data: DataCommitment,
    examples: Ints,
    seed: bytes,
    content: bytes,
    progress: Progress = silent,
) -> bytes:
    """The messages; a prover whose rows hold the input finds no inverse, and gets no further."""
    count = data.examples
    transcript = ProverTranscript(EXCLUSION_PROTOCOL, _statement(data, key.log_columns, content))
    channel = HiddenProver(engine, key, transcript, seed)
    rho = channel.challenge("exclusion")
    weights = _coefficients(engine, data, rho)
    sums = engine.contract(examples.reshape(count, data.size, 1), weights)
    less = engine.scale(ones(engine, count), 1 + _value(content, rho))
    leaves = FractionBlock((count,), zeros(engine, count), engine.sub(sums, less))
    progress("lookups", 0.0)
    leaf = prove_lookups(
        channel, [leaves], axis_bits(count), lambda done: progress("lookups", done)
    )
    arrays = {
        ROWS: CommittedArray(
            rows_spec(count, data.size).shape(ROWS),
            examples,
            data_blinds(engine, seed, np.arange(count)),
        )
    }
    progress("products", 0.0)
    equation = reduce_prover(channel, arrays, [_claim(channel, engine, data, content, rho, leaf)])
    progress("products", 1.0)
    prove_opening(channel, arrays, equation, lambda done: progress("opening", done))
    progress("opening", 1.0)
    return transcript.finish()


def verify_exclusion(
    engine: Engine, key: CommitmentKey, data: DataCommitment, proof: bytes, content: bytes
) -> None:
    """Check that no row of a data set holds an input.

    Parameters
    ----------
    engine, key : Engine, CommitmentKey
        Backend and generators.
    data : DataCommitment
        Rows that the caller trusts.
    proof : bytes
        All messages.
    content : bytes
        The input that the caller asks about.

    Raises
    ------
    VerificationError, FormatError
    """
    data.check()
    if len(content) != data.inputs:
        raise VerificationError("the input has another size than those of the data", "input")
    points = data.points(engine, 0, data.examples)
    statement = _statement(data, key.log_columns, content)
    transcript = VerifierTranscript(EXCLUSION_PROTOCOL, statement, proof)
    channel = HiddenVerifier(engine, key, transcript)
    rho = channel.challenge("exclusion")
    leaf = verify_lookups(channel, axis_bits(data.examples))
    shapes = {ROWS: rows_spec(data.examples, data.size).shape(ROWS)}
    claim = _claim(channel, engine, data, content, rho, leaf)
    equation = reduce_verifier(channel, shapes, [claim])
    remaining = verify_opening(channel, shapes, {ROWS: points}, equation)
    transcript.finish()
    require_all(engine, key, [remaining], batch_challenge(data.digest, [transcript.state()]))
