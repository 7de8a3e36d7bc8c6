"""From token ids back to text, with nothing but the table pinned in the commitment.

The verifier never runs a tokenizer's encoder: it decodes the proved ids itself and compares text.
A prompt is ``before + words + after`` in token ids, where ``before`` and ``after`` belong to the
model (its chat template, or the mark that begins a text) and only ``words`` come from the user.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from veracity.api.container import ByteReader, ByteWriter
from veracity.errors import FormatError, VerificationError

__all__ = ["PromptFrame", "TokenTable"]

MAX_TOKENS = 1 << 20
MAX_TABLE_BYTES = 1 << 25
SPECIAL = 1 << 15  # flag in a piece's length


@dataclass(frozen=True)
class TokenTable:
    """The bytes that each token id stands for.

    Parameters
    ----------
    pieces : tuple[bytes, ...]
        Bytes of every id; for special tokens their name, such as ``<|im_end|>``.
    special : frozenset[int]
        Ids that are marks for the model, not text.
    """

    pieces: tuple[bytes, ...]
    special: frozenset[int]

    def __repr__(self) -> str:
        return f"TokenTable({len(self.pieces)} tokens, {len(self.special)} special)"

    @property
    def digest(self) -> str:
        """SHA-256 of the encoding, hexadecimal."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def decode(self, ids: Sequence[int]) -> str:
        """Text of the ids without special tokens; bytes that are no UTF-8 become U+FFFD."""
        data = b"".join(self.pieces[i] for i in ids if i not in self.special)
        return data.decode("utf-8", errors="replace")

    def to_bytes(self) -> bytes:
        """Canonical encoding: count, then flag, length and bytes of each piece."""
        writer = ByteWriter()
        writer.u32(len(self.pieces))
        for index, piece in enumerate(self.pieces):
            flag = SPECIAL if index in self.special else 0
            writer.raw((len(piece) | flag).to_bytes(2, "little"))
            writer.raw(piece)
        return writer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes, where: str = "token table") -> TokenTable:
        """Inverse of :meth:`to_bytes`; raises :class:`FormatError`."""
        reader = ByteReader(data, where)
        pieces, special = [], set()
        for index in range(reader.u32("count", MAX_TOKENS)):
            head = int.from_bytes(reader.raw(2, "piece"), "little")
            if head & SPECIAL:
                special.add(index)
            pieces.append(reader.raw(head & (SPECIAL - 1), "piece"))
        reader.finish()
        return cls(tuple(pieces), frozenset(special))


@dataclass(frozen=True)
class PromptFrame:
    """What the model's template puts around the user's words, in token ids."""

    before: tuple[int, ...]
    after: tuple[int, ...]

    def words(self, prompt: Sequence[int], table: TokenTable) -> str:
        """The user's words in a proved prompt.

        Raises
        ------
        VerificationError
            The prompt does not have this frame, or a special token stands among the words (text
            that merely looks like one does not).
        """
        ids = tuple(prompt)
        first, last = len(self.before), len(ids) - len(self.after)
        if first > last or ids[:first] != self.before or ids[last:] != self.after:
            raise VerificationError("the prompt is not in the form the proof states", "prompt")
        if not table.special.isdisjoint(ids[first:last]):
            raise VerificationError("special tokens stand among the user's words", "prompt")
        return table.decode(ids[first:last])

    def to_plain(self) -> dict[str, list[int]]:
        """Plain data for the metadata of a commitment."""
        return {"after": list(self.after), "before": list(self.before)}

    @classmethod
    def from_plain(cls, value: object, where: str, vocabulary: int) -> PromptFrame:
        """Inverse of :meth:`to_plain`; raises :class:`FormatError`."""
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
