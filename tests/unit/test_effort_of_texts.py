"""Prompts and receipts are encoded again only where that may take no longer than allowed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.support.publisher import decoder, published
from tests.unit.server.test_hostile_receipts import CERTIFIED, OPENING, PUBLISHER, TRUE, signed
from tests.unit.test_formats import COMMITMENT
from veracity.errors import UsageError
from veracity.formats.answers import AnswersProof
from veracity.formats.proof import Proof
from veracity.formats.receipt import ReceiptFile
from veracity.proving import receipts
from veracity.proving import verify as verifying
from veracity.proving import verify_answers as verifying_answers
from veracity.proving.prompts import prompt_bytes
from veracity.proving.receipts import check_proof, check_receipt, require_receipt_effort
from veracity.proving.verified import require_text_effort
from veracity.text import ByteLevel
from veracity.text.chat import ChatFrame, Message
from veracity.text.shown import MAX_TEXT_BYTES
from veracity.text.table import TokenTable

BYTES = tuple(bytes([i]) for i in range(256))
#: A token of a kibibyte beside those of bytes.
TABLE = TokenTable((*BYTES, b"a" * 1024), frozenset(), ByteLevel(()))
PINNED = published(decoder(vocab=257), table=TABLE)
TALKER = replace(
    PINNED,
    metadata=replace(PINNED.metadata, conversation=ChatFrame(("x" * 100,), ("yes",))),
)
#: A prompt of a mebibyte, in 4 KiB of a file.
LONG = Proof(PINNED.digest, "raw", (256,) * 1024 + (0,), 1024, b"")


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (verifying, verifying_answers):
        monkeypatch.setattr(module, "read_answer", lambda *_: pytest.fail("a text was read"))


@pytest.mark.usefixtures("unread")
def test_long_prompts_are_refused_before_they_are_encoded() -> None:
    many = AnswersProof(PINNED.digest, (LONG,) * 32, b"argument")
    with pytest.raises(UsageError, match=r"may take about 2\d\d s.*--max-time"):
        verifying_answers.verify_answers(many, PINNED)
    with pytest.raises(UsageError, match="--max-time"):
        verifying.verify(replace(LONG, argument=b"argument"), PINNED, max_time=5.0)
    with pytest.raises(UsageError, match="positive"):
        verifying.verify(replace(LONG, argument=b"argument"), PINNED, max_time=0.0)


def test_what_a_text_may_take() -> None:
    assert require_text_effort([LONG], PINNED, 60.0) == pytest.approx(
        require_text_effort([LONG] * 3, PINNED, 60.0) / 3
    )
    short = replace(LONG, tokens=(97, 98, 0), prompt_length=2)
    assert prompt_bytes(short, PINNED) == 2
    assert prompt_bytes(replace(short, tokens=(300, 98, 0)), PINNED) == 1  # refused elsewhere
    assert prompt_bytes(replace(LONG, tokens=(256,) * 9999), PINNED) == 1 << 20
    assert prompt_bytes(LONG, replace(PINNED, table=replace(TABLE, rule=None))) == 0


def test_templates_are_part_of_a_text() -> None:
    """A template stands between all messages, however short they are."""
    said = (Message("user", "é"),)
    asked = replace(LONG, frame="messages", messages=said)
    assert prompt_bytes(asked, TALKER) == 2 + 2 * 100
    assert prompt_bytes(replace(asked, messages=said * 500), TALKER) == 500 * 2 + 501 * 100
    most = replace(asked, messages=said * 20_000)
    assert prompt_bytes(most, TALKER) == MAX_TEXT_BYTES  # a longer one is refused unread


def test_what_was_foretold_for_texts_counts_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts and argument together may take as long as allowed, not each of them."""
    told: list[float] = []

    def discharge(*_: object, beside: float, **more: object) -> None:
        told.append(beside)
        raise UsageError("told")

    asked = replace(LONG, tokens=(97, 98, 0), prompt_length=2, argument=b"argument")
    for module in (verifying, verifying_answers):
        monkeypatch.setattr(module, "discharge", discharge)
        monkeypatch.setattr(module, "read_answer", lambda *_: (None, None))
    with pytest.raises(UsageError, match="told"):
        verifying.verify(asked, PINNED)
    answers = AnswersProof(PINNED.digest, (replace(asked, argument=b""),) * 3, b"argument")
    with pytest.raises(UsageError, match="told"):
        verifying_answers.verify_answers(answers, PINNED)
    assert 0 < told[0] == pytest.approx(told[1] / 3)


def file(**changes: Any) -> ReceiptFile:
    return ReceiptFile(signed(replace(TRUE, **changes)), CERTIFIED, OPENING)


def test_receipts_are_refused_before_their_texts_are_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Four long ends of an answer are looked for after each of its tokens."""
    given = file(stops=("b" * 256,) * 4)
    key = PUBLISHER.public_key()
    assert check_receipt(given, key, COMMITMENT, 1e-2).text == "a"
    monkeypatch.setattr(receipts, "open_receipt", lambda *_: pytest.fail("it was read"))
    with pytest.raises(UsageError, match="--max-time"):
        check_receipt(given, key, COMMITMENT, 1e-4)
    require_receipt_effort([given] * 2, COMMITMENT, 1e-3)
    with pytest.raises(UsageError, match="--max-time"):
        require_receipt_effort([given] * 20, COMMITMENT, 1e-3)
    long = replace(given, opening=replace(OPENING, prompt_ids=LONG.prompt))
    with pytest.raises(UsageError, match="--max-time"):
        require_receipt_effort([long], PINNED, 1.0)


def test_the_proof_of_a_receipt_has_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    allowed: list[float] = []
    monkeypatch.setattr(receipts, "verify", lambda *_, max_time: allowed.append(max_time))
    monkeypatch.setattr(receipts, "check_kept", lambda *_: None)
    check_proof(None, LONG, PINNED, 7.0)  # type: ignore[arg-type]
    assert allowed == [7.0]
