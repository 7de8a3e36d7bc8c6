"""What a process and its workers send each other: a kind, plain data, and byte strings.

Frame, over a socket that the two share alone: 4 bytes length of the head, little-endian; the head,
JSON with kind, plain data and the lengths of the parts; the parts. Both ends are this package in
one version on one machine, and one user's. Nothing is pickled, and nothing touches a disk: secrets
travel here.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from veracity import errors
from veracity.codec import canonical_json
from veracity.errors import FormatError, VeracityError

__all__ = ["Message", "error_message", "raised", "receive", "send"]

#: Most bytes of a head, and of a part.
MAX_HEAD, MAX_PART = 1 << 26, 1 << 40


@dataclass(frozen=True)
class Message:
    """One message.

    Attributes
    ----------
    kind : str
        What it is for.
    body : mapping
        Plain data, for JSON.
    parts : tuple of bytes
        Byte strings; often secret.
    """

    kind: str
    body: Mapping[str, Any] = field(default_factory=dict, repr=False)
    parts: tuple[bytes, ...] = field(default=(), repr=False)


def send(end: socket.socket, message: Message) -> None:
    """Send one message; raises OSError where the other end is gone."""
    sizes = [len(part) for part in message.parts]
    head = canonical_json({"kind": message.kind, "body": dict(message.body), "parts": sizes})
    end.sendall(len(head).to_bytes(4, "little") + head)
    for part in message.parts:
        end.sendall(part)


def receive(end: socket.socket) -> Message | None:
    """The next message; None where the other end is gone, also in the middle of one.

    Raises
    ------
    FormatError
        For bytes that are no message.
    """
    length = _exactly(end, 4)
    if length is None:
        return None
    size = int.from_bytes(length, "little")
    if size > MAX_HEAD:
        raise FormatError("message of a worker", "its head is too long")
    text = _exactly(end, size)
    if text is None:
        return None
    head = json.loads(text)
    parts = []
    for count in head["parts"]:
        if not 0 <= count <= MAX_PART:
            raise FormatError("message of a worker", "a part is too long")
        part = _exactly(end, count)
        if part is None:
            return None
        parts.append(part)
    return Message(head["kind"], head["body"], tuple(parts))


def _exactly(end: socket.socket, count: int) -> bytes | None:
    out = bytearray(count)
    view = memoryview(out)
    at = 0
    while at < count:
        try:
            got = end.recv_into(view[at:])
        except ConnectionError:
            return None
        if got == 0:
            return None
        at += got
    return bytes(out)


def error_message(error: BaseException) -> Message:
    """An exception on its way to the process that asked.

    Of one that this package does not raise on purpose only type and place are told: its text might
    hold private values.
    """
    if isinstance(error, VeracityError):
        body = {"type": type(error).__name__, "text": str(error), "fields": vars(error)}
        return Message("error", body)
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = "" if trace is None else f"{trace.tb_frame.f_code.co_name}, line {trace.tb_lineno}"
    return Message("error", {"type": type(error).__name__, "text": place, "fields": {}})


def raised(message: Message) -> Exception:
    """The exception that an error message tells of, to be raised."""
    name, text = str(message.body["type"]), str(message.body["text"])
    kind = getattr(errors, name, None) if name in errors.__all__ else None
    if kind is not None:
        error: Exception = kind.__new__(kind)
        error.args = (text,)
        vars(error).update(message.body["fields"])
        return error
    if name == MemoryError.__name__:
        return MemoryError()
    return RuntimeError(f"{name} in a worker: {text}")
