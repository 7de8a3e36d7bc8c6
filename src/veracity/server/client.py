"""A client of a server: JSON and files over HTTP, with bounds on what comes back.

Redirections are not followed, so that a key goes nowhere but where it was meant to.
"""

from __future__ import annotations

import contextlib
import json
import queue
import socket
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import Message
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import IO, Any

from veracity.errors import FormatError, PeerError, RequestError, UsageError
from veracity.formats.receipt import json_of

__all__ = ["Api"]

#: Bytes of a reply in JSON; seconds until all of it has come.
MAX_REPLY, TIMEOUT = 1 << 25, 120.0


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: Message,
        newurl: str,
    ) -> None:
        return None


def _kept(base: type[HTTPConnection], opened: list[socket.socket]) -> Any:
    """A kind of connection whose socket is noted, so that it can be ended from outside."""

    class Kept(base):  # type: ignore[misc, valid-type]
        def connect(self) -> None:
            super().connect()
            opened.append(self.sock)

    return Kept


class _Plain(urllib.request.HTTPHandler):
    def __init__(self, opened: list[socket.socket]) -> None:
        super().__init__()
        self._opened = opened

    def http_open(self, req: urllib.request.Request) -> HTTPResponse:
        return self.do_open(_kept(HTTPConnection, self._opened), req)


class _Secure(urllib.request.HTTPSHandler):
    def __init__(self, opened: list[socket.socket], context: ssl.SSLContext) -> None:
        super().__init__(context=context)
        self._opened, self._own = opened, context

    def https_open(self, req: urllib.request.Request) -> HTTPResponse:
        return self.do_open(_kept(HTTPSConnection, self._opened), req, context=self._own)


def _within(seconds: float, step: Callable[[], bytes], opened: list[socket.socket]) -> bytes:
    """What ``step`` gives, or :class:`PeerError`: a socket's time-out is one of each byte.

    Parameters
    ----------
    seconds : float
        For all of it, look-up of the name and handshake among it.
    step : callable
        Runs in a thread; its errors are raised here.
    opened : list of socket
        What is closed in the end, which ends the thread where it is at work still.
    """
    done: queue.SimpleQueue[bytes | BaseException] = queue.SimpleQueue()

    def run() -> None:
        try:
            done.put(step())
        except BaseException as error:
            done.put(error)

    threading.Thread(target=run, daemon=True).start()
    try:
        found = done.get(timeout=seconds)
    except queue.Empty:
        raise PeerError(f"no reply from the server within {seconds:g} s") from None
    finally:
        for one in opened:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
    if isinstance(found, BaseException):
        raise found
    return found


@dataclass(frozen=True)
class Api:
    """A server, and who asks it.

    Attributes
    ----------
    url : str
        Its address, without a path.
    key : str
        The bearer key; empty for none.
    timeout : float
        Seconds until a reply has come, all of it.
    ca : Path, optional
        PEM file of the authorities that may certify it; those of the system by default.
    """

    url: str
    key: str = field(default="", repr=False)
    timeout: float = TIMEOUT
    ca: Path | None = None

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")):
            raise UsageError("a server's address begins with http:// or https://")

    def get(self, path: str) -> Any:
        """JSON.

        Raises
        ------
        RequestError
            The server refused.
        PeerError, FormatError
            It did not answer, or not in JSON.
        """
        return self._json(self._sent(path, None, MAX_REPLY))

    def post(self, path: str, body: object) -> Any:
        """JSON for JSON; raises as :meth:`get`."""
        return self._json(self._sent(path, json.dumps(body).encode("ascii"), MAX_REPLY))

    def file(self, path: str, most: int) -> bytes:
        """Bytes, at most so many; raises as :meth:`get`."""
        return self._sent(path, None, most)

    def _json(self, data: bytes) -> Any:
        value = json_of(data, "reply")
        if not isinstance(value, dict):
            raise FormatError("reply", "no JSON object")
        return value

    def _sent(self, path: str, body: bytes | None, most: int) -> bytes:
        headers = {"content-type": "application/json"} if body is not None else {}
        if self.key:
            headers["authorization"] = f"Bearer {self.key}"
        try:
            request = urllib.request.Request(  # noqa: S310 (the scheme was checked)
                self.url.rstrip("/") + path, body, headers
            )
            context = ssl.create_default_context(cafile=self.ca)
            opened: list[socket.socket] = []
            opener = urllib.request.build_opener(
                _NoRedirect, _Plain(opened), _Secure(opened, context)
            )

            def whole() -> bytes:
                try:
                    with opener.open(request, timeout=self.timeout) as reply:
                        read: bytes = reply.read(most + 1)
                        return read
                except urllib.error.HTTPError as error:
                    with error:
                        code = _code(error)
                    said = f"the server refused: {code}"
                    raise RequestError(said, code, None, error.code) from None

            data = _within(self.timeout, whole, opened)
        except (OSError, HTTPException, ValueError) as error:
            raise PeerError(f"no reply from the server ({type(error).__name__})") from None
        if len(data) > most:
            raise PeerError(f"the server's reply has more than {most} bytes")
        return data


def _code(error: urllib.error.HTTPError) -> str:
    """The fault as the server names it, if it does so in few plain letters."""
    try:
        code = json_of(error.read(1 << 16), "reply")["error"]["code"]  # type: ignore[index]
    except (OSError, HTTPException, FormatError, KeyError, TypeError, IndexError):
        return "no reason given"
    plain = isinstance(code, str) and code.isascii() and code.replace("_", "").isalnum()
    return str(code)[:80] if plain else "no reason given"
