"""Material of a session's passes, from the dealer to a party: fetched ahead, in the background.

A session is a list of passes, known to all three: the prompt, then one token each. A party asks for
them one after another and keeps what it gets on disk until the pass is run. Where a pass has no
result and must be repeated, both parties ask again from that pass on, one epoch later.

``request``: epoch, index (u32 each). ``header``: kind, label, seed, bytes for this party, bytes for
both, microseconds that the dealer took. The party accepts with one byte once it has room, then the
bytes come in chunks.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
import time
from dataclasses import dataclass
from enum import IntEnum

from veracity.engine.api import Ring
from veracity.errors import FormatError, PeerError, UsageError
from veracity.mpc.material import Label, Material
from veracity.net import Channel
from veracity.private.parties.spool import Piece, Spool
from veracity.private.parties.wire import (
    MessageTag,
    receive_chunks,
    receive_object,
    send_object,
)

__all__ = ["HEADER", "REQUEST", "TURN", "Kind", "PassMaterial", "PreprocessingClient"]

REQUEST = struct.Struct("<II")
#: In place of an epoch: the owner tells of another turn, and its passes.
TURN = (1 << 32) - 1
HEADER = struct.Struct(f"<B7x{Label.SIZE}s32sQQQ")


class Kind(IntEnum):
    """What a header says."""

    WAIT = 0  # the dealer is at work
    MATERIAL = 1
    STALE = 2  # the other party has asked for a repetition already


@dataclass(frozen=True)
class PassMaterial:
    """Material of one pass for one party.

    Attributes
    ----------
    size, both : int
        Bytes for this party, and for both.
    deal_s, fetch_s : float
        What the dealer took for both parties, and the way here.
    """

    label: Label
    seed: bytes
    piece: Piece
    size: int
    both: int
    deal_s: float
    fetch_s: float

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
    """

    def __init__(
        self, channel: Channel, spool: Spool, passes: list[tuple[int, int]], ahead: int
    ) -> None:
        self._channel = channel
        self._spool = spool
        self._passes = list(passes)
        self._ahead = max(1, ahead)
        self._epoch = self._next = 0
        self._parcels: list[PassMaterial] = []
        self._changed = asyncio.Condition()
        self._stale = False  # the other party repeats a pass, and this one has not yet
        self._fault: BaseException | None = None
        self._task: asyncio.Task[None] | None = None

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
            await self._changed.wait_for(lambda: self._parcels or self._over)
            if not self._parcels:
                raise self._over or PeerError("the dealer has left")
            pass_material = self._parcels.pop(0)
            self._changed.notify_all()
            return pass_material

    async def full(self, count: int) -> None:
        """Wait until ``count`` passes are here.

        Raises
        ------
        PeerError, UsageError
        """
        async with self._changed:
            await self._changed.wait_for(lambda: len(self._parcels) >= count or self._over)
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
                pass_material = await self._fetch(epoch, index)
                async with self._changed:
                    if epoch != self._epoch:
                        if pass_material is not None:
                            pass_material.piece.close()
                    elif pass_material is None:
                        # The other party saw the repetition first; ours is on its way.
                        self._stale = True
                        self._changed.notify_all()
                        await self._changed.wait_for(lambda e=epoch: self._epoch != e)  # type: ignore[misc]
                    else:
                        self._parcels.append(pass_material)
                        self._next += 1
                        self._changed.notify_all()
        except Exception as fault:
            async with self._changed:
                self._fault = fault
                self._changed.notify_all()

    async def _fetch(self, epoch: int, index: int) -> PassMaterial | None:
        channel = self._channel
        await channel.send(MessageTag.REQUEST, REQUEST.pack(epoch, index))
        while True:
            data = bytes(await channel.receive(MessageTag.HEADER, HEADER.size))
            kind, label_bytes, seed, size, both, micros = HEADER.unpack(data)
            if kind != Kind.WAIT:
                break
        if kind == Kind.STALE:
            return None
        try:
            label = Label.decode(label_bytes)
        except FormatError as error:
            raise PeerError(str(error)) from error
        if kind != Kind.MATERIAL or (label.start, label.rows) != self._passes[index]:
            raise PeerError("the dealer sent material for another pass")
        (piece,) = await self._spool.take(size)
        try:
            await channel.send(MessageTag.ACCEPT, b"\x01")
            started = time.perf_counter()
            async for part in receive_chunks(channel, size):
                piece.write(part)
        except BaseException:
            piece.close()
            raise
        took = time.perf_counter() - started
        return PassMaterial(label, seed, piece, size, both, micros / 1e6, took)
