"""What a model's file says about its arithmetic: nothing of it is ignored.

A reader takes settings one by one; :meth:`Settings.finish` refuses those that nobody took and that
are not known to be harmless, because a setting that is ignored may change every answer.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

from veracity.errors import FormatError, UnsupportedModelError

__all__ = ["MALFORMED", "Settings"]

#: What values of the wrong types and shapes raise where no check names them.
MALFORMED = (
    TypeError, ValueError, ZeroDivisionError, OverflowError, IndexError, AttributeError,
    RecursionError,
)  # fmt: skip

_ABSENT = object()
#: The largest whole number that a setting may have, and where tables are made for as many the
#: largest that any model has: what is beyond is refused before they are made.
MAX_WHOLE, MAX_LAYERS, MAX_HEADS, MAX_HEAD = (1 << 31) - 1, 1 << 11, 1 << 13, 1 << 13
_MOST = {
    **dict.fromkeys(
        ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "block_count"), MAX_LAYERS
    ),
    **dict.fromkeys(
        ("num_attention_heads", "n_head", "n_heads", "num_heads", "attention.head_count"),
        MAX_HEADS,
    ),
    **dict.fromkeys(("head_dim", "attention.key_length"), MAX_HEAD),
}


class Settings:
    """Settings of one file, and which of them were taken.

    Parameters
    ----------
    where : str
        The file, for messages.
    facts : mapping
        Names and values.
    """

    def __init__(self, where: str, facts: Mapping[str, Any]) -> None:
        self.where = where
        self._facts = facts
        self._taken: set[str] = set()

    def take(self, *names: str, default: Any = _ABSENT) -> Any:
        """The value under the first of some names that is there and not null.

        Raises
        ------
        FormatError
            Where none is there and no default is given, or two contradict each other.
        """
        self._taken |= set(names)
        found = [(n, self._facts[n]) for n in names if self._facts.get(n) is not None]
        if any(value != found[0][1] for _, value in found):
            (one, a), (other, b) = found[0], next(f for f in found if f[1] != found[0][1])
            raise FormatError(
                self.where, f"{one} = {a!r} and {other} = {b!r} contradict each other"
            )
        if not found and default is _ABSENT:
            raise FormatError(self.where, f"{names[0]} is missing")
        return found[0][1] if found else default

    def whole(self, *names: str, default: Any = _ABSENT) -> int:
        """A whole number of at least 1, and at most what any model has of it."""
        value = self.take(*names, default=default)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        most = min(_MOST.get(name, MAX_WHOLE) for name in names)
        if type(value) is not int or not 1 <= value <= most:
            raise FormatError(self.where, f"{names[0]} = {value!r} is no sensible number")
        return value

    def number(self, *names: str, default: Any = _ABSENT) -> float:
        """A finite number."""
        value = self.take(*names, default=default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise FormatError(self.where, f"{names[0]} = {value!r} is no number")
        if not math.isfinite(value):
            raise FormatError(self.where, f"{names[0]} is not finite")
        return float(value)

    def flag(self, *names: str, default: bool) -> bool:
        """True or false; null is false, and refused where that is not what a missing one is."""
        value = self.take(*names, default=default)
        if default and value is True and any(self._facts.get(n, n) is None for n in names):
            raise FormatError(self.where, f"{names[0]} = null is neither true nor false")
        if not isinstance(value, bool):
            raise FormatError(self.where, f"{names[0]} = {value!r} is neither true nor false")
        return value

    def only(self, allowed: Mapping[str, Collection[Any]]) -> None:
        """Refuse values other than these; what is absent or null is fine.

        Raises
        ------
        UnsupportedModelError
        """
        for name, values in allowed.items():
            value = self.take(name, default=None)
            if value is not None and value not in values:
                usual = next(iter(values), None)
                remedy = "remove it" if usual is None else f"only {name} = {usual!r} works"
                raise UnsupportedModelError(self.where, f"{name} = {value!r}", remedy)

    def part(self, name: str) -> Settings | None:
        """Settings that are grouped under a name."""
        value = self.take(name, default=None)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise FormatError(self.where, f"{name} is no group of settings")
        return Settings(f"{self.where}, {name}", value)

    def has(self, name: str) -> bool:
        """Whether a setting is there."""
        return self._facts.get(name) is not None

    def was_taken(self, name: str) -> bool:
        """Whether a setting was asked for already."""
        return name in self._taken

    def is_null(self, name: str) -> bool:
        """Whether a setting is there and says none, which is not what a missing one says."""
        return self._facts.get(name, name) is None

    def finish(self, harmless: Collection[str] = ()) -> None:
        """Refuse what nobody took, unless it is known to change nothing.

        Raises
        ------
        UnsupportedModelError
            Names the first such setting.
        """
        left = sorted(set(self._facts) - self._taken - set(harmless))
        left = [name for name in left if self._facts[name] is not None]
        if left:
            raise UnsupportedModelError(
                self.where,
                f"the setting {left[0]} = {_short(self._facts[left[0]])}",
                "it may change the answers; remove it if it does not",
            )


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
