"""Byte-pair encoding: words are spelled in units, and adjacent tokens merge, best rank first.

What a word is, what its units are, and which pairs merge at which rank is the :class:`Rule`. Of
pairs of equal rank the leftmost merges first, so every text has one encoding. A word of n units
takes O(n log n) steps, whatever the rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from heapq import heapify, heappop, heappush
from typing import Protocol

from veracity.errors import UsageError

__all__ = ["Encoder", "Merges", "Rule", "merge"]

#: Rank and merged token of a pair of tokens; None where they do not merge.
Merges = Callable[[int, int], tuple[int, int] | None]

_CACHED_WORDS = 1 << 16
_CACHED_LENGTH = 64


class Rule(Protocol):
    """How a tokenizer spells text, beside its tokens."""

    @property
    def prefix(self) -> str:
        """What stands before every text that is not empty."""

    def words(self, text: str) -> Iterable[str]:
        """The text in parts; no token reaches over the end of one."""

    def units(self, word: str, ids: Mapping[bytes, int]) -> Iterable[bytes]:
        """What a word is spelled in before anything merges."""

    def merges(self, tokens: Sequence[bytes], ids: Mapping[bytes, int]) -> Merges:
        """The pairs that merge; raises :class:`FormatError` if the rule does not fit the tokens."""


@dataclass(frozen=True)
class Encoder:
    """The one encoding of every text.

    Parameters
    ----------
    tokens : tuple[bytes, ...]
        Bytes of every id.
    special : frozenset[int]
        Marks for the model; no text is encoded as one.
    rule : Rule
        How text is spelled.
    """

    tokens: tuple[bytes, ...] = field(repr=False)
    special: frozenset[int] = field(repr=False)
    rule: Rule

    def check(self) -> None:
        """Raise :class:`FormatError` unless the rule fits the tokens."""
        _ = self._merges

    def encode(self, text: str) -> list[int]:
        """Token ids of a text.

        Raises
        ------
        UsageError
            The text is not Unicode, or holds a character that no tokens spell.
        """
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise UsageError(
                f"the text is not valid Unicode: half a character at position {error.start}"
            ) from None
        ids: list[int] = []
        for word in self.rule.words(self.rule.prefix + text if text else ""):
            ids += self._word(word)
        return ids

    def _word(self, word: str) -> list[int]:
        known = self._cache.get(word)
        if known is not None:
            return known
        units = []
        for unit in self.rule.units(word, self._ids):
            token = self._ids.get(unit)
            if token is None:
                raise UsageError(
                    f"the model has no token for byte 0x{unit[0]:02x} of {word[:40]!r}; "
                    "write it without that character"
                )
            units.append(token)
        ids = merge(units, self._merges)
        if len(word) <= _CACHED_LENGTH:
            if len(self._cache) >= _CACHED_WORDS:
                self._cache.clear()
            self._cache[word] = ids
        return ids

    @cached_property
    def _ids(self) -> dict[bytes, int]:
        """Ids by bytes; the last one of equal bytes, so that a plain token hides a byte's."""
        named = enumerate(self.tokens)
        return {piece: i for i, piece in named if piece and i not in self.special}

    @cached_property
    def _merges(self) -> Merges:
        return self.rule.merges(self.tokens, self._ids)

    @cached_property
    def _cache(self) -> dict[str, list[int]]:
        return {}


def merge(units: Sequence[int], merges: Merges) -> list[int]:
    """Merge adjacent tokens, lowest rank first and leftmost of equals, until no pair merges."""
    tokens = list(units)
    count = len(tokens)
    after = list(range(1, count + 1))
    before = list(range(-1, count - 1))
    queue: list[tuple[int, int, int, int, int]] = []  # rank, place, left, right, merged token

    def entry(place: int) -> tuple[int, int, int, int, int] | None:
        left, right = tokens[place], tokens[after[place]]
        found = merges(left, right)
        return None if found is None else (found[0], place, left, right, found[1])

    queue = [pair for pair in map(entry, range(count - 1)) if pair is not None]
    heapify(queue)
    while queue:
        _, place, left, right, merged = heappop(queue)
        gone = after[place]
        if tokens[place] != left or gone >= count or tokens[gone] != right:
            continue  # one of the two has merged with another neighbour since
        tokens[place], tokens[gone] = merged, -1
        after[place] = after[gone]
        if after[gone] < count:
            before[after[gone]] = place
        for start in (before[place], place):
            if start >= 0 and after[start] < count:
                pair = entry(start)
                if pair is not None:
                    heappush(queue, pair)
    return [token for token in tokens if token >= 0]
