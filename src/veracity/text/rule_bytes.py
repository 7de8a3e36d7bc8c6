"""Rules of encoding as bytes, as they are pinned in a token table.

A kind, then its numbers in columns, which compress well. What GPT-2, SmolLM2 and llama2.c have are
kinds of their own, from before there were others; every rule has one encoding.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import accumulate

from veracity.codec import ByteReader, ByteWriter
from veracity.text.added import MAX_ADDED, Added
from veracity.text.bytelevel import ByteLevel, Pairs
from veracity.text.encoder import Rule
from veracity.text.pieces import Pieces
from veracity.text.sentencepiece import Prefix, SentencePiece
from veracity.text.words import ALTERNATIVES, DIGITS, GPT2, Steps

__all__ = ["read_rule", "write_rule"]

MAX_MERGES = 1 << 21
MAX_STEPS = 8
NO_RULE, PIECES, BYTE_LEVEL, DIGITS_APART, BYTES, SENTENCE_PIECE = range(6)
#: The byte-level rules that are kinds of their own.
PLAIN: dict[Steps, int] = {(GPT2,): BYTE_LEVEL, (DIGITS, GPT2): DIGITS_APART}
#: Bits of flags.
NORMAL, WHOLE, SPLIT = 1, 2, 4
LEARNT = 2


def write_rule(writer: ByteWriter, rule: Rule | None) -> None:
    """Append a rule."""
    if isinstance(rule, Pieces):
        writer.u32(PIECES)
        writer.raw(_pack("I", rule.ranks))
    elif isinstance(rule, ByteLevel):
        plain = PLAIN.get(rule.steps)
        if plain is None or rule != ByteLevel(rule.pairs, rule.steps):
            plain = BYTES
        writer.u32(plain)
        if plain == BYTES:
            writer.u32(NORMAL * rule.normal | WHOLE * rule.whole_words)
            writer.u32(len(rule.steps))
            for step in rule.steps:
                writer.blob(bytes(step))
            _write_tokens(writer, rule.added, rule.apart)
        _write_pairs(writer, rule.pairs)
    elif isinstance(rule, SentencePiece):
        writer.u32(SENTENCE_PIECE)
        writer.u32(WHOLE * rule.whole_words | SPLIT * rule.split)
        writer.u32(rule.prefix)
        writer.raw(_pack("I", rule.letters))
        _write_tokens(writer, rule.added, rule.others_apart)
        _write_pairs(writer, rule.pairs)
    else:
        writer.u32(NO_RULE)


def read_rule(reader: ByteReader, tokens: int) -> Rule | None:
    """Inverse of :func:`write_rule`; ids are checked with the tokens that they are of."""
    kind = reader.u32("rule", SENTENCE_PIECE)
    if kind == NO_RULE:
        return None
    if kind == PIECES:
        return Pieces(_unpack(reader, "I", tokens, "ranks"))
    for steps, plain in PLAIN.items():
        if kind == plain:
            return ByteLevel(_read_pairs(reader), steps)
    if kind == BYTES:
        return _read_bytes(reader, tokens)
    flags = reader.u32("flags", WHOLE | SPLIT)
    if flags & NORMAL:
        reader.fail("flags", "a flag that this rule does not have")
    prefix = Prefix(reader.u32("prefix", max(Prefix)))
    letters = _unpack(reader, "I", 256, "bytes")
    added, apart = _read_tokens(reader, tokens)
    pairs = _read_pairs(reader)
    return SentencePiece(
        pairs, letters, prefix, bool(flags & SPLIT), bool(flags & WHOLE), added, apart
    )


def _read_bytes(reader: ByteReader, tokens: int) -> ByteLevel:
    flags = reader.u32("flags", NORMAL | WHOLE)
    count = reader.u32("steps", MAX_STEPS)
    steps = tuple(tuple(reader.blob("step", len(ALTERNATIVES))) for _ in range(count))
    added, apart = _read_tokens(reader, tokens)
    pairs = _read_pairs(reader)
    rule = ByteLevel(pairs, steps, bool(flags & NORMAL), bool(flags & WHOLE), added, apart)
    if steps in PLAIN and rule == ByteLevel(pairs, steps):
        reader.fail("rule", "a plain rule has a kind of its own")
    return rule


def _write_tokens(writer: ByteWriter, added: Sequence[Added], apart: Sequence[int]) -> None:
    writer.u32(len(added))
    writer.raw(_pack("I", [one.token for one in added]))
    writer.raw(bytes(NORMAL * one.normal | LEARNT * one.learnt for one in added))
    writer.u32(len(apart))
    writer.raw(_pack("I", apart))


def _read_tokens(reader: ByteReader, tokens: int) -> tuple[tuple[Added, ...], tuple[int, ...]]:
    count = reader.u32("added tokens", MAX_ADDED)
    ids = _unpack(reader, "I", count, "added tokens")
    flags = reader.raw(count, "added tokens")
    if any(flag > NORMAL | LEARNT for flag in flags):
        reader.fail("added tokens", "a flag that they do not have")
    added = tuple(
        Added(token, bool(flag & NORMAL), bool(flag & LEARNT))
        for token, flag in zip(ids, flags, strict=True)
    )
    apart = _unpack(reader, "I", reader.u32("tokens apart", tokens), "tokens apart")
    for column in (ids, apart):
        if any(token >= tokens for token in column) or list(column) != sorted(set(column)):
            reader.fail("added tokens", "they are not in order, or beyond the table")
    return added, apart


def _write_pairs(writer: ByteWriter, pairs: Sequence[tuple[int, int]]) -> None:
    writer.u32(len(pairs))
    made = [token for token, _ in pairs]
    # Merges are learnt one after the other, so that steps from token to token are mostly 1.
    steps = [b - a for a, b in zip([0, *made], made, strict=False)]
    writer.raw(_pack("i", steps))
    writer.raw(_pack("H", [cut for _, cut in pairs]))


def _read_pairs(reader: ByteReader) -> Pairs:
    count = reader.u32("merges", MAX_MERGES)
    steps = _unpack(reader, "i", count, "merges")
    return Pairs(tuple(accumulate(steps)), _unpack(reader, "H", count, "merges"))


def _pack(kind: str, values: Sequence[int]) -> bytes:
    return struct.pack(f"<{len(values)}{kind}", *values)


def _unpack(reader: ByteReader, kind: str, count: int, what: str) -> tuple[int, ...]:
    form = struct.Struct(f"<{count}{kind}")
    return form.unpack(reader.raw(form.size, what))
