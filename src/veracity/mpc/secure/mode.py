"""The mode itself: what it is called, what it shows, what it can."""

from __future__ import annotations

from collections.abc import Mapping

from veracity.engine.api import Engine
from veracity.graph.ops import Op
from veracity.graph.program import Program
from veracity.mpc.material import ReplayRegistry
from veracity.mpc.mode import Mode, PassPlan
from veracity.mpc.party import Array
from veracity.mpc.secure.head import NOISE_BITS
from veracity.mpc.secure.ops import RULES
from veracity.mpc.secure.plan import plan_of
from veracity.mpc.secure.session import DealerSession, PartySession
from veracity.mpc.sessions import Integers
from veracity.mpc.token_selection.pick import GREEDY, Chooser
from veracity.net import Channel

__all__ = ["Secure"]


class Secure(Mode):
    """Nothing is revealed but the answer; see ``docs/protocols/secure.md``."""

    name = "secure"
    reveals = "masked values"
    noise_bits = NOISE_BITS
    light = False
    streams = True

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
        return plan_of(engine, program, rows, start)

    def dealer(
        self, engine: Engine, program: Program, weights: Mapping[str, Array], name: bytes
    ) -> DealerSession:
        """See the base.

        Parameters
        ----------
        engine, program, weights, name
            As there.
        """
        return DealerSession(engine, program, weights, name)

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
        return PartySession(
            engine, index, program, channel, weights, plain, registry, name, chooser.noise
        )
