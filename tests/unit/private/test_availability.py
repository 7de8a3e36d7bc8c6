"""Nobody takes the services away from others: by silence, downloads, repetitions, sessions."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import pytest

from tests.support.private_parties import Three, run, three
from tests.support.private_services import MODES, greedy, model, parties_busy
from veracity.errors import PeerError
from veracity.mpc.material import Label
from veracity.mpc.modes import find_mode
from veracity.mpc.sessions import Outcome
from veracity.net import Channel, Identity
from veracity.net.person import LONG, REMEMBERED, Downloads, Person
from veracity.private.parties import dealer as dealer_module
from veracity.private.parties import owner as owner_module
from veracity.private.parties.dealer import DealerLimits
from veracity.private.parties.owner import ServiceLimits
from veracity.private.parties.passes import REPETITIONS
from veracity.private.parties.wire import (
    PROTOCOL,
    MessageTag,
    Pace,
    receive_object,
    send_object,
)

certificates = pytest.importorskip("veracity.private.certificates")

HELLO_FIELDS = {
    "protocol": int, "mode": str, "name": str, "card": str, "card_bytes": int, "weights": str,
}  # fmt: skip


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Identity]:
    made = certificates.make_certificates(
        tmp_path_factory.mktemp("people") / "set", days=1, users=("alice", "bob")
    )
    return {name: Identity(home) for name, home in made.items()}


async def met(parties: Three, who: str) -> Channel:
    """A connection to the owner, after the hellos."""
    channel = await parties.call(parties.server_port, "owner", who)
    await send_object(channel, MessageTag.HELLO, protocol=PROTOCOL)
    await receive_object(channel, MessageTag.HELLO, HELLO_FIELDS)
    return channel


async def ask(channel: Channel, what: str) -> None:
    await send_object(channel, MessageTag.ASK, what=what, rows=2, passes=2)


async def refusal(channel: Channel) -> str:
    with pytest.raises(PeerError) as fault:
        while True:
            await channel.receive_up_to(MessageTag.CHUNK, 1 << 23)
    return str(fault.value)


def test_many_that_want_nothing_keep_nobody_out(
    people: dict[str, Identity], tmp_path: Path
) -> None:
    """40 idle connections, 8 silent sessions, 300 downloads: another user gets its answer."""
    example = model()
    prompt = example.tokens[:3]

    async def download(parties: Three) -> None:
        with contextlib.suppress(PeerError):
            channel = await met(parties, "alice")
            try:
                for _ in range(30):
                    await ask(channel, "weights")
                await refusal(channel)
            finally:
                channel.abort()

    async def silent(parties: Three) -> Channel | None:
        try:
            channel = await met(parties, "alice")
            await ask(channel, "session")
            await receive_object(channel, MessageTag.ANSWER, {"session": str})
        except PeerError:
            return None
        return channel

    async def session() -> None:
        async with three(example, "shuffled", tmp_path, timeout=20, people=people) as parties:
            idle = [
                await asyncio.open_connection("127.0.0.1", parties.server_port) for _ in range(40)
            ]
            sessions = await asyncio.gather(*(silent(parties) for _ in range(8)))
            assert sum(one is not None for one in sessions) == 2  # as many as one certificate may
            downloads = asyncio.gather(*(download(parties) for _ in range(10)))
            answer = await parties.ask(prompt, 3, who="bob")
            assert answer.tokens == greedy(example, prompt, 3)
            await downloads
            for channel in sessions:
                if channel is not None:
                    channel.abort()
            for _, writer in idle:
                writer.close()

    run(session(), 60)


def test_a_connection_gets_each_file_once(people: dict[str, Identity], tmp_path: Path) -> None:
    example = model()

    async def session() -> None:
        async with three(example, "secure", tmp_path, people=people) as parties:
            for what in ("weights", "card"):
                channel = await met(parties, "alice")
                await ask(channel, what)
                await ask(channel, what)
                assert f"has had the {what} already" in await refusal(channel)
                channel.abort()

    run(session())


def test_downloads_of_one_certificate_follow_each_other(
    people: dict[str, Identity], tmp_path: Path
) -> None:
    example = model()
    going = asyncio.Event()

    async def session() -> None:
        async with three(example, "secure", tmp_path, people=people) as parties:

            async def slow(channel: Channel, pace: Pace) -> None:
                await going.wait()

            parties.owner._send_weights = slow  # type: ignore[method-assign]
            first, second = [await met(parties, "alice") for _ in range(2)]
            other = await met(parties, "bob")
            await ask(first, "weights")
            while not parties.owner.downloads._held:
                await asyncio.sleep(0)
            await ask(second, "weights")
            assert "you have 1 downloads" in await refusal(second)
            await ask(other, "weights")
            while parties.owner.downloads._held.total() < 2:
                await asyncio.sleep(0)
            going.set()
            for channel in (first, other):
                await channel.close()

    run(session())


@pytest.mark.parametrize("what", ["card", "weights"])
def test_a_download_that_is_taken_too_slowly_is_ended(
    what: str, people: dict[str, Identity], tmp_path: Path
) -> None:
    """Bytes go on coming, so that no time-out ends it; the place is free again."""
    limits = ServiceLimits(rate=1e15, grace=0.0)  # nobody is so fast

    async def session() -> None:
        async with three(model(), "secure", tmp_path, limits=limits, people=people) as parties:
            channel = await met(parties, "alice")
            await ask(channel, what)
            assert "took fewer than" in await refusal(channel)
            while parties.owner.downloads.taken:
                await asyncio.sleep(0.01)

    run(session())


def test_a_pace_is_of_the_whole_file() -> None:
    pace = Pace(rate=100.0, grace=5.0)
    assert pace.kept(100, 6.0)
    assert not pace.kept(100, 1.5)
    assert pace.kept(1000, 1.5)


def test_who_had_a_long_download_leaves_the_last_place_to_others() -> None:
    """Certificates that work together hold all places once a day, not for ever."""
    now = [0.0]
    places = Downloads("downloads", 3, 1, clock=lambda: now[0])
    crowd = [Person(name, name) for name in ("a1", "a2", "a3")]

    def taken(who: list[Person], seconds: float) -> list[str | None]:
        with contextlib.ExitStack() as stack:
            why = []
            for one in who:
                why.append(places.full(one))
                if why[-1] is None:
                    stack.enter_context(places.held(one))
            now[0] += seconds
        return why

    assert taken(crowd, LONG) == [None] * 3  # short ones are not remembered
    assert taken(crowd, LONG + 1) == [None] * 3
    other = Person("bob", "b")
    again = taken([*crowd, other], 1)
    assert again[:2] == [None, None]
    assert "last place" in str(again[2])
    assert again[3] is None
    now[0] += REMEMBERED
    assert taken(crowd, 1) == [None] * 3
    alone = Downloads("downloads", 1, 1, clock=lambda: now[0])
    with alone.held(other):
        now[0] += LONG + 1
    assert alone.full(other) is None  # where there is one place, it is everybody's


@pytest.mark.parametrize("party", ["owner", "dealer"])
def test_who_says_nothing_is_dropped_soon(
    party: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long before the time-out of a session."""
    monkeypatch.setattr(owner_module, "FIRST_WORD", 0.1)
    monkeypatch.setattr(dealer_module, "FIRST_WORD", 0.1)

    async def session() -> None:
        async with three(model(), "secure", tmp_path, timeout=600) as parties:
            port = parties.server_port if party == "owner" else parties.dealer_port
            channel = await parties.call(port, party)
            with pytest.raises(PeerError):
                await channel.receive(MessageTag.HELLO, 1)

    run(session())


def test_the_dealers_sessions_are_counted_when_they_are_registered(tmp_path: Path) -> None:
    example = model()
    limits = DealerLimits(sessions=1)

    async def session() -> None:
        async with three(example, "secure", tmp_path, dealer_limits=limits) as parties:
            async with parties.session(2, 1) as (user, _):
                with pytest.raises(PeerError, match="sessions of the dealer are taken"):
                    await parties.ask([1, 2], 1)
                await user.feed([1, 2])
            while parties_busy(parties):
                await asyncio.sleep(0.01)
            await parties.ask([1, 2], 1)

    run(session())


#: Tag of a message within a pass.
OUTCOME = 1


class Fails:
    """A party whose passes have no result, which both see."""

    def __init__(self, index: int, side: Any, channel: Channel, counts: list[int]) -> None:
        self.index, self.side, self.channel, self.counts = index, side, channel, counts

    async def introduce(self) -> None:
        await self.side.introduce()

    async def ready(self, label: Label, material: Any) -> Any:
        self.counts[self.index] += 1

    async def run(self, ready: Any, tokens: Any = ()) -> Outcome:
        await self.channel.exchange(OUTCOME, b"-", 1)
        return Outcome(False, None)


@pytest.mark.parametrize("deviates", ["owner", "user", "nobody"])
@MODES
def test_a_pass_is_repeated_five_times_at_most(
    deviates: str, mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where one party would go on for ever: it has no limit of its own."""
    example = model()
    honest = find_mode(mode).party
    counts = [0, 0]
    monkeypatch.setattr(
        find_mode(mode),
        "party",
        lambda engine, index, *rest: Fails(index, honest(engine, index, *rest), rest[1], counts),
    )
    if deviates != "nobody":
        monkeypatch.setattr(f"veracity.private.parties.{deviates}.REPETITIONS", 10**6)

    async def session() -> None:
        async with three(example, mode, tmp_path, timeout=30) as parties:
            with pytest.raises(PeerError):
                await parties.ask(example.tokens[:3], 3)
            while parties_busy(parties):
                await asyncio.sleep(0.01)

    run(session())
    assert max(counts) <= REPETITIONS + 2
    assert min(counts) >= REPETITIONS


def test_the_dealer_counts_repetitions_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both parties deviate: the dealer deals no more."""
    example = model()
    honest = find_mode("secure").party
    counts = [0, 0]
    monkeypatch.setattr(
        find_mode("secure"),
        "party",
        lambda engine, index, *rest: Fails(index, honest(engine, index, *rest), rest[1], counts),
    )
    for party in ("owner", "user"):
        monkeypatch.setattr(f"veracity.private.parties.{party}.REPETITIONS", 10**6)

    async def session() -> None:
        async with three(example, "secure", tmp_path, timeout=5) as parties:
            with pytest.raises(PeerError):
                await parties.ask(example.tokens[:3], 3)

    run(session())
    assert max(counts) <= REPETITIONS + 2


def test_logs_name_persons(
    people: dict[str, Identity], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    example = model()

    async def session() -> None:
        async with three(example, "shuffled", tmp_path, people=people) as parties:
            await parties.ask(example.tokens[:3], 1, who="alice")
            while parties_busy(parties):
                await asyncio.sleep(0.01)

    run(session())
    serial = certificates.serial_of(people["alice"].folder)[:16]
    lines = [record.getMessage() for record in caplog.records if "prompt of" in record.getMessage()]
    assert len(lines) == 2
    assert all(f", alice {serial}" in line for line in lines)
