"""Receipts that a certified server may sign and that are refused all the same: one thing wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.unit.test_formats import COMMITMENT
from veracity.errors import UsageError, VerificationError
from veracity.formats.drawing import Drawing
from veracity.formats.dsse import Envelope, sign
from veracity.formats.log import HEAD_TYPE, WITNESS_TYPE, LogHead, LogProof, SeenHead
from veracity.formats.merkle import MerkleTree, leaf_hash
from veracity.formats.proof import Proof
from veracity.formats.receipt import (
    CERTIFICATE_TYPE,
    RECEIPT_TYPE,
    KeyCertificate,
    Opening,
    Receipt,
    ReceiptFile,
)
from veracity.proving import receipts
from veracity.proving.log import check_growth, check_head, check_included, check_witness
from veracity.proving.receipts import (
    CheckedReceipt,
    check_kept,
    check_proof,
    check_receipt,
    open_receipt,
    prove_receipt,
    require_no_equivocation,
)
from veracity.text.chat import Message

KEY, PUBLISHER = (Ed25519PrivateKey.from_private_bytes(bytes([i]) * 32) for i in (1, 2))
CERTIFICATE = KeyCertificate(
    KEY.public_key().public_bytes_raw().hex(), COMMITMENT.digest, "http://x", 5, 30
)
OPENING = Opening((0, 3), (2, 1), "0" * 32, "1" * 32, "2" * 32)
META = COMMITMENT.metadata
HONEST = Receipt(
    "0" * 32, "answer", COMMITMENT.digest, META.program_digest, META.tokenizer_digest, "raw",
    "greedy", 0, "", "", 5, (), "", "", "", "stop", None, 10, 20, 0, True, "http://x",
)  # fmt: skip
CUT = replace(OPENING, answer_ids=(2, 2))
NONCE = bytes(range(32))
SAID = (Message("user", "aa"),)


def opened(opening: Opening = OPENING, text: str = "a", **changes: Any) -> CheckedReceipt:
    """What is read in a receipt of an opening that says something else of it."""
    receipt = replace(HONEST, **{**opening.hashes(text), **changes})
    return open_receipt(receipt, CERTIFICATE, opening, COMMITMENT)


def drawn(**changes: Any) -> CheckedReceipt:
    opening = replace(OPENING, server_nonce=NONCE.hex())
    digest = Drawing(700, b"\xab", NONCE).server_digest
    said = {"rule": "drawn", "temperature": 700, "client_nonce": "ab", "server_nonce": digest}
    return opened(opening, **said | changes)


def test_such_receipts_are_kept_promises() -> None:
    assert opened().words == "aa"
    assert opened(CUT, "aa", max_tokens=2, finish="length").text == "aa"
    assert opened(CUT, "aa", finish="length", stopped="range").receipt.stopped == "range"
    assert opened(replace(OPENING, answer_ids=()), "", kind="refused", finish="none").text == ""
    assert drawn().drawing == Drawing(700, b"\xab", NONCE)
    assert opened(time=5).receipt.time == 5
    assert opened(time=30, prove_by=30).receipt.time == 30


REFUSED = replace(OPENING, answer_ids=())
LIES: list[tuple[str, Opening, str, dict[str, Any]]] = [
    ("about another model", OPENING, "a", {"commitment": "0" * 64}),
    ("about another model", OPENING, "a", {"program": "0" * 64}),
    ("about another model", OPENING, "a", {"tokenizer": "0" * 64}),
    ("not certified when", OPENING, "a", {"time": 4}),
    ("not certified when", OPENING, "a", {"time": 31, "prove_by": 31}),
    ("another server", OPENING, "a", {"url": "http://y"}),
    ("ended before it began", OPENING, "a", {"prove_by": 9}),
    ("contradicts itself", OPENING, "a", {"rule": "drawn"}),
    ("contradicts itself", OPENING, "a", {"temperature": 700}),
    ("contradicts itself", OPENING, "a", {"client_nonce": "ab"}),
    ("contradicts itself", OPENING, "a", {"server_nonce": "0" * 64}),
    ("contradicts itself", REFUSED, "", {"kind": "refused"}),
    ("contradicts itself", OPENING, "a", {"finish": "none"}),
    ("contradicts itself", REFUSED, "", {
        "kind": "refused", "finish": "none", "stopped": "range"}),
    ("outside the vocabulary", replace(OPENING, answer_ids=(4, 1)), "a", {}),
    ("outside the vocabulary", replace(OPENING, prompt_ids=(0, 4)), "a", {}),
    ("fit the model's context", replace(OPENING, prompt_ids=()), "a", {}),
    ("fit the model's context", replace(OPENING, answer_ids=(2,) * 8), "a" * 8, {
        "max_tokens": 8, "finish": "length"}),
    ("a refusal with an answer", OPENING, "", {"kind": "refused", "finish": "none"}),
    ("more or fewer tokens", REFUSED, "", {}),
    ("more or fewer tokens", OPENING, "a", {"max_tokens": 1}),
    ("goes on after what ends it", replace(OPENING, answer_ids=(1, 2)), "", {}),
    ("goes on after what ends it", replace(OPENING, answer_ids=(2, 2)), "", {"stops": ("a",)}),
    ("did not end as", OPENING, "a", {"finish": "length"}),
    ("did not end as", OPENING, "a", {"stopped": "range"}),
    ("did not end as", CUT, "aa", {"max_tokens": 2}),
    ("cut before its end", CUT, "aa", {"finish": "length"}),
    ("the prompt is not the one", OPENING, "a", {"prompt": "0" * 64}),
    ("the answer is not the one", OPENING, "a", {"answer": "0" * 64}),
    ("the text is not the one", OPENING, "aa", {}),
    ("messages do not fit", OPENING, "a", {"frame": "messages"}),
    ("messages do not fit", replace(OPENING, messages=SAID), "a", {}),
    ("server's nonce", replace(OPENING, server_nonce="00"), "a", {}),
    ("server's nonce", replace(OPENING, server_nonce=NONCE.hex()), "a", {
        "rule": "drawn", "temperature": 700, "server_nonce": "0" * 64}),
]  # fmt: skip


@pytest.mark.parametrize(("words", "opening", "text", "changes"), LIES)
def test_receipts_that_are_refused(
    words: str, opening: Opening, text: str, changes: dict[str, Any]
) -> None:
    with pytest.raises(VerificationError, match=words):
        opened(opening, text, **changes)


def signed(receipt: Receipt) -> Envelope:
    return sign(KEY, RECEIPT_TYPE, receipt.to_bytes())


CERTIFIED = sign(PUBLISHER, CERTIFICATE_TYPE, CERTIFICATE.to_bytes())
TRUE = replace(HONEST, **OPENING.hashes("a"))


def test_who_signs_counts() -> None:
    file = ReceiptFile(signed(TRUE), CERTIFIED, OPENING)
    assert check_receipt(file, PUBLISHER.public_key(), COMMITMENT).text == "a"
    for other in (
        replace(file, receipt=sign(PUBLISHER, RECEIPT_TYPE, TRUE.to_bytes())),
        replace(file, certificate=sign(KEY, CERTIFICATE_TYPE, CERTIFICATE.to_bytes())),
    ):
        with pytest.raises(VerificationError, match="another key"):
            check_receipt(other, PUBLISHER.public_key(), COMMITMENT)


# ---- proofs beside receipts ----------------------------------------------------------------------
PROOF = Proof(COMMITMENT.digest, "raw", (0, 3, 2, 1), 2, b"argument")


@pytest.mark.parametrize(
    ("words", "checked", "changes"),
    [
        ("drawn otherwise", opened(), {"drawing": Drawing(700)}),
        ("drawn otherwise", drawn(), {}),
        ("another prompt", opened(), {"tokens": (0, 2, 2, 1)}),
        ("another prompt", opened(), {"frame": "chat"}),
        ("another prompt", opened(), {"messages": SAID}),
        ("gives another answer", opened(), {"tokens": (0, 3, 3, 1)}),
        ("goes on where", opened(CUT, "aa", finish="length", stopped="range"),
         {"tokens": (0, 3, 2, 2, 1)}),
        ("goes on where", opened(REFUSED, "", kind="refused", finish="none"), {}),
        ("a part of the answer", opened(), {"tokens": (0, 3, 2)}),
    ],
)  # fmt: skip
def test_proofs_that_keep_no_promise(
    words: str, checked: CheckedReceipt, changes: dict[str, Any]
) -> None:
    check_kept(opened(), PROOF)
    check_kept(
        opened(CUT, "aa", max_tokens=2, finish="length"), replace(PROOF, tokens=(0, 3, 2, 2, 1))
    )
    with pytest.raises(VerificationError, match=words):
        check_kept(checked, replace(PROOF, **changes))


def test_a_proof_is_checked_and_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []
    monkeypatch.setattr(receipts, "verify", lambda *given, **_: calls.append(given))
    check_proof(opened(), PROOF, COMMITMENT)
    with pytest.raises(VerificationError, match="FRAUD"):
        check_proof(opened(), replace(PROOF, tokens=(0, 3, 3, 1)), COMMITMENT)
    assert len(calls) == 2
    monkeypatch.undo()
    with pytest.raises(VerificationError, match="no proof that its weights are integers"):
        check_proof(opened(), PROOF, COMMITMENT)


def test_two_receipts_of_one_prompt() -> None:
    one = opened()
    longer = opened(replace(OPENING, answer_ids=(2, 2, 1)), "aa")
    begun = opened(replace(OPENING, answer_ids=(2,)), "a", max_tokens=1, finish="length")
    stopped = opened(replace(OPENING, answer_ids=(2,)), "a", finish="length", stopped="range")
    refused = opened(REFUSED, "", kind="refused", finish="none")
    other = opened(replace(OPENING, prompt_ids=(0, 2)), "a")
    require_no_equivocation([one, begun, other, drawn()])
    for pair in ([one, longer], [one, stopped], [stopped, one], [refused, one], [one, refused]):
        with pytest.raises(VerificationError, match="FRAUD"):
            require_no_equivocation([other, *pair])


def test_refusals_promise_no_proof() -> None:
    refused = opened(REFUSED, "", kind="refused", finish="none")
    with pytest.raises(UsageError, match="a refusal promises no proof"):
        prove_receipt(refused, None)  # type: ignore[arg-type]


def test_what_a_receipt_promises_is_what_is_proved(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[object, ...]] = []
    monkeypatch.setattr(receipts, "proof_of", lambda *given, **_: calls.append(given))
    checked, model = opened(), object()
    prove_receipt(checked, model)  # type: ignore[arg-type]
    said = checked.opening
    assert calls == [(model, list(said.prompt_ids), list(said.answer_ids), checked.receipt.frame)]


# ---- the log -------------------------------------------------------------------------------------
TREE = MerkleTree([leaf_hash(signed(replace(TRUE, time=i)).to_bytes()) for i in range(6)])


def head(size: int = 6, **changes: Any) -> LogHead:
    found = LogHead(size, TREE.root(size).hex(), 20, COMMITMENT.digest, "http://x")
    return replace(found, **changes)


def in_head(shown: LogHead) -> Envelope:
    return sign(KEY, HEAD_TYPE, shown.to_bytes())


@pytest.mark.parametrize(
    ("words", "changes"),
    [
        ("of another log", {"commitment": "0" * 64}),
        ("of another log", {"url": "http://y"}),
        ("not certified when", {"time": 4}),
        ("not certified when", {"time": 31}),
    ],
)
def test_heads_of_another_log(words: str, changes: dict[str, Any]) -> None:
    for time in (5, 30):
        shown = head(time=time)
        assert check_head(in_head(shown), CERTIFIED, PUBLISHER.public_key(), COMMITMENT) == shown
    with pytest.raises(VerificationError, match=words):
        check_head(in_head(head(**changes)), CERTIFIED, PUBLISHER.public_key(), COMMITMENT)


def test_receipts_that_are_not_in_the_log() -> None:
    proof = LogProof(in_head(head()), 3, tuple(TREE.inclusion(3, 6)))
    file = ReceiptFile(signed(replace(TRUE, time=3)), CERTIFIED, OPENING)
    assert check_included(file, proof, PUBLISHER.public_key(), COMMITMENT) == head()
    unlogged = replace(file, receipt=signed(replace(TRUE, time=7)))
    with pytest.raises(VerificationError, match="not in this tree"):
        check_included(unlogged, proof, PUBLISHER.public_key(), COMMITMENT)


def test_logs_that_were_rewritten() -> None:
    proof = LogProof(in_head(head()), 4, tuple(TREE.consistency(4, 6)))
    check_growth(head(4), head(), proof)
    with pytest.raises(VerificationError, match="another older log"):
        check_growth(head(4), head(), replace(proof, place=5))
    with pytest.raises(VerificationError, match="does not begin with"):
        check_growth(head(4, root="0" * 64), head(), proof)


def test_witnesses_of_another_head() -> None:
    seen = SeenHead(head(), 25)
    said = sign(PUBLISHER, WITNESS_TYPE, seen.to_bytes())
    assert check_witness(said, PUBLISHER.public_key(), head()) == seen
    for other in (head(5), head(time=21), head(url="http://y")):
        with pytest.raises(VerificationError, match="saw another head"):
            check_witness(said, PUBLISHER.public_key(), other)
    with pytest.raises(VerificationError, match="another key"):
        check_witness(said, KEY.public_key(), head())
    with pytest.raises(VerificationError, match="another kind"):
        check_witness(in_head(head()), KEY.public_key(), head())
