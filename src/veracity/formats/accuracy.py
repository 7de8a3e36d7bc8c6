"""A proof about accuracy, ``.vproof``: what a committed network answers to public examples.

Layout: header; digest of the commitment; digest of the examples; the output that has the scores;
what it is bound to; answers, 2 bytes each; cuts, 4 bytes each; proof. Examples and labels are not
in it: whoever verifies has them, and counts by themselves which answers are right.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from veracity.codec import DIGEST_BYTES, ByteReader, ByteWriter, read_file, write_file
from veracity.codec.files import Source, name_of
from veracity.formats.proof import MAX_CONTEXT, MAX_CUTS, MAX_PROOF
from veracity.graph.samples import MAX_SAMPLES

__all__ = ["ACCURACY_KIND", "AccuracyProof", "accuracy_context"]

ACCURACY_KIND = b"VACC"
VERSION = 1
MAX_NAME = 800
MAX_BYTES = MAX_PROOF + 4 * MAX_CUTS + 2 * MAX_SAMPLES + MAX_CONTEXT + MAX_NAME + 1024


@dataclass(frozen=True, eq=False)
class AccuracyProof:
    """What the committed network answers to examples, proved.

    Attributes
    ----------
    commitment_digest : str
        The commitment that the prover used; the verifier compares it with its own.
    examples_digest : str
        Inputs and labels (:attr:`veracity.formats.examples.Examples.digest`).
    output : str
        The output whose largest entry is the answer.
    answers : int64 array, (N,)
        Class by example.
    argument : bytes
        The proof proper.
    cuts : tuple of int
        Where the proof is cut into segments.
    context : str
        What its maker bound the proof to.
    """

    #: What a proof is about: tells kinds apart without loading what reads the others.
    kind: ClassVar[Literal["accuracy"]] = "accuracy"

    commitment_digest: str
    examples_digest: str
    output: str
    answers: NDArray[np.int64] = field(repr=False)
    argument: bytes = field(repr=False)
    cuts: tuple[int, ...] = ()
    context: str = ""

    def to_bytes(self) -> bytes:
        """The content of a ``.vproof`` file."""
        writer = ByteWriter()
        writer.header(ACCURACY_KIND, VERSION)
        writer.raw(bytes.fromhex(self.commitment_digest))
        writer.raw(bytes.fromhex(self.examples_digest))
        writer.blob(self.output.encode())
        writer.blob(self.context.encode())
        writer.blob(np.asarray(self.answers, dtype="<u2").tobytes())
        writer.blob(np.asarray(self.cuts, dtype="<u4").tobytes())
        writer.blob(self.argument)
        return writer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes, where: str = "proof") -> AccuracyProof:
        """Parse a ``.vproof`` file; raises :class:`FormatError` on anything but an exact one."""
        reader = ByteReader(data, where)
        reader.header(ACCURACY_KIND, VERSION)
        commitment = reader.raw(DIGEST_BYTES, "commitment digest").hex()
        examples = reader.raw(DIGEST_BYTES, "examples digest").hex()
        texts = []
        for what, most in (("output", MAX_NAME), ("context", MAX_CONTEXT)):
            try:
                texts.append(reader.blob(what, most).decode())
            except UnicodeDecodeError:
                reader.fail(what, "not UTF-8")
        answers = reader.blob("answers", 2 * MAX_SAMPLES)
        cuts = reader.blob("cuts", 4 * MAX_CUTS)
        if not answers or len(answers) % 2 or len(cuts) % 4:
            reader.fail("answers", "not a whole number of entries")
        argument = reader.blob("argument", MAX_PROOF)
        reader.finish()
        return cls(
            commitment,
            examples,
            texts[0],
            np.frombuffer(answers, dtype="<u2").astype(np.int64),
            argument,
            tuple(np.frombuffer(cuts, dtype="<u4").tolist()),
            texts[1],
        )

    @classmethod
    def load(cls, source: Source) -> AccuracyProof:
        """Read a ``.vproof`` file: a path, bytes, or a file that is open.

        Raises
        ------
        FormatError, UsageError
        """
        return cls.from_bytes(read_file(source, MAX_BYTES, "proof"), name_of(source, "proof"))

    def save(self, path: str | Path) -> None:
        """Write a ``.vproof`` file, complete or not at all."""
        write_file(path, self.to_bytes())


def accuracy_context(proof: AccuracyProof) -> bytes:
    """What a proof is bound to beside program, commitment, inputs and answers."""
    label = b"veracity accuracy, proof file version " + str(VERSION).encode() + b"\0"
    digests = bytes.fromhex(proof.commitment_digest) + bytes.fromhex(proof.examples_digest)
    output = proof.output.encode()
    named = len(output).to_bytes(4, "little") + output
    return hashlib.sha256(label + digests + named + proof.context.encode()).digest()
