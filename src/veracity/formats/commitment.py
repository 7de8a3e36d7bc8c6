"""The public file of a model, ``.vcom``: what a verifier pins.

Layout: header; metadata (canonical JSON); program (canonical JSON, compressed); tokens and how text
is spelled in them (compressed); model commitment; SHA-256 of all of it, which is the commitment's
digest; annex. The annex holds the proof that all weights are integers
(:mod:`veracity.zkml.well_formed`). It is outside the digest, so that it may
be made anew; a checksum of its own tells damage from falsehood. A second annex, or none, names the
masked weights of private inference (:mod:`veracity.private`), a third, or none, a proof about the
model's accuracy (:mod:`veracity.formats.pointer`): the publisher's word, not a proof.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from veracity.codec import (
    DIGEST_BYTES,
    ByteReader,
    ByteWriter,
    canonical_json,
    parse_json,
    read_file,
    write_file,
)
from veracity.codec.encoding import MAGIC
from veracity.codec.files import Source, name_of
from veracity.errors import FormatError
from veracity.formats.pointer import MAX_POINTER, ProofPointer
from veracity.graph import Program
from veracity.lm.text_decoder import is_text_decoder, vocabulary_of
from veracity.records import record
from veracity.text.chat import ChatFrame
from veracity.text.table import MAX_TABLE_BYTES, PromptFrame, TokenTable
from veracity.zkml import ModelCommitment

__all__ = ["Commitment", "Metadata"]

KIND = b"VCOM"
VERSION = 4
MAX_METADATA = 1 << 20
MAX_PROGRAM = 1 << 24
#: Most lists and objects of a program: each takes some hundred bytes of memory, and three of a text
#: that packs a thousandfold.
MAX_NESTS = 1 << 20
MAX_ROWS = 1 << 28
MAX_ANNEX = 1 << 20
MAX_WIDTHS = 1 << 24
MAX_PARTS = MAX_METADATA + MAX_PROGRAM + MAX_TABLE_BYTES + MAX_ROWS + MAX_ANNEX + MAX_WIDTHS
MAX_FILE = MAX_PARTS + MAX_POINTER + 64
#: What the digest is of, apart from the file's content.
DOMAIN = b"veracity model v3"
MASKED_DOMAIN = b"veracity masked weights v1"
#: In the place of masked weights where none are named, and something follows.
NO_WEIGHTS = bytes(DIGEST_BYTES)


@record
class Metadata:
    """What the publisher states about the model; pinned by the digest, not proved.

    Parameters
    ----------
    source : mapping
        Name, kind and SHA-256 of the weights file that was imported.
    parameters : int
        Number of weights.
    program_digest, tokenizer_digest : str
        SHA-256, hexadecimal; both are checked against the file's own program and token table
        (with its rule of encoding).
    quantisation, calibration, accuracy : mapping
        How integers were made from floats, on which text, and how well they agree.
    frames : mapping
        The prompt frames ``raw`` and, where the model has one, ``chat``.
    stop_ids : tuple[int, ...]
        Tokens that end an answer.
    package_version : str
        Version of veracity that wrote the file.
    conversation : ChatFrame or None
        What stands between the messages of a conversation; None without a chat template.
    """

    source: Mapping[str, Any]
    parameters: int
    program_digest: str
    tokenizer_digest: str
    quantisation: Mapping[str, Any]
    calibration: Mapping[str, Any]
    accuracy: Mapping[str, Any]
    frames: Mapping[str, PromptFrame]
    stop_ids: tuple[int, ...]
    package_version: str
    conversation: ChatFrame | None = None

    def to_plain(self) -> dict[str, Any]:
        """Plain data for JSON."""
        frame = {} if self.conversation is None else {"conversation": self.conversation.to_plain()}
        return frame | {
            "accuracy": dict(self.accuracy),
            "calibration": dict(self.calibration),
            "frames": {name: frame.to_plain() for name, frame in self.frames.items()},
            "package_version": self.package_version,
            "parameters": self.parameters,
            "program_digest": self.program_digest,
            "quantisation": dict(self.quantisation),
            "source": dict(self.source),
            "stop_ids": list(self.stop_ids),
            "tokenizer_digest": self.tokenizer_digest,
        }

    @classmethod
    def from_plain(cls, value: Any, where: str, vocabulary: int) -> Metadata:
        """Inverse of :meth:`to_plain`; raises :class:`FormatError` on any other shape.

        Parameters
        ----------
        value : object
            What was read from JSON.
        where : str
            What to blame, for errors.
        vocabulary : int
            Number of token ids.
        """
        kinds: dict[str, type] = {
            "accuracy": dict,
            "calibration": dict,
            "frames": dict,
            "package_version": str,
            "parameters": int,
            "program_digest": str,
            "quantisation": dict,
            "source": dict,
            "stop_ids": list,
            "tokenizer_digest": str,
        }
        if not isinstance(value, dict) or value.keys() - {"conversation"} != kinds.keys():
            raise FormatError(where, f"must have exactly the fields {', '.join(kinds)}")
        for name, kind in kinds.items():
            if type(value[name]) is not kind:
                raise FormatError(where, f"{name!r} must be of type {kind.__name__}")
        frames = {
            name: PromptFrame.from_plain(frame, f"{where}, frame", vocabulary)
            for name, frame in value["frames"].items()
        }
        wanted = {"raw"} if vocabulary else set()
        if not wanted <= frames.keys() <= wanted | ({"chat"} if vocabulary else set()):
            raise FormatError(where, "the frames must be 'raw' and perhaps 'chat', of text only")
        stops = value["stop_ids"]
        if not all(type(i) is int and 0 <= i < vocabulary for i in stops):
            raise FormatError(where, "'stop_ids' holds something that is no token id")
        between = None
        if "conversation" in value:
            between = ChatFrame.from_plain(
                value["conversation"], f"{where}, conversation", range(vocabulary).__contains__
            )
        return cls(**{**value, "frames": frames, "stop_ids": tuple(stops), "conversation": between})


@record
class Commitment:
    """A committed model: program, token table and hiding commitments to every weight.

    Build one with :func:`veracity.commit`, read one with :meth:`load`.

    Attributes
    ----------
    metadata : Metadata
        What the publisher states.
    program : Program
        The integer program.
    table : TokenTable
        Tokens, and how text is spelled in them; none for a network over tensors.
    model : ModelCommitment
        Row commitments of all weights.
    well_formed : bytes
        Proof that the weights are integers; empty where there is none.
    widths : bytes
        Proof that they keep to their stated widths; empty where there is none.
    masked_weights : bytes
        SHA-256 of the weights as private inference masks them; empty where they are not named.
    accuracy_proof : ProofPointer or None
        A proof about its accuracy that the publisher names.
    """

    metadata: Metadata
    program: Program
    table: TokenTable
    model: ModelCommitment
    well_formed: bytes = b""
    widths: bytes = b""
    masked_weights: bytes = b""
    accuracy_proof: ProofPointer | None = None

    def __repr__(self) -> str:
        name = self.metadata.source.get("name", "model")
        return (
            f"Commitment({name!r}, {self.metadata.parameters:,} parameters, "
            f"{len(self.to_bytes()):,} bytes, digest {self.digest[:16]}...)"
        )

    @cached_property
    def _encoded(self) -> bytes:
        writer = ByteWriter()
        writer.header(KIND, VERSION)
        writer.blob(canonical_json(self.metadata.to_plain()))
        writer.deflated(self.program.to_json().encode("utf-8"))
        writer.deflated(self.table.to_bytes())
        writer.blob(self.model.to_bytes())
        body = writer.getvalue()
        return body + hashlib.sha256(DOMAIN + body).digest()

    @property
    def digest(self) -> str:
        """SHA-256 of all but the annex, hexadecimal: the name of this committed model."""
        return self._encoded[-DIGEST_BYTES:].hex()

    def to_bytes(self) -> bytes:
        """The content of a ``.vcom`` file."""
        annex = ByteWriter()
        annex.blob(self.well_formed)
        annex.blob(self.widths)
        body = annex.getvalue()
        whole = self._encoded + body + hashlib.sha256(body).digest()
        if self.masked_weights or self.accuracy_proof is not None:
            masked = self.masked_weights or NO_WEIGHTS
            whole += masked + _masked_checksum(self.digest, masked)
        if self.accuracy_proof is not None:
            whole += self.accuracy_proof.to_bytes(self.digest)
        return whole

    def naming(self, proof: ProofPointer) -> Commitment:
        """The same commitment with a proof about its accuracy; its digest stays."""
        made = replace(self, accuracy_proof=proof)
        made.__dict__["_encoded"] = self._encoded
        return made

    @classmethod
    def from_bytes(cls, data: bytes, where: str = "commitment") -> Commitment:
        """Parse a ``.vcom`` file; raises :class:`FormatError` on anything but an exact one."""
        reader = ByteReader(data, where)
        reader.header(KIND, VERSION)
        stated = reader.blob("metadata", MAX_METADATA)
        program_json = reader.deflated("program", MAX_PROGRAM)
        table_bytes = reader.deflated("token table", MAX_TABLE_BYTES)
        rows = reader.blob("model commitment", MAX_ROWS)
        end = reader.position
        if reader.raw(DIGEST_BYTES, "digest") != hashlib.sha256(DOMAIN + data[:end]).digest():
            reader.fail("digest", "the file is damaged or incomplete; fetch or make it again")
        start = reader.position
        well_formed = reader.blob("annex", MAX_ANNEX)
        widths = reader.blob("annex", MAX_WIDTHS)
        annex = data[start : reader.position]
        if reader.raw(DIGEST_BYTES, "annex checksum") != hashlib.sha256(annex).digest():
            reader.fail(
                "annex checksum", "the file is damaged or incomplete; fetch or make it again"
            )
        masked, pointer = _named(reader, data[end : end + DIGEST_BYTES].hex())
        reader.finish()
        plain = parse_json(stated, f"{where}, metadata")
        program = read_program(program_json, f"{where}, program")
        table = TokenTable.from_bytes(table_bytes, f"{where}, token table")
        metadata = Metadata.from_plain(plain, f"{where}, metadata", len(table.pieces))
        if metadata.program_digest != program.digest:
            raise FormatError(where, "the metadata names another program")
        if metadata.tokenizer_digest != table.digest:
            raise FormatError(where, "the metadata names another tokenizer")
        vocabulary = vocabulary_of(program) if is_text_decoder(program) else 0
        if len(table.pieces) != vocabulary:
            raise FormatError(where, "program and token table have different vocabularies")
        if vocabulary:
            metadata.frames["raw"].require_wordless(table, f"{where}, metadata")
        if metadata.conversation is not None:
            metadata.conversation.require_marks(table.special, f"{where}, conversation")
        model = ModelCommitment.from_bytes(rows)
        commitment = cls(metadata, program, table, model, well_formed, widths, masked, pointer)
        # What was read is what is pinned, whatever a compressor would write today.
        commitment.__dict__["_encoded"] = data[: end + DIGEST_BYTES]
        return commitment

    @classmethod
    def load(cls, source: Source) -> Commitment:
        """Read a ``.vcom`` file: a path, bytes, or a file that is open.

        Raises
        ------
        FormatError, UsageError
        """
        return cls.from_bytes(
            read_file(source, MAX_FILE, "commitment"), name_of(source, "commitment")
        )

    def save(self, path: str | Path) -> None:
        """Write a ``.vcom`` file, complete or not at all."""
        write_file(path, self.to_bytes())


def _masked_checksum(digest: str, masked: bytes) -> bytes:
    return hashlib.sha256(MASKED_DOMAIN + bytes.fromhex(digest) + masked).digest()


def _named(reader: ByteReader, digest: str) -> tuple[bytes, ProofPointer | None]:
    """What the publisher names behind both proofs: masked weights, a proof about accuracy.

    Parameters
    ----------
    reader : ByteReader
        Behind the checksum of the annex.
    digest : str
        Of the commitment.
    """
    left = len(reader.data) - reader.position
    if left < 2 * DIGEST_BYTES:
        return b"", None
    masked = reader.raw(DIGEST_BYTES, "masked weights")
    if reader.raw(DIGEST_BYTES, "checksum of masked weights") != _masked_checksum(digest, masked):
        reader.fail("checksum of masked weights", "damaged, or of another commitment")
    if left == 2 * DIGEST_BYTES:
        if masked == NO_WEIGHTS:
            reader.fail("masked weights", "names none, and nothing follows")
        return masked, None
    return (b"" if masked == NO_WEIGHTS else masked), ProofPointer.read(reader, digest)


def stated_program(path: Path) -> str | None:
    """Digest of the program that a ``.vcom`` or ``.vsec`` file says it belongs to.

    Reads no more than the metadata and checks nothing else; None where there is none to read.
    """
    try:
        with path.open("rb") as stream:
            reader = ByteReader(stream.read(MAX_METADATA + 1024), path.name)
        if reader.data.startswith(MAGIC + b"VSEC"):  # the commitment stands in it
            reader.raw(len(MAGIC) + 4 + 4 + 4, "header")
        reader.header(KIND, VERSION)
        found = json.loads(reader.blob("metadata", MAX_METADATA))["program_digest"]
    except (OSError, FormatError, ValueError, TypeError, KeyError, RecursionError):
        return None
    return found if isinstance(found, str) else None


def read_program(data: bytes, where: str) -> Program:
    """Parse and check a program from outside; raises :class:`FormatError` only."""
    if data.count(b"[") + data.count(b"{") > MAX_NESTS:
        raise FormatError(where, f"more than {MAX_NESTS} lists and objects")
    try:
        return Program.from_json(data.decode("utf-8"))
    except (UnicodeDecodeError, RecursionError):
        raise FormatError(where, "not a canonical program") from None
    except FormatError as error:
        raise FormatError(where, error.reason) from None
