"""Byte-pair encoding: words are spelled in units, and adjacent tokens merge, best rank first.

What a word is, what its units are, and which pairs merge at which rank is the :class:`Rule`. Of
pairs of equal rank the leftmost merges first, so every text has one encoding. A word of n units
takes O(n log n) steps, whatever the rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field
from functools import cached_property
from heapq import heapify, heappop, heappush
from typing import NoReturn, Protocol

from veracity.errors import FormatError, UsageError
from veracity.records import record
from veracity.text.added import Added, Finder

__all__ = ["Encoder", "Merges", "Rule", "merge", "no_token"]

#: Rank and merged token of a pair of tokens; None where they do not merge.
Merges = Callable[[int, int], tuple[int, int] | None]

_CACHED_WORDS = 1 << 16
_CACHED_LENGTH = 64


class Rule(Protocol):
    """How a tokenizer spells text, beside its tokens."""

    @property
    def added(self) -> tuple[Added, ...]:
        """Added tokens that are text."""

    @property
    def apart(self) -> tuple[int, ...]:
        """Tokens that nothing merges into or from."""

    @property
    def whole_words(self) -> bool:
        """Whether a word that is a token is that token, whatever would merge."""

    def normalised(self, text: str, first: bool) -> str:
        """A stretch between added tokens as it is split into words; ``first`` if it begins a text.

        Raises :class:`UsageError` where it has no such form.
        """

    def restored(self, text: str, first: bool) -> str:
        """A stretch without what :meth:`normalised` puts before it."""

    def words(self, text: str) -> Iterable[str]:
        """A stretch in parts; no token reaches over the end of one."""

    def units(self, word: str, ids: Mapping[bytes, int]) -> list[int]:
        """What a word is spelled in before anything merges; :class:`UsageError` without it."""

    def merges(self, tokens: Sequence[bytes], ids: Mapping[bytes, int]) -> Merges:
        """The pairs that merge; raises :class:`FormatError` if the rule does not fit the tokens."""


@record
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
        _ = self._merges, self._written, self._normal

    def encode(self, text: str, first: bool = True) -> list[int]:
        """Token ids of a text; ``first`` unless something stands before it.

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
        for part, token in self._written.split(text):
            if token is not None:
                ids.append(token)
            else:
                ids += self._stretch(self.rule.normalised(part, first))
            first = False
        return ids

    def encode_exactly(self, text: str, first: bool = True) -> list[int]:
        """Token ids that are read as this text again; a space before all of it may be lost.

        Raises
        ------
        UsageError
            The text has no encoding, or that of another text (another form of Unicode, say).
        """
        ids = self.encode(text, first)
        read = self.decode(ids, first)
        if text not in (read, " " + read):
            raise UsageError(
                f"the model's tokenizer makes other words of a message; give it as in {read[:80]!r}"
            )
        return ids

    def decode(self, ids: Sequence[int], first: bool = True) -> str:
        """The text of ids that a text has; other ids may be read as other texts' are.

        Raises
        ------
        UnicodeDecodeError
            The bytes are no text.
        """
        text: list[str] = []
        run: list[bytes] = []

        def end_run(begins: bool) -> None:
            if run:
                spelled = b"".join(run).decode("utf-8")
                text.append(self.rule.restored(spelled, first and begins))
                run.clear()

        for place, i in enumerate(ids):
            if i in self._between:
                end_run(len(run) == place)
                text.append(self.tokens[i].decode("utf-8"))
            else:
                run.append(self.tokens[i])
        end_run(len(run) == len(ids))
        return "".join(text)

    def _stretch(self, text: str) -> list[int]:
        ids: list[int] = []
        for part, token in self._normal.split(text):
            if token is not None:
                ids.append(token)
                continue
            for word in self.rule.words(part):
                ids += self._word(word)
        return ids

    def _word(self, word: str) -> list[int]:
        known = self._cache.get(word)
        if known is not None:
            return known
        whole = self._ids.get(word.encode("utf-8")) if self.rule.whole_words else None
        ids = [whole] if whole is not None else self._merged(word)
        if len(word) <= _CACHED_LENGTH:
            if len(self._cache) >= _CACHED_WORDS:
                self._cache.clear()
            self._cache[word] = ids
        return ids

    def _merged(self, word: str) -> list[int]:
        return merge(self.rule.units(word, self._ids), self._merges)

    @cached_property
    def _ids(self) -> dict[bytes, int]:
        """Ids by bytes; the last one of equal bytes, so that a plain token hides a byte's."""
        named = list(self.tokens)
        for i in self.special.union(self.rule.apart):
            if 0 <= i < len(named):
                named[i] = b""
        ids = dict(zip(named, range(len(named)), strict=True))
        ids.pop(b"", None)
        return ids

    @cached_property
    def _between(self) -> frozenset[int]:
        """Added tokens that only their own text makes: stretches end before them."""
        return frozenset(a.token for a in self.rule.added if not a.learnt)

    @cached_property
    def _written(self) -> Finder:
        return self._finder(normal=False)

    @cached_property
    def _normal(self) -> Finder:
        return self._finder(normal=True)

    def _finder(self, normal: bool) -> Finder:
        """What finds the added tokens in text as it was written, or in normalised text."""
        found: dict[str, int] = {}
        for one in self.rule.added:
            if one.normal != normal:
                continue
            if not 0 <= one.token < len(self.tokens) or one.token in self.special:
                raise FormatError("tokenizer", "an added token that is none, or a mark")
            try:
                text = self.tokens[one.token].decode("utf-8")
            except UnicodeDecodeError:
                raise FormatError("tokenizer", "an added token that is no text") from None
            if text in found:
                raise FormatError("tokenizer", "an added token is listed twice")
            found[text] = one.token
        return Finder(found)

    @cached_property
    def _merges(self) -> Merges:
        return self.rule.merges(self.tokens, self._ids)

    @cached_property
    def _cache(self) -> dict[str, list[int]]:
        return {}


def no_token(byte: int, word: str) -> NoReturn:
    """Raise :class:`UsageError`: the model cannot write this byte."""
    raise UsageError(
        f"the model has no token for byte 0x{byte:02x} of {word[:40]!r}; "
        "write it without that character"
    )


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
