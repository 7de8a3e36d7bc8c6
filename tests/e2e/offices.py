"""A publisher, a server that it certified, and a receipt, for tests of receipts and their log."""

from __future__ import annotations

import dataclasses
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tests.e2e.house import PROMPT, House, done
from tests.support.serving import Running, running
from veracity.formats.commitment import Commitment
from veracity.formats.dsse import load_public_key
from veracity.formats.receipt import ReceiptFile
from veracity.proving import receipts as checking
from veracity.proving.receipts import check_receipt
from veracity.server.desk import Answered, Desk, open_desk
from veracity.server.model import ServedModel

ASK = {"model": "tiny", "prompt": PROMPT, "max_tokens": 12}


@dataclass(frozen=True)
class Office:
    """A publisher, a server that it certified, and one receipt with its true answer."""

    folder: Path
    model: ServedModel
    publisher: Ed25519PublicKey
    commitment: Commitment
    file: ReceiptFile

    def desk(self, name: str = "state") -> Desk:
        return open_desk(
            self.folder / "server.key",
            self.folder / "certificate.json",
            self.folder / name,
            self.commitment,
            3600,
        )

    @property
    def now(self) -> int:
        """About now; within the certificate's time."""
        return int(time.time())

    @property
    def strange(self) -> Ed25519PublicKey:
        """A key that is not the publisher's."""
        return load_public_key(self.folder / "other.key.pub")

    def check(self, file: ReceiptFile) -> checking.CheckedReceipt:
        return check_receipt(file, self.publisher, self.commitment)

    @property
    def answered(self) -> Answered:
        """What the honest server signs for ``ASK``."""
        checked = self.check(self.file)
        ids, signed = checked.opening, checked.receipt
        return Answered(
            signed.frame,
            ids.prompt_ids,
            ids.answer_ids,
            checked.text,
            signed.max_tokens,
            (),
            signed.finish,
            None,
        )

    def signed(self, state: str = "lies", **changes: Any) -> ReceiptFile:
        """What a server signs that says something else."""
        desk = self.desk(state)
        try:
            return desk.issue(dataclasses.replace(self.answered, **changes), "")
        finally:
            desk.shelf.close()


@pytest.fixture(scope="module")
def office(house: House, tmp_path_factory: pytest.TempPathFactory) -> Office:
    folder = tmp_path_factory.mktemp("office")
    for name in ("publisher.key", "server.key", "other.key"):
        done("sign", "key", folder / name)
    done(
        *("sign", "server", folder / "server.key.pub", "--key", folder / "publisher.key"),
        *("--commitment", house.commitment, "--url", "http://127.0.0.1:1"),
        *("--out", folder / "certificate.json"),
    )
    model = ServedModel.load(house.program, house.secret, name="tiny")
    commitment = model.secret.commitment
    publisher = load_public_key(folder / "publisher.key.pub")
    args = (folder / "server.key", folder / "certificate.json", folder / "state", commitment, 3600)
    with running(model, desk=open_desk(*args)) as server:
        reply = server.ask("/v1/completions", ASK).json
        streamed = server.ask("/v1/completions", {**ASK, "stream": True}).body.decode()
        check_served(server, reply, streamed)
    file = ReceiptFile.from_plain(reply["veracity"]["receipt"])
    assert check_receipt(file, publisher, commitment).text == reply["choices"][0]["text"]
    (folder / "receipt.json").write_bytes(file.to_bytes())
    return Office(folder, model, publisher, commitment, file)


def check_served(server: Running, reply: Any, streamed: str) -> None:
    """The last chunk with a choice has a receipt of its own; receipts can be fetched again."""
    last = json.loads(streamed.split("data: ")[-2])
    own = ReceiptFile.from_plain(last["veracity"]["receipt"])
    assert own.opening.answer_ids == tuple(reply["veracity"]["receipt"]["opening"]["answer_ids"])
    ident = json.loads(own.receipt.payload)["ident"]
    assert server.ask(f"/v1/receipts/{ident}").json == own.receipt.to_plain()
    assert server.ask("/v1/receipts/" + "0" * 32).code == "not_found"
    known = server.ask("/.well-known/veracity.json").json
    assert known["certificate"] == own.certificate.to_plain()
