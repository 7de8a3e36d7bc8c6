"""Messages between services, beside those of the protocols: small JSON objects, and large files.

A message is canonical JSON of at most 4 KiB with exactly the fields that its receiver expects.
Steps have tags from 2^31, above those of every protocol.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, TypeVar

from veracity.errors import PeerError
from veracity.net import Channel

__all__ = [
    "CHUNK",
    "FIRST_WORD",
    "PROTOCOL",
    "MessageTag",
    "Pace",
    "chunks_of",
    "digest_of",
    "in_time",
    "keep_alive",
    "receive_chunks",
    "receive_object",
    "send_chunks",
    "send_object",
]

#: Version of what services send each other; another one is refused.
PROTOCOL = 6
#: Seconds in which a caller has to say what it wants first.
FIRST_WORD = 10.0
#: Bytes of a file that travel in one message.
CHUNK = 1 << 22
#: Seconds between two keep-alives of a party that is at work for another.
BEAT = 1.0
_LIMIT = 4096

T = TypeVar("T")
Fields = dict[str, type]


class MessageTag(IntEnum):
    """Tags of these messages."""

    HELLO = 1 << 31
    ASK = HELLO + 1
    ANSWER = HELLO + 2
    CHUNK = HELLO + 3
    TURN = HELLO + 4
    REQUEST = HELLO + 5
    HEADER = HELLO + 6
    ACCEPT = HELLO + 7


@dataclass
class Pace:
    """How fast a receiver takes a file: a place that it holds is one that others lack.

    Parameters
    ----------
    rate : float
        Bytes per second, at least, of the whole file.
    grace : float
        Seconds more that the whole may take.
    """

    rate: float
    grace: float
    _seconds: float = field(default=0.0, init=False)
    _bytes: int = field(default=0, init=False)

    def kept(self, size: int, seconds: float) -> bool:
        """Count so many bytes; whether the receiver is fast enough.

        Parameters
        ----------
        size : int
            Bytes that the receiver took.
        seconds : float
            How long that took.
        """
        self._bytes += size
        self._seconds += seconds
        return self._seconds <= self.grace + self._bytes / self.rate


async def send_object(channel: Channel, step: MessageTag, **fields: Any) -> None:
    """Send one object.

    Parameters
    ----------
    channel : Channel
        To the other party.
    step : Step
        Tag of the message.
    **fields : object
        What JSON can hold.
    """
    await channel.send(step, _encode(fields))


def _encode(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()


async def receive_object(
    channel: Channel, step: MessageTag, fields: Fields, *, timeout: float | None = None
) -> dict[str, Any]:
    """Receive one object with exactly these fields of these types.

    Parameters
    ----------
    channel : Channel
        From the other party.
    step : Step
        Tag of the message.
    fields : dict
        Type of each field.
    timeout : float, optional
        Seconds to wait; the channel's own by default.

    Raises
    ------
    PeerError
        For anything else.
    """
    data = bytes(await channel.receive_up_to(step, _LIMIT, timeout=timeout))
    try:
        body = json.loads(data)
        same = isinstance(body, dict) and _encode(body) == data
    except (ValueError, RecursionError):
        same = False
    if not same or body.keys() != fields.keys():
        raise PeerError("the other party sent a message that does not parse")
    for name, kind in fields.items():
        if type(body[name]) is not kind or (kind is int and not 0 <= body[name] < 1 << 48):
            raise PeerError(f"the other party sent a {name} that does not parse")
    return dict(body)


def digest_of(body: dict[str, Any], name: str, size: int = 32) -> bytes:
    """A field of a received object as bytes of a known size.

    Parameters
    ----------
    body : dict
        A received object.
    name : str
        The field.
    size : int
        Bytes.

    Raises
    ------
    PeerError
    """
    text = body[name]
    if len(text) != 2 * size or not set(text) <= set("0123456789abcdef"):
        raise PeerError(f"the other party sent a {name} that does not parse")
    return bytes.fromhex(text)


def chunks_of(size: int) -> Iterable[int]:
    """Sizes of the messages in which ``size`` bytes travel."""
    for start in range(0, size, CHUNK):
        yield min(CHUNK, size - start)


async def send_chunks(channel: Channel, data: memoryview, pace: Pace | None = None) -> None:
    """Send bytes whose number the receiver knows.

    Parameters
    ----------
    channel : Channel
        To the receiver.
    data : memoryview
        The bytes.
    pace : Pace, optional
        How slowly the receiver may take them.

    Raises
    ------
    PeerError
        The receiver is gone, or slower; then it is told so.
    """
    start = 0
    for size in chunks_of(len(data)):
        began = time.monotonic()
        await channel.send(MessageTag.CHUNK, data[start : start + size])
        start += size
        if pace is not None and not pace.kept(size, time.monotonic() - began):
            why = (
                f"the download took fewer than {pace.rate / 1000:.0f} kB/s, and others wait for "
                "its place; try again over a faster connection"
            )
            await channel.refuse(why)
            raise PeerError(why)


async def receive_chunks(channel: Channel, size: int) -> AsyncIterator[bytearray]:
    """Receive ``size`` bytes, chunk by chunk."""
    for part in chunks_of(size):
        yield await channel.receive(MessageTag.CHUNK, part)


@contextlib.asynccontextmanager
async def in_time(seconds: float) -> AsyncIterator[None]:
    """Wait no longer than this for material, whatever signs of life there are.

    Raises
    ------
    PeerError
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise PeerError(
            f"the material of one pass did not come within {seconds:.0f} s; "
            "the dealer may be gone, or short of space (its --cap)"
        ) from None


async def keep_alive(work: Awaitable[T], beat: Callable[[], Awaitable[None]]) -> T:
    """Wait for ``work``, and give a sign of life as long as that takes."""
    task = asyncio.ensure_future(work)
    try:
        while not (await asyncio.wait((task,), timeout=BEAT))[0]:
            await beat()
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait((task,))
