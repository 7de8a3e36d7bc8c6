"""One proof in segments on a Ray cluster of one node and of two, on the cores of this machine.

Run ``make bench-cluster``. Every node has one core to give, so a cluster of two has what one
process with two threads has without a cluster, which is measured beside it. Times hold everything
from the command's start to the proof: the start of workers, and what they are sent. A JSON line for
each.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.e2e.test_ray import WORKER, Cluster, processes, wait_for
from tests.support.cluster import make_cluster_certificates
from veracity.benchmarks.proving import checkout, cpu_name

PROMPT = "Once upon a time"


def proved(
    program: Path, out: Path, tokens: int, options: Sequence[str], environment: Mapping[str, str]
) -> tuple[float, int]:
    """Seconds of the command, and segments of the proof."""
    command = [sys.executable, "-m", "veracity", "prove", str(program), "--prompt", PROMPT]
    command += ["--max-new-tokens", str(tokens), "--out", str(out), "--force", "--json", "-q"]
    begun = time.perf_counter()
    said = subprocess.run(
        [*command, *options], env=dict(environment), check=True, stdout=subprocess.PIPE
    ).stdout
    return time.perf_counter() - begun, int(json.loads(said)["segments"])


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program", type=Path, help="its .vsec beside it")
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--segments", type=int, default=8)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / "token").write_text(secrets.token_hex(32))
        environment = {
            **os.environ,
            **make_cluster_certificates(folder / "tls"),
            "RAY_AUTH_TOKEN_PATH": str(folder / "token"),
            "RAY_USAGE_STATS_ENABLED": "0",
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        jobs = ("--jobs", str(given.segments))
        runs = [(0, ("--jobs", "2")), (0, ()), (1, jobs), (2, jobs)]
        for nodes, options in runs:
            with socket.socket() as probe:
                probe.bind(("", 0))
                cluster = Cluster(environment, folder, probe.getsockname()[1])
            if nodes:
                cluster.head()
                for _ in range(nodes - 1):
                    cluster.join()
                cores = ("--ray", cluster.address, "--threads", str(given.segments))
                options = (*options, *cores)
                wait_for(lambda n=nodes: len(processes("/raylet/raylet")) >= n)
            seconds, segments = proved(
                given.program, folder / "x.vproof", given.tokens, options, environment
            )
            cluster.end()
            wait_for(lambda: not processes(WORKER, "/raylet/raylet"))
            line = {
                "model": given.program.stem,
                "tokens": given.tokens,
                "nodes": nodes,
                "segments": segments,
                "seconds": round(seconds, 2),
                "cpu": cpu_name(),
                "commit": checkout(),
            }
            sys.stdout.write(json.dumps(line) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
