"""The dealer as a service: offline only; sees programs without weights, lengths, and no values.

An owner registers a session: the program, the seed of the weights' masks, the mode, and the
lengths of the passes. The user joins it by its name, 16 random bytes that the owner has told it.
Passes are dealt in order as they are asked for, once both are there, and wait on disk under a cap
until both have them. Nothing is dealt twice: a name serves one session, a pass has one piece for
each party.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from pathlib import Path

from veracity.engine.api import Engine
from veracity.errors import FormatError, PeerError, UsageError, VeracityError
from veracity.formats.commitment import read_program
from veracity.graph.program import Program
from veracity.lm.text_decoder import context_of, is_text_decoder
from veracity.mpc.modes import MODES
from veracity.mpc.party import OWNER, USER
from veracity.mpc.weights import MaskTable, largest_masked_bytes, masked_bytes, seed_digest
from veracity.net import Channel
from veracity.private.parties.dealing import Dealing, Made, Model
from veracity.private.parties.owner import caller
from veracity.private.parties.passes import passes_of, price_of, stored
from veracity.private.parties.preprocessing_client import ACCEPT, HEADER, REQUEST, TURN, Kind
from veracity.private.parties.spool import Spool
from veracity.private.parties.wire import (
    CHUNK,
    FIRST_WORD,
    PROTOCOL,
    MessageTag,
    digest_of,
    keep_alive,
    receive_chunks,
    receive_object,
    send_object,
)

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
        Bytes of weights' masks that stay, all models together; others are made as they are used.
    sessions : int
        Sessions at once.
    passes : int
        Passes of a session.
    idle : float
        Seconds that a party may do nothing.
    """

    disk: int = 2 << 30
    memory: int = 8 << 30
    sessions: int = 8
    passes: int = 4096
    idle: float = 900.0


class DealerService:
    """Give :meth:`handle` to a :class:`~veracity.net.Server`.

    Parameters
    ----------
    engine : Engine
        What computes.
    folder : Path
        Where material waits.
    limits : DealerLimits
        What each session gets.
    """

    def __init__(self, engine: Engine, folder: Path, limits: DealerLimits | None = None) -> None:
        self._engine = engine
        self._folder = folder
        self._limits = limits or DealerLimits()
        self._models: dict[bytes, Model] = {}
        self._loading = asyncio.Lock()
        self._sessions: dict[bytes, Dealing] = {}
        self._names: set[bytes] = set()

    async def handle(self, channel: Channel) -> None:
        """One connection: a party of one session."""
        hello = await receive_object(
            channel,
            MessageTag.HELLO,
            {"protocol": int, "party": str, "session": str},
            timeout=FIRST_WORD,
        )
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
        session.user = caller(channel)
        await self._preprocessing(channel, session, USER)

    async def _owner(self, channel: Channel, name: bytes) -> None:
        """Register a session and send its owner the material."""
        fields = {"mode": str, "program": str, "masks": str, "rows": int, "passes": int}
        order = await receive_object(channel, MessageTag.ASK, fields, timeout=FIRST_WORD)
        if name in self._names:
            await channel.refuse("this session's name was used before")
            return
        if order["mode"] not in MODES:
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
            and order["rows"] + order["passes"] - 1 <= context_of(model.program)
        ):
            await channel.refuse("the session is longer than the model's context or our limit")
            return
        price = price_of(self._engine, model.program, order["mode"])
        passes = await asyncio.to_thread(passes_of, order["rows"], order["passes"], price)
        if await asyncio.to_thread(stored, passes, price, order["mode"]) > self._limits.disk:
            await channel.refuse(
                "one pass needs more material than the dealer's --cap; raise it there, or shorten "
                "prompt and answer"
            )
            return
        if name in self._names:  # since it was looked up
            await channel.refuse("this session's name was used before")
            return
        if len(self._sessions) >= self._limits.sessions:
            await channel.refuse("all sessions of the dealer are taken; try again later")
            return
        self._names.add(name)
        spool = Spool(self._folder, self._limits.disk)
        session = Dealing(self._engine, model, order["mode"], name, passes, spool)
        session.rows = order["rows"]
        self._sessions[name] = session
        model.uses += 1
        try:
            await send_object(channel, MessageTag.ANSWER, ok=True)
            await session.join(OWNER)
            await self._preprocessing(channel, session, OWNER)
        finally:
            model.uses -= 1
            self._sessions.pop(name, None)
            _LOG.info(
                "session %s (%s%s%s): prompt of %d tokens; dealt %d passes, %.1f MB in %.1f s; "
                "received %d bytes from the owner: program, lengths, requests",
                name.hex()[:8], session.mode, caller(channel), session.user, session.rows,
                session.dealt, session.bytes / 1e6, session.seconds, channel.traffic.received_bytes,
            )  # fmt: skip

    async def _model(self, channel: Channel, key: bytes) -> Model:
        """The model, from memory or from the owner."""
        known = self._models.get(key)
        await send_object(channel, MessageTag.ANSWER, known=known is not None)
        if known is not None:
            return known
        body = await receive_object(channel, MessageTag.ASK, {"program_bytes": int, "seed": str})
        if body["program_bytes"] > PROGRAM_LIMIT:
            raise PeerError("the other party sends a program that is too large")
        seed = digest_of(body, "seed")
        data = bytearray()
        async for part in receive_chunks(channel, body["program_bytes"]):
            data += part
        try:
            program = await asyncio.to_thread(read_program, bytes(data), "program")
        except FormatError:
            raise PeerError("the other party sent a program that does not parse") from None
        if not is_text_decoder(program):
            raise PeerError("the other party sent a program that is no text decoder")
        if bytes.fromhex(program.digest) + seed_digest(seed) != key:
            raise PeerError("the other party sent another model than it named")
        async with self._loading:
            if key in self._models:
                return self._models[key]
            room = self._room(masked_bytes(program))
            if largest_masked_bytes(program) > room:
                raise UsageError("a matrix of the model needs more than the dealer's --memory")
            masks = await asyncio.to_thread(
                MaskTable, self._engine.ring, program, seed, _to_keep(program, room)
            )
            model = Model(program, masks)
            self._models[key] = model
            return model

    def _room(self, size: int) -> int:
        """Bytes for another model's masks; models without a session make room for all of them."""
        for key, model in list(self._models.items()):
            if self._free >= size:
                break
            if model.uses == 0:
                del self._models[key]
        return self._free

    @property
    def _free(self) -> int:
        return self._limits.memory - sum(m.masks.kept_bytes for m in self._models.values())

    async def _preprocessing(self, channel: Channel, session: Dealing, party: int) -> None:
        """Answer a party's requests until it leaves."""

        async def wait() -> None:
            await channel.send(MessageTag.HEADER, HEADER.pack(Kind.WAIT, b"", b"", 0, 0, 0))

        try:
            if party == USER:
                await send_object(channel, MessageTag.ANSWER, ok=True)
            while True:
                request = await channel.receive(
                    MessageTag.REQUEST, REQUEST.size, timeout=self._limits.idle
                )
                epoch, index = REQUEST.unpack(request)
                if epoch == TURN and party == OWNER:
                    await self._turn(channel, session)
                    continue
                obtaining = session.obtain(party, epoch, index)
                made = await keep_alive(obtaining, wait)
                if made is None:
                    await channel.send(
                        MessageTag.HEADER, HEADER.pack(Kind.STALE, b"", b"", 0, 0, 0)
                    )
                    continue
                await self._send(channel, session, party, made)
        except VeracityError as fault:
            # In order, as far as the dealer knows: parties leave when they have finished.
            await channel.refuse(str(fault))
        finally:
            await session.leave()

    async def _turn(self, channel: Channel, session: Dealing) -> None:
        """More passes of a session, behind tokens that were fed.

        Raises
        ------
        PeerError, UsageError
        """
        fields: dict[str, type] = {"start": int, "rows": int, "passes": int}
        order = await receive_object(channel, MessageTag.ASK, fields, timeout=FIRST_WORD)
        start, rows, count = (order[name] for name in fields)
        last, length = session.passes[-1]
        if not (
            min(rows, count) >= 1
            and start <= last + length
            and len(session.passes) + count <= self._limits.passes
            and start + rows + count - 1 <= context_of(session.model.program)
        ):
            raise UsageError("the session is longer than the model's context or our limit")
        price = price_of(self._engine, session.model.program, session.mode)
        passes = await asyncio.to_thread(passes_of, rows, count, price, start)
        if await asyncio.to_thread(stored, passes, price, session.mode) > self._limits.disk:
            raise UsageError("one pass needs more material than the dealer's --cap")
        await session.extend(passes)
        session.rows += rows
        await send_object(channel, MessageTag.ANSWER, ok=True)

    async def _send(self, channel: Channel, session: Dealing, party: int, made: Made) -> None:
        """A party's piece of a pass, as it is dealt and as there is room at the party."""
        dealt, piece = made.dealt[party], made.pieces[party]

        async def say(kind: Kind, size: int = 0, both: int = 0, micros: int = 0) -> None:
            await channel.send(MessageTag.HEADER, HEADER.pack(kind, b"", b"", size, both, micros))

        async def accepted() -> int:
            data = await channel.receive(MessageTag.ACCEPT, ACCEPT.size, timeout=self._limits.idle)
            return int(ACCEPT.unpack(data)[0])

        header = HEADER.pack(Kind.MATERIAL, dealt.label.encode(), dealt.seed, piece.size, 0, 0)
        try:
            await channel.send(MessageTag.HEADER, header)
            sent = allowed = 0
            while True:
                if sent == allowed and sent < piece.size:
                    allowed = await accepted()
                    if allowed == 0:
                        return
                    if allowed <= sent:
                        raise PeerError("a party takes back what it accepted")
                most = max(1, min(CHUNK, allowed - sent))
                data = await keep_alive(piece.part(most), lambda: say(Kind.WAIT))
                if not data:
                    break
                await say(Kind.PART, len(data))
                await channel.send(MessageTag.CHUNK, data)
                sent += len(data)
            await say(Kind.END, sent, sum(d.size for d in made.dealt), made.micros)
            while await accepted():
                pass
        finally:
            piece.close()
        await session.took(party, made)


def _to_keep(program: Program, room: int) -> int:
    """Bytes of masks that may stay: all, or what leaves room for making the largest one."""
    whole = masked_bytes(program)
    return whole if whole <= room else room - largest_masked_bytes(program)
