"""The owner as a service: weights on its disk, clients one after another and at once.

A client asks for the public card (program without weights, tokenizer), once for the masked
weights, then for a session: so many prompt tokens, so many passes. The owner names the session,
registers it with the dealer, tells the client, and runs passes until the client leaves. It learns
the lengths and nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from veracity.engine.api import Engine
from veracity.errors import PeerError, UsageError
from veracity.graph.program import Program
from veracity.lm.text_decoder import context_of
from veracity.mpc.modes import find_mode
from veracity.mpc.party import OWNER
from veracity.mpc.sessions import Integers, PartySession
from veracity.mpc.weights import masked_parts, owner_weights, seed_digest
from veracity.net import Channel
from veracity.net.channel import SLOWEST
from veracity.net.person import Downloads, Person, Quota
from veracity.net.server import PAUSE
from veracity.private.parties.passes import REPETITIONS, passes_of, price_of
from veracity.private.parties.preprocessing_client import PreprocessingClient
from veracity.private.parties.spool import SharedRegistry, Spool
from veracity.private.parties.thread_adapter import SessionThread, ThreadAdapter, at_home
from veracity.private.parties.weights import paged
from veracity.private.parties.wire import (
    CHUNK,
    FIRST_WORD,
    PROTOCOL,
    MessageTag,
    Pace,
    in_time,
    keep_alive,
    receive_object,
    send_chunks,
    send_object,
)

__all__ = ["OwnerService", "ServiceLimits", "caller", "register"]

_LOG = logging.getLogger(__name__)
#: Longest wait for a session to end whose place is needed (seconds).
ROOM = 3.0


@dataclass(frozen=True)
class ServiceLimits:
    """What a party gives to each session.

    Parameters
    ----------
    disk : int
        Bytes of material that wait for their passes.
    ahead : int
        Passes that wait.
    asking : float
        Seconds that a user may take to ask for the next thing, before it has a session.
    turn : float
        Seconds that a user may take before another turn of its session.
    idle : float
        Seconds that a user may think before it feeds a token.
    material : float
        Seconds that the material of one pass may take, whatever signs of life there are.
    rate, grace : float
        Bytes per second, at least, that a user takes of card or weights, and seconds more that
        each may take.
    """

    disk: int = 2 << 30
    ahead: int = 8
    asking: float = 120.0
    turn: float = 300.0
    idle: float = 600.0
    material: float = 1800.0
    rate: float = float(SLOWEST)
    grace: float = 60.0


@dataclass(eq=False)
class OwnerService:
    """Give :meth:`handle` to a :class:`~veracity.net.Server`.

    Parameters
    ----------
    engine : Engine
        What computes.
    program : Program
        The model.
    weights : mapping
        Its integers.
    seed : bytes
        32 bytes from which the masks of the weights come; one seed for one set of weights.
    mode : str
        One of :data:`veracity.mpc.modes.MODES`.
    name : str
        Of the model, for people.
    card : bytes
        What clients get in public, the program among it.
    masked : bytes
        SHA-256 of the masked weights.
    dealer : callable
        Connects to the dealer.
    folder : Path
        Where material waits.
    registry : SharedRegistry
        Of all sessions.
    limits : ServiceLimits
        What each session gets.
    sessions, downloads : Quota
        How many there may be at once, and for each certificate. A connection counts as a session
        once it has asked for one, and has each file once.
    """

    engine: Engine
    program: Program
    weights: Integers
    seed: bytes = field(repr=False)
    mode: str
    name: str
    card: bytes
    masked: bytes
    dealer: Callable[[], Awaitable[Channel]]
    folder: Path
    registry: SharedRegistry = field(default_factory=SharedRegistry)
    limits: ServiceLimits = field(default_factory=ServiceLimits)
    sessions: Quota = field(default_factory=lambda: Quota("sessions", 4, 2))
    downloads: Quota = field(default_factory=lambda: Downloads("downloads", 4, 1))

    def __post_init__(self) -> None:
        self._mode = find_mode(self.mode)
        self._mode.plan(self.engine, self.program, 1, 0)  # refuses what the mode cannot evaluate
        self.digest = hashlib.sha256(self.card).digest()
        self._layers = paged(owner_weights(self.program, self.weights))
        self._between: dict[asyncio.Event, Person | None] = {}

    async def handle(self, channel: Channel) -> None:
        """One client."""
        hello = await receive_object(
            channel, MessageTag.HELLO, {"protocol": int}, timeout=FIRST_WORD
        )
        if hello["protocol"] != PROTOCOL:
            await channel.refuse("another version of the services' protocol; update veracity")
            return
        await send_object(
            channel,
            MessageTag.HELLO,
            protocol=PROTOCOL,
            mode=self.mode,
            name=self.name[:200],
            card=self.digest.hex(),
            card_bytes=len(self.card),
            weights=self.masked.hex(),
        )
        sent: set[str] = set()
        while True:
            fields = {"what": str, "rows": int, "passes": int}
            try:
                ask = await receive_object(
                    channel, MessageTag.ASK, fields, timeout=self.limits.asking
                )
            except PeerError as fault:
                _LOG.info("no session was asked for%s: %s", caller(channel), fault)
                return
            what = ask["what"]
            if what not in ("card", "weights", "session"):
                raise PeerError("the other party asks for something that does not exist")
            quota = self.sessions if what == "session" else self.downloads
            why = quota.full(channel.person)
            if why is not None and what == "session":
                why = await self._make_room(channel)
            if what in sent:
                why = f"this connection has had the {what} already"
            if why is not None:
                _LOG.info("refused%s: %s", caller(channel), why)
                await asyncio.sleep(PAUSE)
                await channel.refuse(why)
                return
            sent.add(what)
            with quota.held(channel.person):
                if what == "session":
                    await self._session(channel, ask["rows"], ask["passes"])
                    return
                pace = Pace(self.limits.rate, self.limits.grace)
                if what == "card":
                    await send_chunks(channel, memoryview(self.card), pace)
                else:
                    await self._send_weights(channel, pace)

    async def _make_room(self, channel: Channel) -> str | None:
        """End the session that has waited longest for another turn; why there is no room, if so."""
        anybody = self.sessions.taken >= self.sessions.most
        for left, person in self._between.items():
            if not left.is_set() and (anybody or person == channel.person):
                left.set()
                break
        else:
            return self.sessions.full(channel.person)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ROOM):
                while self.sessions.full(channel.person) is not None:
                    await asyncio.sleep(0.01)
        return self.sessions.full(channel.person)

    async def _send_weights(self, channel: Channel, pace: Pace) -> None:
        """``W - U``, 8 bytes a weight, in chunks that do not depend on the tensors."""
        held = bytearray()
        parts = masked_parts(self.engine.ring, self.program, self.weights, self.seed)
        while (part := await asyncio.to_thread(next, parts, None)) is not None:
            held += part.tobytes()
            whole = len(held) - len(held) % CHUNK
            if whole:
                await send_chunks(channel, memoryview(bytes(held[:whole])), pace)
                del held[:whole]
        await send_chunks(channel, memoryview(bytes(held)), pace)

    async def _session(self, channel: Channel, rows: int, count: int) -> None:
        if not (min(rows, count) >= 1 and rows + count - 1 <= context_of(self.program)):
            await channel.refuse(
                f"prompt and answer have to fit the model's context of {context_of(self.program)}"
            )
            return
        name, price = secrets.token_bytes(16), price_of(self.engine, self.program, self.mode)
        try:
            dealer = await register(self, name, rows, count)
        except PeerError as fault:
            _LOG.warning("no session: %s", fault)
            await channel.refuse(f"the owner has no dealer: {fault}")
            return
        passes = await asyncio.to_thread(passes_of, rows, count, price)
        preprocessing = PreprocessingClient(
            dealer,
            Spool(self.folder, self.limits.disk),
            passes,
            self.limits.ahead,
            self._mode.streams,
        )
        try:
            preprocessing.start()
            await send_object(channel, MessageTag.ANSWER, session=name.hex())
            async with self._side(channel, name) as side:
                while True:
                    before = channel.traffic
                    ran = await self._passes(side, preprocessing, passes)
                    seen = channel.traffic - before
                    _LOG.info(
                        "session %s (%s%s): prompt of %d tokens, %d passes, received %.1f MB, "
                        "all of it masked",
                        name.hex()[:8], self.mode, caller(channel), rows, ran,
                        seen.received_bytes / 1e6,
                    )  # fmt: skip
                    if ran < len(passes):
                        break
                    turn = await self._turn(channel, passes)
                    if turn is None:
                        break
                    start, rows, count = turn
                    passes = await asyncio.to_thread(passes_of, rows, count, price, start)
                    try:
                        await preprocessing.extend(passes, turn)
                    except (PeerError, UsageError) as fault:
                        await channel.refuse(f"the owner got no material: {fault}")
                        break
                    await send_object(channel, MessageTag.ANSWER, ok=True)
        finally:
            await preprocessing.close()

    async def _turn(
        self, channel: Channel, passes: list[tuple[int, int]]
    ) -> tuple[int, int, int] | None:
        """What the user asks next in this session: start, rows and tokens of the answer.

        None where it leaves, takes too long, or its place is needed for somebody else.
        """
        left = asyncio.Event()
        self._between[left] = channel.person
        fields: dict[str, type] = {"start": int, "rows": int, "passes": int}
        asking = asyncio.ensure_future(
            receive_object(channel, MessageTag.ASK, fields, timeout=self.limits.turn)
        )
        leaving = asyncio.ensure_future(left.wait())
        try:
            await asyncio.wait((asking, leaving), return_when=asyncio.FIRST_COMPLETED)
            if not asking.done():
                await channel.refuse("this session's place was needed; begin another one")
                return None
            order = asking.result()
        except PeerError:
            return None  # the user has left
        finally:
            del self._between[left]
            for task in (asking, leaving):
                task.cancel()
            await asyncio.wait((asking, leaving))
            if not asking.cancelled():
                asking.exception()
        start, rows, count = (order[name] for name in fields)
        last, length = passes[-1]
        fits = start + rows + count - 1 <= context_of(self.program)
        if not (min(rows, count) >= 1 and start <= last + length and fits):
            await channel.refuse("this turn does not follow, or is longer than the model's context")
            return None
        return start, rows, count

    @asynccontextmanager
    async def _side(self, channel: Channel, name: bytes) -> AsyncIterator[_Side]:
        """The owner's part of a session's protocol, in a thread of its own."""
        bridge = ThreadAdapter(channel, asyncio.get_running_loop())
        party = self._mode.party(
            self.engine,
            OWNER,
            self.program,
            bridge,
            self._layers,
            self.weights,
            self.registry,
            name,
        )
        async with SessionThread(channel) as apart:
            await apart(party.introduce())
            yield _Side(channel, bridge, party, apart)

    async def _passes(
        self, side: _Side, preprocessing: PreprocessingClient, passes: list[tuple[int, int]]
    ) -> int:
        """Run the passes of a turn, or until the client leaves; returns how many were run."""
        channel, apart, party = side.channel, side.apart, side.party

        async def wait() -> None:
            await channel.send(MessageTag.TURN, b"\x00")

        done = failed = 0
        while done < len(passes):
            try:
                async with in_time(self.limits.material):
                    pass_material = await keep_alive(preprocessing.next(), wait)
            except (PeerError, UsageError) as fault:
                _LOG.warning("a session has no more material: %s", fault)
                await channel.refuse(f"the owner got no material: {fault}")
                break
            heard = channel.traffic.received_messages
            try:
                await channel.send(MessageTag.TURN, b"\x01")
                side.bridge.patience = self.limits.idle
                ready = await apart(
                    party.ready(pass_material.label, pass_material.material(self.engine.ring))
                )
                side.bridge.patience = self.limits.idle
                run = party.run(ready)
                alone = self.sessions.taken == 1 and pass_material.piece.whole
                home = at_home(self._mode, passes[done][1], alone=alone)
                outcome = await (run if home else apart(run))
            except PeerError:
                if done and channel.traffic.received_messages == heard:
                    break  # the client has its answer, and has left
                raise
            finally:
                pass_material.piece.close()
            if outcome.done:
                side.run, done, failed = side.run + 1, done + 1, 0
            elif failed == REPETITIONS:
                _LOG.warning("a pass had no result %d times%s", failed + 1, caller(channel))
                await channel.refuse("a pass had no result too often")
                break
            else:
                failed += 1
                await preprocessing.repeat(side.run)
        return done


@dataclass(eq=False)
class _Side:
    """The owner's part of a session under way; ``run`` counts its passes."""

    channel: Channel
    bridge: ThreadAdapter
    party: PartySession
    apart: SessionThread
    run: int = 0


def caller(channel: Channel) -> str:
    """Who calls, for logs: name and serial number of the certificate, after a comma."""
    return "" if channel.person is None else f", {channel.person}"


async def register(owner: OwnerService, name: bytes, rows: int, count: int) -> Channel:
    """Tell the dealer about a session.

    Parameters
    ----------
    owner : OwnerService
        Who serves the session.
    name : bytes
        The session's name.
    rows : int
        Tokens of the prompt.
    count : int
        Tokens of the answer.

    Raises
    ------
    PeerError
    """
    channel = await owner.dealer()
    try:
        await send_object(
            channel, MessageTag.HELLO, protocol=PROTOCOL, party="owner", session=name.hex()
        )
        program = owner.program.to_json().encode()
        await send_object(
            channel,
            MessageTag.ASK,
            mode=owner.mode,
            program=owner.program.digest,
            masks=seed_digest(owner.seed).hex(),
            rows=rows,
            passes=count,
        )
        if not (await receive_object(channel, MessageTag.ANSWER, {"known": bool}))["known"]:
            await send_object(
                channel, MessageTag.ASK, program_bytes=len(program), seed=owner.seed.hex()
            )
            await send_chunks(channel, memoryview(program))
        # The dealer expands the masks of a model that it sees for the first time.
        await receive_object(
            channel, MessageTag.ANSWER, {"ok": bool}, timeout=max(300.0, channel.timeout)
        )
    except BaseException:
        channel.abort()
        raise
    return channel
