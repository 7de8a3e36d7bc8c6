r"""GPT-2's tokenizer: text falls into words, words into bytes, and bytes merge by a ranked list.

Words are the matches of::

    's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+

Some models (SmolLM2) set every digit apart first; then each is a word, and the text between two
digits is split as if it stood alone. Source: Radford et al. 2019, section 2.2, and the encoder
published with it.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from veracity.errors import FormatError
from veracity.text.encoder import Merges
from veracity.text.unicode import LETTERS, NUMBERS, WHITE_SPACE, code_points

__all__ = ["ByteLevel"]

_CONTRACTED = "stmdrevl"
#: The pattern over kinds of characters: a letter (those of contractions as themselves), 0 number,
#: space or \n (other white space), and anything else as "." (the apostrophe as itself).
_TOGETHER = re.compile(r"'(?:[stmd]|re|ve|ll)| ?[a-z]+| ?0+| ?[.']+|[ \n]+(?![a-z0.'])|[ \n]+")
_APART = re.compile(r"'(?:[stmd]|re|ve|ll)| ?[a-z]+|0| ?[.']+|[ \n]+(?![a-z.'])|[ \n]+")


class _Kinds(dict[int, str]):
    """Kind of each character by its code point, found when it is first asked for."""

    def __init__(self) -> None:
        listed = [("a", LETTERS), ("0", NUMBERS), ("\n", WHITE_SPACE)]
        ranges = sorted((*pair, kind) for kind, text in listed for pair in code_points(text))
        self._first = [first for first, _, _ in ranges]
        self._ranges = ranges
        super().__init__({ord(c): c for c in " '" + _CONTRACTED})

    def __missing__(self, code: int) -> str:
        place = bisect_right(self._first, code) - 1
        kind = "."
        if place >= 0 and code <= self._ranges[place][1]:
            kind = self._ranges[place][2]
        self[code] = kind
        return kind


_KINDS = _Kinds()


@dataclass(frozen=True)
class ByteLevel:
    """Ranked merging of bytes.

    Parameters
    ----------
    pairs : tuple[tuple[int, int], ...]
        The merges, first the one that goes first: the token made, and how many of its bytes its
        left half has.
    digits_apart : bool
        Whether every number character is a word of its own.
    """

    pairs: tuple[tuple[int, int], ...] = field(repr=False)
    digits_apart: bool = False

    @property
    def prefix(self) -> str:
        """Nothing."""
        return ""

    def words(self, text: str) -> Iterable[str]:
        """The matches of the pattern, which leave out nothing."""
        pattern = _APART if self.digits_apart else _TOGETHER
        return [text[slice(*m.span())] for m in pattern.finditer(text.translate(_KINDS))]

    def units(self, word: str, ids: Mapping[bytes, int]) -> Iterable[bytes]:
        """Bytes of UTF-8."""
        spelled = word.encode("utf-8")
        return (spelled[i : i + 1] for i in range(len(spelled)))

    def merges(self, tokens: Sequence[bytes], ids: Mapping[bytes, int]) -> Merges:
        """Two tokens merge if the list has them."""
        table: dict[tuple[int, int], tuple[int, int]] = {}
        for rank, (token, split) in enumerate(self.pairs):
            piece = tokens[token] if 0 <= token < len(tokens) else b""
            if ids.get(piece) != token or not 0 < split < len(piece):
                raise FormatError("tokenizer", f"merge {rank} makes no token")
            left, right = ids.get(piece[:split]), ids.get(piece[split:])
            if left is None or right is None:
                raise FormatError("tokenizer", f"merge {rank} is of something that is no token")
            table[left, right] = rank, token
        if len(table) != len(self.pairs):
            raise FormatError("tokenizer", "a merge is listed twice")
        return lambda left, right: table.get((left, right))
