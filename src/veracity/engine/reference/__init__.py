"""The reference engine: Python integers, slow, obviously right; a verifier needs no other."""

from __future__ import annotations

from veracity.engine.api import Fss, Integers, Ring
from veracity.engine.reference.field import ReferenceField
from veracity.engine.reference.fss import ReferenceFss
from veracity.engine.reference.group import ReferenceGroup
from veracity.engine.reference.integers import ReferenceIntegers
from veracity.engine.reference.ring import ReferenceRing

__all__ = ["ReferenceEngine"]


class ReferenceEngine(ReferenceField, ReferenceGroup):
    """All operations in Python integers; see :class:`engine.api.Engine`.

    Parameters
    ----------
    threads : int, optional
        Recorded and otherwise ignored.
    """

    name = "reference"

    def __init__(self, threads: int | None = None) -> None:
        self.threads = 1 if threads is None else threads
        self.ring: Ring = ReferenceRing()
        self.fss: Fss = ReferenceFss()
        self.integers: Integers = ReferenceIntegers()

    def keep_memory(self, limit: int, tree: int = 0) -> None:
        """Nothing is kept here."""

    def release_memory(self) -> None:
        """Nothing is kept here."""
