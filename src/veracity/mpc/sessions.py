"""What the sessions of all modes share: names, labels of material, the order of passes.

A session is bound to a program by its digest and has a fresh name; every pass has a number, and
all of that is in the label of its material. A party uses a label and a seed once.
"""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.engine.api import Engine
from veracity.errors import PeerError, UsageError, VeracityError
from veracity.graph.program import Program
from veracity.mpc.cost import Cost
from veracity.mpc.decoder import context_of, vocabulary_of
from veracity.mpc.material import Label, Material, ReplayRegistry, Sink
from veracity.mpc.party import OWNER, USER, Array
from veracity.net import Channel

__all__ = ["DealerSession", "Dealt", "Integers", "Outcome", "PartySession", "Ready"]

Integers = Mapping[str, NDArray[np.integer]]


@dataclass(frozen=True)
class Dealt:
    """Material of one pass for one party: where the explicit pieces went is the sink's matter."""

    label: Label
    seed: bytes
    size: int = 0


@dataclass(frozen=True)
class Outcome:
    """How a pass ended: the token at the user, if it has a result at all.

    With a ``fault`` the token means nothing, and only the user knows: it goes on, and tells at the
    end, as a session that breaks off would show the owner where.
    """

    done: bool
    token: int | None
    fault: VeracityError | None = None


@dataclass(frozen=True)
class Ready:
    """A pass that waits for its tokens; ``side`` is the mode's own state of it."""

    label: Label
    side: Any


@dataclass(eq=False)
class DealerSession(ABC):
    """The dealer of one session.

    Parameters
    ----------
    engine : Engine
        What computes.
    program : Program
        Public shape of the model.
    weights : mapping
        From :class:`veracity.mpc.weights.MaskTable`.
    name : bytes
        16 bytes, fresh.

    Attributes
    ----------
    number : int
        Passes dealt so far.
    fed : int
        Tokens dealt for so far.
    """

    engine: Engine
    program: Program
    weights: Mapping[str, Array]
    name: bytes = field(default_factory=lambda: secrets.token_bytes(16))
    number: int = field(default=0, init=False)
    fed: int = field(default=0, init=False)

    def deal(self, start: int, rows: int, owner: Sink, user: Sink) -> tuple[Dealt, Dealt]:
        """Write one pass's material for both parties: :meth:`begin` and :meth:`fill`.

        Parameters
        ----------
        start, rows : int
            As for :meth:`begin`.
        owner, user : Sink
            As for :meth:`fill`.

        Raises
        ------
        PeerError
            For a pass that cannot follow.
        """
        return self.fill(self.begin(start, rows), owner, user)

    def begin(self, start: int, rows: int) -> tuple[Dealt, Dealt]:
        """Name a pass and draw its seeds.

        Parameters
        ----------
        start : int
            At most the number of tokens dealt for: less to repeat a pass, or to feed others.
        rows : int
            Tokens that the pass feeds.

        Raises
        ------
        PeerError
            For a pass that cannot follow.
        """
        context = context_of(self.program)
        if not (0 <= start <= self.fed and rows >= 1 and start + rows <= context):
            raise PeerError("a pass that does not follow the session's earlier ones")
        self.number += 1
        model = bytes.fromhex(self.program.digest)
        to_owner, to_user = (
            Dealt(Label(model, self.name, self.number, start, rows, party), secrets.token_bytes(32))
            for party in (OWNER, USER)
        )
        return to_owner, to_user

    def fill(self, begun: tuple[Dealt, Dealt], owner: Sink, user: Sink) -> tuple[Dealt, Dealt]:
        """Write the explicit pieces of a pass.

        Parameters
        ----------
        begun : tuple of Dealt
            From :meth:`begin`, of this pass.
        owner, user : Sink
            Where each party's material goes.
        """
        label, seeds = begun[OWNER].label, (begun[OWNER].seed, begun[USER].seed)
        sizes = self.write(label.start, label.rows, seeds, (owner, user))
        self.fed = label.start + label.rows
        to_owner, to_user = (
            replace(one, size=size) for one, size in zip(begun, sizes, strict=True)
        )
        return to_owner, to_user

    @abstractmethod
    def write(
        self, start: int, rows: int, seeds: tuple[bytes, bytes], sinks: tuple[Sink, Sink]
    ) -> tuple[int, int]:
        """Write the explicit pieces of a pass; returns their bytes.

        Parameters
        ----------
        start, rows : int
            Position of the pass's first token, and how many it feeds.
        seeds : tuple of bytes
            The owner's and the user's, fresh.
        sinks : tuple of Sink
            Where each party's pieces go.
        """


@dataclass(eq=False)
class PartySession(ABC):
    """The owner or the user of one session.

    Parameters
    ----------
    engine : Engine
        What computes.
    index : int
        OWNER or USER.
    program : Program
        The model.
    channel : Channel
        To the other party.
    weights : mapping
        From :func:`veracity.mpc.weights.owner_weights` or ``user_weights``.
    plain : mapping
        All weights at the owner (biases, positions); empty at the user.
    registry : ReplayRegistry
        Refuses material that was used before.
    name : bytes, optional
        The session that the material has to be for; that of the first material if not given.

    Attributes
    ----------
    fed : int
        Tokens fed so far.
    number : int
        Of the last pass.
    declared : Cost
        Sum of the declared costs of all passes, and of what came before them.
    """

    engine: Engine
    index: int
    program: Program
    channel: Channel
    weights: Integers
    plain: Integers = field(default_factory=dict)
    registry: ReplayRegistry = field(default_factory=ReplayRegistry)
    name: bytes | None = None
    fed: int = field(default=0, init=False)
    number: int = field(default=0, init=False)
    declared: Cost = field(default_factory=Cost, init=False)

    async def introduce(self) -> None:
        """What happens once, before the first pass: nothing, where a mode says nothing else."""
        return

    async def ready(self, label: Label, material: Material) -> Ready:
        """All of a pass that needs no tokens.

        Parameters
        ----------
        label : Label
            What the material is for.
        material : Material
            From the dealer.

        Raises
        ------
        PeerError
            Where the material is for another pass, or the other party is gone.
        UsageError
            Where the material was used before.
        """
        self.name = self.name or label.session
        fits = (
            label.model == bytes.fromhex(self.program.digest)
            and label.session == self.name
            and label.party == self.index
            and label.number > self.number
            and label.start <= self.fed
            and label.rows >= 1
            and label.start + label.rows <= context_of(self.program)
        )
        if not fits:
            raise PeerError("the dealer's material is for another pass")
        self.number = label.number
        self.registry.use(label, material.seed)
        return Ready(label, await self.prepare(label, material))

    async def run(self, ready: Ready, tokens: Sequence[int] = ()) -> Outcome:
        """The pass, once its tokens exist.

        Parameters
        ----------
        ready : Ready
            From :meth:`ready`.
        tokens : sequence of int
            What to feed, at the user.

        Raises
        ------
        PeerError, UsageError
        """
        label = ready.label
        if label.number != self.number:
            raise UsageError("passes run in the order in which they were made ready")
        if self.index == USER:
            known = all(0 <= t < vocabulary_of(self.program) for t in tokens)
            if len(tokens) != label.rows or not known:
                raise UsageError("the tokens do not fit the pass that was prepared")
        outcome = await self.evaluate(ready, tokens)
        if outcome.done:
            self.fed = label.start + label.rows
        return outcome

    @abstractmethod
    async def prepare(self, label: Label, material: Material) -> Any:
        """The mode's part of :meth:`ready`; returns its state of the pass."""

    @abstractmethod
    async def evaluate(self, ready: Ready, tokens: Sequence[int]) -> Outcome:
        """The mode's part of :meth:`run`; adds the pass's cost to what is declared."""
