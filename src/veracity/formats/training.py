"""What a training run leaves: ``.vtrain`` for everybody, windows and checkpoints on the way there.

``.vtrain``: header; description (canonical JSON); digest of the ``.vcom``; after each window the
rows of its weights and its proof; the proofs of the rounding. The description holds recipe, digests
of the data in order, steps per window, row length, beacon and the digest of the model that it
starts from.
``.vwin``: header; digest of the description; index; rows; proof.
``.vckpt``: header; digest of the description; index; cut seed; master weights; SHA-256. Mode 0600.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from veracity.codec import (
    DIGEST_BYTES,
    ByteReader,
    ByteWriter,
    canonical_json,
    parse_json,
    read_file,
)
from veracity.codec.files import Source, name_of, require_private
from veracity.errors import FormatError, UsageError
from veracity.graph.training import Recipe, Weights
from veracity.graph.training.network import Network
from veracity.graph.training.recipe import WEIGHTS
from veracity.zk.keys import MAX_LOG_COLUMNS, MIN_LOG_COLUMNS
from veracity.zkml.training.base import BaseModel
from veracity.zkml.training.data import DataCommitment
from veracity.zkml.training.run import Run, RunProof

__all__ = ["Checkpoint", "RunDescription", "TrainingProof", "WindowFile"]

PROOF_KIND, WINDOW_KIND, CHECKPOINT_KIND = b"VTRN", b"VWIN", b"VCUT"
VERSION, PROOF_VERSION = 1, 2
MAX_DESCRIPTION = 1 << 24
MAX_WINDOWS = 1 << 20
MAX_WINDOW = 1 << 26
MAX_STEPS = 1 << 20
MAX_ROUNDINGS = 1 << 10
MAX_FILE = (1 << 31) - 1
_FIELDS = {
    "recipe": dict, "data": list, "window": int, "log_columns": int, "beacon": str, "init": str,
}  # fmt: skip
_RECIPE = {
    "input", "layers", "batch", "rates", "integers", "weight_exponent", "loss", "weights",
    "settle", "momentum", "decays",
}  # fmt: skip


@dataclass(frozen=True)
class RunDescription:
    """A run without its data: what its files hold of the statement.

    Attributes
    ----------
    recipe : Recipe
        What is done.
    data : tuple of bytes
        Digests of the data sets, in order.
    window, log_columns : int
        Steps per window; logarithm of the row length.
    beacon : bytes
        Public randomness.
    init : bytes
        Digest of the model commitment that the run starts from; empty for a start from the seed.
    """

    recipe: Recipe
    data: tuple[bytes, ...]
    window: int
    log_columns: int
    beacon: bytes
    init: bytes = b""

    @staticmethod
    def of(run: Run) -> RunDescription:
        """The description of a run."""
        digests = tuple(d.digest for d in run.data)
        init = b"" if run.base is None else run.base.commitment.digest
        return RunDescription(run.recipe, digests, run.window, run.log_columns, run.beacon, init)

    def run(self, data: Sequence[DataCommitment], base: BaseModel | None = None) -> Run:
        """The run on data, and from a model, that somebody trusts; UsageError for any others."""
        known = {d.digest: d for d in data}
        missing = [d for d in self.data if d not in known]
        if missing:
            raise UsageError(
                f"the run was on a data set {missing[0].hex()[:16]}... that is not among those "
                "given; give every .vdata it was on"
            )
        if len(known) > len(self.data):
            raise UsageError("the run was not on all of the data sets given")
        if base is None and self.init:
            raise UsageError("the run started from a committed model; give its .vcom (--init)")
        if base is not None and base.commitment.digest != self.init:
            raise UsageError(
                "the run started from another model than the one given"
                if self.init
                else "the run started from a public seed, not from a model"
            )
        chosen = tuple(known[d] for d in self.data)
        return Run(self.recipe, chosen, self.window, self.log_columns, self.beacon, base)

    @cached_property
    def encoded(self) -> bytes:
        """Canonical JSON."""
        return canonical_json(
            {
                "recipe": self.recipe.to_json(),
                "data": [d.hex() for d in self.data],
                "window": self.window,
                "log_columns": self.log_columns,
                "beacon": self.beacon.hex(),
                "init": self.init.hex(),
            }
        )

    @property
    def digest(self) -> bytes:
        """SHA-256 of the encoding."""
        return hashlib.sha256(self.encoded).digest()

    @classmethod
    def parse(cls, data: bytes, where: str) -> RunDescription:
        """Inverse of :attr:`encoded`; raises FormatError on anything else."""
        plain = parse_json(data, where)
        if not isinstance(plain, dict) or plain.keys() != _FIELDS.keys():
            raise FormatError(where, f"must have exactly the fields {', '.join(_FIELDS)}")
        if any(type(plain[name]) is not kind for name, kind in _FIELDS.items()):
            raise FormatError(where, "a field is of another type")
        try:
            found = cls(
                _recipe(plain["recipe"]),
                tuple(bytes.fromhex(d) for d in plain["data"]),
                plain["window"],
                plain["log_columns"],
                bytes.fromhex(plain["beacon"]),
                bytes.fromhex(plain["init"]),
            )
            found.recipe.validate()
        except (ValueError, TypeError, KeyError, OverflowError, UsageError):
            raise FormatError(where, "it describes no run") from None
        digests = [*found.data, *([found.init] if found.init else [])]
        if any(len(d) != DIGEST_BYTES for d in digests) or found.encoded != data:
            raise FormatError(where, "it is not in canonical form")
        if not MIN_LOG_COLUMNS <= found.log_columns <= MAX_LOG_COLUMNS:
            raise FormatError(where, "row length out of bounds")
        return found


def _recipe(plain: dict[str, Any]) -> Recipe:
    if plain.keys() != _RECIPE or not all(type(n) is int for n in _numbers(plain)):
        raise UsageError("a recipe has other fields")
    if not all(type(text) is str for text in plain["layers"]):
        raise UsageError("layers are texts")
    (a, g, q), (f, *powers) = plain["integers"], plain["momentum"]
    return Recipe(
        Network(tuple(plain["input"]), tuple(plain["layers"])), plain["batch"],
        _unrolled(plain["rates"]), a, g, q, plain["weight_exponent"], plain["loss"],
        bool(WEIGHTS.index(plain["weights"])), plain["settle"], f, tuple(powers),
        _unrolled(plain["decays"]),
    )  # fmt: skip


def _unrolled(runs: list[list[int]]) -> tuple[int, ...]:
    counts = [count for _, count in runs]
    if min(counts, default=1) < 1 or sum(counts) > MAX_STEPS:  # a negative one hides another
        raise UsageError("too many steps, or a run of no steps")
    return tuple(n for n, count in runs for _ in range(count))


def _numbers(plain: dict[str, Any]) -> list[Any]:
    runs = [n for name in ("rates", "decays") for run in plain[name] for n in run]
    single = [plain[name] for name in ("batch", "weight_exponent", "settle")]
    return [*plain["input"], *plain["integers"], *plain["momentum"], *runs, *single]


@dataclass(frozen=True)
class WindowFile:
    """A window that is proved.

    Attributes
    ----------
    run : bytes
        Digest of the run's description.
    index : int
        Its number.
    rows : bytes
        Rows of the weights that it hands over.
    proof : bytes
        Its messages.
    """

    run: bytes
    index: int
    rows: bytes = field(repr=False)
    proof: bytes = field(repr=False)

    def to_bytes(self) -> bytes:
        """The content of a ``.vwin`` file."""
        writer = ByteWriter()
        writer.header(WINDOW_KIND, VERSION)
        writer.raw(self.run)
        writer.u32(self.index)
        writer.blob(self.rows)
        writer.blob(self.proof)
        body = writer.getvalue()
        return body + hashlib.sha256(body).digest()

    @classmethod
    def load(cls, path: Path) -> WindowFile:
        """Read a ``.vwin`` file; raises :class:`FormatError` or :class:`UsageError`."""
        reader = ByteReader(read_file(path, 2 * MAX_WINDOW, "window"), path.name)
        reader.header(WINDOW_KIND, VERSION)
        reader.checksum()
        run, index = reader.raw(DIGEST_BYTES, "run"), reader.u32("index", MAX_WINDOWS)
        rows, proof = reader.blob("rows", MAX_WINDOW), reader.blob("proof", MAX_WINDOW)
        reader.finish()
        return cls(run, index, rows, proof)


@dataclass(frozen=True, repr=False)
class Checkpoint:
    """Master weights before a window, and the seed of all blinds at cuts: secret.

    Attributes
    ----------
    run : bytes
        Digest of the run's description.
    index : int
        Number of windows that are done.
    seed : bytes
        32 bytes.
    weights : Weights
        Integers by name.
    """

    run: bytes
    index: int
    seed: bytes
    weights: Weights

    def __repr__(self) -> str:
        return f"Checkpoint(before window {self.index})"

    def to_bytes(self) -> bytes:
        """The content of a ``.vckpt`` file."""
        writer = ByteWriter()
        writer.header(CHECKPOINT_KIND, VERSION)
        writer.raw(self.run)
        writer.u32(self.index)
        writer.raw(self.seed)
        for name in sorted(self.weights):
            writer.raw(np.ascontiguousarray(self.weights[name], dtype="<i8").tobytes())
        body = writer.getvalue()
        return body + hashlib.sha256(body).digest()

    @classmethod
    def load(cls, path: Path, recipe: Recipe) -> Checkpoint:
        """Read a ``.vckpt`` file; raises :class:`FormatError` or :class:`UsageError`."""
        reader = ByteReader(read_file(path, MAX_FILE, "checkpoint"), path.name)
        reader.header(CHECKPOINT_KIND, VERSION)
        reader.checksum()
        run, index = reader.raw(DIGEST_BYTES, "run"), reader.u32("index", MAX_WINDOWS)
        seed, weights = reader.raw(DIGEST_BYTES, "seed"), {}
        for name, shape in recipe.state(index).items():
            data = reader.raw(8 * prod(shape), name)
            weights[name] = np.frombuffer(data, dtype="<i8").reshape(shape).astype(np.int64)
        reader.finish()
        require_private(path, "begin the run again")
        return cls(run, index, seed, weights)


@dataclass(frozen=True)
class TrainingProof:
    """The public proof of a run.

    Attributes
    ----------
    description : RunDescription
        What it is about.
    commitment_digest : str
        The ``.vcom`` that it ends with.
    proof : RunProof
        All messages.
    """

    #: What a proof is about: tells kinds apart without loading what reads the others.
    kind: ClassVar[Literal["training"]] = "training"

    description: RunDescription
    commitment_digest: str
    proof: RunProof = field(repr=False)

    def to_bytes(self) -> bytes:
        """The content of a ``.vtrain`` file."""
        writer = ByteWriter()
        writer.header(PROOF_KIND, PROOF_VERSION)
        writer.blob(self.description.encoded)
        writer.raw(bytes.fromhex(self.commitment_digest))
        writer.u32(len(self.proof.windows))
        for rows, proof in zip(self.proof.cuts, self.proof.windows, strict=True):
            writer.blob(rows)
            writer.blob(proof)
        writer.u32(len(self.proof.roundings))
        for proof in self.proof.roundings:
            writer.blob(proof)
        return writer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes, where: str = "training proof") -> TrainingProof:
        """Parse a ``.vtrain`` file; raises :class:`FormatError` on anything but an exact one."""
        reader = ByteReader(data, where)
        reader.header(PROOF_KIND, PROOF_VERSION)
        stated = reader.blob("description", MAX_DESCRIPTION)
        description = RunDescription.parse(stated, f"{where}, description")
        digest = reader.raw(DIGEST_BYTES, "commitment digest").hex()
        cuts, windows = [], []
        for _ in range(reader.u32("windows", MAX_WINDOWS)):
            cuts.append(reader.blob("rows", MAX_WINDOW))
            windows.append(reader.blob("window", MAX_WINDOW))
        count = reader.u32("roundings", MAX_ROUNDINGS)
        roundings = [reader.blob("rounding", MAX_WINDOW) for _ in range(count)]
        reader.finish()
        return cls(description, digest, RunProof(cuts, windows, roundings))

    @classmethod
    def load(cls, source: Source) -> TrainingProof:
        """Read a ``.vtrain`` file; raises :class:`FormatError` or :class:`UsageError`."""
        return cls.from_bytes(
            read_file(source, MAX_FILE, "training proof"), name_of(source, "training proof")
        )
