"""Proof that committed weights keep to their stated widths: asked for by `commit --exact`.

Relation. Every entry of every weight of a model commitment is an integer in
``[-2^(bits-1), 2^(bits-1))``, with the weight's own ``bits``.
Why. The proof that weights are integers (:mod:`veracity.zkml.well_formed`) bounds them by ``2^49``
only. Within their stated widths an answer is not just the program's meaning over integers: it is
what evaluation in 64-bit words gives.
Messages. The weights are cut into links of at most ``2^23`` lookups, whole weights or ranges of
their first axis, in canonical order. A link is one circuit with a transcript of its own, which
absorbs generator label, row length, program and all rows, and the link's own place; so links share
nothing but the commitment. Entries of at most 16 bits are looked up as they stand; wider ones less
their committed high digits, each looked up, too.
Checks. The verifier makes the list of links itself and checks the group equations of all of them in
one batch (:mod:`veracity.zk.batch`).
Soundness error. The sum over links, and ``2 links / |F|`` for the batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import numpy as np

from veracity.engine.api import Engine, Ints
from veracity.errors import FormatError, UsageError, VerificationError
from veracity.graph import Program
from veracity.records import record
from veracity.zk.batch import batch_challenge, require_all
from veracity.zk.keys import CommitmentKey, load_key
from veracity.zk.projection import ENTRY_BITS
from veracity.zk.transcript import ProverTranscript, VerifierTranscript, framed
from veracity.zkml.argument import Progress, prove_circuit, silent, verify_circuit
from veracity.zkml.circuit.build import Circuit, finish_circuit
from veracity.zkml.circuit.builder import Builder
from veracity.zkml.circuit.declared import Given, weight_id
from veracity.zkml.circuit.tables import signed, unsigned
from veracity.zkml.circuit.tensor import Tensor
from veracity.zkml.model import ModelCommitment, ModelOpening, weight_arrays, weight_specs
from veracity.zkml.well_formed import commitment_statement

__all__ = ["PROTOCOL", "Part", "parts_of", "prove_widths", "verify_widths"]

#: Name and version of the protocol, and the kind of what is proved; absorbed first.
PROTOCOL = "veracity v5 widths"
#: Most lookups of a link, unless one row of a weight has more.
LIMIT = 1 << 23


@record
class Part:
    """Entries ``start .. stop-1`` of the first axis of a weight."""

    name: str
    start: int
    stop: int


def parts_of(program: Program, limit: int = LIMIT) -> list[list[Part]]:
    """What each link shows, in canonical order."""
    links: list[list[Part]] = [[]]
    room = limit
    for name, weight in sorted(program.weights.items()):
        row = prod(weight.shape[1:]) * -(-weight.bits // 16)
        start = 0
        while start < weight.shape[0]:
            if room < row and links[-1]:
                links.append([])
                room = limit
                continue
            stop = min(weight.shape[0], start + max(1, room // row))
            links[-1].append(Part(name, start, stop))
            room -= (stop - start) * row
            start = stop
    return links


def _circuit(
    program: Program,
    log_columns: int,
    parts: list[Part],
    weights: Mapping[str, Ints] | None = None,
) -> Circuit:
    specs = weight_specs(program, log_columns)
    given = {
        weight_id(p.name): Given(specs[p.name], None if weights is None else weights[p.name])
        for p in parts
    }
    builder = Builder(given, weights is not None)
    for part in parts:
        entries = builder.weight(part.name).rows(part.start, part.stop)
        _require_width(builder, part.name, entries, program.weights[part.name].bits)
    return finish_circuit(builder)


def _require_width(builder: Builder, name: str, entries: Tensor, bits: int) -> None:
    """To be shown: entries are signed integers of so many bits."""
    if bits > ENTRY_BITS:
        return  # the projection of the other proof says more
    if bits <= 16:
        builder.lookup(name, signed(bits), entries)
        return
    half = 1 << (bits - 1)
    value = None if entries.value is None else entries.value.astype(np.int64) + half
    rest = entries.bare() + half
    for at in range(16, bits, 16):
        table = unsigned(min(16, bits - at))
        digit = None if value is None else value >> at & 0xFFFF if bits - at > 16 else value >> at
        found = builder.ranged(name, f"digit.{at}", entries.dims, digit, table)
        rest = rest - found.bare() * (1 << at)
    low = None if value is None else (value & 0xFFFF).astype(np.uint16)
    builder.lookup(name, unsigned(16), Tensor(rest.dims, rest.terms, low))


def _statement(
    program: Program, commitment: ModelCommitment, index: int, parts: list[Part]
) -> bytes:
    places = [f"{p.name}\0{p.start}\0{p.stop}".encode() for p in parts]
    return framed(commitment_statement(program, commitment), index.to_bytes(8, "little"), *places)


def prove_widths(
    engine: Engine,
    program: Program,
    weights: Mapping[str, Ints],
    files: tuple[ModelCommitment, ModelOpening],
    progress: Progress = silent,
    key: CommitmentKey | None = None,
    limit: int = LIMIT,
) -> bytes:
    """Prove that the weights under a commitment keep to their stated widths.

    Parameters
    ----------
    engine : Engine
        Backend.
    program : Program
        Dims, order and widths of the weights.
    weights : mapping
        The committed integers (may be memory-mapped).
    files : tuple
        The commitment and the secret that opens it.
    progress : callable
        Receives ("widths", fraction of the links done).
    key : CommitmentKey, optional
        Generators, if loaded already.
    limit : int
        Most lookups of a link; the verifier has to be told the same.

    Raises
    ------
    RangeError
        If a weight has an entry that is wider.
    UsageError
        If the files do not belong together.
    """
    commitment, opening = files
    if commitment.program_digest.hex() != program.digest:
        raise UsageError("the commitment belongs to another program")
    key = load_key(engine, commitment.log_columns) if key is None else key
    links, out = parts_of(program, limit), bytearray()
    for index, parts in enumerate(links):
        progress("widths", index / len(links))
        circuit = _circuit(program, commitment.log_columns, parts, weights)
        arrays = weight_arrays(engine, program, weights, files, {p.name for p in parts})
        transcript = ProverTranscript(PROTOCOL, _statement(program, commitment, index, parts))
        prove_circuit(engine, key, circuit, arrays, transcript, opening.seed)
        out += transcript.finish()
    progress("widths", 1.0)
    return bytes(out)


def verify_widths(
    engine: Engine,
    program: Program,
    commitment: ModelCommitment,
    proof: bytes,
    key: CommitmentKey | None = None,
    limit: int = LIMIT,
) -> None:
    """Check the proof that committed weights keep to their stated widths.

    Parameters
    ----------
    engine : Engine
        Backend.
    program : Program
        Dims, order and widths of the weights.
    commitment : ModelCommitment
        Their rows.
    proof : bytes
        All messages of all links.
    key : CommitmentKey, optional
        Generators, if loaded already.
    limit : int
        Most lookups of a link.

    Raises
    ------
    VerificationError, FormatError
    """
    if commitment.program_digest.hex() != program.digest:
        raise VerificationError("the commitment belongs to another program", "statement")
    key = load_key(engine, commitment.log_columns) if key is None else key
    points = commitment.points(engine, program)
    equations, states, at = [], [], 0
    for index, parts in enumerate(parts_of(program, limit)):
        statement = _statement(program, commitment, index, parts)
        transcript = VerifierTranscript(PROTOCOL, statement, proof, at)
        circuit = _circuit(program, commitment.log_columns, parts)
        read = {weight_id(p.name): points[weight_id(p.name)] for p in parts}
        equations.append(verify_circuit(engine, key, circuit, read, transcript))
        states.append(transcript.state())
        at = transcript.position
    if at != len(proof):
        raise FormatError("proof of widths", "bytes are left over at the end")
    require_all(engine, key, equations, batch_challenge(commitment.digest, states))
