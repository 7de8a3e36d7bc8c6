"""The log of receipts: every receipt is in it, it only grows, witnesses keep its heads."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from tests.e2e.house import House, done
from tests.e2e.house import veracity as command
from tests.e2e.offices import Office
from tests.support.serving import Running, running
from veracity.errors import VerificationError
from veracity.formats.dsse import load_private_key, sign
from veracity.formats.log import LogProof
from veracity.formats.merkle import MerkleTree, leaf_hash
from veracity.formats.receipt import CERTIFICATE_TYPE
from veracity.proving.log import check_growth, check_head, check_included
from veracity.server.desk import Desk


def test_the_log_holds_every_receipt_and_only_grows(
    office: Office, house: House, tmp_path: Path
) -> None:
    now = [1.0e9]
    certified = dataclasses.replace(office.desk("log").certified, not_before=0)
    envelope = sign(
        load_private_key(office.folder / "publisher.key"), CERTIFICATE_TYPE, certified.to_bytes()
    )
    desk = dataclasses.replace(
        office.desk("log2"), clock=lambda: now[0], certificate=envelope, certified=certified
    )
    with running(office.model, desk=desk) as server:
        files = [desk.issue(office.answered, "") for _ in range(3)]
        old = server.ask("/v1/log/head").json
        files += [desk.issue(office.answered, "") for _ in range(4)]
        leaves = [leaf_hash(f.receipt.to_bytes()).hex() for f in files]
        assert server.ask(f"/v1/log/proof?receipt={leaves[5]}").status == 404
        now[0] += 60
        shown = [server.ask(f"/v1/log/proof?receipt={leaf}") for leaf in leaves]
        growth = server.ask("/v1/log/consistency?from=3").body
        assert server.ask("/v1/log/consistency?from=8").status == 404
        for query in ("proof?receipt=x", "proof", "consistency?from=-1", "consistency"):
            assert server.ask(f"/v1/log/{query}").status == 400
        witnessed(office, house, server, tmp_path)
    proofs = [LogProof.load(reply.body) for reply in shown]
    heads = [
        check_included(f, p, office.publisher, office.commitment)
        for f, p in zip(files, proofs, strict=True)
    ]
    assert {h.size for h in heads} == {7}
    with pytest.raises(VerificationError, match="not in this tree"):
        check_included(files[0], proofs[1], office.publisher, office.commitment)
    names = {"r": files[4].to_bytes(), "i": shown[4].body, "g": growth}
    names |= {"old": json.dumps(old).encode(), "other": office.file.to_bytes()}
    for name, data in names.items():
        (tmp_path / name).write_bytes(data)
    given = ["--commitment", house.commitment]
    given += ["--publisher", office.folder / "publisher.key.pub", "--inclusion", tmp_path / "i"]
    grown = ["--since", tmp_path / "old", "--growth", tmp_path / "g"]
    assert done("log", "check", tmp_path / "r", *given, *grown).output.startswith("ACCEPTED")
    seen = [*grown[:1], tmp_path / "heads" / f"head-{7:015d}.json", "--growth", tmp_path / "same"]
    own = ["--witness", tmp_path / "own.key.pub"]
    assert "witnessed" in done("log", "check", tmp_path / "r", *given, *seen, *own).output
    assert command("log", "check", tmp_path / "r", *given, *grown, *own).exit_code == 2
    strange = ["--witness", office.folder / "publisher.key.pub"]
    assert command("log", "check", tmp_path / "r", *given, *seen, *strange).exit_code == 1
    assert done("log", "leaf", tmp_path / "r").output.strip() == leaves[4]
    assert command("log", "check", tmp_path / "other", *given).exit_code == 1
    rewritten(office, desk, LogProof.load(growth))


def witnessed(office: Office, house: House, server: Running, folder: Path) -> None:
    """Somebody keeps the head, signed."""
    done("sign", "key", folder / "own.key")
    given = ["--commitment", house.commitment, "--publisher", office.folder / "publisher.key.pub"]
    given += ["--keep", folder / "heads", "--sign-key", folder / "own.key"]
    told = done("log", "witness", server.url, *given).output
    assert told.startswith("ACCEPTED")
    assert "grown from" not in told
    assert json.loads(done("log", "witness", server.url, *given, "--json").output)["size"] == 7
    (folder / "same").write_bytes(server.ask("/v1/log/consistency?from=7").body)
    given[3] = folder / "own.key.pub"
    assert command("log", "witness", server.url, *given).exit_code == 1
    assert command("log", "witness", "http://127.0.0.1:1", *given).exit_code == 2


def rewritten(office: Office, desk: Desk, growth: LogProof) -> None:
    """A server that drops a receipt from its log signs heads that contradict each other."""
    new = check_head(
        growth.head,
        desk.certificate,
        office.publisher,
        office.commitment,
    )
    tree = MerkleTree([leaf_hash(b"another"), leaf_hash(b"history"), leaf_hash(b"of receipts")])
    other = dataclasses.replace(new, size=3, root=tree.root(3).hex())
    with pytest.raises(VerificationError, match="does not begin with"):
        check_growth(other, new, growth)
    with pytest.raises(VerificationError, match="another older log"):
        check_growth(dataclasses.replace(other, size=2), new, growth)
