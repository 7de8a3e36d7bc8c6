"""The same GPT-2-size forward pass in SPU and here, side by side on this machine.

Run ``make bench-private-peers``, or ``.venv/bin/python benches/private_peers.py [--rtt-ms 10]
[--mbps 1000] [--prefill]``: 12 layers, d 768, 12 heads, 4 d MLP, random weights, 512 tokens; one
token at context 32, or with ``--prefill`` a prompt of 32. SPU (``spu`` on PyPI, protocol SEMI2K,
field of 64 bits) needs Python 3.10 or 3.11 and an old NumPy, so it gets an environment of its own,
``.venv-peers`` (about 1 GB, kept). Where that cannot be made, a line says so and only this project
is measured.

What differs: SPU has both parties hold weights and prompt in shares and hides all of them; here the
owner has the weights. SPU makes its multiplication triples while it runs and counts neither them
nor a dealer; here the offline phase is apart. Both go through the same emulated network.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from synthetic import Dimensions, program_file

from veracity.benchmarks.private import bench
from veracity.net.relay import Relay

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".venv-peers"
PACKAGE = "spu==0.9.5"
PYTHONS = ("python3.11", "python3.10")
SIZE = Dimensions(width=768, heads=12, layers=12, positions="table")
CONTEXT = 32
DETAILS = re.compile(r"Link details: total send bytes (\d+), recv bytes (\d+), send actions (\d+)")


def peer_python() -> Path | None:
    """The interpreter of the peers' environment, made where it is not there; None if it cannot."""
    python = HOME / "bin" / "python"
    works = [str(python), "-c", "import spu"]
    # The pins of this project are not theirs.
    clean = {k: v for k, v in os.environ.items() if k not in ("PIP_CONSTRAINT", "VIRTUAL_ENV")}
    if python.exists() and subprocess.run(works, capture_output=True, check=False).returncode == 0:
        return python
    for name in (*PYTHONS, sys.executable):
        base = shutil.which(name)
        version = "import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 11))"
        if base is None or subprocess.run([base, "-c", version], check=False).returncode != 0:
            continue
        try:
            subprocess.run([base, "-m", "venv", "--clear", str(HOME)], env=clean, check=True)
            install = [str(python), "-m", "pip", "install", "--quiet", PACKAGE]
            subprocess.run(install, env=clean, check=True)
        except subprocess.CalledProcessError:
            continue
        return python
    return None


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens at."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for one in sockets:
        one.close()
    return ports


async def spu_figures(python: Path, rows: int, start: int, arguments: Any) -> dict[str, Any]:
    """One pass in SPU, each party reaching the other through a relay."""
    own = free_ports(2)
    network = arguments.rtt_ms, arguments.mbps
    async with Relay(own[0], *network) as first, Relay(own[1], *network) as second:
        order = {
            "width": SIZE.width, "heads": SIZE.heads, "layers": SIZE.layers, "vocab": SIZE.vocab,
            "rows": rows, "start": start, "ports": [[own[0], second], [first, own[1]]],
        }  # fmt: skip
        command = [str(python), str(ROOT / "benches" / "peers_spu.py"), json.dumps(order)]
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        out, err = await process.communicate()
    text = out.decode()
    details = DETAILS.search(text + err.decode())
    if process.returncode != 0 or details is None:
        raise SystemExit(f"SPU failed:\n{err.decode()[-2000:]}")
    facts = json.loads(text.strip().splitlines()[-1])
    if facts["token"] != facts["clear"]:
        print("SPU's token is not that of the computation in the clear", file=sys.stderr)
    return {
        "online_s": facts["seconds"],
        "online_bytes": sum(map(int, details.groups()[:2])),
        "exchanges": int(details.group(3)),
        "peak_memory_bytes": facts["peak_bytes"],
    }


def own_figures(mode: str, prefill: bool, arguments: Any) -> dict[str, Any]:
    """One pass here."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.vprog"
        program_file(path, SIZE)
        facts = bench(
            path,
            mode=mode,
            context=CONTEXT,
            tokens=1 if prefill else 3,
            rtt_ms=arguments.rtt_ms,
            mbps=arguments.mbps,
            folder=Path(folder) / "parties",
        )
    names = (
        ("prefill_online_s", "prefill_online_bytes", "prefill_offline_s", "prefill_offline_bytes")
        if prefill
        else (
            "online_s_per_token",
            "online_bytes_per_token",
            "offline_s_per_token",
            "offline_bytes_per_token",
        )
    )
    return {
        "online_s": facts[names[0]],
        "online_bytes": facts[names[1]],
        "exchanges": 2 * facts["round_trips_per_token"],
        "offline_s": facts[names[2]],
        "offline_bytes": facts[names[3]],
        "peak_memory_bytes": sum(facts["peak_memory_bytes"].values()),
        **{name: facts[name] for name in ("cpu", "commit")},
    }


def main() -> None:
    """Measure all and print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rtt-ms", type=float, default=10.0)
    parser.add_argument("--mbps", type=float, default=1000.0)
    parser.add_argument(
        "--prefill", action="store_true", help="a prompt of 32 instead of one token"
    )
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    rows, start = (CONTEXT, 0) if arguments.prefill else (1, CONTEXT)
    runs: dict[str, Callable[[], dict[str, Any]]] = {}
    python = peer_python()
    if python is None:
        print(
            f"SPU is left out: no Python among {', '.join(PYTHONS)} for which {PACKAGE} installs",
            file=sys.stderr,
        )
    else:
        runs["SPU SEMI2K"] = lambda: asyncio.run(spu_figures(python, rows, start, arguments))
    for mode in ("secure", "shuffled"):
        runs[mode] = lambda mode=mode: own_figures(mode, arguments.prefill, arguments)  # type: ignore[misc]
    found = {name: run() for name, run in runs.items()}
    if arguments.json:
        size = {"layers": SIZE.layers, "width": SIZE.width, "heads": SIZE.heads, "context": CONTEXT}
        where = {name: found["secure"][name] for name in ("cpu", "commit")}
        print(json.dumps({**size, **where, "systems": found}, indent=2))
        return
    what = f"a prompt of {rows}" if arguments.prefill else f"one token at context {CONTEXT}"
    print(
        f"{what}: {SIZE.layers} layers, d {SIZE.width}, {SIZE.heads} heads, "
        f"{arguments.rtt_ms:g} ms, {arguments.mbps:g} Mbps"
    )
    print(f"{'':<14}" + "".join(f"{name:>14}" for name in found))
    rows_shown = (
        ("online s", "online_s", 1.0),
        ("exchanges", "exchanges", 1.0),
        ("online MB", "online_bytes", 1e6),
        ("offline s", "offline_s", 1.0),
        ("offline MB", "offline_bytes", 1e6),
        ("peak GB", "peak_memory_bytes", 1e9),
    )
    for title, row, unit in rows_shown:
        cells = (f"{f[row] / unit:>14.2f}" if row in f else f"{'-':>14}" for f in found.values())
        print(f"{title:<14}" + "".join(cells))


if __name__ == "__main__":
    main()
