"""What a proof would take, told before anybody orders it."""

from __future__ import annotations

import asyncio
from dataclasses import asdict

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from veracity.errors import RequestError
from veracity.lm.text_decoder import context_of
from veracity.server.limits import Doors
from veracity.server.model import ServedModel
from veracity.server.proofs import Proofs
from veracity.work.estimate import estimate
from veracity.work.programs import integer_program

__all__ = ["Forecast"]

#: Lengths are rounded up to so many tokens: neighbours cost nearly the same.
_STEP = 16
#: Of an estimate, what a client is told.
_TOLD = ("prove_s", "verify_s", "proof_bytes")


class Forecast:
    """The endpoint; a length that was asked for once costs nothing more.

    Parameters
    ----------
    model : ServedModel
        Whose answers are proved.
    proofs : Proofs
        The queue, and how it proves.
    doors : Doors
        Who may ask.
    """

    def __init__(self, model: ServedModel, proofs: Proofs, doors: Doors) -> None:
        self._model, self._proofs, self._doors = model, proofs, doors
        self._longest = context_of(integer_program(model.program)) + 1
        self._known: dict[int, dict[str, float]] = {}
        self._one = asyncio.Lock()  # its measurement wants the machine

    async def told(self, request: Request) -> Response:
        """``GET /v1/proofs/estimate?tokens=N``: N of prompt and answer together."""
        owner = self._doors.name_of(request.headers.get("authorization"))
        tokens = self._tokens(request.query_params.get("tokens", ""))
        with self._doors.enter(owner):
            length = min(-(-tokens // _STEP) * _STEP, self._longest)
            async with self._one:
                if length not in self._known:
                    self._known[length] = await asyncio.to_thread(self._estimate, length)
            waiting = await asyncio.to_thread(self._proofs.queue.waiting)
        known = self._known[length]
        return JSONResponse(
            {"object": "proof.estimate", "tokens": tokens, **known, "waiting": waiting}
        )

    def _tokens(self, text: str) -> int:
        if text.isascii() and text.isdigit() and len(text) < 10 and 2 <= int(text) <= self._longest:
            return int(text)
        raise RequestError(
            f"tokens is a whole number from 2 to {self._longest}", "invalid_value", "tokens"
        )

    def _estimate(self, length: int) -> dict[str, float]:
        found = asdict(estimate(self._model.program, length, threads=self._proofs.place.threads))
        return {name: found[name] for name in _TOLD}
