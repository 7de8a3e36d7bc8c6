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

from veracity.errors import PeerError
from veracity.graph.program import Program
from veracity.mpc.cost import Cost
from veracity.mpc.dealer import Dealer, masks
from veracity.mpc.linear import products
from veracity.mpc.material import Label, Ledger, Material, Sink, Writer
from veracity.mpc.party import OWNER, USER, Array, Party
from veracity.mpc.plan import Plan, drive
from veracity.mpc.secure.choice import reveal
from veracity.mpc.secure.walk import Cache, Walk, rows_of, weight_shapes
from veracity.mpc.transport import Channel

__all__ = [
    "DealerSession",
    "Dealt",
    "PartySession",
    "check_follows",
    "check_label",
    "dealer_weights",
    "label_both",
    "masked_weights",
    "owner_weights",
    "user_weights",
]

Integers = Mapping[str, NDArray[np.integer]]


def _base_shapes(program: Program) -> dict[str, tuple[int, ...]]:
    """Weights that are masked, as the program stores them."""
    names = [n.removesuffix("^T") for n in weight_shapes(program)]
    return {n: program.weights[n].shape for n in names}


def _with_transposes(program: Program, found: dict[str, Array]) -> dict[str, Array]:
    """Add what embeddings read; drop tables that nothing else reads."""
    shapes = weight_shapes(program)
    for name in shapes:
        if name.endswith("^T"):
            found[name] = np.ascontiguousarray(found[name.removesuffix("^T")].T)
    return {name: w for name, w in found.items() if name in shapes}


def owner_weights(program: Program, weights: Integers) -> dict[str, NDArray[np.integer]]:
    """The weights as the owner's linear layers read them."""
    found: dict[str, NDArray[np.integer]] = {}
    for name in weight_shapes(program):
        base = weights[name.removesuffix("^T")]
        found[name] = np.ascontiguousarray(base.T) if name.endswith("^T") else base
    return found


def masked_weights(program: Program, weights: Integers, seed: bytes) -> dict[str, Array]:
    """``W - U``: what the owner sends to the user, once."""
    shapes = _base_shapes(program)
    found = masks(seed, shapes)
    for name in shapes:
        np.subtract(weights[name].astype(np.int64).view(np.uint64), found[name], out=found[name])
    return found


def user_weights(program: Program, received: dict[str, Array]) -> dict[str, Array]:
    """The masked weights as the user's linear layers read them."""
    return _with_transposes(program, received)


def dealer_weights(program: Program, seed: bytes) -> dict[str, Array]:
    """The masks as the dealer's linear layers read them."""
    return _with_transposes(program, masks(seed, _base_shapes(program)))


@dataclass(frozen=True)
class Dealt:
    """Material of one pass for one party: where the explicit pieces went is the sink's matter."""

    label: Label
    seed: bytes
    size: int


def check_follows(program: Program, fed: int, start: int, rows: int) -> None:
    """Raise PeerError unless a pass can follow a session that dealt for ``fed`` tokens."""
    if not (0 <= start <= fed and rows >= 1 and start + rows <= program.context):
        raise PeerError("a pass that does not follow the session's earlier ones")


def check_label(
    label: Label, program: Program, session: bytes, party: int, number: int, fed: int
) -> None:
    """Raise PeerError unless material is for this party's next pass.

    ``number`` and ``fed`` are those of the passes before.
    """
    fits = (
        label.model == bytes.fromhex(program.digest)
        and label.session == session
        and label.party == party
        and label.number > number
        and label.start <= fed
    )
    if not fits:
        raise PeerError("the dealer's material is for another pass")


def label_both(
    program: Program,
    session: bytes,
    number: int,
    at: tuple[int, int],
    seeds: tuple[bytes, bytes],
    sizes: Sequence[int],
) -> tuple[Dealt, Dealt]:
    """Both parties' material of a pass; ``at`` is its start and its rows."""
    model = bytes.fromhex(program.digest)
    owner, user = (
        Dealt(Label(model, session, number, *at, party), seeds[party], sizes[party])
        for party in (OWNER, USER)
    )
    return owner, user


@dataclass(eq=False)
class DealerSession:
    """The dealer of one session.

    Parameters
    ----------
    program : Program
        Public shape of the model.
    weights : mapping
        From :func:`dealer_weights`.
    name : bytes
        16 bytes, fresh.
    """

    program: Program
    weights: Mapping[str, Array]
    name: bytes = field(default_factory=lambda: secrets.token_bytes(16))
    number: int = 0
    fed: int = 0
    cache: Cache = field(default_factory=dict)

    def deal(self, start: int, rows: int, owner: Sink, user: Sink) -> tuple[Dealt, Dealt]:
        """Write one pass's material for both parties.

        ``start`` is at most the number of tokens dealt for: less to repeat a pass.
        """
        check_follows(self.program, self.fed, start, rows)
        self.number += 1
        seeds = (secrets.token_bytes(32), secrets.token_bytes(32))
        writers = (Writer(seeds[0], owner), Writer(seeds[1], user))
        cache = rows_of(self.cache, start) if start else {}
        dealer = Dealer(*writers, self.weights)
        walk = Walk(dealer, self.program, rows, start, cache)
        drive(walk)
        self.cache, self.fed = walk.grown, start + rows
        sizes = [writer.bytes for writer in writers]
        return label_both(self.program, self.name, self.number, (start, rows), seeds, sizes)


@dataclass(eq=False)
class PartySession:
    """The owner or the user of one session.

    Parameters
    ----------
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
    ledger : Ledger
        Refuses material that was used before.

    Attributes
    ----------
    name : bytes or None
        The session that the material has to be for, once known.
    declared : Cost
        Sum of the declared costs of all passes.
    """

    index: int
    program: Program
    channel: Channel
    weights: Integers
    plain: Integers = field(default_factory=dict)
    ledger: Ledger = field(default_factory=Ledger)
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
            drawn = Material(seed, b"")
            drawn.label = p.label
            mask = drawn.draw(p.shape)
            found[p.label] = products(mask, p.uses, self.weights)
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
        tokens : sequence of int
            What to feed, at the user.

        Returns
        -------
        int or None
            The next token at the user; None at the owner, and where ``repeat`` is set.
        """
        self._check(label, tokens)
        self.ledger.use(label, material.seed)
        party = Party(self.index, self.channel, material, self.weights, prepared or {}, self.tag)
        cache = rows_of(self.cache, label.start) if label.start else {}
        walk = Walk(party, self.program, label.rows, label.start, cache, self.plain, tokens)
        token = await reveal(party, await walk.run())
        material.finish()
        self.tag = party.tag
        self.declared = self.declared + party.cost
        # The owner tells the user, not the other way round: both have seen all but its own.
        if not party.overflow:
            self.cache, self.fed = walk.grown, label.start + label.rows
        return token

    def _check(self, label: Label, tokens: Sequence[int]) -> None:
        self.name = self.name or label.session
        check_label(label, self.program, self.name, self.index, self.number, self.fed)
        if self.index == USER and label.rows != len(tokens):
            raise PeerError("the dealer's material is for another pass")
        self.number = label.number
