"""OpenAI's wire format on the user's machine, in front of private inference.

Local programs send prompts here in clear; what leaves the machine are shares. The passes of an
answer run in a task of their own: a client that hangs up, or a stop text, ends what is sent and not
the passes, whose number would tell the owner about the prompt.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NoReturn

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from veracity.errors import (
    PeerError,
    RequestError,
    UnsupportedModelError,
    UsageError,
    VeracityError,
)
from veracity.graph.sampling import THOUSANDTHS
from veracity.lm.text_decoder import context_of
from veracity.private.card import Card
from veracity.private.client import Client, Token
from veracity.private.sampling import Sampling
from veracity.private.talk import Talk
from veracity.server.http import (
    EventStream,
    Frame,
    facts_of,
    http_error,
    read_body,
    request_error,
)
from veracity.server.limits import Doors
from veracity.server.openai import DONE, KEEP_ALIVE, Ask, error_body, event, parse
from veracity.server.replies import Replies
from veracity.server.request import Limits
from veracity.text.delivery import Delivery
from veracity.text.table import TokenTable

__all__ = ["PrivateProxy", "make_proxy"]

_LOG = logging.getLogger("veracity.server")
#: Seconds without a token after which a stream says that it lives.
SILENCE = 10.0
#: Seconds after which a request that waits for its turn is looked at: its client may have left.
LOOK = 0.5


@dataclass(frozen=True)
class _Outcome:
    """An answer that has ended."""

    text: str
    finish: str
    tokens: int


@dataclass(eq=False)
class _Answer:
    """An answer under way: its passes put tokens here, or what went wrong, and None at the end."""

    key: str
    card: Card
    ids: list[int]
    most: int
    sampling: Sampling | None
    arrived: asyncio.Queue[Token | RequestError | None] = field(default_factory=asyncio.Queue)
    wanted: bool = True
    begun: bool = False
    task: asyncio.Task[None] | None = None

    def leave(self) -> None:
        """Nobody reads it any more: one that waits for its turn gives its place to others."""
        self.wanted = False
        if self.task is not None and not self.begun:
            self.task.cancel()


@dataclass(eq=False)
class PrivateProxy:
    """The endpoints.

    Parameters
    ----------
    client : Client
        Asks the owner.
    doors : Doors
        Who may ask on this machine.
    limits : Limits
        What a request may take; ``tokens`` is also the length of an answer where a request names
        none.
    round_length : int
        As for :meth:`Client.generate`.
    waiting : int
        Requests at once; they are answered one after the other.
    """

    client: Client
    doors: Doors
    limits: Limits
    round_length: int = 0
    waiting: int = 16
    since: int = field(default_factory=lambda: int(time.time()))
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)
    _running: set[asyncio.Task[None]] = field(default_factory=set, init=False)
    _talk: Talk = field(init=False)
    _talker: str = field(default="", init=False)
    _meeting: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)
    _served: tuple[Card, str] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._talk = Talk(self.client)

    async def chat(self, request: Request) -> Response:
        """``POST /v1/chat/completions``."""
        return await self._answer(request, chat=True)

    async def complete(self, request: Request) -> Response:
        """``POST /v1/completions``."""
        return await self._answer(request, chat=False)

    async def models(self, request: Request) -> Response:
        """``GET /v1/models``."""
        self._identify(request)
        return JSONResponse({"object": "list", "data": [_described(*await self._model())]})

    async def health(self, _request: Request) -> Response:
        """``GET /healthz``."""
        return JSONResponse({"status": "ok"})

    async def responses(self, _request: Request) -> NoReturn:
        """``/v1/responses``, which clients may try first."""
        raise RequestError(
            "there is no /v1/responses here; use /v1/chat/completions", "not_found", status=404
        )

    async def finish(self) -> None:
        """Wait until all passes have ended: their number is not to tell when this one stopped."""
        if self._running:
            _LOG.info("passes go on, so that nobody learns where this ended; Ctrl-C cuts them")
        while self._running:
            await asyncio.wait(self._running)
        await self._talk.close()

    def _identify(self, request: Request) -> str:
        return self.doors.name_of(request.headers.get("authorization"))

    async def _model(self) -> tuple[Card, str]:
        """What the owner serves; asked once, and again after a fault."""
        async with self._meeting:  # requests at once are one connection to the owner
            if self._served is None:
                try:
                    self._served = await self.client.card()
                except VeracityError as error:
                    raise _told(error) from error
            return self._served

    async def _answer(self, request: Request, *, chat: bool) -> Response:
        with ExitStack() as stack:
            key = self._identify(request)
            stack.enter_context(self.doors.enter(key))
            body = await read_body(request, self.limits.body, self.limits.body_time)
            ask = parse(body, chat=chat)
            card, mode = await self._model()
            answer = await asyncio.to_thread(self._asked, ask, card, mode, key)
            if len(self._running) >= self.waiting:
                raise RequestError(
                    "too many requests wait here", "rate_limit_exceeded", status=429, retry_after=5
                )
            replies = Replies(
                chat=chat,
                ident=("chatcmpl-" if chat else "cmpl-") + secrets.token_hex(16),
                model=card.name,
                fingerprint="veracity-" + card.digest[:16],
                created=int(time.time()),
                usage=ask.usage,
            )
            said = {"card": card.digest, "mode": mode, "passes": answer.most}
            answer.task = asyncio.create_task(self._run(answer))
            self._running.add(answer.task)
            answer.task.add_done_callback(self._running.discard)
            texts = _texts(answer, card, ask)
            first = await _first(request, texts, answer)
            if ask.stream and not isinstance(first, _Outcome):
                release = stack.pop_all()

                async def close() -> None:
                    with release:
                        await texts.aclose()

                return EventStream(_events(request, first, texts, answer, replies, said), close)
            while not isinstance(first, _Outcome):
                if await request.is_disconnected():
                    await texts.aclose()
                    return Response(status_code=499)
                first = await anext(texts)
            counts = (len(answer.ids), first.tokens)
            facts_of(request)["tokens"] = list(counts)
            return JSONResponse(replies.whole(first.text, first.finish, counts, said))

    def _asked(self, ask: Ask, card: Card, mode: str, key: str) -> _Answer:
        """What a request asks of the model."""
        if ask.model != card.name:
            raise RequestError(
                f"no such model; this server has {card.name!r}",
                "model_not_found",
                "model",
                status=404,
            )
        if ask.nonce or ask.server_nonce or ask.auditable:
            raise RequestError(
                "answers are drawn by this machine alone, and have no receipt; "
                "leave out seed and veracity",
                "unsupported_value",
                "veracity",
            )
        sampling = Sampling(ask.temperature / THOUSANDTHS) if ask.temperature else None
        try:
            if sampling is not None:
                sampling.chooser(card.program, mode)
        except (UsageError, UnsupportedModelError) as error:
            raise RequestError(str(error), "unsupported_value", "temperature") from None
        try:
            ids = card.prompt(ask.messages if ask.chat else ask.messages[0].content)
        except UsageError as error:
            where = "messages" if ask.chat else "prompt"
            raise RequestError(str(error), "invalid_prompt", where) from None
        room = context_of(card.program) + 1 - len(ids)
        most = min(ask.most or self.limits.tokens, self.limits.tokens, room)
        return _Answer(key, card, ids, most, sampling)

    async def _run(self, answer: _Answer) -> None:
        """Run an answer's passes, whoever reads it; raises nothing."""
        put = answer.arrived.put_nowait
        try:
            async with self._turn:
                if not answer.wanted:
                    return  # nobody else has heard of it yet
                answer.begun = True
                if answer.key != self._talker:
                    # How soon an answer comes would tell one key what another's prompt was.
                    await self._talk.close()
                    self._talker = answer.key
                tokens = self._talk.answer(
                    answer.ids, answer.most, sampling=answer.sampling,
                    round_length=self.round_length, card=answer.card,
                )  # fmt: skip
                async for token in tokens:
                    put(token)
        except VeracityError as error:
            self._served = None
            put(_told(error))
        except Exception as error:
            # Messages of unknown errors may quote a prompt; their kinds do not.
            _LOG.error("an answer failed: %s", type(error).__name__)
            put(RequestError("the proxy failed", "internal_error", status=500))
        finally:
            put(None)


def _told(error: VeracityError) -> RequestError:
    """What a local program reads of a fault."""
    if isinstance(error, PeerError):
        return RequestError(str(error), "peer_unavailable", status=502)
    return RequestError(str(error), "request_refused")


def _described(card: Card, mode: str) -> dict[str, Any]:
    return {
        "id": card.name,
        "object": "model",
        "created": 0,
        "owned_by": "veracity",
        "veracity": {"card": card.digest, "mode": mode, "context": context_of(card.program)},
    }


async def _texts(
    answer: _Answer, card: Card, ask: Ask
) -> AsyncGenerator[str | _Outcome | None, None]:
    """Text as it comes, None after a silence, at last the outcome."""
    known = card.tokenizer
    table = TokenTable(tuple(known.token_bytes), frozenset(known.special_ids), known.rule)
    delivery = Delivery(table, known.stop_ids, ask.stops)
    sent: list[str] = []
    count = 0
    try:
        while delivery.finish is None:
            try:
                async with asyncio.timeout(SILENCE):
                    token = await answer.arrived.get()
            except TimeoutError:
                yield None
                continue
            if isinstance(token, RequestError):
                raise token
            if token is None:
                break
            count += 1
            sent.append(delivery.push(token.id))
            yield sent[-1]
            if token.ended is not None:
                break
        sent.append(delivery.end("length"))
        yield sent[-1]
        yield _Outcome("".join(sent), delivery.finish or "length", count)
    finally:
        answer.leave()


async def _first(
    request: Request, texts: AsyncGenerator[str | _Outcome | None, None], answer: _Answer
) -> str | _Outcome | None:
    """What comes first; a request that is cut before has no pass, if none was begun."""
    reading = asyncio.ensure_future(anext(texts))
    try:
        while not (await asyncio.wait((reading,), timeout=LOOK))[0]:
            if await request.is_disconnected():
                raise RequestError("the client has left", "client_left", status=499)
        return reading.result()
    except BaseException:
        reading.cancel()
        answer.leave()
        raise


async def _events(
    request: Request,
    first: str | None,
    texts: AsyncGenerator[str | _Outcome | None, None],
    answer: _Answer,
    replies: Replies,
    said: dict[str, Any],
) -> AsyncIterator[bytes]:
    """The events of a stream."""
    facts = facts_of(request)
    opening = replies.first()
    if opening is not None:
        yield event(opening)
    piece: str | _Outcome | None = first
    try:
        while not isinstance(piece, _Outcome):
            if piece is None:
                yield KEEP_ALIVE
            elif piece:
                yield event(replies.piece(piece))
            piece = await anext(texts)
    except RequestError as error:
        facts["code"] = error.code
        yield event(error_body(error))
        return
    counts = (len(answer.ids), piece.tokens)
    facts["tokens"] = list(counts)
    yield event(replies.last(piece.finish, said))
    if replies.usage:
        yield event(replies.count(*counts))
    yield DONE


def make_proxy(proxy: PrivateProxy, hosts: frozenset[str] | None) -> Frame:
    """The application.

    Parameters
    ----------
    proxy : PrivateProxy
        What answers.
    hosts : frozenset of str or None
        Names under which it may be called.
    """

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await proxy.finish()

    app = Starlette(
        routes=[
            Route("/v1/chat/completions", proxy.chat, methods=["POST"]),
            Route("/v1/completions", proxy.complete, methods=["POST"]),
            Route("/v1/models", proxy.models),
            Route("/v1/responses", proxy.responses, methods=["GET", "POST"]),
            Route("/healthz", proxy.health),
        ],
        exception_handlers={RequestError: request_error, HTTPException: http_error},
        lifespan=lifespan,
    )
    return Frame(app, hosts)
