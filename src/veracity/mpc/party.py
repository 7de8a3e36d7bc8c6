"""What all three roles have in common, and the two parties that meet online.

Every operation is one function that all roles run in the same order: the dealer, before any input
exists, on masks alone; the owner and the user, later, on shares and on masked values. A role
supplies what differs. ``x = x0 + x1`` modulo 2^64, ``x0`` at the owner (0), ``x1`` at the user (1).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from veracity.engine.api import Engine
from veracity.mpc.cost import Cost
from veracity.mpc.material import Material
from veracity.net import Channel

__all__ = ["OWNER", "USER", "Array", "Map", "Masked", "Party", "Role", "Secret", "hollow"]

Array = NDArray[np.uint64]
Map = Callable[[Array], Array]
OWNER, USER = 0, 1


@lru_cache(maxsize=1024)
def hollow(shape: int | tuple[int, ...]) -> Array:
    """Zeros of a shape without memory: where only the shape counts."""
    return np.broadcast_to(np.uint64(0), shape)


@dataclass(frozen=True)
class Secret:
    """A shared value: this party's share; nothing but the shape at the dealer."""

    share: Array

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the value."""
        return self.share.shape

    def map(self, f: Map) -> Secret:
        """Apply a map that is linear modulo 2^64."""
        return Secret(f(self.share))

    def __add__(self, other: Secret) -> Secret:
        return Secret(self.share + other.share)

    def __sub__(self, other: Secret) -> Secret:
        return Secret(self.share - other.share)


@dataclass(eq=False)
class Masked:
    """A value under a mask, ``x = c - r`` modulo 2^64: c is public, r is the dealer's.

    Attributes
    ----------
    value : uint64 array
        c at a party, r at the dealer: linear maps treat both alike.
    share : uint64 array or None
        The party's share of r once it has one; at the dealer whether the parties have theirs.
    """

    value: Array
    share: Array | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the value."""
        return self.value.shape

    def map(self, f: Map, exact: bool = True) -> Masked:
        """Apply a map; ``exact`` if it is linear modulo 2^64, and not just nearly linear."""
        return Masked(f(self.value), f(self.share) if exact and self.share is not None else None)

    def __add__(self, other: Masked) -> Masked:
        return self._both(other, np.add)

    def __sub__(self, other: Masked) -> Masked:
        return self._both(other, np.subtract)

    def _both(self, other: Masked, f: Callable[[Array, Array], Array]) -> Masked:
        known = self.share is not None and other.share is not None
        share = f(self.share, other.share) if known else None  # type: ignore[arg-type]
        return Masked(f(self.value, other.value), share)


@dataclass(eq=False)
class Role:
    """Base of the parties and the dealer.

    Parameters
    ----------
    engine : Engine
        What computes.

    Attributes
    ----------
    cost : Cost
        Declared cost of all operations so far.
    by_kind : dict
        The same by kind of operation.
    """

    engine: Engine
    cost: Cost = field(default_factory=Cost, init=False)
    by_kind: dict[str, Cost] = field(default_factory=dict, init=False)

    def charge(self, kind: str, cost: Cost) -> None:
        """Note an operation's declared cost."""
        self.cost = self.cost + cost
        self.by_kind[kind] = self.by_kind.get(kind, Cost()) + cost


@dataclass(eq=False)
class Party(Role):
    """The owner or the user during a pass.

    Parameters
    ----------
    engine : Engine
        What computes.
    index : int
        OWNER or USER.
    channel : Channel
        To the other party.
    material : Material
        For this pass.
    weights : mapping
        The weights as integers at the owner; masked, uint64, at the user.
    prepared : dict
        At the user: products of masked weights and masks, by label of the mask.
    tag : int
        Tag of the next message.

    Attributes
    ----------
    overflow : bool
        Whether a mask wrapped around where it must not (see :mod:`veracity.mpc.secure.opening`):
        the pass then has no result and is repeated.
    """

    index: int
    channel: Channel
    material: Material
    weights: Mapping[str, NDArray[np.integer]]
    prepared: dict[int, list[Array]] = field(default_factory=dict)
    tag: int = 1
    overflow: bool = False

    def next_tag(self) -> int:
        """Number the messages of a session."""
        self.tag += 1
        return self.tag

    def watch(self, c: Array, bits: int) -> None:
        """Note whether a mask may have wrapped around a value of so many bits: c below 2^bits."""
        self.overflow |= bool((c < np.uint64(1 << bits)).any())

    def mine(self, public: Array) -> Array:
        """A share of a public value."""
        return public if self.index == OWNER else np.zeros_like(public)
