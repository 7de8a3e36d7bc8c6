"""Frozen dataclasses that are quick to define: classes of values that never change once made.

``dataclass(frozen=True)`` compiles six methods for every class, which for the classes that a
verifier loads takes a tenth of what it takes to check a small proof. A record compiles one, its
constructor; the others are the same function for all records. ``fields``, ``replace`` and
``asdict`` of :mod:`dataclasses` take records like other dataclasses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, Field, FrozenInstanceError, dataclass, field, fields
from operator import attrgetter
from typing import Any, TypeVar, dataclass_transform, overload

__all__ = ["record"]

Kind = TypeVar("Kind", bound=type[Any])


class _Made:
    """Stands in a signature for a default that is made anew for each record."""

    def __repr__(self) -> str:
        return "<factory>"


_MADE = _Made()


@overload
def record(kind: Kind, /) -> Kind: ...


@overload
def record(*, eq: bool = True, kw_only: bool = False) -> Callable[[Kind], Kind]: ...


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def record(
    kind: Kind | None = None, /, *, eq: bool = True, kw_only: bool = False
) -> Kind | Callable[[Kind], Kind]:
    """Make a class a frozen dataclass; what it derives from has to be records, too.

    Parameters
    ----------
    kind : type, optional
        The class; without it, what decorates one is returned.
    eq : bool
        Whether records of equal fields are equal, and hash alike; else each equals itself only.
    kw_only : bool
        Whether the constructor takes names only.
    """

    def made(kind: Kind) -> Kind:
        methods = set(vars(kind))
        dataclass(init=False, repr=False, eq=False, kw_only=kw_only)(kind)
        own = fields(kind)
        found = [_constructor(kind, own), *_freezing(kind, own), _shown(own)]
        for method in (*found, *(_comparing(own) if eq else ())):
            if method.__name__ not in methods:
                method.__qualname__ = f"{kind.__qualname__}.{method.__name__}"
                setattr(kind, method.__name__, method)
        return kind

    return made if kind is None else made(kind)


def _constructor(kind: type[Any], own: tuple[Field[Any], ...]) -> Callable[..., None]:
    """``__init__``, compiled: records are made far more often than kinds of them."""
    scope: dict[str, Any] = {"_put": object.__setattr__, "_MADE": _MADE}
    parameters, body = ["self"], []
    given = [f for f in own if f.init]
    for one in sorted(given, key=lambda f: bool(f.kw_only)):
        if one.kw_only and "*" not in parameters:
            parameters.append("*")
        default = ""
        if one.default_factory is not MISSING:
            default = "=_MADE"
            scope[f"_make_{one.name}"] = one.default_factory
        elif one.default is not MISSING:
            default = f"=_default_{one.name}"
            scope[f"_default_{one.name}"] = one.default
        parameters.append(one.name + default)
    for one in own:
        value = one.name
        if one.default_factory is not MISSING:
            made = f"_make_{value}()"
            value = f"{made} if {value} is _MADE else {value}" if one.init else made
        elif not one.init:
            continue
        body.append(f" _put(self, {one.name!r}, {value})")
    if hasattr(kind, "__post_init__"):
        body.append(" self.__post_init__()")
    text = "\n".join([f"def __init__({', '.join(parameters)}):", *(body or [" pass"])])
    exec(text, scope)  # noqa: S102 (names of fields, as dataclasses does it)
    found: Callable[..., None] = scope["__init__"]
    found.__annotations__ = {**{f.name: f.type for f in given}, "return": None}
    return found


def _getter(names: list[str]) -> Callable[[Any], Any]:
    """What gives the values of these fields, to be compared with another record's."""
    return attrgetter(*names) if names else lambda _: ()


def _freezing(kind: type[Any], own: tuple[Field[Any], ...]) -> tuple[Callable[..., None], ...]:
    names = frozenset(f.name for f in own)

    def __setattr__(self: Any, name: str, value: Any) -> None:  # noqa: N807
        if type(self) is kind or name in names:
            raise FrozenInstanceError(f"cannot assign to field {name!r}")
        super(kind, self).__setattr__(name, value)

    def __delattr__(self: Any, name: str) -> None:  # noqa: N807
        if type(self) is kind or name in names:
            raise FrozenInstanceError(f"cannot delete field {name!r}")
        super(kind, self).__delattr__(name)

    return __setattr__, __delattr__


def _shown(own: tuple[Field[Any], ...]) -> Callable[[Any], str]:
    names = [f.name for f in own if f.repr]

    def __repr__(self: Any) -> str:  # noqa: N807
        told = ", ".join(f"{name}={getattr(self, name)!r}" for name in names)
        return f"{type(self).__qualname__}({told})"

    return __repr__


def _comparing(own: tuple[Field[Any], ...]) -> tuple[Callable[..., Any], ...]:
    compared = _getter([f.name for f in own if f.compare])
    hashed = _getter([f.name for f in own if (f.compare if f.hash is None else f.hash)])

    def __eq__(self: Any, other: object) -> Any:  # noqa: N807
        if type(other) is not type(self):
            return NotImplemented
        return compared(self) == compared(other)

    def __hash__(self: Any) -> int:  # noqa: N807
        return hash(hashed(self))

    return __eq__, __hash__
