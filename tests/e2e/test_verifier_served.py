"""A verifier over HTTP says what `veracity verify` says, of files good, false and hostile."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.house import PROMPT, House, said_alike, veracity
from tests.support.serving import Reply, Running, running, verifying
from veracity.cli.report import Report, plain
from veracity.errors import UsageError
from veracity.server.model import ServedModel
from veracity.server.page import Page
from veracity.server.serve import Listen, Settings
from veracity.server.verifier import Bounds

SENT = {"content-type": "application/octet-stream"}
WORDS = {0: "ACCEPTED", 1: "REJECTED", 2: "UNDECIDED"}


def check(server: Running, *, headers: Any = None, digest: str = "", **files: bytes) -> Reply:
    query = "&".join(f"{name}={len(data)}" for name, data in files.items())
    query += f"&digest={digest}" if digest else ""
    body = b"".join(files.values())
    return server.ask(f"/v1/verify?{query}", body, "POST", {**SENT, **(headers or {})})


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where uploads lie meanwhile."""
    found, before = tmp_path_factory.mktemp("uploads"), tempfile.tempdir
    tempfile.tempdir = str(found)
    yield found
    tempfile.tempdir = before


@pytest.fixture(scope="module")
def server(folders: Path) -> Iterator[Running]:
    with verifying() as found:
        yield found
    assert list(folders.iterdir()) == []


@pytest.fixture(scope="module")
def files(house: House) -> tuple[bytes, bytes]:
    return house.proof.read_bytes(), house.commitment.read_bytes()


def corpus(proof: bytes, commitment: bytes) -> dict[str, tuple[int, dict[str, bytes]]]:
    altered = bytearray(proof)
    altered[-40] ^= 1
    good = {"proof": proof, "commitment": commitment}
    return {
        "true": (0, good),
        "of this prompt": (0, {**good, "prompt": PROMPT.encode()}),
        "of another prompt": (1, {**good, "prompt": b"Twice upon a time"}),
        "altered": (1, {**good, "proof": bytes(altered)}),
        "cut": (2, {**good, "proof": proof[:-1]}),
        "no proof at all": (2, {**good, "proof": commitment}),
    }


@pytest.mark.parametrize("name", corpus(b"x" * 50, b""))
def test_it_says_what_the_command_says(
    server: Running, files: tuple[bytes, bytes], tmp_path: Path, name: str
) -> None:
    code, given = corpus(*files)[name]
    found = check(server, **given).json
    assert (found["exit"], found["verdict"]) == (code, WORDS[code])
    names = {"proof": "answer.vproof", "commitment": "model.vcom", "prompt": "prompt.txt"}
    for part, data in given.items():
        (tmp_path / names[part]).write_bytes(data)
    arguments: list[object] = ["verify", tmp_path / names["proof"], "-q"]
    arguments += ["--commitment", tmp_path / names["commitment"]]
    arguments += ["--prompt-file", tmp_path / names["prompt"]] if "prompt" in given else []
    said = veracity(*arguments, "--report", tmp_path / "own.json")
    assert said.exit_code == code
    said_alike(found, said, tmp_path / "own.json")


def test_what_is_expected_is_passed_on(server: Running, files: tuple[bytes, bytes]) -> None:
    proof, commitment = files
    found = check(server, proof=proof, commitment=commitment, digest="0" * 64).json
    assert found["verdict"] == "REJECTED"
    receipt = {"receipt": b"{}", "publisher": b"none"}
    found = check(server, proof=proof, commitment=commitment, **receipt).json
    assert found["verdict"] == "UNDECIDED"
    # The order is the sender's.
    assert check(server, commitment=commitment, proof=proof).json["verdict"] == "ACCEPTED"


def test_hostile_uploads_are_refused_by_name(server: Running) -> None:
    both = "proof=2&commitment=2"
    for query, body, status in (
        ("", b"", 400),
        ("proof=2", b"ab", 400),
        (f"{both}&other=1", b"abcde", 400),
        (f"{both}&proof=2", b"abcd", 400),
        (f"{both}&digest=zz", b"abcd", 400),
        (f"{both}&digest={'0' * 64}&digest={'0' * 64}", b"abcd", 400),
        ("proof=-2&commitment=2", b"abcd", 400),
        ("proof=02&commitment=2", b"abcd", 400),
        ("proof=%D9%A2&commitment=2", b"abcd", 400),
        ("proof=999999999999&commitment=2", b"abcd", 413),
        (both, b"abcde", 400),
        (both, b"abc", 400),
        (both, b"", 400),
    ):
        assert server.ask(f"/v1/verify?{query}", body, "POST", SENT).status == status, query
    plain_text = {"content-type": "text/plain"}  # which a page of any site may send
    assert server.ask(f"/v1/verify?{both}", b"abcd", "POST", plain_text).status == 415
    assert server.ask(f"/v1/verify?{both}").status == 405
    empty = server.ask("/v1/verify?proof=0&commitment=0", b"", "POST", SENT)
    assert empty.json["verdict"] == "UNDECIDED"
    assert server.ask("/healthz").json == {"status": "ok"}
    assert server.ask("/v1/models").status == 404


@pytest.mark.parametrize("bounds", [Bounds(seconds=0.01), Bounds(memory=1 << 26)])
def test_a_check_beyond_its_bounds_has_no_verdict(
    files: tuple[bytes, bytes], folders: Path, bounds: Bounds
) -> None:
    with verifying(bounds) as server:
        found = check(server, proof=files[0], commitment=files[1]).json
    assert (found["verdict"], found["exit"]) == ("UNDECIDED", 2)
    assert list(folders.iterdir()) == []


def test_strangers_need_a_key_and_wait_in_a_bounded_queue(tmp_path: Path) -> None:
    key = tmp_path / "keys"
    token = veracity("api-key", "alice", "--file", key).output.strip()
    full = Settings(slots=1, waiting=-1)
    with verifying(settings=full, keys=key) as server:
        assert check(server, proof=b"a", commitment=b"b").status == 401
        allowed = {"authorization": f"Bearer {token}"}
        refused = check(server, proof=b"a", commitment=b"b", headers=allowed)
        assert (refused.status, refused.headers["retry-after"]) == (429, "10")
    with pytest.raises(UsageError, match="only with --keys and TLS"):
        Listen("0.0.0.0").check()


def test_uploads_that_lie_there_are_bounded_together(folders: Path) -> None:
    """By what they announce, before a byte of them is stored; one alone always has room."""
    with verifying(Bounds(stored=100)) as server:
        target = "/v1/verify?proof=90&commitment=90"
        slow = http.client.HTTPConnection(server.place, timeout=60)
        slow.putrequest("POST", target)
        for name, value in {**SENT, "content-length": "180"}.items():
            slow.putheader(name, value)
        slow.endheaders(bytes(10))
        deadline = time.monotonic() + 30
        while not list(folders.iterdir()) and time.monotonic() < deadline:
            time.sleep(0.02)
        refused = check(server, proof=b"a", commitment=b"b")
        assert (refused.status, refused.headers["retry-after"]) == (429, "10")
        slow.close()
        while list(folders.iterdir()) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert check(server, proof=b"a", commitment=b"b").json["verdict"] == "UNDECIDED"


def test_options_of_a_model_and_of_a_verifier_do_not_mix(house: House) -> None:
    for arguments in ((), ("--verifier", house.program), (house.program, "--memory", "1GiB")):
        assert veracity("serve", *arguments).exit_code == 2


def sent_digests(policy: str, kind: str) -> set[str]:
    found = re.search(rf"{kind}-src ([^;]*);", policy)
    assert found is not None
    return set(found[1].split())


@pytest.mark.parametrize("name", ["chat", "verify"])
def test_a_page_is_one_file_whose_policy_names_its_script(name: str) -> None:
    page = Page.named(name)
    text = page.html.decode()
    for kind, tag in (("script", "script"), ("style", "style")):
        inside = re.findall(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        assert len(inside) == 1
        digest = base64.b64encode(hashlib.sha256(inside[0].encode()).digest()).decode()
        assert sent_digests(page.policy, kind) == {f"'sha256-{digest}'"}
    assert page.policy.startswith("default-src 'none'; ")
    assert "frame-ancestors 'none'" in page.policy
    # Nothing from elsewhere, nothing that makes markup of text.
    assert re.search(r"(?:src|href)=\"(?!#|/v1/)", text) is None
    assert "://" not in text
    assert re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", text) is None
    assert re.search(r"localStorage|sessionStorage|document\.cookie", text) is None


def test_pages_come_with_their_policy(server: Running, house: House) -> None:
    model = ServedModel.load(house.program, house.secret, name="tiny")
    with running(model) as chat:
        for place, name in ((server, "verify"), (chat, "chat")):
            got = place.ask("/")
            assert (got.status, got.body) == (200, Page.named(name).html)
            assert got.headers["content-security-policy"] == Page.named(name).policy
            assert got.headers["x-content-type-options"] == "nosniff"
            assert got.headers["referrer-policy"] == "no-referrer"
            assert got.headers["content-type"].startswith("text/html")
            assert "set-cookie" not in got.headers
        other = chat.ask("/v1/models")
        assert other.headers["content-security-policy"].startswith("default-src 'none'")
        assert other.json["data"][0]["veracity"]["conversations"] is False


def test_a_report_for_programs_has_the_rows_of_the_page(tmp_path: Path) -> None:
    from datetime import UTC, datetime

    made = Report(tmp_path, "veracity verify", "ACCEPTED", 0, [("", [("prompt", "a\u202eb")])])
    found = json.loads(plain(made, [("proofs", "a")], datetime.now(UTC)))
    assert (found["verdict"], found["exit"]) == ("ACCEPTED", 0)
    assert found["tables"][0] == {"title": "", "rows": [["prompt", "a\u202eb"]]}
