"""The commitment to a model: made once, hiding, used in any number of proofs.

Every weight is a committed tensor (:mod:`veracity.zkml.committed`), in the order of its name. Row
blinds are expanded from a 32-byte secret seed, one stream per tensor.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import field
from math import prod

from veracity.engine.api import POINT_BYTES, Engine, Ints, Points, Vec
from veracity.errors import FormatError, UsageError
from veracity.graph import Program
from veracity.records import record
from veracity.zk.committed import ArrayId, CommittedArray, commit_array
from veracity.zk.keys import MAX_LOG_COLUMNS, MIN_LOG_COLUMNS, CommitmentKey, load_key
from veracity.zkml.circuit.declared import weight_id
from veracity.zkml.committed import CommittedTensor, TensorSpec, row_blinds

__all__ = [
    "SHORT_ROWS",
    "ModelCommitment",
    "ModelOpening",
    "choose_log_columns",
    "commit_model",
    "weight_spec",
    "weight_specs",
]

#: Logarithms of the row lengths of small and of large models.
SHORT_ROWS, LONG_ROWS = 12, 14

_MAGIC = b"VCM3"
_SECRET_MAGIC = b"VCS3"
_HEAD = 4 + 1 + 32 + 4


@record
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
        if len(data) < _HEAD or data[:4] != _MAGIC:
            raise FormatError(where, "not a model commitment of this version")
        if not MIN_LOG_COLUMNS <= data[4] <= MAX_LOG_COLUMNS:
            raise FormatError(where, "row length out of bounds")
        count = int.from_bytes(data[37:_HEAD], "little")
        if len(data) != _HEAD + POINT_BYTES * count:
            raise FormatError(where, "its length does not match its number of rows")
        return cls(data[4], data[5:37], data[_HEAD:])

    @classmethod
    def of_tensors(
        cls, program: Program, tensors: Mapping[str, CommittedTensor]
    ) -> ModelCommitment:
        """The commitment whose weights are tensors that were committed elsewhere.

        Raises
        ------
        UsageError
            Where a tensor is not laid out as the program's weight is.
        """
        (log_columns,) = {t.spec.row_bits for t in tensors.values()}
        specs = weight_specs(program, log_columns)
        if set(tensors) != set(specs):
            raise UsageError("a commitment needs exactly the program's weights")
        for name, spec in specs.items():
            if tensors[name].spec != spec:
                raise UsageError(f"weight {name} is committed with other dims, range or layout")
        rows = b"".join(tensors[name].data for name in specs)
        return cls(log_columns, bytes.fromhex(program.digest), rows)

    def tensors(self, program: Program) -> dict[str, CommittedTensor]:
        """The weights by name; raises FormatError where the rows do not match the program."""
        specs = weight_specs(program, self.log_columns)
        if sum(s.rows for s in specs.values()) * POINT_BYTES != len(self.rows):
            raise FormatError("model commitment", "its rows do not match the program's weights")
        out, at = {}, 0
        for name, spec in specs.items():
            size = POINT_BYTES * spec.rows
            out[name] = CommittedTensor(spec, self.rows[at : at + size])
            at += size
        return out

    def points(
        self, engine: Engine, program: Program, behind: bool = False
    ) -> dict[ArrayId, Points]:
        """Row commitments of all weights as points, decoded at once.

        Parameters
        ----------
        engine : Engine
            Backend.
        program : Program
            Whose weights they are.
        behind : bool
            Whether other work is done meanwhile, to which a core is left.

        Raises
        ------
        FormatError
        """
        counts = [t.spec.rows for t in self.tensors(program).values()]
        try:
            points = engine.decompress(self.rows, behind)
        except ValueError as error:
            raise FormatError("model commitment", "a row is not a point of the group") from error
        out, at = {}, 0
        for name, count in zip(sorted(program.weights), counts, strict=True):
            out[weight_id(name)] = points[at : at + count]
            at += count
        return out


@record
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

    def blinds(self, engine: Engine, name: str, rows: int) -> Vec:
        """Blinds of a weight's rows.

        Parameters
        ----------
        engine : Engine
            Backend.
        name : str
            The weight.
        rows : int
            How many it has.
        """
        return row_blinds(engine, self.seed, b"weight " + name.encode(), rows)

    def to_bytes(self) -> bytes:
        """Encoding; secret."""
        return _SECRET_MAGIC + self.seed + self.commitment_digest

    @classmethod
    def from_bytes(cls, data: bytes) -> ModelOpening:
        """Parse; raises FormatError."""
        if len(data) != 68 or data[:4] != _SECRET_MAGIC:
            raise FormatError("model secret", "not a model secret of this version")
        return cls(data[4:36], data[36:])


def weight_spec(program: Program, name: str, log_columns: int) -> TensorSpec:
    """How a weight is committed, from the program alone.

    Parameters
    ----------
    program : Program
        Shapes and exponents.
    name : str
        The weight.
    log_columns : int
        Logarithm of the longest row.
    """
    weight = program.weights[name]
    half = 1 << (weight.bits - 1)
    return TensorSpec(tuple(weight.shape), weight.exponent, -half, half - 1, log_columns)


def weight_specs(program: Program, log_columns: int) -> dict[str, TensorSpec]:
    """All weights in canonical order."""
    return {name: weight_spec(program, name, log_columns) for name in sorted(program.weights)}


def choose_log_columns(program: Program) -> int:
    """Row length: long rows for large models, and for programs that compute many results.

    Long rows make shorter proofs and longer openings. Results whose number depends on the input,
    as that of tokens, do not count: a model has one row length for all of its answers.
    """
    parameters = sum(prod(spec.shape) for spec in program.weights.values())
    many = program.known_results >= 1 << 20
    return SHORT_ROWS if parameters < 1 << 22 and not many else LONG_ROWS


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
    engine : Engine
        Backend.
    program : Program
        Names, dims and order of the weights.
    weights : mapping
        Integer arrays with the program's shapes (may be memory-mapped).
    progress : callable
        Receives (phase, fraction done).
    log_columns : int, optional
        Logarithm of the row length; chosen by size where not given.
    key : CommitmentKey, optional
        Generators, if loaded already.
    """
    log_columns = choose_log_columns(program) if log_columns is None else log_columns
    key = load_key(engine, log_columns) if key is None else key
    opening = ModelOpening(os.urandom(32), b"")
    specs = weight_specs(program, log_columns)
    total = sum(prod(s.dims) for s in specs.values())
    rows, done = bytearray(), 0
    for name, spec in specs.items():
        blinds = opening.blinds(engine, name, spec.rows)
        values = spec.stored(_weight(weights, name, spec))
        shape = spec.shape(weight_id(name))
        rows += engine.compress(commit_array(engine, key, shape, values, blinds))
        done += prod(spec.dims)
        progress("commit", done / total)
    commitment = ModelCommitment(log_columns, bytes.fromhex(program.digest), bytes(rows))
    return commitment, ModelOpening(opening.seed, commitment.digest)


def _weight(weights: Mapping[str, Ints], name: str, spec: TensorSpec) -> Ints:
    if name not in weights or tuple(weights[name].shape) != spec.dims:
        raise UsageError(f"weight {name} is missing or has another shape than the program says")
    return weights[name]


def weight_arrays(
    engine: Engine,
    program: Program,
    weights: Mapping[str, Ints],
    files: tuple[ModelCommitment, ModelOpening],
    names: Collection[str] | None = None,
) -> dict[ArrayId, CommittedArray]:
    """The prover's arrays of the model, or of some of its weights.

    Parameters
    ----------
    engine : Engine
        Backend.
    program : Program
        Names and dims.
    weights : mapping
        Integers by name.
    files : tuple
        The commitment and the secret that opens it.
    names : collection of str, optional
        Which weights; all where not given.
    """
    commitment, opening = files
    opening.check(commitment)
    out = {}
    for name, spec in weight_specs(program, commitment.log_columns).items():
        if names is None or name in names:
            blinds = opening.blinds(engine, name, spec.rows)
            array = spec.arrays(weight_id(name), _weight(weights, name, spec), blinds)
            out[weight_id(name)] = array
    return out
