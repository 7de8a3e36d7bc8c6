"""A party's view of its connection to another: tagged messages of known size, counted exactly.

Both sides run the same protocol, so each knows what the other sends next: a receiver states the
tag and the size, and anything else is the other party's fault (:class:`PeerError`). The first
error ends the channel. Messages of one direction arrive in the order of the calls that sent them,
also where several tasks share a channel, as long as both sides make their calls in one order.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, fields
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from veracity.errors import PeerError, UsageError
from veracity.net.frames import HEADER_BYTES, LARGEST, REASON_BYTES, TAGS, Kind
from veracity.net.link import Expectation, Link, Watch
from veracity.net.memory import linked
from veracity.net.person import Person

__all__ = ["TIMEOUT", "Channel", "Octets", "Traffic", "pair"]

#: Seconds without a sign of life after which the other party counts as gone.
TIMEOUT = 60.0
#: A message takes at most the time-out plus its size over this rate (bytes per second).
SLOWEST = 1 << 18
#: Longest wait for a party that is refused to take the refusal (seconds).
PARTING = 2.0
#: First message in both directions.
GREETING = b"veracity private"
_WORD = np.dtype("<u8")

#: What can be sent: bytes, or a contiguous array as its bytes.
Octets = bytes | bytearray | memoryview | NDArray[Any]


@dataclass(frozen=True, slots=True)
class Traffic:
    """What has gone over a channel since it was opened; differences of two are traffic, too.

    Parameters
    ----------
    sent_bytes, received_bytes : int
        Payload, without headers.
    sent_messages, received_messages : int
        Messages of the protocol, without the farewell.
    hops : int
        Messages on the longest causal chain that has ended here: an exchange makes it longer by
        one, and so does a message one way. The greater of both parties' counts is the latency in
        one-way trips, half of it the number of round trips; one party's may lag by one.
    """

    sent_bytes: int
    received_bytes: int
    sent_messages: int
    received_messages: int
    hops: int

    def __sub__(self, before: Traffic) -> Traffic:
        """What came after ``before``."""
        return Traffic(*(getattr(self, f.name) - getattr(before, f.name) for f in fields(Traffic)))

    @property
    def framing_bytes(self) -> int:
        """Bytes of headers, both directions together (TLS and TCP add their own)."""
        return HEADER_BYTES * (self.sent_messages + self.received_messages)


class Channel:
    """Messages to and from one other party.

    Parameters
    ----------
    link : Link
        The connection.
    timeout : float
        Seconds without a sign of life after which the other party counts as gone.
    peer : str
        The other party's role as its certificate says; empty without TLS.
    person : Person, optional
        Whom that certificate was made for.

    Notes
    -----
    ``send`` returns when the transport has taken the message. Where both parties have a large
    message for each other at the same time, use ``exchange``: of two parties that both only send,
    each waits for the other to receive.
    """

    def __init__(
        self,
        link: Link,
        *,
        timeout: float = TIMEOUT,
        peer: str = "",
        person: Person | None = None,
    ) -> None:
        if not (math.isfinite(timeout) and timeout > 0):
            raise UsageError(f"a time-out of {timeout} seconds means nothing; give a positive one")
        self.timeout = timeout
        self.peer = peer
        self.person = person
        self._link = link
        self._sending = asyncio.Lock()
        self._closed = False
        self._sent_bytes = 0
        self._received_bytes = 0
        self._sent_messages = 0
        self._received_messages = 0
        self._start = Traffic(0, 0, 0, 0, 0)

    @property
    def traffic(self) -> Traffic:
        """What has gone over this channel so far, the greeting apart."""
        return self._total() - self._start

    def _total(self) -> Traffic:
        return Traffic(
            self._sent_bytes,
            self._received_bytes,
            self._sent_messages,
            self._received_messages,
            self._link.hop,
        )

    async def greet(self) -> None:
        """Exchange greetings, so that both know that the other is there and lets them in.

        Under TLS 1.3 a client is done before the server has seen its certificate: only with the
        server's greeting is it sure to be welcome. Counts start afterwards.

        Raises
        ------
        PeerError
            Where the other party refuses or speaks something else.
        """
        if await self.exchange(0, GREETING) != GREETING:
            raise PeerError("the other party speaks another protocol")
        self._link.hop = 0
        self._start = self._total()

    # Messages.

    async def send(self, tag: int, data: Octets) -> None:
        """Send one message.

        Parameters
        ----------
        tag : int
            Step of the protocol, below 2^32.
        data : bytes-like
            Payload; a C-contiguous array counts as its bytes. Not copied as a whole, so leave it
            alone until the call returns.

        Raises
        ------
        PeerError
            Where the other party is gone or takes nothing for the time-out.
        UsageError
            For a payload or tag that cannot be sent, or on a closed channel.
        """
        await self._send(tag, _octets(tag, data), self._link.hop + 1)

    async def _send(self, tag: int, payload: memoryview, hop: int) -> None:
        self._usable()
        if not self._sending.locked() and self._link.write_at_once(tag, payload, hop):
            self._sent_bytes += len(payload)
            self._sent_messages += 1
            return
        try:
            async with self._sending, asyncio.timeout(self.timeout + len(payload) / SLOWEST):
                await self._link.write(Kind.DATA, tag, payload, hop, self.timeout)
        except TimeoutError:
            raise self._gone("takes", self.timeout) from None
        except asyncio.CancelledError:
            # Part of a frame may be out: nothing that follows could be understood.
            self._link.fail(PeerError("a message was interrupted; open another connection"))
            raise
        self._sent_bytes += len(payload)
        self._sent_messages += 1

    async def receive(self, tag: int, size: int, *, timeout: float | None = None) -> bytearray:
        """Receive one message of exactly ``size`` bytes.

        Parameters
        ----------
        tag, size : int
            What the other party has to send now.
        timeout : float, optional
            Instead of the channel's, where the other party computes for long (seconds).

        Returns
        -------
        bytearray
            The payload, in memory of its own.

        Raises
        ------
        PeerError
            Where the other party is gone, silent for the time-out, or sends anything else.
        UsageError
            On a closed channel.
        """
        return await self._arrival(self._expect(tag, size, size), timeout)

    async def receive_up_to(
        self, tag: int, limit: int, *, timeout: float | None = None
    ) -> bytearray:
        """Receive one message of at most ``limit`` bytes; otherwise like :meth:`receive`.

        Parameters
        ----------
        tag : int
            The step of the protocol.
        limit : int
            Most bytes.
        timeout : float, optional
            Seconds to wait; the channel's own by default.
        """
        return await self._arrival(self._expect(tag, 0, limit), timeout)

    async def exchange(
        self,
        tag: int,
        data: Octets,
        size: int | None = None,
        *,
        timeout: float | None = None,
        ahead: tuple[int, Octets] | None = None,
    ) -> bytearray:
        """Send a message and receive the other party's of the same tag, both at once.

        Parameters
        ----------
        tag : int
            Step of the protocol.
        data : bytes-like
            What to send.
        size : int, optional
            Bytes that the other party sends; as many as ``data`` has where not given.
        timeout : float, optional
            As for :meth:`receive`.
        ahead : tuple, optional
            Tag and data of another message, which is sent before the other party's is waited for.

        Returns
        -------
        bytearray
            The other party's payload.

        Raises
        ------
        PeerError, UsageError
            As for :meth:`send` and :meth:`receive`.
        """
        messages = [(tag, _octets(tag, data))]
        due = len(messages[0][1]) if size is None else size
        if ahead is not None:
            messages.append((ahead[0], _octets(*ahead)))
        # What the other party may have sent already is no cause of what is sent now.
        hop = self._link.hop + 1
        expected = self._expect(tag, due, due)
        for message in messages:
            await self._send(*message, hop)
        return await self._arrival(expected, timeout)

    # The same for arrays of ring elements.

    async def send_array(self, tag: int, array: NDArray[np.uint64]) -> None:
        """Send ring elements; the receiver knows the shape."""
        await self.send(tag, _words(array))

    async def receive_array(
        self, tag: int, shape: int | tuple[int, ...], *, timeout: float | None = None
    ) -> NDArray[np.uint64]:
        """Receive ring elements of a known shape.

        Parameters
        ----------
        tag : int
            The step of the protocol.
        shape : int or tuple of int
            Shape of the array.
        timeout : float, optional
            Seconds to wait; the channel's own by default.
        """
        count = math.prod(shape) if isinstance(shape, tuple) else shape
        data = await self.receive(tag, count * _WORD.itemsize, timeout=timeout)
        return _array(data).reshape(shape)

    async def exchange_array(
        self,
        tag: int,
        array: NDArray[np.uint64],
        *,
        timeout: float | None = None,
        ahead: tuple[int, NDArray[np.uint64]] | None = None,
    ) -> NDArray[np.uint64]:
        """Exchange arrays of ring elements that have the same shape on both sides.

        Parameters
        ----------
        tag : int
            The step of the protocol.
        array : uint64 array
            What to send; what comes has its shape.
        timeout : float, optional
            Seconds to wait; the channel's own by default.
        ahead : tuple, optional
            As for :meth:`exchange`.
        """
        more = None if ahead is None else (ahead[0], _words(ahead[1]))
        data = await self.exchange(tag, _words(array), timeout=timeout, ahead=more)
        return _array(data).reshape(array.shape)

    # The end.

    async def close(self) -> None:
        """Say goodbye and close; never fails, and does nothing the second time."""
        await self._part(Kind.GOODBYE, b"", self.timeout)

    async def refuse(self, reason: str) -> None:
        """End the session and tell the other party why, in one short line.

        The other party gets it in its :class:`PeerError`; name nothing secret.
        """
        await self._part(Kind.REFUSAL, reason.encode()[:REASON_BYTES], PARTING)

    def abort(self) -> None:
        """Drop the connection at once; the other party sees it break."""
        self._closed = True
        self._link.abort()

    async def __aenter__(self) -> Channel:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def _part(self, kind: Kind, payload: bytes, patience: float) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            async with asyncio.timeout(patience):
                async with self._sending:
                    await self._link.write(
                        kind, 0, memoryview(payload), self._link.hop + 1, patience
                    )
                await self._link.close()
        except (PeerError, TimeoutError):
            pass  # whom to tell is gone
        finally:
            self._link.abort()

    # Waiting.

    def _usable(self) -> None:
        if self._closed:
            raise UsageError("this side has closed the channel; open another one")

    def _expect(self, tag: int, least: int, most: int) -> Expectation:
        self._usable()
        if not 0 <= least <= most:
            raise UsageError(f"a message of {most} bytes means nothing; give a size from 0")
        return self._link.expect(tag, least, most)

    async def _arrival(self, expected: Expectation, timeout: float | None) -> bytearray:
        """Wait for a message; every byte that arrives is a sign of life, up to a point."""
        arrival = expected.arrival
        if not arrival.done():
            patience = self.timeout if timeout is None else timeout
            whole = patience + expected.most / SLOWEST
            watch = Watch(self._link, patience, whole, lambda: self._gone("sends", patience))
            try:
                await arrival
            except asyncio.CancelledError:
                # The message would otherwise be taken for the next one.
                error = PeerError("a wait was interrupted; open another connection")
                self._link.fail(error, drop=False)
                raise
            finally:
                watch.end()
        payload = arrival.result()
        self._received_bytes += len(payload)
        self._received_messages += 1
        return payload

    def _gone(self, does: str, seconds: float) -> PeerError:
        error = PeerError(f"the other party {does} nothing for {seconds:g} seconds")
        self._link.fail(error)
        return error


def pair(timeout: float = TIMEOUT) -> tuple[Channel, Channel]:
    """Two channels in one process, each the other's peer: for tests and for counting traffic."""
    first, second = linked()
    return Channel(first, timeout=timeout), Channel(second, timeout=timeout)


def _octets(tag: int, data: Octets) -> memoryview:
    """The bytes of ``data``, in place, if they can be sent as step ``tag``."""
    view = memoryview(cast(Any, data))  # mypy knows no array that is a buffer
    if not view.c_contiguous:
        raise UsageError("only contiguous arrays can be sent; copy it first")
    if not (0 <= tag < TAGS and view.nbytes <= LARGEST):
        raise UsageError(f"step {tag} with {view.nbytes} bytes does not fit a message")
    # An empty array of several axes cannot be cast.
    return view.cast("B") if view.nbytes else memoryview(b"")


def _words(array: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The array as little-endian 64-bit words in a row."""
    if array.dtype != np.uint64:
        raise UsageError(f"ring elements are uint64, not {array.dtype}")
    return np.ascontiguousarray(array, dtype=_WORD)


def _array(data: bytearray) -> NDArray[np.uint64]:
    return np.frombuffer(data, dtype=_WORD).astype(np.uint64, copy=False)
