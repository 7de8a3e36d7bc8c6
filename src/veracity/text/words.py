r"""How text falls into words: patterns from a fixed list, each step splitting what the last left.

A byte-level tokenizer states regular expressions. A verifier must not run a stranger's (their time
has no bound), so a step is a list of numbers: which of the alternatives below the expression has,
in its order. Matches are words, and so is what lies between them. Every step takes time in
proportion to the text (:func:`check_steps`).

They are matched on *kinds* of characters instead of characters: letters that contractions have as
themselves, ``a`` other lower-case letters, ``A`` upper case, ``o`` letters without case, ``x``
marks, ``0`` numbers, the space, ``\n``, ``\r``, ``\t`` other white space, the apostrophe, the
slash, and ``.`` anything else.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from functools import lru_cache
from operator import itemgetter

from veracity.errors import FormatError
from veracity.text.unicode import LETTERS, LOWER, MARKS, NUMBERS, UPPER, WHITE_SPACE, code_points

__all__ = ["ALTERNATIVES", "DIGITS", "GPT2", "Steps", "check_steps", "split"]

#: Steps of splitting; of each, the numbers of its alternatives.
Steps = tuple[tuple[int, ...], ...]

_LOW, _UP = "astmdrevl\u017f", "ASTMDREVL"
_LETTER, _SPACE = f"{_LOW}{_UP}o", r" \n\r\t"
_OTHER = "x.'/"
_SUFFIX = "'(?:[sS\u017ftTmMdD]|[rR][eE]|[vV][eE]|[lL][lL])"
_HEAD = f"[{_OTHER} \t]?"
_TITLE, _SMALL = f"[{_UP}ox]", f"[{_LOW}ox]"
_CASED = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_HEADED = r"[^\r\n\p{L}\p{N}]?"
_ANY_CASE = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"

#: What a tokenizer's expression says, and the same over kinds. Numbers are places; only append.
ALTERNATIVES: tuple[tuple[str, str], ...] = (
    *((c, c) for c in ("'s", "'t", "'re", "'ve", "'m", "'ll", "'d")),
    (r" ?\p{L}+", f" ?[{_LETTER}]+"),
    (r" ?\p{N}+", " ?0+"),
    (r" ?[^\s\p{L}\p{N}]+", f" ?[{_OTHER}]+"),
    (r"\s+(?!\S)", f"[{_SPACE}]+(?![{_LETTER}{_OTHER}0])"),
    (r"\s+", f"[{_SPACE}]+"),
    (r"\p{N}", "0"),
    (r"\p{N}+", "0+"),
    (r"\p{N}{1,3}", "0{1,3}"),
    (_ANY_CASE, _SUFFIX),
    (_HEADED + r"\p{L}+", f"{_HEAD}[{_LETTER}]+"),
    (r" ?[^\s\p{L}\p{N}]+[\r\n]*", rf" ?[{_OTHER}]+[\r\n]*"),
    (r" ?[^\s\p{L}\p{N}]+[\r\n/]*", rf" ?[{_OTHER}]+[\r\n/]*"),
    (r"\s*[\r\n]+", rf"[{_SPACE}]*[\r\n]+"),
    (r"\s*[\r\n]", rf"[{_SPACE}]*[\r\n]"),
    (r"\s?\p{L}+", f"[{_SPACE}]?[{_LETTER}]+"),
    (f"{_HEADED}{_CASED[0]}*{_CASED[1]}+", f"{_HEAD}{_TITLE}*{_SMALL}+"),
    (f"{_HEADED}{_CASED[0]}+{_CASED[1]}*", f"{_HEAD}{_TITLE}+{_SMALL}*"),
    (f"{_HEADED}{_CASED[0]}*{_CASED[1]}+{_ANY_CASE}?", f"{_HEAD}{_TITLE}*{_SMALL}+(?:{_SUFFIX})?"),
    (f"{_HEADED}{_CASED[0]}+{_CASED[1]}*{_ANY_CASE}?", f"{_HEAD}{_TITLE}+{_SMALL}*(?:{_SUFFIX})?"),
    (_HEADED + r"[\p{L}\p{M}]+", f"{_HEAD}[{_LETTER}x]+"),
    (r" ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*", r" ?[.'/]+[\r\n]*"),
    (r"[\r\n]", r"[\r\n]"),
    (r" ?[^\s\p{L}\p{N}\r\n]+", f" ?[{_OTHER}]+"),
)

#: Alternatives that may read a run to its end and fail; with this one behind them in the same step
#: the run is a word all the same, and is not read again from its every place.
_CLOSED_BY = {19: 11, 20: 11, 22: 23, 24: 25}

#: The splitting of GPT-2, and every number character as a word of its own.
GPT2 = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)
DIGITS = (12,)


def check_steps(steps: Steps) -> None:
    """Raise :class:`FormatError` unless steps are such as take time in proportion to the text."""
    for step in steps:
        if not step or not all(0 <= i < len(ALTERNATIVES) for i in step):
            raise FormatError("tokenizer", "a pattern of words that is not in the list")
        for place, i in enumerate(step):
            if i in _CLOSED_BY and _CLOSED_BY[i] not in step[place:]:
                raise FormatError("tokenizer", "a pattern of words that takes too long")


#: Characters that are a kind of their own.
_OWN = " '/\n\r" + "stmdrevlSTMDREVL\u017f"
#: Kinds of ASCII, as the lists of Unicode have them: few texts need more of these.
_ASCII = {
    **dict.fromkeys(range(128), "."),
    **dict.fromkeys(range(ord("A"), ord("Z") + 1), "A"),
    **dict.fromkeys(range(ord("a"), ord("z") + 1), "a"),
    **dict.fromkeys(range(ord("0"), ord("9") + 1), "0"),
    **dict.fromkeys(map(ord, " \t\n\v\f\r"), "\t"),
}


class _Kinds(dict[int, str]):
    """Kind of each character by its code point, found when it is first asked for."""

    def __init__(self) -> None:
        super().__init__({**_ASCII, **{ord(c): c for c in _OWN}})

    def __missing__(self, code: int) -> str:
        self[code] = kind = _listed_kind(code)
        return kind


@lru_cache(maxsize=1)
def _lists() -> tuple[list[tuple[int, int, str]], list[tuple[int, int, str]]]:
    """First and last code point of every range, with its kind; those of other letters apart."""
    listed = [("A", UPPER), ("a", LOWER), ("x", MARKS), ("0", NUMBERS), ("\t", WHITE_SPACE)]
    ranges = sorted((*pair, kind) for kind, text in listed for pair in code_points(text))
    return ranges, [(*pair, "o") for pair in code_points(LETTERS)]


def _listed_kind(code: int) -> str:
    """Kind of a character that is none of its own."""
    for ranges in _lists():
        place = bisect_right(ranges, code, key=itemgetter(0)) - 1
        if place >= 0 and code <= ranges[place][1]:
            return ranges[place][2]
    return "."


_kinds = lru_cache(maxsize=1)(_Kinds)


@lru_cache(maxsize=64)
def _pattern(step: tuple[int, ...]) -> re.Pattern[str]:
    return re.compile("|".join(ALTERNATIVES[i][1] for i in step))


def split(text: str, steps: Steps) -> Iterable[str]:
    """The words of a text, which leave out nothing."""
    kinds = text.translate(_kinds())
    spans = [(0, len(text))]
    for step in steps:
        pattern = _pattern(step)
        parts: list[tuple[int, int]] = []
        for start, end in spans:
            place = start
            for match in pattern.finditer(kinds, start, end):
                first, last = match.span()
                if place < first:
                    parts.append((place, first))
                parts.append((first, last))
                place = last
            if place < end:
                parts.append((place, end))
        spans = parts
    return [text[start:end] for start, end in spans]
