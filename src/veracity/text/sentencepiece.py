"""SentencePiece's BPE: characters merge by a ranked list, bytes stand in for unknown characters.

A space belongs to the word after it, and one may be put before the text. Unless spaces are said to
begin words, the whole text is one word.
Source: Kudo and Richardson 2018 (arXiv:1808.06226); the byte fallback of Llama.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from enum import IntEnum

from veracity.errors import FormatError, UsageError
from veracity.records import record
from veracity.text.added import Added
from veracity.text.bytelevel import listed_merges
from veracity.text.encoder import Merges

__all__ = ["SPACE", "Prefix", "SentencePiece"]

#: What SentencePiece writes for a space.
SPACE = "\u2581"


class Prefix(IntEnum):
    """Where a space is put before text.

    ``EACH`` stretch between added tokens gets one, or the ``FIRST`` only; ``_BARE`` ones if they do
    not begin with a space already.
    """

    NONE = 0
    EACH = 1
    EACH_BARE = 2
    FIRST_BARE = 3


@record
class SentencePiece:
    """Ranked merging of characters.

    Parameters
    ----------
    pairs : sequence of (int, int)
        As in :class:`veracity.text.ByteLevel`.
    letters : tuple[int, ...]
        The 256 tokens of single bytes.
    prefix : Prefix
        Where a space is put before text.
    split : bool
        Whether every space begins a word that nothing merges out of.
    whole_words : bool
        Whether a word that is a token is that token, whatever would merge.
    added : tuple[Added, ...]
        Added tokens that are text.
    others_apart : tuple[int, ...]
        Tokens beside ``letters`` that nothing merges into or from.
    """

    pairs: Sequence[tuple[int, int]] = field(repr=False)
    letters: tuple[int, ...] = field(repr=False)
    prefix: Prefix = Prefix.NONE
    split: bool = False
    whole_words: bool = False
    added: tuple[Added, ...] = field(default=(), repr=False)
    others_apart: tuple[int, ...] = field(default=(), repr=False)

    @property
    def apart(self) -> tuple[int, ...]:
        """Tokens that nothing merges into or from."""
        return self.letters + self.others_apart

    def normalised(self, text: str, first: bool) -> str:
        """A stretch of text with the space before it.

        Raises
        ------
        UsageError
            It holds the character that stands for a space, and would be read as one.
        """
        if SPACE in text:
            raise UsageError(
                f"the model's tokenizer has no way to write {SPACE!r} (U+2581); leave it out"
            )
        wanted = self.prefix in (Prefix.EACH, Prefix.EACH_BARE) or (
            self.prefix == Prefix.FIRST_BARE and first
        )
        if not wanted or (self.prefix != Prefix.EACH and text.startswith(" ")):
            return text
        return " " + text

    def restored(self, text: str, first: bool) -> str:
        """A stretch without the space that was put before it."""
        if self.prefix == Prefix.EACH:
            return text.removeprefix(" ")
        if self.prefix == Prefix.NONE or (self.prefix == Prefix.FIRST_BARE and not first):
            return text
        return text if text.startswith("  ") else text.removeprefix(" ")

    def words(self, text: str) -> Iterable[str]:
        """Words with what stands before them, as far as nothing merges across."""
        if self.split:
            return re.findall(r" [^ ]*|[^ ]+", text)
        return [text]

    def units(self, word: str, ids: Mapping[bytes, int]) -> list[int]:
        """Characters; those that are no tokens in bytes."""
        units = []
        for char in word:
            spelled = char.encode("utf-8")
            token = ids.get(spelled)
            if token is None:
                units += [self.letters[byte] for byte in spelled]
            else:
                units.append(token)
        return units

    def merges(self, tokens: Sequence[bytes], ids: Mapping[bytes, int]) -> Merges:
        """Two tokens merge if the list has them."""
        if len(self.letters) != 256 or not all(
            0 <= token < len(tokens) and tokens[token] == bytes([byte])
            for byte, token in enumerate(self.letters)
        ):
            raise FormatError("tokenizer", "not one token for every byte")
        return listed_merges(self.pairs, tokens, ids)
