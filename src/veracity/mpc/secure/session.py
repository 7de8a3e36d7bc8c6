"""Sessions: a model, a cache and passes, at each of the three roles.

A session is bound to a program by its digest and has a fresh name; every pass has a number, and
all of that is in the label of its material. A party uses a label and a seed once.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from veracity.engine.api import Engine
from veracity.errors import PeerError
from veracity.graph.program import Program
from veracity.mpc.cost import Cost
from veracity.mpc.material import Label, Material, ReplayRegistry, Sink, Writer
from veracity.mpc.party import OWNER, USER, Array, Party
from veracity.mpc.secure.dealer import Dealer
from veracity.mpc.secure.evaluate import Cache, ForwardPass, rows_of
from veracity.mpc.secure.linear import products
from veracity.mpc.secure.plan import Plan, drive
from veracity.mpc.secure.token_selection import reveal
from veracity.mpc.sessions import Dealt, check_follows, check_label, label_both
from veracity.net import Channel

__all__ = [
    "DealerSession",
    "PartySession",
]

Integers = Mapping[str, NDArray[np.integer]]


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
        From :func:`dealer_weights`.
    name : bytes
        16 bytes, fresh.
    """

    engine: Engine
    program: Program
    weights: Mapping[str, Array]
    name: bytes = field(default_factory=lambda: secrets.token_bytes(16))
    number: int = 0
    fed: int = 0
    cache: Cache = field(default_factory=dict)

    def deal(self, start: int, rows: int, owner: Sink, user: Sink) -> tuple[Dealt, Dealt]:
        """Write one pass's material for both parties.

        Parameters
        ----------
        start : int
            At most the number of tokens dealt for: less to repeat a pass.
        rows : int
            Tokens that the pass feeds.
        owner, user : Sink
            Where each party's material goes.
        """
        check_follows(self.program, self.fed, start, rows)
        self.number += 1
        seeds = (secrets.token_bytes(32), secrets.token_bytes(32))
        writers = (
            Writer(self.engine.ring, seeds[0], owner),
            Writer(self.engine.ring, seeds[1], user),
        )
        cache = rows_of(self.cache, start) if start else {}
        dealer = Dealer(self.engine, *writers, self.weights)
        forward = ForwardPass(dealer, self.program, rows, start, cache)
        drive(forward)
        self.cache, self.fed = forward.grown, start + rows
        sizes = [writer.bytes for writer in writers]
        return label_both(self.program, self.name, self.number, (start, rows), seeds, sizes)


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
        From :func:`owner_weights` or :func:`user_weights`.
    plain : mapping
        All weights at the owner (biases, positions); empty at the user.
    registry : ReplayRegistry
        Refuses material that was used before.

    Attributes
    ----------
    name : bytes or None
        The session that the material has to be for, once known.
    declared : Cost
        Sum of the declared costs of all passes.
    """

    engine: Engine
    index: int
    program: Program
    channel: Channel
    weights: Integers
    plain: Integers = field(default_factory=dict)
    registry: ReplayRegistry = field(default_factory=ReplayRegistry)
    name: bytes | None = None
    fed: int = 0
    tag: int = 1
    number: int = 0
    cache: Cache = field(default_factory=dict)
    declared: Cost = field(default_factory=Cost)

    def prepare(self, plan: Plan, seed: bytes) -> dict[int, list[Array]]:
        """The user's work before any input exists: masked weights times masks."""
        if self.index == OWNER:
            return {}
        found = {}
        for p in plan.preparations:
            drawn = Material(self.engine.ring, seed, b"")
            drawn.label = p.label
            mask = drawn.draw(p.shape)
            found[p.label] = products(self.engine.ring, mask, p.uses, self.weights)
        return found

    async def run(
        self,
        label: Label,
        material: Material,
        tokens: Sequence[int] = (),
        prepared: dict[int, list[Array]] | None = None,
    ) -> int | None:
        """One pass.

        Parameters
        ----------
        label : Label
            What the material is for.
        material : Material
            From the dealer.
        tokens : sequence of int
            What to feed, at the user.
        prepared : dict, optional
            Products that :meth:`prepare` made ahead, at the user.

        Returns
        -------
        int or None
            The next token at the user; None at the owner, and where ``repeat`` is set.
        """
        self._check(label, tokens)
        self.registry.use(label, material.seed)
        party = Party(
            self.engine, self.index, self.channel, material, self.weights, prepared or {}, self.tag
        )
        cache = rows_of(self.cache, label.start) if label.start else {}
        forward = ForwardPass(
            party, self.program, label.rows, label.start, cache, self.plain, tokens
        )
        token = await reveal(party, await forward.run())
        material.finish()
        self.tag = party.tag
        self.declared = self.declared + party.cost
        # The owner tells the user, not the other way round: both have seen all but its own.
        if not party.overflow:
            self.cache, self.fed = forward.grown, label.start + label.rows
        return token

    def _check(self, label: Label, tokens: Sequence[int]) -> None:
        self.name = self.name or label.session
        check_label(label, self.program, self.name, self.index, self.number, self.fed)
        if self.index == USER and label.rows != len(tokens):
            raise PeerError("the dealer's material is for another pass")
        self.number = label.number
