"""The answer with its proof, ``.vproof``.

Layout: header; digest of the commitment it refers to; frame (0 raw, 1 chat); context, UTF-8;
prompt length; tokens and cuts, 4 bytes each; proof. No checksum: the proof protects itself, and
every flipped bit is found by the verifier, not by a hash that an attacker would recompute. That is
version 3; what was asked in several messages, or was drawn, has version 4, with temperature, nonces
and messages before the proof.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

from veracity.codec import (
    DIGEST_BYTES,
    ByteReader,
    ByteWriter,
    canonical_json,
    parse_json,
    read_file,
    write_file,
)
from veracity.codec.files import Source, name_of
from veracity.errors import UsageError
from veracity.formats.drawing import Drawing
from veracity.records import record
from veracity.text.chat import ROLES, Message

__all__ = ["Proof"]

KIND = b"VPRF"
VERSION, EXTENDED = 3, 4
FRAMES = ("raw", "chat", "messages")
MAX_POSITIONS = 1 << 20
MAX_PROOF = 1 << 26
MAX_CUTS = 1 << 16
MAX_CONTEXT = 1 << 12  # bytes
MAX_MESSAGES = 1 << 22  # bytes of JSON; texts of more than 1 MiB cannot be proved
MAX_BYTES = MAX_PROOF + MAX_MESSAGES + 4 * (MAX_POSITIONS + MAX_CUTS) + MAX_CONTEXT + 1024


@record
class Proof:
    """A proved answer: the token ids and the argument that the committed model gives them.

    Parameters
    ----------
    commitment_digest : str
        The commitment that the prover used. The verifier compares it with its own, it never
        trusts it.
    frame : str
        ``raw`` or ``chat``: what stands around the user's words; ``messages`` for a conversation.
    tokens : tuple[int, ...]
        Prompt and answer.
    prompt_length : int
        How many of ``tokens`` are the prompt.
    argument : bytes
        The proof proper.
    cuts : tuple[int, ...]
        Indices of the program's ops before which the proof is cut into segments; how it was made,
        not what it says.
    context : str
        What the proof was bound to beside its words, such as the number of a request; may be empty.
    messages : tuple of Message
        The conversation that the prompt is; empty for other frames.
    drawing : Drawing or None
        How the answer was drawn; None for the greedy choice.
    """

    #: What a proof is about: tells kinds apart without loading what reads the others.
    kind: ClassVar[Literal["answer"]] = "answer"

    commitment_digest: str
    frame: str
    tokens: tuple[int, ...]
    prompt_length: int
    argument: bytes
    cuts: tuple[int, ...] = ()
    context: str = ""
    messages: tuple[Message, ...] = ()
    drawing: Drawing | None = None

    def __repr__(self) -> str:
        return (
            f"Proof({self.prompt_length} prompt tokens, {len(self.answer)} answer tokens, "
            f"{len(self.argument):,} bytes, for commitment {self.commitment_digest[:16]}...)"
        )

    @property
    def prompt(self) -> tuple[int, ...]:
        """Token ids of the prompt."""
        return self.tokens[: self.prompt_length]

    @property
    def answer(self) -> tuple[int, ...]:
        """Token ids of the answer."""
        return self.tokens[self.prompt_length :]

    def to_bytes(self) -> bytes:
        """The content of a ``.vproof`` file."""
        writer = ByteWriter()
        extended = bool(self.messages) or self.drawing is not None
        writer.header(KIND, EXTENDED if extended else VERSION)
        writer.raw(bytes.fromhex(self.commitment_digest))
        writer.u32(FRAMES.index(self.frame))
        writer.blob(self.context.encode("utf-8"))
        writer.u32(self.prompt_length)
        for ids in (self.tokens, self.cuts):
            writer.blob(b"".join(i.to_bytes(4, "little") for i in ids))
        if extended:
            (self.drawing or Drawing(0)).write(writer)
            writer.blob(canonical_json([m.to_plain() for m in self.messages]))
        writer.blob(self.argument)
        return writer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes, where: str = "proof") -> Proof:
        """Parse a ``.vproof`` file; raises :class:`FormatError` on anything but an exact one."""
        reader = ByteReader(data, where)
        extended = reader.header(KIND, VERSION, EXTENDED) == EXTENDED
        digest = reader.raw(DIGEST_BYTES, "commitment digest").hex()
        frame = FRAMES[reader.u32("frame", len(FRAMES) - 1 if extended else 1)]
        try:
            context = reader.blob("context", MAX_CONTEXT).decode("utf-8")
        except UnicodeDecodeError:
            reader.fail("context", "not UTF-8")
        prompt_length = reader.u32("prompt length", MAX_POSITIONS)
        ids = read_numbers(reader, "tokens", MAX_POSITIONS)
        cuts = read_numbers(reader, "cuts", MAX_CUTS)
        drawing = Drawing.read(reader) if extended else None
        messages = read_messages(reader) if extended else ()
        if extended and (bool(messages) != (frame == "messages") or not (messages or drawing)):
            reader.fail("messages", "they do not fit the frame")
        argument = reader.blob("argument", MAX_PROOF)
        reader.finish()
        if not 0 < prompt_length < len(ids):
            reader.fail("prompt length", "prompt and answer need at least one token each")
        return cls(digest, frame, ids, prompt_length, argument, cuts, context, messages, drawing)

    @classmethod
    def load(cls, source: Source) -> Proof:
        """Read a ``.vproof`` file: a path, bytes, or a file that is open.

        Raises
        ------
        FormatError, UsageError
        """
        return cls.from_bytes(read_file(source, MAX_BYTES, "proof"), name_of(source, "proof"))

    def save(self, path: str | Path) -> None:
        """Write a ``.vproof`` file, complete or not at all."""
        write_file(path, self.to_bytes())


def read_messages(reader: ByteReader) -> tuple[Message, ...]:
    """A conversation, exactly as it is written; fails as the reader does."""
    # Canonical JSON is UTF-8, which has no half characters.
    plain = parse_json(reader.blob("messages", MAX_MESSAGES), "messages")
    if not isinstance(plain, list):
        reader.fail("messages", "no list")
    for one in plain:
        if not isinstance(one, dict) or one.keys() != {"role", "content"}:
            reader.fail("messages", "one needs exactly 'role' and 'content'")
        if one["role"] not in ROLES or not isinstance(one["content"], str):
            reader.fail("messages", "one has no such role, or no text")
    return tuple(Message(one["role"], one["content"]) for one in plain)


def read_numbers(reader: ByteReader, name: str, most: int) -> tuple[int, ...]:
    """Numbers of 4 bytes each.

    Parameters
    ----------
    reader : ByteReader
        Where they stand.
    name : str
        For errors.
    most : int
        How many there may be.
    """
    packed = reader.blob(name, 4 * most)
    if len(packed) % 4:
        reader.fail(name, "not a whole number of entries")
    return tuple(int.from_bytes(packed[i : i + 4], "little") for i in range(0, len(packed), 4))


def statement_context(
    commitment_digest: str,
    frame: str,
    context: str = "",
    drawing: Drawing | None = None,
    messages: Sequence[Message] = (),
) -> bytes:
    """What a proof is bound to beside program, commitment and tokens.

    Parameters
    ----------
    commitment_digest : str
        Name of the committed model, hexadecimal.
    frame : str
        What stands around the user's words.
    context : str
        What the proof is bound to by its maker's will.
    drawing : Drawing, optional
        How the answer was drawn.
    messages : sequence of Message
        The conversation that the prompt is.
    """
    extended = frame == "messages" or drawing is not None
    version = EXTENDED if extended else VERSION
    label = b"veracity answer, proof file version " + str(version).encode() + b"\0"
    if extended:
        writer = ByteWriter()
        (drawing or Drawing(0)).write(writer)
        writer.blob(canonical_json([m.to_plain() for m in messages]))
        label += writer.getvalue()
    digest, number = bytes.fromhex(commitment_digest), FRAMES.index(frame).to_bytes(4, "little")
    return hashlib.sha256(label + digest + number + context.encode("utf-8")).digest()


def check_context(context: str) -> None:
    """Raise :class:`UsageError` unless a proof can be bound to this text."""
    try:
        length = len(context.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise UsageError(
            f"the context is not valid Unicode: half a character at position {error.start}"
        ) from None
    if length > MAX_CONTEXT:
        raise UsageError(
            f"the context has {length} bytes, at most {MAX_CONTEXT} are allowed; "
            "give a digest of it"
        )
