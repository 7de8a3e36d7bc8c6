"""What all readers of tokenizers share: tokens that fit the model, marks, stops, chat frames."""

from __future__ import annotations

import base64
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from veracity.errors import FormatError, UnsupportedModelError
from veracity.frontends.chat_template import split_frame
from veracity.lm.tokenizer import Tokenizer
from veracity.text import ByteLevel, SentencePiece
from veracity.text.chat import ChatFrame, Part
from veracity.text.sentencepiece import Prefix

__all__ = ["Stated", "build_tokenizer", "padded_table"]

#: Marks that end an answer by their very name, whatever else the model's files say.
_ENDS = {
    "<|endoftext|>", "</s>", "<|im_end|>", "<|eot_id|>", "<|end_of_text|>", "<|end|>", "<|eom_id|>",
    "<end_of_turn>", "<eos>", "<|return|>",
}  # fmt: skip
#: Of an embedding's rows, how many may have no token: models are padded to round sizes.
_PADDED_SHARE = 16


@dataclass(frozen=True, kw_only=True)
class Stated:
    """What the files of a model say of its tokens.

    Attributes
    ----------
    where : str
        The file, for errors.
    tokens : list of bytes
        Bytes of every row of the embedding.
    marks : frozenset of int
        Control tokens.
    json : str
        A ``tokenizer.json`` without them.
    begin, end : tuple of int
        Ids that stand before and after every text.
    stops : frozenset of int
        Ids that end an answer.
    template : str or None
        The chat template.
    named : mapping
        Marks that templates call by name: ``bos_token`` and others.
    stripping : mapping
        Marks that take white space off the text before (``lstrip``) or after (``rstrip``) them.
    unpinned : str
        Why the JSON is not to be relied on; empty where it is.
    notes : list of str
        What the importer should say.
    """

    where: str
    tokens: list[bytes] = field(repr=False)
    marks: frozenset[int]
    json: str = field(repr=False)
    begin: tuple[int, ...] = ()
    end: tuple[int, ...] = ()
    stops: frozenset[int] = frozenset()
    template: str | None = None
    named: Mapping[str, str | None] = field(default_factory=dict)
    stripping: Mapping[int, Collection[str]] = field(default_factory=dict)
    unpinned: str = ""
    notes: list[str] = field(default_factory=list)


def padded_table(
    where: str, named: Mapping[int, bytes], vocabulary: int, notes: list[str]
) -> list[bytes]:
    """Bytes of every row of an embedding.

    Parameters
    ----------
    where : str
        The tokenizer's file.
    named : mapping
        Bytes by id.
    vocabulary : int
        Rows of the embedding.
    notes : list of str
        Is told of rows without a token.

    Raises
    ------
    UnsupportedModelError
        The tokenizer belongs to another model.
    """
    count = max(named, default=-1) + 1
    if min(named, default=0) < 0:
        raise FormatError(where, "a token has a negative id")
    missing = vocabulary - len(named)
    if count > vocabulary or missing * _PADDED_SHARE > vocabulary:
        raise UnsupportedModelError(
            where,
            f"a tokenizer of {max(count, len(named)):,} tokens for an embedding of "
            f"{vocabulary:,} rows",
            "put the tokenizer there that belongs to the model",
        )
    if missing:
        notes.append(f"{missing:,} of the embedding's {vocabulary:,} rows have no token (padding)")
    return [named.get(i, b"") for i in range(vocabulary)]


def build_tokenizer(stated: Stated) -> Tokenizer:
    """The tokenizer, with the frames around prompts.

    Raises
    ------
    FormatError
        Its parts do not fit each other.
    """
    vocabulary = len(stated.tokens)
    beyond = [i for i in (*stated.begin, *stated.end, *stated.stops) if not 0 <= i < vocabulary]
    if beyond:
        raise FormatError(
            stated.where, f"token {beyond[0]} is named, the embedding has {vocabulary:,} rows"
        )
    # What stands around a text, or ends an answer by the files' word, is a mark, flagged or not.
    marks = stated.marks | set(stated.begin) | set(stated.end)
    stops = set(stated.stops)
    stops |= {i for i in marks if stated.tokens[i].decode("utf-8", "replace") in _ENDS}
    body: dict[str, Any] = {
        "kind": "bytes",
        "tokens": [base64.b64encode(t).decode() for t in stated.tokens],
        "json": stated.json,
        "special": sorted(marks),
        "stop": sorted(stops),
        "raw": [list(stated.begin), list(stated.end)],
        "chat": None,
        "notes": [],
    }
    if stated.unpinned:
        body["unpinned"] = stated.unpinned
    plain = Tokenizer(body)
    plain.check()
    plain.prepare()
    frame, said = None, "the model's files have no chat template: prompts stand as they are"
    if stated.template is not None:
        frame, said = split_frame(stated.template, _splitter(stated, marks), stated.named)
    if frame is not None:
        body["conversation"] = frame.to_plain()
        stops |= {p for p in (frame.assistant_to_user or ())[:1] if isinstance(p, int)}
        body |= {"stop": sorted(stops), "chat": _prompt_frame(plain, frame)}
    body["notes"] = [*stated.notes, *([said] if said else [])]
    tokenizer = Tokenizer(body)
    tokenizer.check()
    return tokenizer


def _prompt_frame(plain: Tokenizer, frame: ChatFrame) -> list[list[int]] | None:
    """Ids around one prompt that is encoded by itself; None where nothing may be."""
    rule = plain.rule
    bare = isinstance(rule, SentencePiece) and rule.prefix == Prefix.NONE
    if not (isinstance(rule, ByteLevel) or bare) or frame.edges != "kept":
        return None
    return [plain.encode_parts(frame.before_user), plain.encode_parts(frame.after_user)]


def _splitter(stated: Stated, marks: Collection[int]) -> Any:
    """Parts a text at the names of marks, the longer of two that begin together."""
    names = {stated.tokens[i].decode("utf-8", "replace"): i for i in marks if stated.tokens[i]}
    longest = sorted(names, key=len, reverse=True)
    pattern = re.compile("|".join(map(re.escape, longest)) or r"(?!)")

    def split(text: str) -> Sequence[Part]:
        parts: list[Part] = []
        place = 0
        for found in pattern.finditer(text):
            mark = names[found[0]]
            flags = stated.stripping.get(mark, ())
            between = text[place : found.start()]
            if "lstrip" in flags:
                between = between.rstrip()
            parts += [between] * bool(between)
            parts.append(mark)
            place = found.end()
            if "rstrip" in flags:
                place += len(text[place:]) - len(text[place:].lstrip())
        return [*parts, text[place:]] if place < len(text) else parts

    return split
