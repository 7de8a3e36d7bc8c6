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
from veracity.formats.pointer import ProofPointer
from veracity.formats.proof import check_context
from veracity.formats.seal import Seal
from veracity.formats.tensor_proof import TensorProof, tensor_context, values_digest
from veracity.graph import Program
from veracity.graph.port import Port
from veracity.graph.samples import program_over
from veracity.lm.text_decoder import is_text_decoder
from veracity.progress import Progress, silent
from veracity.proving.discharge import discharge
from veracity.proving.grid import arranged, by_port, to_integers
from veracity.proving.pictures import Picture, port_values
from veracity.proving.verify import read_digest, require_same
from veracity.work.effort import MAX_TIME
from veracity.zk.keys import MAX_LOG_COLUMNS, MIN_LOG_COLUMNS
from veracity.zkml.committed import CommittedTensor
from veracity.zkml.statement import PortValue

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


#: What a port may be shown as.
Shown = NDArray[Any] | Picture | Seal

NOT_PROVED_OF_PICTURES = (
    "that a picture is authentic, that detail in it is true, or how a viewer shows it: the proof "
    "is about pixels, whatever file they come from"
)
NOT_PROVED_OF_SEALS = (
    "what lies under a seal, who made it and when: two proofs that name one seal are about the "
    "same values, each within its port's range"
)


@dataclass(frozen=True)
class VerifiedTensors:
    """An accepted proof.

    Attributes
    ----------
    rounding : dict
        Largest error of each input's rounding to its port's grid.
    digests : dict
        SHA-256 of each port's integers, or of its seal; hexadecimal.
    sealed : frozenset of str
        The ports whose values the proof does not show.
    pictures : dict
        The ports that were given as pictures.
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
    accuracy_proof : ProofPointer or None
        The proof about the network's accuracy that the commitment names; it is not checked here.
    """

    rounding: dict[str, float]
    digests: dict[str, str]
    sealed: frozenset[str]
    pictures: dict[str, Picture]
    commitment_digest: str
    context: str
    samples: int
    metadata: Metadata = field(repr=False)
    proof_bytes: int
    seconds: float
    accuracy_proof: ProofPointer | None = None

    @property
    def not_proved(self) -> str:
        """What an accepted proof says nothing about."""
        more = [NOT_PROVED_OF_SEALS] if self.sealed else []
        more += [NOT_PROVED_OF_PICTURES] if self.pictures else []
        return "; ".join([NOT_PROVED, *more])

    def to_plain(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return {
            "accepted": True,
            "rounding": self.rounding,
            "digests": self.digests,
            "sealed": sorted(self.sealed),
            "pixels": {n: x.digest for n, x in self.pictures.items()},
            "commitment": self.commitment_digest,
            "context": self.context,
            "samples": self.samples,
            "stated": self.metadata.to_plain(),
            "accuracy_proof": self.accuracy_proof and self.accuracy_proof.to_plain(),
            "proof_bytes": self.proof_bytes,
            "verify_s": round(self.seconds, 3),
            "proved": PROVED,
            "not_proved": self.not_proved,
        }


def verify_tensors(
    proof: TensorProof | Source,
    commitment: Commitment | Source,
    inputs: Mapping[str, Shown] | Shown,
    outputs: Mapping[str, Shown] | Shown,
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
        where the proof is about several samples. A seal stands for values that nobody shows, a
        picture for its pixels.
    outputs : mapping or array
        Real numbers by port; each must lie on its port's grid exactly. Or seals, or pictures.
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
    rounding: dict[str, float] = {}
    pictures: dict[str, Picture] = {}
    sides: list[dict[str, PortValue]] = []
    for side, ports, values in (
        ("input", program.inputs, inputs),
        ("output", program.outputs, outputs),
    ):
        claimed = given.inputs if side == "input" else given.outputs
        read: dict[str, PortValue] = {}
        shown: dict[str, Shown] = by_port(ports, values, side)
        for name, x in shown.items():
            if isinstance(x, Picture):
                pictures[name] = x
                x = shown_picture(side, name, ports[name], x)
            if isinstance(x, Seal):
                read[name] = x.tensor
            elif side == "input":
                read[name], rounding[name] = rounded_integers(name, ports[name], x, given.samples)
            else:
                read[name] = exact_integers(name, ports[name], x, given.samples)
            require_claimed(side, name, read[name], given)
        if set(claimed) != set(read):
            raise VerificationError(f"the proof is of other {side}s", side)
        sides.append(read)
    engine = load_engine(backend, threads=threads)
    statement = zkml.Statement(
        over_samples(program, given.samples),
        sides[0],
        sides[1],
        given.cuts,
        commitment=pinned.model,
        context=tensor_context(pinned.digest, given.context),
        committed=program if given.samples else None,
    )
    discharge(
        engine, pinned, statement, given.argument, NOT_SHOWN, max_time=max_time, progress=progress
    )
    if context is not None:
        require_same("context", context, given.context)
    return VerifiedTensors(
        rounding=rounding,
        digests={n: port_digest(x).hex() for n, x in {**sides[0], **sides[1]}.items()},
        sealed=given.sealed,
        pictures=pictures,
        commitment_digest=pinned.digest,
        context=given.context,
        samples=given.samples,
        metadata=pinned.metadata,
        proof_bytes=len(given.to_bytes()),
        seconds=time.perf_counter() - started,
        accuracy_proof=pinned.accuracy_proof,
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


def shown_picture(side: str, name: str, port: Port, picture: Picture) -> NDArray[np.int64]:
    """A picture's numbers as a port has them.

    Parameters
    ----------
    side : str
        ``input`` or ``output``.
    name : str
        The port.
    port : Port
        Its dims and grid.
    picture : Picture
        The caller's.

    Raises
    ------
    VerificationError
        The port takes no such picture.
    """
    try:
        return port_values(name, port, picture)
    except UsageError as error:
        raise VerificationError(str(error), side) from error


def port_digest(value: PortValue) -> bytes:
    """What a proof file says of a port: the digest of its integers, or of its seal."""
    return value.digest if isinstance(value, CommittedTensor) else values_digest(value)


def require_claimed(side: str, name: str, value: PortValue, proof: TensorProof) -> None:
    """Refuse values that the proof is not about; its argument is bound to them in any case.

    Parameters
    ----------
    side : str
        ``input`` or ``output``.
    name : str
        The port.
    value : array or CommittedTensor
        The caller's.
    proof : TensorProof
        With its digests.

    Raises
    ------
    VerificationError
    """
    sealed = isinstance(value, CommittedTensor)
    if name in proof.sealed and not sealed:
        raise VerificationError(f"{side} {name} is sealed: give its seal, not values", side)
    if sealed and name not in proof.sealed:
        raise VerificationError(f"{side} {name} is not sealed in this proof: give its values", side)
    claimed = proof.inputs if side == "input" else proof.outputs
    if claimed.get(name) != port_digest(value):
        raise VerificationError(f"the proof is of another {side} {name}", side)


def rounded_integers(
    name: str, port: Port, x: NDArray[Any], samples: int = 0
) -> tuple[NDArray[np.int64], float]:
    """The integers of an input, rounded to its grid, and the largest rounding error.

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
    """
    try:
        return to_integers(name, port, arranged(name, port.dims, np.asarray(x), samples))
    except UsageError as error:
        raise VerificationError(str(error), "input") from error


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
