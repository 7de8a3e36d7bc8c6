"""Protocols compute for long: each session does so in a thread of its own.

The connection stays with the event loop that serves all of them, so that a party which computes
still reads, writes and notices who is gone. In the thread the session sees a channel like any
other; each call is carried over to the loop of the connection. A small message is copied, and the
session goes on while it leaves; should it fail, the next call says so.

Two threads take turns at every message, a third of a millisecond each time: a fifth of a second
for the 563 messages of a token. So a pass of one token runs on the connection's loop instead, where
nobody else waits for it, or it computes little between its messages (:func:`at_home`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, TypeVar, cast

from veracity.mpc.mode import Mode
from veracity.net import Channel, Traffic
from veracity.net.channel import Octets

__all__ = ["SessionThread", "ThreadAdapter", "at_home"]

T = TypeVar("T")
#: Bytes of a message that is copied rather than waited for.
SMALL = 1 << 16


def at_home(mode: Mode, rows: int, *, alone: bool) -> bool:
    """Whether a pass runs on the loop of its connection: one token, and nobody to keep waiting.

    Parameters
    ----------
    mode : Mode
        How it is evaluated.
    rows : int
        Tokens that it feeds.
    alone : bool
        Whether the loop serves this session only.
    """
    return rows == 1 and (mode.light or alone)


class ThreadAdapter(Channel):
    """A channel for another thread than that of its event loop; on its own loop, itself.

    Parameters
    ----------
    channel : Channel
        The connection.
    loop : event loop
        Where the connection lives.

    Attributes
    ----------
    patience : float or None
        Time-out of the next message instead of the channel's: where the other party may think
        before it begins (seconds).
    """

    def __init__(self, channel: Channel, loop: asyncio.AbstractEventLoop) -> None:
        self._channel = channel
        self._loop = loop
        self.timeout = channel.timeout
        self.peer = channel.peer
        self.patience: float | None = None
        self._leaving: Future[None] | None = None

    @property
    def traffic(self) -> Traffic:
        """That of the connection."""
        return self._channel.traffic

    @property
    def _at_home(self) -> bool:
        return asyncio.get_running_loop() is self._loop

    async def _over(self, call: Coroutine[Any, Any, T]) -> T:
        if self._at_home:
            return await call
        result = await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(call, self._loop))
        await self._left()
        return result

    async def _left(self) -> None:
        """Wait until what was sent last has left."""
        leaving, self._leaving = self._leaving, None
        if leaving is not None:
            await asyncio.wrap_future(leaving)

    def _waits(self, timeout: float | None) -> float | None:
        once, self.patience = self.patience, None
        return once if timeout is None else timeout

    async def send(self, tag: int, data: Octets) -> None:
        """As :meth:`Channel.send`."""
        await self._left()
        view = memoryview(cast(Any, data))  # mypy knows no array that is a buffer
        if view.nbytes > SMALL or self._at_home:
            await self._over(self._channel.send(tag, data))
            return
        call = self._channel.send(tag, data if isinstance(data, bytes) else view.tobytes())
        self._leaving = asyncio.run_coroutine_threadsafe(call, self._loop)

    async def receive(self, tag: int, size: int, *, timeout: float | None = None) -> bytearray:
        """As :meth:`Channel.receive`."""
        return await self._over(self._channel.receive(tag, size, timeout=self._waits(timeout)))

    async def receive_up_to(
        self, tag: int, limit: int, *, timeout: float | None = None
    ) -> bytearray:
        """As :meth:`Channel.receive_up_to`."""
        waits = self._waits(timeout)
        return await self._over(self._channel.receive_up_to(tag, limit, timeout=waits))

    async def exchange(
        self,
        tag: int,
        data: Octets,
        size: int | None = None,
        *,
        timeout: float | None = None,
        ahead: tuple[int, Octets] | None = None,
    ) -> bytearray:
        """As :meth:`Channel.exchange`."""
        waits = self._waits(timeout)
        return await self._over(self._channel.exchange(tag, data, size, timeout=waits, ahead=ahead))

    async def close(self) -> None:
        """As :meth:`Channel.close`."""
        await self._over(self._channel.close())

    def abort(self) -> None:
        """As :meth:`Channel.abort`."""
        self._loop.call_soon_threadsafe(self._channel.abort)


class SessionThread:
    """A thread with an event loop of its own, for one session's computations.

    Parameters
    ----------
    channel : Channel
        Dropped where a computation is cancelled: it would otherwise wait for the other party.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="session")
        self._runner = asyncio.Runner()

    async def __call__(self, work: Coroutine[Any, Any, T]) -> T:
        """Run to its end in the thread."""
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(self._pool, self._runner.run, work)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            self._channel.abort()
            await asyncio.wait((future,))
            if not future.cancelled():
                future.exception()  # whatever it is: nobody waits for it
            raise

    async def close(self) -> None:
        """End the thread, once what it computes has ended."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._pool, self._runner.close)
        self._pool.shutdown(wait=False)

    async def __aenter__(self) -> SessionThread:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: object, trace: TracebackType | None
    ) -> None:
        await self.close()
