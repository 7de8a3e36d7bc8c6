"""The proxy on the user's side: honest answers pass, and whatever is no promise does not."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.e2e.house import PROMPT, House, veracity
from tests.e2e.offices import Office
from tests.support.serving import Running, proxying, running
from veracity.errors import FormatError, RequestError, UsageError, VerificationError
from veracity.formats.drawing import Drawing
from veracity.formats.log import LogProof
from veracity.formats.proof import Proof
from veracity.formats.receipt import ReceiptFile
from veracity.server.client import Api
from veracity.server.desk import Answered
from veracity.server.keeper import Keeper
from veracity.server.openai import Ask, parse
from veracity.server.proofs import Proofs
from veracity.server.upstream import Upstream
from veracity.server.worker import Workplace
from veracity.text.chat import Message

CHAT: Any = {"model": "tiny", "messages": [{"role": "user", "content": PROMPT}], "max_tokens": 12}
TEXT = {"model": "tiny", "prompt": PROMPT, "max_tokens": 12}
ASKED = parse(json.dumps(TEXT).encode(), chat=False)


class Silent(Api):
    """A server that answers nothing but what a test puts into ``said``."""

    said: Any = None

    def _sent(self, path: str, body: bytes | None, most: int) -> bytes:
        found = type(self).said(path, body) if type(self).said else None
        if found is None:
            raise RequestError("the server refused: not_found", "not_found", status=404)
        return found if isinstance(found, bytes) else json.dumps(found).encode()


def keeper(office: Office, folder: Path, api: Api | None = None, **more: Any) -> Keeper:
    api = api or Silent("http://127.0.0.1:1")
    return Keeper(folder, api, office.publisher, office.commitment, **more)


def names(folder: Path, kind: str) -> list[str]:
    return sorted(p.stem for p in (folder / kind).iterdir())


@pytest.fixture(scope="module")
def served(house: House, office: Office, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A server, and its proxy."""
    desk = office.desk("proxied")
    place = Workplace(
        str(house.program), str(house.secret), str(office.folder / "proxied"), threads=1
    )
    folder = tmp_path_factory.mktemp("kept")
    with running(office.model, desk=desk, proofs=Proofs(desk, place, 1)) as server:
        kept = keeper(office, folder, Api(server.url), share=1.0)
        with proxying(Upstream(server.url), kept) as proxy:
            yield server, proxy, kept


def test_openais_client_gets_checked_answers(served: Any, office: Office) -> None:
    server, proxy, kept = served
    with server.client() as direct, proxy.client() as client:
        expected = direct.chat.completions.create(**CHAT).choices[0].message.content
        reply = client.chat.completions.create(**CHAT)
        assert reply.choices[0].message.content == expected
        chunks = list(client.chat.completions.create(**CHAT, stream=True))
        assert "".join(c.choices[0].delta.content or "" for c in chunks) == expected
        texts = list(client.completions.create(**TEXT, stream=True))
        assert texts[-1].choices[0].finish_reason == "length"
        drawn = client.chat.completions.create(**CHAT, temperature=1)
        seeded = client.chat.completions.create(**CHAT, temperature=1, seed=5)
        assert [m.id for m in client.models.list()] == ["tiny"]
        with pytest.raises(openai.BadRequestError, match="n: only"):
            client.chat.completions.create(**CHAT, n=2)
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(**{**CHAT, "model": "other"})
    assert proxy.ask("/v1/completions", TEXT).headers["x-veracity-check"] == "accepted"
    assert proxy.ask("/").headers["content-type"].startswith("text/html")
    assert proxy.ask("/v1/commitment").body == office.commitment.to_bytes()
    assert proxy.ask("/v1/proofs/" + "0" * 32).status == 404
    assert proxy.ask("/v1/responses", {}).status == 404
    assert proxy.ask("/v1/models/ti%6Ey").json["id"] == "tiny"
    assert proxy.ask("/v1/models/%C3%A9%0a?a=%zz").status == 404
    assert proxy.ask("/v1/proofs/x?wait=no").status in (400, 404)
    paths = list((kept.folder / "receipts").iterdir())
    assert len(paths) == 6
    assert {stat.S_IMODE(p.stat().st_mode) for p in paths} == {0o600}
    signed = [json.loads(ReceiptFile.load(p).receipt.payload) for p in paths]
    by_nonces = {(s["client_nonce"], bool(s["server_nonce"])) for s in signed}
    assert ("", False) in by_nonces  # greedy
    assert ((5).to_bytes(8, "little").hex(), False) in by_nonces  # the client's own seed
    assert len([n for n, promised in by_nonces if promised and len(n) == 32]) == 1
    assert drawn.choices
    assert seeded.choices
    deadline = threading.Event()
    for _ in range(600):
        kept.work()
        if len(names(kept.folder, "proofs")) == 6:
            break
        deadline.wait(0.1)
    assert kept.broken is None
    assert names(kept.folder, "proofs") == names(kept.folder, "receipts")
    assert names(kept.folder, "inclusion") == names(kept.folder, "receipts")
    assert names(kept.folder, "wanted") == names(kept.folder, "refused") == []
    again = keeper(office, kept.folder)  # after a restart nothing is asked for twice
    assert (again._unlogged, again._wanted, len(again._known)) == ({}, set(), 6)


def lies(office: Office) -> dict[str, tuple[Answered, dict[str, Any], str]]:
    """What a server signs, what else it is like, and what is said of it."""
    true = office.answered
    wrong = (*true.answer[:-1], true.answer[-1] ^ 1)
    text = office.commitment.table.show_answer(wrong, ()).text
    short = true.answer[:3]
    begun = office.commitment.table.show_answer(short, ()).text
    changed = dataclasses.replace
    return {
        "another answer": (changed(true, answer=wrong, text=text), {}, "another answer than was"),
        "another prompt": (changed(true, prompt=(*true.prompt[:-1], 300)), {}, "another prompt"),
        "drawn": (changed(true, drawing=Drawing(1000, b"n")), {}, "another temperature"),
        "stops": (changed(true, stops=("never",)), {}, "another texts that end"),
        "auditors": (changed(true, auditable=True), {}, "auditors"),
        "in the past": (true, {"clock": lambda: office.now}, "not signed now"),
        "in the future": (true, {"clock": lambda: office.now + 1000}, "not signed now"),
        "no time": (true, {"prove_within": 0}, "promises no proof"),
        "cut": (changed(true, answer=short, text=begun, max_tokens=3), {}, "another answer"),
    }


@pytest.mark.parametrize("name", [
    "another answer", "another prompt", "drawn", "stops", "auditors", "in the past",
    "in the future", "no time", "cut",
])  # fmt: skip
def test_no_lie_is_kept_as_a_promise(office: Office, tmp_path: Path, name: str) -> None:
    answered, desk, reason = lies(office)[name]
    late = 1000 if name == "in the past" else 0
    kept = keeper(office, tmp_path, clock=lambda: office.now + late)
    made = dataclasses.replace(office.desk("lying"), **{"clock": lambda: office.now, **desk})
    try:
        file = made.issue(answered, "")
        true = made.issue(office.answered, "") if not desk else None
    finally:
        made.shelf.close()
    with pytest.raises(VerificationError, match=reason):
        kept.accept(ASKED, file.to_plain(), office.answered.text, "length")
    assert len(names(tmp_path, "refused")) == 1
    assert names(tmp_path, "receipts") == []
    if true is not None:
        kept.accept(ASKED, true.to_plain(), office.answered.text, "length")


def test_what_is_no_receipt_is_refused(office: Office, tmp_path: Path) -> None:
    plain = office.file.to_plain()
    for odd in (None, 5, {}, {**plain, "more": 1}, {**plain, "opening": None}):
        with pytest.raises(FormatError):
            keeper(office, tmp_path).accept(ASKED, odd, "", "length")
    now = office.check(office.file).receipt.time
    kept = keeper(office, tmp_path, clock=lambda: now)
    text = office.answered.text
    for said, finish in ((text + "!", "length"), (text, "stop"), ("", "none")):
        with pytest.raises(VerificationError, match="delivered"):
            kept.accept(ASKED, plain, said, finish)
    fewer = dataclasses.replace(ASKED, most=11)
    with pytest.raises(VerificationError, match="more tokens"):
        kept.accept(fewer, plain, text, "length")
    talk = dataclasses.replace(ASKED, messages=(Message("user", PROMPT + " "),))
    with pytest.raises(VerificationError, match="another prompt"):
        kept.accept(talk, plain, text, "length")
    turns = (Message("user", "a"), Message("assistant", "b"), Message("user", PROMPT))
    with pytest.raises(VerificationError, match="no receipt can be"):
        kept.accept(Ask(True, "tiny", turns, 12, (), False, False), plain, text, "length")
    nonces = dataclasses.replace(ASKED, temperature=1000, nonce=b"mine", server_nonce="0" * 64)
    for name, own in (("drawn", b"yours"), ("other", b"mine")):
        drawn = office.signed(name, drawing=Drawing(1000, own, bytes(32)))
        late = keeper(office, tmp_path / name, clock=lambda: office.now)
        with pytest.raises(VerificationError, match="nonce"):
            late.accept(nonces, drawn.to_plain(), text, "length")
    kept.accept(ASKED, plain, text, "length")
    with pytest.raises(VerificationError, match="given before"):
        kept.accept(ASKED, plain, text, "length")
    with pytest.raises(VerificationError, match="another key"):  # a folder is one server's
        dataclasses.replace(kept, publisher=office.strange)
    stranger = dataclasses.replace(kept, publisher=office.strange, folder=tmp_path / "stranger")
    with pytest.raises(VerificationError, match="another key"):
        stranger.accept(ASKED, plain, text, "length")


def test_an_answer_that_contradicts_an_earlier_one_is_fraud(office: Office, tmp_path: Path) -> None:
    true = office.answered
    kept = keeper(office, tmp_path, clock=lambda: office.now)
    kept.accept(ASKED, office.signed("first").to_plain(), true.text, "length")
    wrong = (*true.answer[:-1], true.answer[-1] ^ 1)
    text = office.commitment.table.show_answer(wrong, ()).text
    second = office.signed("second", answer=wrong, text=text)
    for fresh in (kept, keeper(office, tmp_path, clock=lambda: office.now)):
        with pytest.raises(VerificationError, match="FRAUD"):
            fresh.accept(ASKED, second.to_plain(), text, "length")


def test_a_receipt_that_the_log_lacks_breaks_the_promise(office: Office, tmp_path: Path) -> None:
    told: list[str] = []
    now = [float(office.now)]

    class Lacking(Silent):
        said: Any = None

    kept = keeper(office, tmp_path, Lacking("http://x"), alarm=told.append, clock=lambda: now[0])
    kept.accept(ASKED, office.signed("lacking").to_plain(), office.answered.text, "length")
    kept.work()
    assert kept.broken is None
    now[0] += 400
    kept.work()
    kept.work()
    assert kept.broken is not None
    assert len(told) == 1
    assert told[0].startswith("ALARM: receipt ")
    assert "not in the server's log" in told[0]
    assert PROMPT not in told[0]


def test_a_false_inclusion_breaks_the_promise(office: Office, tmp_path: Path) -> None:
    desk = office.desk("shown")
    try:
        file, other = (desk.issue(office.answered, "") for _ in range(2))
        from veracity.formats.merkle import leaf_hash

        found = desk.included(leaf_hash(other.receipt.to_bytes()))
        assert isinstance(found, LogProof)
    finally:
        desk.shelf.close()

    class Lying(Silent):
        @staticmethod
        def said(path: str, body: bytes | None) -> Any:
            return found.to_plain() if "/log/proof" in path else None

    kept = keeper(office, tmp_path, Lying("http://x"), clock=lambda: office.now)
    kept.accept(ASKED, file.to_plain(), office.answered.text, "length")
    kept.work()
    assert kept.broken is not None
    assert names(tmp_path, "inclusion") == []


@pytest.mark.parametrize("fault", ["failed", "late", "false"])
def test_a_proof_that_does_not_come_breaks_the_promise(
    office: Office, house: House, tmp_path: Path, fault: str
) -> None:
    other = dataclasses.replace(Proof.load(house.proof), context="another")
    now = [float(office.now)]

    class Lazy(Silent):
        @staticmethod
        def said(path: str, body: bytes | None) -> Any:
            if path == "/v1/proofs":
                return {
                    "status": {"failed": "failed", "late": "queued"}.get(fault, "done"),
                    "id": "a",
                }
            return other.to_bytes() if path == "/v1/proofs/a/file" else None

    kept = keeper(office, tmp_path, Lazy("http://x"), share=1.0, clock=lambda: now[0])
    kept.accept(ASKED, office.signed("lazy").to_plain(), office.answered.text, "length")
    kept.work()
    if fault == "late":
        assert kept.broken is None
        now[0] += 3601
        kept.work()
    assert kept.broken is not None
    assert kept._wanted == set()
    with proxying(Upstream("http://127.0.0.1:1"), kept) as proxy:
        assert proxy.ask("/v1/completions", TEXT).code == "server_not_trusted"


@contextmanager
def liar(reply: Callable[[str], tuple[int, str, bytes]]) -> Iterator[str]:
    """A server that says what it likes."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            status, kind, body = reply(self.path)
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("location", "http://127.0.0.1:1/")
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def genuine(served: Any) -> tuple[Any, list[bytes]]:
    """A whole reply and the events of a stream, as an honest server sends them."""
    server = served[0]
    whole = server.ask("/v1/completions", TEXT).json
    events = server.ask("/v1/completions", {**TEXT, "stream": True}).body.split(b"\n\n")
    return whole, [e for e in events if e]


def test_hostile_replies_end_in_typed_refusals(served: Any, office: Office, tmp_path: Path) -> None:
    whole, events = genuine(served)
    other = served[0].ask("/v1/completions", {**TEXT, "prompt": "Lily"}).json["veracity"]
    kind, stream = "application/json", "text/event-stream"

    def changed(**more: Any) -> bytes:
        return json.dumps({**whole, **more}).encode()

    rejected, unreachable = "receipt_rejected", "server_unreachable"
    choice = {**whole["choices"][0], "text": "a lie"}
    cases: list[tuple[int, str, bytes, str]] = [
        (200, kind, changed(choices=[choice]), rejected),
        (200, kind, changed(veracity={}), rejected),
        (200, kind, changed(veracity=other), rejected),
        (200, kind, changed(choices=[]), rejected),
        (200, kind, changed(choices=[whole["choices"][0], choice]), rejected),
        (200, kind, changed(choices=[{**whole["choices"][0], "index": 1}]), rejected),
        (200, kind, changed(choices=[{**whole["choices"][0], "message": {}}]), rejected),
        (200, kind, changed(output=[{"content": "a lie"}]), rejected),
        (201, kind, changed(choices=[choice]), rejected),
        (203, "text/plain", b"a lie", rejected),
        (200, kind, changed(choices=5), rejected),
        (200, kind, b"[]", rejected),
        (200, kind, b"{", rejected),
        (200, "text/html", b"<b>", rejected),
        (302, kind, b"{}", unreachable),
        (200, stream, b"data: {}\n\n", rejected),
        (200, stream, b"data: 5\n\n", rejected),
        (200, stream, b"nonsense\n\n", rejected),
        (200, stream, b"data: [DONE]\n\n", unreachable),
        (200, stream, events[0] + b"\n\n", unreachable),
        (200, stream, b"\n\n".join(events[:2]) + b"\n\ndata: [DONE]\n\n", unreachable),
        (200, stream, events[0].replace(b'"text":"', b'"text":"x') + b"\n\n"
         + b"\n\n".join(events[1:]) + b"\n\n", rejected),
        (200, stream, b"\n\n".join([events[-2], *events]) + b"\n\n", rejected),
    ]  # fmt: skip
    at = [cases[0][:3]]
    kept = keeper(office, tmp_path)
    with (
        liar(lambda _: at[0]) as url,
        proxying(Upstream(url), kept) as flowing,
        proxying(Upstream(url), kept, hold=True) as holding,
    ):
        for number, (status, media, body, code) in enumerate(cases):
            at[0] = (status, media, body)
            for proxy in (flowing, holding):
                got = proxy.ask("/v1/completions", {**TEXT, "stream": media == stream})
                if got.headers["content-type"].startswith(stream):
                    parts = [e for e in got.body.split(b"\n\n") if e.startswith(b"data: ")]
                    sent = [json.loads(e[6:]) for e in parts]
                    assert sent[-1]["error"]["code"] == code, number
                    assert all(c["choices"][0]["finish_reason"] is None for c in sent[:-1])
                    assert len(sent) == 1 or proxy is flowing
                else:
                    assert (got.status, got.code) == (502, code), number
    assert names(kept.folder, "receipts") == []
    with proxying(Upstream("http://127.0.0.1:1"), kept) as proxy:
        assert proxy.ask("/v1/completions", TEXT).code == unreachable
        assert proxy.ask("/v1/models").status == 502


def test_held_streams_show_nothing_that_is_rejected(
    served: Any, office: Office, tmp_path: Path
) -> None:
    _, events = genuine(served)
    body = b"\n\n".join([events[0].replace(b'"text":"', b'"text":"a lie'), *events[1:]]) + b"\n\n"
    with liar(lambda _: (200, "text/event-stream", body)) as url:
        for hold in (False, True):
            with proxying(Upstream(url), keeper(office, tmp_path / str(hold)), hold=hold) as proxy:
                got = proxy.ask("/v1/completions", {**TEXT, "stream": True}).body
            assert (b"a lie" in got) is not hold
            assert b"receipt_rejected" in got


def test_the_command_serves_this_machine_only(office: Office, house: House, tmp_path: Path) -> None:
    for arguments in (
        ("http://127.0.0.1:1", "--keep", tmp_path, "--check"),
        ("http://127.0.0.1:1", "--keep", tmp_path, "--hold"),
        ("ftp://x", "--keep", tmp_path),
        ("http://127.0.0.1:1/v1", "--keep", tmp_path),
    ):
        assert veracity("proxy", *arguments).exit_code == 2
    for url in ("http://", "http://a:b@c", "http://a:99999999", "https://a?b"):
        with pytest.raises(UsageError):
            Upstream(url)
    desk = office.desk("command")
    with running(office.model, desk=desk) as server:
        command = [sys.executable, "-m", "veracity", "proxy", server.url, "--port", "0"]
        command += ["--check", "--commitment", str(house.commitment), "--keep", str(tmp_path / "k")]
        command += ["--publisher", str(office.folder / "publisher.key.pub")]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ)
        )
        try:
            assert process.stdout is not None
            url = process.stdout.readline().split("listening at ")[1].strip()
            assert Running(url).ask("/v1/completions", TEXT).status == 200
            collect = tmp_path / "collected"
            process.send_signal(signal.SIGTERM)
            _, told = process.communicate(timeout=60)
            assert process.returncode == 0
        finally:
            process.kill()
        assert len(names(tmp_path / "k", "receipts")) == 1
        assert PROMPT not in told
        from veracity.server.keeper import Collector

        with proxying(Upstream(server.url), Collector(collect)) as proxy:
            assert proxy.ask("/v1/completions", TEXT).status == 200
        assert len(names(collect, "receipts")) == 1
