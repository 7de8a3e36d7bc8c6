"""The endpoints of auditors: receipts by their place in the log, and proofs of them."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from veracity.errors import RequestError
from veracity.formats.dsse import Envelope
from veracity.formats.merkle import leaf_hash
from veracity.formats.receipt import ReceiptFile, json_of
from veracity.server.desk import Desk
from veracity.server.jobs import State
from veracity.server.limits import Doors
from veracity.server.proofs import Proofs, shown, wait_for

__all__ = ["AuditRoutes"]


@dataclass(frozen=True)
class AuditRoutes:
    """What auditors may ask.

    Attributes
    ----------
    desk : Desk
        The receipts.
    proofs : Proofs
        The queue.
    doors : Doors
        Who asks.
    auditors : frozenset of str
        Names of keys that may; where the server has no keys, everybody on this machine.
    """

    desk: Desk
    proofs: Proofs
    doors: Doors
    auditors: frozenset[str]

    def _auditor(self, request: Request) -> str:
        """Who asks; to all others there are no such pages."""
        name = self.doors.name_of(request.headers.get("authorization"))
        if self.doors.keys is not None and name not in self.auditors:
            raise RequestError("no such page", "not_found", status=404)
        return name

    async def entry(self, request: Request) -> Response:
        """``GET /v1/audit/{place}?size=N``: a receipt, its place, and its opening if it is kept."""
        self._auditor(request)
        size = request.query_params.get("size", "")
        if not (size.isascii() and size.isdigit() and len(size) <= 15):
            raise RequestError("a number of receipts", param="size")
        place = request.path_params["place"]
        return await asyncio.to_thread(self._entry, place, int(size))

    def _entry(self, place: int, size: int) -> Response:
        self.desk.shelf.forget(int(time.time()))
        found = self.desk.shelf.at(place)
        included = None if found is None else self.desk.shelf.inclusion(leaf_hash(found[1]), size)
        if found is None or included is None:
            raise RequestError("the log of this size has no such place", "not_found", status=404)
        envelope = Envelope.from_plain(json.loads(found[1]), "receipt")
        file = None if found[2] is None else ReceiptFile.from_plain(json_of(found[2], "receipt"))
        certificate = self.desk.certificate_of(envelope.key_name)
        return JSONResponse(
            {
                "receipt": envelope.to_plain(),
                "certificate": certificate.to_plain(),
                "opening": None if file is None else file.opening.to_plain(),
                "path": [node.hex() for node in included[1]],
                "place": included[0],
            }
        )

    async def order(self, request: Request) -> Response:
        """``POST /v1/audit/{place}/proof``: the job of its proof, whoever ordered it first."""
        name = self._auditor(request)
        with self.doors.enter(name):
            found = await asyncio.to_thread(self._order, request.path_params["place"], name)
        return JSONResponse(shown(found), status_code=200 if found.state == "done" else 202)

    def _order(self, place: int, name: str) -> State:
        found = self.desk.shelf.at(place)
        if found is None or found[2] is None:
            raise RequestError("this receipt is not for auditors", "not_found", status=404)
        file = ReceiptFile.from_plain(json_of(found[2], "receipt"))
        return self.proofs.order_for_audit(file, name, time.time())

    def _state(self, place: int) -> State:
        found = self.desk.shelf.at(place)
        state = None if found is None else self.proofs.queue.of_receipt(found[0])
        if found is None or found[2] is None or state is None:
            raise RequestError("no such proof", "not_found", status=404)
        return state

    async def state(self, request: Request) -> Response:
        """``GET /v1/audit/{place}/proof``; ``?wait=SECONDS`` waits for the end of the job."""
        name, place = self._auditor(request), request.path_params["place"]
        found = await wait_for(request, lambda: self._state(place), self.proofs.waiting, name)
        return JSONResponse(shown(found))

    async def file(self, request: Request) -> Response:
        """``GET /v1/audit/{place}/proof/file``: the ``.vproof``."""
        self._auditor(request)
        found = await asyncio.to_thread(self._state, request.path_params["place"])
        return await self.proofs.sent(found)
