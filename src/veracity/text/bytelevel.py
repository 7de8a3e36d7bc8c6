r"""Byte-level tokenizers: text falls into words, words into bytes, and bytes merge by rank.

GPT-2's words are the matches of::

    's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+

Others have other patterns (:mod:`veracity.text.words`), bring the text into normalisation form C
first, or take a word that is a token whole, whatever pairs would merge. Source: Radford et al.
2019, section 2.2, and the encoder published with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from veracity.errors import FormatError
from veracity.text.added import Added
from veracity.text.encoder import Merges, no_token
from veracity.text.nfc import nfc
from veracity.text.words import GPT2, Steps, check_steps, split

__all__ = ["ByteLevel", "listed_merges"]


@dataclass(frozen=True)
class ByteLevel:
    """Ranked merging of bytes.

    Parameters
    ----------
    pairs : tuple[tuple[int, int], ...]
        The merges, first the one that goes first: the token made, and how many of its bytes its
        left half has.
    steps : Steps
        How text falls into words.
    normal : bool
        Whether text is brought into normalisation form C.
    whole_words : bool
        Whether a word that is a token is that token, whatever would merge.
    added : tuple[Added, ...]
        Added tokens that are text.
    apart : tuple[int, ...]
        Tokens that nothing merges into or from.
    """

    pairs: tuple[tuple[int, int], ...] = field(repr=False)
    steps: Steps = (GPT2,)
    normal: bool = False
    whole_words: bool = False
    added: tuple[Added, ...] = field(default=(), repr=False)
    apart: tuple[int, ...] = field(default=(), repr=False)

    def normalised(self, text: str, first: bool) -> str:
        """A stretch of text as it is split."""
        return nfc(text) if self.normal else text

    def restored(self, text: str, first: bool) -> str:
        """Itself: nothing was put before it."""
        return text

    def words(self, text: str) -> Iterable[str]:
        """The words that the steps leave."""
        return split(text, self.steps)

    def units(self, word: str, ids: Mapping[bytes, int]) -> list[int]:
        """Tokens of the bytes of UTF-8."""
        spelled = word.encode("utf-8")
        units = [ids.get(spelled[i : i + 1]) for i in range(len(spelled))]
        return [no_token(spelled[i], word) if u is None else u for i, u in enumerate(units)]

    def merges(self, tokens: Sequence[bytes], ids: Mapping[bytes, int]) -> Merges:
        """Two tokens merge if the list has them."""
        check_steps(self.steps)
        return listed_merges(self.pairs, tokens, ids)


def listed_merges(
    pairs: Sequence[tuple[int, int]], tokens: Sequence[bytes], ids: Mapping[bytes, int]
) -> Merges:
    """The merges of a ranked list.

    Parameters
    ----------
    pairs : sequence of (int, int)
        Token made, and how many of its bytes its left half has.
    tokens : sequence of bytes
        Bytes of every id.
    ids : mapping
        Ids by bytes.

    Raises
    ------
    FormatError
        A merge makes no token, is of something that is none, or is listed twice.
    """
    table: dict[tuple[int, int], tuple[int, int]] = {}
    for rank, (token, cut) in enumerate(pairs):
        piece = tokens[token] if 0 <= token < len(tokens) else b""
        if ids.get(piece) != token or not 0 < cut < len(piece):
            raise FormatError("tokenizer", f"merge {rank} makes no token")
        left, right = ids.get(piece[:cut]), ids.get(piece[cut:])
        if left is None or right is None:
            raise FormatError("tokenizer", f"merge {rank} is of something that is no token")
        table[left, right] = rank, token
    if len(table) != len(pairs):
        raise FormatError("tokenizer", "a merge is listed twice")
    return lambda left, right: table.get((left, right))
