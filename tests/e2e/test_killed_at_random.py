"""Whatever is killed, and when: every accepted job ends in exactly one true proof."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.house import House
from tests.support.desks import PUBLISHER, keys
from tests.support.serving import Running, running
from veracity.formats.proof import Proof
from veracity.formats.receipt import ReceiptFile
from veracity.proving.receipts import check_proof, check_receipt
from veracity.server.desk import open_desk
from veracity.server.model import ServedModel
from veracity.server.proofs import Proofs
from veracity.server.worker import Workplace


def children(process: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{process}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    return found


@pytest.mark.parametrize("rounds", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_jobs_outlive_kills_at_random_moments(house: House, tmp_path: Path, rounds: int) -> None:
    chance = random.Random(rounds)
    model = ServedModel.load(house.program, house.secret, name="tiny")
    commitment, state = model.secret.commitment, tmp_path / "state"
    key, certificate = keys(tmp_path / "desk", commitment)
    command = [sys.executable, "-m", "veracity", "serve", str(house.program), "--port", "0"]
    command += ["--secret", str(house.secret), "--name", "tiny", "--threads", "1"]
    command += ["--sign-key", str(key), "--certificate", str(certificate), "--state", str(state)]
    promised: dict[str, Any] = {}
    for number in range(rounds):
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        try:
            assert process.stdout is not None
            url = process.stdout.readline().split("listening at ")[1].strip()
            server = Running(url, model)
            ask = {"model": "tiny", "prompt": f"Tim had {number}", "max_tokens": 4}
            reply = server.ask("/v1/completions", ask).json
            receipt = reply["veracity"]["receipt"]
            job = server.ask("/v1/proofs", {"receipt": receipt})
            if job.status == 429:  # 16 jobs of one key are open: the job was not accepted
                assert len(promised) >= 16
            else:
                promised[job.json["id"]] = receipt
            time.sleep(chance.uniform(0, 2))
            for worker in children(process.pid) if chance.random() < 0.5 else []:
                with contextlib.suppress(OSError):
                    os.kill(worker, signal.SIGKILL)
                time.sleep(chance.uniform(0, 1))
        finally:
            process.kill()
            process.communicate()
    desk = open_desk(key, certificate, state, commitment, 3600)
    place = Workplace(str(house.program), str(house.secret), str(state), lease=4.0, threads=1)
    with running(model, desk=desk, proofs=Proofs(desk, place, 1)) as server:
        for ident, receipt in promised.items():
            assert server.ask("/v1/proofs", {"receipt": receipt}).json["id"] == ident
            deadline = time.monotonic() + 240
            while (job := server.ask(f"/v1/proofs/{ident}?wait=10").json)["status"] != "done":
                assert job["status"] in ("queued", "running")
                assert time.monotonic() < deadline
            checked = check_receipt(
                ReceiptFile.from_plain(receipt), PUBLISHER.public_key(), commitment
            )
            proof = Proof.from_bytes(server.ask(job["file"]).body)
            check_proof(checked, proof, commitment)
        assert server.ask("/v1/log/head").status == 200
        assert desk.shelf.summary()[0] == rounds
    assert sorted(p.stem for p in (state / "proofs").iterdir()) == sorted(promised)
