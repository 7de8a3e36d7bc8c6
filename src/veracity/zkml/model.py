"""The commitment to a model: made once, hiding, used in any number of proofs.

Every weight tensor is a column (:mod:`veracity.zk.columns`) in the order of its name. Row blinds
are expanded from a 32-byte secret seed with SHAKE256, one stream per tensor.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from veracity.engine.api import ORDER, POINT_BYTES, Engine, Ints, Points, Vec
from veracity.errors import FormatError, UsageError
from veracity.graph import Program
from veracity.zk.columns import ColumnData, ColumnShape, commit_column
from veracity.zk.keys import CommitmentKey, load_key
from veracity.zkml.relations import weight_column

__all__ = ["ModelCommitment", "ModelOpening", "commit_model", "weight_shapes"]

_MAGIC = b"VCM1"
_SECRET_MAGIC = b"VCS1"


@dataclass(frozen=True)
class ModelCommitment:
    """Row commitments of all weights.

    Attributes
    ----------
    log_columns : int
        Logarithm of the row length.
    program_digest : bytes
        SHA-256 of the program the rows belong to.
    rows : bytes
        Compressed points, tensors in order of name.
    """

    log_columns: int
    program_digest: bytes
    rows: bytes = field(repr=False)

    @property
    def digest(self) -> bytes:
        """SHA-256 of the encoding: the model's identity."""
        return hashlib.sha256(self.to_bytes()).digest()

    def to_bytes(self) -> bytes:
        """Canonical encoding."""
        head = _MAGIC + bytes([self.log_columns]) + self.program_digest
        return head + (len(self.rows) // POINT_BYTES).to_bytes(4, "little") + self.rows

    @classmethod
    def from_bytes(cls, data: bytes) -> ModelCommitment:
        """Parse; raises FormatError."""
        where = "model commitment"
        if len(data) < 41 or data[:4] != _MAGIC:
            raise FormatError(where, "not a model commitment of this version")
        if not 4 <= data[4] <= 16:
            raise FormatError(where, "row length out of bounds")
        count = int.from_bytes(data[37:41], "little")
        if len(data) != 41 + POINT_BYTES * count:
            raise FormatError(where, "its length does not match its number of rows")
        return cls(data[4], data[5:37], data[41:])


@dataclass(frozen=True)
class ModelOpening:
    """The secret that opens a model commitment.

    Attributes
    ----------
    seed : bytes
        32 bytes from the operating system; never shown.
    commitment_digest : bytes
        Digest of the commitment it belongs to.
    """

    seed: bytes = field(repr=False)
    commitment_digest: bytes

    def check(self, commitment: ModelCommitment) -> None:
        """Raise UsageError unless this opens that commitment."""
        if self.commitment_digest != commitment.digest:
            raise UsageError(
                "the secret file belongs to another commitment; pass the matching pair"
            )

    def to_bytes(self) -> bytes:
        """Encoding; secret."""
        return _SECRET_MAGIC + self.seed + self.commitment_digest

    @classmethod
    def from_bytes(cls, data: bytes) -> ModelOpening:
        """Parse; raises FormatError."""
        if len(data) != 68 or data[:4] != _SECRET_MAGIC:
            raise FormatError("model secret", "not a model secret of this version")
        return cls(data[4:36], data[36:])


def weight_shapes(program: Program) -> list[ColumnShape]:
    """Columns of a program's weights in canonical order."""
    return [
        ColumnShape(weight_column(name), tuple(program.weights[name].shape))
        for name in sorted(program.weights)
    ]


def _row_blinds(engine: Engine, seed: bytes, shape: ColumnShape, log_columns: int) -> Vec:
    rows = shape.layout(log_columns).rows
    stream = hashlib.shake_256(b"veracity row blinds" + seed + shape.name.encode()).digest(
        64 * rows
    )
    return engine.from_ints(
        [int.from_bytes(stream[i : i + 64], "little") % ORDER for i in range(0, len(stream), 64)]
    )


def choose_log_columns(program: Program) -> int:
    """Row length for a model: long rows for large ones (shorter proofs, longer openings)."""
    parameters = sum(_size(spec.shape) for spec in program.weights.values())
    return 12 if parameters < 1 << 22 else 14


def _size(shape: tuple[int, ...]) -> int:
    out = 1
    for d in shape:
        out *= d
    return out


def commit_model(
    engine: Engine,
    program: Program,
    weights: Mapping[str, Ints],
    progress: Callable[[str, float], None] = lambda _phase, _done: None,
    log_columns: int | None = None,
    key: CommitmentKey | None = None,
) -> tuple[ModelCommitment, ModelOpening]:
    """Commit to a model's weights.

    Parameters
    ----------
    weights : mapping
        Integer arrays with the program's shapes (may be memory-mapped).
    progress : callable
        Receives (phase, fraction done).
    """
    log_columns = choose_log_columns(program) if log_columns is None else log_columns
    key = load_key(engine, log_columns) if key is None else key
    seed = os.urandom(32)
    shapes = weight_shapes(program)
    total = sum(_size(s.dims) for s in shapes)
    rows, done = bytearray(), 0
    for shape in shapes:
        values = _weight(weights, shape)
        blinds = _row_blinds(engine, seed, shape, log_columns)
        rows += engine.compress(commit_column(engine, key, shape, values, blinds))
        done += _size(shape.dims)
        progress("commit", done / total)
    commitment = ModelCommitment(log_columns, bytes.fromhex(program.digest), bytes(rows))
    return commitment, ModelOpening(seed, commitment.digest)


def _weight(weights: Mapping[str, Ints], shape: ColumnShape) -> Ints:
    name = shape.name.partition(":")[2]
    if name not in weights or tuple(weights[name].shape) != shape.dims:
        raise UsageError(f"weight {name} is missing or has another shape than the program says")
    return weights[name]


def weight_data(
    engine: Engine,
    program: Program,
    weights: Mapping[str, Ints],
    commitment: ModelCommitment,
    opening: ModelOpening,
    names: Collection[str] | None = None,
) -> dict[str, ColumnData]:
    """The prover's columns of the model, or of some of its weights."""
    opening.check(commitment)
    return {
        s.name: ColumnData(
            s, _weight(weights, s), _row_blinds(engine, opening.seed, s, commitment.log_columns)
        )
        for s in weight_shapes(program)
        if names is None or s.name.partition(":")[2] in names
    }


def weight_points(
    engine: Engine, program: Program, commitment: ModelCommitment
) -> dict[str, Points]:
    """The verifier's row commitments of the model, checked against the program's shapes."""
    shapes = weight_shapes(program)
    counts = [s.layout(commitment.log_columns).rows for s in shapes]
    if sum(counts) * POINT_BYTES != len(commitment.rows):
        raise FormatError("model commitment", "its rows do not match the program's weights")
    try:
        points = engine.decompress(commitment.rows)
    except ValueError as error:
        raise FormatError("model commitment", "a row is not a point of the group") from error
    out, at = {}, 0
    for shape, count in zip(shapes, counts, strict=True):
        out[shape.name] = points[at : at + count]
        at += count
    return out
