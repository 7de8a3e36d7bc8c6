"""The mode itself: what it is called, what it shows, what it can."""

from __future__ import annotations

from collections.abc import Mapping

from veracity.engine.api import Engine
from veracity.graph.ops import Op
from veracity.graph.program import Program
from veracity.mpc.material import ReplayRegistry
from veracity.mpc.mode import Mode, PassPlan
from veracity.mpc.party import Array
from veracity.mpc.sessions import Integers
from veracity.mpc.shuffled.ops import RULES
from veracity.mpc.shuffled.plan import plan_of
from veracity.mpc.shuffled.role import Shape
from veracity.mpc.shuffled.session import DealerSession, PartySession
from veracity.mpc.token_selection.pick import GREEDY, Chooser
from veracity.mpc.token_selection.seal import load_seal
from veracity.net import Channel

__all__ = ["Shuffled"]


class Shuffled(Mode):
    """Nonlinearities on permuted values in the clear; see ``docs/protocols/shuffled.md``.

    Parameters
    ----------
    name : str
        There are two of them.
    choices : int
        Tokens that a pass obtains: with two, a tie of greatest logits ends as in the program. By
        BFV each costs as much as the rest of the pass.
    homomorphic : bool
        Whether the user obtains its token by BFV instead of the dealer's pads.
    """

    reveals = "hidden values in a random order"
    noise_bits = 0
    light = True
    streams = False

    def __init__(self, name: str, choices: int, homomorphic: bool) -> None:
        self.name, self.choices, self.homomorphic = name, choices, homomorphic

    @property
    def rules(self) -> Mapping[type[Op], object]:
        """Of every op."""
        return RULES

    def plan(self, engine: Engine, program: Program, rows: int, start: int) -> PassPlan:
        """See the base.

        Parameters
        ----------
        engine, program, rows, start
            As there.
        """
        self._check()
        shape = Shape(rows, start, self.choices)
        cost = plan_of(engine, program, self.homomorphic).cost(shape)
        return PassPlan(rows, start, cost, 0.0)

    def dealer(
        self, engine: Engine, program: Program, weights: Mapping[str, Array], name: bytes
    ) -> DealerSession:
        """See the base.

        Parameters
        ----------
        engine, program, weights, name
            As there.
        """
        self._check()
        return DealerSession(engine, program, weights, name, self.choices, self.homomorphic)

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
        """See the base.

        Parameters
        ----------
        engine, index, program, channel, weights, plain, registry, name, chooser
            As there.
        """
        self._check()
        return PartySession(
            engine, index, program, channel, weights, plain, registry, name,
            self.choices, self.homomorphic, chooser.pick,
        )  # fmt: skip

    def _check(self) -> None:
        if self.homomorphic:
            load_seal()
