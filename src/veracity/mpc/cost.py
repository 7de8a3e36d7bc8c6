"""What an operation costs: declared by every operation, measured by its test."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from operator import attrgetter

__all__ = ["Cost", "sum_of"]


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Messages and bytes of one operation; costs of operations add.

    Parameters
    ----------
    exchanges : int
        Times that both parties send to each other at once.
    one_way : int
        Messages that only one party sends. ``exchanges + one_way`` one-way trips follow each other
        where nothing is sent ahead; half of that is the number of round trips.
    bytes_to_owner, bytes_to_user : int
        Payload online, without headers.
    offline_bytes_owner, offline_bytes_user : int
        Payload that reaches a party before its input exists, from the dealer or the other party.
    """

    exchanges: int = 0
    one_way: int = 0
    bytes_to_owner: int = 0
    bytes_to_user: int = 0
    offline_bytes_owner: int = 0
    offline_bytes_user: int = 0

    def __add__(self, other: Cost) -> Cost:
        """Both, one after the other."""
        return sum_of((self, other))

    def __mul__(self, times: int) -> Cost:
        """The same, several times."""
        return Cost(**{f.name: getattr(self, f.name) * times for f in fields(Cost)})

    @property
    def round_trips(self) -> float:
        """Latency in round trips, where nothing is sent ahead."""
        return (self.exchanges + self.one_way) / 2

    @property
    def online_bytes(self) -> int:
        """Payload of both directions online."""
        return self.bytes_to_owner + self.bytes_to_user


_NAMES = [field.name for field in fields(Cost)]
_ALL = attrgetter(*_NAMES)


def sum_of(costs: Iterable[Cost]) -> Cost:
    """All of them, one after the other: thousands for a pass."""
    sums = map(sum, zip(*map(_ALL, costs), strict=True))
    return Cost(**dict(zip(_NAMES, sums, strict=False)))
