"""The user's side of a session: what it keeps, asks for and feeds, and what passes took."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from veracity.errors import PeerError, UsageError
from veracity.graph.program import Program
from veracity.mpc.party import USER, Array
from veracity.mpc.service import modes
from veracity.mpc.service.bridge import Apart, Bridge
from veracity.mpc.service.owner import ServiceLimits
from veracity.mpc.service.store import SharedLedger, Store
from veracity.mpc.service.supply import Parcel, Supply, passes_of
from veracity.mpc.service.weights import Kept, masked_bytes
from veracity.mpc.service.wire import PROTOCOL, Step, digest_of, hear, hear_chunks, tell
from veracity.mpc.session import user_weights
from veracity.mpc.shuffled.head import greedy
from veracity.mpc.shuffled.steps import Pick
from veracity.mpc.transport import Channel

__all__ = ["Offer", "PassReport", "UserSession", "fetch_card", "fetch_weights", "meet"]

#: Bytes of a card: a program without weights and a tokenizer.
CARD_LIMIT = 1 << 26
Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class Offer:
    """What an owner says about itself before a session.

    Parameters
    ----------
    mode, name : str
        How it evaluates, and its model's name for people.
    card, masks : bytes
        SHA-256 of the public card; name of the masks of its weights.
    card_bytes : int
        Size of the card.
    """

    mode: str
    name: str
    card: bytes
    masks: bytes
    card_bytes: int


async def meet(channel: Channel) -> Offer:
    """Say hello to an owner.

    Raises
    ------
    PeerError
    """
    await tell(channel, Step.HELLO, protocol=PROTOCOL)
    fields = {
        "protocol": int, "mode": str, "name": str, "card": str, "card_bytes": int, "masks": str,
    }  # fmt: skip
    hello = await hear(channel, Step.HELLO, fields)
    if hello["protocol"] != PROTOCOL or hello["mode"] not in modes.MODES:
        raise PeerError("the owner speaks another version of the services' protocol")
    if not 0 < hello["card_bytes"] <= CARD_LIMIT:
        raise PeerError("the owner's card has a size that cannot be")
    digests = [digest_of(hello, name) for name in ("card", "masks")]
    return Offer(hello["mode"], hello["name"], digests[0], digests[1], hello["card_bytes"])


async def fetch_card(channel: Channel, offer: Offer) -> bytes:
    """The public card, with the digest that the owner named.

    Raises
    ------
    PeerError
    """
    await tell(channel, Step.ASK, what="card", rows=0, passes=0)
    data = bytearray()
    async for part in hear_chunks(channel, offer.card_bytes):
        data += part
    if hashlib.sha256(data).digest() != offer.card:
        raise PeerError("the owner sent another card than it named")
    return bytes(data)


async def fetch_weights(channel: Channel, program: Program, kept: Kept, progress: Progress) -> int:
    """The masked weights, unless they are there; returns the bytes that came.

    Raises
    ------
    PeerError, UsageError
    """
    if kept.there:
        return 0
    size, done = masked_bytes(program), 0
    await tell(channel, Step.ASK, what="weights", rows=0, passes=0)
    with kept.filled() as out:
        async for part in hear_chunks(channel, size):
            out.write(part)
            done += len(part)
            progress("weights", done / size)
    return size


@dataclass(frozen=True)
class PassReport:
    """What a prompt or a token took; bytes are payload.

    Attributes
    ----------
    start, rows : int
        Tokens fed before, and now.
    attempts : int
        Passes: one (more for a long prompt), and one more for each repetition.
    online_s : float
        From the tokens to the next token.
    ready_s, deal_s, fetch_s : float
        Before the tokens exist: this party's own work with what it sends ahead, the dealer's
        work for both parties, the transfer of this party's material.
    sent_bytes, received_bytes : int
        Online, to and from the owner.
    formula_bytes : int
        Online, both ways, as declared by the operations.
    offline_bytes : int
        From the dealer to both parties, and ahead from the user to the owner.
    round_trips : float
        Measured: half the longest chain of messages.
    """

    start: int
    rows: int
    attempts: int
    online_s: float
    ready_s: float
    deal_s: float
    fetch_s: float
    sent_bytes: int
    received_bytes: int
    formula_bytes: int
    offline_bytes: int
    round_trips: float

    @property
    def offline_s(self) -> float:
        """All that happened before the tokens existed."""
        return self.ready_s + self.deal_s + self.fetch_s

    @property
    def online_bytes(self) -> int:
        """Both ways."""
        return self.sent_bytes + self.received_bytes


@dataclass
class _Tally:
    """A pass's figures while it is under way, repetitions included."""

    attempts: int = 0
    online_s: float = 0.0
    ready_s: float = 0.0
    deal_s: float = 0.0
    fetch_s: float = 0.0
    sent_bytes: int = 0
    received_bytes: int = 0
    formula_bytes: int = 0
    offline_bytes: int = 0
    hops: int = 0


@dataclass(frozen=True)
class _Ready:
    """A pass that waits for its tokens."""

    parcel: Parcel
    side: Any


@dataclass(eq=False)
class UserSession:
    """One session: ``async with``, then :meth:`feed` as often as passes were asked for.

    Parameters
    ----------
    program : Program
        The model.
    mode : str
        The owner's.
    owner, dealer : Channel
        Open; the owner has been met and has no question open. Closed at the end.
    masked : mapping
        From :meth:`Kept.load`.
    rows, passes : int
        Tokens of the prompt, and the most tokens of an answer.
    folder : Path
        Where material waits.
    ledger : SharedLedger
        Of all sessions.
    pick : callable
        Chooses among the logits, where the mode shows them.
    """

    program: Program
    mode: str
    owner: Channel
    dealer: Channel
    masked: dict[str, Array] = field(repr=False)
    rows: int
    passes: int
    folder: Path
    ledger: SharedLedger
    limits: ServiceLimits = field(default_factory=ServiceLimits)
    pick: Pick = greedy
    reports: list[PassReport] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self._passes = passes_of(self.rows, self.passes)
        self._apart = Apart(self.owner)
        self._supply: Supply | None = None
        self._ready: _Ready | None = None
        self._tally = _Tally()
        self._done = 0

    async def __aenter__(self) -> UserSession:
        try:
            await self._begin()
        except BaseException:
            await self._part()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: object, trace: TracebackType | None
    ) -> None:
        await self._part()

    async def _part(self) -> None:
        """Leave both, and drop what waits."""
        if self._ready is not None:
            self._ready.parcel.piece.close()
        if self._supply is not None:
            await self._supply.close()
        await self.dealer.close()
        await self.owner.close()
        await self._apart.close()

    async def _begin(self) -> None:
        await tell(self.owner, Step.ASK, what="session", rows=self.rows, passes=self.passes)
        answer = await hear(
            self.owner, Step.ANSWER, {"session": str}, timeout=max(300.0, self.owner.timeout)
        )
        name = digest_of(answer, "session", 16)
        await tell(self.dealer, Step.HELLO, protocol=PROTOCOL, party="user", session=name.hex())
        await hear(self.dealer, Step.ANSWER, {"ok": bool})
        store = Store(self.folder, self.limits.disk)
        self._supply = Supply(self.dealer, store, self._passes, self.limits.ahead)
        self._supply.start()
        weights = await asyncio.to_thread(user_weights, self.program, self.masked)
        self._bridge = Bridge(self.owner, asyncio.get_running_loop())
        self._side = modes.party(
            self.mode, USER, self.program, self._bridge, weights, {}, self.ledger, name, self.pick
        )
        await self._apart(self._side.introduce())

    async def dealt(self, count: int | None = None) -> None:
        """Wait until the material of ``count`` passes (of all that may wait) is here.

        Raises
        ------
        PeerError, UsageError
        """
        most = min(self._left, self.limits.ahead)
        await self._opened.full(most if count is None else min(count, most))

    @property
    def _opened(self) -> Supply:
        if self._supply is None:
            raise UsageError("a session is used in an `async with` block")
        return self._supply

    @property
    def _left(self) -> int:
        return len(self._passes) - self._done

    async def ready(self) -> None:
        """All of the next pass that needs no tokens; otherwise :meth:`feed` does it.

        Raises
        ------
        PeerError, UsageError
        """
        if self._ready is not None:
            return
        if not self._left:
            raise UsageError("all passes of this session are used; begin another one")
        parcel = await self._opened.next()
        try:
            while (turn := await self.owner.receive(Step.TURN, 1)) != b"\x01":
                if turn != b"\x00":
                    raise PeerError("the owner sent nonsense")
            before, started = self.owner.traffic, time.perf_counter()
            side = await self._apart(self._side.ready(parcel.label, parcel.material()))
        except BaseException:
            parcel.piece.close()
            raise
        tally = self._tally
        tally.ready_s += time.perf_counter() - started
        tally.deal_s += parcel.deal_s
        tally.fetch_s += parcel.fetch_s
        tally.offline_bytes += parcel.both + (self.owner.traffic - before).sent_bytes
        self._ready = _Ready(parcel, side)

    async def feed(self, tokens: Sequence[int]) -> int:
        """Run the passes for these tokens, the prompt or one; returns the token that follows.

        Raises
        ------
        PeerError
            Where the owner or the dealer is gone.
        RangeError, UsageError
        """
        begin = self._done
        whole = [n for _, n in self._passes[begin:]]
        if not whole:
            raise UsageError("all passes of this session are used; begin another one")
        if len(tokens) != (self.rows if begin == 0 else 1):
            raise UsageError(f"{len(tokens)} tokens do not fit this session; begin another one")
        at, token = 0, 0
        while at < len(tokens):
            rows = self._passes[self._done][1]
            token = await self._pass(tokens[at : at + rows])
            at += rows
        tally, self._tally = self._tally, _Tally()
        self.reports.append(_report(self._passes[begin][0], len(tokens), tally))
        return token

    async def _pass(self, tokens: Sequence[int]) -> int:
        """Run the next pass, again where it has no result."""
        while True:
            await self.ready()
            if self._ready is None:
                raise UsageError("a session is fed by one task")
            ready, self._ready = self._ready, None
            start, rows = self._passes[self._done]
            before, begun = self.owner.traffic, time.perf_counter()
            try:
                outcome = await self._apart(self._side.run(ready.side, tokens))
            finally:
                ready.parcel.piece.close()
            tally, traffic = self._tally, self.owner.traffic - before
            tally.online_s += time.perf_counter() - begun
            tally.attempts += 1
            tally.sent_bytes += traffic.sent_bytes
            tally.received_bytes += traffic.received_bytes
            tally.hops += traffic.hops
            price = await asyncio.to_thread(modes.price, self.mode, self.program, rows, start)
            tally.formula_bytes += price.online_bytes
            if outcome.done and outcome.token is not None:
                break
            await self._opened.repeat(self._done)
        if not 0 <= outcome.token < self.program.vocab:
            raise PeerError("the pass gave a token that does not exist")
        self._done += 1
        return outcome.token


def _report(start: int, rows: int, t: _Tally) -> PassReport:
    return PassReport(
        start, rows, t.attempts, t.online_s, t.ready_s, t.deal_s, t.fetch_s, t.sent_bytes,
        t.received_bytes, t.formula_bytes, t.offline_bytes, t.hops / 2,
    )  # fmt: skip
