"""llama2.c's tokenizer: characters merge into the token with the best score.

A space is put before the text. Characters that are no tokens are spelled in bytes. Scores enter by
their order only, so they are kept as ranks. Source: github.com/karpathy/llama2.c, ``encode``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field

from veracity.errors import FormatError
from veracity.records import record
from veracity.text.added import Added
from veracity.text.encoder import Merges, no_token

__all__ = ["LONGEST", "NEVER", "Pieces"]

#: Rank of a token that nothing merges into.
NEVER = (1 << 32) - 1
#: Longest token in bytes: looking a pair up costs the length of what it would make.
LONGEST = 1 << 10


@record
class Pieces:
    """Score-driven merging.

    Parameters
    ----------
    ranks : tuple[int, ...]
        For each token, how soon a pair merges into it (0 first); :data:`NEVER` for not at all.
    """

    ranks: tuple[int, ...] = field(repr=False)

    @classmethod
    def from_scores(cls, scores: Sequence[float]) -> Pieces:
        """The rule of a table of scores, the highest first."""
        usable = [s > -math.inf for s in scores]  # false of NaN, too
        order = sorted({s for s, use in zip(scores, usable, strict=True) if use}, reverse=True)
        rank = {score: place for place, score in enumerate(order)}
        return cls(tuple(rank[s] if use else NEVER for s, use in zip(scores, usable, strict=True)))

    @property
    def added(self) -> tuple[Added, ...]:
        """None."""
        return ()

    @property
    def apart(self) -> tuple[int, ...]:
        """None."""
        return ()

    @property
    def whole_words(self) -> bool:
        """False: a word is always merged."""
        return False

    def normalised(self, text: str, first: bool) -> str:
        """A space before the text, as before any other word."""
        return " " + text

    def restored(self, text: str, first: bool) -> str:
        """The text without that space."""
        return text.removeprefix(" ")

    def words(self, text: str) -> Iterable[str]:
        """Spaces with the word that follows them."""
        return re.findall(r" *[^ ]+| +", text)

    def units(self, word: str, ids: Mapping[bytes, int]) -> list[int]:
        """Characters; those that are no tokens in bytes."""
        units = []
        for char in word:
            spelled = char.encode("utf-8")
            token = ids.get(spelled)
            if token is not None:
                units.append(token)
                continue
            for byte in spelled:
                token = ids.get(bytes([byte]))
                units.append(no_token(byte, word) if token is None else token)
        return units

    def merges(self, tokens: Sequence[bytes], ids: Mapping[bytes, int]) -> Merges:
        """Two tokens merge if both together spell a token."""
        ranks = self.ranks
        if len(ranks) != len(tokens):
            raise FormatError("tokenizer", "not one rank for every token")
        if any(not 0 <= rank <= NEVER for rank in ranks):
            raise FormatError("tokenizer", "a rank is out of bounds")
        if any(len(token) > LONGEST for token in tokens):
            raise FormatError("tokenizer", f"a token is longer than {LONGEST} bytes")

        def look(left: int, right: int) -> tuple[int, int] | None:
            token = ids.get(tokens[left] + tokens[right])
            return None if token is None or ranks[token] == NEVER else (ranks[token], token)

        return look
