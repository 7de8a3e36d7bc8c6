"""Arguments of the wrong type are named before they do harm."""

from __future__ import annotations

import math
import operator
from typing import Any

from veracity.errors import UsageError

__all__ = ["require_number", "require_settings", "require_type", "require_whole"]


def require_type(name: str, value: object, *kinds: type, optional: bool = False) -> None:
    """Raise :class:`UsageError` unless an argument is of one of these types.

    Parameters
    ----------
    name : str
        The argument's name.
    value : object
        What was given.
    kinds : type
        What it may be.
    optional : bool
        Whether None will do.
    """
    if isinstance(value, kinds) or (optional and value is None):
        return
    wanted = " or ".join(kind.__name__ for kind in kinds)
    raise UsageError(f"{name!r} must be {wanted}, not {type(value).__name__}")


def require_whole(name: str, value: Any, least: int = 0, *, optional: bool = False) -> None:
    """Raise :class:`UsageError` unless an argument is a whole number.

    Parameters
    ----------
    name : str
        The argument's name.
    value : object
        What was given.
    least : int
        The smallest that will do.
    optional : bool
        Whether None will do.
    """
    if optional and value is None:
        return
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None:
        raise UsageError(f"{name!r} must be int, not {type(value).__name__}")
    if number < least:
        raise UsageError(f"{name!r} is {number}; give at least {least}")


def require_number(name: str, value: Any, least: float = 0.0) -> None:
    """Raise :class:`UsageError` unless an argument is a number that is neither NaN nor infinite.

    Parameters
    ----------
    name : str
        The argument's name.
    value : object
        What was given.
    least : float
        The smallest that will do.
    """
    try:
        number = None if isinstance(value, bool | str | bytes) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = None
    if number is None:
        raise UsageError(f"{name!r} must be a number, not {type(value).__name__}")
    if not math.isfinite(number) or number < least:
        raise UsageError(f"{name!r} is {number}; give a number of at least {least:g}")


def require_settings(threads: object, backend: object, progress: object = print) -> None:
    """Raise :class:`UsageError` unless what all long calls share is of the right types.

    Parameters
    ----------
    threads : object
        A whole number, or None.
    backend : object
        A name.
    progress : object
        A function.
    """
    require_whole("threads", threads, 1, optional=True)
    require_type("backend", backend, str)
    if not callable(progress):
        raise UsageError(f"'progress' must be a function, not {type(progress).__name__}")
