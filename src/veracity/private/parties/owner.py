"""The owner as a service: weights on its disk, clients one after another and at once.

A client asks for the public card (program without weights, tokenizer), once for the masked
weights, then for a session: so many prompt tokens, so many passes. The owner names the session,
registers it with the dealer, tells the client, and runs passes until the client leaves. It learns
the lengths and nothing else.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from veracity.engine.api import Engine
from veracity.errors import PeerError, UsageError
from veracity.graph.program import Program
from veracity.lm.text_decoder import context_of
from veracity.mpc.modes import find_mode
from veracity.mpc.party import OWNER
from veracity.mpc.sessions import Integers
from veracity.mpc.weights import masked_parts, owner_weights, seed_digest
from veracity.net import Channel
from veracity.net.person import Quota
from veracity.net.server import PAUSE
from veracity.private.parties.passes import REPETITIONS, passes_of, price_of
from veracity.private.parties.preprocessing_client import PreprocessingClient
from veracity.private.parties.spool import SharedRegistry, Spool
from veracity.private.parties.thread_adapter import SessionThread, ThreadAdapter, light
from veracity.private.parties.wire import (
    CHUNK,
    FIRST_WORD,
    PROTOCOL,
    MessageTag,
    in_time,
    keep_alive,
    receive_object,
    send_chunks,
    send_object,
)

__all__ = ["OwnerService", "ServiceLimits", "caller", "register"]

_LOG = logging.getLogger(__name__)


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
    idle : float
        Seconds that a user may think before it feeds a token.
    material : float
        Seconds that the material of one pass may take, whatever signs of life there are.
    """

    disk: int = 8 << 30
    ahead: int = 8
    asking: float = 120.0
    idle: float = 600.0
    material: float = 1800.0


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
    downloads: Quota = field(default_factory=lambda: Quota("downloads", 4, 1))

    def __post_init__(self) -> None:
        self._mode = find_mode(self.mode)
        self._mode.plan(self.engine, self.program, 1, 0)  # refuses what the mode cannot evaluate
        self.digest = hashlib.sha256(self.card).digest()
        self._layers = owner_weights(self.program, self.weights)

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
            ask = await receive_object(channel, MessageTag.ASK, fields, timeout=self.limits.asking)
            what = ask["what"]
            if what not in ("card", "weights", "session"):
                raise PeerError("the other party asks for something that does not exist")
            quota = self.sessions if what == "session" else self.downloads
            why = quota.full(channel.person)
            if what in sent:
                why = f"this connection has had the {what} already"
            if why is not None:
                _LOG.info("refused%s: %s", caller(channel), why)
                await asyncio.sleep(PAUSE)
                await channel.refuse(why)
                return
            sent.add(what)
            with quota.held(channel.person):
                if what == "card":
                    await send_chunks(channel, memoryview(self.card))
                elif what == "weights":
                    await self._send_weights(channel)
                else:
                    await self._session(channel, ask["rows"], ask["passes"])
                    return

    async def _send_weights(self, channel: Channel) -> None:
        """``W - U``, 8 bytes a weight, in chunks that do not depend on the tensors."""
        held = bytearray()
        parts = masked_parts(self.engine.ring, self.program, self.weights, self.seed)
        while (part := await asyncio.to_thread(next, parts, None)) is not None:
            held += part.tobytes()
            whole = len(held) - len(held) % CHUNK
            if whole:
                await send_chunks(channel, memoryview(bytes(held[:whole])))
                del held[:whole]
        await send_chunks(channel, memoryview(bytes(held)))

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
            dealer, Spool(self.folder, self.limits.disk), passes, self.limits.ahead
        )
        done = 0
        try:
            preprocessing.start()
            await send_object(channel, MessageTag.ANSWER, session=name.hex())
            before = channel.traffic
            done = await self._passes(channel, preprocessing, name, passes)
        finally:
            await preprocessing.close()
        seen = channel.traffic - before
        _LOG.info(
            "session %s (%s%s): prompt of %d tokens, %d passes, received %.1f MB, all of it masked",
            name.hex()[:8], self.mode, caller(channel), rows, done, seen.received_bytes / 1e6,
        )  # fmt: skip

    async def _passes(
        self,
        channel: Channel,
        preprocessing: PreprocessingClient,
        name: bytes,
        passes: list[tuple[int, int]],
    ) -> int:
        """Run passes until the client leaves; returns how many were run."""
        bridge = ThreadAdapter(channel, asyncio.get_running_loop())
        side = self._mode.party(
            self.engine,
            OWNER,
            self.program,
            bridge,
            self._layers,
            self.weights,
            self.registry,
            name,
        )

        async def wait() -> None:
            await channel.send(MessageTag.TURN, b"\x00")

        index = failed = 0
        async with SessionThread(channel) as apart:
            await apart(side.introduce())
            while index < len(passes):
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
                    bridge.patience = self.limits.idle
                    ready = await apart(
                        side.ready(pass_material.label, pass_material.material(self.engine.ring))
                    )
                    bridge.patience = self.limits.idle
                    run = side.run(ready)
                    outcome = await (run if light(self._mode, passes[index][1]) else apart(run))
                except PeerError:
                    if index and channel.traffic.received_messages == heard:
                        break  # the client has its answer, and has left
                    raise
                finally:
                    pass_material.piece.close()
                if outcome.done:
                    index, failed = index + 1, 0
                elif failed == REPETITIONS:
                    _LOG.warning("a pass had no result %d times%s", failed + 1, caller(channel))
                    await channel.refuse("a pass had no result too often")
                    break
                else:
                    failed += 1
                    await preprocessing.repeat(index)
        return index


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
