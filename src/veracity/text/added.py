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

__all__ = ["MAX_ADDED", "Added", "Finder"]

MAX_ADDED = 1 << 16
#: Most different lengths: looking at a place costs that many steps.
MAX_LENGTHS = 1 << 8


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


@dataclass(frozen=True)
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
        for length in self._lengths:
            token = self.tokens.get(text[place : place + length])
            if token is not None:
                return token, length
        return None, 0

    @cached_property
    def _lengths(self) -> list[int]:
        return sorted({len(text) for text in self.tokens}, reverse=True)

    @cached_property
    def _begins(self) -> re.Pattern[str]:
        """Where one may begin."""
        return re.compile("[" + "".join(re.escape(c) for c in {t[0] for t in self.tokens}) + "]")
