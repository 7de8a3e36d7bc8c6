"""Audits: a server that lies, hides, alters or repeats what its log holds is found out."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.house import PROMPT, House
from tests.e2e.house import veracity as command
from tests.support.desks import PUBLISHER, desk_in, keys
from tests.support.serving import running
from veracity.errors import PeerError, RequestError
from veracity.formats.commitment import Commitment
from veracity.formats.dsse import sign
from veracity.formats.log import LogHead
from veracity.formats.merkle import leaf_hash
from veracity.formats.proof import Proof
from veracity.formats.receipt import RECEIPT_TYPE, Receipt, ReceiptFile, json_of
from veracity.proving.audit import Beacon, Finding, summary
from veracity.server.auditor import Audit
from veracity.server.client import Api
from veracity.server.desk import Answered, Desk, open_desk
from veracity.server.model import ServedModel
from veracity.server.proofs import Proofs
from veracity.server.shelf import Entry
from veracity.server.worker import Workplace

BEACON = Beacon(1, bytes(32))


@dataclasses.dataclass(frozen=True)
class Log(Api):
    """A server without HTTP: what it says of its desk's log, changed by whoever cheats."""

    desk: Desk | None = None
    proof: bytes = b""
    lie: Callable[[int, Any], Any] = lambda place, entry: entry
    state: Callable[[int], str] = lambda place: "done"

    def get(self, path: str) -> Any:
        place = int(path.split("/")[3].split("?")[0])
        if "proof" in path:
            return {"status": self.state(place)}
        assert self.desk is not None
        found, size = self.desk.shelf.at(place), int(path.rpartition("=")[2])
        assert found is not None
        included = self.desk.shelf.inclusion(leaf_hash(found[1]), size)
        assert included is not None
        file = None if found[2] is None else json.loads(found[2])
        return self.lie(
            place,
            {
                "receipt": json.loads(found[1]),
                "certificate": self.desk.certificate.to_plain(),
                "opening": None if file is None else file["opening"],
                "path": [node.hex() for node in included[1]],
                "place": place,
            },
        )

    def post(self, path: str, body: object) -> Any:
        return {}

    def file(self, path: str, most: int) -> bytes:
        return self.proof


@pytest.fixture(scope="module")
def honest(house: House) -> Answered:
    proof = Proof.load(house.proof)
    commitment = Commitment.load(house.commitment)
    text = commitment.table.show_answer(proof.answer, ()).text
    answered = Answered(
        proof.frame, proof.prompt, proof.answer, text, len(proof.answer), (), "length", None
    )
    return dataclasses.replace(answered, auditable=True)


@pytest.fixture
def log(house: House, honest: Answered, tmp_path: Path) -> Iterator[Log]:
    desk = desk_in(tmp_path / "desk", Commitment.load(house.commitment), retention=3000)
    for _ in range(3):
        desk.issue(honest, "")
    yield Log("http://x", desk=desk, proof=house.proof.read_bytes())
    desk.shelf.close()


def head_of(desk: Desk) -> LogHead:
    size, root = desk.shelf.summary()
    return LogHead(size, root.hex(), 5, desk.commitment.digest, "http://127.0.0.1")


def audited(log: Log, **options: Any) -> list[Finding]:
    assert log.desk is not None
    audit = Audit(log, PUBLISHER.public_key(), log.desk.commitment, **options)
    return audit.run(head_of(log.desk), BEACON, Fraction(1))


def test_an_honest_log_passes(log: Log, tmp_path: Path) -> None:
    findings = audited(log, folder=tmp_path / "kept")
    assert [f.status for f in findings] == ["proved"] * 3
    assert len(list((tmp_path / "kept").glob("*.vproof"))) == 3


def test_a_lie_does_not_pass(log: Log, honest: Answered) -> None:
    assert log.desk is not None
    wrong = (*honest.answer[:-1], honest.answer[-1] ^ 1)
    text = log.desk.commitment.table.show_answer(wrong, ()).text
    log.desk.issue(dataclasses.replace(honest, answer=wrong, text=text), "")
    assert "FRAUD" in audited(log)[3].reason  # by the receipts of the same prompt
    alone = dataclasses.replace(log, lie=lambda place, entry: entry if place == 3 else refuse())
    found = audited(alone)[3]
    assert found.status == "failed"
    assert "another answer" in found.reason  # by the proof


def refuse() -> Any:
    raise RequestError("the server refused", "not_found", status=404)


def swapped(log: Log) -> Callable[[int, Any], Any]:
    """Shows the first receipt at each place."""
    first = log.get("/v1/audit/0?size=3")
    return lambda place, entry: {**entry, "receipt": first["receipt"], "opening": first["opening"]}


def without_opening(log: Log) -> Callable[[int, Any], Any]:
    return lambda place, entry: {**entry, "opening": None}


def with_another_opening(log: Log) -> Callable[[int, Any], Any]:
    def lie(place: int, entry: Any) -> Any:
        ids = [*entry["opening"]["answer_ids"][:-1], 7]
        return {**entry, "opening": {**entry["opening"], "answer_ids": ids}}

    return lie


def altered(log: Log) -> Callable[[int, Any], Any]:
    """The receipt says that it is not for auditors: signed anew, but not what the log holds."""
    desk = log.desk
    assert desk is not None

    def lie(place: int, entry: Any) -> Any:
        file = ReceiptFile.from_plain({k: entry[k] for k in ("receipt", "certificate", "opening")})
        receipt = Receipt.from_bytes(file.receipt.payload)
        changed = dataclasses.replace(receipt, auditable=False)
        envelope = sign(desk.key, RECEIPT_TYPE, changed.to_bytes())
        return {**entry, "receipt": envelope.to_plain()}

    return lie


def malformed(log: Log) -> Callable[[int, Any], Any]:
    return lambda place, entry: {**entry, "path": ["zz"] if place else 5}


def hidden(log: Log) -> Callable[[int, Any], Any]:
    return lambda place, entry: refuse()


@pytest.mark.parametrize(
    "cheat", [swapped, without_opening, with_another_opening, altered, malformed, hidden]
)
def test_what_is_not_shown_as_it_was_logged_fails(
    log: Log, cheat: Callable[[Log], Callable[[int, Any], Any]]
) -> None:
    findings = audited(dataclasses.replace(log, lie=cheat(log)))
    assert [f.status for f in findings[1:]] == ["failed", "failed"]


def test_a_proof_that_does_not_come_or_is_of_something_else_fails(log: Log, house: House) -> None:
    false = bytearray(log.proof)
    false[-5] ^= 1
    for changed in (
        dataclasses.replace(log, proof=bytes(false)),
        dataclasses.replace(log, proof=b"x"),
        dataclasses.replace(log, state=lambda place: "failed"),
        dataclasses.replace(log, state=lambda place: "running"),
    ):
        assert summary(audited(changed, wait=0.0))["failed"] == 3


def test_a_receipt_that_stands_twice_in_the_log_is_found(log: Log) -> None:
    """The same receipt under another signature's bytes cannot be; under another place it can."""
    desk = log.desk
    assert desk is not None
    found = desk.shelf.at(0)
    assert found is not None
    receipt = Receipt.from_bytes(
        ReceiptFile.from_plain(json_of(found[2] or b"", "x")).receipt.payload
    )
    again = dataclasses.replace(receipt, time=receipt.time + 1)
    envelope = sign(desk.key, RECEIPT_TYPE, again.to_bytes())
    desk.shelf.put(Entry("other", "", 5, envelope, found[2], 1 << 40)).result(10)
    failed = [f for f in audited(log) if f.status == "failed"]
    assert [f.place for f in failed] == [3]
    assert "twice" in failed[0].reason


def test_only_what_was_signed_excuses(log: Log, honest: Answered) -> None:
    desk = log.desk
    assert desk is not None
    desk.issue(dataclasses.replace(honest, auditable=False), "")
    desk.issue(dataclasses.replace(honest, answer=(), text="", finish="none"), "")
    counts = summary(audited(log))
    assert counts["not auditable"] == 1
    # A refusal of a prompt that was answered: receipts of both contradict each other, but the
    # opening of a refusal is for its client; it is counted.
    assert counts["refusal"] == 1
    assert summary(audited(log, clock=lambda: 1e12))["expired"] == 3


def test_an_audit_over_http_finds_the_forged_one(
    house: House, honest: Answered, tmp_path: Path
) -> None:
    folder, state = tmp_path / "desk", tmp_path / "state"
    model = ServedModel.load(house.program, house.secret, name="tiny")
    commitment = model.secret.commitment
    desk = open_desk(
        *keys(folder, commitment), state, commitment, 3600, retention=3000, policy=True
    )
    place = Workplace(str(house.program), str(house.secret), str(state), lease=20.0, threads=1)
    kept = tmp_path / "kept"
    head = tmp_path / "head.json"
    with running(model, desk=desk, proofs=Proofs(desk, place, 1)) as server:
        for prompt in (PROMPT, "The dog"):
            body = {"model": "tiny", "prompt": prompt, "max_tokens": 4}
            assert server.ask("/v1/completions", body).status == 200
        wrong = (*honest.answer[:-1], honest.answer[-1] ^ 1)
        text = commitment.table.show_answer(wrong, ()).text
        desk.issue(dataclasses.replace(honest, answer=wrong, text=text), "")
        head.write_bytes(server.ask("/v1/log/head").body)
        given = [server.url, "--head", head, "--beacon", "99999999:" + "ab" * 32]
        given += ["--fraction", "1", "--commitment", house.commitment, "--json"]
        given += ["--publisher", folder / "publisher.pub", "--out", kept, "--wait", "60"]
        told = command("audit", *given)
        early = command("audit", *given, "--beacon", "5:" + "ab" * 32)
        unknown = server.ask("/v1/audit/9?size=3")
        assert server.ask("/v1/audit/1?size=x").status == 400
    assert early.exit_code == 1
    assert "before the beacon" in early.output
    assert unknown.status == 404
    assert told.exit_code == 1, told.output
    facts = json.loads(told.stdout)
    assert (facts["size"], facts["proved"], facts["failed"]) == (3, 2, 1)
    assert facts["findings"][2]["place"] == 2
    assert len(list(kept.glob("*.vproof"))) == 2


def test_audits_are_for_auditors(house: House, tmp_path: Path) -> None:
    path = tmp_path / "keys"
    names = ("ann", "bob", "eve")
    made = [command("api-key", name, "--file", path).stdout.strip() for name in names]
    model = ServedModel.load(house.program, house.secret, name="tiny")
    commitment, state = model.secret.commitment, tmp_path / "state"
    desk = open_desk(*keys(tmp_path / "d", commitment), state, commitment, 3600, retention=3000)
    place = Workplace(str(house.program), str(house.secret), str(state), threads=1)
    allowed = {"keys": path, "auditors": frozenset({"ann"})}
    with running(model, desk=desk, proofs=Proofs(desk, place, 0), **allowed) as server:
        head = [{"authorization": f"Bearer {key}"} for key in made]
        body = {"model": "tiny", "prompt": PROMPT, "max_tokens": 4}
        ask = {**body, "veracity": {"auditable": True}}
        answered = server.ask("/v1/completions", ask, headers=head[1])
        assert server.ask("/v1/completions", body, headers=head[1]).status == 200
        shown = [server.ask("/v1/audit/0?size=2", headers=h).status for h in head]
        assert shown == [200, 404, 404]
        assert server.ask("/v1/audit/0?size=2").status == 401
        assert server.ask("/v1/audit/1?size=2", headers=head[0]).json["opening"] is None
        assert server.ask("/v1/audit/0/proof", {}, headers=head[1]).status == 404
        assert server.ask("/v1/audit/1/proof", {}, headers=head[0]).status == 404
        assert server.ask("/v1/audit/0/proof", {}, headers=head[0]).status == 202
        assert server.ask("/v1/audit/0/proof", headers=head[0]).json["status"] == "queued"
        assert server.ask("/v1/audit/0/proof/file", headers=head[0]).status == 409
        for place, size in ((0, 10**15 - 1), (10**30, 2), (2**63 - 1, 2), (2, 2)):
            found = server.ask(f"/v1/audit/{place}?size={size}", headers=head[0])
            assert (found.status, found.code) == (404, "not_found")
            path = f"/v1/audit/{place + 2}/proof"
            assert server.ask(path, {}, headers=head[0]).status == 404
        # What an auditor ordered first is the client's all the same, and nobody else's.
        wanted = {"receipt": answered.json["veracity"]["receipt"]}
        job = server.ask("/v1/proofs", wanted, headers=head[1])
        assert (job.status, job.json["status"]) == (202, "queued")
        path = f"/v1/proofs/{job.json['id']}"
        assert server.ask(path, headers=head[1]).json == job.json
        assert server.ask(f"{path}/file", headers=head[1]).code == "not_done"
        assert server.ask(path, method="DELETE", headers=head[1]).code == "not_yours"
        assert server.ask("/v1/proofs", wanted, headers=head[2]).status == 404
        assert server.ask(path, headers=head[2]).status == 404


def test_a_client_of_a_hostile_server_raises_declared_errors(house: House) -> None:
    with pytest.raises(PeerError, match="no reply"):
        Api("http://127.0.0.1:1").get("/healthz")
    model = ServedModel.load(house.program, house.secret, name="tiny")
    with running(model) as server:
        api = Api(server.url)
        assert api.get("/healthz") == {"status": "ok"}
        with pytest.raises(RequestError) as refused:
            api.get("/nowhere")
        assert (refused.value.status, refused.value.code) == (404, "not_found")
        with pytest.raises(PeerError, match="more than"):
            api.file("/v1/commitment", 10)
