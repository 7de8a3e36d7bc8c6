"""Two links in one process: what is written at one end arrives at the other, as over a socket.

The same :class:`Link` works on top, with its checks, its flow control and its counters; only the
operating system and TLS are missing. For tests and for measuring traffic.
"""

from __future__ import annotations

import asyncio
from collections import deque

from veracity.net.link import Link

__all__ = ["MemoryTransport", "linked"]


class MemoryTransport(asyncio.Transport):
    """One direction's way out of a link, and the switch for its way in.

    Parameters
    ----------
    link : Link
        The link that writes here and is told about what arrives.
    """

    def __init__(self, link: Link) -> None:
        super().__init__()
        self._link = link
        self._peer: MemoryTransport | None = None
        self._queue: deque[memoryview] = deque()
        self._held = 0  # bytes in the queue
        self._high = 1 << 16
        self._low = 1 << 14
        self._held_back = False
        self._reading = True
        self._closing = False
        self._scheduled = False

    def join(self, peer: MemoryTransport) -> None:
        """Make ``peer`` the other end."""
        self._peer = peer

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Bytes at which the writer is held back, and at which it goes on."""
        self._high = self._high if high is None else high
        self._low = self._high // 4 if low is None else low

    def get_write_buffer_size(self) -> int:
        """Bytes written and not yet arrived."""
        return self._held

    def get_extra_info(self, name: str, default: object = None) -> object:
        """Nothing is known about memory."""
        return default

    def is_closing(self) -> bool:
        """Whether nothing more can be written."""
        return self._closing

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Queue bytes for the other end."""
        if self._closing or len(data) == 0:
            return
        self._queue.append(memoryview(bytes(data)))
        self._held += len(data)
        if self._held > self._high and not self._held_back:
            self._held_back = True
            self._link.pause_writing()
        self._schedule()

    def pause_reading(self) -> None:
        """Let nothing more arrive here for now."""
        self._reading = False

    def resume_reading(self) -> None:
        """Let bytes arrive again."""
        self._reading = True
        if self._peer is not None:
            self._peer._schedule()

    def close(self) -> None:
        """End both directions once everything written here has arrived."""
        self._closing = True
        self._schedule()

    def abort(self) -> None:
        """End both directions now; what has not arrived is lost."""
        self._queue.clear()
        self._held = 0
        self.close()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._pump)

    def _pump(self) -> None:
        """Move bytes to the other end as long as it takes them."""
        self._scheduled = False
        peer = self._peer
        if peer is None:
            return
        while self._queue and peer._reading and not peer._closing:
            head = self._queue.popleft()
            room = peer._link.get_buffer(len(head))
            count = min(len(room), len(head))
            room[:count] = head[:count]
            if count < len(head):
                self._queue.appendleft(head[count:])
            self._held -= count
            peer._link.buffer_updated(count)
        if self._held_back and self._held <= self._low:
            self._held_back = False
            self._link.resume_writing()
        if self._closing and (not self._queue or peer._closing):
            self._part(peer)

    def _part(self, peer: MemoryTransport) -> None:
        """Tell both links, once."""
        self._peer = peer._peer = None
        peer._closing = True
        self._link.connection_lost(None)
        peer._link.connection_lost(None)


def linked() -> tuple[Link, Link]:
    """Two links, each the other's peer."""
    links = (Link(), Link())
    ends = tuple(MemoryTransport(link) for link in links)
    ends[0].join(ends[1])
    ends[1].join(ends[0])
    for link, end in zip(links, ends, strict=True):
        link.connection_made(end)
    return links
