"""A proxy on the user's machine: any client of OpenAI's endpoints gets checked answers through it.

It passes requests on, sends what comes back, and checks the receipt of each answer before the
answer's end is sent: a client that waits for the end never takes an answer that nobody can be held
to. Streams flow meanwhile, unless it is told to hold them back.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from veracity.errors import (
    FormatError,
    PeerError,
    RequestError,
    UsageError,
    VeracityError,
    VerificationError,
)
from veracity.formats.proof import MAX_BYTES
from veracity.server.client import MAX_REPLY
from veracity.server.http import EventStream, Frame, facts_of, http_error, read_body, request_error
from veracity.server.keeper import ROUND, Keeps
from veracity.server.openai import DONE, KEEP_ALIVE, Ask, error_body, event, parse
from veracity.server.page import Page
from veracity.server.request import Limits
from veracity.server.upstream import Passed, Upstream

__all__ = ["make_checking_proxy"]

#: Bytes of a nonce that the proxy adds, and of all text of an answer.
_NONCE, _TEXT = 16, 1 << 26
_CHECKED = {"x-veracity-check": "accepted"}
#: What stands around the choices of a reply; a receipt beside it, and nothing else.
_AROUND = frozenset(("id", "object", "created", "model", "system_fingerprint", "choices", "usage"))
_ROLES = ("assistant", None)  # a chunk need not repeat it


@dataclass
class _Answer:
    """What was delivered of an answer so far."""

    chat: bool
    text: str = ""
    finish: str | None = None
    receipt: object = None

    def take(self, value: Mapping[str, Any]) -> None:
        """A chunk of a stream; :class:`FormatError` where it is none."""
        try:
            if value["choices"] != []:
                choice = _only_choice(value, "delta" if self.chat else "text")
                said = choice["delta"].get("content") if self.chat else choice["text"]
                self._add(said or "", choice["finish_reason"], value.get("veracity"))
            elif value.keys() - _AROUND:
                raise FormatError("stream", "more than an answer")
        except (KeyError, TypeError, AttributeError):
            raise FormatError("stream", "no chunk of an answer") from None

    def take_whole(self, value: Mapping[str, Any]) -> None:
        """A whole reply; :class:`FormatError` where it is none."""
        try:
            choice = _only_choice(value, "message" if self.chat else "text")
            said = choice["message"]["content"] if self.chat else choice["text"]
            self._add(said, choice["finish_reason"], value.get("veracity"))
        except (KeyError, TypeError, AttributeError):
            raise FormatError("reply", "no answer") from None

    def _add(self, said: str, finish: str | None, facts: Mapping[str, Any] | None) -> None:
        if self.finish is not None:
            raise FormatError("stream", "the answer goes on after its end")
        self.text += said
        self.finish = finish
        if finish is not None and facts is not None:
            self.receipt = facts.get("receipt")
        if len(self.text) > _TEXT:
            raise FormatError("stream", "the answer is too long")


def _only_choice(value: Mapping[str, Any], part: str) -> Mapping[str, Any]:
    """The one choice of a reply.

    Whatever else a reply holds would be handed on as if it was checked, and programs act on it: a
    second choice, a call of a tool, a thought. There is none of it here.

    Parameters
    ----------
    value : mapping
        A reply or a chunk.
    part : str
        Where the text is: ``message``, ``delta`` or ``text``.

    Raises
    ------
    FormatError
        There is more, or less.
    """
    choice = value["choices"][0] if len(value["choices"]) == 1 else {}
    said = choice.get(part)
    inside = said if isinstance(said, dict) else {}
    more = [
        *(value.keys() - _AROUND - {"veracity"}),
        *(choice.keys() - {"index", "logprobs", "finish_reason", part}),
        *(inside.keys() - {"role", "content", "refusal"}),
    ]
    empty = [choice.get("logprobs"), inside.get("refusal")] == [None, None]
    if more or not empty or choice.get("index") != 0 or inside.get("role") not in _ROLES:
        raise FormatError("reply", "more than an answer, or less")
    return choice


@dataclass(frozen=True)
class _Proxy:
    """What the endpoints share."""

    upstream: Upstream
    keeper: Keeps
    limits: Limits
    authorization: str | None
    hold: bool

    async def chat(self, request: Request) -> Response:
        """``POST /v1/chat/completions``."""
        return await self._answer(request, chat=True)

    async def complete(self, request: Request) -> Response:
        """``POST /v1/completions``."""
        return await self._answer(request, chat=False)

    async def passed(self, request: Request) -> Response:
        """What is passed on as it is: models, proofs, receipts, the commitment."""
        body = None
        if request.method == "POST":
            body = await read_body(request, self.limits.body, self.limits.body_time)
        asked = quote(request.scope["query_string"], safe="=&%+-._~:")
        path = quote(request.scope["path"], safe="/") + (f"?{asked}" if asked else "")
        key = self._key(request)
        return _handed(await self.upstream.ask(request.method, path, body, key, MAX_BYTES))

    def _key(self, request: Request) -> str | None:
        own: str | None = request.headers.get("authorization")
        return own if self.authorization is None else self.authorization

    async def _answer(self, request: Request, *, chat: bool) -> Response:
        if self.keeper.broken is not None:
            raise RequestError(
                "the server broke a promise, so nothing of it is handed on; the proxy's own "
                "output says which",
                "server_not_trusted",
                status=502,
            )
        body = await read_body(request, self.limits.body, self.limits.body_time)
        ask = parse(body, chat=chat)
        if ask.temperature and not ask.nonce and not ask.server_nonce:
            body = await self._with_nonces(body, request)
            ask = parse(body, chat=chat)
        path = "/v1/chat/completions" if chat else "/v1/completions"
        if not ask.stream:
            got = await self.upstream.ask("POST", path, body, self._key(request), MAX_REPLY)
            return await self._whole(got, ask, chat)
        events = self.upstream.events(path, body, self._key(request), MAX_REPLY)
        first = await anext(events, None)  # a stream may end at once
        if isinstance(first, Passed):
            await events.aclose()
            return await self._whole(first, ask, chat)
        sent = self._sent(request, first, events, ask, _Answer(chat))
        if self.hold:
            async with aclosing(sent):
                held = [data async for data in sent]
            # Of an answer that nobody can be held to only the fault is sent.
            whole = b"".join(held) if held[-1] == DONE else held[-1]
            return Response(whole, media_type="text/event-stream")
        return EventStream(sent, events.aclose)

    async def _with_nonces(self, body: bytes, request: Request) -> bytes:
        """A draw that neither side chose: the server's nonce is fixed before ours is made."""
        got = await self.upstream.ask("GET", "/v1/nonce", None, self._key(request), MAX_REPLY)
        try:
            told = json.loads(got.body)["server_nonce"]
        except (ValueError, KeyError, TypeError):
            raise PeerError("the server fixes no nonce, so it could choose among answers") from None
        given = json.loads(body)
        own = {"nonce": os.urandom(_NONCE).hex(), "server_nonce": told}
        given["veracity"] = {**(given.get("veracity") or {}), **own}
        given.pop("seed", None)
        return json.dumps(given).encode("utf-8")

    async def _whole(self, got: Passed, ask: Ask, chat: bool) -> Response:
        """A reply that came as a whole: an answer, or a refusal, which may have a receipt."""
        value = json.loads(got.body) if got.kind == "application/json" else None
        if got.status < 400:  # clients take every such reply for an answer
            answer = _Answer(chat)
            answer.take_whole(value if isinstance(value, dict) else {})
            await self._check(ask, answer)
            return _handed(got, _CHECKED)
        facts = value.get("veracity") if isinstance(value, dict) else None
        if isinstance(facts, dict) and "receipt" in facts:
            await self._check(ask, _Answer(chat, "", "none", facts["receipt"]))
        return _handed(got)

    async def _check(self, ask: Ask, answer: _Answer) -> None:
        """Keep the receipt of an answer that has ended; raises where it is none."""
        await asyncio.to_thread(
            self.keeper.accept, ask, answer.receipt, answer.text, answer.finish or ""
        )

    async def _sent(
        self,
        request: Request,
        first: dict[str, Any] | None,
        events: AsyncGenerator[Passed | dict[str, Any] | None, None],
        ask: Ask,
        answer: _Answer,
    ) -> AsyncGenerator[bytes, None]:
        """The events of a stream; the one that ends the answer once its receipt is checked."""
        value: Passed | dict[str, Any] | None = first
        try:
            while True:
                if value is None:
                    yield KEEP_ALIVE
                elif isinstance(value, dict) and "error" in value:
                    facts = value.get("veracity")
                    if isinstance(facts, dict) and "receipt" in facts and not answer.text:
                        refused = _Answer(ask.chat, "", "none", facts["receipt"])
                        await self._check(ask, refused)
                    yield event({n: value[n] for n in ("error", "veracity") if n in value})
                    return
                elif isinstance(value, dict):
                    open_before = answer.finish is None
                    answer.take(value)
                    if open_before and answer.finish is not None:
                        await self._check(ask, answer)
                    yield event(value)
                try:
                    value = await anext(events)
                except StopAsyncIteration:
                    break
            if answer.finish is None:
                raise PeerError("the server's stream broke off")
            yield DONE
        except VeracityError as error:
            fault = _fault(error)
            facts_of(request)["code"] = fault.code
            yield event(error_body(fault))


def _handed(got: Passed, more: Mapping[str, str] | None = None) -> Response:
    headers = dict(more or {})
    if got.wait is not None:
        headers["retry-after"] = got.wait
    return Response(got.body, got.status, headers, media_type=got.kind)


def _fault(error: Exception) -> RequestError:
    """What the client reads where the server is not believed."""
    if isinstance(error, VerificationError):
        return RequestError(
            f"the answer is not handed on: {error.reason}", "receipt_rejected", status=502
        )
    if isinstance(error, FormatError):
        return RequestError(
            "the answer is not handed on: it came without a receipt in due form",
            "receipt_rejected",
            status=502,
        )
    if isinstance(error, PeerError):
        return RequestError(str(error), "server_unreachable", status=502)
    return RequestError("the receipt could not be kept", "internal_error", status=500)


async def _peer_error(request: Request, error: Exception) -> Response:
    return await request_error(request, _fault(error))


async def _health(_request: Request) -> Response:
    return JSONResponse({"status": "ok"})


def make_checking_proxy(
    upstream: Upstream,
    keeper: Keeps,
    *,
    key: str = "",
    hold: bool = False,
    hosts: frozenset[str] | None = None,
) -> Frame:
    """The application.

    Parameters
    ----------
    upstream : Upstream
        The server.
    keeper : Keeps
        Takes receipts.
    key : str
        The bearer key for the server; what clients send is passed on where there is none.
    hold : bool
        Send nothing of a stream before its receipt is checked.
    hosts : frozenset of str, optional
        Names under which the proxy may be called; any where not given.
    """
    proxy = _Proxy(upstream, keeper, Limits(), f"Bearer {key}" if key else None, hold)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        rounds = asyncio.create_task(_rounds(keeper))
        try:
            yield
        finally:
            rounds.cancel()
            upstream.close()

    routes = [
        Route("/", Page.named("chat").send),
        Route("/v1/chat/completions", proxy.chat, methods=["POST"]),
        Route("/v1/completions", proxy.complete, methods=["POST"]),
        Route("/healthz", _health),
        *(
            Route(path, proxy.passed, methods=methods)
            for path, methods in (
                ("/v1/models", ["GET"]),
                ("/v1/models/{name:path}", ["GET"]),
                ("/v1/receipts/{ident}", ["GET"]),
                ("/v1/proofs", ["POST"]),
                ("/v1/proofs/{ident}", ["GET", "DELETE"]),
                ("/v1/proofs/{ident}/file", ["GET"]),
                ("/v1/commitment", ["GET"]),
                ("/v1/nonce", ["GET"]),
                ("/v1/log/head", ["GET"]),
                ("/v1/log/proof", ["GET"]),
                ("/v1/log/consistency", ["GET"]),
                ("/.well-known/veracity.json", ["GET"]),
            )
        ),
    ]
    handlers: dict[Any, Any] = {
        HTTPException: http_error,
        RequestError: request_error,
        PeerError: _peer_error,
        FormatError: _peer_error,
        VerificationError: _peer_error,
        UsageError: _peer_error,
    }
    return Frame(Starlette(routes=routes, exception_handlers=handlers, lifespan=lifespan), hosts)


async def _rounds(keeper: Keeps) -> None:
    while True:
        await asyncio.sleep(ROUND)
        await asyncio.to_thread(keeper.work)
