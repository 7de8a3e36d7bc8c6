r"""Byte-level tokenizers: text falls into words, words into bytes, and bytes merge by rank.

GPT-2's words are the matches of::

    's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+

Others have other patterns (:mod:`veracity.text.words`), bring the text into normalisation form C
first, or take a word that is a token whole, whatever pairs would merge. Source: Radford et al.
2019, section 2.2, and the encoder published with it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field
from operator import eq, lt
from typing import overload

from veracity.errors import FormatError
from veracity.records import record
from veracity.text.added import Added
from veracity.text.encoder import Merges, no_token
from veracity.text.nfc import nfc
from veracity.text.words import GPT2, Steps, check_steps, split

__all__ = ["ByteLevel", "Pairs", "listed_merges"]


@record
class ByteLevel:
    """Ranked merging of bytes.

    Parameters
    ----------
    pairs : sequence of (int, int)
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

    pairs: Sequence[tuple[int, int]] = field(repr=False)
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


class Pairs(Sequence[tuple[int, int]]):
    """Pairs of numbers, kept as two columns: a verifier reads fifty thousand merges.

    Parameters
    ----------
    made, cuts : tuple of int
        First and second numbers, as many of both.
    """

    def __init__(self, made: tuple[int, ...], cuts: tuple[int, ...]) -> None:
        self.made, self.cuts = made, cuts

    @staticmethod
    def of(pairs: Sequence[tuple[int, int]]) -> Pairs:
        """Any pairs as two columns."""
        if isinstance(pairs, Pairs):
            return pairs
        return Pairs(tuple(one for one, _ in pairs), tuple(other for _, other in pairs))

    def __len__(self) -> int:
        return len(self.made)

    @overload
    def __getitem__(self, place: int) -> tuple[int, int]: ...

    @overload
    def __getitem__(self, place: slice) -> Pairs: ...

    def __getitem__(self, place: int | slice) -> tuple[int, int] | Pairs:
        if isinstance(place, slice):
            return Pairs(self.made[place], self.cuts[place])
        return self.made[place], self.cuts[place]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(map(eq, self, other))

    def __hash__(self) -> int:
        return hash(tuple(self))


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
    # A verifier reads fifty thousand merges and applies a few: they are found by what they make.
    size, find, columns = len(tokens), ids.get, Pairs.of(pairs)
    made, cuts = columns.made, columns.cuts
    pieces = [tokens[token] if 0 <= token < size else b"" for token in made]
    for rank, (piece, token, cut) in enumerate(zip(pieces, made, cuts, strict=True)):
        if not 0 < cut < len(piece) or find(piece) != token:
            raise FormatError("tokenizer", f"merge {rank} makes no token")
        if piece[:cut] not in ids or piece[cut:] not in ids:
            raise FormatError("tokenizer", f"merge {rank} is of something that is no token")
    rank_of = _ranks(columns)

    def found(left: int, right: int) -> tuple[int, int] | None:
        first, second = tokens[left], tokens[right]
        if find(first) != left or find(second) != right:
            return None  # bytes that another token has, too
        token = find(first + second)
        rank = None if token is None else rank_of(token, len(first))
        return None if rank is None or token is None else (rank, token)

    return found


def _ranks(pairs: Pairs) -> Callable[[int, int], int | None]:
    """What finds the rank of a merge by the token it makes and the length of its left half.

    Raises
    ------
    FormatError
        A merge is listed twice.
    """
    made, cuts = pairs.made, pairs.cuts
    if all(map(lt, made, made[1:])):  # as most are learnt: no token is made twice

        def searched(token: int, cut: int) -> int | None:
            rank = bisect_left(made, token)
            return rank if made[rank : rank + 1] == (token,) and cuts[rank] == cut else None

        return searched
    ranks = dict(zip(pairs, range(len(pairs)), strict=True))
    if len(ranks) != len(pairs):
        raise FormatError("tokenizer", "a merge is listed twice")
    return lambda token, cut: ranks.get((token, cut))
