"""Receipts of answers, certificates of the keys that sign them, and the file a client keeps.

A receipt's payload is canonical JSON. It holds salted hashes of the token ids of prompt and answer
and of the text that was sent; ids and salts stand beside it, in the client's file only, so that a
list of receipts tells nothing about what was asked.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from veracity.codec import canonical_json, parse_json, read_file
from veracity.codec.encoding import require_few_values
from veracity.codec.files import Source, name_of
from veracity.errors import FormatError
from veracity.formats.drawing import MAX_NONCE, NONCE_BYTES, Drawing
from veracity.formats.dsse import Envelope
from veracity.formats.fields import checked, hexadecimal, one_of, string, strings, whole
from veracity.graph.sampling import MAX_TEMPERATURE
from veracity.text.chat import MAX_MESSAGES, ROLES, Message, is_unicode

__all__ = [
    "CERTIFICATE_TYPE",
    "RECEIPT_TYPE",
    "KeyCertificate",
    "Opening",
    "Receipt",
    "ReceiptFile",
    "salted",
]

RECEIPT_TYPE = "application/vnd.veracity.receipt+json"
CERTIFICATE_TYPE = "application/vnd.veracity.server-key+json"
VERSION = 2
CERTIFICATE_VERSION = 1
SALT_BYTES = 16
MAX_IDS = 1 << 20
MAX_FILE = 1 << 24
MAX_TIME = 1 << 53


def salted(what: str, salt: bytes, content: bytes) -> str:
    """A hash that shows nothing without its salt, hexadecimal.

    Parameters
    ----------
    what : str
        ``prompt``, ``answer`` or ``text``.
    salt : bytes
        16 random bytes, used once.
    content : bytes
        Token ids, 4 bytes each, little endian; or UTF-8. A prompt's are preceded by their number
        and followed by its messages as canonical JSON.
    """
    domain = b"veracity receipt 2\0" + what.encode("ascii") + b"\0"
    return hashlib.sha256(domain + salt + content).hexdigest()


def packed(ids: tuple[int, ...]) -> bytes:
    """Token ids as they are hashed."""
    return b"".join(i.to_bytes(4, "little") for i in ids)


@dataclass(frozen=True)
class Receipt:
    """What a server promises of one answer: that a proof of it exists and will be made if asked.

    Attributes
    ----------
    ident : str
        128 random bits, hexadecimal.
    kind : str
        ``answer``, or ``refused`` where a value left its range before the first token.
    commitment, program, tokenizer : str
        Digests of the committed model and its parts.
    frame : str
        What stands around the user's words, ``chat`` or ``raw``, or ``messages`` for a
        conversation; pinned by the commitment.
    rule : str
        How tokens are chosen: ``greedy`` or ``drawn``.
    temperature : int
        In thousandths; 0 for a greedy answer.
    client_nonce : str
        What the client gave to the seed of the draw, hexadecimal; empty where nothing.
    server_nonce : str
        Digest of what the server gave to it; empty where nothing.
    max_tokens : int
        Most tokens of the answer.
    stops : tuple of str
        Texts that end it, and are not sent.
    prompt, answer, text : str
        Salted hashes of token ids of prompt and answer, and of the text that was sent.
    finish : str
        ``stop`` or ``length``; ``none`` for a refusal.
    stopped : str or None
        ``range`` where a value left its range after some tokens.
    time, prove_by : int
        When it was signed (a claim) and until when a proof can be demanded; seconds since 1970.
    retention : int
        Seconds for which the server keeps token ids.
    auditable : bool
        Whether the client allowed auditors to read prompt and answer.
    url : str
        Where to ask.
    """

    ident: str
    kind: str
    commitment: str
    program: str
    tokenizer: str
    frame: str
    rule: str
    temperature: int
    client_nonce: str
    server_nonce: str
    max_tokens: int
    stops: tuple[str, ...]
    prompt: str
    answer: str
    text: str
    finish: str
    stopped: str | None
    time: int
    prove_by: int
    retention: int
    auditable: bool
    url: str

    def to_bytes(self) -> bytes:
        """The payload that is signed."""
        return canonical_json({**vars(self), "stops": list(self.stops), "version": VERSION})

    @classmethod
    def from_bytes(cls, data: bytes, where: str = "receipt") -> Receipt:
        """Inverse of :meth:`to_bytes`; raises :class:`FormatError`."""
        value = checked(parse_json(data, where), _RECEIPT, where)
        del value["version"]
        return cls(**{**value, "stops": tuple(value["stops"])})


def _nonce(most: int) -> Callable[[object], bool]:
    """At most so many bytes, hexadecimal; none is the empty string."""

    def accepts(value: object) -> bool:
        if not isinstance(value, str) or len(value) % 2 or len(value) > 2 * most:
            return False
        return not value or hexadecimal(len(value))(value)

    return accepts


def _digest(value: object) -> bool:
    return value == "" or hexadecimal(64)(value)


_RECEIPT: dict[str, Callable[[object], bool]] = {
    "ident": hexadecimal(32),
    "kind": one_of("answer", "refused"),
    **dict.fromkeys(("commitment", "program", "tokenizer"), hexadecimal(64)),
    "frame": one_of("chat", "raw", "messages"),
    "rule": one_of("greedy", "drawn"),
    "temperature": whole(0, MAX_TEMPERATURE),
    "client_nonce": _nonce(MAX_NONCE),
    "server_nonce": _digest,
    "max_tokens": whole(1, MAX_IDS),
    "stops": strings,
    **dict.fromkeys(("prompt", "answer", "text"), hexadecimal(64)),
    "finish": one_of("stop", "length", "none"),
    "stopped": one_of("range", None),
    **dict.fromkeys(("time", "prove_by", "retention"), whole(0, MAX_TIME)),
    "auditable": lambda value: isinstance(value, bool),
    "url": string(2048),
    "version": whole(VERSION, VERSION),
}


@dataclass(frozen=True)
class KeyCertificate:
    """The publisher's word that a server's key may sign receipts for a model.

    Attributes
    ----------
    key : str
        The 32 bytes of the server's public key, hexadecimal.
    commitment : str
        Digest of the committed model.
    url : str
        Where the server is.
    not_before, not_after : int
        Seconds since 1970; a receipt counts if its time lies between.
    """

    key: str
    commitment: str
    url: str
    not_before: int
    not_after: int

    def to_bytes(self) -> bytes:
        """The payload that is signed."""
        return canonical_json({**vars(self), "version": CERTIFICATE_VERSION})

    @classmethod
    def from_bytes(cls, data: bytes, where: str = "certificate") -> KeyCertificate:
        """Inverse of :meth:`to_bytes`; raises :class:`FormatError`."""
        value = checked(parse_json(data, where), _CERTIFICATE, where)
        del value["version"]
        return cls(**value)


_CERTIFICATE: dict[str, Callable[[object], bool]] = {
    "key": hexadecimal(64),
    "commitment": hexadecimal(64),
    "url": string(2048),
    "not_before": whole(0, MAX_TIME),
    "not_after": whole(0, MAX_TIME),
    "version": whole(CERTIFICATE_VERSION, CERTIFICATE_VERSION),
}


@dataclass(frozen=True)
class Opening:
    """What the hashes of a receipt are of; its client's alone.

    Attributes
    ----------
    prompt_ids, answer_ids : tuple of int
        Token ids; a refusal has no answer.
    prompt_salt, answer_salt, text_salt : str
        16 bytes each, hexadecimal.
    messages : tuple of Message
        The conversation that the prompt is; empty for other frames.
    server_nonce : str
        What the server gave to the seed of a draw, hexadecimal; empty where nothing.
    """

    prompt_ids: tuple[int, ...]
    answer_ids: tuple[int, ...]
    prompt_salt: str
    answer_salt: str
    text_salt: str
    messages: tuple[Message, ...] = ()
    server_nonce: str = field(default="", repr=False)

    @classmethod
    def fresh(
        cls,
        prompt: tuple[int, ...],
        answer: tuple[int, ...],
        messages: tuple[Message, ...] = (),
        server_nonce: bytes = b"",
    ) -> Opening:
        """With new salts.

        Parameters
        ----------
        prompt, answer : tuple of int
            Token ids.
        messages : tuple of Message
            The conversation that the prompt is.
        server_nonce : bytes
            What the server gave to the seed of a draw.
        """
        one, two, three = (os.urandom(SALT_BYTES).hex() for _ in range(3))
        return cls(prompt, answer, one, two, three, messages, server_nonce.hex())

    def drawing(self, receipt: Receipt) -> Drawing | None:
        """How the answer was drawn; None for a greedy one."""
        if not receipt.temperature:
            return None
        nonces = (bytes.fromhex(n) for n in (receipt.client_nonce, self.server_nonce))
        return Drawing(receipt.temperature, *nonces)

    def hashes(self, text: str) -> dict[str, str]:
        """The hashes of prompt, answer and text, by the receipt's names for them."""
        count = len(self.prompt_ids).to_bytes(4, "little")
        said = canonical_json([m.to_plain() for m in self.messages])
        asked = count + packed(self.prompt_ids) + said
        contents = {
            "prompt": (self.prompt_salt, asked),
            "answer": (self.answer_salt, packed(self.answer_ids)),
            "text": (self.text_salt, text.encode("utf-8")),
        }
        return {n: salted(n, bytes.fromhex(salt), c) for n, (salt, c) in contents.items()}

    def to_plain(self) -> dict[str, Any]:
        """Plain data for JSON."""
        ids = {"prompt_ids": list(self.prompt_ids), "answer_ids": list(self.answer_ids)}
        return {**vars(self), **ids, "messages": [m.to_plain() for m in self.messages]}

    @classmethod
    def from_plain(cls, value: object, where: str) -> Opening:
        """Inverse of :meth:`to_plain`; raises :class:`FormatError`."""
        found = checked(value, _OPENING, where)
        ids: dict[str, Any] = {n: tuple(found.pop(n)) for n in ("prompt_ids", "answer_ids")}
        messages = tuple(Message(m["role"], m["content"]) for m in found.pop("messages"))
        return cls(**ids, messages=messages, **found)


def _ids(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) <= MAX_IDS
        and all(type(i) is int and 0 <= i < 1 << 32 for i in value)
    )


def _messages(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) <= MAX_MESSAGES
        and all(isinstance(m, dict) and m.keys() == {"role", "content"} for m in value)
        and all(m["role"] in ROLES and isinstance(m["content"], str) for m in value)
        and all(is_unicode(m["content"]) for m in value)
    )


_OPENING: dict[str, Callable[[object], bool]] = {
    **dict.fromkeys(("prompt_ids", "answer_ids"), _ids),
    **dict.fromkeys(("prompt_salt", "answer_salt", "text_salt"), hexadecimal(2 * SALT_BYTES)),
    "messages": _messages,
    "server_nonce": _nonce(NONCE_BYTES),
}


@dataclass(frozen=True)
class ReceiptFile:
    """What a client keeps: the signed receipt, the certificate of its key, the opening."""

    receipt: Envelope
    certificate: Envelope
    opening: Opening

    def to_plain(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "certificate": self.certificate.to_plain(),
            "opening": self.opening.to_plain(),
            "receipt": self.receipt.to_plain(),
        }

    def to_bytes(self) -> bytes:
        """The content of a file."""
        return json.dumps(self.to_plain(), sort_keys=True, indent=1).encode("ascii") + b"\n"

    @classmethod
    def from_plain(cls, value: object, where: str = "receipt") -> ReceiptFile:
        """Inverse of :meth:`to_plain`; raises :class:`FormatError`."""
        if not isinstance(value, dict) or value.keys() != {"certificate", "opening", "receipt"}:
            raise FormatError(where, "needs exactly 'certificate', 'opening' and 'receipt'")
        return cls(
            Envelope.from_plain(value["receipt"], where),
            Envelope.from_plain(value["certificate"], f"{where}, certificate"),
            Opening.from_plain(value["opening"], f"{where}, opening"),
        )

    @classmethod
    def load(cls, source: Source) -> ReceiptFile:
        """Read a client's file; raises :class:`FormatError` or :class:`UsageError`."""
        where = name_of(source, "receipt")
        return cls.from_plain(json_of(read_file(source, MAX_FILE, "receipt"), where), where)


def json_of(data: bytes, where: str) -> object:
    """JSON however it is spaced; a name that is given twice is refused.

    Raises
    ------
    FormatError
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) != len(pairs):
            raise FormatError(where, "a name is given twice")
        return dict(pairs)

    require_few_values(data, where)
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=once)
    except (ValueError, RecursionError):
        raise FormatError(where, "no JSON") from None
