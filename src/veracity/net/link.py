"""One connection as an asyncio protocol: frames in without copies, frames out with back-pressure.

The receiver says beforehand what it expects (:meth:`Link.expect`). A frame's header is read into a
small staging buffer and checked; only then is the memory for its payload taken, as much as the
receiver said, and the transport fills that memory directly. While nothing is expected, at most the
staging buffer is read and the sender is held back by the transport's flow control.

Whatever the other side does wrong ends the link once and for all: every waiting and every later
call raises the same :class:`PeerError`.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from veracity.errors import FormatError, PeerError
from veracity.net.frames import HEADER_BYTES, Header, Kind, reason_text

__all__ = ["Expectation", "Link", "Watch"]

#: Bytes read ahead while nothing is expected.
STAGING = 1 << 16
#: Bytes handed to the transport between two looks at its back-pressure.
CHUNK = 1 << 18


@dataclass(frozen=True, slots=True)
class Expectation:
    """A frame that the receiver waits for: its tag, its least and largest size, its arrival."""

    tag: int
    least: int
    most: int
    arrival: asyncio.Future[bytearray]


class Link(asyncio.BufferedProtocol):
    """The bytes of one connection; made without arguments, as asyncio's protocol factories are."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._staging = memoryview(bytearray(STAGING))
        self._start = 0
        self._end = 0
        self._header: Header | None = None
        self._payload: bytearray | None = None
        self._rest: memoryview | None = None  # of the payload, still to be filled
        self._direct = False
        self._reading = True
        self._expected: deque[Expectation] = deque()
        self._writable = asyncio.Event()
        self._writable.set()
        self._closed = asyncio.Event()
        self._error: PeerError | None = None  # nothing works any more
        self._ended: PeerError | None = None  # the stream has ended behind what is staged
        #: Bytes that have arrived, headers and all; a sign of life.
        self.arrived = 0
        #: Frames of each direction.
        self.frames_sent = 0
        self.frames_received = 0
        #: Longest causal chain of messages that has ended here.
        self.hop = 0

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=2 * CHUNK, low=CHUNK // 2)
        wire = self._transport.get_extra_info("socket")
        if wire is not None and wire.family in (socket.AF_INET, socket.AF_INET6):
            # Small messages leave at once, and a machine that has gone silently is noticed.
            wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go: into the payload itself, or into the staging buffer."""
        self._direct = self._rest is not None and self._start == self._end
        if self._direct and self._rest is not None:
            return self._rest
        if self._start:
            kept = self._end - self._start
            self._staging[:kept] = bytes(self._staging[self._start : self._end])
            self._start, self._end = 0, kept
        return self._staging[self._end :]

    def buffer_updated(self, nbytes: int) -> None:
        """Take bytes that have arrived where :meth:`get_buffer` said."""
        self.arrived += nbytes
        if self._error is not None:
            return
        if self._direct and self._rest is not None:
            self._rest = self._rest[nbytes:]
        else:
            self._end += nbytes
        self._advance()

    def eof_received(self) -> None:
        """Let the transport close: a party that has stopped sending cannot take part."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Remember the end; what has arrived before it can still be received."""
        what = f"the connection broke ({exc})" if exc else "the other party closed the connection"
        self._ended = self._ended or PeerError(what)
        self._closed.set()
        self._writable.set()
        self._advance()

    def pause_writing(self) -> None:
        """Hold senders back."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Let senders go on."""
        if self._transport is not None:
            self._writable.set()

    # Receiving.

    def expect(self, tag: int, least: int, most: int) -> Expectation:
        """Announce what the next frame without an expectation has to be.

        Parameters
        ----------
        tag : int
            Its step of the protocol.
        least, most : int
            Bounds of its payload, in bytes.

        Raises
        ------
        PeerError
            Where the link has failed already.
        """
        if self._error is not None:
            raise self._error
        arrival = asyncio.get_running_loop().create_future()
        expected = Expectation(tag, least, most, arrival)
        self._expected.append(expected)
        self._advance()
        return expected

    def _advance(self) -> None:
        """Do with the staged bytes what can be done; never raises."""
        try:
            while self._error is None and self._step():
                pass
        except (FormatError, PeerError) as error:
            self.fail(error if isinstance(error, PeerError) else PeerError(str(error)))
            return
        if self._ended is not None and self._expected:
            self.fail(self._ended)
            return
        self._throttle()

    def _step(self) -> bool:
        """One move of the reader; false where more bytes or an expectation are needed."""
        staged = self._end - self._start
        if self._rest is not None:
            count = min(staged, len(self._rest))
            self._rest[:count] = self._staging[self._start : self._start + count]
            self._start += count
            self._rest = self._rest[count:]
            if len(self._rest):
                return False
            self._deliver()
            return True
        if self._header is None:
            if staged < HEADER_BYTES:
                return False
            self._header = self._checked(Header.decode(self._staging[self._start : self._end]))
            self._start += HEADER_BYTES
            return True
        if self._header.kind is not Kind.DATA:
            return self._farewell(self._header)
        if not self._expected:
            return False
        expected = self._expected[0]
        if self._header.tag != expected.tag:
            raise PeerError(
                f"the other party sent step {self._header.tag} where {expected.tag} was due"
            )
        if not expected.least <= self._header.length <= expected.most:
            raise PeerError(
                f"the other party sent {self._header.length} bytes in step {expected.tag} "
                f"where {expected.least} to {expected.most} were due"
            )
        self._payload = bytearray(self._header.length)
        self._rest = memoryview(self._payload)
        return True

    def _checked(self, header: Header) -> Header:
        """The header, if it can be the next one here."""
        if header.sequence != self.frames_received:
            raise PeerError(
                f"frame {header.sequence} arrived where {self.frames_received} was due: "
                "lost, repeated or replayed"
            )
        # A causal chain has no more messages than were sent at all.
        if header.hop > self.frames_sent + self.frames_received + 1:
            raise PeerError("the other party counts more messages than there were")
        return header

    def _deliver(self) -> None:
        """Hand a whole payload to whom it was for."""
        header, payload, expected = self._header, self._payload, self._expected.popleft()
        self._header = self._payload = self._rest = None
        self.frames_received += 1
        self.hop = max(self.hop, header.hop if header else 0)
        if not expected.arrival.done() and payload is not None:
            expected.arrival.set_result(payload)

    def _farewell(self, header: Header) -> bool:
        """Take a frame that ends the session."""
        if self._end - self._start < header.length:
            return False
        if header.kind is Kind.GOODBYE:
            raise PeerError("the other party ended the session")
        reason = self._staging[self._start : self._start + header.length]
        raise PeerError(f"the other party refused: {reason_text(reason)}")

    def _throttle(self) -> None:
        """Read on only while there is a place for what arrives."""
        if self._transport is None or self._transport.is_closing():
            return
        full = self._rest is None and self._end - self._start == STAGING
        if full is self._reading:
            self._reading = not full
            if full:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def fail(self, error: PeerError, *, drop: bool = True) -> None:
        """End the link: every waiting and later call raises ``error``.

        With ``drop`` false a last word can still be written.
        """
        if self._error is not None:
            return
        self._error = error
        self._writable.set()
        self._header = self._payload = self._rest = None
        self._start = self._end = 0
        for expected in self._expected:
            if not expected.arrival.done():
                expected.arrival.set_exception(error)
                expected.arrival.exception()  # mark as seen: not every waiter may look
        self._expected.clear()
        if drop:
            self.abort()

    # Sending.

    def write_at_once(self, tag: int, payload: memoryview, hop: int) -> bool:
        """Send a small frame of data if the transport takes it without a wait; whether it did.

        Parameters
        ----------
        tag, payload, hop
            As for :meth:`write`.

        Raises
        ------
        PeerError, UsageError
            As there.
        """
        if len(payload) > STAGING or not self._writable.is_set():
            return False
        self._write(Kind.DATA, tag, payload, hop)
        return True

    def _write(self, kind: Kind, tag: int, payload: memoryview, hop: int) -> None:
        """Hand a frame's header to the transport, and a small payload with it."""
        header = Header(kind, tag, self.frames_sent, hop, len(payload)).encode()
        if kind is Kind.DATA and self._error is not None:
            raise self._error
        transport = self._open()
        self.frames_sent += 1
        transport.write(header + payload if len(payload) <= STAGING else header)

    async def write(
        self, kind: Kind, tag: int, payload: memoryview, hop: int, patience: float
    ) -> None:
        """Send one frame; returns when the transport holds at most a little of it.

        Parameters
        ----------
        kind : Kind
            Data, goodbye or refusal.
        tag : int
            The step of the protocol that the receiver is in.
        payload : memoryview
            The message.
        hop : int
            Length of the chain of messages that ends in this one.
        patience : float
            Seconds that the transport may take nothing.

        Raises
        ------
        TimeoutError
            Where the transport takes nothing for ``patience`` seconds.
        PeerError
            Where the link has failed or ended.
        UsageError
            For a tag or size that no frame can have.
        """
        self._write(kind, tag, payload, hop)
        if len(payload) <= STAGING:
            await self._drain(patience)
            return
        for start in range(0, len(payload), CHUNK):
            self._open().write(payload[start : start + CHUNK])
            await self._drain(patience)

    def _open(self) -> asyncio.Transport:
        """The transport, if it can still be written to."""
        if self._transport is None or self._transport.is_closing():
            raise self._error or self._ended or PeerError("the connection is closed")
        return self._transport

    async def _drain(self, patience: float) -> None:
        """Wait until the transport takes more."""
        if not self._writable.is_set():
            async with asyncio.timeout(patience):
                await self._writable.wait()
            self._open()

    # Ending.

    async def close(self) -> None:
        """Let the transport send what it holds, then wait for the end of the connection."""
        if self._transport is not None:
            self._transport.close()
            await self._closed.wait()

    def abort(self) -> None:
        """Drop the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def info(self, name: str) -> object:
        """What the transport knows about itself, such as ``"peercert"``."""
        return None if self._transport is None else self._transport.get_extra_info(name)


class Watch:
    """Tells of another party that is silent, while somebody waits for it.

    Parameters
    ----------
    link : Link
        What is watched.
    patience : float
        Seconds without a byte.
    whole : float
        Seconds that the wait may take whatever arrives.
    silent : callable
        Called once it is.
    """

    def __init__(
        self, link: Link, patience: float, whole: float, silent: Callable[[], object]
    ) -> None:
        self._link, self._patience, self._silent = link, patience, silent
        self._loop = asyncio.get_running_loop()
        self._latest = self._loop.time() + whole
        self._arrived = link.arrived
        self._timer = self._loop.call_later(patience, self._look)

    def _look(self) -> None:
        now = self._loop.time()
        if self._link.arrived == self._arrived or now >= self._latest:
            self._silent()
            return
        self._arrived = self._link.arrived
        self._timer = self._loop.call_later(min(self._patience, self._latest - now), self._look)

    def end(self) -> None:
        """Stop watching."""
        self._timer.cancel()
