"""Added tokens that are text: found before anything else is split or merged.

A tokenizer may have tokens beside those it learnt: runs of spaces, ``<think>``. Those flagged as
special are marks, which no text is encoded as. The others are text: wherever their characters
stand, the token stands, the leftmost first and of two that begin together the longer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from veracity.errors import FormatError
from veracity.records import record

__all__ = ["MAX_ADDED", "Added", "Finder"]

MAX_ADDED = 1 << 16
#: Most different lengths: looking at a place costs as many steps as their number has bits.
MAX_LENGTHS = 1 << 8


#: By the beginnings of tokens: the longest token that each begins with, and its length.
_Markers = dict[str, tuple[int | None, int]]


@dataclass(frozen=True, order=True)
class Added:
    """An added token that is text.

    Parameters
    ----------
    token : int
        Its id.
    normal : bool
        Whether it is looked for in the normalised text, and its own text is normalised; else in
        the text as it was written.
    learnt : bool
        Whether pairs may merge into it, too.
    """

    token: int
    normal: bool = False
    learnt: bool = False


@record
class Finder:
    """Finds added tokens.

    Parameters
    ----------
    tokens : mapping
        Ids by text.

    Raises
    ------
    FormatError
        There are too many lengths, or a text is empty.
    """

    tokens: Mapping[str, int] = field(repr=False)

    def __post_init__(self) -> None:
        if "" in self.tokens or len(self._lengths) > MAX_LENGTHS:
            raise FormatError("tokenizer", "added tokens that are empty, or of too many lengths")

    def split(self, text: str) -> Iterator[tuple[str, int | None]]:
        """The text in parts: what is no added token (with None), and every one that stands in it.

        Parts that would be empty are left out.
        """
        start = place = 0
        if self.tokens:
            while (found := self._begins.search(text, place)) is not None:
                place = found.start()
                token, length = self._at(text, place)
                if token is None:
                    place += 1
                    continue
                if start < place:
                    yield text[start:place], None
                yield text[place : place + length], token
                start = place = place + length
        if start < len(text):
            yield text[start:], None

    def _at(self, text: str, place: int) -> tuple[int | None, int]:
        """The longest token that stands at a place, and its length."""
        return self._longest(self._markers, text, place)

    def _longest(self, markers: _Markers, text: str, place: int) -> tuple[int | None, int]:
        best: tuple[int | None, int] = (None, 0)
        low, high = 0, len(self._lengths)
        while low < high:
            middle = (low + high) // 2
            length = self._lengths[middle]
            found = markers.get(text[place : place + length])
            if found is None or len(text) - place < length:
                high = middle
            else:
                best, low = found if found[1] else best, middle + 1
        return best

    @cached_property
    def _markers(self) -> _Markers:
        """What is met on the way to each token by binary search over lengths.

        A token leaves its beginnings of those lengths, each with the longest token that it begins
        with: so the search may follow a token that is not there after all, and misses none. A text
        of one letter would else be compared with every length, at every place.

        Reference: Waldvogel, Varghese, Turner and Plattner, "Scalable high speed IP routing
        lookups", SIGCOMM 1997.
        """
        markers: _Markers = {}
        for text in sorted(self.tokens, key=len):
            low, high = 0, len(self._lengths)
            while low < high:
                middle = (low + high) // 2
                length = self._lengths[middle]
                if length > len(text):
                    high = middle
                    continue
                low, start = middle + 1, text[:length]
                if length == len(text):
                    markers[start] = self.tokens[text], length
                elif start not in markers:
                    markers[start] = self._longest(markers, start, 0)
        return markers

    @cached_property
    def _lengths(self) -> list[int]:
        return sorted({len(text) for text in self.tokens})

    @cached_property
    def _begins(self) -> re.Pattern[str]:
        """Where one may begin."""
        return re.compile("[" + "".join(re.escape(c) for c in {t[0] for t in self.tokens}) + "]")
