"""What an owner shows of its model to everybody: the program without weights, and the tokenizer.

The card's SHA-256 names the model; a user who knows it from elsewhere can insist on it. The card
names the weights, too, by the SHA-256 of what users get of them, under masks.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from veracity.codec import canonical_json, parse_json, write_file
from veracity.errors import FormatError, UsageError
from veracity.formats.program import ProgramFile
from veracity.graph import Program
from veracity.lm.text_decoder import context_of, is_text_decoder, vocabulary_of
from veracity.lm.tokenizer import Tokenizer
from veracity.text.chat import Message, as_messages

__all__ = ["Card", "Prompt", "store_card", "stored_card"]

#: What is asked: words, or the messages of a conversation.
Prompt = str | Sequence[Message | tuple[str, str] | Mapping[str, str]]

_DIGEST = re.compile("[0-9a-f]{64}")
#: Most characters of a model's name.
MAX_NAME = 200


@dataclass(frozen=True)
class Card:
    """A model as its users know it.

    Parameters
    ----------
    name : str
        For people: 1 to 200 characters, all of which can be printed.
    program : Program
        Ops, shapes and exponents; no weights.
    tokenizer : Tokenizer
        Text to tokens and back.
    weights : str
        SHA-256 of the masked weights, hexadecimal (:func:`veracity.mpc.weights.masked_digest`).
    """

    name: str
    program: Program = field(repr=False)
    tokenizer: Tokenizer = field(repr=False)
    weights: str

    @classmethod
    def of(cls, loaded: ProgramFile, weights: bytes) -> Card:
        """The card of a calibrated model, with the digest of its masked weights.

        Raises
        ------
        UsageError
            Before calibration.
        """
        if loaded.program is None:
            raise UsageError("this program has no scales yet; run `veracity calibrate` on it first")
        name = "".join(c if c.isprintable() else "?" for c in str(loaded.source["name"]))
        return cls(name[:MAX_NAME] or "model", loaded.program, loaded.tokenizer, weights.hex())

    def to_bytes(self) -> bytes:
        """Canonical encoding."""
        body = {
            "name": self.name,
            "program": self.program.to_json(),
            "tokenizer": dict(self.tokenizer.body),
            "weights": self.weights,
        }
        return canonical_json(body)

    @classmethod
    def from_bytes(cls, data: bytes) -> Card:
        """Parse a stranger's card.

        Raises
        ------
        FormatError
        """
        where = "model card"
        body = parse_json(data, where)
        kinds = {"name": str, "program": str, "tokenizer": dict, "weights": str}
        if not isinstance(body, dict) or body.keys() != kinds.keys():
            raise FormatError(where, "it needs exactly 'name', 'program', 'tokenizer', 'weights'")
        if not all(type(body[name]) is kind for name, kind in kinds.items()):
            raise FormatError(where, "a field of another type")
        if not _DIGEST.fullmatch(body["weights"]):
            raise FormatError(where, "'weights' is no SHA-256")
        if not is_name(body["name"]):
            raise FormatError(where, f"'name' has 1 to {MAX_NAME} characters that can be printed")
        program = Program.from_json(body["program"])
        if not is_text_decoder(program):
            raise FormatError(where, "its program is no text decoder")
        tokenizer = Tokenizer(body["tokenizer"])
        tokenizer.check()
        if len(tokenizer.token_bytes) != vocabulary_of(program):
            raise FormatError(where, "the tokenizer does not fit the program")
        return cls(body["name"], program, tokenizer, body["weights"])

    @property
    def digest(self) -> str:
        """SHA-256 of the encoding, hexadecimal."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def prompt(self, given: Prompt, *, raw: bool = False) -> list[int]:
        """Token ids of a user's words in the model's frame, or of a conversation in its template.

        Parameters
        ----------
        given : str or sequence of messages
            Words, or messages of system, user and assistant, the last one the user's.
        raw : bool
            Words without a template.

        Raises
        ------
        UsageError
            Where nothing is left of the context for an answer, or the model takes no conversation
            like this.
        """
        between, known = self.tokenizer.conversation, self.tokenizer
        chat = known.frame(chat=True)
        messages = [Message("user", given)] if isinstance(given, str) else as_messages(given)
        if isinstance(given, str) and (raw or (chat is None and between is None)):
            sides = known.frame(chat=False) or ([], [])
            ids = [*sides[0], *known.encode(given), *sides[1]]
        elif raw:
            raise UsageError("messages have a template; leave out --raw, or give a prompt")
        elif chat is not None and (
            isinstance(given, str) or (between is None and [m.role for m in messages] == ["user"])
        ):
            ids = [*chat[0], *known.encode(messages[0].content), *chat[1]]
        elif between is None:
            raise UsageError("the model's files have no chat template; ask it with a prompt")
        else:
            ids = known.encode_parts(between.parts(messages))
        if not ids:
            raise UsageError("the prompt has no tokens; ask something")
        if len(ids) > context_of(self.program):
            raise UsageError(
                f"the prompt has {len(ids)} tokens, the model's context holds "
                f"{context_of(self.program)}; shorten the prompt"
            )
        return ids

    def piece(self, token: int) -> bytes:
        """The bytes that a token stands for; none of a special one."""
        if token in self.tokenizer.special_ids:
            return b""
        return self.tokenizer.token_bytes[token]

    def ends(self, tokens: Sequence[int]) -> bool:
        """Whether the last token ends an answer."""
        return bool(tokens) and tokens[-1] in self.tokenizer.stop_ids


def is_name(text: str) -> bool:
    """Whether a model may be called so: nothing in it drives a terminal, hides or turns around."""
    return 0 < len(text) <= MAX_NAME and text.isprintable()


def stored_card(folder: Path, digest: bytes) -> bytes | None:
    """A card that was kept, if it is there and whole."""
    try:
        data = _path(folder, digest).read_bytes()
    except OSError:
        return None
    return data if hashlib.sha256(data).digest() == digest else None


def store_card(folder: Path, data: bytes) -> None:
    """Keep a card.

    Raises
    ------
    UsageError
    """
    write_file(_path(folder, hashlib.sha256(data).digest()), data, mode=0o600)


def _path(folder: Path, digest: bytes) -> Path:
    return folder / f"{digest.hex()[:40]}.card"
