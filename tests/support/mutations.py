"""Hostile bytes made from honest ones, and what a parser may do with them.

A parser of foreign bytes raises the errors of its contract and nothing else, takes little time and
memory whatever lengths its input announces, and where its format is canonical accepts no second
encoding. ``VERACITY_FUZZ_EXAMPLES`` says how many examples a target tries.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from veracity.errors import FormatError

#: Examples of a target.
EXAMPLES = int(os.environ.get("VERACITY_FUZZ_EXAMPLES", "80"))
#: Seconds of processor time and bytes of memory beyond today's that one small input may cost.
SECONDS = 5.0
MEMORY = 256 << 20

T = TypeVar("T")

fuzz = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

_LENGTHS = st.builds(
    lambda bits, off: max(0, (1 << bits) + off),
    st.sampled_from([0, 2, 3, 8, 15, 16, 20, 26, 31, 32, 40, 63, 64]),
    st.integers(-1, 1),
)


@st.composite
def mutated(draw: st.DrawFn, honest: Sequence[bytes], most: int = 3) -> bytes:
    """One of some honest inputs after a few changes.

    Parameters
    ----------
    honest : sequence of bytes
        What to start from, and what pieces are taken from.
    most : int
        Changes at most; a length field is often only reached with the others left alone.
    """
    data = bytearray(draw(st.sampled_from(honest)))
    for _ in range(draw(st.integers(1, most))):
        at = draw(st.integers(0, len(data)))
        change = draw(st.sampled_from(["flip", "flip", "length", "cut", "splice", "drop", "add"]))
        if change == "flip" and at < len(data):
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif change == "length":
            size = draw(st.sampled_from([1, 2, 4, 8]))
            value = draw(_LENGTHS | st.integers(0, len(data) + 2)) % (1 << 8 * size)
            data[at : at + size] = value.to_bytes(size, "little")
        elif change == "cut":
            del data[at:]
        elif change == "splice":
            other = draw(st.sampled_from(honest))
            start = draw(st.integers(0, len(other)))
            end = draw(st.integers(start, len(other)))
            keep = at + (end - start if draw(st.booleans()) else 0)
            data[at:keep] = other[start:end]
        elif change == "drop":
            del data[at : at + draw(st.integers(1, 16))]
        else:
            data[at:at] = draw(st.binary(min_size=1, max_size=16))
    return bytes(data)


_LEAVES: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 70),
    st.sampled_from([1 << 20, 1 << 31, 1 << 32, 1 << 63, -(1 << 63), 1 << 64, 10**40]),
    st.sampled_from([0.5, -0.0, 1e300, float("inf"), float("nan")]),
    st.text(max_size=4),
    st.sampled_from(["", "10000", "1e999", "nan", "\ud800", "9" * 400, [], {}, [[]], [0], [None]]),
)


@st.composite
def changed(draw: st.DrawFn, honest: Any, most: int = 2) -> Any:
    """Plain data of JSON's kinds with a few values replaced, moved, left out or added.

    Parameters
    ----------
    honest : object
        What to start from; it is not changed itself.
    most : int
        Changes at most.
    """
    value = honest
    for _ in range(draw(st.integers(1, most))):
        path = _a_path(draw, value)
        other = honest
        for key in _a_path(draw, honest):
            other = other[key]
        change = draw(st.sampled_from(["leaf", "leaf", "leaf", "move", "drop", "add"]))
        value = _at(value, path, change, draw(_LEAVES) if change in ("leaf", "add") else other)
    return value


def _a_path(draw: st.DrawFn, value: Any) -> list[Any]:
    path: list[Any] = []
    while isinstance(value, dict | list) and value and (not path or draw(st.integers(0, 5))):
        key = draw(st.sampled_from(sorted(value) if isinstance(value, dict) else range(len(value))))
        path.append(key)
        value = value[key]
    return path


def _at(value: Any, path: Sequence[Any], change: str, new: Any) -> Any:
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    key, *rest = path
    if rest:
        copy[key] = _at(value[key], rest, change, new)
    elif change == "drop":
        del copy[key]
    elif change == "add" and isinstance(copy, dict):
        copy[f"{key}_"] = new
    elif change == "add":
        copy.insert(key, new)
    else:
        copy[key] = new
    return copy


@contextmanager
def bounded() -> Iterator[None]:
    """Fails where more than the time or the memory of one small input is used."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    start = time.process_time()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    spent = time.process_time() - start
    assert spent < SECONDS, f"{spent:.1f} s for one input"


def parsed(parse: Callable[[], T], *errors: type[Exception]) -> T | None:
    """What a parser gives; None where it refuses with one of these errors, or a FormatError."""
    with bounded():
        try:
            return parse()
        except (FormatError, *errors):
            return None
