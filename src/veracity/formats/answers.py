"""Several answers with one proof, ``.vproof``.

Layout: header; digest of the commitment; what the proof is bound to, UTF-8; number of answers; for
each its frame, prompt length, tokens (4 bytes each) and messages (canonical JSON, an empty list
where it is no conversation); cuts, 4 bytes each; proof.
"""

from __future__ import annotations

import hashlib
from dataclasses import field
from pathlib import Path
from typing import ClassVar, Literal

from veracity.codec import (
    DIGEST_BYTES,
    ByteReader,
    ByteWriter,
    canonical_json,
    read_file,
    write_file,
)
from veracity.codec.files import Source, name_of
from veracity.formats.proof import (
    FRAMES,
    MAX_CONTEXT,
    MAX_CUTS,
    MAX_MESSAGES,
    MAX_POSITIONS,
    MAX_PROOF,
    Proof,
    read_messages,
    read_numbers,
)
from veracity.lm.several import MAX_ANSWERS
from veracity.records import record

__all__ = ["ANSWERS_KIND", "AnswersProof", "answers_context"]

ANSWERS_KIND = b"VANS"
VERSION = 1
MAX_BYTES = MAX_PROOF + MAX_MESSAGES + 4 * (MAX_POSITIONS + MAX_CUTS) + MAX_CONTEXT + (1 << 16)


@record
class AnswersProof:
    """Answers to several prompts, and the argument that the committed model gives all of them.

    Attributes
    ----------
    commitment_digest : str
        The commitment that the prover used; the verifier compares it with its own.
    answers : tuple of Proof
        Frame, tokens and messages of each; without arguments of their own.
    argument : bytes
        The proof proper.
    cuts : tuple of int
        Where the proof is cut into segments.
    context : str
        What its maker bound the proof to.
    """

    #: What a proof is about: tells kinds apart without loading what reads the others.
    kind: ClassVar[Literal["answers"]] = "answers"

    commitment_digest: str
    answers: tuple[Proof, ...]
    argument: bytes = field(repr=False)
    cuts: tuple[int, ...] = ()
    context: str = ""

    def _said(self, writer: ByteWriter) -> None:
        """Everything but cuts and argument."""
        writer.raw(bytes.fromhex(self.commitment_digest))
        writer.blob(self.context.encode("utf-8"))
        writer.u32(len(self.answers))
        for one in self.answers:
            writer.u32(FRAMES.index(one.frame))
            writer.u32(one.prompt_length)
            writer.blob(b"".join(i.to_bytes(4, "little") for i in one.tokens))
            writer.blob(canonical_json([m.to_plain() for m in one.messages]))

    def to_bytes(self) -> bytes:
        """The content of a ``.vproof`` file."""
        writer = ByteWriter()
        writer.header(ANSWERS_KIND, VERSION)
        self._said(writer)
        writer.blob(b"".join(i.to_bytes(4, "little") for i in self.cuts))
        writer.blob(self.argument)
        return writer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes, where: str = "proof") -> AnswersProof:
        """Parse a ``.vproof`` file; raises :class:`FormatError` on anything but an exact one."""
        reader = ByteReader(data, where)
        reader.header(ANSWERS_KIND, VERSION)
        digest = reader.raw(DIGEST_BYTES, "commitment digest").hex()
        try:
            context = reader.blob("context", MAX_CONTEXT).decode("utf-8")
        except UnicodeDecodeError:
            reader.fail("context", "not UTF-8")
        count = reader.u32("answers", MAX_ANSWERS)
        if not count:
            reader.fail("answers", "there is none")
        answers = tuple(_answer(reader, digest) for _ in range(count))
        cuts = read_numbers(reader, "cuts", MAX_CUTS)
        argument = reader.blob("argument", MAX_PROOF)
        reader.finish()
        return cls(digest, answers, argument, cuts, context)

    @classmethod
    def load(cls, source: Source) -> AnswersProof:
        """Read a ``.vproof`` file: a path, bytes, or a file that is open.

        Raises
        ------
        FormatError, UsageError
        """
        return cls.from_bytes(read_file(source, MAX_BYTES, "proof"), name_of(source, "proof"))

    def save(self, path: str | Path) -> None:
        """Write a ``.vproof`` file, complete or not at all."""
        write_file(path, self.to_bytes())


def _answer(reader: ByteReader, digest: str) -> Proof:
    frame = FRAMES[reader.u32("frame", len(FRAMES) - 1)]
    prompt_length = reader.u32("prompt length", MAX_POSITIONS)
    tokens = read_numbers(reader, "tokens", MAX_POSITIONS)
    messages = read_messages(reader)
    if bool(messages) != (frame == "messages"):
        reader.fail("messages", "they do not fit the frame")
    if not 0 < prompt_length < len(tokens):
        reader.fail("prompt length", "prompt and answer need at least one token each")
    return Proof(digest, frame, tokens, prompt_length, b"", messages=messages)


def answers_context(proof: AnswersProof) -> bytes:
    """What a proof of several answers is bound to beside program, commitment and tokens."""
    writer = ByteWriter()
    writer.header(ANSWERS_KIND, VERSION)
    proof._said(writer)
    return hashlib.sha256(b"veracity answers v1\0" + writer.getvalue()).digest()
