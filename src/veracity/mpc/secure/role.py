"""What the roles of a pass have in common: values in shares, values under masks, operations.

Every operation is one function that all roles run in the same order: the planner, on shapes alone;
the dealer, before any input exists, on masks; the owner and the user, later, on shares and on
masked values. A role supplies what differs, so no operation asks which role runs it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np

from veracity.engine.api import Engine, Fss
from veracity.errors import UsageError
from veracity.mpc.cost import Cost, sum_of
from veracity.mpc.party import Array

if TYPE_CHECKING:
    from veracity.mpc.secure.dealer import Dealer
    from veracity.mpc.secure.party import Party

__all__ = [
    "Local",
    "Map",
    "Masked",
    "Opened",
    "Opening",
    "Role",
    "Secret",
    "Then",
    "Use",
    "at_once",
    "shape_only",
]

Map = Callable[[Array], Array]
Shape = tuple[int, ...]
#: A weight by name, as a matrix (n, k) or as one factor for every feature.
Use = tuple[str, Literal["matrix", "gain"]]
T = TypeVar("T")


@lru_cache(maxsize=1024)
def shape_only(shape: int | Shape) -> Array:
    """Zeros of a shape without memory: where only the shape counts."""
    return np.broadcast_to(np.uint64(0), shape)


@dataclass(frozen=True)
class Secret:
    """A shared value: this party's share; nothing but the shape at dealer and planner."""

    share: Array

    @property
    def shape(self) -> Shape:
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
        The party's share of r once it has one; elsewhere whether the parties have theirs.
    """

    value: Array
    share: Array | None = None

    @property
    def shape(self) -> Shape:
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


@dataclass(frozen=True)
class Opening:
    """A value to open: ``secret / 2^shift``, where ``|secret| < 2^(bits - 1)``."""

    secret: Secret
    shift: int = 0
    bits: int = 64


Opened = list[Masked]
Then = Callable[[Opened], Sequence[Opening]]


@dataclass(frozen=True, eq=False)
class Local(ABC):
    """An operation without a message: material from the dealer, a share at each party.

    Attributes
    ----------
    shape : tuple of int
        Of the result.
    """

    shape: Shape

    @abstractmethod
    def deal(self, dealer: Dealer) -> None:
        """Write both parties' material."""

    @abstractmethod
    def run(self, party: Party) -> Array:
        """The party's share of the result."""


@dataclass(eq=False)
class Role(ABC):
    """The planner, the dealer, the owner or the user during a pass.

    Parameters
    ----------
    engine : Engine
        What computes.

    Attributes
    ----------
    fss : Fss
        What makes and evaluates keys; at dealer and parties keyed by the pass's label.
    charges : list of (str, Cost)
        Kind and declared cost of every operation so far: added up where somebody asks, not between
        two messages.
    """

    engine: Engine
    fss: Fss = field(init=False)
    charges: list[tuple[str, Cost]] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self.fss = self.engine.fss

    def charge(self, kind: str, cost: Cost) -> None:
        """Note an operation's declared cost."""
        self.charges.append((kind, cost))

    @property
    def cost(self) -> Cost:
        """Declared cost of all operations so far."""
        return sum_of(cost for _, cost in self.charges)

    @property
    def by_kind(self) -> dict[str, Cost]:
        """The same by kind of operation."""
        kinds = dict.fromkeys(kind for kind, _ in self.charges)
        return {one: sum_of(c for kind, c in self.charges if kind == one) for one in kinds}

    @abstractmethod
    async def open(self, items: Sequence[Opening]) -> list[Masked]:
        """Open values under fresh masks, in one exchange."""

    async def open_ahead(self, first: Sequence[Opening], then: Then) -> tuple[Opened, Opened]:
        """Open values, and others whose shares the user has before it knows the first ones.

        Parameters
        ----------
        first : sequence of Opening
            What to open.
        then : callable
            What to open next, from what was opened; at the user it gets shapes only.
        """
        found = await self.open(first)
        return found, await self.open(then(found))

    @abstractmethod
    def share_mask(self, mask: Array) -> Array:
        """What ``Masked.share`` becomes: the party's share of a mask that the dealer has."""

    @abstractmethod
    def share_of(self, x: Masked) -> Secret:
        """Shares of an opened value whose mask is shared."""

    @abstractmethod
    def plus(self, x: Masked, constant: Array) -> Masked:
        """Add a public constant."""

    @abstractmethod
    def compute(self, operation: Local) -> Secret:
        """Run an operation that takes no message."""

    @abstractmethod
    def multiply(self, x: Masked, uses: Sequence[Use], shapes: Sequence[Shape]) -> list[Secret]:
        """Products of an opened value with weights.

        Parameters
        ----------
        x : Masked
            (rows, k).
        uses : sequence of (name, kind)
            Weights.
        shapes : sequence of tuple
            Of the results.
        """

    @abstractmethod
    async def multiply_secret(
        self, x: Secret, uses: Sequence[Use], shapes: Sequence[Shape]
    ) -> list[Secret]:
        """As :meth:`multiply`, for a value in shares.

        Parameters
        ----------
        x : Secret
            (rows, k).
        uses : sequence of (name, kind)
            Weights.
        shapes : sequence of tuple
            Of the results.
        """

    @abstractmethod
    def from_owner(self, shape: Shape, value: Callable[[], Array]) -> Secret:
        """A value that the owner knows; nobody else calls ``value``."""

    @abstractmethod
    def from_user(self, shape: Shape, value: Callable[[], Array]) -> Secret:
        """A value that the user knows; nobody else calls ``value``."""

    @abstractmethod
    async def disclose(self, word: Secret, bits: int) -> int | None:
        """The low bits of a word, (1,), at the user; None elsewhere, and without a result."""


def at_once(work: Coroutine[Any, Any, T]) -> T:
    """The result of operations at a role that waits for nobody: the planner or the dealer.

    Raises
    ------
    UsageError
        Where it waits all the same.
    """
    try:
        work.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    work.close()
    raise UsageError("this role waits for nobody")
