"""All three parties on this machine, each a process of its own, under fresh certificates."""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from veracity.benchmarks.local_cluster import Cluster, LocalCluster, facts_of, scratch
from veracity.codec import make_folder
from veracity.errors import PeerError, UsageError
from veracity.mpc.modes import find_mode
from veracity.progress import Progress, silent
from veracity.proving.models import calibrate, import_model
from veracity.work.programs import load_program

__all__ = ["PROMPTS", "ModeSeen", "demo", "model_file", "told_by"]

#: What is asked where nothing else is: of a model without a chat template, and of one with it.
PROMPTS = ("Once upon a time", "What is a prime number?")
#: A conversation, and what is written into a story of a model without a chat template.
TURNS = ("What is a prime number?", "Name one.", "And the next?")
CONTINUED = ("Tom had a red ball.", " One day,", " Then")
#: Tokens of each turn; seconds that one may take.
TURN_TOKENS, WAIT = 8, 600.0


@dataclass(frozen=True)
class ModeSeen:
    """One answer in one mode, with its figures (means over the tokens after the first one).

    Attributes
    ----------
    mode, prompt, answer : str
        What was asked, how, and what came.
    tokens : tuple of dict
        Figures of each pass.
    total_s : float
        From the question to the last token, with everything that it had to wait for.
    peak_memory_bytes : dict of str to int
        By party.
    seen : dict of str to str
        What each party told about the session.
    turns : tuple of (str, str)
        A conversation through `veracity private proxy`, as local programs have it: what was asked
        and answered. In the last mode only; none without the extra ``server``.
    """

    mode: str
    prompt: str
    answer: str
    tokens: tuple[dict[str, Any], ...]
    total_s: float
    peak_memory_bytes: dict[str, int]
    seen: dict[str, str]
    turns: tuple[tuple[str, str], ...] = ()

    def mean(self, *names: str) -> float:
        """Mean of the sum of some figures, over the tokens after the first one."""
        rest = self.tokens[1:] or self.tokens
        return sum(float(t[name]) for t in rest for name in names) / len(rest)


def model_file(model: str | Path, folder: Path, progress: Progress) -> Path:
    """A calibrated program file: the one that is named, or one made from a model's name.

    Parameters
    ----------
    model : str or path
        A ``.vprog`` file, or what :func:`veracity.import_model` takes.
    folder : path
        Where a file that has to be made goes.
    progress : Progress
        Called as the work advances.
    """
    path = Path(model)
    if path.suffix == ".vprog":
        load_program(path)
        return path
    path = folder / "model.vprog"
    import_model(model, path, progress=progress)
    calibrate(path, progress=progress)
    return path


def demo(
    model: str | Path = "stories260k",
    *,
    prompt: str | None = None,
    modes: Sequence[str] = ("secure", "shuffled"),
    max_new_tokens: int = 24,
    folder: str | Path | None = None,
    backend: str = "cpu",
    progress: Progress = silent,
    on_token: Callable[[str, dict[str, Any]], None] | None = None,
) -> list[ModeSeen]:
    """Ask one question in each mode.

    Parameters
    ----------
    model : str or path
        ``stories260k``, ``smollm2``, another source of `veracity import`, or a .vprog file.
    prompt : str, optional
        What to ask.
    modes : sequence of str
        In which modes.
    max_new_tokens : int
        The answer ends there if the model does not end it before.
    folder : path, optional
        Where to leave certificates, caches and logs; removed otherwise.
    backend : str
        What computes at all three; see :func:`veracity.engine.load_engine`.
    progress : Progress
        Called as the work advances.
    on_token : callable, optional
        Gets the mode and each token's figures as they come.

    Raises
    ------
    UsageError, PeerError
    """
    with scratch("private") as temporary:
        home = Path(folder) if folder is not None else Path(temporary)
        try:
            make_folder(home)
        except OSError as error:
            raise UsageError(f"cannot make {home}: {error.strerror}; choose another") from None
        program = model_file(model, home, progress)
        chats = load_program(program).frame(chat=True) is not None
        words = PROMPTS[chats] if prompt is None else prompt
        found = []
        for mode in modes:
            progress(mode, 0.0)
            talks = mode == modes[-1] and importlib.util.find_spec("uvicorn") is not None
            turns = (TURNS if chats else CONTINUED) if talks else ()
            found.append(_one(program, mode, words, max_new_tokens, home, backend, on_token, turns))
            progress(mode, 1.0)
        return found


def _one(
    program: Path,
    mode: str,
    words: str,
    count: int,
    home: Path,
    backend: str,
    on_token: Callable[[str, dict[str, Any]], None] | None,
    turns: Sequence[str],
) -> ModeSeen:
    with LocalCluster(program, mode, home, backend=backend) as three:
        started = time.perf_counter()
        user = three.user(
            "ask", words, "--server", three.server, "--dealer", three.dealing, "--lines",
            "--max-new-tokens", count, "--identity", three.identity,
            "--cache", home / "cache", "--mode", mode, "--backend", backend,
        )  # fmt: skip

        def pass_on(line: dict[str, Any]) -> None:
            if on_token is not None:
                on_token(mode, line)

        lines = facts_of(user, pass_on)
        took, seen = time.perf_counter() - started, _told(three)
        said = _conversation(three, home, turns, backend) if turns else ()
    return ModeSeen(
        mode,
        words,
        "".join(line["text"] for line in lines),
        tuple(lines),
        took,
        {p.name: p.peak_memory_bytes for p in (three.owner, three.dealer, user)},
        seen,
        said,
    )


def _conversation(
    three: Cluster, home: Path, turns: Sequence[str], backend: str
) -> tuple[tuple[str, str], ...]:
    """Several turns through a proxy on this machine, in OpenAI's wire format."""
    proxy = three.user(
        "proxy", "--server", three.server, "--dealer", three.dealing, "--listen", "127.0.0.1:0",
        "--identity", three.identity, "--cache", home / "cache", "--backend", backend,
    )  # fmt: skip

    def call(path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=WAIT)
        with contextlib.closing(connection):
            try:
                kind = {"content-type": "application/json"}
                connection.request("GET" if data is None else "POST", path, data, kind)
                reply = connection.getresponse()
                said = json.loads(reply.read())
            except (OSError, http.client.HTTPException, ValueError) as error:
                raise PeerError(f"the proxy did not answer: {error}") from None
        if reply.status != 200:
            raise PeerError(f"the proxy refused: {said['error']['message']}")
        return said

    try:
        first = next(proxy.lines(), "")
        if not first:
            raise PeerError(f"the proxy did not start: {proxy.last_words()}")
        url = first.split()[-1]
        model = call("/v1/models")["data"][0]["id"]
        ask = {"model": model, "max_tokens": TURN_TOKENS}
        found: list[tuple[str, str]] = []
        messages: list[dict[str, str]] = []
        text = ""
        for words in turns:
            if turns is TURNS:
                messages.append({"role": "user", "content": words})
                reply = call("/v1/chat/completions", {**ask, "messages": messages})
                said = reply["choices"][0]["message"]["content"]
                messages.append({"role": "assistant", "content": said})
            else:
                text += words
                said = call("/v1/completions", {**ask, "prompt": text})["choices"][0]["text"]
                text += said
            found.append((words, said))
        return tuple(found)
    finally:
        proxy.stop()


def _told(three: Cluster) -> dict[str, str]:
    """What the owner and the dealer wrote about the session when it had ended."""
    found = {}
    for party in (three.owner, three.dealer):
        text = party.log.read_text(encoding="utf-8", errors="replace").splitlines()
        lines = [line.partition("): ")[2] for line in text if " session " in line]
        found[party.name] = lines[-1] if lines else ""
    return found


def told_by(one: ModeSeen) -> list[tuple[str, str]]:
    """What each party saw, as rows: both services say it themselves, from their counters."""
    return [
        ("the user saw", f"the tokens, its own shares and {find_mode(one.mode).reveals}"),
        ("the owner says", one.seen["owner"]),
        ("the dealer says", one.seen["dealer"]),
    ]
