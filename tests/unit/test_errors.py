"""Errors go from process to process as they are."""

from __future__ import annotations

import copy
import inspect
import pickle

import pytest

from veracity import errors
from veracity.errors import MismatchError, VeracityError

KINDS = [getattr(errors, name) for name in errors.__all__]


def made(kind: type[VeracityError]) -> VeracityError:
    if kind.__init__ is Exception.__init__:
        return kind("what happened")
    names = [name for name in inspect.signature(kind.__init__).parameters if name != "self"]
    return kind(*(f"the {name}" for name in names))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_every_error_survives_pickling(kind: type[VeracityError], protocol: int) -> None:
    error = made(kind)
    error.add_note("while proving")
    for again in (pickle.loads(pickle.dumps(error, protocol)), copy.deepcopy(error)):
        assert type(again) is kind
        assert str(again) == str(error)
        assert again.args == error.args
        assert vars(again) == vars(error)


@pytest.mark.parametrize(
    ("expected", "proved", "at"),
    [("abc", "abd", 2), ("abc", "ab", 2), ("", "x", 0), ("ab", "abc", 2), ("a", "b", 0)],
)
def test_a_mismatch_knows_where_texts_part(expected: str, proved: str, at: int) -> None:
    error = MismatchError("answer", expected, proved)
    assert error.first_difference == at
    assert expected not in str(error) or len(expected) < 2
