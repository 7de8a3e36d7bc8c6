"""Dealer, owner and user as services: answers, figures, limits, and what goes wrong."""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.private_parties import PLAIN, Three, run, three
from tests.support.programs import Example, small_model
from veracity.errors import PeerError, UsageError, VeracityError
from veracity.lm.generate import generate
from veracity.mpc import modes
from veracity.mpc.material import Label
from veracity.mpc.token_selection import seal
from veracity.mpc.weights import masked_bytes, masked_parts, masked_weights, seed_digest
from veracity.net import Channel, connect, pair
from veracity.private.parties import preprocessing_client
from veracity.private.parties.dealer import DealerLimits
from veracity.private.parties.handshake import fetch_card, fetch_weights, meet
from veracity.private.parties.owner import ServiceLimits
from veracity.private.parties.preprocessing_client import HEADER, REQUEST, Kind, Supply, passes_of
from veracity.private.parties.spool import SharedLedger, Store
from veracity.private.parties.weights import Kept
from veracity.private.parties.wire import CHUNK, PROTOCOL, Step, chunks_of, hear, tell
from veracity.private.sampling import Sampling

SHAPE = (8, 2, 2, 4, 12, 40)
MODES = pytest.mark.parametrize("mode", ["secure", "shuffled"])
ALL = pytest.mark.parametrize(
    "mode",
    [
        "secure",
        "shuffled",
        pytest.param(
            "shuffled-bfv",
            marks=pytest.mark.skipif(not seal.available(), reason="needs TenSEAL: 'veracity[he]'"),
        ),
    ],
)


def model(style: str = "llama") -> Example:
    return small_model(style, shape=SHAPE)


def greedy(example: Example, prompt: list[int], count: int) -> list[int]:
    return generate(example.program, example.weights, prompt, count)


# ---- what comes out ------------------------------------------------------------------------------


@ALL
@pytest.mark.parametrize("style", ["llama", "gpt2"])
def test_an_answer_and_its_figures(mode: str, style: str, tmp_path: Path) -> None:
    example = model(style)
    prompt = example.tokens[:4]

    async def session() -> None:
        async with three(example, mode, tmp_path) as parties:
            first = await parties.ask(prompt, 3)
            again = await parties.ask(prompt, 3)
        assert first.setup_bytes == masked_bytes(example.program)
        assert again.setup_bytes == 0  # kept on disk
        for answer in (first, again):
            assert len(answer.tokens) == 3
            assert [(r.start, r.rows) for r in answer.reports] == passes_of(4, 3)
            for report in answer.reports:
                assert report.online_bytes == report.formula_bytes
                price = modes.price(mode, example.program, report.rows, report.start)
                assert report.sent_bytes == price.bytes_to_owner * report.attempts
                offline = price.offline_bytes_owner + price.offline_bytes_user
                assert report.offline_bytes == offline * report.attempts
                assert 0 < report.round_trips <= price.round_trips * report.attempts
                assert report.online_s > 0 < report.offline_s
        if mode == "shuffled":
            assert first.tokens == again.tokens == greedy(example, prompt, 3)

    run(session())


@MODES
def test_a_long_prompt_is_fed_in_several_passes(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preprocessing_client, "LONGEST", 3)
    example = small_model(shape=SHAPE, prompt=7)
    prompt = example.tokens[:7]
    assert passes_of(7, 3) == [(0, 3), (3, 3), (6, 1), (7, 1), (8, 1)]
    assert passes_of(6, 1) == [(0, 3), (3, 3)]

    async def session() -> None:
        async with three(example, mode, tmp_path) as parties:
            answer = await parties.ask(prompt, 3)
        if mode == "shuffled":
            assert answer.tokens == greedy(example, prompt, 3)
        assert [(r.start, r.rows, r.attempts) for r in answer.reports] == [
            (0, 7, 3), (7, 1, 1), (8, 1, 1),
        ]  # fmt: skip
        prices = [modes.price(mode, example.program, n, at) for at, n in passes_of(7, 1)]
        assert answer.reports[0].online_bytes == sum(p.online_bytes for p in prices)
        assert answer.reports[0].formula_bytes == answer.reports[0].online_bytes

    run(session())


@MODES
def test_clients_at_once(mode: str, tmp_path: Path) -> None:
    example = model()
    prompts = [example.tokens[:2], example.tokens[:3], example.tokens[1:5]]

    async def session() -> None:
        async with three(example, mode, tmp_path) as parties:
            found = await asyncio.gather(*(parties.ask(prompt, 2) for prompt in prompts))
        for answer, prompt in zip(found, prompts, strict=True):
            assert [r.rows for r in answer.reports] == [len(prompt), 1]

    run(session())


@MODES
def test_a_session_before_its_prompt(mode: str, tmp_path: Path) -> None:
    """All material is there and used up before the prompt exists; then nothing waits."""
    example = model()

    async def session() -> None:
        async with three(example, mode, tmp_path) as parties, parties.session(3, 2) as (user, _):
            await user.dealt(2)
            await user.ready()
            await user.ready()  # once is enough
            first = await user.feed(example.tokens[:3])
            with pytest.raises(UsageError, match="do not fit"):
                await user.feed([first, first])
            await user.feed([first])
            with pytest.raises(UsageError, match="all passes"):
                await user.feed([first])

    run(session())


@MODES
def test_a_pass_without_result_is_repeated(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both parties see that the second pass has no result: they go on with other material."""
    example = model()
    honest = modes.party
    used: list[tuple[int, int, int]] = []

    class Fails:
        def __init__(self, index: int, side: Any) -> None:
            self.index, self.side, self.left = index, side, 2

        async def introduce(self) -> None:
            await self.side.introduce()

        async def ready(self, label: Label, material: Any) -> Any:
            used.append((self.index, label.number, label.start))
            if label.start and self.left:
                return None
            return await self.side.ready(label, material)

        async def run(self, ready: Any, tokens: Any = ()) -> modes.Outcome:
            if ready is None:
                self.left -= 1
                return modes.Outcome(False, None)
            return await self.side.run(ready, tokens)

    def party(mode: str, index: int, *rest: Any) -> Any:
        return Fails(index, honest(mode, index, *rest))

    monkeypatch.setattr(modes, "party", party)

    async def session() -> None:
        async with three(example, mode, tmp_path) as parties:
            answer = await parties.ask(example.tokens[:3], 3)
        assert [r.attempts for r in answer.reports] == [1, 3, 1]
        if mode == "shuffled":
            assert answer.tokens == greedy(example, example.tokens[:3], 3)

    run(session())
    for index in (0, 1):
        numbers = [(n, start) for i, n, start in used if i == index]
        assert [start for _, start in numbers] == [0, 3, 3, 3, 4]
        assert sorted({n for n, _ in numbers}) == [n for n, _ in numbers]  # never the same twice


# ---- material ------------------------------------------------------------------------------------


def test_the_store_keeps_its_cap(tmp_path: Path) -> None:
    async def session() -> None:
        store = Store(tmp_path / "material", 100)
        assert stat.S_IMODE((tmp_path / "material").stat().st_mode) == 0o700
        with pytest.raises(UsageError, match="over the cap"):
            await store.take(101)
        first = await store.take(60)
        assert list(store.folder.iterdir()) == []  # nobody can open what has no name
        assert stat.S_IMODE(os.fstat(first._file.fileno()).st_mode) == 0o600
        waiting = asyncio.create_task(store.take(60))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        first.write(b"x" * 60)
        with pytest.raises(UsageError, match="more material"):
            first.write(b"x")
        assert b"".join(first.read()) == b"x" * 60
        second = await waiting
        second.close()
        second.close()
        await asyncio.sleep(0)
        assert (store.used, store.peak) == (0, 60)

    run(session())


def test_masked_weights_by_parts_are_the_masked_weights(tmp_path: Path) -> None:
    example = model("gpt2")
    seed = bytes(range(32))
    whole = masked_weights(example.program, example.weights, seed)
    parts = b"".join(
        part.tobytes() for part in masked_parts(example.program, example.weights, seed)
    )
    assert len(parts) == masked_bytes(example.program)
    kept = Kept(tmp_path, example.program, seed_digest(seed))
    assert not kept.there
    with pytest.raises(PeerError), kept.filled() as out:
        out.write(parts[:100])
        raise PeerError("gone")
    assert list(tmp_path.iterdir()) == []
    with kept.filled() as out:
        out.write(parts)
    assert kept.there
    assert stat.S_IMODE(kept.path.stat().st_mode) == 0o600
    loaded = kept.load()
    assert loaded.keys() == whole.keys()
    assert all(np.array_equal(loaded[name], whole[name]) for name in whole)
    other = Kept(tmp_path, example.program, seed_digest(bytes(32)))
    assert not other.there


def test_the_ledger_is_kept_privately(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    label = Label(bytes(32), bytes(16), 1, 0, 3, 1)
    SharedLedger(path).use(label, bytes(32))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(UsageError, match="used before"):
        SharedLedger(path).use(label, bytes(range(32)))


async def false_dealer(channel: Channel, headers: list[tuple[Kind, Label, bytes, bytes]]) -> None:
    """Answers requests with what it is told to."""
    for kind, label, seed, data in headers:
        await channel.receive(Step.REQUEST, REQUEST.size)
        await channel.send(
            Step.HEADER, HEADER.pack(kind, label.encode(), seed, len(data), len(data), 0)
        )
        await channel.receive(Step.ACCEPT, 1)
        for start in range(0, len(data), CHUNK):
            await channel.send(Step.CHUNK, data[start : start + CHUNK])
    await channel.receive(Step.REQUEST, REQUEST.size)


@MODES
def test_material_that_was_used_is_refused(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dealer hands out one seed twice, under another label: the user stops before it sends."""
    example = model()
    honest = modes.dealer

    class Repeats:
        def __init__(self, side: Any) -> None:
            self.side = side
            self.seeds: list[bytes] = []

        def deal(self, start: int, rows: int, owner: Any, user: Any) -> Any:
            dealt = self.side.deal(start, rows, owner, user)
            self.seeds = self.seeds or [d.seed for d in dealt]
            return tuple(replace(d, seed=s) for d, s in zip(dealt, self.seeds, strict=True))

    monkeypatch.setattr(modes, "dealer", lambda *given: Repeats(honest(*given)))

    async def session() -> None:
        async with three(example, mode, tmp_path, timeout=5) as parties, parties.session(2, 2) as s:
            token = await s[0].feed([1, 2])
            await s[0]._supply.full(1)
            with pytest.raises(UsageError, match="used before"):
                await s[0].feed([token])

    run(session())


WRONG = {
    "another pass": (Kind.MATERIAL, Label(bytes(32), bytes(16), 1, 5, 1, 1)),
    "another length": (Kind.MATERIAL, Label(bytes(32), bytes(16), 1, 0, 7, 1)),
    "no kind": (9, Label(bytes(32), bytes(16), 1, 0, 2, 1)),
}


@pytest.mark.parametrize("what", WRONG)
def test_material_for_another_pass_is_refused(what: str, tmp_path: Path) -> None:
    async def session() -> None:
        near, far = pair(timeout=5)
        kind, label = WRONG[what]
        dealer = asyncio.create_task(false_dealer(far, [(kind, label, bytes(32), b"x")]))  # type: ignore[list-item]
        supply = Supply(near, Store(tmp_path, 1000), [(0, 2)], 1)
        supply.start()
        with pytest.raises(PeerError, match="another pass"):
            await supply.next()
        await supply.close()
        with pytest.raises(PeerError):
            await dealer

    run(session())


# ---- what goes wrong -----------------------------------------------------------------------------


async def hello(parties: Three, party: str, session: str, **more: Any) -> Channel:
    channel = await parties.call(parties.dealer_port, "dealer")
    await tell(
        channel, Step.HELLO, **{"protocol": PROTOCOL, "party": party, "session": session, **more}
    )
    return channel


def order(example: Example, **more: Any) -> dict[str, Any]:
    fields = {
        "mode": "shuffled",
        "program": example.program.digest,
        "masks": seed_digest(bytes(32)).hex(),
        "rows": 2,
        "passes": 2,
    }
    return {**fields, **more}


async def register(parties: Three, session: str, seed: bytes = bytes(32), **more: Any) -> Channel:
    channel = await hello(parties, "owner", session)
    await tell(channel, Step.ASK, **order(parties.example, **more))
    program = parties.example.program.to_json().encode()
    if not (await hear(channel, Step.ANSWER, {"known": bool}))["known"]:
        await tell(channel, Step.ASK, program_bytes=len(program), seed=seed.hex())
        await channel.send(Step.CHUNK, program)
    await hear(channel, Step.ANSWER, {"ok": bool})
    return channel


def test_what_a_dealer_refuses(tmp_path: Path) -> None:
    example = model()
    name = "ab" * 16

    async def session() -> None:
        limits = DealerLimits(passes=5, idle=5)
        async with three(example, "shuffled", tmp_path, dealer_limits=limits) as parties:
            stranger = await hello(parties, "user", name)
            with pytest.raises(PeerError, match="no such session"):
                await hear(stranger, Step.ANSWER, {"ok": bool})
            newer = await hello(parties, "user", name, protocol=PROTOCOL + 1)
            with pytest.raises(PeerError, match="another version"):
                await hear(newer, Step.ANSWER, {"ok": bool})
            with pytest.raises(PeerError):
                await register(parties, "cd" * 16, seed=b"z" * 32)  # not the seed it named
            for more in ({"rows": 0}, {"passes": 6}, {"rows": 10**6}):
                with pytest.raises(PeerError, match="longer than"):
                    await register(parties, os.urandom(16).hex(), **more)
            owner = await register(parties, name)
            with pytest.raises(PeerError, match="used before"):
                again = await hello(parties, "owner", name)
                await tell(again, Step.ASK, **order(example))
                await hear(again, Step.ANSWER, {"known": bool})
            user = await hello(parties, "user", name)
            await hear(user, Step.ANSWER, {"ok": bool})
            await user.send(Step.REQUEST, REQUEST.pack(0, 1))  # not in order
            with pytest.raises(PeerError, match="in order"):
                await user.receive(Step.HEADER, HEADER.size)
            await owner.send(Step.REQUEST, REQUEST.pack(0, 0))
            with pytest.raises(PeerError):  # the user has left
                while True:
                    await owner.receive(Step.HEADER, HEADER.size)

    run(session())


def test_a_pass_over_the_dealers_cap_is_refused(tmp_path: Path) -> None:
    async def session() -> None:
        limits = DealerLimits(disk=1000, idle=5)
        async with three(model(), "secure", tmp_path, dealer_limits=limits) as parties:
            with pytest.raises(PeerError, match="--cap"):
                await parties.ask([1, 2], 1)

    run(session())


def test_a_dealer_forgets_models_that_nobody_uses(tmp_path: Path) -> None:
    """Room for the masks of one model: another one takes its place, but not during a session."""
    example = model()
    size = masked_bytes(example.program)

    async def session() -> None:
        small = DealerLimits(memory=size - 1)
        async with three(example, "secure", tmp_path, dealer_limits=small, timeout=5) as parties:
            with pytest.raises(PeerError, match="--memory"):
                await parties.ask([1, 2], 1)
        one = DealerLimits(memory=size)
        async with three(example, "secure", tmp_path, dealer_limits=one, timeout=5) as parties:
            first = parties.owner.seed
            async with parties.session(2, 2) as (user, _):
                await user.feed([1, 2])
                parties.owner.seed = bytes(32)
                with pytest.raises(PeerError, match="--memory"):
                    await parties.ask([1, 2], 1)
                await user.feed([3])
            while parties_busy(parties):
                await asyncio.sleep(0.01)
            await parties.ask([1, 2], 1)
            assert [key[32:] for key in parties.dealer._models] == [seed_digest(bytes(32))]
            assert first != bytes(32)

    run(session())


GARBAGE = [b"", b"{}", b"[]", b"null", b'{"protocol": 1}', b'{"protocol":true}', b"\xff" * 64]


@pytest.mark.parametrize("data", [*GARBAGE, b'{"protocol":-1}', b'{"a":1,"protocol":1}'])
def test_messages_that_do_not_parse(data: bytes) -> None:
    async def session() -> None:
        near, far = pair(timeout=5)
        await far.send(Step.HELLO, data)
        with pytest.raises(PeerError, match="parse"):
            await hear(near, Step.HELLO, {"protocol": int})

    run(session())


HELLO = {
    "protocol": PROTOCOL, "mode": "secure", "name": "x", "card": "00" * 32, "card_bytes": 9,
    "masks": "00" * 32,
}  # fmt: skip


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("protocol", 2), ("mode", "open"), ("name", 7), ("card", "00"), ("card", "0G" * 32),
        ("card_bytes", 0), ("card_bytes", 1 << 40), ("masks", ""), ("more", 1),
    ],
)  # fmt: skip
def test_an_owner_that_says_what_cannot_be(field: str, value: object) -> None:
    async def session() -> None:
        near, far = pair(timeout=5)
        await tell(far, Step.HELLO, **{**HELLO, field: value})
        with pytest.raises(PeerError):
            await meet(near)

    run(session())


def test_an_owner_that_sends_other_files_than_it_named(tmp_path: Path) -> None:
    program = model().program

    async def session() -> None:
        near, far = pair(timeout=5)
        await tell(far, Step.HELLO, **HELLO)
        offer = await meet(near)
        await far.send(Step.CHUNK, b"x" * 9)
        with pytest.raises(PeerError, match="another card"):
            await fetch_card(near, offer)
        kept = Kept(tmp_path / "kept", program, offer.masks)
        await far.send(Step.CHUNK, b"x" * 9)
        with pytest.raises(PeerError, match="9 bytes"):
            await fetch_weights(near, program, kept, lambda *_: None)
        assert not kept.there
        assert list((tmp_path / "kept").iterdir()) == []

    run(session())


def test_chunks() -> None:
    assert list(chunks_of(0)) == []
    assert list(chunks_of(CHUNK + 3)) == [CHUNK, 3]


async def dies_in_a_pass(parties: Three) -> None:
    async with parties.session(2, 3) as (session, _):
        await session.feed([1, 2])
        feeding = asyncio.create_task(session.feed([3]))
        await asyncio.sleep(0.005)
        session.owner.abort()
        with pytest.raises(VeracityError):
            await feeding


async def stalls_in_a_pass(parties: Three) -> None:
    async with parties.session(2, 3) as (session, _):
        await session.ready()  # and then says nothing
        while parties_busy(parties):
            await asyncio.sleep(0.01)


def parties_busy(parties: Three) -> int:
    return len(parties.dealer._sessions)


async def speaks_garbage(parties: Three) -> None:
    channel = await parties.call(parties.server_port, "owner")
    await channel.send(Step.HELLO, os.urandom(100))
    with pytest.raises(PeerError):
        await channel.receive(Step.HELLO, 10)


async def garbage_in_a_pass(parties: Three) -> None:
    async with parties.session(2, 3) as (session, _):
        await session.ready()
        await session.owner.send(77, os.urandom(500))
        with pytest.raises(PeerError):
            await session.feed([1, 2])


async def leaves_at_once(parties: Three) -> None:
    channel = await parties.call(parties.server_port, "owner")
    channel.abort()


async def asks_for_too_much(parties: Three) -> None:
    with pytest.raises(PeerError, match="context"):
        await parties.ask([1] * 40, 10**6)


async def wants_what_is_not(parties: Three) -> None:
    channel = await parties.call(parties.server_port, "owner")
    await tell(channel, Step.HELLO, protocol=PROTOCOL)
    await channel.receive_up_to(Step.HELLO, 4096)
    await tell(channel, Step.ASK, what="the weights in clear", rows=0, passes=0)
    with pytest.raises(PeerError):
        await channel.receive(Step.ANSWER, 1)


BAD = {f.__name__: f for f in (
    dies_in_a_pass, stalls_in_a_pass, speaks_garbage, garbage_in_a_pass, leaves_at_once,
    asks_for_too_much, wants_what_is_not,
)}  # fmt: skip


@MODES
@pytest.mark.parametrize("how", BAD)
def test_a_bad_client_does_not_take_the_services_down(mode: str, how: str, tmp_path: Path) -> None:
    """A client beside it and one after it get their answers; nothing of its session is left."""
    example = model()

    async def session() -> None:
        limits = ServiceLimits(idle=0.5)
        async with three(example, mode, tmp_path, limits=limits, timeout=5) as parties:
            beside = asyncio.create_task(parties.ask(example.tokens[:3], 3))
            await BAD[how](parties)
            assert len((await beside).tokens) == 3
            assert len((await parties.ask(example.tokens[:3], 2)).tokens) == 2
            while parties_busy(parties):
                await asyncio.sleep(0.01)

    run(session())


@MODES
def test_the_dealer_dies(mode: str, tmp_path: Path) -> None:
    """What has been dealt is still good; then the user is told who is missing."""
    example = model()

    async def session() -> None:
        limits = ServiceLimits(idle=5, ahead=1)
        async with (
            three(example, mode, tmp_path, limits=limits, timeout=5) as parties,
            parties.session(2, 8) as (user, _),
        ):
            token = await user.feed([1, 2])
            await asyncio.gather(*(s.leave() for s in list(parties.dealer._sessions.values())))
            with pytest.raises(PeerError, match=r"left|material|ended|closed"):
                for _ in range(7):
                    token = await user.feed([token])

    run(session())


def test_without_a_dealer_there_is_no_session(tmp_path: Path) -> None:
    async def session() -> None:
        async with three(model(), "secure", tmp_path, timeout=5) as parties:

            async def nobody() -> Channel:
                return await connect("127.0.0.1", 1, peer="dealer", timeout=1, **PLAIN)

            parties.owner.dealer = nobody
            with pytest.raises(PeerError, match="has no dealer"):
                await parties.ask([1, 2], 1)

    run(session())


def test_errors_of_a_service_name_nothing_secret(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    example = model()
    caplog.set_level("DEBUG")

    async def session() -> bytes:
        async with three(example, "secure", tmp_path, timeout=5) as parties:
            await parties.ask(example.tokens[:3], 2)
            await garbage_in_a_pass(parties)
            return parties.owner.seed

    seed = run(session())
    assert "prompt of 3 tokens" in caplog.text
    assert seed.hex() not in caplog.text
    assert hashlib.sha256(seed).hexdigest() not in caplog.text
    assert str(example.tokens[:3]) not in caplog.text


def test_sampling_draws_by_the_softmax() -> None:
    program = model().program
    unit = 2.0 ** -program.exponents.get(program.ops[-1].name, 0)
    logits = np.round(np.log([4.0, 2.0, 1.0, 1.0]) / unit).astype(np.int64)
    pick = Sampling(1.0).pick(program)
    counts = np.bincount([int(pick(logits)[0]) for _ in range(4000)], minlength=4)
    weights = np.exp(logits * unit)
    wanted = 4000 * weights / weights.sum()
    assert ((counts - wanted) ** 2 / wanted).sum() < 30  # 3 degrees of freedom: 1e-6
    among = Sampling(1.0, 2).pick(program)
    assert {int(among(logits)[0]) for _ in range(200)} == {0, 1}
    for temperature, top_k in ((0.0, 1), (-1.0, 1), (float("nan"), 0), (1.0, -1)):
        with pytest.raises(UsageError, match="temperature"):
            Sampling(temperature, top_k)
