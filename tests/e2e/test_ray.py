"""Proofs on a real Ray cluster of two nodes on this machine, with its tokens and its TLS.

``make test-cluster`` runs it. Each node has one core to give, so two workers mean two nodes.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.e2e.house import PROMPT, House, done
from tests.support.cluster import make_cluster_certificates, own_address
from veracity.formats.secret import Secret

pytestmark = pytest.mark.cluster
WORKER = "veracity.work.cluster.worker"
SEGMENTS = 10


@dataclass
class Cluster:
    """Nodes, each a group of processes of its own."""

    environment: dict[str, str]
    folder: Path
    port: int
    nodes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"{own_address()}:{self.port}"

    def start(self, *options: str, cores: int = 1) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--num-cpus"]
        with (self.folder / f"node-{len(self.nodes)}.log").open("wb") as log:
            node = subprocess.Popen(
                [*command, str(cores), *options],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.nodes.append(node)
        return node

    def head(self, cores: int = 1) -> subprocess.Popen[bytes]:
        return self.start(
            *("--head", "--node-ip-address", own_address(), "--port", str(self.port)),
            *("--include-dashboard", "false", "--temp-dir", str(self.folder / "ray")),
            cores=cores,
        )

    def join(self) -> subprocess.Popen[bytes]:
        return self.start("--address", self.address)

    def kill(self, node: subprocess.Popen[bytes]) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(node.pid, signal.SIGKILL)
        node.wait()

    def end(self) -> None:
        for node in self.nodes:
            self.kill(node)
        for pid in processes("ray::", "/ray/core/src/ray/", WORKER):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def processes(*words: str) -> list[int]:
    """Processes whose command lines hold one of some words."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                if any(word in line for word in words):
                    found.append(int(entry.name))
    return found


def wait_for(what: Callable[[], object], seconds: float = 240.0) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.02)


def two_at_work(workers: Callable[[], list[int]]) -> None:
    """Wait for two workers. The first one stands still meanwhile, else it may prove all alone."""
    wait_for(workers)
    first = workers()[0]
    with contextlib.suppress(ProcessLookupError):
        os.kill(first, signal.SIGSTOP)
    try:
        wait_for(lambda: len(workers()) == 2)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(first, signal.SIGCONT)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    pytest.importorskip("ray", reason="the extra [cluster] is not installed")
    token = tmp_path / "token"
    token.write_text(secrets.token_hex(32))
    token.chmod(0o600)
    source = str(Path(__file__).resolve().parents[2] / "src")
    environment = {
        **os.environ,
        **make_cluster_certificates(tmp_path / "tls"),
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_USAGE_STATS_ENABLED": "0",
        "PYTHONPATH": os.pathsep.join([source, *filter(None, [os.environ.get("PYTHONPATH")])]),
    }
    with socket.socket() as probe:
        probe.bind(("", 0))
        port = probe.getsockname()[1]
    # Ray puts sockets there, whose names may have 107 bytes.
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder:
        made = Cluster(environment, Path(folder), port)
        try:
            yield made
        finally:
            made.end()


@dataclass
class Proving:
    """The command, while it runs."""

    house: House
    out: Path
    process: subprocess.Popen[str]

    @classmethod
    def start(cls, house: House, cluster: Cluster, out: Path) -> Proving:
        options = ("--ray", cluster.address, "--jobs", str(SEGMENTS), "--threads", str(SEGMENTS))
        command = [sys.executable, "-m", "veracity", "prove", str(house.program), "--json", "-q"]
        command += ["--secret", str(house.secret), "--prompt", PROMPT, "--out", str(out)]
        command += ["--max-new-tokens", "96", *options]
        process = subprocess.Popen(
            command, env=cluster.environment, stdout=subprocess.PIPE, text=True
        )
        return cls(house, out, process)

    def check(self) -> None:
        """The command ends well, with as many segments as asked for, and the proof is true."""
        said = self.process.communicate(timeout=500)[0]
        assert self.process.returncode == 0, said
        assert json.loads(said)["segments"] >= SEGMENTS
        verdict = done("verify", self.out, "--commitment", self.house.commitment, "--json").stdout
        assert json.loads(verdict)["answer"] == json.loads(said)["answer"]
        wait_for(lambda: not processes(WORKER), 60)


def test_two_nodes_and_workers_that_are_killed(
    cluster: Cluster, house: House, tmp_path: Path
) -> None:
    """Both nodes work at once; each worker that is killed costs its segment; nothing is left."""
    cluster.head()
    cluster.join()
    proving = Proving.start(house, cluster, tmp_path / "x.vproof")
    killed: set[int] = set()

    def busy() -> list[int]:
        return [pid for pid in processes(f"-m {WORKER}") if pid not in killed]

    two_at_work(busy)
    moments = random.Random()
    for _ in range(20):
        time.sleep(moments.uniform(0.2, 4.0))
        for pid in busy()[:1]:
            killed.add(pid)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if proving.process.poll() is not None:
            break
    proving.check()
    opening = Secret.load(house.secret).opening
    for path in cluster.folder.rglob("*"):
        if path.is_file():
            assert opening.seed not in path.read_bytes()


def test_a_node_that_joins_late(cluster: Cluster, house: House, tmp_path: Path) -> None:
    """The head has no core to give: all waits for the other node."""
    cluster.head(cores=0)
    proving = Proving.start(house, cluster, tmp_path / "x.vproof")
    wait_for(lambda: processes("veracity.work.cluster.submit"))
    time.sleep(5)
    assert not processes(f"-m {WORKER}")
    cluster.join()
    proving.check()


def test_a_head_that_is_started_again(cluster: Cluster, house: House, tmp_path: Path) -> None:
    """Head and node are killed in the middle and come back; what was proved is kept."""
    nodes = [cluster.head(), cluster.join()]
    proving = Proving.start(house, cluster, tmp_path / "x.vproof")
    two_at_work(lambda: processes(f"-m {WORKER}"))
    for node in nodes:
        cluster.kill(node)
    for pid in processes("ray::", "/ray/core/src/ray/"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not processes(f"-m {WORKER}"), 60)
    assert proving.process.poll() is None
    cluster.head()
    cluster.join()
    proving.check()


def test_a_cluster_that_is_open_is_refused(cluster: Cluster, house: House, tmp_path: Path) -> None:
    for name in ("RAY_AUTH_MODE", "RAY_USE_TLS"):
        environment = {k: v for k, v in cluster.environment.items() if k != name}
        open_one = Cluster(environment, cluster.folder, cluster.port)
        proving = Proving.start(house, open_one, tmp_path / "x.vproof")
        assert proving.process.communicate(timeout=100)[0]
        assert proving.process.returncode == 2
