"""Proofs that clients order, whatever is killed meanwhile: every job ends in one true proof."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.house import House, done
from tests.support.serving import Running, running
from veracity.formats.dsse import load_public_key
from veracity.formats.proof import Proof
from veracity.formats.receipt import ReceiptFile
from veracity.proving.receipts import check_proof, check_receipt
from veracity.server.desk import open_desk
from veracity.server.model import ServedModel
from veracity.server.proofs import Proofs
from veracity.server.worker import Workplace

ASK = {"model": "tiny", "prompt": "Once upon", "max_tokens": 6}


@pytest.fixture(scope="module")
def folder(house: House, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("keys")
    for name in ("publisher.key", "server.key"):
        done("sign", "key", made / name)
    done(
        *("sign", "server", made / "server.key.pub", "--key", made / "publisher.key"),
        *("--commitment", house.commitment, "--url", "http://127.0.0.1:1"),
        *("--out", made / "certificate.json"),
    )
    return made


def place_of(house: House, state: Path) -> Workplace:
    return Workplace(str(house.program), str(house.secret), str(state), lease=4.0, threads=1)


@pytest.fixture
def office(house: House, folder: Path, tmp_path: Path) -> Iterator[tuple[Running, Proofs]]:
    model = ServedModel.load(house.program, house.secret, name="tiny")
    state = tmp_path / "state"
    key, certificate = folder / "server.key", folder / "certificate.json"
    desk = open_desk(key, certificate, state, model.secret.commitment, 3600)
    proofs = Proofs(desk, place_of(house, state), 1)
    with running(model, desk=desk, proofs=proofs) as server:
        yield server, proofs


def until(condition: Callable[[], Any], seconds: float = 60) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def order(server: Running, reply: Any) -> Any:
    return server.ask("/v1/proofs", {"receipt": reply["veracity"]["receipt"]}).json


def finished(server: Running, ident: str) -> Any:
    return until(
        lambda: (
            state
            if (state := server.ask(f"/v1/proofs/{ident}?wait=5").json)["status"] == "done"
            else None
        )
    )


def require_true(server: Running, state: Any, reply: Any, folder: Path) -> None:
    data = server.ask(state["file"]).body
    assert hashlib.sha256(data).hexdigest() == state["sha256"]
    commitment = server.model.secret.commitment
    file = ReceiptFile.from_plain(reply["veracity"]["receipt"])
    publisher = load_public_key(folder / "publisher.key.pub")
    check_proof(check_receipt(file, publisher, commitment), Proof.from_bytes(data), commitment)


def test_what_a_proof_takes_is_told_before(office: tuple[Running, Proofs]) -> None:
    server, _ = office
    reply = server.ask("/v1/completions", ASK).json
    opening = reply["veracity"]["receipt"]["opening"]
    tokens = len(opening["prompt_ids"]) + len(opening["answer_ids"])
    told = server.ask(f"/v1/proofs/estimate?tokens={tokens}").json
    assert (told["object"], told["tokens"], told["waiting"]) == ("proof.estimate", tokens, 0)
    state = order(server, reply)
    busy = server.ask(f"/v1/proofs/estimate?tokens={tokens}").json
    assert busy["waiting"] in (0, 1)
    assert {**busy, "waiting": 0} == told
    finished(server, state["id"])
    size = len(server.ask(f"/v1/proofs/{state['id']}/file").body)
    assert 0.75 * size < told["proof_bytes"] < 1.5 * size
    assert told["prove_s"] > told["verify_s"] > 0
    longest = server.model.context + 1
    assert server.ask(f"/v1/proofs/estimate?tokens={longest}").json["tokens"] == longest
    for wrong in ("1", "0", "", "x", "-3", "2.5", str(longest + 1), "9" * 40, "\u0662"):
        query = urllib.parse.quote(wrong)
        found = server.ask(f"/v1/proofs/estimate?tokens={query}")
        assert (found.status, found.json["error"]["param"]) == (400, "tokens"), wrong


def test_a_killed_worker_costs_time_only(
    office: tuple[Running, Proofs], folder: Path, tmp_path: Path
) -> None:
    server, proofs = office
    reply = server.ask("/v1/completions", ASK).json
    assert reply["veracity"]["proof_url"].endswith("/v1/proofs")
    state = order(server, reply)
    assert state["status"] in ("queued", "running")
    assert order(server, reply)["id"] == state["id"]
    assert server.ask(f"/v1/proofs/{state['id']}/file").status in (200, 409)
    until(lambda: server.ask(f"/v1/proofs/{state['id']}").json["status"] == "running")
    proofs.processes[0].kill()
    last = finished(server, state["id"])
    assert last["attempt"] == 2
    require_true(server, last, reply, folder)
    assert order(server, reply)["status"] == "done"
    opening = reply["veracity"]["receipt"]["opening"]
    until(lambda: not list((tmp_path / "state" / "requests").iterdir()))
    stored = b"".join(p.read_bytes() for p in (tmp_path / "state").iterdir() if p.is_file())
    assert opening["prompt_salt"].encode() not in stored
    hostile(server, reply)
    assert server.ask(f"/v1/proofs/{state['id']}", method="DELETE").code == "too_late"
    cancelled(server, proofs, tmp_path / "state")


def cancelled(server: Running, proofs: Proofs, state: Path) -> None:
    """A job that is let be leaves nothing, and its receipt may be proved another time."""
    reply = server.ask("/v1/completions", {**ASK, "prompt": "Lily was", "max_tokens": 40}).json
    ident = order(server, reply)["id"]
    assert server.ask("/v1/proofs/" + "0" * 32, method="DELETE").status == 404
    told = server.ask(f"/v1/proofs/{ident}", method="DELETE").json
    assert told["status"] == "cancelled"
    assert server.ask(f"/v1/proofs/{ident}").status == 404
    assert not list((state / "requests").iterdir())
    until(lambda: not (state / "proofs" / f"{ident}.vproof").exists())
    last = finished(server, order(server, reply)["id"])
    assert last["id"] != ident
    assert not (state / "proofs" / f"{ident}.vproof").exists()


def test_an_order_beside_a_cancellation_keeps_its_request(
    house: House, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is deleted is the request of the job that is let be, not of the one that comes next."""
    model = ServedModel.load(house.program, house.secret, name="tiny")
    state = tmp_path / "state"
    key, certificate = folder / "server.key", folder / "certificate.json"
    desk = open_desk(key, certificate, state, model.secret.commitment, 3600)
    proofs = Proofs(desk, place_of(house, state), 0)  # nobody works
    with running(model, desk=desk, proofs=proofs) as server:
        reply = server.ask("/v1/completions", ASK).json
        ident = order(server, reply)["id"]
        again: list[Any] = []
        other = threading.Thread(target=lambda: again.append(order(server, reply)))
        cancel = proofs.queue.cancel

        def slowly(*names: str) -> str | None:
            found = cancel(*names)
            other.start()
            other.join(0.5)  # as far as it comes by itself
            return found

        monkeypatch.setattr(proofs.queue, "cancel", slowly)
        assert server.ask(f"/v1/proofs/{ident}", method="DELETE").json["status"] == "cancelled"
        other.join(60)
        (ordered,) = again
        assert ordered["id"] != ident
        assert [p.stem for p in (state / "requests").iterdir()] == [ordered["receipt"]]


def hostile(server: Running, reply: Any) -> None:
    """What is no receipt of this server, or not all of one, orders nothing."""
    receipt = reply["veracity"]["receipt"]
    for body in ({}, {"receipt": 5}, {"receipt": {**receipt, "more": 1}}, []):
        assert server.ask("/v1/proofs", body).status == 400
    ids = [*receipt["opening"]["answer_ids"][:-1], 7]
    altered = {**receipt, "opening": {**receipt["opening"], "answer_ids": ids}}
    assert server.ask("/v1/proofs", {"receipt": altered}).status == 400
    swapped = {**receipt, "receipt": receipt["certificate"]}
    assert server.ask("/v1/proofs", {"receipt": swapped}).status in (400, 404)
    unknown = {**receipt, "receipt": {**receipt["receipt"]}}
    unknown["receipt"]["signatures"] = [{**receipt["receipt"]["signatures"][0], "keyid": "0" * 64}]
    assert server.ask("/v1/proofs", {"receipt": unknown}).status == 404
    assert server.ask("/v1/proofs/" + "0" * 32).status == 404
    assert server.ask(f"/v1/proofs/{'0' * 32}/file").status == 404


def test_a_killed_server_loses_no_job(house: House, folder: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    command = [sys.executable, "-m", "veracity", "serve", str(house.program)]
    command += ["--secret", str(house.secret), "--port", "0", "--name", "tiny", "--threads", "1"]
    command += ["--sign-key", str(folder / "server.key"), "--state", str(state)]
    command += ["--certificate", str(folder / "certificate.json")]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=dict(os.environ)
    )
    model = ServedModel.load(house.program, house.secret, name="tiny")
    try:
        assert process.stdout is not None
        first = Running(process.stdout.readline().split("listening at ")[1].strip(), model)
        reply = first.ask("/v1/completions", ASK).json
        ordered = order(first, reply)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    key, certificate = folder / "server.key", folder / "certificate.json"
    desk = open_desk(key, certificate, state, model.secret.commitment, 3600)
    proofs = Proofs(desk, place_of(house, state), 1)
    with running(model, desk=desk, proofs=proofs) as second:
        assert order(second, reply)["id"] == ordered["id"]
        last = finished(second, ordered["id"])
        require_true(second, last, reply, folder)
    assert len(list((state / "proofs").iterdir())) == 1
