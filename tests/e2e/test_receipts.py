"""Receipts from the publisher's key to the verdict, and every way to cheat with them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.house import PROMPT, House, done
from tests.e2e.house import veracity as command
from tests.e2e.offices import ASK, Office
from tests.support.serving import running
from veracity.errors import FormatError, RangeError, RequestError, UsageError, VerificationError
from veracity.formats.drawing import Drawing
from veracity.formats.dsse import load_private_key, sign
from veracity.formats.proof import Proof
from veracity.formats.receipt import RECEIPT_TYPE, Receipt, ReceiptFile
from veracity.proving import receipts as checking
from veracity.proving.prover import Prover
from veracity.proving.receipts import check_proof, require_no_equivocation
from veracity.server.desk import open_desk
from veracity.server.model import ServedModel
from veracity.text.chat import Message


def test_a_promise_is_kept_by_a_proof(office: Office, house: House) -> None:
    receipt, proof = office.folder / "receipt.json", office.folder / "receipt.vproof"
    base = ("--publisher", office.folder / "publisher.key.pub")
    told = done("receipt", "check", receipt, "--commitment", house.commitment, *base)
    assert told.output.startswith("ACCEPTED")
    assert "nothing is proved yet" in " ".join(told.output.split())
    done("receipt", "prove", receipt, house.program, "--secret", house.secret, *base, "-q")
    kept = done(
        *("receipt", "check", receipt, "--commitment", house.commitment, *base),
        *("--proof", proof, "--json"),
    )
    assert json.loads(kept.output)["verdict"].endswith("the promise is kept")
    both = ["verify", proof, "--commitment", house.commitment, "--receipt", receipt, "-q"]
    assert done(*both, *base).output.startswith("ACCEPTED")
    assert command(*both).exit_code == 2
    wrong = (*office.answered.answer[:-1], 5)
    text = office.commitment.table.show_answer(wrong, ()).text
    lie = office.folder / "lie.json"
    lie.write_bytes(office.signed("liar", answer=wrong, text=text).to_bytes())
    told = command("verify", proof, *both[2:4], "--receipt", lie, "-q", *base)
    assert (told.exit_code, "FRAUD" in told.output) == (1, True)
    assert Proof.load(proof).context.startswith("receipt ")


def test_what_lies_on_the_servers_disk_shows_no_words(office: Office) -> None:
    files = [p for p in (office.folder / "state").rglob("*") if p.is_file()]
    stored = b"".join(p.read_bytes() for p in files)
    opening = office.file.opening
    assert office.file.receipt.signature  # is there, in base64
    for salt in (opening.prompt_salt, opening.answer_salt, opening.text_salt):
        assert salt.encode() not in stored
    assert PROMPT.encode() not in stored


def test_no_field_can_be_altered(office: Office) -> None:
    """Every value of the client's file, each changed alone."""
    honest = office.file.to_plain()
    flips: dict[type, Callable[[Any], Any]] = {
        str: lambda v: v[:-3] + ("A" if v[-3] != "A" else "B") + v[-2:],
        int: lambda v: v ^ 1,
    }
    seen = 0
    for outer, inner in (
        *(("opening", name) for name in honest["opening"]),
        *((part, name) for part in ("receipt", "certificate") for name in honest[part]),
    ):
        plain = json.loads(json.dumps(honest))
        value = plain[outer][inner]
        if inner == "messages":
            value.append({"role": "user", "content": PROMPT})
        elif inner == "server_nonce":
            plain[outer][inner] = "00"
        elif isinstance(value, list) and isinstance(value[0], int):
            value[-1] = flips[int](value[-1])
        elif isinstance(value, list):
            value[0]["sig"] = flips[str](value[0]["sig"])
        else:
            plain[outer][inner] = flips[str](value)
        with pytest.raises((VerificationError, FormatError)):
            office.check(ReceiptFile.from_plain(plain))
        seen += 1
    assert seen == 13


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("commitment", "0" * 64),
        ("program", "0" * 64),
        ("tokenizer", "0" * 64),
        ("time", 1),
        ("prove_by", 1),
        ("url", "http://elsewhere"),
        ("kind", "refused"),
        ("rule", "drawn"),
        ("temperature", 700),
        ("client_nonce", "ab"),
        ("server_nonce", "0" * 64),
        ("frame", "messages"),
        ("finish", "stop"),
        ("finish", "none"),
        ("max_tokens", 13),
        ("max_tokens", 11),
        ("stopped", None),
    ],
)
def test_a_server_may_not_sign_what_it_cannot_be_held_to(
    office: Office, name: str, value: Any
) -> None:
    """Signed by the certified key, and still refused."""
    signed = Receipt.from_bytes(office.file.receipt.payload)
    if name == "stopped":
        signed = dataclasses.replace(signed, finish="none")
    forged = dataclasses.replace(signed, **{name: value})
    key = load_private_key(office.folder / "server.key")
    file = dataclasses.replace(office.file, receipt=sign(key, RECEIPT_TYPE, forged.to_bytes()))
    with pytest.raises(VerificationError):
        office.check(file)


def test_only_certified_keys_count(office: Office) -> None:
    other = load_private_key(office.folder / "other.key")
    payload = office.file.receipt.payload
    forged = dataclasses.replace(office.file, receipt=sign(other, RECEIPT_TYPE, payload))
    with pytest.raises(VerificationError, match="another key"):
        office.check(forged)
    own = sign(other, office.file.certificate.kind, office.file.certificate.payload)
    with pytest.raises(VerificationError, match="another key"):
        office.check(dataclasses.replace(office.file, certificate=own))
    with pytest.raises(VerificationError, match="another kind"):
        swapped = dataclasses.replace(office.file, certificate=office.file.receipt)
        office.check(swapped)


def test_a_false_answer_is_shown_by_a_proof_and_by_a_second_receipt(
    office: Office, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = office.answered.answer
    wrong = (*ids[:-1], ids[-1] ^ 1)
    text = office.commitment.table.show_answer(wrong, ()).text
    lie = office.check(office.signed(answer=wrong, text=text))
    true = office.check(office.file)
    proof = Proof.load(house.proof)
    check_proof(true, proof, office.commitment)
    with pytest.raises(VerificationError, match="FRAUD"):
        check_proof(lie, proof, office.commitment)
    with pytest.raises(VerificationError, match="FRAUD"):
        require_no_equivocation([true, lie])
    require_no_equivocation([true, true])
    refusal = office.check(office.signed(answer=(), text="", finish="none"))
    with pytest.raises(VerificationError, match="FRAUD"):
        require_no_equivocation([true, refusal])
    # A verifier that does not compare answers lets the lie pass: the proof itself is true.
    opening = dataclasses.replace(lie.opening, answer_ids=proof.answer)
    check_proof(dataclasses.replace(lie, opening=opening), proof, office.commitment)
    paths = [office.folder / "one.json", office.folder / "two.json"]
    for path, file in zip(
        paths, (office.file, office.signed("again", answer=wrong, text=text)), strict=True
    ):
        path.write_bytes(file.to_bytes())
    told = command(
        *("receipt", "check", *paths, "--commitment", house.commitment),
        *("--publisher", office.folder / "publisher.key.pub"),
    )
    assert told.exit_code == 1
    assert told.output.startswith("REJECTED")


def test_an_answer_that_is_cut_or_reworded_is_refused(office: Office) -> None:
    answered = office.answered
    shown = office.commitment.table.show_answer
    short = answered.answer[:-2]
    with pytest.raises(VerificationError, match="cut before its end"):
        office.check(office.signed(answer=short, text=shown(short, ()).text))
    with pytest.raises(VerificationError, match="not the one that was signed"):
        office.check(office.signed(text=answered.text + "!"))
    stop = answered.text.split()[2]
    with pytest.raises(VerificationError, match="after what ends it"):
        office.check(office.signed(stops=(stop,)))
    office.check(office.signed(answer=short, text=shown(short, ()).text, stopped="range"))


def test_refusals_have_receipts(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    def leaves(self: ServedModel, ids: tuple[int, ...], most: int, *_: object) -> Any:
        raise RangeError("layers.0.ffn", "calibrate")
        yield

    monkeypatch.setattr(ServedModel, "answer", leaves)
    with running(office.model, desk=office.desk("refusals")) as server:
        replies = [server.ask("/v1/completions", {**ASK, "stream": s}) for s in (False, True)]
    for reply in replies:
        assert reply.code == "prompt_refused"
        checked = office.check(ReceiptFile.from_plain(reply.json["veracity"]["receipt"]))
        assert checked.receipt.kind == "refused"
        assert checked.words == PROMPT
        with pytest.raises(UsageError, match="no proof"):
            Prover(office.model.program, office.model.secret).prove_receipt(checked)


def test_no_value_left_its_range_where_a_proof_goes_on(office: Office, house: House) -> None:
    """A server that would rather not answer signs a refusal, or breaks off: a proof shows it."""
    whole, answered = office.check(office.file), office.answered
    proof = Proof.load(house.proof)
    short = answered.answer[:-2]
    text = office.commitment.table.show_answer(short, ()).text
    broken = office.check(office.signed("broken", answer=short, text=text, stopped="range"))
    refused = office.check(office.signed("refuses", answer=(), text="", finish="none"))
    checking.check_kept(whole, proof)
    for lie in (broken, refused):
        with pytest.raises(VerificationError, match="FRAUD"):
            checking.check_kept(lie, proof)
        with pytest.raises(VerificationError, match="FRAUD"):
            checking.require_no_equivocation([lie, whole])
    checking.require_no_equivocation([broken, broken])


def test_nothing_is_answered_without_a_valid_certificate(office: Office) -> None:
    desk = dataclasses.replace(office.desk("late"), clock=lambda: 4e9)
    with pytest.raises(RequestError, match="certificate"):
        desk.require_valid()
    with running(office.model, desk=desk) as server:
        assert server.ask("/v1/completions", ASK).code == "certificate_expired"
    with pytest.raises(UsageError, match="another key"):
        open_desk(
            office.folder / "other.key",
            office.folder / "certificate.json",
            office.folder / "x",
            office.commitment,
            1,
        )


def test_receipts_outlive_the_server_and_belong_to_who_asked(office: Office) -> None:
    desk = office.desk("shelf")
    file = desk.issue(office.answered, "alice")
    ident = Receipt.from_bytes(file.receipt.payload).ident
    desk.shelf.close()
    again = office.desk("shelf")
    assert again.shelf.get(ident, "alice") == file.receipt.to_bytes()
    assert again.shelf.get(ident, "bob") is None
    again.shelf.close()


def test_the_words_of_a_receipt_are_the_ones_that_were_asked(office: Office) -> None:
    """Other ids of the same text would be the server's choice among spellings."""
    ids = office.model.encode([Message("user", PROMPT)], chat=False).ids
    table = office.commitment.table
    pieces = {piece: i for i, piece in enumerate(table.pieces) if i not in table.special}
    longest = max(ids, key=lambda i: len(table.pieces[i]))
    spelled = [pieces[bytes([b])] for b in table.pieces[longest] if bytes([b]) in pieces]
    at = ids.index(longest)
    with pytest.raises(VerificationError, match="tokenisation"):
        office.check(office.signed(prompt=(*ids[:at], *spelled, *ids[at + 1 :])))


def test_one_server_at_a_time_has_the_receipts(office: Office) -> None:
    desk = office.desk("alone")
    with pytest.raises(UsageError, match="in use by another server"):
        office.desk("alone")
    desk.shelf.close()
    office.desk("alone").shelf.close()


def test_a_drawn_answer_says_nothing_about_a_greedy_one(
    office: Office, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A true proof of a sampled answer to the same prompt would else make a liar of the server."""
    monkeypatch.setattr(checking, "verify", lambda *_, **_more: None)
    proof = Proof.load(house.proof)
    drawn = dataclasses.replace(proof, drawing=Drawing(0), tokens=(*proof.tokens[:-1], 5))
    true = office.check(office.file)
    with pytest.raises(VerificationError, match="drawn otherwise"):
        check_proof(true, drawn, office.commitment)
    with pytest.raises(VerificationError, match="FRAUD"):
        check_proof(true, dataclasses.replace(drawn, drawing=None), office.commitment)
