"""Sessions of the shuffled mode: a model, a cache and passes, at each of the three roles.

Weights are masked once per model as in the other mode (:mod:`veracity.mpc.weights` makes all
four forms of them), and material has the same labels and goes through the same replay registry. A
pass has two parts: :meth:`PartySession.ready` before the prompt exists, :meth:`PartySession.run`
when it does. No pass ever has to be repeated.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from veracity.engine.api import Engine
from veracity.errors import PeerError, UsageError
from veracity.graph.program import Program
from veracity.mpc.cost import Cost
from veracity.mpc.decoder import context_of, vocabulary_of
from veracity.mpc.material import Label, Material, ReplayRegistry, Sink
from veracity.mpc.party import OWNER
from veracity.mpc.sessions import Dealt, check_follows, check_label, label_both
from veracity.mpc.shuffled.packing import Array
from veracity.mpc.shuffled.passes import (
    ahead_bytes,
    deal_pass,
    piece_bytes,
    prepare_owner,
    prepare_user,
    run_owner,
    run_user,
)
from veracity.mpc.shuffled.plan import Plan, compile_plan
from veracity.mpc.shuffled.steps import Online, Owner, Shape, User
from veracity.mpc.token_selection.homomorphic import Holder, Parameters, Taker, key_bytes
from veracity.mpc.token_selection.pick import Pick, greedy
from veracity.net import Channel

__all__ = ["DealerSession", "PartySession", "Ready"]

Integers = Mapping[str, NDArray[np.integer]]
#: Tags of passes stay below this, and above those of the session's own messages.
_TAGS = 1 << 30
_KEY, _AHEAD, _FIRST = 1, 2, 16


@dataclass(eq=False)
class DealerSession:
    """The dealer of one session.

    Parameters
    ----------
    engine : Engine
        What computes.
    program : Program
        Public shape of the model.
    weights : mapping
        From :func:`veracity.mpc.weights.dealer_weights`.
    name : bytes
        16 bytes, fresh.
    choices : int
        Tokens that the user obtains in a pass: two, to settle ties as the program does.
    homomorphic : bool
        Whether they are obtained by BFV, without the dealer.
    """

    engine: Engine
    program: Program
    weights: Mapping[str, Array]
    name: bytes = field(default_factory=lambda: secrets.token_bytes(16))
    choices: int = 2
    homomorphic: bool = False
    number: int = 0
    fed: int = 0
    memory: dict[str, Array] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.plan = compile_plan(self.program, homomorphic=self.homomorphic)

    def deal(self, start: int, rows: int, owner: Sink, user: Sink) -> tuple[Dealt, Dealt]:
        """Write one pass's material for both parties.

        Parameters
        ----------
        start : int
            At most the number of tokens dealt for: less to feed other tokens instead.
        rows : int
            Tokens that the pass feeds.
        owner, user : Sink
            Where each party's material goes.

        Raises
        ------
        PeerError
            For a pass that cannot follow.
        """
        check_follows(self.program, self.fed, start, rows)
        self.number += 1
        seeds = secrets.token_bytes(32), secrets.token_bytes(32)
        shape = Shape(rows, start, self.choices)
        pieces = deal_pass(self.engine.ring, self.plan, shape, seeds, self.weights, self.memory)
        owner.write(pieces[0])
        user.write(pieces[1])
        self.fed = start + rows
        sizes = [len(piece) for piece in pieces]
        return label_both(self.program, self.name, self.number, (start, rows), seeds, sizes)


@dataclass(frozen=True)
class Ready:
    """A pass that waits for its tokens."""

    label: Label
    shape: Shape
    side: Owner | User
    peer: Online
    cost: Cost


@dataclass(eq=False)
class PartySession:
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
    choices, homomorphic
        As at the dealer.
    pick : callable
        How the user picks places among permuted logits; greedy unless given.

    Attributes
    ----------
    name : bytes or None
        The session that the material has to be for, once known.
    declared : Cost
        Sum of the declared costs of all passes and of the key.
    """

    engine: Engine
    index: int
    program: Program
    channel: Channel
    weights: Integers
    plain: Integers = field(default_factory=dict)
    registry: ReplayRegistry = field(default_factory=ReplayRegistry)
    choices: int = 2
    homomorphic: bool = False
    pick: Pick = greedy
    name: bytes | None = None
    fed: int = 0
    number: int = 0
    memory: dict[str, Array] = field(default_factory=dict, repr=False)
    declared: Cost = field(default_factory=Cost)

    def __post_init__(self) -> None:
        self.plan: Plan = compile_plan(self.program, homomorphic=self.homomorphic)
        self._everything = {**self.plain, **self.weights}
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

    async def ready(self, label: Label, material: Material) -> Ready:
        """Everything of a pass that needs no input; one message from user to owner.

        Raises
        ------
        PeerError
            Where the material is for another pass, or the other party is gone.
        UsageError
            Where the material was used before.
        """
        self._check(label)
        self.registry.use(label, material.seed)
        shape = Shape(label.rows, label.start, self.choices)
        size = piece_bytes(self.plan, shape)[self.index]
        pieces = material.take_keys(1, size).tobytes()
        material.finish()
        tags = self.plan.tags
        peer = Online(
            self.engine.ring, self.channel, _FIRST + label.number * tags % (_TAGS // tags * tags)
        )
        side: Owner | User
        if self.index == OWNER:
            ahead = await self.channel.receive(_AHEAD, ahead_bytes(self.plan, shape))
            side = prepare_owner(
                self.engine.ring,
                self.plan,
                shape,
                material.seed,
                pieces,
                bytes(ahead),
                self._everything,
                self.memory,
                peer,
                self._holder,
            )
        else:
            side, ahead_of = prepare_user(
                self.engine.ring,
                self.plan,
                shape,
                material.seed,
                pieces,
                self._masked,
                self.memory,
                pick=self.pick,
                taker=self._taker,
            )
            await self.channel.send(_AHEAD, ahead_of)
        return Ready(label, shape, side, peer, self.plan.cost(shape))

    async def run(self, ready: Ready, tokens: Sequence[int] = ()) -> int | None:
        """One pass, once its tokens exist.

        Parameters
        ----------
        tokens : sequence of int
            What to feed, at the user.

        Returns
        -------
        int or None
            The next token at the user; None at the owner.

        Raises
        ------
        PeerError, RangeError, UsageError
        """
        if ready.label.number != self.number:
            raise UsageError("passes run in the order in which they were made ready")
        token = None
        if isinstance(ready.side, Owner):
            await run_owner(self.plan, ready.side)
        else:
            token = await run_user(self.plan, ready.side, ready.peer, tokens)
        self.fed = ready.shape.sources
        self.declared += ready.cost
        return token

    @property
    def _masked(self) -> dict[str, Array]:
        return {name: w.astype(np.uint64, copy=False) for name, w in self.weights.items()}

    def _check(self, label: Label) -> None:
        self.name = self.name or label.session
        check_label(label, self.program, self.name, self.index, self.number, self.fed)
        if label.start + label.rows > context_of(self.program):
            raise PeerError("the dealer's material is for another pass")
        self.number = label.number
