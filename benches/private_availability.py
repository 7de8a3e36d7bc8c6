"""What a crowd that wants nothing costs somebody who asks: both times of an answer, side by side.

Run ``make bench-private-availability``, or ``.venv/bin/python benches/private_availability.py
[MODEL]``: a dealer and an owner as processes; one person asks, alone and beside another person's
crowd, by turns. The crowd is a process of its own on the same cores: 40 idle connections, 8 silent
sessions, and 300 requests for the masked weights during each answer. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from veracity.benchmarks.demo import model_file
from veracity.benchmarks.local_cluster import Cluster, LocalCluster, scratch
from veracity.benchmarks.proving import TEXT, checkout, cpu_name
from veracity.errors import PeerError
from veracity.net import Channel, Identity, connect
from veracity.private.certificates import make_certificates
from veracity.private.client import Client
from veracity.private.parties.handshake import exchange_hellos
from veracity.private.parties.wire import MessageTag, receive_object, send_object
from veracity.progress import silent

IDLE, SILENT, DOWNLOADS = 40, 8, 300
#: Connections that ask for downloads.
ASKING = 10


async def crowd(host: str, port: int, identity: Path) -> None:
    """Take what one may get, until standard input ends; says how many downloads were asked for."""
    me, asked = Identity(identity), 0

    async def met() -> Channel:
        channel = await connect(host, port, peer="owner", timeout=600.0, identity=me)
        await exchange_hellos(channel)
        return channel

    async def session() -> Channel | None:
        with contextlib.suppress(PeerError):
            channel = await met()
            await send_object(channel, MessageTag.ASK, what="session", rows=2, passes=2)
            await receive_object(channel, MessageTag.ANSWER, {"session": str})
            return channel
        return None

    async def downloads() -> None:
        nonlocal asked
        with contextlib.suppress(PeerError):
            channel = await met()
            try:
                for _ in range(DOWNLOADS // ASKING):
                    await send_object(channel, MessageTag.ASK, what="weights", rows=2, passes=2)
                    asked += 1
                while True:
                    await channel.receive_up_to(MessageTag.CHUNK, 1 << 23)
            finally:
                channel.abort()

    idle = [await asyncio.open_connection(host, port) for _ in range(IDLE)]
    sessions = [await session() for _ in range(SILENT)]
    asking = [asyncio.create_task(downloads()) for _ in range(ASKING)]
    print(json.dumps({"sessions": sum(one is not None for one in sessions)}), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    for task in asking:
        task.cancel()
    await asyncio.gather(*asking, return_exceptions=True)
    for channel in sessions:
        if channel is not None:
            channel.abort()
    for _, writer in idle:
        writer.close()
    print(json.dumps({"asked": asked}), flush=True)


def beside(three: Cluster, identity: Path, work: Any) -> tuple[float, dict[str, Any]]:
    """Run ``work`` beside a crowd: its result, and what the crowd says of itself."""
    arguments = ["--crowd", str(three.server), "--identity", str(identity)]
    process = subprocess.Popen(
        [sys.executable, __file__, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    if process.stdout is None:
        raise OSError("the crowd has no output")
    said = json.loads(process.stdout.readline())
    took = work()
    rest, _ = process.communicate("")
    return took, {**said, **json.loads(rest)}


def measured(model: str, tokens: int, rounds: int, mode: str) -> dict[str, Any]:
    """Both times, by turns."""
    with scratch("availability") as temporary:
        home = Path(temporary)
        program = model_file(model, home, silent)
        people = make_certificates(home / "parties", days=1, users=("alice", "bob"))
        with LocalCluster(program, mode, home) as three:
            client = Client(
                three.server, three.dealing, identity=people["bob"], cache=home / "cache"
            )

            async def answer() -> None:
                async for _ in client.generate(TEXT[:40], tokens, raw=True):
                    pass

            def ask() -> float:
                started = time.perf_counter()
                asyncio.run(answer())
                return time.perf_counter() - started

            ask()  # fetches the weights, and plans passes
            alone, crowded, crowds = [], [], []
            for _ in range(rounds):
                alone.append(ask())
                took, said = beside(three, people["alice"], ask)
                crowded.append(took)
                crowds.append(said)
    usual, with_crowd = statistics.median(alone), statistics.median(crowded)
    return {
        "model": model,
        "mode": mode,
        "tokens": tokens,
        "alone_s": round(usual, 3),
        "crowded_s": round(with_crowd, 3),
        "ratio": round(with_crowd / usual, 3),
        "alone": [round(s, 3) for s in alone],
        "crowded": [round(s, 3) for s in crowded],
        "crowd": {"idle": IDLE, "silent": SILENT, "each": crowds},
        "cpu": cpu_name(),
        "commit": checkout(),
    }


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", default="stories260k")
    parser.add_argument("--mode", default="secure")
    parser.add_argument("--tokens", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--crowd", help=argparse.SUPPRESS)
    parser.add_argument("--identity", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.crowd is not None:
        host, _, port = given.crowd.rpartition(":")
        asyncio.run(crowd(host, int(port), given.identity))
        return
    print(json.dumps(measured(given.model, given.tokens, given.rounds, given.mode), indent=2))


if __name__ == "__main__":
    main()
