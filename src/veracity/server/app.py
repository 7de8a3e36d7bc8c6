"""The endpoints: OpenAI's wire format around a committed model."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import ExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NoReturn

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from veracity.errors import RangeError, RequestError
from veracity.formats.dsse import sign
from veracity.server.audits import AuditRoutes
from veracity.server.desk import Desk
from veracity.server.evaluator import Evaluator
from veracity.server.forecast import Forecast
from veracity.server.http import (
    EventStream,
    Frame,
    facts_of,
    http_error,
    read_body,
    request_error,
)
from veracity.server.limits import Doors
from veracity.server.logs import LogRoutes
from veracity.server.metrics import Metrics
from veracity.server.model import ServedModel
from veracity.server.nonces import NONCE_TYPE, Nonces
from veracity.server.openai import DONE, KEEP_ALIVE, error_body, event, parse
from veracity.server.page import Page
from veracity.server.proofs import ProofRoutes, Proofs
from veracity.server.replies import Replies
from veracity.server.request import Job, Limits, Outcome, drawing_for
from veracity.server.upkeep import Upkeep
from veracity.text.delivery import Delivery

__all__ = ["make_app"]


#: Always the same, whichever value left its range where.
REFUSED = RequestError("no answer to this prompt can be proved, so none is given", "prompt_refused")


Pieces = AsyncGenerator[str | Outcome | None, None]


@dataclass(frozen=True)
class Service:
    """What the endpoints share."""

    model: ServedModel
    evaluator: Evaluator
    doors: Doors
    limits: Limits
    desk: Desk | None
    proofs: Proofs | None
    since: int
    nonces: Nonces = field(default_factory=Nonces)

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

    async def receipt(self, request: Request) -> Response:
        """``GET /v1/receipts/{id}``: for the key that asked, as if there were no others."""
        owner, ident = self._identify(request), request.path_params["ident"]
        if self.desk is not None:
            found = await asyncio.to_thread(self.desk.shelf.get, ident, owner)
            if found is not None:
                return Response(found, media_type="application/json")
        raise RequestError("no such receipt", "not_found", status=404)

    async def commitment(self, _request: Request) -> Response:
        """``GET /v1/commitment``: the public ``.vcom`` file."""
        data = self.model.secret.commitment.to_bytes()
        return Response(data, media_type="application/octet-stream")

    async def well_known(self, _request: Request) -> Response:
        """``GET /.well-known/veracity.json``: what the publisher says of this server."""
        own = {"commitment": self.model.commitment_digest}
        return JSONResponse(own if self.desk is None else self.desk.described())

    async def nonce(self, request: Request) -> Response:
        """``GET /v1/nonce``: the digest of a nonce that the server fixes now, signed."""
        digest, until = self.nonces.promise(self._identify(request))
        told: dict[str, Any] = {"server_nonce": digest, "until": until}
        if self.desk is not None:
            said = Nonces.payload(digest, until, self.model.commitment_digest)
            told["signed"] = sign(self.desk.key, NONCE_TYPE, said).to_plain()
        return JSONResponse(told)

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
        return {
            "id": self.model.name,
            "object": "model",
            "created": self.since,
            "owned_by": "veracity",
            "veracity": {
                "commitment": self.model.commitment_digest,
                "context": self.model.context,
                "decoding": "greedy; drawn where a temperature is given",
                "chat_frame": self.model.frame_name(chat=True),
                "conversations": self.model.converses,
                "receipts": self.desk is not None,
            },
        }

    async def _answer(self, request: Request, *, chat: bool) -> Response:
        owner = self._identify(request)
        if self.desk is not None:
            self.desk.require_valid()
        with ExitStack() as stack:
            stack.enter_context(self.doors.enter(owner))
            body = await read_body(request, self.limits.body, self.limits.body_time)
            ask = parse(body, chat=chat)
            self._require_model(ask.model)
            prompt = await asyncio.to_thread(self.model.encode, ask.messages, chat=chat)
            stack.enter_context(self.evaluator.place())
            room = self.model.context + 1 - len(prompt.ids)
            most = min(ask.most or self.limits.tokens, self.limits.tokens, room)
            replies = Replies(
                chat=chat,
                ident=("chatcmpl-" if chat else "cmpl-") + secrets.token_hex(16),
                model=self.model.name,
                fingerprint=self.model.fingerprint,
                created=int(time.time()),
                usage=ask.usage,
            )
            drawing = drawing_for(ask, owner, self.nonces)
            sampling = None if drawing is None else self.model.sampling(drawing, prompt.ids)
            job = Job(owner, ask, prompt, most, replies, drawing, sampling)
            pieces = self._evaluate(job)
            if ask.stream:
                return await self._streamed(request, pieces, job, stack)
            async with aclosing(pieces):
                async for piece in pieces:
                    if isinstance(piece, Outcome):
                        return await self._whole(request, piece, job)
                    if await request.is_disconnected():
                        break
        return Response(status_code=499)

    async def _evaluate(self, job: Job) -> Pieces:
        """Text as it comes, None after each silence, at last the outcome."""
        table = self.model.secret.commitment.table
        delivery = Delivery(table, self.model.stop_ids, job.ask.stops)
        ids: list[int] = []
        sent: list[str] = []
        stopped = None
        try:
            async with aclosing(
                self.evaluator.answer(job.prompt.ids, job.most, job.sampling)
            ) as tokens:
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
                yield Outcome((), "", "none")
                return
            stopped = "range"
        sent.append(delivery.end("length"))
        yield sent[-1]
        yield Outcome(tuple(ids), "".join(sent), delivery.finish or "length", stopped)

    async def _said(self, outcome: Outcome, job: Job) -> dict[str, Any]:
        """What a reply says beside OpenAI's format; its receipt is on the disk."""
        said = {"commitment": self.model.commitment_digest, "stopped": outcome.stopped}
        if self.desk is None:
            return said
        file, stored = self.desk.prepare(job.answered(outcome), job.owner)
        await asyncio.wrap_future(stored)
        where = {} if self.proofs is None else {"proof_url": f"{self.desk.certified.url}/v1/proofs"}
        return {**said, "receipt": file.to_plain(), **where}

    async def _whole(self, request: Request, outcome: Outcome, job: Job) -> Response:
        counts = (len(job.prompt.ids), len(outcome.ids))
        facts_of(request)["tokens"] = list(counts)
        said = await self._said(outcome, job)
        if outcome.refused:  # one refusal for all prompts that leave calibrated ranges
            facts_of(request)["code"] = REFUSED.code
            refused = {**error_body(REFUSED), "veracity": said}
            return JSONResponse(refused, status_code=REFUSED.status)
        return JSONResponse(job.replies.whole(outcome.text, outcome.finish, counts, said))

    async def _streamed(
        self, request: Request, pieces: Pieces, job: Job, stack: ExitStack
    ) -> Response:
        """A stream; what is refused before anything came is refused as without one."""
        first = await anext(pieces)
        if isinstance(first, Outcome):
            return await self._whole(request, first, job)
        release = stack.pop_all()

        async def close() -> None:
            with release:
                await pieces.aclose()

        return EventStream(self._events(request, first, pieces, job), close)

    async def _events(
        self, request: Request, first: str | None, pieces: Pieces, job: Job
    ) -> AsyncIterator[bytes]:
        replies, facts = job.replies, facts_of(request)
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
            said = await self._said(piece, job)
        except RequestError as error:
            facts["code"] = error.code
            yield event(error_body(error))
            return
        counts = (len(job.prompt.ids), len(piece.ids))
        facts["tokens"] = list(counts)
        if piece.refused:
            facts["code"] = REFUSED.code
            yield event({**error_body(REFUSED), "veracity": said})
            return
        yield event(replies.last(piece.finish, said))
        if replies.usage:
            yield event(replies.count(*counts))
        yield DONE


def make_app(
    model: ServedModel,
    evaluator: Evaluator,
    doors: Doors,
    limits: Limits,
    desk: Desk | None = None,
    proofs: Proofs | None = None,
    hosts: frozenset[str] | None = None,
    auditors: frozenset[str] = frozenset(),
    metrics: Metrics | None = None,
    upkeep: Upkeep | None = None,
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
    desk : Desk, optional
        Where receipts are signed; answers have none where not given.
    proofs : Proofs, optional
        Where proofs of receipts are ordered.
    hosts : frozenset of str, optional
        Names under which the server may be called; any where not given.
    auditors : frozenset of str
        Names of keys that may audit.
    metrics : Metrics, optional
        Where requests are counted.
    upkeep : Upkeep, optional
        What is forgotten, and when.
    """
    service = Service(model, evaluator, doors, limits, desk, proofs, int(time.time()))

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        if proofs is not None:
            proofs.start()
        rounds = asyncio.create_task((upkeep or Upkeep(desk, proofs)).run())
        try:
            yield
        finally:
            rounds.cancel()
            await asyncio.to_thread(evaluator.stop)
            if proofs is not None:
                await proofs.stop()
            if desk is not None:
                desk.shelf.close()

    routes = [
        Route("/", Page.named("chat").send),
        Route("/v1/chat/completions", service.chat, methods=["POST"]),
        Route("/v1/completions", service.complete, methods=["POST"]),
        Route("/v1/models", service.models),
        Route("/v1/models/{name:path}", service.one_model),
        Route("/v1/receipts/{ident}", service.receipt),
        Route("/.well-known/veracity.json", service.well_known),
        Route("/v1/commitment", service.commitment),
        Route("/v1/nonce", service.nonce),
        Route("/v1/responses", service.responses, methods=["GET", "POST"]),
        Route("/healthz", service.health),
    ]
    if desk is not None:
        log = LogRoutes(desk)
        routes += [
            Route("/v1/log/head", log.head),
            Route("/v1/log/proof", log.included),
            Route("/v1/log/consistency", log.grown),
        ]
    if proofs is not None:
        desk_of_proofs = ProofRoutes(proofs, doors, limits.body, limits.body_time)
        routes += [
            Route("/v1/proofs", desk_of_proofs.order, methods=["POST"]),
            Route("/v1/proofs/estimate", Forecast(model, proofs, doors).told),
            Route("/v1/proofs/{ident}", desk_of_proofs.state),
            Route("/v1/proofs/{ident}", desk_of_proofs.cancel, methods=["DELETE"]),
            Route("/v1/proofs/{ident}/file", desk_of_proofs.file),
        ]
    if desk is not None and proofs is not None and desk.retention:
        audits = AuditRoutes(desk, proofs, doors, auditors)
        routes += [
            Route("/v1/audit/{place:int}", audits.entry),
            Route("/v1/audit/{place:int}/proof", audits.order, methods=["POST"]),
            Route("/v1/audit/{place:int}/proof", audits.state),
            Route("/v1/audit/{place:int}/proof/file", audits.file),
        ]
    handlers: dict[Any, Any] = {HTTPException: http_error, RequestError: request_error}
    return Frame(
        Starlette(routes=routes, exception_handlers=handlers, lifespan=lifespan), hosts, metrics
    )
