"""What the proxy of private inference refuses before anybody else hears of a request."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any, cast

import pytest

from tests.e2e.house import House, done
from veracity.errors import RequestError, UsageError
from veracity.formats.program import load_program_file
from veracity.private.card import Card
from veracity.private.client import Client, Token
from veracity.private.sampling import Sampling
from veracity.private.talk import Talk
from veracity.server.limits import Doors
from veracity.server.openai import parse
from veracity.server.private_proxy import PrivateProxy
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
    return proxy._asked(parse(json.dumps(body).encode(), chat=chat), card, mode)


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


def test_ids_go_to_the_model_that_encoded_them(card: Card) -> None:
    """The owner may serve another model by now, whose answer would be said to be this one's."""
    insisted: list[object] = []

    class Talks:
        async def answer(self, *_ids: object, **options: object) -> AsyncGenerator[Token, None]:
            insisted.append(options["card"])
            for token in ():
                yield token

    async def run() -> None:
        proxy = PrivateProxy(cast(Client, None), Doors(None, 60, 4), Limits(tokens=8))
        proxy._talk = cast(Talk, Talks())
        await proxy._run(asked(card))

    asyncio.run(run())
    assert insisted == [card]


def test_a_model_without_a_template_has_no_conversations(card: Card) -> None:
    with pytest.raises(RequestError, match="no chat template"):
        asked(card, chat=True)


def test_it_listens_on_this_machine_only() -> None:
    with pytest.raises(UsageError):
        serve_private(Listen(host="0.0.0.0"), Settings(), cast(Client, None), lambda _url: None)
