"""What a proxy makes of proofs and receipts that would take long to check."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.server.test_receipt_files import RECEIPT
from veracity.errors import UsageError, VerificationError
from veracity.server import keeper
from veracity.server.keeper import Keeper


def longer(*given: object) -> None:
    raise UsageError("checking this may take longer")


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """A keeper of one receipt, whose proof is there."""
    monkeypatch.setattr(keeper, "Witness", lambda *given, **more: None)
    reply = {"status": "done", "id": "7"}
    server: Any = SimpleNamespace(post=lambda *_: reply, file=lambda *_: b"")
    said: list[str] = []
    made = Keeper(tmp_path, server, None, None, alarm=said.append)  # type: ignore[arg-type]
    made._wanted.add(RECEIPT.ident)
    file = SimpleNamespace(to_plain=dict, to_bytes=lambda: b"")
    for name in ("load", "from_plain"):
        monkeypatch.setattr(keeper.ReceiptFile, name, lambda *_: file)
    monkeypatch.setattr(keeper.Proof, "from_bytes", lambda *_: None)
    checked = SimpleNamespace(receipt=SimpleNamespace(prove_by=1 << 40, ident=RECEIPT.ident))
    monkeypatch.setattr(keeper, "check_receipt", lambda *_: checked)
    monkeypatch.setattr(keeper, "check_proof", lambda *_: None)
    return made


def test_a_proof_that_takes_long_to_check_breaks_the_promise(
    kept: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a server would choose proofs that nobody looks at."""
    monkeypatch.setattr(keeper, "check_proof", longer)
    kept.work()
    assert "its check would take too long" in kept.broken


def test_a_proof_that_is_checked_keeps_it(kept: Keeper) -> None:
    kept.work()
    assert not kept.broken


def test_a_receipt_that_takes_long_to_check_is_refused_and_kept(
    kept: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "check_receipt", longer)
    with pytest.raises(VerificationError, match="too long"):
        kept.accept(None, {}, "", "stop")  # type: ignore[arg-type]
    assert list((kept.folder / "refused").iterdir())
