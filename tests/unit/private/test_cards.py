"""Model cards and addresses: what a stranger says is checked before it is used."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.e2e.house import House, done
from tests.support.toy_programs import mlp
from veracity.errors import FormatError, UsageError
from veracity.formats.program import load_program_file
from veracity.private.card import Card, store_card, stored_card
from veracity.private.connect import Address, Caller
from veracity.private.services import masks_seed


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Card:
    made = House(tmp_path_factory.mktemp("cards"))
    done("import", "stories260k", "--out", made.program, "-q")
    with pytest.raises(UsageError, match="calibrate"):
        Card.of(load_program_file(made.program), bytes(32))
    done("calibrate", made.program, "-q")
    return Card.of(load_program_file(made.program), bytes(32))


def test_a_card_is_its_bytes(card: Card, tmp_path: Path) -> None:
    data = card.to_bytes()
    again = Card.from_bytes(data)
    assert (again.digest, again.program.digest) == (card.digest, card.program.digest)
    assert again.prompt("Once upon", raw=False) == card.prompt("Once upon", raw=True)
    assert b"".join(card.piece(i) for i in card.prompt("Once upon", raw=True)) == b" Once upon"
    assert card.ends([7, 2])
    assert not card.ends([2, 7])
    assert not card.ends([])
    digest = bytes.fromhex(card.digest)
    assert stored_card(tmp_path, digest) is None
    store_card(tmp_path, data)
    assert stored_card(tmp_path, digest) == data
    (kept,) = tmp_path.iterdir()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    kept.write_bytes(data[:-1] + b" ")
    assert stored_card(tmp_path, digest) is None  # changed by somebody: fetched again


def test_a_model_with_an_odd_name_has_a_card_that_can_be_shown(card: Card) -> None:
    for name, shown in (("\x1b[2J", "?[2J"), ("n" * 300, "n" * 200), ("", "model")):
        source = {"name": name, "kind": "test", "sha256": "0" * 64, "parameters": 1}
        loaded: Any = SimpleNamespace(program=card.program, source=source, tokenizer=card.tokenizer)
        made = Card.of(loaded, bytes(32))
        assert made.name == shown
        assert Card.from_bytes(made.to_bytes()).name == shown


def encoded(body: Any) -> bytes:
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()


def test_cards_that_are_none(card: Card) -> None:
    body = json.loads(card.to_bytes())
    Card.from_bytes(encoded(body))
    short = {**body["tokenizer"], "tokens": body["tokenizer"]["tokens"][:-1]}
    short["scores"] = short["scores"][:-1]
    for data in (
        b"",
        b"{}",
        b"[]",
        card.to_bytes()[:-1],
        card.to_bytes() + b" ",
        encoded({**body, "more": 1}),
        encoded({**body, "name": 1}),
        encoded({**body, "name": ""}),
        encoded({**body, "name": "n" * 201}),
        encoded({**body, "name": "stories\nmodel: another"}),
        encoded({**body, "name": "\x1b[2Jstories"}),
        encoded({**body, "name": "stories\u202e"}),
        encoded({**body, "weights": "0" * 63}),
        encoded({**body, "weights": "G" * 64}),
        encoded({**body, "program": "{}"}),
        encoded({**body, "program": body["program"][:-1]}),
        encoded({**body, "program": mlp().program.to_json()}),
        encoded({**body, "tokenizer": {}}),
        encoded({**body, "tokenizer": short}),
    ):
        with pytest.raises(FormatError):
            Card.from_bytes(data)


def test_masks_belong_to_one_set_of_weights(card: Card, tmp_path: Path) -> None:
    seed = masks_seed(tmp_path, card.program.digest, b"a" * 32)
    assert len(seed) == 32
    assert masks_seed(tmp_path, card.program.digest, b"a" * 32) == seed
    assert masks_seed(tmp_path, card.program.digest, b"b" * 32) != seed
    paths = sorted(tmp_path.iterdir())
    assert len(paths) == 2
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths} == {0o600}
    for path in paths:
        path.write_bytes(seed[:5])
    with pytest.raises(FormatError, match="remove it"):
        masks_seed(tmp_path, card.program.digest, b"a" * 32)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [("a:1", "a", 1), ("127.0.0.1:0", "127.0.0.1", 0), ("[::1]:7000", "::1", 7000)],
)
def test_addresses(text: str, host: str, port: int) -> None:
    assert Address.parse(text) == Address(host, port)
    assert str(Address.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "a", ":1", "a:", "a:b", "a:70000", "a:-1", "a:١"),
        *("a..b:1", "x" * 70 + ":1", "a\udc80:1", "a:" + "0" * 5000),
    ],
)
def test_no_addresses(text: str) -> None:
    with pytest.raises(UsageError, match="HOST:PORT"):
        Address.parse(text)


def test_plain_connections_have_no_authority() -> None:
    assert Caller(None, insecure=True).authority == "insecure"
