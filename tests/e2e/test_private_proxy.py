"""OpenAI's clients against `veracity private proxy`: prompts leave the machine in shares alone."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.e2e.test_private import arguments
from tests.e2e.test_private_owner import View
from tests.support.talking import Talker, talker
from veracity.benchmarks.local_cluster import Cluster, LocalCluster, Party
from veracity.lm.generate import generate
from veracity.private.card import Card
from veracity.text.delivery import delivered
from veracity.text.table import TokenTable

pytest.importorskip("cryptography")

MOST = 6


@dataclass(frozen=True)
class Served:
    """A proxy that runs, and what its model would say."""

    made: Talker
    three: Cluster
    party: Party
    url: str

    def client(self) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key="none", max_retries=0, timeout=60)

    def expected(self, given: Any, most: int = MOST, stops: tuple[str, ...] = ()) -> str:
        model = self.made.model
        assert model.program is not None
        card = Card.of(model, bytes(32))
        ids = card.prompt(given)
        table = TokenTable(tuple(model.token_bytes), frozenset(model.special_ids), model.rule)
        answer = generate(model.program, model.weights, ids, most, model.stop_ids)
        return delivered(answer, table, model.stop_ids, stops, "length")


@contextlib.contextmanager
def proxied(made: Talker, three: Cluster, *options: object) -> Iterator[Served]:
    given = ("proxy", "--listen", "127.0.0.1:0", "--max-new-tokens", MOST, *options)
    party = three.user(*given, *arguments(three))
    try:
        url = next(party.lines()).split()[-1]
        yield Served(made, three, party, url)
    finally:
        party.stop()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("private-proxy")
    made = talker(folder)
    with (
        LocalCluster(made.path, "shuffled", folder, timeout=20) as three,
        proxied(made, three) as found,
    ):
        yield found


def name_of(served: Served) -> str:
    return served.client().models.list().data[0].id


def test_a_conversation_of_three_turns(served: Served) -> None:
    """Each turn's answer is the integer program's; all are one session, which feeds what is new."""
    client, talk = served.client(), [{"role": "system", "content": "be brief"}]
    log = served.three.folder / "owner-shuffled.log"

    def logged() -> list[str]:
        return [line for line in log.read_text().splitlines() if "prompt of" in line]

    before, lengths = len(logged()), [0]
    # Logits that `shuffled` rounds at random are 130 units apart or more in all of these turns.
    for words in ("hello", "a story", "go on"):
        talk.append({"role": "user", "content": words})
        reply = client.chat.completions.create(
            model=name_of(served),
            messages=talk,  # type: ignore[arg-type]
            max_tokens=4,
        )
        choice = reply.choices[0]
        assert choice.message.content == served.expected(talk, 4)
        assert choice.finish_reason in ("stop", "length")
        assert reply.usage is not None
        card = Card.of(served.made.model, bytes(32))
        lengths.append(len(card.prompt([(m["role"], m["content"]) for m in talk])))
        assert reply.usage.prompt_tokens == lengths[-1]
        talk.append({"role": "assistant", "content": choice.message.content or ""})
    while len(lines := logged()[before:]) < 3:
        time.sleep(0.02)
    assert len({line.split(" session ")[1].split()[0] for line in lines}) == 1
    fed = [int(line.split("prompt of ")[1].split()[0]) for line in lines]
    assert fed == [now - then for then, now in pairwise(lengths)]


def test_a_stream_and_a_text_to_continue(served: Served) -> None:
    client, model = served.client(), name_of(served)
    ask: Any = {"model": model, "messages": [{"role": "user", "content": "hello"}]}
    chunks = list(
        client.chat.completions.create(
            **ask, stream=True, stream_options={"include_usage": True}, max_tokens=5
        )
    )
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == served.expected("hello", 5)
    assert chunks[-1].usage.completion_tokens >= 1
    reply = client.completions.create(model=model, prompt="hello", max_tokens=5)
    assert reply.choices[0].text == served.expected("hello", 5)


def test_stop_texts_and_clients_that_hang_up_show_no_length(served: Served) -> None:
    view, client, model = View(served.three), served.client(), name_of(served)
    whole = served.expected("hello")
    stop = whole[1]
    ask: Any = {"model": model, "messages": [{"role": "user", "content": "hello"}]}
    reply = client.chat.completions.create(**ask, stop=stop)
    assert reply.choices[0].message.content == whole[: whole.index(stop)]
    assert reply.choices[0].finish_reason == "stop"
    assert view.next() == MOST
    stream = client.chat.completions.create(**ask, stream=True)
    next(iter(stream))
    stream.close()
    assert view.next() == MOST


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_the_end_of_the_process_shows_no_length(number: int, served: Served) -> None:
    """Told to end, with its terminal closed, interrupted."""
    with proxied(served.made, served.three) as other:
        view = View(other.three)
        stream = other.client().chat.completions.create(
            model=name_of(other), messages=[{"role": "user", "content": "hello"}], stream=True
        )
        next(iter(stream))
        os.kill(other.party.pid, number)
        stream.close()
        other.party.wait(30)
    assert view.next() == MOST


@pytest.mark.parametrize(
    ("more", "kind", "says"),
    [
        ({"model": "other"}, openai.NotFoundError, "no such model"),
        ({"seed": 3, "temperature": 1}, openai.BadRequestError, "leave out seed"),
        ({"extra_body": {"veracity": {"auditable": True}}}, openai.BadRequestError, "no receipt"),
        ({"n": 2}, openai.BadRequestError, "neutral"),
        ({"messages": [{"role": "user", "content": "x" * 500}]}, openai.BadRequestError, "shorten"),
    ],
)
def test_what_cannot_be_asked(
    more: dict[str, Any], kind: type[Exception], says: str, served: Served
) -> None:
    ask: Any = {"model": name_of(served), "messages": [{"role": "user", "content": "hello"}]}
    with pytest.raises(kind, match=says):
        served.client().chat.completions.create(**{**ask, **more})


def test_an_owner_that_is_gone_is_told(served: Served, tmp_path: Path) -> None:
    party = served.three.user(
        *("proxy", "--server", "127.0.0.1:1", "--dealer", "127.0.0.1:1", "--wait", 0),
        *("--listen", "127.0.0.1:0", "--cache", tmp_path, "--insecure"),
    )
    try:
        url = next(party.lines()).split()[-1]
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
        with pytest.raises(openai.InternalServerError, match="nobody listens"):
            client.models.list()
    finally:
        party.stop()


def test_logs_hold_no_words(served: Served) -> None:
    words = "a very secret question"
    served.client().chat.completions.create(
        model=name_of(served), messages=[{"role": "user", "content": words}], max_tokens=1
    )
    for path in served.three.folder.glob("*.log"):
        assert words not in path.read_text(), path
