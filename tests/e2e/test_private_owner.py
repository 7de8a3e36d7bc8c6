"""An owner that would read prompts from lengths, or serve another model than it committed to."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.house import House, done, veracity
from tests.e2e.test_private import arguments, client, expected
from veracity.benchmarks.local_cluster import Cluster, LocalCluster
from veracity.engine import load_engine
from veracity.errors import PeerError, RangeError, UsageError
from veracity.formats.commitment import Commitment
from veracity.formats.program import load_program_file, save_program_file
from veracity.graph.ops.base import rescaled
from veracity.mpc.shuffled import head
from veracity.mpc.weights import masked_digest
from veracity.private.card import Card
from veracity.private.committed import Pinned
from veracity.private.parties.user import UserSession
from veracity.private.talk import Talk

pytest.importorskip("cryptography")

PROMPTS = ("A hen", "One day", "The big red", "Tom and")
MOST = 4


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    """Calibrated on little text, and quickly."""
    made = House(tmp_path_factory.mktemp("private-length-house"))
    text = made.folder / "text"
    text.write_text("Once there was a red hen. Tom and the big dog saw her one day. " * 30)
    done("import", "stories260k", "--out", made.program, "-q")
    done("calibrate", made.program, "--text", text, "-q")
    done("commit", made.program, "--out", made.commitment, "-q")
    return made


@pytest.fixture(scope="module")
def three(house: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("private-length")
    with LocalCluster(house.program, "shuffled", folder, timeout=20) as found:
        yield found


class View:
    """The owner's log: how many passes each session had."""

    def __init__(self, three: Cluster) -> None:
        self._log = three.folder / "owner-shuffled.log"
        self._seen = len(self._all())

    def _all(self) -> list[int]:
        lines = [line for line in self._log.read_text().splitlines() if " passes, " in line]
        return [int(line.split(" passes, ")[0].split()[-1]) for line in lines]

    def next(self) -> int:
        latest = time.monotonic() + 60
        while len(found := self._all()) <= self._seen:
            assert time.monotonic() < latest
            time.sleep(0.02)
        self._seen += 1
        return found[self._seen - 1]


def ends_at(monkeypatch: pytest.MonkeyPatch, stops: set[int]) -> None:
    """The owner's card names these tokens as ends of answers."""
    monkeypatch.setattr(Card, "ends", lambda _card, tokens: tokens[-1] in stops)


def encoding(house: House) -> tuple[set[int], dict[str, int]]:
    """Stop tokens by which the length of an answer tells two halves of the prompts apart."""
    answers = {words: expected(house, words, MOST) for words in PROMPTS}
    for stop in {token for answer in answers.values() for token in answer[:-1]}:
        lengths = {w: ([*a[:-1], stop]).index(stop) + 1 for w, a in answers.items()}
        if len(set(lengths.values())) > 1:
            return {stop}, lengths
    raise AssertionError("choose other prompts")


async def ask(three: Cluster, words: str, round_length: int = 0) -> int:
    answer = client(three).generate(words, MOST, round_length=round_length)
    return len([token async for token in answer])


def test_a_model_that_encodes_the_prompt_in_its_length(
    three: Cluster, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The owner's table of lengths tells prompts apart where lengths are shown, and only there."""
    stops, lengths = encoding(house)
    ends_at(monkeypatch, stops)
    view = View(three)
    for words in PROMPTS:
        assert asyncio.run(ask(three, words, 1)) == view.next() == lengths[words]
    for words in PROMPTS:
        assert asyncio.run(ask(three, words)) == lengths[words]
        assert view.next() == MOST


@pytest.mark.parametrize(("round_length", "passes"), [(0, MOST), (3, 3), (1, 2)])
def test_a_model_that_leaves_its_ranges_where_the_prompt_says(
    round_length: int, passes: int, three: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second pass means nothing; the owner, who chose the ranges, does not see which it was."""
    calls: list[object] = []

    def leaves(op: Any, acc: Any) -> Any:
        calls.append(op)
        if len(calls) == 2:
            raise RangeError(op.name, "calibrate")
        return rescaled(op, acc)

    monkeypatch.setattr(head, "rescaled", leaves)
    view = View(three)
    found: list[int] = []

    async def read() -> None:
        async for token in client(three).generate("A hen", MOST, round_length=round_length):
            found.append(token.id)

    with pytest.raises(RangeError):
        asyncio.run(read())
    assert len(found) == 1
    assert view.next() == passes


def test_a_rounded_length(three: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Card, "ends", lambda _card, _tokens: True)
    view = View(three)
    assert asyncio.run(ask(three, "A hen", 3)) == 1
    assert view.next() == 3


def test_a_reader_that_leaves_shows_nothing(three: Cluster) -> None:
    view = View(three)

    async def leave() -> None:
        async with contextlib.aclosing(client(three).generate("A hen", MOST)) as answer:
            await anext(answer)

    asyncio.run(leave())
    assert view.next() == MOST


def test_whether_a_cut_answer_is_taken_up_tells_nothing(
    three: Cluster, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An owner that cuts sessions gets all passes, also where the answer has ended before."""
    monkeypatch.setattr(Card, "ends", lambda _card, _tokens: True)
    feed, fed = UserSession.feed, []

    async def cut(session: UserSession, tokens: list[int]) -> int:
        fed.append(len(tokens))
        if len(fed) == 3:
            session.owner._link.abort()
        return await feed(session, tokens)

    monkeypatch.setattr(UserSession, "feed", cut)
    assert asyncio.run(ask(three, "A hen")) == 1
    rows = fed[0]
    assert fed == [rows, 1, 1, rows + 2, 1]

    fed.clear()

    async def without() -> None:
        async for _ in client(three).generate("A hen", MOST, resume=0):
            pass

    with pytest.raises(PeerError):
        asyncio.run(without())


@pytest.fixture
def hears_its_terminal() -> Iterator[None]:
    """Processes that are started end with their terminal, though tests may run without one."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("hears_its_terminal")
@pytest.mark.parametrize(("options", "most"), [((), 100), (("--show-length",), 400)])
def test_a_terminal_that_is_closed(options: tuple[str, ...], most: int, three: Cluster) -> None:
    """The command goes on without its terminal, unless lengths may be seen."""
    view = View(three)
    given = ("ask", "A hen", "--lines", "--max-new-tokens", most, *options, *arguments(three))
    user = three.user(*given)
    lines = user.lines()
    next(lines)
    os.kill(user.pid, signal.SIGHUP)
    for _ in lines:
        pass
    assert user.wait(120) == 130
    assert (view.next() == most) == (not options)


def test_ids_are_for_the_model_that_encoded_them(three: Cluster) -> None:
    """An owner that serves another model meanwhile is not asked with ids of the last one."""

    async def ask_both() -> None:
        asked = client(three)
        card, _ = await asked.card()
        other, ids = replace(card, name="another"), card.prompt("A hen")
        with pytest.raises(PeerError, match="another model"):
            await anext(asked.answer(ids, 2, card=other))
        with pytest.raises(PeerError, match="another model"):
            await anext(client(three, model=other.digest).answer(ids, 2, card=card))
        async with Talk(asked) as talk:
            assert len([token async for token in talk.answer(ids, 2, card=card)]) == 2
            with pytest.raises(PeerError, match="another model"):
                await anext(talk.answer([*ids, 5], 2, card=other))

    asyncio.run(ask_both())


# ---- a committed model ---------------------------------------------------------------------------


def test_a_committed_model_is_asked(three: Cluster, house: House) -> None:
    files = ("--commitment", house.commitment, "--secret", house.secret)
    before = Commitment.load(house.commitment)
    with pytest.raises(UsageError, match="private bind"):
        client(three, commitment=house.commitment)
    cache = three.folder / "cache"
    done("private", "bind", house.program, *files, "--cache", cache)
    named = Commitment.load(house.commitment)
    assert named.digest == before.digest
    done("private", "bind", house.program, *files, "--cache", cache)
    assert Commitment.load(house.commitment).masked_weights == named.masked_weights

    async def answer() -> list[int]:
        asked = client(three, commitment=house.commitment).generate("A hen", 2)
        return [token.id async for token in asked]

    assert asyncio.run(answer()) == expected(house, "A hen", 2)


@pytest.mark.parametrize("what", ["weights", "program", "tokens", "text"])
def test_another_model_than_the_commitments(
    what: str, three: Cluster, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commitment names the served model but for one part."""
    owner = three.folder / "cache" / "owner"
    (seed,) = (path.read_bytes() for path in owner.glob("*.masks"))
    loaded = load_program_file(house.program)
    digest = masked_digest(load_engine("cpu").ring, loaded.program, loaded.weights, seed)
    named = replace(Commitment.load(house.commitment), masked_weights=digest)
    pinned = Pinned.of(named)
    pinned.check(Card.of(loaded, digest))
    other = replace(pinned, **{what: {} if what == "text" else "0" * 64})
    monkeypatch.setattr(Pinned, "by", classmethod(lambda _cls, _source: other))

    async def answer() -> None:
        async for _ in client(three, commitment=house.commitment).generate("A hen", 1):
            pass

    with pytest.raises(PeerError, match="another model than the commitment"):
        asyncio.run(answer())


def test_files_that_do_not_belong_together(three: Cluster, house: House, tmp_path: Path) -> None:
    other = House(tmp_path)
    other.program.write_bytes(house.program.read_bytes())
    done("commit", other.program, "--out", other.commitment, "-q")
    cache = ("--cache", tmp_path / "cache")
    files = ("--commitment", other.commitment, "--secret", house.secret)
    wrong = veracity("private", "bind", house.program, *files, *cache)
    assert (wrong.exit_code, "another commitment" in wrong.stderr) == (2, True)
    loaded = load_program_file(house.program)
    halved = {name: array // 2 for name, array in loaded.weights.items()}
    save_program_file(other.program, replace(loaded, weights=halved))
    files = ("--commitment", house.commitment, "--secret", house.secret)
    wrong = veracity("private", "bind", other.program, *files, *cache)
    assert (wrong.exit_code, "other weights" in wrong.stderr) == (2, True)
