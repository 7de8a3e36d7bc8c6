"""Records are frozen dataclasses in all but how they are made."""

from __future__ import annotations

import copy
import inspect
import pickle
from dataclasses import FrozenInstanceError, asdict, dataclass, field, fields, replace
from functools import cached_property
from typing import Any

import pytest

from veracity.records import record


@record
class Point:
    """Two numbers and what is noted of them."""

    x: int
    y: int = 2
    notes: list[str] = field(default_factory=list, compare=False, repr=False)

    @cached_property
    def total(self) -> int:
        return self.x + self.y


@dataclass(frozen=True)
class PlainPoint:
    """The same as a dataclass."""

    x: int
    y: int = 2
    notes: list[str] = field(default_factory=list, compare=False, repr=False)


@record(kw_only=True)
class Named:
    """A base."""

    name: str


@record(kw_only=True)
class Shift(Named):
    """What derives from it."""

    bits: int = 3
    steps: tuple[int, ...] = field(init=False, default=(1,))

    def __post_init__(self) -> None:
        if self.bits < 0:
            raise ValueError("bits")


@record(eq=False)
class Alone:
    """Equal to itself only."""

    x: int


@record
class Empty:
    """Nothing."""


class Derived(Point):
    """What is no record."""


@record
class Own:
    """With methods of its own."""

    x: int

    def __repr__(self) -> str:
        return "own"

    def __hash__(self) -> int:
        return 7


def test_records_are_what_frozen_dataclasses_are() -> None:
    for arguments in ((1,), (1, 5), (1, 2, ["n"])):
        made, plain = Point(*arguments), PlainPoint(*arguments)
        assert repr(made) == repr(plain).replace("PlainPoint", "Point")
        assert asdict(made) == asdict(plain)
    assert [f.name for f in fields(Point)] == [f.name for f in fields(PlainPoint)]
    assert str(inspect.signature(Point)) == str(inspect.signature(PlainPoint))
    assert Point.__match_args__ == ("x", "y", "notes")
    assert Point(1).notes is not Point(1).notes
    assert replace(Point(1), y=4) == Point(1, 4)
    assert pickle.loads(pickle.dumps(Point(1, 3))) == copy.deepcopy(Point(1, 3)) == Point(1, 3)


def test_equal_records_hash_alike() -> None:
    assert Point(1, 2, ["a"]) == Point(1, 2, ["b"])
    assert hash(Point(1, 2, ["a"])) == hash(Point(1, 2, ["b"]))
    assert Point(1) != Point(2)
    assert Point(1) != PlainPoint(1)
    assert Point(1) != Derived(1)
    assert Empty() == Empty()
    assert Alone(1) != Alone(1)
    assert len({Alone(1), Alone(1), Empty(), Empty()}) == 3
    assert (repr(Own(1)), hash(Own(1)), Own(1) == Own(1)) == ("own", 7, True)


def test_records_never_change() -> None:
    point: Any = Point(1)
    assert point.total == 3  # what is cached is no field
    for name in ("x", "other"):
        with pytest.raises(FrozenInstanceError, match=f"cannot assign to field '{name}'"):
            setattr(point, name, 5)
        with pytest.raises(FrozenInstanceError, match=f"cannot delete field '{name}'"):
            delattr(point, name)
    derived: Any = Derived(1)
    derived.other = 4
    with pytest.raises(FrozenInstanceError):
        derived.x = 4
    with pytest.raises(FrozenInstanceError):
        del derived.x
    del derived.other
    assert derived == Derived(1)


def test_records_that_derive_from_others() -> None:
    made = Shift(name="a", bits=4)
    assert (made.name, made.bits, made.steps) == ("a", 4, (1,))
    assert repr(made) == "Shift(name='a', bits=4, steps=(1,))"
    assert str(inspect.signature(Shift)) == "(*, name: 'str', bits: 'int' = 3) -> None"
    with pytest.raises(ValueError, match="bits"):
        Shift(name="a", bits=-1)
    for arguments in ({}, {"name": "a", "more": 1}):
        with pytest.raises(TypeError):
            Shift(**arguments)
    with pytest.raises(TypeError):
        Point()  # type: ignore[call-arg]
