"""Tokenizers: text to ids for the owner, and the decode table that a verifier needs.

A tokenizer is described by plain JSON inside the program file. Two kinds: ``pieces`` (llama2.c's
score-driven BPE) and ``bytes`` (a ``tokenizer.json``). Text is encoded by
:mod:`veracity.text`, as the verifier does it; forms that it has no rule for go through the
``tokenizers`` library.
Special tokens inside a user's text are encoded as plain text, never as control tokens.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from veracity.errors import FormatError, UsageError
from veracity.lm.tokenizer_rules import stated_rule
from veracity.text import Encoder, Pieces, Rule
from veracity.text.chat import ChatFrame, Part, encode_parts

__all__ = ["Tokenizer", "from_pieces"]

#: The first tokens of llama2.c's kind: unknown, beginning and end of a text.
MARKS = (b"<unk>", b"<s>", b"</s>")


@dataclass(frozen=True)
class Tokenizer:
    """A tokenizer.

    Attributes
    ----------
    body : dict
        ``kind``, ``tokens`` (base64 of every token's bytes), ``special`` and ``stop`` ids,
        ``raw`` and ``chat`` frames (ids before and after the user's words; chat may be None),
        perhaps ``conversation`` (what stands between messages) and ``notes`` for people, and,
        by kind, ``scores`` or ``json``; ``unpinned`` says why the JSON is not to be relied on.
    """

    body: Mapping[str, Any] = field(repr=False)

    @cached_property
    def token_bytes(self) -> list[bytes]:
        """The bytes of every token."""
        try:
            return [base64.b64decode(t, validate=True) for t in self.body["tokens"]]
        except (KeyError, TypeError, ValueError) as error:
            raise FormatError("tokenizer", "malformed token table") from error

    def check(self) -> None:
        """Check the parts of the body.

        Raises
        ------
        FormatError
        """
        kind, count = self.body.get("kind"), len(self.token_bytes)
        lists = [self.body.get("special"), self.body.get("stop")]
        for name in ("raw", "chat"):
            frame = self.body.get(name)
            if frame is None and name == "chat":
                continue
            if not isinstance(frame, list) or len(frame) != 2:
                raise FormatError("tokenizer", f"malformed {name} frame")
            lists += frame
        for ids in lists:
            if not isinstance(ids, list) or any(
                type(i) is not int or not 0 <= i < count for i in ids
            ):
                raise FormatError("tokenizer", "malformed list of token ids")
        _ = self.conversation
        if kind == "pieces":
            try:
                scores = self._scores
            except (KeyError, TypeError, ValueError) as error:
                raise FormatError("tokenizer", "malformed scores") from error
            if len(scores) != count:
                raise FormatError("tokenizer", "not one score for every token")
        elif kind != "bytes" or not isinstance(self.body.get("json"), str):
            raise FormatError("tokenizer", "unknown kind")

    @property
    def special_ids(self) -> set[int]:
        """Control tokens."""
        return set(self.body["special"])

    @property
    def stop_ids(self) -> set[int]:
        """Tokens that end an answer."""
        return set(self.body["stop"])

    def frame(self, chat: bool) -> tuple[list[int], list[int]] | None:
        """Ids before and after the user's words; None if the model has no chat template."""
        sides = self.body.get("chat" if chat else "raw")
        return None if sides is None else (list(sides[0]), list(sides[1]))

    def encode(self, text: str) -> list[int]:
        """Ids of a user's text, without any frame.

        Raises
        ------
        UsageError
            No tokens spell the text.
        """
        if self._encoder is not None:
            return self._encoder.encode(text)
        ids: list[int] = self._library.encode(text, add_special_tokens=False).ids
        return ids

    def encode_parts(self, parts: Sequence[Part]) -> list[int]:
        """Ids of text and marks; text between two marks is encoded as a whole."""

        def encode(text: str, first: bool) -> list[int]:
            return self._encoder.encode_exactly(text, first) if self._encoder else self.encode(text)

        return encode_parts(parts, encode)

    @cached_property
    def conversation(self) -> ChatFrame | None:
        """What the model's chat template puts between messages; None without one."""
        stated = self.body.get("conversation")
        if stated is None:
            return None
        return ChatFrame.from_plain(stated, "tokenizer", self.special_ids.__contains__)

    @property
    def notes(self) -> list[str]:
        """What the importer found worth saying."""
        return [str(note) for note in self.body.get("notes", ())]

    def decode(self, ids: list[int]) -> str:
        """Text of ids."""
        return b"".join(self.token_bytes[i] for i in ids).decode("utf-8", errors="replace")

    @cached_property
    def rule(self) -> Rule | None:
        """How text is spelled, where that is one of our own definitions; else None."""
        if self.body["kind"] == "pieces":
            return Pieces.from_scores(self._scores)
        return self._stated[0]

    @cached_property
    def unpinned(self) -> str:
        """Why no definition of ours says how text is spelled; empty where one does."""
        return "" if self.rule is not None else self._stated[1]

    @cached_property
    def _stated(self) -> tuple[Rule | None, str]:
        reason = self.body.get("unpinned")
        if reason:
            return None, str(reason)
        return stated_rule(self.body["json"], self.token_bytes)

    def prepare(self) -> None:
        """Read what encoding needs; raises :class:`FormatError` if it does not fit together."""
        if self._encoder is None:
            _ = self._library
        else:
            self._encoder.check()

    @cached_property
    def _encoder(self) -> Encoder | None:
        if self.rule is None:
            return None
        return Encoder(tuple(self.token_bytes), frozenset(self.special_ids), self.rule)

    @cached_property
    def _library(self) -> Any:
        try:
            from tokenizers import Tokenizer as Library
        except ImportError as error:
            raise UsageError(
                "this model's tokenizer needs the `tokenizers` package; "
                "pip install 'veracity[import]'"
            ) from error
        try:
            body = json.loads(self.body["json"])
            # The library gives an added token a new number unless the vocabulary has one for it.
            for token in body.get("added_tokens") or []:
                body["model"]["vocab"].setdefault(token["content"], token["id"])
            return Library.from_str(json.dumps(body))
        except Exception as error:  # the library raises bare Exception
            raise FormatError("tokenizer.json", "does not parse") from error

    @cached_property
    def _scores(self) -> list[float]:
        return [float(s) for s in self.body["scores"]]


def from_pieces(pieces: list[bytes], scores: list[float]) -> Tokenizer:
    """A tokenizer of llama2.c's kind: BOS 1 before the text, no chat template."""
    table = []
    for i, piece in enumerate(pieces):
        if 3 <= i < 259:  # "<0xNN>"
            table.append(bytes([i - 3]))
        else:
            table.append(MARKS[i] if i < 3 else piece)
    return Tokenizer(
        {
            "kind": "pieces",
            "tokens": [base64.b64encode(t).decode() for t in table],
            "scores": [repr(float(s)) for s in scores],
            "special": [0, 1, 2],
            "stop": [1, 2],
            "raw": [[1], []],
            "chat": None,
        }
    )
