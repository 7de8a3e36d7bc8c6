"""The public endpoints of the log of receipts; they hold hashes only."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from veracity.errors import RequestError
from veracity.formats.log import LogProof
from veracity.server.desk import Desk

__all__ = ["LogRoutes"]


@dataclass(frozen=True)
class LogRoutes:
    """The endpoints of the log."""

    desk: Desk

    async def head(self, _request: Request) -> Response:
        """``GET /v1/log/head``: size, root and time, signed."""
        _, envelope = await asyncio.to_thread(self.desk.head)
        return JSONResponse({"head": envelope.to_plain()})

    async def included(self, request: Request) -> Response:
        """``GET /v1/log/proof?receipt=HASH``: that a receipt is in the log."""
        leaf = request.query_params.get("receipt", "")
        if re.fullmatch("[0-9a-f]{64}", leaf) is None:
            raise RequestError("the hash of a leaf, 64 hexadecimal digits", param="receipt")
        return _shown(await asyncio.to_thread(self.desk.included, bytes.fromhex(leaf)))

    async def grown(self, request: Request) -> Response:
        """``GET /v1/log/consistency?from=SIZE``: that the log begins with what it was."""
        old = request.query_params.get("from", "")
        if re.fullmatch("[0-9]{1,15}", old) is None:
            raise RequestError("a number of receipts", param="from")
        return _shown(await asyncio.to_thread(self.desk.grown, int(old)))


def _shown(proof: LogProof | None) -> Response:
    if proof is None:
        raise RequestError("not in the log; heads are a minute apart", "not_found", status=404)
    return JSONResponse(proof.to_plain())
