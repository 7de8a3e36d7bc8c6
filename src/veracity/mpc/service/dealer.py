"""The dealer as a service: offline only; sees programs without weights, lengths, and no values.

An owner registers a session: the program, the seed of the weights' masks, the mode, and the
lengths of the passes. The user joins it by its name, 16 random bytes that the owner has told it.
Passes are dealt in order as they are asked for, once both are there, and wait on disk under a cap
until both have them. Nothing is dealt twice: a name serves one session, a pass has one piece for
each party.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from veracity.errors import FormatError, PeerError, UsageError, VeracityError
from veracity.graph.program import Program
from veracity.mpc.party import OWNER, USER, Array
from veracity.mpc.service import modes
from veracity.mpc.service.store import Piece, Store
from veracity.mpc.service.supply import HEADER, REQUEST, Kind, passes_of
from veracity.mpc.service.weights import masked_bytes, seed_digest
from veracity.mpc.service.wire import (
    PROTOCOL,
    Step,
    digest_of,
    hear,
    hear_chunks,
    lively,
    tell,
    tell_chunks,
)
from veracity.mpc.session import Dealt, dealer_weights
from veracity.mpc.transport import Channel

__all__ = ["DealerLimits", "DealerService"]

_LOG = logging.getLogger(__name__)
_NAMES = ("owner", "user")
#: Bytes of a program's description.
PROGRAM_LIMIT = 1 << 26


@dataclass(frozen=True)
class DealerLimits:
    """What a dealer gives to its sessions.

    Parameters
    ----------
    disk : int
        Bytes of material that wait, for each session.
    memory : int
        Bytes of weights' masks, all models together.
    passes : int
        Passes of a session.
    idle : float
        Seconds that a party may do nothing.
    """

    disk: int = 8 << 30
    memory: int = 8 << 30
    passes: int = 4096
    idle: float = 900.0


@dataclass(eq=False)
class _Model:
    """A program and the masks of its weights."""

    program: Program
    masks: Mapping[str, Array]
    size: int
    uses: int = 0


@dataclass
class _Made:
    """One pass, dealt."""

    dealt: tuple[Dealt, Dealt]
    pieces: tuple[Piece, Piece]
    micros: int
    asked: set[int] = field(default_factory=set)
    taken: set[int] = field(default_factory=set)

    def close(self) -> None:
        """Drop what is not on its way to a party just now; that goes when it has arrived."""
        for party, piece in enumerate(self.pieces):
            if party not in self.asked:
                piece.close()


class _Session:
    """Dealing for one session, in the background."""

    def __init__(
        self,
        model: _Model,
        mode: str,
        name: bytes,
        passes: list[tuple[int, int]],
        store: Store,
    ) -> None:
        self.mode, self.name, self.passes = mode, name, passes
        self._program = model.program
        self._side = modes.dealer(mode, model.program, model.masks, name)
        self._store = store
        self._made: dict[int, _Made] = {}
        self._epoch = self._next = 0
        self._asked = [-1, -1]
        self._changed = asyncio.Condition()
        self._fault: VeracityError | None = None
        self._task: asyncio.Task[None] | None = None
        self.joined: set[int] = set()
        self.dealt = self.bytes = 0
        self.seconds = 0.0

    async def join(self, party: int) -> None:
        """A party is there; dealing begins with the second one."""
        if party in self.joined:
            raise PeerError("this session has this party already")
        self.joined.add(party)
        if self.joined == {OWNER, USER}:
            self._task = asyncio.create_task(self._deal())

    async def leave(self) -> None:
        """A party has gone: the session is over."""
        await self._end(PeerError("the other party has left the session"))
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        for made in self._made.values():
            made.close()
        self._made.clear()

    async def _end(self, fault: VeracityError) -> None:
        async with self._changed:
            self._fault = self._fault or fault
            self._changed.notify_all()

    async def obtain(self, party: int, epoch: int, index: int) -> _Made | None:
        """A pass's material for a party; None where it belongs to an epoch that has passed."""
        async with self._changed:
            if epoch == self._epoch + 1 and index < self._next:
                self._epoch, self._next = epoch, index
                for made in self._made.values():
                    made.close()
                self._made.clear()
                self._asked = [index - 1, index - 1]
            elif epoch > self._epoch:
                raise PeerError("a repetition of what was not dealt yet")
            if epoch == self._epoch and index != self._asked[party] + 1:
                raise PeerError("material is asked for in order, and once")
            if epoch == self._epoch:
                self._asked[party] = index
                self._changed.notify_all()
            await self._changed.wait_for(
                lambda: epoch != self._epoch or index in self._made or self._fault
            )
            if epoch != self._epoch:
                return None
            if index not in self._made:
                raise self._fault or PeerError("the session is over")
            self._made[index].asked.add(party)
            return self._made[index]

    async def took(self, party: int, made: _Made) -> None:
        """A party has its piece of a pass; with the second one it is gone."""
        made.taken.add(party)
        async with self._changed:
            if len(made.taken) == 2:
                self._made = {i: m for i, m in self._made.items() if m is not made}
            self._changed.notify_all()

    # In the background.

    async def _deal(self) -> None:
        try:
            while True:
                async with self._changed:
                    await self._changed.wait_for(
                        lambda: self._next < len(self.passes) and self._next <= max(self._asked)
                    )
                    epoch, index = self._epoch, self._next
                made = await self._one(*self.passes[index])
                async with self._changed:
                    if epoch != self._epoch:
                        made.close()
                        continue
                    self._made[index] = made
                    self._next += 1
                    self._changed.notify_all()
        except VeracityError as fault:
            await self._end(fault)
        except Exception as fault:
            _LOG.error("dealing failed: %s", type(fault).__name__)
            await self._end(UsageError("the dealer cannot go on"))

    async def _one(self, start: int, rows: int) -> _Made:
        cost = await asyncio.to_thread(modes.price, self.mode, self._program, rows, start)
        # An owner's share may include what the user sends it: then the file is smaller.
        owner = await self._store.take(cost.offline_bytes_owner)
        user = await self._store.take(cost.offline_bytes_user)
        started = time.perf_counter()
        try:
            dealt = await asyncio.shield(
                asyncio.to_thread(self._side.deal, start, rows, owner, user)
            )
        except BaseException:
            owner.close()
            user.close()
            raise
        took = time.perf_counter() - started
        self.dealt += 1
        self.seconds += took
        self.bytes += sum(d.size for d in dealt)
        return _Made(dealt, (owner, user), round(took * 1e6))


class DealerService:
    """Give :meth:`handle` to a :class:`~veracity.mpc.transport.Server`.

    Parameters
    ----------
    folder : Path
        Where material waits.
    limits : DealerLimits
        What each session gets.
    """

    def __init__(self, folder: Path, limits: DealerLimits | None = None) -> None:
        self._folder = folder
        self._limits = limits or DealerLimits()
        self._models: dict[bytes, _Model] = {}
        self._loading = asyncio.Lock()
        self._sessions: dict[bytes, _Session] = {}
        self._names: set[bytes] = set()

    async def handle(self, channel: Channel) -> None:
        """One connection: a party of one session."""
        hello = await hear(channel, Step.HELLO, {"protocol": int, "party": str, "session": str})
        if hello["protocol"] != PROTOCOL or hello["party"] not in _NAMES:
            await channel.refuse("another version of the services' protocol; update veracity")
            return
        if channel.peer not in ("", hello["party"]):
            raise PeerError("a party that is not what its certificate says")
        name = digest_of(hello, "session", 16)
        if hello["party"] == "owner":
            await self._owner(channel, name)
            return
        session = self._sessions.get(name)
        if session is None:
            await channel.refuse("no such session; begin a new one with the owner")
            return
        await session.join(USER)
        await self._supply(channel, session, USER)

    async def _owner(self, channel: Channel, name: bytes) -> None:
        """Register a session and supply its owner."""
        fields = {"mode": str, "program": str, "masks": str, "rows": int, "passes": int}
        order = await hear(channel, Step.ASK, fields)
        if name in self._names:
            await channel.refuse("this session's name was used before")
            return
        if order["mode"] not in modes.MODES:
            raise PeerError("the other party asks for a mode that does not exist")
        key = digest_of(order, "program") + digest_of(order, "masks")
        try:
            model = await self._model(channel, key)
        except UsageError as fault:
            await channel.refuse(str(fault))
            return
        if not (
            order["rows"] >= 1
            and 1 <= order["passes"] <= self._limits.passes
            and order["rows"] + order["passes"] - 1 <= model.program.context
        ):
            await channel.refuse("the session is longer than the model's context or our limit")
            return
        passes = passes_of(order["rows"], order["passes"])
        heaviest = [
            await asyncio.to_thread(modes.price, order["mode"], model.program, rows, start)
            for start, rows in {passes[0], passes[-order["passes"]], passes[-1]}
        ]
        if max(c.offline_bytes_owner + c.offline_bytes_user for c in heaviest) > self._limits.disk:
            await channel.refuse(
                "one pass needs more material than the dealer's --cap; shorten the prompt"
            )
            return
        self._names.add(name)
        store = Store(self._folder, self._limits.disk)
        session = _Session(model, order["mode"], name, passes, store)
        self._sessions[name] = session
        model.uses += 1
        try:
            await tell(channel, Step.ANSWER, ok=True)
            await session.join(OWNER)
            await self._supply(channel, session, OWNER)
        finally:
            model.uses -= 1
            self._sessions.pop(name, None)
            _LOG.info(
                "session %s (%s): prompt of %d tokens; dealt %d passes, %.1f MB in %.1f s; "
                "received %d bytes from the owner: lengths, shapes, requests",
                name.hex()[:8], session.mode, order["rows"], session.dealt,
                session.bytes / 1e6, session.seconds, channel.traffic.received_bytes,
            )  # fmt: skip

    async def _model(self, channel: Channel, key: bytes) -> _Model:
        """The model, from memory or from the owner."""
        known = self._models.get(key)
        await tell(channel, Step.ANSWER, known=known is not None)
        if known is not None:
            return known
        body = await hear(channel, Step.ASK, {"program_bytes": int, "seed": str})
        if body["program_bytes"] > PROGRAM_LIMIT:
            raise PeerError("the other party sends a program that is too large")
        seed = digest_of(body, "seed")
        data = bytearray()
        async for part in hear_chunks(channel, body["program_bytes"]):
            data += part
        try:
            program = await asyncio.to_thread(Program.from_json, data.decode())
        except (FormatError, UnicodeDecodeError):
            raise PeerError("the other party sent a program that does not parse") from None
        if bytes.fromhex(program.digest) + seed_digest(seed) != key:
            raise PeerError("the other party sent another model than it named")
        async with self._loading:
            if key in self._models:
                return self._models[key]
            size = masked_bytes(program)
            self._make_room(size)
            masks = await asyncio.to_thread(dealer_weights, program, seed)
            model = _Model(program, masks, size)
            self._models[key] = model
            return model

    def _make_room(self, size: int) -> None:
        for key, model in list(self._models.items()):
            if sum(m.size for m in self._models.values()) + size <= self._limits.memory:
                return
            if model.uses == 0:
                del self._models[key]
        if sum(m.size for m in self._models.values()) + size > self._limits.memory:
            raise UsageError("the weights' masks need more than the dealer's --memory")

    async def _supply(self, channel: Channel, session: _Session, party: int) -> None:
        """Answer a party's requests until it leaves."""

        async def wait() -> None:
            await channel.send(Step.HEADER, HEADER.pack(Kind.WAIT, b"", b"", 0, 0, 0))

        try:
            if party == USER:
                await tell(channel, Step.ANSWER, ok=True)
            while True:
                request = await channel.receive(
                    Step.REQUEST, REQUEST.size, timeout=self._limits.idle
                )
                epoch, index = REQUEST.unpack(request)
                obtaining = session.obtain(party, epoch, index)
                made = await lively(obtaining, wait)
                if made is None:
                    await channel.send(Step.HEADER, HEADER.pack(Kind.STALE, b"", b"", 0, 0, 0))
                    continue
                await self._send(channel, session, party, made)
        except VeracityError as fault:
            # In order, as far as the dealer can tell: parties leave when they have finished.
            await channel.refuse(str(fault))
        finally:
            await session.leave()

    async def _send(self, channel: Channel, session: _Session, party: int, made: _Made) -> None:
        dealt, piece = made.dealt[party], made.pieces[party]
        both = sum(d.size for d in made.dealt)
        header = HEADER.pack(
            Kind.MATERIAL, dealt.label.encode(), dealt.seed, dealt.size, both, made.micros
        )
        try:
            await channel.send(Step.HEADER, header)
            await channel.receive(Step.ACCEPT, 1, timeout=self._limits.idle)
            for part in piece.read():
                await tell_chunks(channel, memoryview(part))
        finally:
            piece.close()
        await session.took(party, made)
