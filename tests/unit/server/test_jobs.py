"""The queue: one job a receipt, one worker a job, and nothing lost with either."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from veracity.errors import UsageError
from veracity.server.jobs import ATTEMPTS, FAILURES, Queue


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    made = Queue(tmp_path / "jobs.sqlite", lease=10)
    yield made
    made.close()


def test_a_receipt_has_one_job(queue: Queue) -> None:
    first = queue.add("r", "alice", 0)
    assert queue.add("r", "alice", 1) == queue.add("r", "bob", 2) == first
    assert queue.open_jobs("alice") == 1
    state = queue.get(first)
    assert state is not None
    assert (state.receipt, state.owner) == ("r", "alice")
    assert queue.of_receipt("r") == state
    assert queue.find("s") is None


def test_the_oldest_job_comes_first_and_to_one_worker(queue: Queue) -> None:
    names = [queue.add(r, "a", t) for t, r in enumerate("xyz")]
    claims = [queue.claim(5) for _ in range(4)]
    assert [c and c.ident for c in claims] == [*names, None]


def test_a_late_worker_changes_nothing(queue: Queue) -> None:
    ident = queue.add("r", "a", 0)
    late = queue.claim(0)
    assert late is not None
    assert queue.renew(late, 0.5, 8)
    assert queue.claim(17) is None
    second = queue.claim(19)
    assert second is not None
    assert (second.ident, second.attempt) == (ident, 2)
    assert not queue.renew(late, 0.9, 20)
    assert not queue.finish(late, "f" * 64)
    assert not queue.give_up(late)
    assert queue.finish(second, "e" * 64)
    assert not queue.finish(second, "d" * 64)
    state = queue.get(ident)
    assert state is not None
    assert (state.state, state.attempt, state.proof) == ("done", 2, "e" * 64)
    assert queue.claim(99) is None
    assert queue.is_done("r")


def test_a_job_fails_at_last(queue: Queue) -> None:
    """By workers that say so, or that die with it."""
    told, silent = queue.add("r", "a", 0), queue.add("s", "a", 1)
    now = 0.0
    for number in range(ATTEMPTS):
        found = [queue.claim(now), queue.claim(now)]
        names = {claim.ident: claim for claim in found if claim is not None}
        assert set(names) == ({told, silent} if number < FAILURES else {silent})
        if told in names:
            assert queue.give_up(names[told])
        now += 20
    assert queue.claim(now) is None
    assert [s and s.state for s in (queue.get(told), queue.get(silent))] == [
        "failed",
        "failed",
    ]
    assert queue.open_jobs("a") == 0


def test_a_queue_outlives_its_process(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    one, two = Queue(path, 10), Queue(path, 10)
    ident = one.add("r", "a", 0)
    claim = two.claim(0)
    assert claim is not None
    assert one.claim(5) is None
    one.close()
    two.close()
    again = Queue(path, 10)
    state = again.get(ident)
    assert state is not None
    assert state.state == "running"
    again.close()
    assert path.stat().st_mode & 0o077 == 0


def test_other_files_are_not_taken_for_queues(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    path.write_bytes(b"no database, certainly not one" * 100)
    with pytest.raises(UsageError, match="no database of jobs"):
        Queue(path, 10)
    path.unlink()
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 7")
    database.close()
    with pytest.raises(UsageError, match="another version"):
        Queue(path, 10)


def test_a_cancelled_job_is_nobodys(queue: Queue) -> None:
    ident = queue.add("r", "a", 0)
    claim = queue.claim(0)
    assert claim is not None
    assert queue.cancel(ident, "b") is None
    assert queue.cancel(ident, "a") == "r"
    assert not queue.knows(ident)
    assert not queue.renew(claim, 0.5, 1)
    assert not queue.finish(claim, "f" * 64)
    again = queue.add("r", "a", 2)
    assert again != ident
    other = queue.claim(3)
    assert other is not None
    assert queue.finish(other, "e" * 64)
    assert queue.cancel(again, "a") is None
    assert queue.knows(again)


def test_a_new_server_need_not_wait_for_the_workers_of_the_last(queue: Queue) -> None:
    ident = queue.add("r", "a", 0)
    late = queue.claim(0)
    assert late is not None
    queue.release()
    second = queue.claim(1)
    assert second is not None
    assert (second.ident, second.attempt) == (ident, 2)
    assert not queue.finish(late, "f" * 64)
    assert queue.finish(second, "e" * 64)
    queue.release()
    assert queue.is_done("r")
