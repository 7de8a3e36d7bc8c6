"""Sessions of the shuffled mode: steps of a plan, at each of the three roles.

A pass has two parts: before the prompt exists the user computes all its shares and sends them
masked; the rest is the steps' messages. No pass ever has to be repeated.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from veracity.mpc import sessions
from veracity.mpc.cost import Cost
from veracity.mpc.decoder import vocabulary_of
from veracity.mpc.material import Label, Material, Sink
from veracity.mpc.party import OWNER
from veracity.mpc.sessions import Integers, Outcome, Ready
from veracity.mpc.shuffled.evaluate import (
    ahead_bytes,
    deal_pass,
    piece_bytes,
    prepare_owner,
    prepare_user,
    run_owner,
    run_user,
)
from veracity.mpc.shuffled.packing import Array
from veracity.mpc.shuffled.plan import plan_of
from veracity.mpc.shuffled.role import Online, Owner, Shape, User
from veracity.mpc.token_selection.homomorphic import Holder, Parameters, Taker, key_bytes
from veracity.mpc.token_selection.pick import Pick, greedy

__all__ = ["DealerSession", "PartySession", "Prepared"]

#: Tags of passes stay below this, and above those of the session's own messages.
_TAGS = 1 << 30
_KEY, _AHEAD, _FIRST = 1, 2, 16


@dataclass(eq=False)
class DealerSession(sessions.DealerSession):
    """The dealer of one session; parameters as of the base, and two of the mode.

    Parameters
    ----------
    choices : int
        Tokens that the user obtains in a pass: two, to settle ties as the program does.
    homomorphic : bool
        Whether they are obtained by BFV, without the dealer.
    """

    choices: int = 2
    homomorphic: bool = False
    memory: dict[str, Array] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        self.plan = plan_of(self.engine, self.program, self.homomorphic)

    def write(
        self, start: int, rows: int, seeds: tuple[bytes, bytes], sinks: tuple[Sink, Sink]
    ) -> tuple[int, int]:
        """Run every step as the dealer; see the base.

        Parameters
        ----------
        start, rows : int
            Position of the pass's first token, and how many it feeds.
        seeds : tuple of bytes
            The owner's and the user's, fresh.
        sinks : tuple of Sink
            Where each party's pieces go.
        """
        shape = Shape(rows, start, self.choices)
        owner, user = deal_pass(
            self.engine.ring, self.plan, shape, seeds, self.weights, self.memory
        )
        sinks[0].write(owner)
        sinks[1].write(user)
        return len(owner), len(user)


@dataclass(frozen=True)
class Prepared:
    """A pass that waits for its tokens."""

    shape: Shape
    role: Owner | User
    peer: Online
    cost: Cost


@dataclass(eq=False)
class PartySession(sessions.PartySession):
    """The owner or the user of one session; parameters as of the base, and three of the mode.

    Parameters
    ----------
    choices, homomorphic
        As at the dealer.
    pick : callable
        How the user picks places among permuted logits; greedy unless given.
    """

    choices: int = 2
    homomorphic: bool = False
    pick: Pick = greedy
    memory: dict[str, Array] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        self.plan = plan_of(self.engine, self.program, self.homomorphic)
        # Looked up one by one: mapped weights give pages back as others are read.
        self._everything: Integers = ChainMap(
            self.weights,  # type: ignore[arg-type]
            self.plain,  # type: ignore[arg-type]
        )
        self._holder: Holder | None = None
        self._taker: Taker | None = None

    def cost(self, rows: int, start: int) -> Cost:
        """What a pass declares."""
        return self.plan.cost(Shape(rows, start, self.choices))

    async def introduce(self) -> None:
        """Once per session, where tokens are chosen by BFV: the user's public key to the owner."""
        if not self.homomorphic:
            return
        parameters = Parameters(vocabulary_of(self.program))
        if self.index == OWNER:
            self._holder = Holder(self.engine.ring, parameters)
            await self._holder.meet(self.channel, _KEY)
        else:
            self._taker = Taker(self.engine.ring, parameters)
            await self._taker.introduce(self.channel, _KEY)
        self.declared += Cost(offline_bytes_owner=key_bytes())

    async def prepare(self, label: Label, material: Material) -> Prepared:
        """Everything of a pass that needs no input; one message from user to owner."""
        shape = Shape(label.rows, label.start, self.choices)
        size = piece_bytes(self.plan, shape)[self.index]
        pieces = material.take_keys(1, size).tobytes()
        material.finish()
        ring, tags = self.engine.ring, self.plan.tags
        peer = Online(ring, self.channel, _FIRST + label.number * tags % (_TAGS // tags * tags))
        role: Owner | User
        if self.index == OWNER:
            ahead = bytes(await self.channel.receive(_AHEAD, ahead_bytes(self.plan, shape)))
            role = prepare_owner(
                ring, self.plan, shape, material.seed, pieces, ahead, self._everything,
                self.memory, peer, self._holder,
            )  # fmt: skip
        else:
            role, ahead = prepare_user(
                ring, self.plan, shape, material.seed, pieces,
                cast(Mapping[str, Array], self.weights), self.memory,
                pick=self.pick, taker=self._taker,
            )  # fmt: skip
            await self.channel.send(_AHEAD, ahead)
        return Prepared(shape, role, peer, self.plan.cost(shape))

    async def evaluate(self, ready: Ready, tokens: Sequence[int]) -> Outcome:
        """Run every step; the token at the user."""
        prepared, token, fault = ready.side, None, None
        if isinstance(prepared.role, Owner):
            await run_owner(self.plan, prepared.role)
        else:
            token = await run_user(self.plan, prepared.role, prepared.peer, tokens)
            fault = prepared.role.fault
        self.declared += prepared.cost
        return Outcome(True, token, fault)
