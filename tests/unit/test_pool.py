"""A pool of processes: order, errors, workers that die, parents that die."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from veracity.engine import load_engine
from veracity.errors import RangeError, UsageError, VeracityError
from veracity.threads import cores, sensible_threads
from veracity.work.messages import Message
from veracity.work.pool import WorkerPool, threads_each

ENTRY = "tests.support.pool_work:open_toy"
SETUP = Message("toy", {"name": "toy"}, (b"shared",))


def part(do: str = "answer", *parts: bytes, **more: object) -> Message:
    return Message("part", {"do": do, **more}, parts)


def alive(pid: int) -> bool:
    """Whether a process runs (one that ended and was not waited for does not)."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def ended(pid: int, seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not alive(pid)


def test_results_come_in_order_from_all_workers() -> None:
    seen: list[tuple[int, str, float]] = []
    large = os.urandom(1 << 20)
    parts = [part("sleep", bytes([i]), large, seconds=0.2 / (i + 1)) for i in range(5)]
    with WorkerPool(ENTRY, SETUP, 2, threads=4) as pool:
        pids = pool.pids
        found = pool.run(parts, lambda *facts: seen.append(facts))
        again = pool.run([part()])
    assert [r.parts for r in found] == [(b"shared", bytes([i]), large) for i in range(5)]
    assert {r.body["pid"] for r in found} == set(pids)
    assert {r.body["threads"] for r in found} == {str(min(2, cores()))}
    assert {r.body["setup"] for r in (*found, *again)} == {"toy"}
    assert sorted(seen) == [(i, "begun", 0.5) for i in range(5)]
    assert all(ended(pid) for pid in pids)


def test_parts_are_made_at_most_one_ahead() -> None:
    made = []

    def parts() -> object:
        for i in range(6):
            made.append(i)
            yield part("sleep", seconds=0.05)

    taken = []
    with WorkerPool(ENTRY, SETUP, 1) as pool:
        pool.run(parts(), lambda i, *_: taken.append((i, len(made))))  # type: ignore[arg-type]
    assert all(count <= i + 2 for i, count in taken)
    assert len(made) == 6


def test_nothing_to_do_is_done() -> None:
    with WorkerPool(ENTRY, SETUP, 1) as pool:
        assert pool.run([]) == []


def test_threads_are_shared() -> None:
    assert [threads_each(j, 8) for j in (1, 2, 3, 8, 20)] == [8, 4, 2, 1, 1]
    assert [sensible_threads(n) for n in (1, cores(), 1024)] == [1, cores(), cores()]
    assert load_engine("cpu", threads=1024).threads <= cores()
    with pytest.raises(UsageError, match="jobs"):
        WorkerPool(ENTRY, SETUP, 0)


def test_errors_arrive_as_what_they_are() -> None:
    with WorkerPool(ENTRY, SETUP, 2) as pool:
        pids = pool.pids
        with pytest.raises(RangeError) as caught:
            pool.run([part("sleep", seconds=30), part("range")])
    assert str(caught.value) == str(RangeError("mlp.up", "calibrate again"))
    assert (caught.value.op, caught.value.remedy) == ("mlp.up", "calibrate again")
    assert all(ended(pid) for pid in pids)
    with WorkerPool(ENTRY, SETUP, 1) as pool, pytest.raises(MemoryError):
        pool.run([part("memory")])


def test_an_unforeseen_error_tells_type_and_place_only() -> None:
    with WorkerPool(ENTRY, SETUP, 1) as pool, pytest.raises(RuntimeError) as caught:
        pool.run([part("secret")])
    assert "ValueError in a worker: work, line" in str(caught.value)
    assert "a secret value" not in str(caught.value)


@pytest.mark.parametrize(("do", "said"), [("die", "SIGKILL"), ("leave", "exit code 7")])
def test_a_worker_that_dies_is_one_clear_error(do: str, said: str) -> None:
    with WorkerPool(ENTRY, SETUP, 2) as pool:
        pids = pool.pids
        with pytest.raises(VeracityError, match=said):
            pool.run([part("sleep", seconds=60), part(do)])
    assert all(ended(pid) for pid in pids)


def test_a_worker_killed_from_outside_is_one_clear_error() -> None:
    with WorkerPool(ENTRY, SETUP, 2) as pool:

        def kill(index: int, *_: object) -> None:
            if index == 0:
                os.kill(pool.pids[1], signal.SIGTERM)

        with pytest.raises(VeracityError, match="SIGTERM"):
            pool.run([part("sleep", seconds=60), part("sleep", seconds=60)], kill)


def test_a_cancelled_progress_ends_the_workers() -> None:
    def cancel(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), WorkerPool(ENTRY, SETUP, 2) as pool:
        pids = pool.pids
        pool.run([part("sleep", seconds=60)], cancel)
    assert all(ended(pid) for pid in pids)


PARENT = f"""
import signal
# It is ignored where tests run in the background.
signal.signal(signal.SIGINT, signal.default_int_handler)
from veracity.work.messages import Message
from veracity.work.pool import WorkerPool
with WorkerPool({ENTRY!r}, Message("toy", {{"name": "toy"}}), 2) as pool:
    def tell(*_):
        print(*pool.pids, flush=True)
    part = Message("part", {{"do": "sleep", "seconds": 60}})
    pool.run([part, part], tell)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_workers_never_outlive_their_parent(number: signal.Signals) -> None:
    root = Path(__file__).resolve().parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT],
        cwd=root,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(root / "src"), str(root)])},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    pids = [int(pid) for pid in process.stdout.readline().split()]
    assert len(pids) == 2
    assert all(alive(pid) for pid in pids)
    process.send_signal(number)
    process.wait(20)
    process.stdout.close()
    assert all(ended(pid) for pid in pids)


def test_no_secret_of_the_work_is_in_the_command_or_the_environment() -> None:
    with WorkerPool(ENTRY, Message("toy", {"name": "hush"}, (b"hush",)), 1) as pool:
        (pid,) = pool.pids
        pool.run([part()])
        for place in ("cmdline", "environ"):
            assert b"hush" not in Path(f"/proc/{pid}/{place}").read_bytes()
