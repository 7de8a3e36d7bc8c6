"""Links proved on machines that come and go: valid like any other, and nothing for strangers."""

from __future__ import annotations

import hashlib
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.soundness.test_chain import ENGINE, KEY, make, thirds
from tests.support.cluster import LocalLauncher, make_cluster_certificates
from veracity.errors import FormatError, RangeError, UsageError, VeracityError
from veracity.work.cluster import connect as connecting
from veracity.work.cluster import pool as pools
from veracity.work.cluster.files import local_file
from veracity.work.cluster.identity import ClusterIdentity
from veracity.work.cluster.launcher import split_address
from veracity.work.cluster.pool import ClusterPool
from veracity.work.links import Workers, prove_chain, setup_message
from veracity.work.messages import Message, receive, send
from veracity.zkml import verify
from veracity.zkml.job import Job

TWO = Workers(jobs=2, threads=2, cluster="127.0.0.1:6379")


@pytest.fixture(scope="module")
def llama() -> tuple[Any, Any, Any]:
    return make("llama")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return make_cluster_certificates(tmp_path_factory.mktemp("cluster"))


@pytest.fixture
def launcher(certificates: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> LocalLauncher:
    """What `connect` gets workers from, and this machine in the cluster."""
    for name, value in certificates.items():
        monkeypatch.setenv(name, value)
    made = LocalLauncher(certificates)
    monkeypatch.setattr(connecting, "RayLauncher", lambda *_: made)
    return made


def by_each(statement: Any) -> Any:
    """A cut every few ops: more links than workers."""
    return replace(statement, cuts=tuple(range(4, len(statement.program.ops), 6)))


def test_a_chain_proved_on_a_cluster_is_a_chain(llama: Any, launcher: LocalLauncher) -> None:
    e, statement, opening = llama
    for cut in (replace(statement, cuts=()), thirds(statement)):
        proof = prove_chain(ENGINE, cut, e.weights, opening, TWO)
        verify(ENGINE, cut, proof, key=KEY)
    assert launcher.asked == 2


def test_a_machine_that_dies_costs_what_it_was_at(llama: Any, launcher: LocalLauncher) -> None:
    """The worker that told of its first phase is killed there; the proof is whole."""
    e, statement, opening = llama
    cut, killed = by_each(statement), []

    def progress(phase: str, share: float) -> None:
        if not killed and phase == "commit":
            killed.append(launcher.processes[0])
            launcher.processes[0].kill()
            launcher.one_more()  # joins late

    verify(ENGINE, cut, prove_chain(ENGINE, cut, e.weights, opening, TWO, progress), key=KEY)
    assert killed


def test_when_all_are_gone_workers_are_asked_for_again(
    llama: Any, launcher: LocalLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after the head of a cluster was started again."""
    e, statement, opening = llama
    monkeypatch.setattr(pools, "ASK_AGAIN", 2.0)
    cut, killed = by_each(statement), []

    def progress(phase: str, share: float) -> None:
        if not killed and phase == "lookups":
            killed.extend(launcher.processes)
            for process in killed:
                process.kill()

    verify(ENGINE, cut, prove_chain(ENGINE, cut, e.weights, opening, TWO, progress), key=KEY)
    assert launcher.asked >= 2


def test_nobody_comes(launcher: LocalLauncher, llama: Any, certificates: dict[str, str]) -> None:
    e, statement, opening = llama
    launcher.count = 0
    setup = setup_message(ENGINE, Job(statement, e.weights, opening), TWO)
    identity = ClusterIdentity.from_environment(certificates)
    with (
        ClusterPool(setup, {}, launcher, "127.0.0.1", identity, patience=0.3) as pool,
        pytest.raises(VeracityError, match=r"no machine of the cluster took part .* is it up"),
    ):
        pool.run([Message("link")])


def test_a_part_that_kills_every_worker_is_not_tried_for_ever(
    launcher: LocalLauncher,
    llama: Any,
    certificates: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    e, statement, opening = llama
    monkeypatch.setattr(pools, "ATTEMPTS", 2)
    setup = setup_message(ENGINE, Job(statement, e.weights, opening), TWO)
    launcher.entry = "tests.support.cluster_dies"
    launcher.count = 2
    identity = ClusterIdentity.from_environment(certificates)
    with (
        ClusterPool(setup, {}, launcher, "127.0.0.1", identity) as pool,
        pytest.raises(VeracityError, match=r"2 workers ended at the same part"),
    ):
        pool.run([Message("link")])


def test_errors_come_back(llama: Any, launcher: LocalLauncher) -> None:
    e, statement, opening = llama
    weights = {name: np.asarray(w) + (w.ndim > 1) * 32000 for name, w in e.weights.items()}
    with pytest.raises((RangeError, UsageError)):
        prove_chain(ENGINE, statement, weights, opening, TWO)


@pytest.fixture
def pool(
    launcher: LocalLauncher, llama: Any, certificates: dict[str, str], tmp_path: Path
) -> Iterator[ClusterPool]:
    """A pool that has told nobody where it is."""
    e, statement, opening = llama
    launcher.count = 0
    setup = setup_message(ENGINE, Job(statement, e.weights, opening), TWO)
    identity = ClusterIdentity.from_environment(certificates)
    with ClusterPool(setup, {}, launcher, "127.0.0.1", identity, patience=60) as made:
        yield made


def calling(launcher: LocalLauncher, context: ssl.SSLContext) -> ssl.SSLSocket:
    host, port, _ = launcher.call
    plain = socket.create_connection((host, int(port)), timeout=20)
    return context.wrap_socket(plain)


def test_who_has_no_certificate_is_told_nothing(
    pool: ClusterPool, launcher: LocalLauncher, tmp_path: Path, certificates: dict[str, str]
) -> None:
    """Neither one without any, nor one of another authority; the one of the cluster is let in."""
    bare = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    bare.check_hostname, bare.verify_mode = False, ssl.CERT_NONE
    foreign = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    foreign.check_hostname, foreign.verify_mode = False, ssl.CERT_NONE
    theirs = make_cluster_certificates(tmp_path / "theirs")
    foreign.load_cert_chain(theirs["RAY_TLS_SERVER_CERT"], theirs["RAY_TLS_SERVER_KEY"])
    own = ClusterIdentity.from_environment(certificates).client_context()
    hello = {"job": launcher.call[2], "version": pools.version("veracity"), "node": "x"}
    for context, let_in in ((bare, False), (foreign, False), (own, True)):
        opened = None
        try:
            with calling(launcher, context) as end:
                send(end, Message("hello", hello))
                opened = receive(end)
        except OSError:  # refused in the handshake
            pass
        assert (opened is not None) == let_in


@pytest.mark.parametrize(
    "said",
    [
        Message("hello", {"job": "0" * 32, "version": "x", "node": "x"}),
        Message("hello", {}),
        Message("opened", {"job": "x"}),
    ],
)
def test_who_knows_no_job_is_told_nothing(
    pool: ClusterPool, launcher: LocalLauncher, certificates: dict[str, str], said: Message
) -> None:
    context = ClusterIdentity.from_environment(certificates).client_context()
    with calling(launcher, context) as end:
        send(end, said)
        assert receive(end) is None
    assert pool.workers == 0


def test_another_version_is_told(
    pool: ClusterPool, launcher: LocalLauncher, certificates: dict[str, str]
) -> None:
    context = ClusterIdentity.from_environment(certificates).client_context()
    hello = {"job": launcher.call[2], "version": "0.0.1", "node": "old-machine"}

    def call() -> None:
        with calling(launcher, context) as end:
            send(end, Message("hello", hello))
            receive(end)

    threading.Thread(target=call, daemon=True).start()
    with pytest.raises(VeracityError, match=r"'old-machine' has version 0\.0\.1"):
        pool.run([Message("link")])


def test_a_file_outside_the_job_is_not_given(
    llama: Any, launcher: LocalLauncher, certificates: dict[str, str], tmp_path: Path
) -> None:
    """A worker asks for what it was told of, and gets nothing else of this machine."""
    e, statement, opening = llama
    launcher.count = 0
    listed, other = tmp_path / "weights", tmp_path / "other"
    listed.write_bytes(b"weights")
    other.write_bytes(b"private")
    setup = setup_message(ENGINE, Job(statement, e.weights, opening), TWO)
    identity = ClusterIdentity.from_environment(certificates)
    files = {str(listed): "0" * 64}
    with ClusterPool(setup, files, launcher, "127.0.0.1", identity) as pool:
        hello = {"job": launcher.call[2], "version": pools.version("veracity"), "node": "x"}
        for path, given in ((listed, [b"weights", b""]), (other, [])):
            with calling(launcher, identity.client_context()) as end:
                send(end, Message("hello", hello))
                assert receive(end) is not None
                send(end, Message("want", {"file": str(path)}))
                got = [receive(end) for _ in given]
                assert [m.parts[0] for m in got if m is not None] == given
                if not given:
                    assert receive(end) is None
        assert pool.workers <= 1


def mapped(weights: Any, folder: Path) -> dict[str, Any]:
    folder.mkdir()
    out = {}
    for name, array in weights.items():
        np.save(folder / f"{name}.npy", array)
        out[name] = np.load(folder / f"{name}.npy", mmap_mode="r")
    return out


def test_weights_are_placed_once_on_a_machine(
    llama: Any, launcher: LocalLauncher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine without the files fetches them, keeps them private, and does not ask again."""
    e, statement, opening = llama
    cut = thirds(statement)
    weights = mapped(e.weights, tmp_path / "here")
    cache = tmp_path / "cache"
    launcher.environment = {**launcher.environment, "VERACITY_CACHE": str(cache)}
    launcher.count = 1
    wanted: list[str] = []
    chunks = pools.chunks
    monkeypatch.setattr(pools, "chunks", lambda path: (wanted.append(path.name), chunks(path))[1])
    launcher.entry = "tests.support.cluster_elsewhere"
    digests = {connecting.digest_of(Path(w.filename)) for w in weights.values()}
    for expected in (len(digests), 0):
        wanted.clear()
        proof = prove_chain(ENGINE, cut, weights, opening, TWO)
        verify(ENGINE, cut, proof, key=KEY)
        assert len(wanted) == expected
    kept = [p for p in (cache / "cluster").iterdir() if not p.suffix]
    assert {p.name for p in kept} == digests
    assert all(p.stat().st_mode & 0o777 == 0o600 for p in kept)
    assert (cache / "cluster").stat().st_mode & 0o777 == 0o700


def test_other_bytes_than_announced_are_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VERACITY_CACHE", str(tmp_path))
    digest = hashlib.sha256(b"weights").hexdigest()
    here = tmp_path / "here"
    here.write_bytes(b"others")
    with pytest.raises(FormatError, match="other bytes"):
        local_file(here, digest, lambda: iter([b"wei", b"rd"]))
    assert [p.suffix for p in (tmp_path / "cluster").iterdir()] == [".lock"]
    kept = local_file(here, digest, lambda: iter([b"wei", b"ghts"]))
    assert kept.read_bytes() == b"weights"
    assert local_file(here, digest, lambda: iter([])) == kept
    here.write_bytes(b"weights")
    assert local_file(here, digest, lambda: iter([])) == here
    with pytest.raises(FormatError, match="without a digest"):
        local_file(here, "../x", lambda: iter([]))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"RAY_AUTH_MODE": "disabled"}, "without authentication"),
        ({"RAY_USE_TLS": "0"}, "without TLS"),
        ({"RAY_TLS_CA_CERT": ""}, "RAY_TLS_CA_CERT is not set"),
        ({"RAY_TLS_SERVER_KEY": "/none"}, "certificates cannot be used"),
    ],
)
def test_an_open_cluster_is_refused(
    llama: Any,
    launcher: LocalLauncher,
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, str],
    said: str,
) -> None:
    e, statement, opening = llama
    for name, value in change.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=said):
        prove_chain(ENGINE, statement, e.weights, opening, TWO)
    assert launcher.asked == 0


@pytest.mark.parametrize("address", ["auto", "ray://x:1", "x", "x:0", "x:70000", "x y:1", ""])
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(UsageError, match="no address of a cluster"):
        split_address(address)
