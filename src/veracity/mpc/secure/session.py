"""Sessions of the secure mode: passes over values under masks, at each of the three roles.

A pass in which a mask wrapped around where it must not has no result, at both parties alike, and is
repeated with other material.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from veracity.errors import UsageError
from veracity.graph.ops import Head
from veracity.mpc import sessions
from veracity.mpc.decoder import vocabulary_of
from veracity.mpc.material import Label, Material, Sink, Writer
from veracity.mpc.party import OWNER
from veracity.mpc.secure.dealer import Dealer
from veracity.mpc.secure.evaluate import Cache, ForwardPass, rows_of
from veracity.mpc.secure.head import NOISE_BITS, finer
from veracity.mpc.secure.party import Party, new_party
from veracity.mpc.secure.plan import plan_of
from veracity.mpc.secure.products import products
from veracity.mpc.secure.role import at_once
from veracity.mpc.secure.values import NO_NOISE
from veracity.mpc.sessions import Outcome, Ready
from veracity.mpc.token_selection.pick import Noise

__all__ = ["DealerSession", "PartySession"]


@dataclass(eq=False)
class DealerSession(sessions.DealerSession):
    """The dealer of one session: a pass on masks alone."""

    cache: Cache = field(default_factory=dict, init=False)

    def write(
        self, start: int, rows: int, seeds: tuple[bytes, bytes], sinks: tuple[Sink, Sink]
    ) -> tuple[int, int]:
        """Run every operation as the dealer; see the base.

        Parameters
        ----------
        start, rows : int
            Position of the pass's first token, and how many it feeds.
        seeds : tuple of bytes
            The owner's and the user's, fresh.
        sinks : tuple of Sink
            Where each party's pieces go.
        """
        owner, user = (
            Writer(self.engine.ring, seed, sink) for seed, sink in zip(seeds, sinks, strict=True)
        )
        dealer = Dealer(self.engine, owner, user, self.weights)
        model = bytes.fromhex(self.program.digest)
        label = Label(model, self.name, self.number, start, rows, OWNER)
        dealer.fss = self.engine.fss.keyed(label.tree_key)
        cache = rows_of(self.cache, start) if start else {}
        forward = ForwardPass(dealer, self.program, rows, start, cache)
        at_once(forward.answer())
        self.cache = forward.grown
        return owner.bytes, user.bytes


@dataclass(frozen=True)
class Prepared:
    """A pass that waits for its tokens: the role, and the user's noise."""

    party: Party
    noise: NDArray[np.int64]


@dataclass(eq=False)
class PartySession(sessions.PartySession):
    """The owner or the user of one session; parameters as of the base, and one of the mode.

    Parameters
    ----------
    noise : callable, optional
        What the user adds to the logits; nothing by default.
    """

    noise: Noise | None = None
    tag: int = field(default=1, init=False)
    cache: Cache = field(default_factory=dict, init=False)

    async def prepare(self, label: Label, material: Material) -> Prepared:
        """The user's work before any input exists: masked weights times masks, noise."""
        ready = {}
        if self.index != OWNER:
            ring = self.engine.ring
            for p in plan_of(self.engine, self.program, label.rows, label.start).preparations:
                drawn = Material(ring, material.seed, b"")
                drawn.label = p.label
                ready[p.label] = products(ring, drawn.draw(p.shape), p.uses, self.weights)
        party = new_party(self.engine, self.index, self.channel, material, self.weights)
        party.prepared = ready
        party.fss = self.engine.fss.keyed(label.tree_key)
        return Prepared(party, self._noise(label.start + label.rows - 1))

    def _noise(self, position: int) -> NDArray[np.int64]:
        """What the user adds to the logits of a position."""
        head = self.program.ops[-1]
        if self.noise is None or not isinstance(head, Head):
            return NO_NOISE
        bits = finer(head)
        exponent = self.program.exponents.get(head.name, -1) + bits
        noise = self.noise(position, vocabulary_of(self.program), exponent)
        if np.abs(noise).max() >> (NOISE_BITS + bits):
            raise UsageError("noise on the logits is too large; choose a lower temperature")
        return noise

    async def evaluate(self, ready: Ready, tokens: Sequence[int]) -> Outcome:
        """Run every operation as a party; the token is None where the pass has no result."""
        party, label = ready.side.party, ready.label
        party.tag = self.tag
        cache = rows_of(self.cache, label.start) if label.start else {}
        forward = ForwardPass(
            party, self.program, label.rows, label.start, cache, self.plain, tokens,
            ready.side.noise,
        )  # fmt: skip
        token = await forward.answer()
        party.material.finish()
        self.tag = party.tag
        self.declared = self.declared + party.cost
        # The owner tells the user, not the other way round: both have seen all but its own.
        if not party.overflow:
            self.cache = forward.grown
        return Outcome(not party.overflow, token)
