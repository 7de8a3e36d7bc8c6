"""Owner, user and dealer of the secure mode in one process, with what each of them receives."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.engine import load_engine
from veracity.graph import Program
from veracity.mpc import weights as weights_of
from veracity.mpc.cost import Cost
from veracity.mpc.material import Material, MemorySink, Writer
from veracity.mpc.party import OWNER, USER
from veracity.mpc.secure import session
from veracity.mpc.secure.dealer import Dealer
from veracity.mpc.secure.evaluate import ForwardPass
from veracity.mpc.secure.party import Party, new_party
from veracity.mpc.secure.plan import make_plan
from veracity.mpc.secure.role import Masked, Role, Secret, shape_only
from veracity.mpc.secure.session import DealerSession, PartySession
from veracity.mpc.sessions import Dealt, Outcome
from veracity.mpc.sessions import PartySession as AnySession
from veracity.mpc.token_selection.pick import Noise
from veracity.net import Channel, Traffic
from veracity.net.memory import linked

Ring = NDArray[np.uint64]
ENGINE = load_engine("cpu")


class Tap(Channel):
    """A channel that keeps what arrives, and counts exchanges."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.seen: list[bytes] = []
        self.exchanges = 0

    async def receive(self, *args: Any, **options: Any) -> bytearray:
        data = await super().receive(*args, **options)
        self.seen.append(bytes(data))
        return data

    async def exchange(self, *args: Any, **options: Any) -> bytearray:
        data = await super().exchange(*args, **options)
        self.seen.append(bytes(data))
        self.exchanges += 1
        return data


def taps() -> tuple[Tap, Tap]:
    """Both ends of a connection in memory."""
    ends = linked()
    return Tap(ends[0], timeout=30), Tap(ends[1], timeout=30)


def traffic_cost(owner: Traffic, user: Traffic, exchanges: int, dealt: Sequence[int]) -> Cost:
    """What was measured in the terms of what is declared."""
    assert owner.sent_bytes == user.received_bytes
    assert user.sent_bytes == owner.received_bytes
    return Cost(
        exchanges=exchanges,
        one_way=owner.sent_messages + owner.received_messages - 2 * exchanges,
        bytes_to_owner=owner.received_bytes,
        bytes_to_user=user.received_bytes,
        offline_bytes_owner=dealt[OWNER],
        offline_bytes_user=dealt[USER],
    )


# One operation.


@dataclass
class Done:
    """An operation at all three roles."""

    dealer: Any
    owner: Any
    user: Any
    roles: tuple[Dealer, Party, Party]
    measured: Cost
    seen: tuple[list[bytes], list[bytes]]

    @property
    def overflow(self) -> bool:
        return self.roles[1].overflow or self.roles[2].overflow


def shared(x: Ring) -> tuple[Secret, Secret, Secret]:
    """Shares of a value: the dealer's (none), the owner's, the user's."""
    share = np.frombuffer(secrets.token_bytes(8 * x.size), dtype=np.uint64).reshape(x.shape)
    return Secret(shape_only(x.shape)), Secret(share), Secret(x - share)


def ring(x: Any) -> Ring:
    """Integers as ring elements."""
    return np.asarray(x, dtype=np.int64).view(np.uint64)


def opened(x: Any) -> NDArray[np.int64]:
    """The value of shares or of a masked value, from all three roles' results."""
    dealer, owner, user = x
    if isinstance(owner, Masked):
        assert np.array_equal(owner.value, user.value)
        return np.asarray(owner.value - dealer.value).view(np.int64)
    return np.asarray(owner.share + user.share).view(np.int64)


def masks_fit(x: Any) -> bool:
    """Whether the parties' shares of a mask add up to it."""
    dealer, owner, user = x
    return bool(np.array_equal(dealer.value, owner.share + user.share))


def together(
    op: Callable[..., Awaitable[Any]],
    *inputs: Ring,
    weights: Mapping[str, NDArray[np.integer]] | None = None,
) -> Done:
    """Run ``await op(role, *shares)`` at the dealer, then at both parties."""
    split = [shared(x) for x in inputs]
    seed, weights = secrets.token_bytes(32), weights or {}
    u = {
        name: np.frombuffer(secrets.token_bytes(8 * w.size), dtype=np.uint64).reshape(w.shape)
        for name, w in weights.items()
    }
    masked = {name: w.astype(np.int64).view(np.uint64) - u[name] for name, w in weights.items()}
    seeds = (seed, secrets.token_bytes(32))
    sinks = (MemorySink(), MemorySink())
    dealer = Dealer(
        ENGINE, Writer(ENGINE.ring, seeds[0], sinks[0]), Writer(ENGINE.ring, seeds[1], sinks[1]), u
    )

    async def run() -> Done:
        ends = taps()
        dealt = await op(dealer, *[s[0] for s in split])
        parties = (
            new_party(
                ENGINE, OWNER, ends[0], Material(ENGINE.ring, seeds[0], sinks[0].join()), weights
            ),
            new_party(
                ENGINE, USER, ends[1], Material(ENGINE.ring, seeds[1], sinks[1].join()), masked
            ),
        )
        got = await asyncio.gather(
            op(parties[0], *[s[1] for s in split]), op(parties[1], *[s[2] for s in split])
        )
        for party in parties:
            party.material.finish()
            assert party.cost == dealer.cost
            assert party.by_kind == dealer.by_kind
        sizes = (dealer.owner.bytes, dealer.user.bytes)
        assert sizes == tuple(len(s.join()) for s in sinks)
        cost = traffic_cost(ends[0].traffic, ends[1].traffic, ends[0].exchanges, sizes)
        roles: tuple[Dealer, Party, Party] = (dealer, *parties)
        return Done(dealt, *got, roles, cost, (ends[0].seen, ends[1].seen))

    return asyncio.run(run())


# Whole programs.


@dataclass
class Pass:
    """One pass: the token, costs, hops (as planned: ``chain``), what each party received, every
    role's values."""

    token: int | None
    declared: Cost
    measured: Cost
    chain: int
    hops: int
    owner_seen: list[bytes]
    user_seen: list[bytes]
    forward_passes: list[ForwardPass]

    def value(self, name: str) -> NDArray[np.float64]:
        """What the three roles hold of an op's result, in units of the program."""
        dealer, owner, user = (w.values[name] for w in self.forward_passes)
        if owner.masked is not None:
            exact = opened((dealer.masked, owner.masked, user.masked))
            return exact / 2.0**owner.guard
        assert owner.secret is not None
        return opened((dealer.secret, owner.secret, user.secret)) / 2.0**owner.shift


@dataclass
class Parties:
    """A model set up between the three, and one session of it."""

    program: Program
    weights: Mapping[str, NDArray[np.integer]]
    noise: Noise | None = None
    forward_passes: list[ForwardPass] = field(default_factory=list)

    def __post_init__(self) -> None:
        seed = secrets.token_bytes(32)
        self.dealer = DealerSession(
            ENGINE, self.program, weights_of.dealer_weights(ENGINE.ring, self.program, seed)
        )
        received = weights_of.masked_weights(ENGINE.ring, self.program, self.weights, seed)
        size = sum(w.nbytes for w in received.values())
        assert size == session_cost(self.program)
        self.masked = weights_of.user_weights(self.program, received)
        self.channels = taps()
        own = weights_of.owner_weights(self.program, self.weights)
        self.owner = PartySession(ENGINE, OWNER, self.program, self.channels[0], own, self.weights)
        self.user = PartySession(
            ENGINE, USER, self.program, self.channels[1], self.masked, noise=self.noise
        )

    def deal(self, start: int, rows: int) -> tuple[list[Dealt], list[Material]]:
        """Material of one pass."""
        sinks = (MemorySink(), MemorySink())
        dealt = self.dealer.deal(start, rows, *sinks)
        made = [Material(ENGINE.ring, d.seed, s.join()) for d, s in zip(dealt, sinks, strict=True)]
        assert [d.size for d in dealt] == [len(s.join()) for s in sinks]
        return list(dealt), made

    async def feed(self, tokens: Sequence[int], start: int | None = None) -> Pass:
        """One pass, offline and online; the token is None where it has to be repeated."""
        start = self.user.fed if start is None else start
        del self.forward_passes[:]
        dealt, (ours, theirs) = self.deal(start, len(tokens))
        plan = make_plan(ENGINE, self.program, len(tokens), start)
        ready = await asyncio.gather(
            self.owner.ready(dealt[0].label, ours), self.user.ready(dealt[1].label, theirs)
        )
        assert len(ready[1].side.party.prepared) == len(plan.preparations)
        ends = self.channels
        before = [e.traffic for e in ends]
        exchanges = ends[0].exchanges
        for end in ends:
            end.seen.clear()
        _, outcome = await asyncio.gather(self.owner.run(ready[0]), self.user.run(ready[1], tokens))
        assert not ready[1].side.party.prepared  # all of it was of use
        moved = [e.traffic - b for e, b in zip(ends, before, strict=True)]
        sizes = [d.size for d in dealt]
        cost = traffic_cost(moved[0], moved[1], ends[0].exchanges - exchanges, sizes)
        hops = max(m.hops for m in moved)
        seen = [list(e.seen) for e in ends]
        return Pass(
            outcome.token,
            plan.cost,
            cost,
            plan.hops,
            hops,
            seen[0],
            seen[1],
            list(self.forward_passes),
        )


async def run_pass(
    party: AnySession, dealt: Dealt, material: Material, tokens: Sequence[int] = ()
) -> Outcome:
    """A pass of one party, from its material to its outcome."""
    return await party.run(await party.ready(dealt.label, material), tokens)


def session_cost(program: Program) -> int:
    """Bytes of the masked weights, as declared."""
    from veracity.mpc.secure.plan import setup_cost

    return setup_cost(program).offline_bytes_user


def told(
    parties: Parties, prompt: Sequence[int], following: Sequence[int]
) -> tuple[list[int | None], list[Pass]]:
    """Tokens after the prompt and after each of ``following``, in one session."""

    async def run() -> list[Pass]:
        async with asyncio.timeout(120):
            return [await again(tokens) for tokens in (prompt, *([t] for t in following))]

    async def again(tokens: Sequence[int]) -> Pass:
        """Now and then a mask wraps, and the pass is run once more."""
        done = await parties.feed(tokens)
        return done if done.token is not None else await parties.feed(tokens)

    done = asyncio.run(run())
    return [p.token for p in done], done


def watched(monkeypatch: Any, parties: Parties) -> None:
    """Keep every role's forward pass in ``parties.forward_passes``: dealer, owner, user."""
    for at in ("DealerSession", "PartySession"):
        assert hasattr(session, at)

    def make(role: Role, *args: Any, **options: Any) -> ForwardPass:
        forward = ForwardPass(role, *args, **options)
        parties.forward_passes.append(forward)
        return forward

    monkeypatch.setattr(session, "ForwardPass", make)
