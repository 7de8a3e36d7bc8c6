"""`prove --jobs`: a proof like any other, within one cap of memory for all processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.house import House, done, veracity
from tests.unit.test_pool import alive, ended

PROMPT = "Once upon a time, there was a little girl who"


def command(house: House, out: Path, *options: object) -> list[str]:
    return [
        *(sys.executable, "-m", "veracity.cli", "prove", str(house.program), "-q", "--raw"),
        *("--secret", str(house.secret), "--prompt", PROMPT, "--out", str(out), "--json"),
        *map(str, options),
    ]


def children(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    except OSError:
        return []
    return [int(child) for child in text.split()]


def resident(pid: int) -> int:
    """Bytes of memory that a process occupies now."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def test_a_cap_holds_for_all_processes_together(house: House, tmp_path: Path) -> None:
    out, cap = tmp_path / "jobs.vproof", 500_000_000
    started = command(house, out, "--jobs", 2, "--memory", cap, "--max-new-tokens", 96)
    process = subprocess.Popen(started, stdout=subprocess.PIPE, text=True)
    peak, most = 0, 0
    while process.poll() is None:
        pids = [process.pid, *children(process.pid)]
        peak, most = max(peak, sum(map(resident, pids))), max(most, len(pids))
        time.sleep(0.01)
    said = process.communicate()[0]
    assert process.returncode == 0
    assert most == 3
    assert 200_000_000 < peak <= cap
    facts = json.loads(said)
    assert facts["segments"] >= 2
    verdict = json.loads(done("verify", out, "--commitment", house.commitment, "--json").stdout)
    assert verdict["answer"] == facts["answer"]


def test_a_cap_too_small_for_all_jobs_is_told(house: House, tmp_path: Path) -> None:
    options = ("--jobs", 4, "--memory", "300MB", "--out", tmp_path / "x.vproof")
    refused = veracity(
        "prove", house.program, "--secret", house.secret, "--prompt", "x", "-q", *options
    )
    assert refused.exit_code == 2
    assert "fewer --jobs" in refused.output
    assert veracity("prove", house.program, "--prompt", "x", "--jobs", 0).exit_code == 2


#: The command line, its workers asleep instead of proving: they are there when a signal comes.
ASLEEP = """
import signal, sys
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # these tests may run in the background
signal.signal(signal.SIGINT, signal.default_int_handler)
from veracity.work import links
links._ENTRY = "tests.support.pool_work:open_sleep"
from veracity.cli import main
main(sys.argv[1:])
"""


@pytest.fixture
def asleep(house: House, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A command whose two workers have begun, and the workers."""
    words = [word for word in command(house, tmp_path / "none.vproof")[3:] if word != "--json"]
    process = subprocess.Popen(
        [sys.executable, "-c", ASLEEP, *words, "--jobs", "2", "--max-new-tokens", "4"],
        cwd=Path(__file__).resolve().parents[2],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 100
    while len(workers := children(process.pid)) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    yield process, workers
    process.kill()
    process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_workers_and_leaves_no_file(
    asleep: tuple[subprocess.Popen[str], list[int]], tmp_path: Path, number: signal.Signals
) -> None:
    process, workers = asleep
    assert len([pid for pid in workers if alive(pid)]) == 2
    process.send_signal(number)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert "interrupted" in said
    assert all(ended(pid) for pid in workers)
    assert list(tmp_path.iterdir()) == []


def test_a_worker_that_is_killed_is_one_error(
    asleep: tuple[subprocess.Popen[str], list[int]], tmp_path: Path
) -> None:
    process, workers = asleep
    os.kill(workers[1], signal.SIGKILL)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 2
    assert "error: a worker process was ended by SIGKILL" in said
    assert all(ended(pid) for pid in workers)
    assert list(tmp_path.iterdir()) == []
