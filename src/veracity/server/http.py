"""What holds for every request: its name, its host, its body, its line in the log.

No line of the log holds a prompt, an answer, a key, or a path that a client made up.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from veracity.errors import RequestError
from veracity.server.metrics import Metrics
from veracity.server.openai import error_body

__all__ = [
    "EventStream",
    "Frame",
    "facts_of",
    "http_error",
    "read_body",
    "refusal",
    "request_error",
]

LOG = logging.getLogger("veracity.server")
_HEADERS = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)


def refusal(error: RequestError) -> Response:
    """The reply to a request that is refused."""
    headers = {} if error.retry_after is None else {"retry-after": str(error.retry_after)}
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    return JSONResponse(error_body(error), status_code=error.status, headers=headers)


def facts_of(request: Request) -> dict[str, Any]:
    """What the log will say of a request."""
    facts: dict[str, Any] = request.scope.setdefault("veracity.facts", {})
    return facts


async def read_body(request: Request, most: int, seconds: float) -> bytes:
    """The body of a request in JSON.

    Parameters
    ----------
    request : Request
        The request.
    most : int
        Bytes.
    seconds : float
        Until it has arrived.

    Raises
    ------
    RequestError
        It is no JSON, too large or too slow.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":  # which no page of another origin sends unasked
        raise RequestError(
            "send JSON, and say so: content-type: application/json", "invalid_json", status=415
        )
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for part in request.stream():
                body += part
                if len(body) > most:
                    raise RequestError(
                        f"the body has more than {most} bytes", "body_too_large", status=413
                    )
    except TimeoutError:
        raise RequestError("the body came too slowly", "timeout", status=408) from None
    return bytes(body)


async def http_error(_request: Request, error: Exception) -> Response:
    """The reply where no page or method is found."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    said = {404: ("no such page", "not_found"), 405: ("no such method here", "method_not_allowed")}
    message, code = said.get(status, ("the request cannot be served", "bad_request"))
    return refusal(RequestError(message, code, status=status))


async def request_error(request: Request, error: Exception) -> Response:
    """The reply to a request that is refused, noted for the log."""
    if not isinstance(error, RequestError):
        raise error
    facts_of(request)["code"] = error.code
    return refusal(error)


class EventStream(StreamingResponse):
    """A stream of events that is closed whatever becomes of its client.

    Parameters
    ----------
    events : async iterator of bytes
        What is sent.
    close : callable
        Awaited at the end, even where nothing could be sent.
    """

    def __init__(self, events: AsyncIterator[bytes], close: Callable[[], Awaitable[None]]) -> None:
        super().__init__(events, media_type="text/event-stream")
        self._close = close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            aclose = getattr(self.body_iterator, "aclose", None)
            if aclose is not None:
                await aclose()
            await self._close()


class Frame:
    """Around the application: host, headers, log, faults.

    Parameters
    ----------
    app : ASGI application
        What answers.
    hosts : frozenset of str or None
        Names under which the server may be called. A page of another site that had its own name
        lead here would be refused.
    metrics : Metrics, optional
        Where requests are counted.
    """

    def __init__(
        self, app: ASGIApp, hosts: frozenset[str] | None, metrics: Metrics | None = None
    ) -> None:
        self._app, self._hosts, self._metrics = app, hosts, metrics or Metrics()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, name = time.monotonic(), "req_" + secrets.token_hex(12)
        facts = scope.setdefault("veracity.facts", {})
        status: int | None = None

        async def framed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                said = {header for header, _ in message["headers"]}  # a page has its own policy
                own = [header for header in _HEADERS if header[0] not in said]
                own.append((b"x-request-id", name.encode("ascii")))
                message = {**message, "headers": [*message["headers"], *own]}
            await send(message)

        try:
            if not self._knows(scope):
                fault = RequestError("this server has another name", "wrong_host", status=421)
                await refusal(fault)(scope, receive, framed)
            else:
                await self._app(scope, receive, framed)
        except (ClientDisconnect, asyncio.CancelledError) as error:
            facts["fault"] = "client left"
            if isinstance(error, asyncio.CancelledError):
                raise
        except Exception as error:
            # Messages of unknown errors may quote what a client sent; their kinds do not.
            facts["fault"] = type(error).__name__
            if status is None:
                fault = RequestError("the server failed", "internal_error", status=500)
                await refusal(fault)(scope, receive, framed)
        finally:
            route = getattr(scope.get("route"), "path", None)
            line = {"request": name, "route": route, "status": status}
            seconds = round(time.monotonic() - started, 4)
            self._metrics.note(route, status, seconds, facts)
            LOG.info(json.dumps({**line, "seconds": seconds, **facts}))

    def _knows(self, scope: Scope) -> bool:
        if self._hosts is None:
            return True
        named = [value for key, value in scope["headers"] if key == b"host"]
        if len(named) != 1:
            return False
        host = named[0].decode("latin-1").lower()
        bare = host[: host.rfind("]") + 1] if host.startswith("[") else host.partition(":")[0]
        return bare in self._hosts
