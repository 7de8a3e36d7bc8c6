"""Checking what a committed network is said to make of an input.

Like :mod:`veracity.proving.verify`, this imports no model format, no device library and no source
of randomness.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity import zkml
from veracity.codec.arguments import require_settings, require_type
from veracity.codec.files import Source
from veracity.engine import load_engine
from veracity.errors import (
    FormatError,
    UnsupportedModelError,
    UsageError,
    VerificationError,
)
from veracity.formats.commitment import Commitment, Metadata
from veracity.formats.proof import check_context
from veracity.formats.tensor_proof import TensorProof, tensor_context, values_digest
from veracity.graph import Program
from veracity.graph.port import Port
from veracity.graph.samples import program_over
from veracity.lm.text_decoder import is_text_decoder
from veracity.progress import Progress, silent
from veracity.proving.grid import arranged, named_arrays, to_integers
from veracity.proving.verify import read_digest, require_same
from veracity.work.effort import MAX_TIME, require_effort
from veracity.work.well_formed import require_well_formed
from veracity.zk.keys import MAX_LOG_COLUMNS, MIN_LOG_COLUMNS

__all__ = ["VerifiedTensors", "require_network", "verify_tensors"]

PROVED = (
    "the committed network, run in its exact integer arithmetic, turns these inputs, rounded to "
    "its input's grid, into these outputs; its weights are integers below 2^49, fixed when it was "
    "committed"
)
#: What is said of an argument that fails; the place that found it is told apart.
NOT_SHOWN = (
    "the proof does not show that the committed network turns these inputs into these outputs"
)
NOT_PROVED = (
    "that this commitment is to the network its publisher promised (name, source and accuracy are "
    "the publisher's statements), where the inputs come from, or that the network is right"
)


@dataclass(frozen=True)
class VerifiedTensors:
    """An accepted proof.

    Attributes
    ----------
    rounding : dict
        Largest error of each input's rounding to its port's grid.
    digests : dict
        SHA-256 of each port's integers, hexadecimal.
    commitment_digest : str
        The commitment that the caller pinned.
    context : str
        What the proof is bound to, or nothing.
    samples : int
        How many samples all ports hold along a first axis; 0 without one.
    metadata : Metadata
        The publisher's statements about the network.
    proof_bytes : int
        Size of the proof file.
    seconds : float
        Time of the check.
    """

    rounding: dict[str, float]
    digests: dict[str, str]
    commitment_digest: str
    context: str
    samples: int
    metadata: Metadata = field(repr=False)
    proof_bytes: int
    seconds: float

    def to_plain(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return {
            "accepted": True,
            "rounding": self.rounding,
            "digests": self.digests,
            "commitment": self.commitment_digest,
            "context": self.context,
            "samples": self.samples,
            "stated": self.metadata.to_plain(),
            "proof_bytes": self.proof_bytes,
            "verify_s": round(self.seconds, 3),
            "proved": PROVED,
            "not_proved": NOT_PROVED,
        }


def verify_tensors(
    proof: TensorProof | Source,
    commitment: Commitment | Source,
    inputs: Mapping[str, NDArray[Any]] | NDArray[Any],
    outputs: Mapping[str, NDArray[Any]] | NDArray[Any],
    *,
    digest: str | None = None,
    context: str | None = None,
    max_time: float = MAX_TIME,
    threads: int | None = None,
    backend: str = "cpu",
    progress: Progress = silent,
) -> VerifiedTensors:
    """Check that the committed network turns the inputs into the outputs.

    Parameters
    ----------
    proof : TensorProof or path
        The proof.
    commitment : Commitment or path
        The network that the caller trusts to be the right one.
    inputs : mapping or array
        Real numbers by port, rounded to the ports' grids as the prover does; with a first axis more
        where the proof is about several samples.
    outputs : mapping or array
        Real numbers by port; each must lie on its port's grid exactly.
    digest : str, optional
        The commitment's digest as its publisher announces it.
    context : str, optional
        What the proof must be bound to, such as a nonce of the caller's.
    max_time : float
        Seconds that the check may take, told from the sizes of the files before it begins.
    threads : int, optional
        Threads to use; all cores by default.
    backend : str
        The engine that computes.
    progress : Progress
        Called as the check advances.

    Returns
    -------
    VerifiedTensors
        Only ever for an accepted proof.

    Raises
    ------
    VerificationError
        The proof is false, or of other inputs or outputs.
    MismatchError
        The proof is true, but bound to another context than expected.
    FormatError
        A file is damaged, of another kind or of another version.
    UsageError
        Arrays that are not those of the program's ports, or the check may take longer than
        ``max_time``.
    """
    require_settings(threads, backend, progress)
    require_type("digest", digest, str, optional=True)
    require_type("context", context, str, optional=True)
    started = time.perf_counter()
    if context is not None:
        check_context(context)
    announced = None if digest is None else read_digest(digest)
    progress("load", 0.0)
    pinned = commitment if isinstance(commitment, Commitment) else Commitment.load(commitment)
    given = proof if isinstance(proof, TensorProof) else TensorProof.load(proof)
    program = pinned.program
    require_network(pinned, announced, given.commitment_digest)
    if given.sealed:
        raise VerificationError(
            f"port {min(given.sealed)} is sealed: its values are not shown", "seal"
        )
    rounding, read, shown = {}, {}, {}
    for name, x in named_arrays(program.inputs, inputs, "input").items():
        port = program.inputs[name]
        try:
            laid = arranged(name, port.dims, x, given.samples)
            read[name], rounding[name] = to_integers(name, port, laid)
        except UsageError as error:
            raise VerificationError(str(error), "input") from error
    for name, x in named_arrays(program.outputs, outputs, "output").items():
        shown[name] = exact_integers(name, program.outputs[name], x, given.samples)
    for side, claimed, values in (
        ("input", given.inputs, read),
        ("output", given.outputs, shown),
    ):
        for name, x in values.items():
            if claimed.get(name) != values_digest(x):
                raise VerificationError(f"the proof is of another {side} {name}", side)
        if set(claimed) != set(values):
            raise VerificationError(f"the proof is of other {side}s", side)
    engine = load_engine(backend, threads=threads)
    statement = zkml.Statement(
        over_samples(program, given.samples),
        read,
        shown,
        given.cuts,
        commitment=pinned.model,
        context=tensor_context(pinned.digest, given.context),
        committed=program if given.samples else None,
    )
    require_effort(statement, len(given.argument), max_time)
    progress("verify", 0.0)
    require_well_formed(engine, pinned)
    try:
        zkml.verify(engine, statement, given.argument)
    except (VerificationError, FormatError) as error:
        raise VerificationError(NOT_SHOWN, f"{error.where}: {error.reason}") from error
    if context is not None:
        require_same("context", context, given.context)
    progress("verify", 1.0)
    return VerifiedTensors(
        rounding=rounding,
        digests={n: values_digest(x).hex() for n, x in {**read, **shown}.items()},
        commitment_digest=pinned.digest,
        context=given.context,
        samples=given.samples,
        metadata=pinned.metadata,
        proof_bytes=len(given.to_bytes()),
        seconds=time.perf_counter() - started,
    )


def require_network(pinned: Commitment, announced: str | None, used: str) -> None:
    """Refuse a proof that is not about the network that a caller trusts.

    Parameters
    ----------
    pinned : Commitment
        The caller's.
    announced : str or None
        Its digest as the publisher announces it.
    used : str
        The digest in the proof.

    Raises
    ------
    FormatError
        The commitment is none of a network over tensors.
    VerificationError
        It is not the one announced, or not the one that the proof was made for.
    """
    if not MIN_LOG_COLUMNS <= pinned.model.log_columns <= MAX_LOG_COLUMNS:
        raise FormatError("commitment", "row length out of bounds")
    if is_text_decoder(pinned.program):
        raise FormatError("commitment", "its program is a language model")
    if announced not in (None, pinned.digest):
        raise VerificationError("the commitment given is not the one announced", "commitment")
    if used != pinned.digest:
        raise VerificationError(
            "the proof was made for another commitment than the one given", "commitment"
        )


def over_samples(program: Program, samples: int) -> Program:
    """The program that a proof about several samples is of, or the committed one itself.

    Raises
    ------
    VerificationError
        There is no such program.
    """
    try:
        return program_over(program, samples) if samples else program
    except (UsageError, UnsupportedModelError) as error:
        raise VerificationError(str(error), "samples") from error


def exact_integers(name: str, port: Port, x: NDArray[Any], samples: int = 0) -> NDArray[np.int64]:
    """The integers of an output that lies on its grid.

    Parameters
    ----------
    name : str
        Its name, for errors.
    port : Port
        Its grid and dims.
    x : array
        Real values.
    samples : int
        How many lie along a first axis; 0 without one.

    Raises
    ------
    VerificationError
        Where it does not.
    """
    try:
        laid = arranged(name, port.dims, np.asarray(x, dtype=np.float64), samples)
    except UsageError as error:
        raise VerificationError(str(error), "output") from error
    with np.errstate(over="ignore"):
        scaled = np.ldexp(laid, port.exponent)
    on_grid = np.isfinite(scaled).all() and bool((scaled == np.floor(scaled)).all())
    if not on_grid or np.abs(scaled).max(initial=0.0) >= 1 << 53:
        raise VerificationError(f"{name}: a number that the network cannot give", "output")
    return np.asarray(scaled, dtype=np.int64)
