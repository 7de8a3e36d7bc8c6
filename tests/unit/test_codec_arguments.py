"""Arguments of the wrong type or size are named, and the right ones pass."""

from __future__ import annotations

import math

import numpy as np
import pytest

from veracity.codec.arguments import (
    require_number,
    require_settings,
    require_type,
    require_whole,
)
from veracity.errors import UsageError


def test_types_are_named() -> None:
    require_type("path", "x", str, bytes)
    require_type("path", None, str, optional=True)
    with pytest.raises(UsageError, match="'path' must be str or bytes, not int"):
        require_type("path", 3, str, bytes)
    with pytest.raises(UsageError, match="not NoneType"):
        require_type("path", None, str)


def test_whole_numbers_are_whole_and_large_enough() -> None:
    require_whole("tokens", 3, 3)
    require_whole("tokens", np.int64(3), 3)
    require_whole("tokens", None, optional=True)
    for wrong in (None, 3.0, "3", True, [3]):
        with pytest.raises(UsageError, match="'tokens' must be int, not"):
            require_whole("tokens", wrong)
    with pytest.raises(UsageError, match="'tokens' is 2; give at least 3"):
        require_whole("tokens", 2, 3)


def test_numbers_are_finite_and_large_enough() -> None:
    require_number("timeout", 0.5, 0.5)
    require_number("timeout", np.float32(1))
    for wrong in (None, "1", b"1", True, [1.0], 10**400):
        with pytest.raises(UsageError, match="'timeout' must be a number, not"):
            require_number("timeout", wrong)
    for odd in (math.nan, math.inf, -math.inf):
        with pytest.raises(UsageError, match="give a number of at least 0"):
            require_number("timeout", odd)
    with pytest.raises(UsageError, match=r"'timeout' is 0\.25"):
        require_number("timeout", 0.25, 0.5)


def test_what_long_calls_share() -> None:
    require_settings(None, "cpu")
    require_settings(2, "reference", print)
    with pytest.raises(UsageError, match="'threads' is 0; give at least 1"):
        require_settings(0, "cpu")
    with pytest.raises(UsageError, match="'backend' must be str"):
        require_settings(None, None)
    with pytest.raises(UsageError, match="'progress' must be a function, not str"):
        require_settings(None, "cpu", "loud")
