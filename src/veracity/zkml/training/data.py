"""Data sets under a commitment: one row per example, and a proof that they are what they say.

Row ``j`` commits to example j (its bytes, then its label as a one-hot vector) with a blind of its
own, over the first ``2^ceil(log2 size)`` generators. So the commitment of a batch is the list of
the rows that the order names: nothing is proved about gathering.

Relation of the proof of form. Every input entry lies in ``[0, 256)``, every label entry in
``{0, 1}``, and the labels of an example sum to 1.
Messages and checks. Those of one circuit for every stretch of rows, each with a transcript that
absorbs header, all rows and its own range; the verifier makes the list of ranges.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from veracity.engine.api import POINT_BYTES, Engine, Ints, Points, Vec
from veracity.errors import FormatError, UsageError
from veracity.zk.batch import batch_challenge, require_all
from veracity.zk.committed import ArrayId, CommittedArray, commit_array
from veracity.zk.keys import GENERATOR_LABEL, CommitmentKey
from veracity.zk.transcript import ProverTranscript, VerifierTranscript, framed
from veracity.zkml.argument import Progress, prove_circuit, silent, verify_circuit
from veracity.zkml.circuit.build import Circuit, finish_circuit
from veracity.zkml.circuit.builder import Builder
from veracity.zkml.circuit.declared import Given
from veracity.zkml.circuit.linear_maps import Slice
from veracity.zkml.circuit.tables import unsigned
from veracity.zkml.committed import TensorSpec

__all__ = [
    "BYTE",
    "FORM_LOG_COLUMNS",
    "FORM_PROTOCOL",
    "ROWS",
    "DataCommitment",
    "commit_data",
    "commit_row",
    "data_blinds",
    "form_ranges",
    "prove_form",
    "row_bits",
    "row_digest",
    "rows_spec",
    "verify_form",
]

#: The greatest entry of an example.
BYTE = 255
#: Name and version of the protocol, and the kind of what is proved; absorbed first.
FORM_PROTOCOL = "veracity v5 form"
#: Logarithm of the row length of a proof of form.
FORM_LOG_COLUMNS = 14

_FORM_LOOKUPS = 1 << 23
_MOST_ROWS = 1 << 24


def row_bits(size: int) -> int:
    """Logarithm of the length of an example's row: one example, and no second one, fits."""
    return (size - 1).bit_length()


@dataclass(frozen=True)
class DataCommitment:
    """What everybody knows of a data set.

    Attributes
    ----------
    inputs, classes : int
        Entries of an input; number of classes.
    rows : bytes
        Compressed points, one per example.
    label : str
        What its owner calls it.
    """

    inputs: int
    classes: int
    rows: bytes = field(repr=False)
    label: str = ""

    @property
    def examples(self) -> int:
        """How many there are."""
        return len(self.rows) // POINT_BYTES

    @property
    def size(self) -> int:
        """Entries of an example with its label."""
        return self.inputs + self.classes

    @cached_property
    def header(self) -> bytes:
        """Canonical bytes of everything but the rows."""
        numbers = (self.inputs, self.classes, self.examples)
        return framed(*[n.to_bytes(8, "little") for n in numbers], self.label.encode())

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of header and rows: the identity of the data set."""
        return hashlib.sha256(b"veracity data v3" + framed(self.header, self.rows)).digest()

    def check(self) -> None:
        """Raise FormatError unless the numbers make sense."""
        if len(self.rows) % POINT_BYTES or not 1 <= self.examples <= _MOST_ROWS:
            raise FormatError("data commitment", "no whole number of rows")
        if not (1 <= self.inputs <= 1 << 15 and 2 <= self.classes <= 1 << 15):
            raise FormatError("data commitment", "dims of an example out of bounds")

    def points(self, engine: Engine, first: int, last: int) -> Points:
        """The rows of a stretch as points.

        Parameters
        ----------
        engine : Engine
            Backend.
        first, last : int
            Range of rows.

        Raises
        ------
        FormatError
            Bytes that are no point.
        """
        try:
            return engine.decompress(self.rows[first * POINT_BYTES : last * POINT_BYTES])
        except ValueError as error:
            raise FormatError("data commitment", "a row is not a point of the group") from error

    def gathered(self, index: Ints) -> bytes:
        """The rows of some examples, in that order."""
        rows = np.frombuffer(self.rows, dtype=np.uint8).reshape(-1, POINT_BYTES)
        return rows[index.reshape(-1)].tobytes()


def data_blinds(engine: Engine, seed: bytes, index: Ints) -> Vec:
    """Blinds of some rows, 512 bits reduced for each.

    Parameters
    ----------
    engine : Engine
        Backend.
    seed : bytes
        The owner's 32 secret bytes.
    index : array of int
        Numbers of the rows.
    """
    rows = index.reshape(-1).tolist()
    return engine.from_wide_bytes(b"".join(row_digest(seed, j) for j in rows))


def row_digest(seed: bytes, index: int) -> bytes:
    """The 64 bytes that a row's blind is reduced from: whoever has them can open that row only."""
    sponge = hashlib.shake_256(b"veracity data row v3" + framed(seed) + index.to_bytes(8, "little"))
    return sponge.digest(64)


def commit_row(engine: Engine, key: CommitmentKey, values: Ints, blind: bytes) -> bytes:
    """The commitment of one example, from what opens it.

    Parameters
    ----------
    engine, key : Engine, CommitmentKey
        Backend and generators.
    values : array, (1, inputs + classes)
        The example.
    blind : bytes
        From :func:`row_digest`.
    """
    shape = rows_spec(1, values.shape[1]).shape(ROWS)
    points = commit_array(engine, key, shape, values, engine.from_wide_bytes(blind))
    return engine.compress(points)


def commit_data(
    engine: Engine, key: CommitmentKey, examples: Ints, classes: int, seed: bytes, label: str = ""
) -> DataCommitment:
    """Commit to examples, row by row.

    Parameters
    ----------
    engine, key : Engine, CommitmentKey
        Backend and generators.
    examples : array, (examples, inputs + classes)
        Bytes, then one-hot labels.
    classes : int
        How many of the last entries are the label.
    seed : bytes
        32 secret bytes from the operating system, for these examples alone.
    label : str
        What its owner calls it.
    """
    count, size = examples.shape
    spec = rows_spec(count, size)
    blinds = data_blinds(engine, seed, np.arange(count))
    points = commit_array(engine, key, spec.shape(ROWS), examples, blinds)
    commitment = DataCommitment(size - classes, classes, engine.compress(points), label)
    commitment.check()
    return commitment


#: The rows of a data set, or a stretch of them.
ROWS = ArrayId("data", "rows")


def rows_spec(count: int, size: int) -> TensorSpec:
    """How some examples with their labels lie: one in each row."""
    return TensorSpec((count, size), 0, 0, BYTE, row_bits(size), leading=1)


def form_ranges(data: DataCommitment) -> Iterator[tuple[int, int]]:
    """The stretches of rows that a proof of form has a link for."""
    stretch = max(1, _FORM_LOOKUPS // (1 << row_bits(data.size)))
    for first in range(0, data.examples, stretch):
        yield first, min(first + stretch, data.examples)


def _form_circuit(data: DataCommitment, count: int, values: Ints | None) -> Circuit:
    given = {ROWS: Given(rows_spec(count, data.size), values, bounded=True)}
    b = Builder(given, values is not None)
    rows = b.array(ROWS)
    b.lookup("input", unsigned(8), rows.view(Slice(1, 0, data.inputs, data.size)))
    labels = rows.view(Slice(1, data.inputs, data.size, data.size))
    b.lookup("label", unsigned(1), labels)
    b.zero(labels.sum(1) - 1)
    return finish_circuit(b)


def _form_statement(data: DataCommitment, log_columns: int, first: int, last: int) -> bytes:
    ends = [n.to_bytes(8, "little") for n in (first, last)]
    return framed(GENERATOR_LABEL.encode(), bytes([log_columns]), data.digest, *ends)


def prove_form(
    engine: Engine,
    key: CommitmentKey,
    data: DataCommitment,
    examples: Ints,
    seed: bytes,
    progress: Progress = silent,
) -> list[bytes]:
    """Prove that committed examples are bytes with one-hot labels, one proof per stretch.

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
    progress : callable
        Receives (phase, fraction of all stretches' phase done).

    Raises
    ------
    UsageError
        If the examples are not of that form.
    """
    labels = examples[:, data.inputs :]
    if (
        examples.min() < 0
        or examples.max() > BYTE
        or labels.max() > 1
        or (labels.sum(1) != 1).any()
    ):
        raise UsageError("examples must be bytes, each with one label")
    ranges, out = list(form_ranges(data)), []
    for i, (first, last) in enumerate(ranges):

        def report(phase: str, done: float, i: int = i) -> None:
            progress(phase, (i + done) / len(ranges))

        values = examples[first:last]
        blinds = data_blinds(engine, seed, np.arange(first, last))
        shape = rows_spec(last - first, data.size).shape(ROWS)
        arrays = {ROWS: CommittedArray(shape, values, blinds)}
        statement = _form_statement(data, key.log_columns, first, last)
        transcript = ProverTranscript(FORM_PROTOCOL, statement)
        circuit = _form_circuit(data, last - first, values)
        prove_circuit(engine, key, circuit, arrays, transcript, seed, report)
        out.append(transcript.finish())
    return out


def verify_form(
    engine: Engine, key: CommitmentKey, data: DataCommitment, proofs: list[bytes]
) -> None:
    """Check a proof of form.

    Parameters
    ----------
    engine, key : Engine, CommitmentKey
        Backend and generators.
    data : DataCommitment
        The rows.
    proofs : list of bytes
        One per stretch.

    Raises
    ------
    VerificationError, FormatError
    """
    data.check()
    ranges = list(form_ranges(data))
    if len(proofs) != len(ranges):
        raise FormatError("proof of form", "another number of links than the rows need")
    equations, states = [], []
    for (first, last), proof in zip(ranges, proofs, strict=True):
        points = data.points(engine, first, last)
        statement = _form_statement(data, key.log_columns, first, last)
        transcript = VerifierTranscript(FORM_PROTOCOL, statement, proof)
        circuit = _form_circuit(data, last - first, None)
        equations.append(verify_circuit(engine, key, circuit, {ROWS: points}, transcript))
        transcript.finish()
        states.append(transcript.state())
    require_all(engine, key, equations, batch_challenge(data.digest, states))
