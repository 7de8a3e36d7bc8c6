"""A slow network between two parties on one machine: a delay line and a token bucket each way.

Bytes that the relay reads leave the token bucket at the stated rate, then travel for half the
round-trip time. Directions do not share the rate, connections do. What is on the line is limited to
what the line holds plus a router's buffer; beyond that the relay stops reading, and TCP holds the
sender back. Losses, TCP's slow start and its handshake are not emulated.

The relay runs in a thread with an event loop of its own, so that a party that computes in this
process does not delay the network, and with ``select``, whose time-outs are not rounded up to
milliseconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import selectors
import socket
import threading
from collections import deque
from types import TracebackType

from veracity.errors import UsageError

__all__ = ["Relay", "TokenBucket"]

#: Bytes read at once.
CHUNK = 1 << 15
#: Bytes that may pass at once after a pause; two packets of an Ethernet.
BURST = 3000
#: Bytes that wait at the entrance of the line, at most, as in a router.
QUEUE = 1 << 18
#: Of the relay's thread, where the system grants it ("nice": lower runs first).
PRIORITY = -15
#: How late the relay may come to read bytes without the link losing time (seconds).
LATE = 2e-3


class TokenBucket:
    """When bytes have passed a link of a given rate.

    Parameters
    ----------
    rate : float
        Bytes per second.
    burst : int
        Bytes that pass at once after a pause.
    """

    def __init__(self, rate: float, burst: int = BURST) -> None:
        self._rate = rate
        self._burst = burst
        self._full = -math.inf  # when the bucket is, or was, full again

    def passed(self, size: int, now: float, since: float | None = None) -> float:
        """The moment at which ``size`` more bytes, looked at ``now``, are through.

        Where they have waited ``since`` earlier, the link was busy with them from then on.

        Parameters
        ----------
        size : int
            Bytes.
        now : float
            The moment, in seconds.
        since : float, optional
            When they began to wait, in seconds.
        """
        self._full = max(self._full, now if since is None else since) + size / self._rate
        return max(now, self._full - self._burst / self._rate)


class Relay:
    """Carries connections to a target over an emulated network.

    Parameters
    ----------
    target : int or (str, int)
        Port on this machine, or host and port, of the party to be reached.
    rtt_ms : float
        Round-trip time; each way takes half of it (milliseconds).
    mbps : float
        Rate of each direction (10^6 bits per second).
    port : int
        Where to listen on this machine; 0 lets the system choose.

    Raises
    ------
    UsageError
        For a network that cannot be, or a port that cannot be listened on.

    Examples
    --------
    >>> async def measured(server):  # doctest: +SKIP
    ...     async with Relay(server.port, rtt_ms=10, mbps=1000) as port:
    ...         return await connect("127.0.0.1", port, peer="owner", identity=identity)
    """

    def __init__(
        self, target: int | tuple[str, int], rtt_ms: float, mbps: float, *, port: int = 0
    ) -> None:
        if not (0 <= rtt_ms < 1e5 and 0 < mbps < 1e7):
            raise UsageError(
                f"no network has {rtt_ms} ms and {mbps} Mbps; give a time from 0, a rate above 0"
            )
        self._target = ("127.0.0.1", target) if isinstance(target, int) else target
        self._delay = rtt_ms / 2000
        self._rate = mbps * 1e6 / 8
        self._port = port
        self._room = int(self._rate * self._delay) + QUEUE
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._main: asyncio.Task[None] | None = None

    async def __aenter__(self) -> int:
        """Listen; gives the port to connect to instead of the target's."""
        try:
            listener = socket.create_server(("127.0.0.1", self._port), backlog=128)
        except (OSError, OverflowError) as error:
            raise UsageError(f"the relay cannot listen at port {self._port} ({error})") from None
        listener.setblocking(False)
        ready = threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(listener, ready), name="relay", daemon=True
        )
        self._thread.start()
        await asyncio.to_thread(ready.wait)
        return int(listener.getsockname()[1])

    async def __aexit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        """Cut all connections."""
        if self._thread is not None and self._loop is not None and self._main is not None:
            with contextlib.suppress(RuntimeError):  # its loop is closed: it has ended by itself
                self._loop.call_soon_threadsafe(self._main.cancel)
            await asyncio.to_thread(self._thread.join)

    # In the relay's thread.

    def _run(self, listener: socket.socket, ready: threading.Event) -> None:
        with contextlib.suppress(OSError):
            # A line does not wait for a processor; where that is allowed, nor does its emulation.
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), PRIORITY)

        def exact_loop() -> asyncio.AbstractEventLoop:
            return asyncio.SelectorEventLoop(selectors.SelectSelector())

        async def main() -> None:
            self._loop = asyncio.get_running_loop()
            self._main = asyncio.current_task()
            ready.set()
            await self._accept(listener)

        with (
            listener,
            contextlib.suppress(asyncio.CancelledError),
            asyncio.Runner(loop_factory=exact_loop) as runner,
        ):
            runner.run(main())

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        up, down = TokenBucket(self._rate), TokenBucket(self._rate)
        async with asyncio.TaskGroup() as connections:
            while True:
                near, _ = await loop.sock_accept(listener)
                connections.create_task(self._carry(near, up, down))

    async def _carry(self, near: socket.socket, up: TokenBucket, down: TokenBucket) -> None:
        """One connection, until both sides have ended it or one has broken it."""
        loop = asyncio.get_running_loop()
        with near, socket.socket() as far, contextlib.suppress(OSError):
            for end in (near, far):
                end.setblocking(False)
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.sock_connect(far, self._target)
            ways = [
                asyncio.create_task(_Way(near, far, up, self._delay, self._room).run()),
                asyncio.create_task(_Way(far, near, down, self._delay, self._room).run()),
            ]
            try:
                await asyncio.gather(*ways)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.wait(ways)


class _Way:
    """One direction of one connection."""

    def __init__(
        self,
        source: socket.socket,
        sink: socket.socket,
        bucket: TokenBucket,
        delay: float,
        room: int,
    ) -> None:
        self._source = source
        self._sink = sink
        self._bucket = bucket
        self._delay = delay
        self._room = room
        self._line: deque[tuple[float, bytes]] = deque()  # (arrival, bytes); empty bytes: the end
        self._held = 0
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Carry bytes until the source has ended and all of them have arrived."""
        reading = asyncio.create_task(self._read())
        try:
            await self._write()
        finally:
            reading.cancel()
            await asyncio.wait((reading,))

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        data = b"x"
        last = 0.0
        while data:
            while self._held >= self._room:
                self._changed.clear()
                await self._changed.wait()
            more = len(data) == CHUNK  # what comes next was there already
            try:
                data = await loop.sock_recv(self._source, CHUNK)
            except OSError:
                data = b""  # a broken connection ends for the other side, too
            now = loop.time()
            since = max(last, now - LATE) if more else now
            last = now
            arrival = self._bucket.passed(len(data), now, since) + self._delay
            self._line.append((arrival, data))
            self._held += len(data)
            self._changed.set()

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            while not self._line:
                self._changed.clear()
                await self._changed.wait()
            arrival, data = self._line.popleft()
            if (left := arrival - loop.time()) > 0:
                await asyncio.sleep(left)
            if not data:
                self._sink.shutdown(socket.SHUT_WR)
                return
            await loop.sock_sendall(self._sink, data)
            self._held -= len(data)
            self._changed.set()
