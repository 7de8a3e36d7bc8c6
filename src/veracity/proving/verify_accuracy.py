"""Checking what a committed network is said to answer to public examples.

Like :mod:`veracity.proving.verify`, this imports no model format, no device library and no source
of randomness.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from veracity import zkml
from veracity.codec.arguments import require_settings, require_type
from veracity.codec.files import Source
from veracity.engine import load_engine
from veracity.errors import (
    UnsupportedModelError,
    UsageError,
    VerificationError,
)
from veracity.formats.accuracy import AccuracyProof, accuracy_context
from veracity.formats.commitment import Commitment, Metadata
from veracity.formats.examples import Examples
from veracity.formats.pointer import ProofPointer
from veracity.formats.proof import check_context
from veracity.graph.samples import choices_over, sample_ports, scores_port
from veracity.progress import Progress, silent
from veracity.proving.discharge import discharge
from veracity.proving.grid import arranged, example_arrays, to_integers
from veracity.proving.verify import read_digest, require_same
from veracity.proving.verify_tensors import require_network
from veracity.work.effort import MAX_TIME

__all__ = ["VerifiedAccuracy", "verify_accuracy"]

PROVED = (
    "the committed network, run in its exact integer arithmetic on each of these examples, rounded "
    "to its input's grid, gives the answers counted here, each the place of the largest entry "
    "of the output named here; its weights are integers below 2^49, fixed when it was committed"
)
NOT_SHOWN = "the proof does not show that the committed network gives these answers"
NOT_PROVED = (
    "that the network does as well on anything else: the rest of the world may look different from "
    "these examples, the network may have been made with them, and whoever made the proof may have "
    "chosen them; that their labels are right"
)


@dataclass(frozen=True)
class VerifiedAccuracy:
    """An accepted proof.

    Attributes
    ----------
    correct, samples : int
        K of N: answers that are the example's label.
    output : str
        The output whose largest entry is the answer: whoever made the proof chose among several.
    right_by_class : dict
        For each label that occurs: how many of how many.
    examples_digest : str
        SHA-256 of inputs and labels.
    rounding : dict
        Largest error of each input's rounding to its port's grid.
    commitment_digest : str
        The commitment that the caller pinned.
    context : str
        What the proof is bound to, or nothing.
    metadata : Metadata
        The publisher's statements about the network.
    proof_bytes : int
        Size of the proof file.
    seconds : float
        Time of the check.
    accuracy_proof : ProofPointer or None
        The proof about accuracy that the commitment names; whether it is this one, see
        ``named_by_publisher``.
    named_by_publisher : bool
        Whether the commitment names this very proof.
    """

    correct: int
    samples: int
    output: str
    right_by_class: dict[int, tuple[int, int]]
    examples_digest: str
    rounding: dict[str, float]
    commitment_digest: str
    context: str
    metadata: Metadata = field(repr=False)
    proof_bytes: int
    seconds: float
    accuracy_proof: ProofPointer | None = None
    named_by_publisher: bool = False

    def to_plain(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return {
            "accepted": True,
            "correct": self.correct,
            "samples": self.samples,
            "output": self.output,
            "accuracy": round(self.correct / self.samples, 6),
            "right_by_class": {str(c): list(k) for c, k in self.right_by_class.items()},
            "examples": self.examples_digest,
            "rounding": self.rounding,
            "commitment": self.commitment_digest,
            "context": self.context,
            "stated": self.metadata.to_plain(),
            "accuracy_proof": self.accuracy_proof and self.accuracy_proof.to_plain(),
            "named_by_publisher": self.named_by_publisher,
            "proof_bytes": self.proof_bytes,
            "verify_s": round(self.seconds, 3),
            "proved": PROVED,
            "not_proved": NOT_PROVED,
        }


def verify_accuracy(
    proof: AccuracyProof | Source,
    commitment: Commitment | Source,
    examples: Examples | Source,
    *,
    output: str | None = None,
    digest: str | None = None,
    context: str | None = None,
    max_time: float = MAX_TIME,
    threads: int | None = None,
    backend: str = "cpu",
    progress: Progress = silent,
) -> VerifiedAccuracy:
    """Check the answers of a committed network to examples, and count those that are right.

    Parameters
    ----------
    proof : AccuracyProof or path
        The proof.
    commitment : Commitment or path
        The network that the caller trusts to be the right one.
    examples : Examples or path
        Inputs and labels (``.npz``) that the caller has.
    output : str, optional
        The output whose largest entry must be the answer; without it whoever made the proof chose.
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
    VerifiedAccuracy
        Only ever for an accepted proof.

    Raises
    ------
    VerificationError
        The proof is false, or of other examples.
    MismatchError
        The proof is true, but of another output, or bound to another context, than expected.
    FormatError
        A file is damaged, of another kind or of another version.
    """
    require_settings(threads, backend, progress)
    require_type("output", output, str, optional=True)
    require_type("digest", digest, str, optional=True)
    require_type("context", context, str, optional=True)
    if context is not None:
        check_context(context)
    started = time.perf_counter()
    announced = None if digest is None else read_digest(digest)
    progress("load", 0.0)
    pinned = commitment if isinstance(commitment, Commitment) else Commitment.load(commitment)
    given = proof if isinstance(proof, AccuracyProof) else AccuracyProof.load(proof)
    asked = examples if isinstance(examples, Examples) else Examples.load(examples)
    require_network(pinned, announced, given.commitment_digest)
    program = pinned.program
    if len(given.answers) != asked.count or given.examples_digest != asked.digest:
        raise VerificationError("the proof is about other examples", "examples")
    try:
        run, classes = choices_over(program, asked.count, given.output or None)
        counted = scores_port(program, given.output or None)
        read, rounding = {}, {}
        ports = sample_ports(program)
        for name, x in example_arrays(ports, asked.inputs).items():
            port = ports[name]
            laid = arranged(name, port.dims, x, asked.count)
            read[name], rounding[name] = to_integers(name, port, laid)
    except (UsageError, UnsupportedModelError) as error:
        raise VerificationError(str(error), "examples") from error
    if int(given.answers.max()) >= classes:
        raise VerificationError("an answer that the network cannot give", "answers")
    engine = load_engine(backend, threads=threads)
    statement = zkml.Statement(
        run,
        read,
        {"class": given.answers},
        given.cuts,
        commitment=pinned.model,
        context=accuracy_context(given),
        committed=program,
    )
    discharge(
        engine, pinned, statement, given.argument, NOT_SHOWN, max_time=max_time, progress=progress
    )
    if output is not None:
        require_same("output", output, counted)
    if context is not None:
        require_same("context", context, given.context)
    right = given.answers == asked.labels
    labels, place = np.unique(asked.labels, return_inverse=True)
    counts = (np.bincount(which, minlength=len(labels)) for which in (place[right], place))
    by_class = dict(
        zip(labels.tolist(), zip(*(n.tolist() for n in counts), strict=True), strict=True)
    )
    content, pointer = given.to_bytes(), pinned.accuracy_proof
    return VerifiedAccuracy(
        correct=int(right.sum()),
        samples=asked.count,
        output=counted,
        right_by_class=by_class,
        examples_digest=given.examples_digest,
        rounding=rounding,
        commitment_digest=pinned.digest,
        context=given.context,
        metadata=pinned.metadata,
        proof_bytes=len(content),
        seconds=time.perf_counter() - started,
        accuracy_proof=pointer,
        named_by_publisher=pointer is not None and pointer.names(content),
    )
