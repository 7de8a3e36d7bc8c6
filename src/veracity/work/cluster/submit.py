"""The only process that imports Ray: it asks a cluster for workers until its standard input ends.

``python -m veracity.work.cluster.submit`` reads one line of JSON (address, host, port, job,
workers, threads, memory) and writes one for each thing worth knowing: ``{"up": true}``,
``{"error": ...}``, or ``{"fatal": ...}`` where no waiting helps. It is apart from the process that
proves because Ray ends its driver where the cluster is lost.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Mapping
from typing import Any

from veracity.work.lifeline import end_with_input

__all__ = ["OLDEST", "main"]

#: The first release that knows tokens.
OLDEST = (2, 52)
#: Seconds between a worker's end and the request for another.
_PAUSE = 1.0


def main() -> int:
    """Keep as many workers asked for as the job wants."""
    given = json.loads(sys.stdin.buffer.readline())
    end_with_input()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray  # the extra [cluster]
    except ImportError:
        _say(fatal="Ray is not installed; install the package with its extra [cluster]")
        return 2
    version = tuple(int(part) for part in ray.__version__.split(".")[:2])
    if version < OLDEST:
        _say(fatal=f"Ray {ray.__version__} knows no tokens; install 2.52 or newer")
        return 2
    try:
        ray.init(address=given["address"], log_to_driver=False, logging_level="ERROR")
    except Exception as error:  # whatever Ray raises, its text may name paths of this machine
        _say(error=f"no cluster answers at {given['address']} ({type(error).__name__})")
        return 1
    _say(up=True)
    _keep(ray, given)
    return 0


def _keep(ray: Any, given: dict[str, Any]) -> None:
    from veracity.work.cluster.task import work_for

    threads = given["threads"] or _share(ray.nodes(), given["workers"])
    needs = {"num_cpus": threads, "max_retries": 0}
    if given["memory"]:
        needs["memory"] = given["memory"]
    remote = ray.remote(**needs)(work_for)

    def ask() -> Any:
        return remote.remote(given["host"], given["port"], given["job"], threads)

    running = [ask() for _ in range(given["workers"])]
    while True:
        done, running = ray.wait(running, num_returns=1)
        for one in done:
            try:
                ray.get(one)
            except Exception as error:  # a worker or its machine is gone: ask for another
                _say(error=f"a worker was lost ({type(error).__name__})")
        time.sleep(_PAUSE)
        running += [ask() for _ in done]


def _share(nodes: Iterable[Mapping[str, Any]], workers: int) -> int:
    """Cores for each of some workers: a machine's, shared by those that it will have."""
    cores = [int(n["Resources"].get("CPU", 1)) for n in nodes if n.get("Alive")] or [1]
    return max(1, min(cores) // -(-workers // len(cores)))


def _say(**facts: object) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
