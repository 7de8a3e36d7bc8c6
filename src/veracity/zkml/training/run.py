"""A training run as a statement, and its proof: windows between committed weights, and a rounding.

Relation. From the recipe R, the data D and the start C_0 follow, without any choice, the weights
after T steps; the model commitment C holds them, rounded.

Premise. ``premise0`` is a digest of R, the digests of the data in order and the rows of C_0. The
order of examples comes from premise0 and a beacon, so no batch can be picked, skipped or repeated
once the data are fixed. C_0 comes from a seed that hangs on R, D and the beacon, or it is a
committed model (:mod:`veracity.zkml.training.base`).
Transcripts. Each window and the rounding have their own. It absorbs first: generator label and row
length, the premise, the kind, its own range of steps, and every row it receives or hands over.
Checks. The verifier makes the list of ranges itself, gathers the rows of the examples by the order
rule, passes the SAME bytes as "handed over" of a window and "received" of the next, and checks all
group equations at once (:mod:`veracity.zk.batch`).
Soundness error. The sum over windows, and ``2 windows / |F|`` for the batch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np

from veracity.engine.api import POINT_BYTES, Engine, Ints
from veracity.errors import FormatError, UnsupportedModelError, UsageError, VerificationError
from veracity.graph.training import Recipe, Weights, batch_rows, order_seed, start_weights
from veracity.graph.training.program import program_of
from veracity.zk.batch import batch_challenge, require_all
from veracity.zk.committed import ArrayId, CommittedArray
from veracity.zk.keys import GENERATOR_LABEL, MAX_LOG_COLUMNS, MIN_LOG_COLUMNS, CommitmentKey
from veracity.zk.transcript import ProverTranscript, VerifierTranscript, framed
from veracity.zkml.argument import Progress, prove_circuit, silent, verify_circuit
from veracity.zkml.boundary import Boundary
from veracity.zkml.circuit.declared import weight_id
from veracity.zkml.committed import CommittedTensor
from veracity.zkml.model import ModelCommitment, ModelOpening, choose_log_columns, weight_arrays
from veracity.zkml.training.base import BaseModel
from veracity.zkml.training.data import DataCommitment, row_bits
from veracity.zkml.training.rounding import build_rounding, rounding_ranges
from veracity.zkml.training.run_proof import RunProof
from veracity.zkml.training.start import start_rows
from veracity.zkml.training.state import (
    end_id,
    start_id,
    state_specs,
    weight_row_bits,
    weight_specs,
)
from veracity.zkml.training.window import EXAMPLES, WindowWitness, batch_spec, build_window

__all__ = [
    "PROTOCOL",
    "ROUNDING_PROTOCOL",
    "Run",
    "RunProof",
    "prove_rounding",
    "prove_window",
    "verify_run",
]

#: Name and version of the protocols, and the kind of what is proved; absorbed first.
PROTOCOL = "veracity v5 window"
ROUNDING_PROTOCOL = "veracity v5 rounding"

_MOST_WINDOW = 256

T = TypeVar("T")


@dataclass(frozen=True)
class Run:
    """What is public about a run before its first step.

    Attributes
    ----------
    recipe : Recipe
        What is done.
    data : tuple of DataCommitment
        On which examples, owner after owner.
    window : int
        Steps per window: how it is proved, not what.
    log_columns : int
        Logarithm of the row length of the windows' proofs.
    beacon : bytes
        Public randomness from after recipe and data were fixed; may be empty.
    base : BaseModel, optional
        The model that the run starts from; without one, first weights come from a public seed.
    """

    recipe: Recipe
    data: tuple[DataCommitment, ...]
    window: int = 16
    log_columns: int = 14
    beacon: bytes = b""
    base: BaseModel | None = None

    def check(self) -> None:
        """Raise UsageError unless all parts fit together."""
        recipe = self.recipe
        recipe.validate()
        if not self.data:
            raise UsageError("a run needs data")
        for found in self.data:
            found.check()
            if (found.inputs, found.classes) != (recipe.inputs, recipe.classes):
                raise UsageError("the data have other dims than the network's input and classes")
        if len({found.rows for found in self.data}) != len(self.data):
            raise UsageError("one data set is named twice")
        if not 1 <= self.window <= _MOST_WINDOW:
            raise UsageError(f"a window has 1 to {_MOST_WINDOW} steps")
        longest = max(weight_row_bits(recipe), row_bits(recipe.example_size))
        if self.base is not None:
            longest = max(longest, self.base.commitment.log_columns)
        if not max(longest, MIN_LOG_COLUMNS) <= self.log_columns <= MAX_LOG_COLUMNS:
            raise UsageError(f"rows of a window have 2^{longest} to 2^{MAX_LOG_COLUMNS} entries")
        if sum(d.examples for d in self.data) < recipe.batch:
            raise UsageError("there are fewer examples than a batch has")
        if self.base is not None:
            self.base.check(recipe)
        if recipe.settle and self.window % recipe.settle:
            raise UsageError(f"a window has whole blocks of {recipe.settle} steps (settle)")
        block = recipe.settle or 1
        try:  # bounds of weights rise from step to step
            build_window(recipe, (recipe.steps - 1) // block * block, recipe.steps)
        except UnsupportedModelError as error:
            raise UsageError(f"no proof of this recipe: {error}") from error

    @cached_property
    def start_seed(self) -> bytes:
        """Seed of the first weights."""
        digests = [d.digest for d in self.data]
        return hashlib.sha256(
            b"veracity init v3" + framed(self.recipe.digest, *digests, self.beacon)
        ).digest()

    @property
    def start_weights(self) -> Weights:
        """The first weights of a run without a base, which everybody can compute."""
        return start_weights(self.recipe, self.start_seed)

    def start(self, engine: Engine, key: CommitmentKey) -> dict[str, CommittedTensor]:
        """The first weights as everybody sees them.

        Parameters
        ----------
        engine, key : Engine, CommitmentKey
            Backend and generators.

        Raises
        ------
        FormatError
            The base is not laid out as its program says.
        """
        if self.base is not None:
            return self.base.tensors(engine, self.recipe)
        return start_rows(engine, key, self.recipe, self.start_seed)

    def premise0(self, start: Mapping[str, CommittedTensor]) -> bytes:
        """Digest of all that the order hangs on but the beacon."""
        digests = [d.digest for d in self.data]
        rows = [start[name].digest for name in weight_specs(self.recipe)]
        parts = framed(self.recipe.digest, *digests, *rows)
        return hashlib.sha256(b"veracity premise v3" + parts).digest()

    def premise(self, start: Mapping[str, CommittedTensor]) -> bytes:
        """Digest of everything that is known before the first step."""
        inner = self.premise0(start)
        numbers = [n.to_bytes(8, "little") for n in (self.window, self.log_columns)]
        return hashlib.sha256(b"veracity run v3" + framed(inner, self.beacon, *numbers)).digest()

    def ranges(self) -> list[tuple[int, int]]:
        """First step and end of every window."""
        steps = self.recipe.steps
        return [(t, min(t + self.window, steps)) for t in range(0, steps, self.window)]

    def rows(self, start: Mapping[str, CommittedTensor], first: int, last: int) -> Ints:
        """Numbers of the examples of some steps, (steps, batch), counted over all owners.

        Parameters
        ----------
        start : mapping
            Weights before the first step of the run.
        first, last : int
            Range of steps.
        """
        examples = sum(d.examples for d in self.data)
        seed = order_seed(self.premise0(start), self.beacon)
        return batch_rows(seed, examples, self.recipe.batch, first, last)

    @cached_property
    def _rows_of_data(self) -> Ints:
        data = b"".join(d.rows for d in self.data)
        return np.frombuffer(data, dtype=np.uint8).reshape(-1, POINT_BYTES)

    def examples(
        self, start: Mapping[str, CommittedTensor], first: int, last: int
    ) -> CommittedTensor:
        """The commitment of the examples of some steps: gathered rows.

        Parameters
        ----------
        start : mapping
            Weights before the first step of the run.
        first, last : int
            Range of steps.
        """
        rows = self._rows_of_data[self.rows(start, first, last).reshape(-1)]
        return CommittedTensor(batch_spec(self.recipe, last - first), rows.tobytes())

    def window_statement(
        self,
        start: Mapping[str, CommittedTensor],
        ends: tuple[int, int],
        received: Mapping[str, CommittedTensor],
        handed: Mapping[str, CommittedTensor],
    ) -> bytes:
        """What a window's transcript absorbs first.

        Parameters
        ----------
        start : mapping
            Weights before the first step of the run.
        ends : tuple of int
            The window's range of steps.
        received, handed : mapping
            Weights before and after it.
        """
        examples = self.examples(start, *ends)
        parts = [*_head(self, start), *[n.to_bytes(8, "little") for n in ends]]
        parts += [examples.spec.encode(), examples.data]
        for at, tensors in zip(ends, (received, handed), strict=True):
            for name in state_specs(self.recipe, at):
                parts += [name.encode(), tensors[name].spec.encode(), tensors[name].data]
        return framed(*parts)

    def rounding_statement(
        self,
        start: Mapping[str, CommittedTensor],
        end: Mapping[str, CommittedTensor],
        commitment: ModelCommitment,
        ends: tuple[int, int],
    ) -> bytes:
        """What a transcript of the rounding absorbs first.

        Parameters
        ----------
        start, end : mapping
            Weights before the first and after the last step.
        commitment : ModelCommitment
            The published model.
        ends : tuple of int
            The range of the weights, in order of name, that it is about.
        """
        numbers = [n.to_bytes(8, "little") for n in ends]
        parts = [*_head(self, start), *numbers, commitment.to_bytes()]
        for name in weight_specs(self.recipe):
            parts += [name.encode(), end[name].spec.encode(), end[name].data]
        return framed(*parts)


def _head(run: Run, start: Mapping[str, CommittedTensor]) -> list[bytes]:
    return [GENERATOR_LABEL.encode(), bytes([run.log_columns]), run.premise(start)]


def _tensors(boundary: Mapping[str, Boundary]) -> dict[str, CommittedTensor]:
    return {name: b.tensor for name, b in boundary.items()}


def prove_window(
    engine: Engine,
    key: CommitmentKey,
    run: Run,
    ends: tuple[int, int],
    weights: tuple[Mapping[str, CommittedTensor], Mapping[str, Boundary], Mapping[str, Boundary]],
    examples: CommittedArray,
    witness: WindowWitness,
    secret: bytes = b"",
    progress: Progress = silent,
) -> bytes:
    """The proof of one window.

    Parameters
    ----------
    engine, key : Engine, CommitmentKey
        Backend and generators.
    run : Run
        What is proved.
    ends : tuple of int
        The window's range of steps.
    weights : tuple of mapping
        Committed weights before the first step of the run; before the window, and after it, with
        what opens them.
    examples : CommittedArray
        The window's examples with their blinds, (steps, batch, example).
    witness : WindowWitness
        All integers.
    secret : bytes
        Hedges all randomness.
    progress : callable
        Receives (phase, fraction of the phase done).
    """
    start, before, after = weights
    specs = {name: b.tensor.spec for name, b in before.items()}
    circuit = build_window(run.recipe, *ends, witness, specs, engine.integers)
    earlier = {EXAMPLES: examples}
    earlier |= {start_id(n): b.named(start_id(n)) for n, b in before.items()}
    earlier |= {end_id(n): b.named(end_id(n)) for n, b in after.items()}
    statement = run.window_statement(start, ends, _tensors(before), _tensors(after))
    transcript = ProverTranscript(PROTOCOL, statement)
    prove_circuit(engine, key, circuit, earlier, transcript, secret, progress)
    return transcript.finish()


def prove_rounding(
    engine: Engine,
    key: CommitmentKey,
    run: Run,
    weights: tuple[Mapping[str, CommittedTensor], Mapping[str, Boundary]],
    published: Mapping[str, Ints],
    files: tuple[ModelCommitment, ModelOpening],
    progress: Progress = silent,
) -> list[bytes]:
    """The proofs that published weights are the trained ones, rounded: one for every stretch.

    Parameters
    ----------
    engine, key : Engine, CommitmentKey
        Backend and generators.
    run : Run
        What is proved.
    weights : tuple of mapping
        Committed weights before the first step; after the last one, with what opens them.
    published : mapping
        Integers of the model.
    files : tuple
        Its commitment and the secret that opens it.
    progress : callable
        Receives (phase, fraction of the phase done).
    """
    start, end = weights
    program, ranges, out = program_of(run.recipe), rounding_ranges(run.recipe), []
    known = weight_arrays(engine, program, published, files)
    known |= {end_id(n): end[n].named(end_id(n)) for n in weight_specs(run.recipe)}
    values = {n: b.values for n, b in end.items()}
    for i, ends in enumerate(ranges):

        def report(phase: str, done: float, i: int = i) -> None:
            progress(phase, (i + done) / len(ranges))

        circuit = build_rounding(run.recipe, ends, values, published)
        statement = run.rounding_statement(start, _tensors(end), files[0], ends)
        transcript = ProverTranscript(ROUNDING_PROTOCOL, statement)
        earlier = _stretch(run, ends, known)
        prove_circuit(engine, key, circuit, earlier, transcript, files[1].seed, report)
        out.append(transcript.finish())
    return out


def _stretch(run: Run, ends: tuple[int, int], known: Mapping[ArrayId, T]) -> dict[ArrayId, T]:
    """Trained and published weights of a stretch of the rounding."""
    names = list(weight_specs(run.recipe))[slice(*ends)]
    return {name(n): known[name(n)] for n in names for name in (end_id, weight_id)}


def verify_run(
    engine: Engine,
    key: CommitmentKey,
    run: Run,
    commitment: ModelCommitment,
    proof: RunProof,
    progress: Progress = silent,
) -> None:
    """Check that a model commitment holds what the run makes of its data, rounded.

    The proofs of form of the data and of well-formedness of the commitment are separate, and a
    verdict needs them, too.

    Parameters
    ----------
    engine, key : Engine, CommitmentKey
        Backend and generators.
    run : Run
        Recipe and data that the user trusts.
    commitment : ModelCommitment
        The published model.
    proof : RunProof
        All messages.
    progress : callable
        Receives (phase, fraction of the phase done).

    Raises
    ------
    VerificationError, FormatError
    """
    try:
        run.check()
    except UsageError as error:
        raise VerificationError(str(error), "statement") from error
    program = program_of(run.recipe)
    if commitment.program_digest.hex() != program.digest:
        raise VerificationError("the commitment belongs to another program", "statement")
    if commitment.log_columns != choose_log_columns(program):
        raise VerificationError("the commitment has another row length", "statement")
    ranges = run.ranges()
    if len(proof.windows) != len(ranges) or len(proof.cuts) != len(ranges):
        raise FormatError("proof", "another number of windows than the run has")
    stretches = rounding_ranges(run.recipe)
    if len(proof.roundings) != len(stretches):
        raise FormatError("proof", "another number of roundings than the weights need")
    cuts = list(proof.tensors(run.recipe))  # before anything that costs as much as the weights
    commitment.tensors(program)  # before work: weights are as many as the files have rows for
    start = run.start(engine, key)
    equations, states, received = [], [], start
    for i, (ends, handed) in enumerate(zip(ranges, cuts, strict=True)):
        where = f"window {i + 1}"
        points = {EXAMPLES: run.examples(start, *ends).points(engine, f"{where}, examples")}
        for name in received:
            points[start_id(name)] = received[name].points(engine, f"{where}, {name}")
        for name in handed:
            points[end_id(name)] = handed[name].points(engine, f"{where}, {name}")
        statement = run.window_statement(start, ends, received, handed)
        transcript = VerifierTranscript(PROTOCOL, statement, proof.windows[i])
        try:
            specs = {name: tensor.spec for name, tensor in received.items()}
            circuit = build_window(run.recipe, *ends, specs=specs)
            equations.append(verify_circuit(engine, key, circuit, points, transcript))
        except UnsupportedModelError as error:
            raise VerificationError(str(error), "statement") from error
        except VerificationError as error:
            raise VerificationError(error.reason, f"{where}, {error.where}") from error
        transcript.finish()
        states.append(transcript.state())
        received = handed
        progress("windows", (i + 1) / len(ranges))
    points = commitment.points(engine, program)
    for name in weight_specs(run.recipe):
        points[end_id(name)] = received[name].points(engine, f"end, {name}")
    for ends, messages in zip(stretches, proof.roundings, strict=True):
        statement = run.rounding_statement(start, received, commitment, ends)
        transcript = VerifierTranscript(ROUNDING_PROTOCOL, statement, messages)
        circuit, given = build_rounding(run.recipe, ends), _stretch(run, ends, points)
        equations.append(verify_circuit(engine, key, circuit, given, transcript))
        transcript.finish()
        states.append(transcript.state())
    require_all(engine, key, equations, batch_challenge(run.premise(start), states))
