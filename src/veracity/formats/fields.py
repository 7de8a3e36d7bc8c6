"""Rules for the fields of plain data that somebody else wrote."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from veracity.errors import FormatError

__all__ = ["checked", "hexadecimal", "one_of", "string", "strings", "whole"]

MAX_TEXTS, MAX_CHARACTERS = 4, 256
_HEX = re.compile(r"[0-9a-f]+")


def hexadecimal(length: int) -> Callable[[object], bool]:
    """A string of so many hexadecimal digits, lower case."""
    return lambda v: isinstance(v, str) and len(v) == length and _HEX.fullmatch(v) is not None


def one_of(*values: object) -> Callable[[object], bool]:
    """One of these strings, or None where that is among them."""
    return lambda v: any(v is w or (isinstance(v, str) and v == w) for w in values)


def whole(least: int, most: int) -> Callable[[object], bool]:
    """A whole number within bounds; a truth value is none."""
    return lambda v: type(v) is int and least <= v <= most


def string(most: int) -> Callable[[object], bool]:
    """A string of at most so many characters."""
    return lambda v: isinstance(v, str) and len(v) <= most


def strings(value: object) -> bool:
    """Up to four strings of 1 to 256 characters."""
    return (
        isinstance(value, list)
        and len(value) <= MAX_TEXTS
        and all(isinstance(v, str) and 1 <= len(v) <= MAX_CHARACTERS for v in value)
    )


def checked(value: object, rules: Mapping[str, Callable[[object], bool]], where: str) -> Any:
    """A copy of an object with exactly these fields, each as its rule says.

    Parameters
    ----------
    value : object
        What was read from JSON.
    rules : mapping
        For each field whether a value is accepted.
    where : str
        What to blame, for errors.

    Raises
    ------
    FormatError
    """
    if not isinstance(value, dict) or value.keys() != rules.keys():
        raise FormatError(where, f"must have exactly the fields {', '.join(rules)}")
    for name, accepts in rules.items():
        if not accepts(value[name]):
            raise FormatError(where, f"{name!r} is out of bounds")
    return dict(value)
