"""The endpoints: OpenAI's wire format around a committed model."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import ExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from veracity.errors import RangeError, RequestError
from veracity.server.delivery import Delivery
from veracity.server.evaluator import Evaluator
from veracity.server.http import EventStream, Frame, facts_of, read_body, refusal
from veracity.server.limits import Doors
from veracity.server.model import EncodedPrompt, ServedModel
from veracity.server.openai import DONE, KEEP_ALIVE, Ask, error_body, event, parse
from veracity.server.replies import Replies

__all__ = ["Limits", "Outcome", "make_app"]


@dataclass(frozen=True)
class Limits:
    """What a request may take.

    Attributes
    ----------
    body : int
        Bytes.
    body_time : float
        Seconds until all of it has arrived.
    tokens : int
        Of an answer whose length the client does not say, and of any.
    """

    body: int = 1 << 20
    body_time: float = 10.0
    tokens: int = 1024


@dataclass(frozen=True)
class Outcome:
    """An answer that has ended.

    Attributes
    ----------
    ids : tuple of int
        All tokens that were evaluated.
    text : str
        All text that was sent.
    finish : str
        ``stop`` or ``length``.
    stopped : str or None
        ``range`` where a value left its range after some tokens.
    """

    ids: tuple[int, ...]
    text: str
    finish: str
    stopped: str | None = None


@dataclass(frozen=True)
class Service:
    """What the endpoints share."""

    model: ServedModel
    evaluator: Evaluator
    doors: Doors
    limits: Limits
    since: int

    async def chat(self, request: Request) -> Response:
        """``POST /v1/chat/completions``."""
        return await self._answer(request, chat=True)

    async def complete(self, request: Request) -> Response:
        """``POST /v1/completions``."""
        return await self._answer(request, chat=False)

    async def models(self, request: Request) -> Response:
        """``GET /v1/models``."""
        self._identify(request)
        return JSONResponse({"object": "list", "data": [self._described()]})

    async def one_model(self, request: Request) -> Response:
        """``GET /v1/models/{id}``."""
        self._identify(request)
        self._require_model(request.path_params["name"])
        return JSONResponse(self._described())

    async def commitment(self, _request: Request) -> Response:
        """``GET /v1/commitment``: the public ``.vcom`` file."""
        data = self.model.secret.commitment.to_bytes()
        return Response(data, media_type="application/octet-stream")

    async def health(self, _request: Request) -> Response:
        """``GET /healthz``."""
        return JSONResponse({"status": "ok"})

    async def responses(self, _request: Request) -> NoReturn:
        """``/v1/responses``, which clients may try first."""
        raise RequestError(
            "there is no /v1/responses here; use /v1/chat/completions", "not_found", status=404
        )

    def _identify(self, request: Request) -> str:
        return self.doors.name_of(request.headers.get("authorization"))

    def _require_model(self, name: str) -> None:
        if name != self.model.name:
            raise RequestError(
                f"no such model; this server has {self.model.name!r}",
                "model_not_found",
                "model",
                status=404,
            )

    def _described(self) -> dict[str, Any]:
        chat = self.model.frame_name(chat=True)
        return {
            "id": self.model.name,
            "object": "model",
            "created": self.since,
            "owned_by": "veracity",
            "veracity": {
                "commitment": self.model.commitment_digest,
                "context": self.model.context,
                "decoding": "greedy",
                "chat_frame": chat,
            },
        }

    async def _answer(self, request: Request, *, chat: bool) -> Response:
        name = self._identify(request)
        with ExitStack() as stack:
            stack.enter_context(self.doors.enter(name))
            body = await read_body(request, self.limits.body, self.limits.body_time)
            ask = parse(body, chat=chat)
            self._require_model(ask.model)
            prompt = await asyncio.to_thread(self.model.encode, ask.messages, chat=chat)
            stack.enter_context(self.evaluator.place())
            replies = Replies(
                chat=chat,
                ident=("chatcmpl-" if chat else "cmpl-") + secrets.token_hex(16),
                model=self.model.name,
                fingerprint=self.model.fingerprint,
                created=int(time.time()),
                usage=ask.usage,
            )
            pieces = self._evaluate(ask, prompt)
            if ask.stream:
                return await self._streamed(request, pieces, prompt, replies, stack)
            async with aclosing(pieces):
                async for piece in pieces:
                    if isinstance(piece, Outcome):
                        return self._whole(request, piece, prompt, replies)
                    if await request.is_disconnected():
                        break
        return Response(status_code=499)

    async def _evaluate(
        self, ask: Ask, prompt: EncodedPrompt
    ) -> AsyncGenerator[str | Outcome | None, None]:
        """Text as it comes, None after each silence, at last the outcome."""
        room = self.model.context + 1 - len(prompt.ids)
        most = min(ask.most or self.limits.tokens, self.limits.tokens, room)
        commitment = self.model.secret.commitment
        delivery = Delivery(commitment.table, self.model.stop_ids, ask.stops)
        ids: list[int] = []
        sent: list[str] = []
        stopped = None
        try:
            async with aclosing(self.evaluator.answer(prompt.ids, most)) as tokens:
                async for token in tokens:
                    if token is None:
                        yield None
                        continue
                    ids.append(token)
                    sent.append(delivery.push(token))
                    yield sent[-1]
                    if delivery.finish is not None:
                        break
        except RangeError:
            if not ids:
                raise RequestError(
                    "no answer to this prompt can be proved, so none is given", "prompt_refused"
                ) from None
            stopped = "range"
        sent.append(delivery.end("length"))
        yield sent[-1]
        yield Outcome(tuple(ids), "".join(sent), delivery.finish or "length", stopped)

    def _said(self, outcome: Outcome) -> dict[str, Any]:
        """What a reply says beside OpenAI's format."""
        return {"commitment": self.model.commitment_digest, "stopped": outcome.stopped}

    def _whole(
        self, request: Request, outcome: Outcome, prompt: EncodedPrompt, replies: Replies
    ) -> Response:
        counts = (len(prompt.ids), len(outcome.ids))
        facts_of(request)["tokens"] = list(counts)
        return JSONResponse(
            replies.whole(outcome.text, outcome.finish, counts, self._said(outcome))
        )

    async def _streamed(
        self,
        request: Request,
        pieces: AsyncGenerator[str | Outcome | None, None],
        prompt: EncodedPrompt,
        replies: Replies,
        stack: ExitStack,
    ) -> Response:
        """A stream; what is refused before anything came is refused as without one."""
        first = await anext(pieces)
        release = stack.pop_all()

        async def events() -> AsyncIterator[bytes]:
            opening = replies.first()
            if opening is not None:
                yield event(opening)
            piece: str | Outcome | None = first
            try:
                while not isinstance(piece, Outcome):
                    if piece is None:
                        yield KEEP_ALIVE
                    elif piece:
                        yield event(replies.piece(piece))
                    piece = await anext(pieces)
                facts_of(request)["tokens"] = [len(prompt.ids), len(piece.ids)]
                yield event(replies.last(piece.finish, self._said(piece)))
                if replies.usage:
                    yield event(replies.count(len(prompt.ids), len(piece.ids)))
                yield DONE
            except RequestError as error:
                facts_of(request)["code"] = error.code
                yield event(error_body(error))

        async def close() -> None:
            with release:
                await pieces.aclose()

        return EventStream(events(), close)


async def _http_error(_request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    said = {404: ("no such page", "not_found"), 405: ("no such method here", "method_not_allowed")}
    message, code = said.get(status, ("the request cannot be served", "bad_request"))
    return refusal(RequestError(message, code, status=status))


async def _request_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestError):
        raise error
    facts_of(request)["code"] = error.code
    return refusal(error)


def make_app(
    model: ServedModel,
    evaluator: Evaluator,
    doors: Doors,
    limits: Limits,
    hosts: frozenset[str] | None = None,
) -> Frame:
    """The application.

    Parameters
    ----------
    model : ServedModel
        What answers.
    evaluator : Evaluator
        Where it computes.
    doors : Doors
        Who may ask.
    limits : Limits
        What a request may take.
    hosts : frozenset of str, optional
        Names under which the server may be called; any where not given.
    """
    service = Service(model, evaluator, doors, limits, int(time.time()))

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await asyncio.to_thread(evaluator.stop)

    routes = [
        Route("/v1/chat/completions", service.chat, methods=["POST"]),
        Route("/v1/completions", service.complete, methods=["POST"]),
        Route("/v1/models", service.models),
        Route("/v1/models/{name:path}", service.one_model),
        Route("/v1/commitment", service.commitment),
        Route("/v1/responses", service.responses, methods=["GET", "POST"]),
        Route("/healthz", service.health),
    ]
    handlers: dict[Any, Any] = {HTTPException: _http_error, RequestError: _request_error}
    return Frame(Starlette(routes=routes, exception_handlers=handlers, lifespan=lifespan), hosts)
