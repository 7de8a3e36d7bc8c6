"""Private inference as its users run it: processes, sockets, mutual TLS, stories260K."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.house import PROMPT, House, done, veracity
from veracity.benchmarks.local_cluster import Cluster, LocalCluster, command
from veracity.errors import PeerError, UsageError
from veracity.formats.program import load_program_file
from veracity.lm.generate import generate
from veracity.private import Client, Sampling
from veracity.private.parties.user import UserSession
from veracity.text.delivery import delivered
from veracity.text.table import TokenTable

pytest.importorskip("cryptography")

COUNT = 5
MODES = ("secure", "shuffled")
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    """A calibrated model; nothing is committed or proved here."""
    made = House(tmp_path_factory.mktemp("private-house"))
    done("import", "stories260k", "--out", made.program, "-q")
    done("calibrate", made.program, "-q")
    return made


@pytest.fixture(scope="module", params=MODES)
def parties(
    request: pytest.FixtureRequest, house: House, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Cluster]]:
    """A dealer and an owner in processes of their own, for all tests of one mode."""
    folder = tmp_path_factory.mktemp(f"private-{request.param}")
    with LocalCluster(house.program, request.param, folder, timeout=20) as three:
        yield request.param, three


def client(three: Cluster, **more: Any) -> Client:
    options = {"identity": three.identity, "cache": three.folder / "cache", "timeout": 20.0, **more}
    return Client(str(three.server), str(three.dealing), **options)


async def answer(asker: Client, words: str = PROMPT, count: int = COUNT) -> tuple[str, list[int]]:
    tokens = [token async for token in asker.generate(words, count)]
    for token in tokens:
        assert token.report.online_bytes == token.report.formula_bytes
    return "".join(token.text for token in tokens), [token.id for token in tokens]


def expected(house: House, words: str = PROMPT, count: int = COUNT) -> list[int]:
    loaded = load_program_file(house.program)
    frame = loaded.frame(chat=False) or ([], [])
    assert loaded.program is not None
    prompt = [*frame[0], *loaded.encode(words), *frame[1]]
    return generate(loaded.program, loaded.weights, prompt, count, loaded.stop_ids)


def continued(house: House, words: str, count: int) -> str:
    """What a text goes on with, as it is shown."""
    loaded = load_program_file(house.program)
    table = TokenTable(tuple(loaded.token_bytes), frozenset(loaded.special_ids), loaded.rule)
    return delivered(expected(house, words, count), table, loaded.stop_ids, (), "length")


def arguments(three: Cluster) -> tuple[object, ...]:
    return (
        *("--server", three.server, "--dealer", three.dealing),
        *("--identity", three.identity, "--cache", three.folder / "cache"),
    )


# ---- answers -------------------------------------------------------------------------------------


def test_the_answer_is_the_integer_programs(parties: tuple[str, Cluster], house: House) -> None:
    text, tokens = asyncio.run(answer(client(parties[1])))
    assert tokens == expected(house)
    assert text == load_program_file(house.program).tokenizer.decode(tokens)


def test_two_clients_at_once(parties: tuple[str, Cluster], house: House) -> None:
    words = ("One day", "The big red")
    asyncio.run(answer(client(parties[1]), count=1))  # a person downloads one thing at a time

    async def both() -> list[tuple[str, list[int]]]:
        return await asyncio.gather(*(answer(client(parties[1]), w, 3) for w in words))

    found = asyncio.run(both())
    assert [ids for _, ids in found] == [expected(house, w, 3) for w in words]


def test_ask_streams_with_a_line_for_each_token(parties: tuple[str, Cluster], house: House) -> None:
    _, three = parties
    ended = subprocess.run(
        command("private", "ask", PROMPT, "--max-new-tokens", 3, *arguments(three)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    tokenizer = load_program_file(house.program).tokenizer
    assert ended.stdout == tokenizer.decode(expected(house, count=3)) + "\n"
    said = ended.stderr.strip().splitlines()  # a slow machine tells of downloads, too
    assert [line for line in said if line.startswith("material for a prompt of 5 tokens and 3 ")]
    lines = [line for line in said if line.startswith("[")]
    assert len(lines) == 3
    assert all("online" in line and "round trips" in line for line in lines)
    # The next answer's time is told, from what this one took.
    again = subprocess.run(
        command("private", "ask", PROMPT, "--max-new-tokens", 2, "--json", *arguments(three)),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "of an answer: " in again.stderr
    assert ", some " in again.stderr
    found = json.loads(again.stdout)
    assert found["expected"]["material_bytes"] == found["offline_bytes"]
    assert found["expected"]["seconds"] > 0


def test_what_others_wrote_holds_no_secret(parties: tuple[str, Cluster], house: House) -> None:
    """After the sessions above: no prompt, no token, no seed of masks in logs and messages."""
    mode, three = parties
    asyncio.run(answer(client(three), count=2))
    logs = [(three.folder / f"{who}-{mode}.log").read_text() for who in ("owner", "dealer")]
    seeds = list((three.folder / "cache" / "owner").glob("*.masks"))
    assert len(seeds) == 1
    for text in logs:
        assert "prompt of" in text
        assert PROMPT not in text
        assert seeds[0].read_bytes().hex() not in text
    for path in (three.folder / "cache").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_the_example_script(parties: tuple[str, Cluster]) -> None:
    _, three = parties
    ended = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "private_ask.py"), PROMPT, "--tokens", "2"]
        + [str(argument) for argument in arguments(three)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert "2 tokens:" in ended.stdout


# ---- who may not, and what breaks ----------------------------------------------------------------


def test_a_foreign_certificate_gets_nothing(
    parties: tuple[str, Cluster], tmp_path: Path, house: House
) -> None:
    from veracity.private.certificates import make_certificates

    foreign = make_certificates(tmp_path / "theirs", days=1)
    with pytest.raises(PeerError, match="authority"):
        asyncio.run(answer(client(parties[1], identity=foreign["user"])))
    ours = parties[1].folder / "parties"
    for role in ("owner", "dealer"):  # ours, but not a user
        with pytest.raises(PeerError):
            asyncio.run(answer(client(parties[1], identity=ours / role)))
    assert asyncio.run(answer(client(parties[1]), count=2))[1] == expected(house, count=2)


def test_sampling(parties: tuple[str, Cluster], house: House) -> None:
    mode, three = parties

    async def sampled(how: Sampling, count: int) -> list[int]:
        answer = client(three).generate(PROMPT, count, sampling=how)
        return [token.id async for token in answer]

    if mode == "secure":
        with pytest.raises(UsageError, match="leave out --top-k"):
            asyncio.run(sampled(Sampling(1.0, 2), 1))
        assert asyncio.run(sampled(Sampling(1e-3), 3)) == expected(house, count=3)
        warm = {tuple(asyncio.run(sampled(Sampling(4.0), 2))) for _ in range(3)}
        assert len(warm) > 1  # three draws of two tokens are equal with probability below 1e-4
        return
    # Among one token, or so cold that nothing else is left: the greedy answer.
    assert asyncio.run(sampled(Sampling(50.0, 1), 3)) == expected(house, count=3)
    assert asyncio.run(sampled(Sampling(1e-4), 3)) == expected(house, count=3)
    hot = [asyncio.run(sampled(Sampling(100.0), 1)) for _ in range(4)]
    assert hot != [expected(house, count=1)] * 4  # by chance with probability below 1e-10


def test_a_user_insists(parties: tuple[str, Cluster]) -> None:
    mode, three = parties
    other = MODES[1 - MODES.index(mode)]
    with pytest.raises(UsageError, match="works in mode"):
        asyncio.run(answer(client(three, mode=other)))
    with pytest.raises(PeerError, match="another model"):
        asyncio.run(answer(client(three, model="0" * 64)))


def test_a_user_that_dies_and_one_that_sends_garbage(
    parties: tuple[str, Cluster], house: House
) -> None:
    """Real processes killed in the middle of an answer; the next user gets its own."""
    _, three = parties
    user = three.user("ask", PROMPT, "--lines", "--max-new-tokens", 100, *arguments(three))
    lines = user.lines()
    next(lines)
    user.kill()
    assert user.wait() == -9

    async def garbage() -> None:
        _, writer = await asyncio.open_connection(three.server.host, three.server.port)
        writer.write(os.urandom(10_000))
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    asyncio.run(garbage())
    assert asyncio.run(answer(client(three), count=2))[1] == expected(house, count=2)


@pytest.mark.parametrize("resume", [0, 1, 2])
def test_an_answer_that_breaks_off_is_taken_up(
    resume: int, parties: tuple[str, Cluster], house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection is cut in the second and in the fourth pass of two sessions."""
    feed, fed = UserSession.feed, []

    async def cut(session: UserSession, tokens: list[int]) -> int:
        fed.append(len(tokens))
        if len(fed) in (2, 4):
            session.owner._link.abort()
        return await feed(session, tokens)

    monkeypatch.setattr(UserSession, "feed", cut)
    found: list[int] = []

    async def ask() -> None:
        async for token in client(parties[1]).generate(PROMPT, 4, resume=resume):
            found.append(token.id)

    if resume == 2:
        asyncio.run(ask())
        assert found == expected(house, count=4)
    else:
        with pytest.raises(PeerError):
            asyncio.run(ask())
        assert found == expected(house, count=1 + resume)
    # What a new session begins with: the prompt, and what had come.
    assert fed == [5, 1, 6, 1, 7, 1][: 2 + 2 * resume]


def test_an_owner_that_stalls(parties: tuple[str, Cluster], house: House) -> None:
    """The owner's process is stopped in the middle: the user gives up after its time-out."""
    _, three = parties

    async def ask() -> float:
        answer = client(three, timeout=3.0).generate(PROMPT, 100, resume=0)
        async with contextlib.aclosing(answer):
            await anext(answer)
            os.kill(three.owner.pid, signal.SIGSTOP)
            started = time.monotonic()
            with pytest.raises(PeerError, match="3 seconds"):
                async for _ in answer:
                    pass
            return time.monotonic() - started

    try:
        assert 2.5 < asyncio.run(ask()) < 12
    finally:
        os.kill(three.owner.pid, signal.SIGCONT)
    assert asyncio.run(answer(client(three), count=2))[1] == expected(house, count=2)


def test_a_prompt_that_does_not_fit(parties: tuple[str, Cluster]) -> None:
    with pytest.raises(UsageError, match="shorten the prompt"):
        asyncio.run(answer(client(parties[1]), "word " * 1000))


def long_prompt(house: House, rows: int) -> str:
    """Words of so many tokens, the model's own in front included."""
    loaded = load_program_file(house.program)
    before, after = loaded.frame(chat=False) or ([], [])
    words = PROMPT
    while len(before) + len(loaded.encode(words)) + len(after) < rows:
        words += " and then"
    while len(before) + len(loaded.encode(words)) + len(after) > rows:
        words = words[:-1]
    assert len(before) + len(loaded.encode(words)) + len(after) == rows
    return words


def slow_where_dear(rows: int) -> Any:
    return pytest.param(rows, marks=[pytest.mark.slow] if rows > 193 else [])


@pytest.mark.parametrize("rows", [slow_where_dear(rows) for rows in (193, 257, 321)])
def test_long_prompts_are_answered(parties: tuple[str, Cluster], house: House, rows: int) -> None:
    """Passes become shorter where their material grows; nobody waits for room for ever."""
    words = long_prompt(house, rows)
    _, tokens = asyncio.run(answer(client(parties[1]), words, 2))
    assert tokens == expected(house, words, 2)


@pytest.mark.parametrize("who", ["owner", "dealer"])
def test_the_user_is_told_who_died(who: str, house: House, tmp_path: Path) -> None:
    """The owner or the dealer is killed in the middle: the user ends with a hint, soon."""
    with LocalCluster(house.program, "secure", tmp_path, ahead=1, timeout=5) as three:
        options = ("--lines", "--max-new-tokens", 400, "--wait", 0.2)
        user = three.user("ask", PROMPT, *options, *arguments(three))
        lines = user.lines()
        next(lines)
        party = three.owner if who == "owner" else three.dealer
        party.kill()
        started = time.monotonic()
        *_, last = lines
        assert user.wait(10) == 2
        assert time.monotonic() - started < 10
    said = json.loads(last)["error"]
    assert (said["kind"], said["exit"]) == ("PeerError", 2)
    assert said["message"]
    assert said["hint"]


# ---- commands ------------------------------------------------------------------------------------


def test_demo_answers_in_both_modes(house: House, tmp_path: Path) -> None:
    ended = subprocess.run(
        command(
            *("private", "demo", "--model", house.program, "--max-new-tokens", 3, "--json"),
            *("--prompt", PROMPT, "--keep", tmp_path),
        ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    facts = json.loads(ended.stdout)
    assert facts.keys() == set(MODES)
    for one in facts.values():
        assert [t["token"] for t in one["tokens"]] == expected(house, count=3)
        assert all(1e7 < size < 1e9 for size in one["peak_memory_bytes"].values())
        assert "prompt of 5 tokens" in one["seen"]["owner"]
        assert "prompt of 5 tokens" in one["seen"]["dealer"]
    assert facts["secure"]["turns"] == []
    turns = facts["shuffled"]["turns"]
    text = ""
    for words, said in turns:
        text += words
        assert said == continued(house, text, 8)
        text += said
    assert len(turns) == 3


@pytest.mark.parametrize("mode", MODES)
def test_bench_measures_what_the_formulas_say(mode: str, house: House, tmp_path: Path) -> None:
    """Through the relay: payload equals the formulas, and time is at least the round trips'."""
    ended = veracity(
        *("private", "bench", house.program, "--mode", mode, "--context", 6, "--tokens", 2),
        *("--rtt-ms", 4, "--mbps", 500, "--keep", tmp_path, "--json"),
    )
    assert ended.exit_code == 0, ended.output
    facts = json.loads(ended.stdout)
    assert facts["online_bytes_per_token"] == facts["formula_bytes_per_token"] > 0
    assert facts["prefill_online_bytes"] == facts["prefill_formula_bytes"] > 0
    assert facts["offline_bytes_per_token"] > 0
    assert facts["online_s_per_token"] > 0.9 * facts["round_trips_per_token"] * 4e-3
    assert facts["setup_bytes"] > 8 * 250_000
    assert facts["peak_memory_bytes"].keys() == {"owner", "user", "dealer"}
    if mode == "shuffled":
        assert facts["round_trips_per_token"] <= 6 * 5 + 3  # five layers


NOWHERE = ("--server", "127.0.0.1:1", "--dealer", "127.0.0.1:1", "--insecure", "--wait", 0)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (("ask", "x", *NOWHERE), "nobody listens"),
        (("ask", "x", "--server", "here", "--dealer", "there:1", "--insecure"), "HOST:PORT"),
        (("ask", "x", "--server", "a:1", "--dealer", "b:1"), "certificates"),
        (
            ("ask", "x", "--server", "a:1", "--dealer", "b:1", "--identity", "gone"),
            "party's folder",
        ),
        (("serve", "gone.vprog", "--listen", "a:1", "--dealer", "b:1"), "gone.vprog"),
        (("dealer", "--listen", "127.0.0.1:0"), "certificates"),
        (("dealer", "--listen", "127.0.0.1:99999", "--insecure"), "HOST:PORT"),
        (("demo", "--model", "nonsense", "-q"), "nonsense"),
        (("bench", "nonsense", "-q"), "nonsense"),
    ],
)
def test_wrong_use_gets_one_line_and_a_hint(
    given: tuple[object, ...], says: str, tmp_path: Path
) -> None:
    cached = () if given[0] in ("demo", "bench") else ("--cache", tmp_path)
    result = veracity("private", *given, *cached)
    assert result.exit_code == 2, result.output
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 2, lines
    assert lines[0].startswith("error: ")
    assert says in lines[0]
    assert lines[1].startswith("hint: ")
