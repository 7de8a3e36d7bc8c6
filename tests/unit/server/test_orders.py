"""Who orders proofs and waits for them keeps nobody else from doing so."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.server.test_hostile_receipts import CERTIFIED, OPENING, TRUE, signed
from veracity.errors import RequestError
from veracity.formats.receipt import ReceiptFile
from veracity.server import proofs
from veracity.server.proofs import Proofs, wait_for


@pytest.fixture
def office() -> Any:
    """A queue whose desk signed one receipt."""
    given = {TRUE.ident: signed(TRUE).to_bytes()}
    shelf = SimpleNamespace(get=lambda ident, owner: given.get(ident))
    made = Proofs.__new__(Proofs)
    made._desk = SimpleNamespace(shelf=shelf, commitment=None)  # type: ignore[assignment]
    return made


def test_receipts_that_nobody_signed_are_not_read(
    office: Proofs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its texts are encoded again, seconds for a mebibyte that a stranger made up."""
    monkeypatch.setattr(proofs, "open_receipt", lambda *_: pytest.fail("a text was read"))
    for receipt in (replace(TRUE, ident="1" * 32), replace(TRUE, max_tokens=4)):
        file = ReceiptFile(signed(receipt), CERTIFIED, OPENING)
        with pytest.raises(RequestError, match="no such receipt"):
            office.order(file, "", 15.0)
    garbage = replace(signed(TRUE), payload=b"{}")
    with pytest.raises(RequestError, match="must have exactly"):
        office.order(ReceiptFile(garbage, CERTIFIED, OPENING), "", 15.0)
    read: list[object] = []
    monkeypatch.setattr(proofs, "open_receipt", lambda *given: read.append(given))
    monkeypatch.setattr(Proofs, "_ordered", lambda *given: given[1])
    assert office.order(ReceiptFile(signed(TRUE), CERTIFIED, OPENING), "", 15.0) == TRUE
    assert len(read) == 1


def test_requests_of_one_key_do_not_hold_all_connections() -> None:
    """More than a few that wait are answered at once; another key waits as before."""
    waiting: Counter[str] = Counter()
    job: Any = SimpleNamespace(state="running")

    async def here() -> bool:
        return False

    request: Any = SimpleNamespace(query_params={"wait": "60"}, is_disconnected=here)

    async def poll(owner: str) -> None:
        await wait_for(request, lambda: job, waiting, owner)

    async def run() -> None:
        crowd = [asyncio.create_task(poll("a")) for _ in range(40)]
        other = asyncio.create_task(poll("b"))
        async with asyncio.timeout(20):
            while sum(task.done() for task in crowd) < 40 - proofs._WAITING:
                await asyncio.sleep(0.01)
        assert waiting == {"a": proofs._WAITING, "b": 1}
        assert not other.done()
        job.state = "done"
        await asyncio.gather(*crowd, other)

    asyncio.run(run())
    assert not waiting.total()
