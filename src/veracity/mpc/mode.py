"""What a private mode is: how owner, user and dealer evaluate a program together."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

from veracity.engine.api import Engine
from veracity.graph.ops import Op
from veracity.graph.program import Program
from veracity.mpc.cost import Cost
from veracity.mpc.material import ReplayRegistry
from veracity.mpc.party import Array
from veracity.mpc.sessions import DealerSession, Integers, PartySession
from veracity.mpc.token_selection.pick import GREEDY, Chooser
from veracity.net import Channel

__all__ = ["Mode", "PassPlan", "Same"]


@dataclass(frozen=True)
class PassPlan:
    """A pass, costed before it is run.

    Attributes
    ----------
    rows, start : int
        Tokens fed, and fed before.
    cost : Cost
        Declared, all operations.
    repeat : float
        Upper bound of the probability that the pass has no result and is repeated.
    """

    rows: int
    start: int
    cost: Cost
    repeat: float


@dataclass(frozen=True, eq=False)
class Same:
    """A program and an engine by their identity, so that plans can be remembered."""

    program: Program
    engine: Engine

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Same)
            and other.program is self.program
            and other.engine is self.engine
        )

    def __hash__(self) -> int:
        return hash((id(self.program), id(self.engine)))


class Mode(ABC):
    """One way of private inference; all that the services know of it.

    Attributes
    ----------
    name : str
        What users write after ``--mode``.
    reveals : str
        What the user sees besides its tokens and shares; its page says more.
    noise_bits : int
        Noise that a user may add to the logits is below 2^noise_bits of the program's units; 0
        where it sees logits, and needs none.
    light : bool
        Whether a pass of one token computes so little between its messages that the loop which
        serves everybody may run it.
    streams : bool
        Whether material is dealt, and used, in the order of the pass: then it need not be stored.
    """

    name: str
    reveals: str
    noise_bits: int
    light: bool
    streams: bool

    @property
    @abstractmethod
    def rules(self) -> Mapping[type[Op], object]:
        """A rule for every op, or ``Unsupported(reason)``."""

    @abstractmethod
    def plan(self, engine: Engine, program: Program, rows: int, start: int) -> PassPlan:
        """What a pass declares to cost.

        Parameters
        ----------
        engine : Engine
            What computes.
        program : Program
            Public part of the model.
        rows, start : int
            Tokens that the pass feeds, and tokens fed before.

        Raises
        ------
        UnsupportedModelError
            Where the mode cannot evaluate the program.
        BackendUnavailable
            Where it needs what is not installed.
        """

    @abstractmethod
    def dealer(
        self, engine: Engine, program: Program, weights: Mapping[str, Array], name: bytes
    ) -> DealerSession:
        """The dealer's session.

        Parameters
        ----------
        engine : Engine
            What computes.
        program : Program
            Public part of the model.
        weights : mapping
            Masks of the weights, from :func:`veracity.mpc.weights.dealer_weights`.
        name : bytes
            The session's name.
        """

    @abstractmethod
    def party(
        self,
        engine: Engine,
        index: int,
        program: Program,
        channel: Channel,
        weights: Integers,
        plain: Integers,
        registry: ReplayRegistry,
        name: bytes,
        chooser: Chooser = GREEDY,
    ) -> PartySession:
        """A party's session.

        Parameters
        ----------
        engine : Engine
            What computes.
        index : int
            Owner or user.
        program : Program
            Public part of the model.
        channel : Channel
            To the other party.
        weights : mapping
            From ``owner_weights`` or ``user_weights``.
        plain : mapping
            The owner's integer weights; empty at the user.
        registry : ReplayRegistry
            Labels and seeds that were used.
        name : bytes
            The session's name.
        chooser : Chooser
            The user's choice of tokens.

        Raises
        ------
        UsageError
        """
