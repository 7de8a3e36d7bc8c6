"""The server behind a proxy: requests passed on, replies read with bounds.

Connections live in threads of their own; a client that leaves closes the one that works for it.
Redirections are not followed, so that a key goes nowhere but where it was meant to.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import socket
import ssl
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit

from veracity.codec.files import reason_of
from veracity.errors import FormatError, PeerError, UsageError
from veracity.formats.receipt import json_of

__all__ = ["Passed", "Upstream"]

T = TypeVar("T")
#: Seconds without a byte; the server sends a comment every ten.
_SILENCE = 120.0
#: Bytes of one event of a stream, and of all its events.
_EVENT, _STREAM = 1 << 25, 1 << 28
#: Requests that are passed on at a time.
_THREADS = 64


@dataclass(frozen=True)
class Passed:
    """A reply that came as a whole.

    Attributes
    ----------
    status : int
        Of HTTP.
    kind : str
        Its media type.
    body : bytes
        Its content.
    wait : str or None
        ``Retry-After``, as it came.
    """

    status: int
    kind: str
    body: bytes
    wait: str | None = None


@dataclass
class Upstream:
    """A server, and how it is reached.

    Parameters
    ----------
    url : str
        Its address, without a path.
    ca : str, optional
        PEM file of the authorities that may certify it; those of the system by default.
    """

    url: str
    ca: str | None = None
    _threads: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(_THREADS, thread_name_prefix="upstream"),
        repr=False,
    )

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        try:
            self._port = parts.port
        except ValueError:
            self._port = -1
        sound = parts.scheme in ("http", "https") and parts.hostname and self._port != -1
        if not sound or parts.path.strip("/") or parts.query or parts.fragment or parts.username:
            raise UsageError("give the server's address without a path: https://HOST[:PORT]")
        self._host, self._secure = str(parts.hostname), parts.scheme == "https"
        try:
            self._context = ssl.create_default_context(cafile=self.ca) if self._secure else None
        except (OSError, ssl.SSLError) as error:
            reason = reason_of(error) if isinstance(error, OSError) else "no certificates in PEM"
            raise UsageError(f"cannot use the authorities' file: {reason}") from None

    def _connection(self) -> http.client.HTTPConnection:
        if self._context is None:
            return http.client.HTTPConnection(self._host, self._port, timeout=_SILENCE)
        return http.client.HTTPSConnection(
            self._host, self._port, timeout=_SILENCE, context=self._context
        )

    async def ask(
        self, method: str, path: str, body: bytes | None, authorization: str | None, most: int
    ) -> Passed:
        """One request whose reply comes as a whole.

        Parameters
        ----------
        method, path : str
            Of HTTP.
        body : bytes or None
            JSON.
        authorization : str or None
            The header of this name.
        most : int
            Bytes of the reply.

        Raises
        ------
        PeerError
            No reply, or too long a one.
        """
        async with _open(self, method, path, body, authorization) as (reply, run):
            data = await run(lambda: reply.read(most + 1))
            if len(data) > most:
                raise PeerError(f"the server's reply has more than {most} bytes")
            return _passed(reply, data)

    async def events(
        self, path: str, body: bytes, authorization: str | None, most: int
    ) -> AsyncGenerator[Passed | dict[str, Any] | None, None]:
        """A stream: each event's JSON, None for a comment; or one reply that is no stream.

        Parameters
        ----------
        path : str
            Of the request.
        body : bytes
            JSON.
        authorization : str or None
            The header of this name.
        most : int
            Bytes of a reply that is no stream.

        Raises
        ------
        PeerError, FormatError
            The stream broke off before its end, is too long, or holds something else.
        """
        async with _open(self, "POST", path, body, authorization) as (reply, run):
            if reply.status != 200 or not _kind(reply).startswith("text/event-stream"):
                data = await run(lambda: reply.read(most + 1))
                if len(data) > most:
                    raise PeerError(f"the server's reply has more than {most} bytes")
                yield _passed(reply, data)
                return
            left = _STREAM
            while True:
                line = await run(lambda: reply.readline(_EVENT + 1))
                left -= len(line)
                if len(line) > _EVENT or left < 0:
                    raise PeerError("the server's stream is too long")
                if not line:
                    raise PeerError("the server's stream broke off")
                text = line.rstrip(b"\r\n")
                if text == b"data: [DONE]":
                    return
                if text.startswith(b"data: "):
                    value = json_of(text[6:], "stream")
                    if not isinstance(value, dict):
                        raise FormatError("stream", "no JSON object")
                    yield value
                elif text.startswith(b":"):
                    yield None
                elif text:
                    raise FormatError("stream", "no event")

    def close(self) -> None:
        """Let the threads end."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _kind(reply: http.client.HTTPResponse) -> str:
    return reply.headers.get("content-type", "").strip().lower()


def _passed(reply: http.client.HTTPResponse, data: bytes) -> Passed:
    """A reply to hand on: JSON or bytes, whatever it says that it is."""
    if 300 <= reply.status < 400 or not 200 <= reply.status < 600:
        raise PeerError(f"the server answers with status {reply.status}")
    kind = "application/json" if _kind(reply).startswith("application/json") else ""
    if kind:
        json_of(data, "reply")
    wait = reply.headers.get("retry-after")
    plain = wait if wait is not None and wait.isascii() and wait.isdigit() else None
    return Passed(reply.status, kind or "application/octet-stream", data, plain)


@contextlib.asynccontextmanager
async def _open(
    upstream: Upstream, method: str, path: str, body: bytes | None, authorization: str | None
) -> AsyncGenerator[tuple[http.client.HTTPResponse, Callable[[Callable[[], Any]], Any]], None]:
    """A reply, and how to read it in a thread; closed at the end, whatever a thread is at."""
    loop, connection = asyncio.get_running_loop(), upstream._connection()

    async def run(step: Callable[[], T]) -> T:
        try:
            return await loop.run_in_executor(upstream._threads, step)
        except (OSError, http.client.HTTPException) as error:
            raise PeerError(f"no reply from the server ({type(error).__name__})") from None

    headers = {} if body is None else {"content-type": "application/json"}
    if authorization is not None:
        headers["authorization"] = authorization

    used: list[socket.socket] = []

    def send() -> http.client.HTTPResponse:
        connection.connect()
        used.append(connection.sock)
        connection.request(method, path, body, headers)
        return connection.getresponse()

    try:
        yield await run(send), run
    finally:
        for sock in used:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)  # a thread that reads returns
        connection.close()
