"""A server under load, on this machine: nothing lost, nothing mixed up, what receipts cost.

Clients ask beside each other, streamed and not; some leave in the middle, some send garbage, some
say nothing. The same load runs with receipts and without, in turn, so that the ratio depends
little on what else the machine does. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import random
import resource
import shutil
import socket
import statistics
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.desks import desk_in
from tests.support.serving import Running, running
from veracity.server.model import ServedModel
from veracity.server.serve import Settings
from veracity.text.chat import Message
from veracity.text.delivery import delivered

NAMES = ("Tim", "Lily", "Ben", "Sam", "Anna", "Max", "Sue", "Tom")
#: Of each answer.
TOKENS = 24


@dataclass
class Tally:
    """What happened."""

    counts: Counter[str] = field(default_factory=Counter)
    tokens: int = 0
    first: list[float] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, what: str, tokens: int = 0, first: float | None = None) -> None:
        with self.lock:
            self.counts[what] += 1
            self.tokens += tokens
            self.first += [] if first is None else [first]


def expected(model: ServedModel, prompt: str, tokens: int) -> str:
    """The answer, alone."""
    ids = model.encode([Message("user", prompt)], chat=False).ids
    answer = list(model.answer(ids, tokens))
    return delivered(answer, model.secret.commitment.table, model.stop_ids, (), "length")


def streamed(server: Running, body: dict[str, Any], leave: bool) -> tuple[str, int, float]:
    """Text, chunks and seconds to the first one; ``leave`` goes after that."""
    started, first, text, chunks = time.perf_counter(), 0.0, "", 0
    connection = http.client.HTTPConnection(server.place, timeout=120)
    try:
        said = {"content-type": "application/json"}
        connection.request("POST", "/v1/completions", json.dumps({**body, "stream": True}), said)
        for line in connection.getresponse():
            if not line.startswith(b"data: {"):
                continue
            event = json.loads(line[6:])
            piece = event["choices"][0]["text"] if event.get("choices") else ""
            if piece:
                first, chunks = first or time.perf_counter() - started, chunks + 1
                text += piece
                if leave:
                    break
    finally:
        connection.close()
    return text, chunks, first


def client(server: Running, seed: int, answers: dict[str, str], tally: Tally, until: float) -> None:
    """Ask until the time is over."""
    chance = random.Random(seed)
    while time.monotonic() < until:
        prompt = chance.choice(list(answers))
        body = {"model": "load", "prompt": prompt, "max_tokens": TOKENS}
        kind = chance.choices(("whole", "stream", "leave", "garbage"), (4, 4, 1, 1))[0]
        try:
            if kind == "garbage":
                status = server.ask("/v1/completions", b"\xff" * chance.randrange(2000)).status
                tally.note("garbage refused" if status == 400 else "garbage TAKEN")
            elif kind == "whole":
                reply = server.ask("/v1/completions", body)
                right = reply.status == 200 and reply.json["choices"][0]["text"] == answers[prompt]
                busy = reply.status == 429
                count = reply.json["usage"]["completion_tokens"] if reply.status == 200 else 0
                tally.note("right" if right else "busy" if busy else "WRONG", count)
            else:
                text, chunks, first = streamed(server, body, kind == "leave")
                right = text == answers[prompt] or kind == "leave"
                tally.note(kind if right else "WRONG", chunks, first)
        except (OSError, http.client.HTTPException) as error:
            tally.note(f"FAULT {type(error).__name__}")


def load(model: ServedModel, desk: Any, clients: int, seconds: float) -> dict[str, Any]:
    """One run; what came of it."""
    answers = {f"{name} was a": "" for name in NAMES}
    for prompt in answers:
        answers[prompt] = expected(model, prompt, TOKENS)
    tally = Tally()
    with (
        running(model, Settings(waiting=256), desk=desk) as server,
        contextlib.ExitStack() as stack,
    ):
        for _ in range(3):  # these say nothing
            host, _, port = server.place.partition(":")
            silent = stack.enter_context(socket.create_connection((host, int(port))))
            silent.sendall(b"POST /v1/completions HTTP/1.1\r\nhost: 127.0.0.1\r\n")
        until = time.monotonic() + seconds
        threads = [
            threading.Thread(target=client, args=(server, n, answers, tally, until))
            for n in range(clients)
        ]
        started, used = time.perf_counter(), time.process_time()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wall, used = time.perf_counter() - started, time.process_time() - used
    return {
        "counts": dict(tally.counts),
        "tokens": tally.tokens,
        "tokens_per_s": round(tally.tokens / wall, 1),
        "tokens_per_cpu_s": round(tally.tokens / used, 1),
        "first_token_s": round(statistics.median(tally.first), 4) if tally.first else None,
    }


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program", type=Path)
    parser.add_argument("--clients", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    model = ServedModel.load(chosen.program, chosen.program.with_suffix(".vsec"), name="load")
    runs: dict[str, list[dict[str, Any]]] = {"with": [], "without": []}
    folder = Path(tempfile.mkdtemp())
    try:
        for number in range(chosen.rounds):
            for kind in ("with", "without") if number % 2 else ("without", "with"):
                commitment = model.secret.commitment
                desk = desk_in(folder / str(number), commitment) if kind == "with" else None
                runs[kind].append(load(model, desk, chosen.clients, chosen.seconds))
    finally:
        shutil.rmtree(folder)

    def ratio(name: str) -> float:
        one, other = (statistics.median(r[name] for r in runs[k]) for k in ("with", "without"))
        return round(one / other, 3)

    total = Counter[str]()
    for run in (*runs["with"], *runs["without"]):
        total.update(run["counts"])
    bad = {name: count for name, count in total.items() if name[:5] in ("WRONG", "FAULT")}
    print(
        json.dumps(
            {
                "clients": chosen.clients,
                "counts": dict(total),
                "errors": bad,
                "tokens_per_s_ratio": ratio("tokens_per_s"),
                "tokens_per_cpu_s_ratio": ratio("tokens_per_cpu_s"),
                "first_token_ratio": ratio("first_token_s"),
                "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
                **runs,
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
