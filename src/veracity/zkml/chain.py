"""A statement proved as a chain of circuits, each with a transcript of its own.

Relation. The links of :mod:`veracity.zkml.links` tile the program. Each is one argument
(:mod:`veracity.zkml.argument`); they are joined by committed tensors.

Messages. First the row commitments of all boundary tensors, in the order of the links that hand
them over; then the links' proofs, one after the other.
Transcripts. A link's transcript absorbs, before any message: protocol and version, generator label
and row length, the digest of the chain's premise (all of the statement), its own range, and all
rows that it receives and hands over; then the row length of its own witness, which follows from
public shapes. So links can be proved in any order, in several processes, and again after a crash,
once the boundary tensors are fixed.
Checks. The verifier makes the list of links itself, passes the SAME bytes as "handed over" and as
"received", and checks the group equations of all links in one multi-scalar multiplication whose
weights depend on the end of every transcript (:mod:`veracity.zk.batch`).
Soundness error. The sum over links, and ``2 links / |F|`` for the batch. What a link receives is
bounded in magnitude by the link that hands it over, so the verdict needs all of them.

Randomness. The blinds of a boundary tensor come from the job's cut seed (32 bytes from the
operating system for each job), the premise and its name, and from nothing else: a link that is
proved again hands over the same points. All other randomness is drawn where it is used
(:mod:`veracity.zk.randomness`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from veracity.engine.api import POINT_BYTES, Engine, Ints, Points
from veracity.errors import FormatError, UnsupportedModelError, UsageError, VerificationError
from veracity.graph import Trace
from veracity.zk.background import BackgroundCall
from veracity.zk.batch import GroupEquation, batch_challenge, require_all
from veracity.zk.committed import ArrayId
from veracity.zk.keys import GENERATOR_LABEL, CommitmentKey, key_for, load_key
from veracity.zk.transcript import ProverTranscript, Span, VerifierTranscript, framed
from veracity.zkml.argument import Progress, prove_circuit, silent, verify_circuit
from veracity.zkml.boundary import Boundary, seal
from veracity.zkml.circuit.build import Circuit, build_circuit
from veracity.zkml.circuit.declared import boundary_id, port_id
from veracity.zkml.committed import CommittedTensor
from veracity.zkml.job import Job, hand_over
from veracity.zkml.links import Link
from veracity.zkml.model import ModelOpening, weight_arrays
from veracity.zkml.statement import Statement

__all__ = [
    "PROTOCOL",
    "Boundary",
    "Job",
    "hand_over",
    "link_statement",
    "prove",
    "prove_link",
    "prove_with_spans",
    "seal",
    "verify",
]

#: Name and version of the protocol, and the kind of what is proved; absorbed first.
PROTOCOL = "veracity v5 answer"


def link_statement(
    statement: Statement, link: Link, tensors: Mapping[str, CommittedTensor]
) -> bytes:
    """What a link's transcript absorbs first: premise, range, rows received and handed over.

    Parameters
    ----------
    statement : Statement
        The premise of the chain.
    link : Link
        Its place in it.
    tensors : mapping
        At least the tensors that it receives and hands over.
    """
    parts = [
        GENERATOR_LABEL.encode(),
        bytes([statement.log_columns]),
        statement.digest,
        *[n.to_bytes(8, "little") for n in (link.index, link.start, link.stop)],
    ]
    for names in (link.receives, link.hands):
        parts.append(len(names).to_bytes(8, "little"))
        for name in names:
            parts += [name.encode(), tensors[name].spec.encode(), tensors[name].data]
    return framed(*parts)


def prove_link(
    engine: Engine,
    key: CommitmentKey,
    job: Job,
    link: Link,
    boundary: Mapping[str, Boundary],
    trace: Trace | None = None,
    progress: Progress = silent,
) -> tuple[bytes, list[Span]]:
    """The proof of one link, with the place of every message in it.

    Parameters
    ----------
    engine, key : Engine, CommitmentKey
        Backend and generators.
    job : Job
        What the chain proves.
    link : Link
        Which part.
    boundary : mapping
        At least the tensors that the link receives and hands over.
    trace : Trace, optional
        Its execution, if the caller has it already.
    progress : callable
        Receives (phase, fraction of the phase done).

    Raises
    ------
    RangeError
        If a value leaves its calibrated range.
    UsageError
        If the answer is not the model's.
    """
    statement = job.statement
    if trace is None:
        progress("evaluate", 0.0)
        trace = job.run(link, boundary, engine.integers)
        progress("evaluate", 1.0)
    job.check_outputs(trace)
    received = {name: boundary[name].values for name in link.receives}
    trace = replace(trace, values={**trace.values, **received})
    circuit = build_circuit(statement, link, job.weights, trace, engine.integers)
    del trace
    engine.release_memory()
    read = {name.name for name in circuit.layouts if name.kind == "weight"}
    files = (statement.commitment, job.opening)
    earlier = weight_arrays(engine, statement.program, job.weights, files, read)
    for name in (*link.receives, *link.hands):
        earlier[boundary_id(name)] = boundary[name].named(boundary_id(name))
    for port in circuit.layouts:
        if port.kind == "port":
            earlier[port] = job.sealed[port.name].named(port)
    tensors = {name: boundary[name].tensor for name in (*link.receives, *link.hands)}
    transcript = ProverTranscript(PROTOCOL, link_statement(statement, link, tensors))
    key = key_for(engine, circuit.row_bits or statement.log_columns, key)
    prove_circuit(engine, key, circuit, earlier, transcript, job.opening.seed, progress)
    return transcript.finish(), transcript.spans


def prove(
    engine: Engine,
    statement: Statement,
    weights: Mapping[str, Ints],
    opening: ModelOpening,
    progress: Progress = silent,
    trace: Trace | None = None,
    key: CommitmentKey | None = None,
    sealed: Mapping[str, Boundary] | None = None,
) -> bytes:
    """Prove that the program on the committed weights maps the inputs to the outputs.

    Parameters
    ----------
    engine : Engine
        Backend.
    statement : Statement
        What to prove, and in which links.
    weights : mapping
        The integers of the committed model (may be memory-mapped).
    opening : ModelOpening
        Opens the commitment.
    progress : callable
        Receives (phase, fraction of all links' phase done).
    trace : Trace, optional
        The whole execution, if the caller has it already.
    key : CommitmentKey, optional
        Generators, if loaded already.
    sealed : mapping, optional
        What opens the committed ports of the statement, by port (:func:`seal`).

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
    return prove_with_spans(engine, statement, weights, opening, progress, trace, key, sealed)[0]


def prove_with_spans(
    engine: Engine,
    statement: Statement,
    weights: Mapping[str, Ints],
    opening: ModelOpening,
    progress: Progress = silent,
    trace: Trace | None = None,
    key: CommitmentKey | None = None,
    sealed: Mapping[str, Boundary] | None = None,
) -> tuple[bytes, list[Span]]:
    """:func:`prove`, with the place of every message in the proof (for tests and inspection).

    Parameters
    ----------
    engine : Engine
        Backend.
    statement : Statement
        What is claimed.
    weights : mapping
        Integer weights by name.
    opening : ModelOpening
        Blinds of the model's commitment.
    progress : Progress
        Called as the work advances.
    trace : Trace, optional
        The execution, where it was run already.
    key : CommitmentKey, optional
        Generators, where they were loaded already.
    sealed : mapping, optional
        What opens the committed ports of the statement, by port.
    """
    statement.check()
    opening.check(statement.commitment)
    key = load_key(engine, statement.log_columns) if key is None else key
    job, links = Job(statement, weights, opening, sealed or {}), statement.links
    boundary: dict[str, Boundary] = {}
    tensors: dict[str, CommittedTensor] = {}
    last = {name: link.index for link in links for name in link.receives}
    proofs: list[tuple[bytes, list[Span]]] = []
    for link in links:

        def report(phase: str, done: float, i: int = link.index) -> None:
            progress(phase, (i + done) / len(links))

        run = _Execution(trace)
        if run.trace is None:
            report("evaluate", 0.0)
            run.trace = job.run(link, boundary, engine.integers)
            report("evaluate", 1.0)
        boundary |= hand_over(engine, key, job, link, run.trace.values)
        tensors |= {name: boundary[name].tensor for name in link.hands}
        proofs.append(prove_link(engine, key, job, link, boundary, run.take(), report))
        boundary = {n: b for n, b in boundary.items() if last.get(n, 0) > link.index}
    return assemble(statement, tensors, proofs)


@dataclass
class _Execution:
    """Owns an execution until somebody takes it, to drop it as soon as its circuit is built."""

    trace: Trace | None

    def take(self) -> Trace | None:
        """The execution, given away: nothing refers to it here any more."""
        trace, self.trace = self.trace, None
        return trace


def assemble(
    statement: Statement,
    tensors: Mapping[str, CommittedTensor],
    proofs: list[tuple[bytes, list[Span]]],
) -> tuple[bytes, list[Span]]:
    """The proof of a chain from its boundary tensors and the proofs of its links.

    Parameters
    ----------
    statement : Statement
        What is claimed.
    tensors : mapping
        Boundary tensors by name.
    proofs : list of (bytes, list of Span)
        The links' proofs, in order.
    """
    out, spans = bytearray(), []
    for link in statement.links:
        for name in sent(statement, link):
            start = len(out)
            out += tensors[name].data
            spans.append(Span(str(boundary_id(name)), start, len(out)))
    for proof, found in proofs:
        spans += [Span(s.label, len(out) + s.start, len(out) + s.stop) for s in found]
        out += proof
    return bytes(out), spans


def verify(
    engine: Engine,
    statement: Statement,
    proof: bytes,
    key: CommitmentKey | None = None,
    most_sides: int | None = None,
) -> None:
    """Check a proof; its statement names the commitment that the *user* trusts.

    Parameters
    ----------
    engine : Engine
        Backend.
    statement : Statement
        What is claimed.
    proof : bytes
        All of its messages.
    key : CommitmentKey, optional
        Generators, if loaded already.
    most_sides : int, optional
        Most rows and columns of the matrices that the projections of all links bound: work that
        neither a proof's bytes nor its links limit. Any number where not given.

    Raises
    ------
    VerificationError
        If the proof is false.
    FormatError
        If it does not parse.
    UsageError
        If there are more than ``most_sides``.
    """
    try:
        statement.check()
    except UsageError as error:
        raise VerificationError(str(error), "statement") from error
    if key is None:
        key = load_key(engine, statement.log_columns)
    # Kernels take square roots while Python puts circuits together and follows the transcripts:
    # the rows of the weights are points when the last equation of the first link is made.
    model, program = statement.commitment, statement.program
    with BackgroundCall(lambda: model.points(engine, program, behind=True)) as rows:
        try:
            longest, equations, states = _follow(
                engine, statement, proof, key, _Rows(rows), most_sides
            )
        except (VerificationError, FormatError):
            rows.result()  # rows that are no points are what is wrong first
            raise
    require_all(engine, longest, equations, batch_challenge(statement.digest, states))


class _Rows(Mapping[ArrayId, Points]):
    """Row commitments by array; those of weights are waited for where one is asked for."""

    def __init__(self, weights: BackgroundCall[dict[ArrayId, Points]]) -> None:
        self._weights = weights
        self.others: dict[ArrayId, Points] = {}

    def _known(self) -> dict[ArrayId, Points]:
        return {**self._weights.result(), **self.others}

    def __getitem__(self, name: ArrayId) -> Points:
        return self.others[name] if name in self.others else self._weights.result()[name]

    def __iter__(self) -> Iterator[ArrayId]:
        return iter(self._known())

    def __len__(self) -> int:
        return len(self._known())


def _follow(
    engine: Engine,
    statement: Statement,
    proof: bytes,
    key: CommitmentKey,
    rows: _Rows,
    most_sides: int | None = None,
) -> tuple[CommitmentKey, list[tuple[GroupEquation, ...]], list[bytes]]:
    """Read a whole proof; returns the longest key used, the links' equations and final states."""
    tensors, at = _read_boundary(statement, proof)
    for name, tensor in tensors.items():
        rows.others[boundary_id(name)] = tensor.points(engine, f"proof, {boundary_id(name)}")
    for name, value in statement.inputs.items():
        if isinstance(value, CommittedTensor):
            rows.others[port_id(name)] = value.points(engine, f"port {name}")
    links, longest = statement.links, key
    equations: list[tuple[GroupEquation, ...]] = []
    states, sides = [], 0
    for link in links:
        circuit = _circuit(statement, link)
        sides += circuit.sides
        if most_sides is not None and sides > most_sides:
            raise UsageError(
                "its arrays are long: checking this proof may take longer than allowed; "
                "allow more with --max-time"
            )
        own = key_for(engine, circuit.row_bits or statement.log_columns, longest)
        longest = max(longest, own, key=lambda k: k.log_columns)
        absorbed = link_statement(statement, link, tensors)
        transcript = VerifierTranscript(PROTOCOL, absorbed, proof, at)
        where = f"link {link.index + 1}, " if len(links) > 1 else ""
        try:
            equations.append(verify_circuit(engine, own, circuit, rows, transcript))
        except VerificationError as error:
            raise VerificationError(error.reason, where + error.where) from error
        except FormatError as error:
            raise FormatError(where + error.where, error.reason) from error
        states.append(transcript.state())
        at = transcript.position
    if at != len(proof):
        raise FormatError("proof", "bytes are left over at the end")
    return longest, equations, states


def _circuit(statement: Statement, link: Link) -> Circuit:
    try:
        return build_circuit(statement, link)
    except (UnsupportedModelError, UsageError) as error:
        raise VerificationError(str(error), "program") from error


def sent(statement: Statement, link: Link) -> list[str]:
    """What a link hands over that the statement does not name: its rows are in the proof."""
    return [name for name in link.hands if name not in statement.committed_outputs]


def _read_boundary(statement: Statement, proof: bytes) -> tuple[dict[str, CommittedTensor], int]:
    """All boundary tensors, and where the links' proofs begin."""
    tensors, at = dict(statement.committed_outputs), 0
    for link in statement.links:
        for name in sent(statement, link):
            spec = statement.boundary_spec(name)
            data = proof[at : at + POINT_BYTES * spec.rows]
            if len(data) != POINT_BYTES * spec.rows:
                raise FormatError(f"proof, {boundary_id(name)}", "the proof is truncated")
            tensors[name] = CommittedTensor(spec, data)
            at += len(data)
    return tensors, at
