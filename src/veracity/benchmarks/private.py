"""What a token takes, measured between separate processes over an emulated network.

The user calls the owner through a :class:`~veracity.net.relay.Relay`; the dealer, who is
offline, directly. Material of all passes is dealt and fetched before the first pass, so that the
online figures hold the online phase alone. The prompt fills the context up to the length asked
for; the figures are means over the tokens after the first one. With a cap, material is dealt and
used as in a question: what that takes in all is a figure then, and online times contain waiting for
material.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from veracity.benchmarks.demo import model_file
from veracity.benchmarks.local_cluster import Cluster, LocalCluster, Party, facts_of, scratch
from veracity.benchmarks.proving import TEXT, checkout, cpu_name
from veracity.codec import make_folder
from veracity.errors import PeerError, UsageError
from veracity.mpc.modes import find_mode
from veracity.net.relay import Relay
from veracity.private.client import Client
from veracity.private.connect import Address
from veracity.private.parties.owner import ServiceLimits
from veracity.progress import Progress, silent

__all__ = ["bench"]

#: A user's passes are all dealt before the first one: as much material may wait.
CAP = 64 << 30
TIMEOUT = 600.0


def bench(
    model: str | Path,
    *,
    mode: str = "secure",
    context: int = 64,
    tokens: int = 3,
    rtt_ms: float = 10.0,
    mbps: float = 1000.0,
    cap_mb: int | None = None,
    memory_mb: int = 8192,
    folder: str | Path | None = None,
    backend: str = "cpu",
    progress: Progress = silent,
) -> dict[str, Any]:
    """Measure one mode on one model.

    Parameters
    ----------
    model : str or path
        What :func:`veracity.import_model` takes, or a calibrated .vprog file.
    mode : str
        ``secure`` or ``shuffled``.
    context : int
        Tokens before the first token that is measured.
    tokens : int
        How many are measured.
    rtt_ms, mbps : float
        Of the network between owner and user.
    cap_mb : int, optional
        Most MB of material that wait at each party, as in a question. Without, all of it is dealt
        before the first pass.
    memory_mb : int
        MB of weights' masks that the dealer keeps in memory.
    folder : path, optional
        Where to keep the model and masked weights between calls.
    backend : str
        What computes at all three; see :func:`veracity.engine.load_engine`.
    progress : Progress
        Called as the work advances.

    Returns
    -------
    dict
        Times are seconds, traffic is payload in bytes, both ways together; ``offline`` is from
        the dealer to both parties, and ahead from user to owner. Memory is the peak of each
        process.

    Raises
    ------
    UsageError, PeerError
    """
    find_mode(mode)
    if context < 2 or tokens < 1:
        raise UsageError("a context of 2 tokens and one token to measure are needed at least")
    with scratch("private-bench") as temporary:
        home = Path(folder) if folder is not None else Path(temporary)
        make_folder(home)
        program = model_file(model, home, progress)
        progress("parties", 0.0)
        with LocalCluster(
            program,
            mode,
            home,
            ahead=context + tokens if cap_mb is None else ServiceLimits.ahead,
            cap_mb=CAP // 10**6 if cap_mb is None else cap_mb,
            memory_mb=memory_mb,
            timeout=TIMEOUT,
            backend=backend,
        ) as three:
            lines, user = asyncio.run(
                _through_relay(
                    three, home, context, tokens, rtt_ms, mbps, cap_mb, backend, progress
                )
            )
    first, rest = lines[1], lines[2:]

    def mean(*names: str) -> float:
        return sum(float(line[name]) for line in rest for name in names) / len(rest)

    return {
        "workload": Path(model).name.removesuffix(".vprog"),
        "model": lines[0]["model"],
        "mode": mode,
        "context": context,
        "tokens": tokens,
        "rtt_ms": rtt_ms,
        "mbps": mbps,
        "online_s_per_token": round(mean("online_s"), 4),
        "offline_s_per_token": round(mean("deal_s", "fetch_s", "ready_s"), 4),
        "online_bytes_per_token": mean("sent_bytes", "received_bytes"),
        "offline_bytes_per_token": mean("offline_bytes"),
        "round_trips_per_token": mean("round_trips"),
        "formula_bytes_per_token": mean("formula_bytes"),
        "attempts_per_token": mean("attempts"),
        "processor_s_per_token": {
            name: round((rest[-1][key] - first[key]) / len(rest), 4)
            for name in ("owner", "user")
            for key in (f"{name}_processor_s",)
        },
        "stored_bytes_peak": rest[-1]["stored_bytes_peak"],
        "peak_memory_bytes": {
            p.name: p.peak_memory_bytes for p in (three.owner, user, three.dealer)
        },
        "prefill_online_s": round(first["online_s"], 3),
        "prefill_offline_s": round(first["deal_s"] + first["fetch_s"] + first["ready_s"], 3),
        "prefill_online_bytes": first["sent_bytes"] + first["received_bytes"],
        "prefill_formula_bytes": first["formula_bytes"],
        "prefill_attempts": first["attempts"],
        "prefill_offline_bytes": first["offline_bytes"],
        "setup_bytes": lines[0]["setup_bytes"],
        **({} if cap_mb is None else _question(lines[1:], cap_mb)),
        "cpu": cpu_name(),
        "commit": checkout(),
    }


def _question(lines: list[dict[str, Any]], cap_mb: int) -> dict[str, Any]:
    """What a question took in all."""
    return {
        "cap_mb": cap_mb,
        "question_s": round(lines[-1]["since_s"], 1),
        "question_offline_bytes": sum(line["offline_bytes"] for line in lines),
        "question_online_bytes": sum(line["sent_bytes"] + line["received_bytes"] for line in lines),
    }


async def _through_relay(
    three: Cluster,
    home: Path,
    context: int,
    tokens: int,
    rtt_ms: float,
    mbps: float,
    cap_mb: int | None,
    backend: str,
    progress: Progress,
) -> tuple[list[dict[str, Any]], Party]:
    """The user's process behind an emulated network."""
    async with Relay((three.server.host, three.server.port), rtt_ms, mbps) as port:
        order = {
            "server": str(Address("127.0.0.1", port)),
            "dealer": str(three.dealing),
            "identity": str(three.identity),
            "cache": str(home / "cache"),
            "context": context,
            "passes": tokens + 1,
            "cap_mb": cap_mb,
            "backend": backend,
        }
        arguments = [sys.executable, "-m", "veracity.benchmarks.private", json.dumps(order)]
        user = Party("user", arguments, home / "user.log").start()
        done = 0

        def count(line: dict[str, Any]) -> None:
            nonlocal done
            done += 1
            line["owner_processor_s"] = three.owner.processor_s
            progress("parties", done / (tokens + 2))

        lines = await asyncio.to_thread(facts_of, user, count)
    if len(lines) != tokens + 2:
        raise PeerError(f"the user failed: {user.last_words()}")
    return lines, user


async def _user(order: dict[str, Any]) -> None:
    """The user's process: a line about the session, then a line for each pass."""
    context, passes, cap_mb = order["context"], order["passes"], order["cap_mb"]
    client = Client(
        order["server"],
        order["dealer"],
        identity=order["identity"],
        cache=order["cache"],
        cap=CAP if cap_mb is None else cap_mb * 10**6,
        ahead=context + passes if cap_mb is None else ServiceLimits.ahead,
        timeout=TIMEOUT,
        backend=order["backend"],
    )
    started = time.perf_counter()
    async with client.session(context, passes) as session:
        if session.max_new_tokens < passes:
            raise UsageError("the model's context is too small; choose a smaller --context")
        _say({"model": session.card.name, "setup_bytes": session.setup_bytes})
        words = session.card.prompt(TEXT, raw=True)
        prompt = (words * (1 + context // len(words)))[:context]
        if cap_mb is None:
            await session.dealt()
        async for token in session.tokens(prompt, to_the_end=True):
            _say(
                {
                    **asdict(token.report),
                    "since_s": time.perf_counter() - started,
                    "user_processor_s": time.process_time(),
                    "stored_bytes_peak": session.stored_bytes_peak,
                }
            )


def _say(facts: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_user(json.loads(sys.argv[1])))
