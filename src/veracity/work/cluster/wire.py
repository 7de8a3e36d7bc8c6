"""What a machine of a cluster and the process that asked say to each other.

Frames are those of :mod:`veracity.work.messages`, over TLS. In order: ``hello`` (the job, the
version of the package, the machine's name); ``open`` (all that the links of the job share, and the
digests of the files that hold weights); for each file that the machine lacks ``want``, answered by
``chunk`` messages, the last one empty; ``opened``; then parts, and for each ``progress`` any number
of times and one result. ``error`` at any time is the last message.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

from veracity.errors import FormatError
from veracity.work.messages import Message, receive, send

__all__ = ["CHUNK", "KEEP_ALIVE", "answer_of", "chunks", "keep_alive", "tell"]

#: Bytes of a file in one message.
CHUNK = 1 << 22
#: Seconds after which a machine that says nothing is asked whether it is there, and how often.
KEEP_ALIVE = (20, 5, 4)


def keep_alive(end: socket.socket) -> None:
    """Let a connection fail soon after the other machine is gone."""
    end.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    names = ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT")
    for name, value in zip(names, KEEP_ALIVE, strict=True):
        if (option := getattr(socket, name, None)) is not None:
            end.setsockopt(socket.IPPROTO_TCP, option, value)


def tell(end: ssl.SSLSocket, message: Message) -> bool:
    """Send; False where the other end is gone."""
    try:
        send(end, message)
    except OSError:
        return False
    return True


def answer_of(end: ssl.SSLSocket) -> Message | None:
    """The next message; None where the other end is gone or says what is none."""
    try:
        return receive(end)
    except (OSError, FormatError, ValueError, KeyError, TypeError):
        return None


def chunks(path: Path) -> Iterator[Message]:
    """A file's bytes, and an empty message after them; raises OSError."""
    with path.open("rb") as stream:
        while data := stream.read(CHUNK):
            yield Message("chunk", {}, (data,))
    yield Message("chunk", {}, (b"",))
