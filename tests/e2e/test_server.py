"""The server as OpenAI's own client sees it, and as clients see it that mean no good."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import openai
import pytest

import veracity
from tests.e2e.house import PROMPT, House
from tests.e2e.house import veracity as command
from tests.support.serving import Running, running
from veracity.errors import RangeError, UsageError
from veracity.server.limits import read_keys
from veracity.server.model import ServedModel
from veracity.server.serve import Listen, Settings

CHAT = {"model": "stories260k", "messages": [{"role": "user", "content": PROMPT}]}


@pytest.fixture(scope="module")
def model(house: House) -> ServedModel:
    return ServedModel.load(house.program, house.secret, name="stories260k")


@pytest.fixture(scope="module")
def server(model: ServedModel) -> Iterator[Running]:
    with running(model) as found:
        yield found


@pytest.fixture(scope="module")
def expected(house: House) -> str:
    """What a proof says the model answers, in 12 tokens."""
    return veracity.verify(house.proof, house.commitment).answer


def test_a_conversation_gets_the_answer_that_is_proved(server: Running, expected: str) -> None:
    with server.client() as client:
        reply = client.chat.completions.create(
            model="stories260k", messages=CHAT["messages"], max_tokens=12
        )
        assert reply.choices[0].message.content == expected
        assert reply.choices[0].finish_reason == "length"
        assert reply.usage is not None
        assert reply.usage.completion_tokens == 12
        assert reply.usage.total_tokens == reply.usage.prompt_tokens + 12
        assert reply.system_fingerprint == server.model.fingerprint
        said = reply.model_extra["veracity"]
        assert said["commitment"] == server.model.commitment_digest
        text = client.completions.create(model="stories260k", prompt=PROMPT, max_tokens=12)
        assert text.choices[0].text == expected
        assert [m.id for m in client.models.list()] == ["stories260k"]
        assert client.models.retrieve("stories260k").owned_by == "veracity"


@pytest.mark.parametrize("counted", [False, True])
def test_a_stream_carries_the_same_text(server: Running, expected: str, counted: bool) -> None:
    options = {"stream_options": {"include_usage": True}} if counted else {}
    with server.client() as client:
        chunks = list(
            client.chat.completions.create(
                model="stories260k",
                messages=CHAT["messages"],
                max_tokens=12,
                stream=True,
                **options,
            )
        )
        texts = list(
            client.completions.create(
                model="stories260k", prompt=PROMPT, max_tokens=12, stream=True, **options
            )
        )
    assert chunks[0].choices[0].delta.role == "assistant"
    choices = [c.choices[0] for c in chunks if c.choices]
    assert "".join(c.delta.content or "" for c in choices) == expected
    assert [c.finish_reason for c in choices][-2:] == [None, "length"]
    assert "".join(c.choices[0].text for c in texts if c.choices) == expected
    for kind in (chunks, texts):
        assert len(kind) > 5
        assert [c.usage.completion_tokens for c in kind if not c.choices] == [12] * counted


def test_an_asynchronous_client_too(server: Running, expected: str) -> None:
    async def ask() -> str:
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none") as client:
            stream = await client.chat.completions.create(
                model="stories260k", messages=CHAT["messages"], max_tokens=12, stream=True
            )
            return "".join([c.choices[0].delta.content or "" async for c in stream])

    assert asyncio.run(ask()) == expected


def test_texts_that_end_an_answer_are_not_sent(server: Running, expected: str) -> None:
    stop = expected.split()[3]
    with server.client() as client:
        reply = client.chat.completions.create(
            model="stories260k", messages=CHAT["messages"], max_tokens=12, stop=[stop, "never"]
        )
    assert reply.choices[0].message.content == expected[: expected.index(stop)]
    assert reply.choices[0].finish_reason == "stop"


def test_clients_beside_each_other_get_their_own_answers(model: ServedModel, house: House) -> None:
    prompts = [f"{name} was a" for name in ("Tim", "Lily", "Ben", "Sam", "Anna", "Max")]
    alone = {p: "".join(veracity_answer(model, p)) for p in prompts}
    with running(model, Settings(slots=3)) as server, server.client() as client:

        def ask(prompt: str) -> bool:
            reply = client.completions.create(model="stories260k", prompt=prompt, max_tokens=8)
            return reply.choices[0].text == alone[prompt]

        with ThreadPoolExecutor(12) as threads:
            assert all(threads.map(ask, prompts * 3))


def veracity_answer(model: ServedModel, prompt: str) -> list[str]:
    from veracity.text.chat import Message
    from veracity.text.delivery import delivered

    ids = model.encode([Message("user", prompt)], chat=False).ids
    table = model.secret.commitment.table
    return [delivered(list(model.answer(ids, 8)), table, model.stop_ids, (), "length")]


def test_what_is_refused_names_what_is_wrong(server: Running) -> None:
    with server.client() as client:
        with pytest.raises(openai.BadRequestError) as refused:
            client.chat.completions.create(
                model="stories260k", messages=CHAT["messages"], temperature=7
            )
        assert refused.value.param == "temperature"
        with pytest.raises(openai.NotFoundError) as unknown:
            client.chat.completions.create(model="another", messages=CHAT["messages"])
        assert unknown.value.code == "model_not_found"
        with pytest.raises(openai.BadRequestError) as long:
            client.completions.create(model="stories260k", prompt="word " * 900)
        assert long.value.code == "context_length_exceeded"
        with pytest.raises(openai.NotFoundError, match="/v1/chat/completions"):
            client.responses.create(model="stories260k", input="hello")
    turns = [*CHAT["messages"], {"role": "assistant", "content": "a"}, *CHAT["messages"]]
    assert server.ask("/v1/chat/completions", {**CHAT, "messages": turns}).status == 400


def test_hostile_requests_are_refused_in_the_same_format(server: Running) -> None:
    path = "/v1/chat/completions"
    assert server.ask("/nowhere").code == "not_found"
    assert server.ask(path).code == "method_not_allowed"
    assert server.ask(path, b"[" * 10**5).code == "invalid_json"
    assert server.ask(path, b"x" * (2 << 20)).status == 413
    assert server.ask(path, b"{}", headers={"content-type": "text/plain"}).status == 415
    assert server.ask("/healthz", headers={"host": "evil.example"}).code == "wrong_host"
    healthy = server.ask("/healthz")
    assert healthy.status == 200
    assert healthy.headers["x-content-type-options"] == "nosniff"
    assert healthy.headers["x-request-id"].startswith("req_")
    assert "access-control-allow-origin" not in healthy.headers


def test_the_commitment_is_public(server: Running, house: House) -> None:
    assert server.ask("/v1/commitment").body == house.commitment.read_bytes()


def test_refusals_for_ranges_look_alike(
    model: ServedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first layer or the last, streamed or not: one text. After tokens, the answer is cut."""
    with running(model) as server:
        honest = ServedModel.answer

        def leaves(self: ServedModel, ids: tuple[int, ...], most: int, *_: object) -> Iterator[int]:
            cut = 0 if len(ids) % 2 else 3
            for index, token in enumerate(honest(self, ids, most)):
                if index == cut:
                    raise RangeError(f"layers.{len(ids)}.ffn", "calibrate")
                yield token

        monkeypatch.setattr(ServedModel, "answer", leaves)
        prompts = ["a", "a b", "a b c", "a b c d"]
        replies = {
            (p, s): server.ask(
                "/v1/completions",
                {"model": "stories260k", "prompt": p, "max_tokens": 9, "stream": s},
            )
            for p in prompts
            for s in (False, True)
        }
    refused = [r for r in replies.values() if r.status == 400]
    assert refused
    assert len({r.body for r in refused}) == 1
    assert refused[0].code == "prompt_refused"
    cut = [r for (_, s), r in replies.items() if r.status == 200 and not s]
    assert cut
    for reply in cut:
        assert reply.json["veracity"]["stopped"] == "range"
        assert reply.json["choices"][0]["finish_reason"] == "length"
        assert reply.json["usage"]["completion_tokens"] == 3
    assert b"ffn" not in b"".join(r.body for r in replies.values())


def test_keys_are_needed_where_there_is_a_file_of_them(model: ServedModel, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    made = command("api-key", "someone", "--file", keys)
    assert made.exit_code == 0
    key = made.stdout.strip()
    assert key not in keys.read_text()
    assert keys.stat().st_mode & 0o077 == 0
    assert command("api-key", "someone", "--file", keys).exit_code == 2
    keys.write_text(keys.read_text().rstrip("\n"))  # as an editor may leave it
    assert command("api-key", "other", "--file", keys).exit_code == 0
    assert sorted(read_keys(keys).values()) == ["other", "someone"]
    with running(model, Settings(rate=3), keys=keys) as server:
        assert server.ask("/v1/models").status == 401
        with server.client("vk_wrong") as client, pytest.raises(openai.AuthenticationError):
            client.models.list()
        with server.client(key) as client:
            for _ in range(3):
                client.completions.create(model="stories260k", prompt="a", max_tokens=1)
            with pytest.raises(openai.RateLimitError) as late:
                client.completions.create(model="stories260k", prompt="a", max_tokens=1)
        assert int(late.value.response.headers["retry-after"]) >= 1
        assert server.ask("/healthz").status == 200


def test_strangers_are_served_only_with_keys_and_tls(tmp_path: Path) -> None:
    for host in ("0.0.0.0", "::", "192.0.2.1", "example.org"):
        with pytest.raises(UsageError, match="--keys and TLS"):
            Listen(host=host, keys=tmp_path / "keys").check()
    for host in ("127.0.0.1", "::1", "localhost", "127.9.9.9"):
        Listen(host=host).check()


def test_who_leaves_or_waits_too_long_frees_its_place(model: ServedModel) -> None:
    with running(model, Settings(slots=1, waiting=0)) as server:
        ask = {"model": "stories260k", "prompt": "a", "max_tokens": 400, "stream": True}
        connection = http.client.HTTPConnection(server.place, timeout=60)
        head = {"content-type": "application/json"}
        connection.request("POST", "/v1/completions", json.dumps(ask), head)
        reply = connection.getresponse()
        reply.read(1)
        busy = server.ask("/v1/completions", {**ask, "stream": False})
        assert busy.status == 429
        assert busy.headers["retry-after"]
        reply.close()
        connection.close()
        deadline = time.monotonic() + 30
        while server.ask("/v1/completions", {**ask, "max_tokens": 1}).status == 429:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    with running(model, Settings(timeout=0.05)) as server:
        late = server.ask("/v1/completions", {**ask, "stream": False})
        assert (late.status, late.code) == (503, "timeout")


def test_a_server_that_is_told_to_end_finishes_its_answers(house: House) -> None:
    arguments = ["serve", str(house.program), "--secret", str(house.secret), "--port", "0"]
    process = subprocess.Popen(
        [sys.executable, "-m", "veracity", *arguments, "--name", "tiny"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "RAYON_NUM_THREADS": "1"},
    )
    try:
        assert process.stdout is not None
        place = process.stdout.readline().split("//")[1].strip()
        connection = http.client.HTTPConnection(place, timeout=60)
        ask = {"model": "tiny", "prompt": "secret words", "max_tokens": 40, "stream": True}
        head = {"content-type": "application/json"}
        connection.request("POST", "/v1/completions", json.dumps(ask), head)
        reply = connection.getresponse()
        begun = reply.read(1)
        process.send_signal(signal.SIGTERM)
        assert (begun + reply.read()).endswith(b"data: [DONE]\n\n")
        reply.close()
        connection.close()
        _, log = process.communicate(timeout=60)
        assert process.returncode == 0
        host, _, port = place.partition(":")
        with pytest.raises(OSError), socket.create_connection((host, int(port)), timeout=5):
            pass
    finally:
        process.kill()
        process.wait()
    assert "secret words" not in log
    line = next(line for line in log.splitlines() if '"request"' in line)
    facts = json.loads(line[line.index("{") :])
    assert facts["route"] == "/v1/completions"
    assert facts["status"] == 200
    assert facts["tokens"][1] == 40
