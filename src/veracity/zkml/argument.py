"""The statement "program P on the weights committed as C maps this prompt to this answer".

1. Both sides build the circuit of the program for the public token counts.
2. The prover commits to all columns of the witness and to the tables' multiplicities.
3. One lookup argument, one product sumcheck, one batch of linear identities.
4. One evaluation sumcheck turns every claim into one equation on one combined row.
5. One opening proves that and everything the ledger owes about hidden messages.

The composed theorem is in ``SECURITY.md``; each step has its page in ``docs/protocols/``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from veracity.engine.api import POINT_BYTES, Engine, Ints, Points
from veracity.errors import (
    FormatError,
    UnsupportedModelError,
    UsageError,
    VerificationError,
)
from veracity.graph import Program, Trace, execute
from veracity.graph.ops import Function, Rope
from veracity.zk.columns import ColumnData, ColumnShape, commit_column
from veracity.zk.keys import GENERATOR_LABEL, CommitmentKey, load_key
from veracity.zk.ledger import Channel, HiddenProver, HiddenVerifier, LinearForm
from veracity.zk.mle import axis_bits
from veracity.zk.opening import prove_opening, verify_opening
from veracity.zk.reduction import LinearClaim, reduce_prover, reduce_verifier
from veracity.zk.transcript import ProverTranscript, Span, VerifierTranscript
from veracity.zkml.builder import Builder
from veracity.zkml.lookups import (
    LookupPlan,
    count_multiplicities,
    prove_all_lookups,
    verify_all_lookups,
)
from veracity.zkml.model import (
    ModelCommitment,
    ModelOpening,
    weight_data,
    weight_points,
    weight_shapes,
)
from veracity.zkml.ops import Context, find_rule
from veracity.zkml.products import prove_products, verify_products
from veracity.zkml.relations import (
    Layout,
    Resolver,
    group_lookups,
    group_products,
    group_zeros,
)
from veracity.zkml.tables import tables_digest

__all__ = [
    "PROTOCOL",
    "Circuit",
    "build_circuit",
    "prove",
    "prove_circuit",
    "prove_with_spans",
    "verify",
]

#: Name and version of the protocol; absorbed first.
PROTOCOL = "veracity inference v1"

Progress = Callable[[str, float], None]


def _silent(_phase: str, _done: float) -> None:
    """No progress wanted."""


@dataclass(frozen=True)
class Circuit:
    """Everything that both sides know about one execution.

    Attributes
    ----------
    builder : Builder
        Columns and relations (with values for the prover).
    layouts : dict
        Storage of the witness columns by name, in the order they are committed.
    plan : LookupPlan
        Blocks of the lookup argument.
    """

    builder: Builder
    layouts: dict[str, Layout]
    plan: LookupPlan

    def witness_shapes(self) -> list[ColumnShape]:
        """Columns of the witness, then multiplicities, in the order they are committed."""
        return [*[x.shape for x in self.layouts.values()], *self.plan.columns()]


def build_circuit(
    program: Program,
    tokens: Sequence[int],
    prompt_length: int,
    weights: Mapping[str, Ints] | None = None,
    trace: Trace | None = None,
) -> Circuit:
    """Run every op's argument through a builder.

    Parameters
    ----------
    tokens : sequence of int
        Prompt and answer; the last answer token is not an input.
    weights, trace : optional
        The prover's weights and execution; both or neither.
    """
    dims = {name: tuple(spec.shape) for name, spec in program.weights.items()}
    builder = Builder(dims, weights)
    covered = frozenset(op.x for op in program.ops if isinstance(op, Function))
    context = Context(
        builder=builder,
        values={},
        tokens=tuple(tokens[:-1]),
        answer=tuple(tokens[prompt_length:]),
        prompt_length=prompt_length,
        covered=covered,
        rotated=frozenset(op.x for op in program.ops if isinstance(op, Rope)),
        details=None if trace is None else trace.details,
    )
    for op in program.ops:
        context.values[op.name] = find_rule(op)(context, op)
    layouts = {name: Layout.of(stack) for name, stack in builder.stacks.items()}
    return Circuit(builder, layouts, LookupPlan.of(group_lookups(builder)))


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


def _linear_claims(
    channel: Channel, resolver: Resolver, engine: Engine, circuit: Circuit
) -> list[LinearClaim]:
    """All linear identities at random points, one claim per shape."""
    claims = []
    for tensors in group_zeros(circuit.builder):
        instances = channel.challenges("identity instances", axis_bits(len(tensors)))
        weights = tuple(
            (1, engine.eq(channel.challenges("identity point", axis_bits(d)), d))
            for d in tensors[0].dims
        )
        scale = engine.to_ints(engine.eq(instances, len(tensors)))
        terms, public = resolver.resolve(tensors, scale, weights)
        claims.append(LinearClaim(tuple(terms), LinearForm(-public)))
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
    columns, multiplicities = _commit_witness(engine, key, circuit, transcript, progress)
    channel = HiddenProver(engine, key, transcript)
    resolver = Resolver(engine, circuit.layouts)
    claims = prove_all_lookups(
        channel, resolver, circuit.plan, multiplicities, lambda f: progress("lookups", f)
    )
    progress("products", 0.0)
    claims += prove_products(channel, resolver, group_products(circuit.builder))
    progress("products", 0.5)
    claims += _linear_claims(channel, resolver, engine, circuit)
    columns |= model
    shapes = {name: data.shape for name, data in columns.items()}
    values = {name: data.values for name, data in columns.items()}
    equation = reduce_prover(channel, shapes, values, claims)
    progress("products", 1.0)
    prove_opening(channel, columns, equation, lambda f: progress("opening", f))
    progress("opening", 1.0)


def _commit_witness(
    engine: Engine,
    key: CommitmentKey,
    circuit: Circuit,
    transcript: ProverTranscript,
    progress: Progress,
) -> tuple[dict[str, ColumnData], dict[str, Ints]]:
    """Commit to every column of the witness."""
    multiplicities = count_multiplicities(circuit.plan)
    shapes = circuit.witness_shapes()
    columns: dict[str, ColumnData] = {}
    for i, shape in enumerate(shapes):
        if shape.name in circuit.layouts:
            values = circuit.layouts[shape.name].store(circuit.builder.stacks[shape.name].values)
        else:
            values = multiplicities[shape.name]
        blinds = engine.random(shape.layout(key.log_columns).rows)
        points = commit_column(engine, key, shape, values, blinds)
        transcript.write(f"column {shape.name}", engine.compress(points))
        columns[shape.name] = ColumnData(shape, values, blinds)
        progress("commit", (i + 1) / len(shapes))
    return columns, multiplicities


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
    points |= _read_witness(engine, key, circuit, transcript)
    channel = HiddenVerifier(engine, key, transcript)
    resolver = Resolver(engine, circuit.layouts)

    claims = verify_all_lookups(channel, resolver, circuit.plan)
    claims += verify_products(channel, resolver, group_products(circuit.builder))
    claims += _linear_claims(channel, resolver, engine, circuit)
    shapes = {s.name: s for s in [*circuit.witness_shapes(), *weight_shapes(program)]}
    equation = reduce_verifier(channel, shapes, claims)
    verify_opening(channel, shapes, points, equation)


def _read_witness(
    engine: Engine, key: CommitmentKey, circuit: Circuit, transcript: VerifierTranscript
) -> dict[str, Points]:
    """Read the commitments to the witness; lengths come from the circuit."""
    shapes = circuit.witness_shapes()
    counts = [s.layout(key.log_columns).rows for s in shapes]
    data = b"".join(
        transcript.read(f"column {s.name}", n * POINT_BYTES)
        for s, n in zip(shapes, counts, strict=True)
    )
    try:
        points = engine.decompress(data)
    except ValueError as error:
        raise FormatError("proof, columns", "not a point of the group") from error
    out, at = {}, 0
    for shape, n in zip(shapes, counts, strict=True):
        out[shape.name] = points[at : at + n]
        at += n
    return out
