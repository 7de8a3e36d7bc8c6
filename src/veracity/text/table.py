"""Token ids and text, with nothing but what is pinned in the commitment.

A prompt is ``before + words + after`` in token ids, where ``before`` and ``after`` belong to the
model (its chat template, or the mark that begins a text) and only ``words`` come from the user. A
verifier decodes the words itself and encodes the text again: other ids than those are a prover's
choice, and refused. An answer needs no such rule, since its ids are the model's own. What stands
around the words, and every mark in an answer, is shown (:mod:`veracity.text.shown`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from functools import cached_property

from veracity.codec import ByteReader, ByteWriter
from veracity.errors import FormatError, UsageError, VerificationError
from veracity.records import record
from veracity.text import Encoder, Rule
from veracity.text.rule_bytes import read_rule, write_rule
from veracity.text.shown import MAX_TEXT_BYTES, Shown, ShownAnswer, has_name, show, show_answer

__all__ = ["PromptFrame", "TokenTable"]

MAX_TOKENS = 1 << 20
MAX_PIECE = 1 << 10  # bytes of one token
MAX_TABLE_BYTES = 1 << 25
SPECIAL = 1 << 15  # flag in a piece's length


@record
class TokenTable:
    """The bytes that each token id stands for, and how text is spelled in them.

    Parameters
    ----------
    pieces : tuple[bytes, ...]
        Bytes of every id; for special tokens their name, such as ``<|im_end|>``.
    special : frozenset[int]
        Ids that are marks for the model, not text.
    rule : ByteLevel, SentencePiece, Pieces or None
        How text is encoded; None if nothing here can tell (some imported tokenizers).

    Raises
    ------
    FormatError
        A token is too long, or the rule does not fit the tokens.
    """

    pieces: tuple[bytes, ...]
    special: frozenset[int]
    rule: Rule | None = None

    def __post_init__(self) -> None:
        if max(map(len, self.pieces), default=0) > MAX_PIECE:
            raise FormatError("token table", f"a token is longer than {MAX_PIECE} bytes")
        if self.encoder is not None:
            self.encoder.check()

    def __repr__(self) -> str:
        rule = "no rule" if self.rule is None else type(self.rule).__name__
        return f"TokenTable({len(self.pieces)} tokens, {len(self.special)} special, {rule})"

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the encoding, hexadecimal."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    @cached_property
    def encoder(self) -> Encoder | None:
        """What encodes text; None without a rule."""
        return None if self.rule is None else Encoder(self.pieces, self.special, self.rule)

    def is_text(self, token: int) -> bool:
        """Whether a token is text, and no mark."""
        return token not in self.special and bool(self.pieces[token])

    def show(self, ids: Sequence[int]) -> Shown:
        """Text of the ids, marks by name.

        Raises
        ------
        VerificationError
            The text is longer than any that can be proved.
        """
        return show(ids, self.pieces, self.special)

    def show_answer(self, ids: Sequence[int], stop_ids: Collection[int]) -> ShownAnswer:
        """Text of an answer, and what ended it; as :meth:`show`."""
        return show_answer(ids, self.pieces, self.special, stop_ids)

    def read(self, ids: Sequence[int]) -> str:
        """The text whose one encoding ``ids`` are; without a rule, simply their text. No marks.

        Raises
        ------
        VerificationError
            The ids are no text, or not the ones that the text has.
        """
        spelled = self._bytes(ids)
        try:
            if self.encoder is None:
                return spelled.decode("utf-8")
            text = self.encoder.decode(ids)
        except UnicodeDecodeError:
            raise VerificationError("the prompt's token ids spell no text", "prompt") from None
        try:
            canonical = self.encoder.encode(text)
        except UsageError:  # the text has no encoding at all
            canonical = []
        if canonical != list(ids):
            raise VerificationError(
                "the prompt's token ids are not the ones that its text has; "
                "whoever made the proof chose another tokenisation",
                "prompt",
            )
        return text

    def _bytes(self, ids: Sequence[int]) -> bytes:
        pieces = [self.pieces[i] for i in ids]
        if sum(map(len, pieces)) > MAX_TEXT_BYTES:
            raise VerificationError(f"the text is longer than {MAX_TEXT_BYTES} bytes", "prompt")
        return b"".join(pieces)

    def to_bytes(self) -> bytes:
        """Canonical encoding: count; flag, length and bytes of each piece; then the rule."""
        writer = ByteWriter()
        writer.u32(len(self.pieces))
        packed = bytearray()  # one object for a million tokens, not two million
        heads = [length.to_bytes(2, "little") for length in range(MAX_PIECE + 1)]
        marks = [(length | SPECIAL).to_bytes(2, "little") for length in range(MAX_PIECE + 1)]
        special = self.special
        for index, piece in enumerate(self.pieces):
            packed += (marks if index in special else heads)[len(piece)]
            packed += piece
        writer.raw(bytes(packed))
        write_rule(writer, self.rule)
        return writer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes, where: str = "token table") -> TokenTable:
        """Inverse of :meth:`to_bytes`; raises :class:`FormatError`."""
        reader = ByteReader(data, where)
        pieces, marked = reader.short_pieces(reader.u32("count", MAX_TOKENS), "piece")
        rule = read_rule(reader, len(pieces))
        reader.finish()
        try:
            table = cls(tuple(pieces), frozenset(marked), rule)
        except FormatError as error:
            raise FormatError(where, error.reason) from None
        # No other bytes are read as this table, so its encoding need not be made again.
        table.__dict__["digest"] = hashlib.sha256(data).hexdigest()
        return table


@record
class PromptFrame:
    """What the model's template puts around the user's words, in token ids."""

    before: tuple[int, ...]
    after: tuple[int, ...]

    def words(self, prompt: Sequence[int], table: TokenTable) -> str:
        """The user's words in a proved prompt.

        Raises
        ------
        VerificationError
            The prompt does not have this frame, a special token stands among the words (text
            that merely looks like one does not), or the words are spelled in other ids than those
            of their text.
        """
        ids = tuple(prompt)
        first, last = len(self.before), len(ids) - len(self.after)
        if first > last or ids[:first] != self.before or ids[last:] != self.after:
            raise VerificationError("the prompt is not in the form the proof states", "prompt")
        if not all(map(table.is_text, ids[first:last])):
            raise VerificationError("special tokens stand among the user's words", "prompt")
        return table.read(ids[first:last])

    def require_wordless(self, table: TokenTable, where: str) -> None:
        """Raise :class:`FormatError` unless nothing but marks stands around the words.

        Who asks without a template expects no words beside their own.
        """
        for token in (*self.before, *self.after):
            if token not in table.special or (
                table.pieces[token] and not has_name(table.pieces[token])
            ):
                raise FormatError(
                    where, f"the raw frame may hold special tokens only, token {token} is text"
                )

    def to_plain(self) -> dict[str, list[int]]:
        """Plain data for the metadata of a commitment."""
        return {"after": list(self.after), "before": list(self.before)}

    @classmethod
    def from_plain(cls, value: object, where: str, vocabulary: int) -> PromptFrame:
        """Inverse of :meth:`to_plain`; raises :class:`FormatError`.

        Parameters
        ----------
        value : object
            What was read from JSON.
        where : str
            What to blame, for errors.
        vocabulary : int
            Number of token ids.
        """
        if not isinstance(value, dict) or value.keys() != {"after", "before"}:
            raise FormatError(where, "a prompt frame needs exactly 'before' and 'after'")
        sides = {}
        for side, ids in value.items():
            if not isinstance(ids, list) or len(ids) > 1 << 16:
                raise FormatError(where, f"{side!r} is not a list of token ids")
            if not all(type(i) is int and 0 <= i < vocabulary for i in ids):
                raise FormatError(where, f"{side!r} holds something that is no token id")
            sides[side] = tuple(ids)
        return cls(**sides)
