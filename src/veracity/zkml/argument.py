"""The statement "program P on the weights committed as C maps this prompt to this answer".

1. Both sides build the circuit of the program for the public token counts.
2. The prover commits to all columns of the witness; then to a random projection that bounds all
   quotients, and to the tables' multiplicities.
3. One lookup argument, linear identities at random points, and one sumcheck for all products.
4. One evaluation sumcheck turns every claim into one equation on one combined row.
5. One opening proves that and everything the ledger owes about hidden messages.

The composed theorem is in ``SECURITY.md``; each step has its page in ``docs/protocols/``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from veracity.engine.api import Engine, Ints, Points
from veracity.errors import UnsupportedModelError, UsageError, VerificationError
from veracity.graph import Program, Trace, execute
from veracity.zk.columns import ColumnData, ColumnShape
from veracity.zk.keys import GENERATOR_LABEL, CommitmentKey, load_key
from veracity.zk.ledger import Channel, HiddenProver, HiddenVerifier
from veracity.zk.mle import axis_bits
from veracity.zk.opening import prove_opening, verify_opening
from veracity.zk.reduction import reduce_prover, reduce_verifier
from veracity.zk.transcript import ProverTranscript, Span, VerifierTranscript
from veracity.zkml.circuit import Circuit, build_circuit
from veracity.zkml.lookups import prove_all_lookups, verify_all_lookups
from veracity.zkml.model import (
    ModelCommitment,
    ModelOpening,
    weight_data,
    weight_points,
    weight_shapes,
)
from veracity.zkml.products import prove_products, verify_products
from veracity.zkml.relations import Claim, Resolver, group_zeros
from veracity.zkml.tables import tables_digest
from veracity.zkml.witness import bound_claim, commit_witness, read_witness

__all__ = [
    "PROTOCOL",
    "prove",
    "prove_circuit",
    "prove_with_spans",
    "verify",
    "verify_circuit",
]

#: Name and version of the protocol; absorbed first.
PROTOCOL = "veracity inference v2"

Progress = Callable[[str, float], None]


def _silent(_phase: str, _done: float) -> None:
    """No progress wanted."""


def _check_statement(program: Program, tokens: Sequence[int], prompt_length: int) -> None:
    if not 1 <= prompt_length < len(tokens):
        raise UsageError("a statement needs at least one prompt token and one answer token")
    if len(tokens) - 1 > program.context:
        raise UsageError(
            f"{len(tokens)} tokens exceed the model's context of {program.context}; "
            "shorten the prompt"
        )
    if any(not 0 <= t < program.vocab for t in tokens):
        raise UsageError("a token id is outside the model's vocabulary")


def _statement(
    program: Program,
    commitment: ModelCommitment,
    circuit: Circuit,
    tokens: Sequence[int],
    prompt_length: int,
    context: bytes,
) -> bytes:
    """Canonical encoding of everything that is claimed."""
    parts = [
        bytes.fromhex(program.digest),
        commitment.to_bytes(),
        GENERATOR_LABEL.encode(),
        tables_digest(circuit.plan.tables),
        prompt_length.to_bytes(8, "little"),
        np.asarray(tokens, dtype="<u4").tobytes(),
        context,
    ]
    return b"".join(len(p).to_bytes(8, "little") + hashlib.sha256(p).digest() for p in parts)


def _identities(
    channel: Channel, resolver: Resolver, engine: Engine, circuit: Circuit
) -> list[Claim]:
    """All identities at random points, one claim per shape."""
    claims = []
    for tensors in group_zeros(circuit.builder):
        instances = channel.challenges("identity instances", axis_bits(len(tensors)))
        weights = tuple(
            (1, engine.eq(channel.challenges("identity point", axis_bits(d)), d))
            for d in tensors[0].dims
        )
        scale = engine.to_ints(engine.eq(instances, len(tensors)))
        claims.append(resolver.claim(tensors, scale, weights, 0))
    return claims


def prove(
    engine: Engine,
    program: Program,
    weights: Mapping[str, Ints],
    commitment: ModelCommitment,
    opening: ModelOpening,
    tokens: Sequence[int],
    prompt_length: int,
    context: bytes = b"",
    progress: Progress = _silent,
    trace: Trace | None = None,
    key: CommitmentKey | None = None,
) -> bytes:
    """Prove that the committed model answers the prompt with these tokens.

    Parameters
    ----------
    tokens : sequence of int
        Prompt and answer token ids.
    prompt_length : int
        How many of them are the prompt.
    context : bytes
        Anything else the statement binds (file digests, say).
    trace : Trace, optional
        The execution, if the caller has it already.

    Returns
    -------
    bytes
        The proof.

    Raises
    ------
    RangeError
        If a value leaves its calibrated range.
    UsageError
        If the answer is not the model's, or files do not belong together.
    """
    return prove_with_spans(
        engine,
        program,
        weights,
        commitment,
        opening,
        tokens,
        prompt_length,
        context,
        progress,
        trace,
        key,
    )[0]


def prove_with_spans(
    engine: Engine,
    program: Program,
    weights: Mapping[str, Ints],
    commitment: ModelCommitment,
    opening: ModelOpening,
    tokens: Sequence[int],
    prompt_length: int,
    context: bytes = b"",
    progress: Progress = _silent,
    trace: Trace | None = None,
    key: CommitmentKey | None = None,
) -> tuple[bytes, list[Span]]:
    """:func:`prove`, with the place of every message in the proof (for tests and inspection)."""
    _check_statement(program, tokens, prompt_length)
    if commitment.program_digest.hex() != program.digest:
        raise UsageError("the commitment belongs to another program; commit to this one first")
    key = load_key(engine, commitment.log_columns) if key is None else key
    if trace is None:
        progress("evaluate", 0.0)
        trace = execute(program, weights, list(tokens[:-1]), prompt_length)
        progress("evaluate", 1.0)
    if list(trace.output) != list(tokens[prompt_length:]):
        raise UsageError("the model gives another answer than the one to be proved")
    circuit = build_circuit(program, tokens, prompt_length, weights, trace)
    statement = _statement(program, commitment, circuit, tokens, prompt_length, context)
    transcript = ProverTranscript(PROTOCOL, statement)
    model = weight_data(engine, program, weights, commitment, opening)
    prove_circuit(engine, key, circuit, model, transcript, progress)
    return transcript.finish(), transcript.spans


def prove_circuit(
    engine: Engine,
    key: CommitmentKey,
    circuit: Circuit,
    model: Mapping[str, ColumnData],
    transcript: ProverTranscript,
    progress: Progress = _silent,
) -> None:
    """Write the proof of a circuit whose columns carry values.

    Nothing is checked here: a prover who puts false values into the circuit gets a proof that
    does not verify. That is what the soundness tests do.
    """
    witness = commit_witness(engine, key, circuit, transcript, progress)
    columns, plan = witness.columns, witness.plan
    channel = HiddenProver(engine, key, transcript)
    resolver = Resolver(engine, circuit.layouts)
    bound = bound_claim(channel, resolver, engine, circuit, witness.directions)
    owed = prove_all_lookups(
        channel, resolver, plan, witness.multiplicities, lambda f: progress("lookups", f)
    )
    owed += _identities(channel, resolver, engine, circuit)
    progress("products", 0.0)
    claims = [bound, *prove_products(channel, resolver, owed)]
    progress("products", 0.5)
    columns |= model
    shapes = {name: data.shape for name, data in columns.items()}
    values = {name: data.values for name, data in columns.items()}
    equation = reduce_prover(channel, shapes, values, claims)
    progress("products", 1.0)
    prove_opening(channel, columns, equation, lambda f: progress("opening", f))
    progress("opening", 1.0)


def verify(
    engine: Engine,
    program: Program,
    commitment: ModelCommitment,
    tokens: Sequence[int],
    prompt_length: int,
    context: bytes,
    proof: bytes,
    key: CommitmentKey | None = None,
) -> None:
    """Check a proof against the commitment that the *user* trusts.

    Raises
    ------
    VerificationError
        If the proof is false.
    FormatError
        If it does not parse.
    """
    try:
        _check_statement(program, tokens, prompt_length)
    except UsageError as error:
        raise VerificationError(str(error), "statement") from error
    if commitment.program_digest.hex() != program.digest:
        raise VerificationError("the commitment belongs to another program", "statement")
    key = load_key(engine, commitment.log_columns) if key is None else key
    try:
        circuit = build_circuit(program, tokens, prompt_length)
    except (UnsupportedModelError, UsageError) as error:
        raise VerificationError(str(error), "program") from error
    statement = _statement(program, commitment, circuit, tokens, prompt_length, context)
    transcript = VerifierTranscript(PROTOCOL, statement, proof)
    points = weight_points(engine, program, commitment)
    verify_circuit(engine, key, circuit, weight_shapes(program), points, transcript)


def verify_circuit(
    engine: Engine,
    key: CommitmentKey,
    circuit: Circuit,
    weights: Sequence[ColumnShape],
    model: Mapping[str, Points],
    transcript: VerifierTranscript,
) -> None:
    """Read the proof of a circuit to its end."""
    witness, directions = read_witness(engine, key, circuit, transcript)
    channel = HiddenVerifier(engine, key, transcript)
    resolver = Resolver(engine, circuit.layouts)

    bound = bound_claim(channel, resolver, engine, circuit, directions)
    owed = verify_all_lookups(channel, resolver, circuit.plan)
    owed += _identities(channel, resolver, engine, circuit)
    claims = [bound, *verify_products(channel, resolver, owed)]
    shapes = {s.name: s for s in [*circuit.witness_shapes(), *weights]}
    equation = reduce_verifier(channel, shapes, claims)
    verify_opening(channel, shapes, {**model, **witness}, equation)
