"""What the proxy of private inference refuses before anybody else hears of a request."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any, cast

import pytest
from starlette.requests import Request

from tests.e2e.house import House, done
from veracity.errors import RequestError, UsageError
from veracity.formats.program import load_program_file
from veracity.private.card import Card
from veracity.private.client import Client, Token
from veracity.private.sampling import Sampling
from veracity.private.talk import Talk
from veracity.server import private_proxy
from veracity.server.limits import Doors
from veracity.server.openai import parse
from veracity.server.private_proxy import PrivateProxy, _first, _texts
from veracity.server.request import Limits
from veracity.server.serve import Listen, Settings, serve_private


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Card:
    made = House(tmp_path_factory.mktemp("proxy-card"))
    text = made.folder / "text"
    text.write_text("Once there was a red hen. Tom and the big dog saw her one day. " * 30)
    done("import", "stories260k", "--out", made.program, "-q")
    done("calibrate", made.program, "--text", text, "-q")
    return Card.of(load_program_file(made.program), bytes(32))


def asked(card: Card, mode: str = "shuffled", chat: bool = False, **more: Any) -> Any:
    proxy = PrivateProxy(cast(Client, None), Doors(None, 60, 4), Limits(tokens=8))
    body = {"model": card.name, "prompt": "Once", **more}
    if chat:
        body["messages"] = [{"role": "user", "content": body.pop("prompt")}]
    return proxy._asked(parse(json.dumps(body).encode(), chat=chat), card, mode, "a")


def test_lengths(card: Card) -> None:
    assert asked(card).most == asked(card, max_tokens=100).most == 8
    assert asked(card, max_tokens=3).most == 3
    assert asked(card).ids == card.prompt("Once")
    assert asked(card).sampling is None


def test_sampling_is_the_users_own(card: Card) -> None:
    assert asked(card, temperature=0.5).sampling is not None
    assert asked(card, "secure", temperature=0.5).sampling == Sampling(0.5)
    exponents = {**card.program.exponents, card.program.ops[-1].name: 12}
    fine = replace(card, program=replace(card.program, exponents=exponents))
    with pytest.raises(RequestError, match="give a lower one") as refused:
        asked(fine, "secure", temperature=1.5)
    assert (refused.value.code, refused.value.param) == ("unsupported_value", "temperature")
    assert asked(fine, temperature=1.5).sampling is not None
    with pytest.raises(RequestError, match="leave out seed"):
        asked(card, temperature=0.5, seed=1)


class Talks:
    """What a proxy does with its talk; answers wait until they may go on."""

    def __init__(self) -> None:
        self.seen: list[object] = []
        self.may = asyncio.Event()

    async def answer(self, *_ids: object, **options: object) -> AsyncGenerator[Token, None]:
        self.seen.append(options["card"])
        await self.may.wait()
        for token in ():
            yield token

    async def close(self) -> None:
        self.seen.append("closed")


def proxy_of(talks: Talks, client: Any = None) -> PrivateProxy:
    proxy = PrivateProxy(cast(Client, client), Doors(None, 60, 4), Limits(tokens=8))
    proxy._talk = cast(Talk, talks)
    return proxy


def test_ids_go_to_the_model_that_encoded_them_and_talks_are_one_keys(card: Card) -> None:
    """The owner may serve another model by now; a prompt that goes on is answered sooner."""

    async def run() -> list[object]:
        talks = Talks()
        talks.may.set()
        proxy = proxy_of(talks)
        for key in ("a", "a", "b"):
            await proxy._run(replace(asked(card), key=key))
        return talks.seen

    assert asyncio.run(run()) == ["closed", card, card, "closed", card]


def test_who_hangs_up_in_the_queue_gives_its_place_to_others(
    card: Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that has begun goes on; one that waits for its turn is dropped at once."""

    class Gone:
        async def is_disconnected(self) -> bool:
            return True

    monkeypatch.setattr(private_proxy, "LOOK", 0.01)

    async def run() -> None:
        talks = Talks()
        proxy = proxy_of(talks)
        ask = parse(json.dumps({"model": card.name, "prompt": "Once"}).encode(), chat=False)
        answers = [asked(card), asked(card)]
        for answer in answers:
            answer.task = asyncio.create_task(proxy._run(answer))
        gone = cast(Request, Gone())
        reading = [_first(gone, _texts(one, card, ask), one) for one in answers]
        left = await asyncio.gather(*reading, return_exceptions=True)
        assert [type(one) for one in left] == [RequestError] * 2
        await asyncio.wait((answers[1].task,), timeout=1)
        assert [one.task.cancelled() for one in answers] == [False, True]
        talks.may.set()
        await answers[0].task
        assert talks.seen == ["closed", card]

    asyncio.run(run())


def test_requests_at_once_are_one_connection_to_the_owner(card: Card) -> None:
    class Asks:
        count = 0

        async def card(self) -> tuple[Card, str]:
            self.count += 1
            await asyncio.sleep(0.01)
            return card, "secure"

    async def run() -> int:
        client = Asks()
        proxy = proxy_of(Talks(), client)
        assert await asyncio.gather(*[proxy._model() for _ in range(5)]) == [(card, "secure")] * 5
        return client.count

    assert asyncio.run(run()) == 1


def test_a_model_without_a_template_has_no_conversations(card: Card) -> None:
    with pytest.raises(RequestError, match="no chat template"):
        asked(card, chat=True)


def test_it_listens_on_this_machine_only() -> None:
    with pytest.raises(UsageError):
        serve_private(Listen(host="0.0.0.0"), Settings(), cast(Client, None), lambda _url: None)
