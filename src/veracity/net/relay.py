"""A slow network between two parties on one machine: a delay line and a token bucket each way.

Bytes that the relay reads leave the token bucket at the stated rate, then travel for half the
round-trip time. Directions do not share the rate, connections do. What is on the line is limited to
what the line holds plus a router's buffer; beyond that the relay stops reading, and TCP holds the
sender back. Losses, TCP's slow start and its handshake are not emulated.

The relay runs in a thread of its own, so that a party that computes in this process does not delay
the network: one loop around ``select``, whose time-outs are not rounded up to milliseconds. A line
does not wait for a thread to wake up, so neither end of its emulation does where that can be
helped: bytes have been on their way since the system took them, and just before they are due the
loop does not sleep. What the relay itself takes comes on top of the delay, at each message, so the
loop does little.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import select
import socket
import struct
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from veracity.errors import UsageError

__all__ = ["Relay", "TokenBucket", "age"]

#: Bytes read at once.
CHUNK = 1 << 15
#: Bytes that may pass at once after a pause; two packets of an Ethernet.
BURST = 3000
#: Bytes that wait at the entrance of the line, at most, as in a router.
QUEUE = 1 << 18
#: Of the relay's thread, where the system grants it ("nice": lower runs first).
PRIORITY = -15
#: Seconds in which the target has to answer a call.
CONNECT = 5.0
#: How late the relay may come to read bytes without the link losing time (seconds).
LATE = 2e-3
#: How long before bytes are due the loop stays awake: what a system takes to wake it (seconds).
AWAKE = 2e-4
#: Has Linux tell when bytes arrived, by ``CLOCK_REALTIME``; Python has no name for it.
TIMESTAMPS = 35
_STAMP = struct.Struct("@ll")


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
        self._stop: socket.socket | None = None
        self._connections: list[_Connection] = []

    async def __aenter__(self) -> int:
        """Listen; gives the port to connect to instead of the target's."""
        try:
            listener = socket.create_server(("127.0.0.1", self._port), backlog=128)
        except (OSError, OverflowError) as error:
            raise UsageError(f"the relay cannot listen at port {self._port} ({error})") from None
        self._stop, stopped = socket.socketpair()
        self._thread = threading.Thread(
            target=self._run, args=(listener, stopped), name="relay", daemon=True
        )
        self._thread.start()
        return int(listener.getsockname()[1])

    async def __aexit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        """Cut all connections."""
        if self._thread is not None and self._stop is not None:
            self._stop.close()
            await asyncio.to_thread(self._thread.join)

    # In the relay's thread.

    def _run(self, listener: socket.socket, stopped: socket.socket) -> None:
        with contextlib.suppress(OSError):
            # A line does not wait for a processor; where that is allowed, nor does its emulation.
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), PRIORITY)
        with contextlib.suppress(OSError):
            # Timers may otherwise be late by 50 microseconds, to be joined with others.
            Path(f"/proc/{threading.get_native_id()}/timerslack_ns").write_text("1")
        up, down = TokenBucket(self._rate), TokenBucket(self._rate)
        with listener, stopped:
            while True:
                ways = [way for one in self._connections for way in one.ways]
                sources = {way.source: way for way in ways if way.reads}
                sinks = {way.sink: way for way in ways if way.blocked}
                due = min((way.due for way in ways if not way.blocked), default=math.inf)
                left = None if due == math.inf else max(0.0, due - AWAKE - time.monotonic())
                here, free, _ = select.select([stopped, listener, *sources], sinks, [], left)
                if stopped in here:
                    break
                for sink in free:
                    sinks[sink].blocked = False
                for source in here:
                    if source in sources:
                        sources[source].read()
                for way in ways:
                    way.write()
                if listener in here:
                    self._accept(listener, up, down)
                for one in [one for one in self._connections if one.over]:
                    one.close()
                    self._connections.remove(one)
        for one in self._connections:
            one.close()

    def _accept(self, listener: socket.socket, up: TokenBucket, down: TokenBucket) -> None:
        near, _ = listener.accept()
        try:
            far = socket.create_connection(self._target, CONNECT)
        except OSError:
            near.close()
            return
        self._connections.append(_Connection(near, far, (up, down), self._delay, self._room))


class _Connection:
    """Both directions, until both sides have ended them or one has broken them."""

    def __init__(
        self,
        near: socket.socket,
        far: socket.socket,
        buckets: tuple[TokenBucket, TokenBucket],
        delay: float,
        room: int,
    ) -> None:
        self._ends = (near, far)
        for end in self._ends:
            end.setblocking(False)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if sys.platform == "linux":
                with contextlib.suppress(OSError):
                    end.setsockopt(socket.SOL_SOCKET, TIMESTAMPS, 1)
        up, down = buckets
        self.ways = [_Way(near, far, up, delay, room), _Way(far, near, down, delay, room)]

    @property
    def over(self) -> bool:
        """Whether there is nothing more to carry."""
        return any(way.broken for way in self.ways) or all(way.ended for way in self.ways)

    def close(self) -> None:
        """Both ends."""
        for end in self._ends:
            end.close()


class _Way:
    """One direction of one connection.

    Attributes
    ----------
    blocked : bool
        Whether the sink has no room.
    ended, broken : bool
        Whether all has arrived, the end included; whether the sink takes nothing any more.
    """

    def __init__(
        self,
        source: socket.socket,
        sink: socket.socket,
        bucket: TokenBucket,
        delay: float,
        room: int,
    ) -> None:
        self.source = source
        self.sink = sink
        self._bucket = bucket
        self._delay = delay
        self._room = room
        self._line: deque[tuple[float, bytes]] = deque()  # (arrival, bytes); empty bytes: the end
        self._held = 0
        self._last = 0.0
        self._more = self._over = False
        self.blocked = self.ended = self.broken = False

    @property
    def reads(self) -> bool:
        """Whether there is room on the line, and more to come."""
        return not self._over and self._held < self._room

    @property
    def due(self) -> float:
        """When the first bytes on the line arrive."""
        return self._line[0][0] if self._line else math.inf

    def read(self) -> None:
        """Take bytes that are there."""
        try:
            data, stamps, _, _ = self.source.recvmsg(CHUNK, socket.CMSG_SPACE(_STAMP.size))
        except BlockingIOError:
            return
        except OSError:
            data, stamps = b"", []  # a broken connection ends for the other side, too
        now = time.monotonic() - age(stamps)
        # After a whole chunk, what comes next was there already.
        since = max(self._last, now - LATE) if self._more else now
        self._last, self._more, self._over = now, len(data) == CHUNK, not data
        arrival = self._bucket.passed(len(data), now, since) + self._delay
        self._line.append((arrival, data))
        self._held += len(data)

    def write(self) -> None:
        """Give the sink what has arrived."""
        for data in self._arrived():
            if not data:
                self.ended = True
                with contextlib.suppress(OSError):
                    self.sink.shutdown(socket.SHUT_WR)
                return
            try:
                sent = self.sink.send(data)
            except BlockingIOError:
                sent = 0
            except OSError:
                self.broken = True
                return
            self._held -= sent
            if sent < len(data):
                self._line.appendleft((0.0, data[sent:]))
                self.blocked = True

    def _arrived(self) -> Iterator[bytes]:
        while not self.blocked and self._line and self._line[0][0] <= time.monotonic():
            yield self._line.popleft()[1]


def age(stamps: list[tuple[int, int, bytes]]) -> float:
    """For how long the last bytes that were read had been there (seconds).

    Parameters
    ----------
    stamps : list
        What the system told with them; 0 where that was nothing.
    """
    for level, kind, stamp in stamps:
        if (level, kind, len(stamp)) == (socket.SOL_SOCKET, TIMESTAMPS, _STAMP.size):
            seconds, nanoseconds = map(float, _STAMP.unpack(stamp))
            return min(LATE, max(0.0, time.time() - seconds - nanoseconds * 1e-9))
    return 0.0
