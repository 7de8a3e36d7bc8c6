"""The statement "program P on the weights committed as C maps this prompt to this answer".

For each segment, by default one for the whole program:

1. Both sides build the circuit of its ops for the public token counts.
2. The prover commits to all columns of the witness; then to a random projection that bounds all
   quotients, and to the tables' multiplicities.
3. One lookup argument, linear identities at random points, and one sumcheck for all products.
4. One evaluation sumcheck turns every claim into one equation on one combined row.
5. One opening proves that and everything the ledger owes about hidden messages.

A segment's circuit reads the commitment to the value that the one before hands over. The composed
theorem is in ``SECURITY.md``; each step has its page in ``docs/protocols/``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from veracity.engine.api import Engine, Ints, Points
from veracity.errors import UnsupportedModelError, UsageError, VerificationError
from veracity.graph import Trace, execute
from veracity.zk.columns import ColumnData, ColumnShape
from veracity.zk.keys import CommitmentKey, load_key
from veracity.zk.ledger import Channel, HiddenProver, HiddenVerifier
from veracity.zk.mle import axis_bits
from veracity.zk.opening import prove_opening, verify_opening
from veracity.zk.reduction import reduce_prover, reduce_verifier
from veracity.zk.transcript import ProverTranscript, Span, VerifierTranscript
from veracity.zkml.circuit import Circuit, build_circuit
from veracity.zkml.lookups import prove_all_lookups, verify_all_lookups
from veracity.zkml.model import ModelOpening, weight_data, weight_points, weight_shapes
from veracity.zkml.products import prove_products, verify_products
from veracity.zkml.relations import Claim, Resolver, group_zeros
from veracity.zkml.segments import Segment
from veracity.zkml.statement import Statement
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
Kept = TypeVar("Kept")


def _silent(_phase: str, _done: float) -> None:
    """No progress wanted."""


def _identities(
    channel: Channel, resolver: Resolver, engine: Engine, circuit: Circuit
) -> list[Claim]:
    """All identities at random points, one claim per shape."""
    claims = []
    for tensors in group_zeros(circuit.builder.zeros):
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
    statement: Statement,
    weights: Mapping[str, Ints],
    opening: ModelOpening,
    progress: Progress = _silent,
    trace: Trace | None = None,
    key: CommitmentKey | None = None,
) -> bytes:
    """Prove that the committed model answers the prompt so.

    Parameters
    ----------
    statement : Statement
        What to prove, and in which segments.
    weights : mapping
        The integers of the committed model (may be memory-mapped).
    opening : ModelOpening
        Opens the commitment.
    progress : callable
        Receives (phase, fraction of the segment's phase done).
    trace : Trace, optional
        The whole execution, if the caller has it already.

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
    return prove_with_spans(engine, statement, weights, opening, progress, trace, key)[0]


def prove_with_spans(
    engine: Engine,
    statement: Statement,
    weights: Mapping[str, Ints],
    opening: ModelOpening,
    progress: Progress = _silent,
    trace: Trace | None = None,
    key: CommitmentKey | None = None,
) -> tuple[bytes, list[Span]]:
    """:func:`prove`, with the place of every message in the proof (for tests and inspection)."""
    statement.check()
    commitment, segments = statement.commitment, statement.segments
    key = load_key(engine, commitment.log_columns) if key is None else key
    transcript = ProverTranscript(PROTOCOL, statement.encode())
    opening.check(commitment)
    shared: dict[str, ColumnData] = {}
    circuit: Circuit | None = None
    values: dict[str, Ints] = {}
    for i, segment in enumerate(segments):

        def report(phase: str, done: float, i: int = i) -> None:
            progress(phase, (i + done) / len(segments))

        part = trace
        if part is None:
            report("evaluate", 0.0)
            part = _execute(statement, weights, segment, values)
            report("evaluate", 1.0)
        answer = list(statement.tokens[statement.prompt_length :])
        if segment.writes is None and list(part.output) != answer:
            raise UsageError("the model gives another answer than the one to be proved")
        received = None if circuit is None else circuit.handed
        circuit = build_circuit(statement, segment, received, weights, part)
        values = {} if segment.writes is None else {segment.writes: part.values[segment.writes]}
        del part
        model = weight_data(
            engine, statement.program, weights, commitment, opening, circuit.weights
        )
        columns = prove_circuit(engine, key, circuit, model | shared, transcript, report)
        shared = _crossing(circuit, columns)
        if statement.cuts:  # to hold less in memory
            engine.keep_memory(0)
    return transcript.finish(), transcript.spans


def _execute(
    statement: Statement, weights: Mapping[str, Ints], segment: Segment, given: Mapping[str, Ints]
) -> Trace:
    return execute(
        statement.program,
        weights,
        list(statement.tokens[:-1]),
        statement.prompt_length,
        (segment.start, segment.stop),
        given,
    )


def _crossing(circuit: Circuit, columns: Mapping[str, Kept]) -> dict[str, Kept]:
    """The column that the next segment receives, if there is one."""
    name = circuit.crossing
    return {} if name is None else {name: columns[name]}


def prove_circuit(
    engine: Engine,
    key: CommitmentKey,
    circuit: Circuit,
    earlier: Mapping[str, ColumnData],
    transcript: ProverTranscript,
    progress: Progress = _silent,
) -> dict[str, ColumnData]:
    """Write the proof of a circuit whose columns carry values; returns its own columns.

    ``earlier`` are the model's columns and what the circuit receives. Nothing is checked here: a
    prover who puts false values into the circuit gets a proof that does not verify. That is what
    the soundness tests do.
    """
    transcript.absorb("tables", tables_digest(circuit.plan.tables))
    witness = commit_witness(engine, key, circuit, transcript, progress)
    plan = witness.plan
    channel = HiddenProver(engine, key, transcript)
    resolver = Resolver(engine, circuit.layouts)
    bound = bound_claim(channel, resolver, engine, circuit, witness.directions)
    progress("lookups", 0.0)
    owed = prove_all_lookups(
        channel, resolver, plan, witness.multiplicities, lambda f: progress("lookups", f)
    )
    owed += _identities(channel, resolver, engine, circuit)
    progress("products", 0.0)
    claims = [bound, *prove_products(channel, resolver, owed)]
    progress("products", 0.5)
    columns = {**witness.columns, **earlier}
    shapes = {name: data.shape for name, data in columns.items()}
    values = {name: data.values for name, data in columns.items()}
    equation = reduce_prover(channel, shapes, values, claims)
    progress("products", 1.0)
    prove_opening(channel, columns, equation, lambda f: progress("opening", f))
    progress("opening", 1.0)
    return witness.columns


def verify(
    engine: Engine, statement: Statement, proof: bytes, key: CommitmentKey | None = None
) -> None:
    """Check a proof; its statement names the commitment that the *user* trusts.

    Raises
    ------
    VerificationError
        If the proof is false.
    FormatError
        If it does not parse.
    """
    try:
        statement.check()
    except UsageError as error:
        raise VerificationError(str(error), "statement") from error
    commitment = statement.commitment
    key = load_key(engine, commitment.log_columns) if key is None else key
    transcript = VerifierTranscript(PROTOCOL, statement.encode(), proof)
    model = weight_points(engine, statement.program, commitment)
    shapes = weight_shapes(statement.program)
    shared: dict[str, Points] = {}
    circuit: Circuit | None = None
    for segment in statement.segments:
        received = None if circuit is None else circuit.handed
        try:
            circuit = build_circuit(statement, segment, received)
        except (UnsupportedModelError, UsageError) as error:
            raise VerificationError(str(error), "program") from error
        witness = verify_circuit(engine, key, circuit, shapes, model | shared, transcript)
        shared = _crossing(circuit, witness)
    transcript.finish()


def verify_circuit(
    engine: Engine,
    key: CommitmentKey,
    circuit: Circuit,
    weights: Sequence[ColumnShape],
    earlier: Mapping[str, Points],
    transcript: VerifierTranscript,
) -> dict[str, Points]:
    """Read the proof of a circuit; returns the commitments to its own columns."""
    transcript.absorb("tables", tables_digest(circuit.plan.tables))
    witness, directions = read_witness(engine, key, circuit, transcript)
    channel = HiddenVerifier(engine, key, transcript)
    resolver = Resolver(engine, circuit.layouts)

    bound = bound_claim(channel, resolver, engine, circuit, directions)
    owed = verify_all_lookups(channel, resolver, circuit.plan)
    owed += _identities(channel, resolver, engine, circuit)
    claims = [bound, *verify_products(channel, resolver, owed)]
    layouts = [layout.shape for layout in circuit.layouts.values()]
    shapes = {s.name: s for s in [*layouts, *circuit.plan.columns(), *weights]}
    equation = reduce_verifier(channel, shapes, claims)
    verify_opening(channel, shapes, {**earlier, **witness}, equation)
    return witness
