"""Text from strangers, as a terminal may show it.

A proved answer may hold escape sequences that would rewrite the screen, marks that turn the
direction of writing, or characters that nobody sees. None of these reach the terminal; what scripts
and emoji need to look right does.
"""

from __future__ import annotations

import re
import unicodedata

__all__ = ["escaped", "printable", "quoted"]

#: Categories that no text needs: controls, formats, half characters, ends of lines and paragraphs.
UNSEEN = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))
#: Format characters that writing needs: the joiners of Persian, Indic scripts and emoji, and
#: Arabic, Syriac and Kaithi signs that are seen.
NEEDED = frozenset(
    "\u200c\u200d\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2"
    "\U000110bd\U000110cd"
)
#: A flag of a region: a black flag, letters and digits as tags, the tag that ends them.
FLAG = re.compile("(\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{3,6}\U000e007f)")


def seen(character: str) -> bool:
    """Whether a terminal may have this character as it is."""
    return unicodedata.category(character) not in UNSEEN or character in NEEDED


def printable(text: str) -> str:
    """``text`` with the characters made visible that would drive a terminal or hide in it."""
    return "".join(
        part
        if number % 2  # a whole flag
        else "".join(c if c in "\n\t" or seen(c) else "\N{REPLACEMENT CHARACTER}" for c in part)
        for number, part in enumerate(FLAG.split(text))
    )


def escaped(text: str) -> str:
    """``text`` with the same characters as escapes of JSON; line ends stay."""
    return "".join(c if c == "\n" or seen(c) else _escape(c) for c in text)


def quoted(text: str) -> str:
    """``text`` between quotation marks, every unseen character escaped."""
    inner = text.replace("\\", "\\\\").replace('"', '\\"')
    short = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}
    return '"' + "".join(short.get(c) or (c if seen(c) else _escape(c)) for c in inner) + '"'


def _escape(character: str) -> str:
    """As JSON has it: outside the basic plane two halves."""
    if character <= "\uffff":
        return f"\\u{ord(character):04x}"
    code = ord(character) - 0x10000
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"
