"""Material of a session's passes, from the dealer to a party: fetched ahead, in the background.

A session is a list of passes, known to all three: the prompt, then one token each. A party asks for
them one after another and keeps what it gets on disk until the pass is run. A pass whose material
is larger than the window of a spool is used as it comes: it is accepted when the party wants it, no
other waits meanwhile, and dealer and parties hold a window of it. Where a pass has no result and
must be repeated, both parties ask again from that pass on, one epoch later.

``request``: epoch, index (u32 each). ``header``: kind, label, seed, bytes for this party, bytes for
both, microseconds that the dealer took. After a header of the kind ``MATERIAL``, which says how
many bytes there may be, the party accepts: how many it has room for, counted from the first (u64),
again each time it has used a part of its window, and 0 when it has all or wants no more. Headers of
the kind ``PART`` come before chunks, one of the kind ``END`` says what there was.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
import time
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from veracity.engine.api import Ring
from veracity.errors import FormatError, PeerError, UsageError, VeracityError
from veracity.mpc.material import Label, Material
from veracity.net import Channel
from veracity.private.parties.spool import Piece, Spool
from veracity.private.parties.wire import CHUNK, MessageTag, receive_object, send_object

__all__ = ["ACCEPT", "HEADER", "REQUEST", "TURN", "Kind", "PassMaterial", "PreprocessingClient"]

REQUEST = struct.Struct("<II")
#: In place of an epoch: the owner tells of another turn, and its passes.
TURN = (1 << 32) - 1
HEADER = struct.Struct(f"<B7x{Label.SIZE}s32sQQQ")
ACCEPT = struct.Struct("<Q")


class Kind(IntEnum):
    """What a header says."""

    WAIT = 0  # the dealer is at work
    MATERIAL = 1
    STALE = 2  # the other party has asked for a repetition already
    PART = 3  # so many bytes follow
    END = 4


@dataclass(eq=False)
class PassMaterial:
    """Material of one pass for one party.

    Attributes
    ----------
    both : int
        Bytes for both parties, once all has come.
    deal_s, fetch_s : float
        What the dealer took for both parties, and the way here, once all has come; where it is
        used as it comes, waiting for room included.
    """

    label: Label
    seed: bytes
    piece: Piece
    both: int = 0
    deal_s: float = 0.0
    fetch_s: float = 0.0

    def material(self, ring: Ring) -> Material:
        """For the pass; to be read once."""
        return Material(ring, self.seed, self.piece.read())


class PreprocessingClient:
    """A party's side.

    Parameters
    ----------
    channel : Channel
        To the dealer.
    spool : Spool
        Where material waits.
    passes : list
        ``(start, rows)`` of each.
    ahead : int
        Most passes that wait.
    streams : bool
        Whether the mode uses material as it comes.
    """

    def __init__(
        self,
        channel: Channel,
        spool: Spool,
        passes: list[tuple[int, int]],
        ahead: int,
        streams: bool = False,
    ) -> None:
        self._channel = channel
        self._spool = spool
        self._passes = list(passes)
        self._ahead = max(1, ahead)
        self._streams = streams
        self._epoch = self._next = self._wanted = 0
        self._held = False  # a pass that is used as it comes waits until it is wanted
        self._parcels: list[PassMaterial] = []
        self._changed = asyncio.Condition()
        self._stale = False  # the other party repeats a pass, and this one has not yet
        self._fault: BaseException | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def stored_bytes_peak(self) -> int:
        """Most bytes that have waited at once."""
        return self._spool.peak

    def start(self) -> None:
        """Begin to fetch."""
        self._task = asyncio.create_task(self._run())

    async def next(self) -> PassMaterial:
        """Material of the next pass, as soon as it is here.

        Raises
        ------
        PeerError, UsageError
        """
        async with self._changed:
            self._wanted += 1
            self._changed.notify_all()
            try:
                await self._changed.wait_for(lambda: self._parcels or self._over)
            finally:
                self._wanted -= 1
            if not self._parcels:
                raise self._over or PeerError("the dealer has left")
            pass_material = self._parcels.pop(0)
            self._changed.notify_all()
            return pass_material

    async def full(self, count: int) -> None:
        """Wait until ``count`` passes are here, or those before one that is used as it comes.

        Raises
        ------
        PeerError, UsageError
        """
        async with self._changed:
            await self._changed.wait_for(
                lambda: len(self._parcels) >= count or self._held or self._over
            )
            if self._over is not None and len(self._parcels) < count:
                raise self._over

    async def repeat(self, index: int) -> None:
        """Ask again from pass ``index`` on; what waits is of no use any more."""
        async with self._changed:
            self._epoch += 1
            self._next = index
            self._stale = False
            for pass_material in self._parcels:
                pass_material.piece.close()
            self._parcels.clear()
            self._changed.notify_all()

    async def extend(
        self, passes: list[tuple[int, int]], turn: tuple[int, int, int] | None = None
    ) -> None:
        """Go on with more passes, once all are here.

        Parameters
        ----------
        passes : list
            ``(start, rows)`` of each.
        turn : tuple of int, optional
            Start, rows and tokens of the answer, which the owner tells the dealer.

        Raises
        ------
        PeerError
            Where the dealer refuses.
        UsageError
            Where passes are left.
        """
        async with self._changed:
            if self._fault is not None:
                raise self._fault
            if self._next < len(self._passes) or self._parcels:
                raise UsageError("another turn begins when all passes of the last one have ended")
            if turn is not None:
                start, rows, count = turn
                await self._channel.send(MessageTag.REQUEST, REQUEST.pack(TURN, 0))
                await send_object(
                    self._channel, MessageTag.ASK, start=start, rows=rows, passes=count
                )
                await receive_object(self._channel, MessageTag.ANSWER, {"ok": bool})
            self._passes += passes
            self._changed.notify_all()

    async def close(self) -> None:
        """Stop, and drop what waits."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        for pass_material in self._parcels:
            pass_material.piece.close()
        self._parcels.clear()
        await self._channel.close()

    @property
    def _over(self) -> BaseException | None:
        """Why no more material comes, if so.

        Both parties see that a pass has no result. One that wants more while the other repeats what
        came before would wait for ever: they do not agree, so one of them deviates.
        """
        if self._fault is None and self._stale:
            return PeerError("the other party repeats a pass that had a result")
        return self._fault

    # In the background.

    async def _run(self) -> None:
        try:
            while True:
                async with self._changed:
                    await self._changed.wait_for(
                        lambda: self._next < len(self._passes) and len(self._parcels) < self._ahead
                    )
                    epoch, index = self._epoch, self._next
                await self._one(epoch, index)
        except Exception as fault:
            async with self._changed:
                self._fault = fault
                self._changed.notify_all()

    async def _one(self, epoch: int, index: int) -> None:
        """Fetch a pass."""
        pass_material = await self._announced(epoch, index)
        if pass_material is None:
            async with self._changed:
                if epoch == self._epoch:
                    # The other party saw the repetition first; ours is on its way.
                    self._stale = True
                    self._changed.notify_all()
                    await self._changed.wait_for(lambda: self._epoch != epoch)
            return
        piece, offered = pass_material.piece, False
        try:
            if not piece.whole:
                offered = await self._offer(pass_material, epoch)
                if not offered:
                    piece.close()
                    await self._channel.send(MessageTag.ACCEPT, ACCEPT.pack(0))
                    return
            await self._receive(pass_material)
        except BaseException as fault:
            piece.fail(
                fault if isinstance(fault, VeracityError) else PeerError("the dealer has left")
            )
            if not offered:
                piece.close()
            raise
        if offered:
            return
        async with self._changed:
            if epoch != self._epoch:
                piece.close()
                return
            self._parcels.append(pass_material)
            self._next += 1
            self._changed.notify_all()

    async def _offer(self, pass_material: PassMaterial, epoch: int) -> bool:
        """Hand over a pass that is used as it comes, once it is wanted; whether it still is."""
        async with self._changed:
            self._held = True
            self._changed.notify_all()
            try:
                await self._changed.wait_for(
                    lambda: epoch != self._epoch or (self._wanted and not self._parcels)
                )
            finally:
                self._held = False
            if epoch != self._epoch:
                return False
            self._parcels.append(pass_material)
            self._next += 1
            self._changed.notify_all()
            return True

    async def _announced(self, epoch: int, index: int) -> PassMaterial | None:
        """What the dealer says of a pass, with room for it here; None where it is stale."""
        await self._channel.send(MessageTag.REQUEST, REQUEST.pack(epoch, index))
        kind, label_bytes, seed, size, _, _ = await self._header()
        if kind == Kind.STALE:
            return None
        try:
            label = Label.decode(label_bytes)
        except FormatError as error:
            raise PeerError(str(error)) from error
        if kind != Kind.MATERIAL or (label.start, label.rows) != self._passes[index]:
            raise PeerError("the dealer sent material for another pass")
        window = self._spool.window if self._streams else None
        (piece,) = await self._spool.take(size, window=window)
        return PassMaterial(label, seed, piece)

    async def _header(self) -> tuple[Any, ...]:
        """The next one that says more than that the dealer is at work."""
        while True:
            data = bytes(await self._channel.receive(MessageTag.HEADER, HEADER.size))
            header = HEADER.unpack(data)
            if header[0] != Kind.WAIT:
                return header

    async def _receive(self, pass_material: PassMaterial) -> None:
        """All bytes of a pass, as there is room."""
        channel, piece, started = self._channel, pass_material.piece, time.perf_counter()
        came = allowed = 0
        while True:
            if came == allowed and (not came or came < piece.size):
                await piece.room(piece.window // 2)
            more = piece.taken + piece.window - allowed
            if allowed < piece.size and (came == allowed or more > piece.window // 4):
                allowed += more
                await channel.send(MessageTag.ACCEPT, ACCEPT.pack(allowed))
            kind, _, _, size, both, micros = await self._header()
            if kind == Kind.END:
                break
            if kind != Kind.PART or not 1 <= size <= min(CHUNK, allowed - came):
                raise PeerError("the dealer sent something else than material")
            came += size
            await piece.fill(await channel.receive(MessageTag.CHUNK, size))
        if size != came:
            raise PeerError("the dealer's material ends early")
        pass_material.both, pass_material.deal_s = both, micros / 1e6
        pass_material.fetch_s = time.perf_counter() - started
        await channel.send(MessageTag.ACCEPT, ACCEPT.pack(0))
        piece.end()
