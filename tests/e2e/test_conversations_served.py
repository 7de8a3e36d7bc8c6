"""Conversations and drawn answers over HTTP: what is answered is what a proof would show."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.support.desks import PUBLISHER, desk_in
from tests.support.serving import Running, running
from tests.support.talking import Talker, talker
from veracity.engine import load_engine
from veracity.errors import RequestError, VerificationError
from veracity.formats.drawing import digest_of
from veracity.formats.dsse import Envelope
from veracity.formats.receipt import ReceiptFile
from veracity.proving.prove import prove
from veracity.proving.prover import Prover
from veracity.proving.receipts import (
    CheckedReceipt,
    check_proof,
    check_receipt,
    require_no_equivocation,
)
from veracity.server.desk import Desk
from veracity.server.model import ServedModel
from veracity.server.nonces import MOST, NONCE_TYPE, PERIOD, Nonces
from veracity.text.chat import Message

TALK = [
    {"role": "system", "content": "be brief"},
    {"role": "user", "content": "hello"},
    {"role": "assistant", "content": "hi"},
    {"role": "user", "content": "a story"},
]
ASK = {"model": "talker", "messages": TALK, "max_tokens": 6}


@dataclasses.dataclass(frozen=True)
class Served:
    talker: Talker
    server: Running
    desk: Desk

    def ask(self, **more: Any) -> tuple[Any, CheckedReceipt]:
        reply = self.server.ask("/v1/chat/completions", {**ASK, **more}).json
        file = ReceiptFile.from_plain(reply["veracity"]["receipt"])
        return reply, self.check(file)

    def check(self, file: ReceiptFile) -> CheckedReceipt:
        return check_receipt(file, PUBLISHER.public_key(), self.talker.commitment)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("talking")
    made = talker(folder)
    model = ServedModel("talker", made.model, made.secret, load_engine("cpu", threads=1).integers)
    desk = desk_in(folder, made.commitment)
    with running(model, desk=desk) as server:
        yield Served(made, server, desk)


def test_a_conversation_is_answered_as_it_is_proved(served: Served) -> None:
    _, checked = served.ask()
    messages = [(m["role"], m["content"]) for m in TALK]
    proved = prove(
        served.talker.model, served.talker.secret, messages=messages, max_new_tokens=6, threads=1
    )
    assert checked.opening.answer_ids == proved.proof.answer
    assert checked.opening.prompt_ids == proved.proof.prompt
    assert checked.receipt.frame == "messages"
    assert checked.words == "a story"
    check_proof(checked, proved.proof, served.talker.commitment)
    altered = dataclasses.replace(proved.proof, messages=(Message("user", "a story"),))
    with pytest.raises(VerificationError):
        check_proof(checked, altered, served.talker.commitment)


def test_messages_are_bound_by_the_receipt(served: Served) -> None:
    """Other messages do not open it, even where they have the same token ids."""
    reply, _ = served.ask()
    plain = reply["veracity"]["receipt"]
    for change in ([], TALK[1:2], [{**TALK[0], "content": "be long"}, *TALK[1:]]):
        opening = {**plain["opening"], "messages": change}
        with pytest.raises(VerificationError):
            served.check(ReceiptFile.from_plain({**plain, "opening": opening}))


def test_an_answer_is_drawn_from_a_seed_that_the_receipt_binds(served: Served) -> None:
    _, checked = served.ask(temperature=1.5, seed=7)
    _, twin = served.ask(temperature=1.5, seed=7)
    assert twin.opening.answer_ids == checked.opening.answer_ids
    assert checked.receipt.rule == "drawn"
    assert checked.receipt.client_nonce == (7).to_bytes(8, "little").hex()
    assert checked.receipt.server_nonce == ""
    others = [served.ask(temperature=1.5, seed=s)[1] for s in range(8, 12)]
    assert len({o.opening.answer_ids for o in others}) > 1
    require_no_equivocation([checked, twin, *others])
    liar = dataclasses.replace(
        checked, opening=dataclasses.replace(checked.opening, answer_ids=(1, 2))
    )
    with pytest.raises(VerificationError, match="FRAUD"):
        require_no_equivocation([twin, liar])
    model, secret = served.talker.model, served.talker.secret
    with Prover(model, secret, threads=1) as prover:
        proof = prover.prove_receipt(checked)
    check_proof(checked, proof, served.talker.commitment)
    with pytest.raises(VerificationError, match="drawn otherwise"):
        check_proof(others[0], proof, served.talker.commitment)


def test_a_nonce_that_was_promised_is_used_once(served: Served) -> None:
    told = served.server.ask("/v1/nonce").json
    payload = Envelope.from_plain(told["signed"], "nonce").verify(
        served.desk.key.public_key(), NONCE_TYPE
    )
    assert json.loads(payload)["digest"] == told["server_nonce"]
    own = {"nonce": "ab" * 16, "server_nonce": told["server_nonce"]}
    _, checked = served.ask(temperature=0.8, veracity=own)
    assert checked.receipt.server_nonce == told["server_nonce"]
    assert digest_of(bytes.fromhex(checked.opening.server_nonce)) == told["server_nonce"]
    used = served.server.ask("/v1/chat/completions", {**ASK, "temperature": 0.8, "veracity": own})
    assert (used.status, used.json["error"]["param"]) == (400, "veracity")


def test_without_a_seed_the_server_draws_anew(served: Served) -> None:
    answers = [served.ask(temperature=2)[1] for _ in range(4)]
    assert len({a.receipt.server_nonce for a in answers}) == 4
    assert len({a.opening.answer_ids for a in answers}) > 1


def test_another_nonce_does_not_open_a_receipt(served: Served) -> None:
    reply, _ = served.ask(temperature=1)
    plain = reply["veracity"]["receipt"]
    opening = {**plain["opening"], "server_nonce": "00" * 32}
    with pytest.raises(VerificationError, match="nonce"):
        served.check(ReceiptFile.from_plain({**plain, "opening": opening}))


def test_what_cannot_be_drawn_is_refused_by_name(served: Served) -> None:
    with served.server.client() as client:
        for more in (
            {"temperature": 9},
            {"temperature": 0.00001},
            {"temperature": True},
            {"temperature": 1, "seed": 1 << 70},
        ):
            with pytest.raises(openai.BadRequestError):
                client.chat.completions.create(**ASK, **more)
    for own in (
        {"nonce": "ab"},
        {"temperature": 1, "other": 1},
        {"nonce": "zz"},
        {"auditable": 1},
        {"server_nonce": "0" * 64},
        [],
    ):
        body = {**ASK, "temperature": 0 if own == {"nonce": "ab"} else 1, "veracity": own}
        assert served.server.ask("/v1/chat/completions", body).status == 400
    odd = [TALK[1], TALK[1]]
    assert served.server.ask("/v1/chat/completions", {**ASK, "messages": odd}).status == 400


def test_nonces_end_and_are_bounded() -> None:
    now = [0.0]
    nonces = Nonces(clock=lambda: now[0])
    digest, until = nonces.promise("a")
    assert until == PERIOD
    with pytest.raises(RequestError):
        nonces.take("b", digest)
    assert digest_of(nonces.take("a", digest)) == digest
    late, _ = nonces.promise("a")
    for _ in range(MOST - 1):
        nonces.promise("a")
    with pytest.raises(RequestError) as refused:
        nonces.promise("a")
    assert refused.value.status == 429
    now[0] = PERIOD + 1
    with pytest.raises(RequestError):
        nonces.take("a", late)
    nonces.promise("a")
