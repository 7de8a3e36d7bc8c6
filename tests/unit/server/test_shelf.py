"""Receipts on the disk: together, in one order, all or none; openings go without a trace."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

from veracity.errors import RequestError
from veracity.formats.dsse import Envelope
from veracity.formats.merkle import MerkleTree, leaf_hash
from veracity.server.shelf import Entry, Shelf


def entry(name: str, kept: bytes | None = None, until: int = 0) -> Entry:
    return Entry(name, "alice", 5, Envelope("kind", name.encode(), "key", bytes(64)), kept, until)


def test_what_waits_is_stored_in_one_transaction(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "r.sqlite")
    statements: list[str] = []
    shelf._database.set_trace_callback(statements.append)
    with shelf._lock:  # the writer waits with the first one, the others gather
        futures = [shelf.put(entry(f"n{i}")) for i in range(40)]
    for future in futures:
        future.result(10)
    assert statements.count("COMMIT") <= 2
    assert shelf.summary()[0] == 40
    shelf.close()
    again = Shelf(tmp_path / "r.sqlite")
    found = [again.at(i) for i in range(40)]
    assert sorted(f[0] for f in found if f) == sorted(f"n{i}" for i in range(40))
    tree = MerkleTree(leaf_hash(f[1]) for f in found if f)
    assert again.summary() == (40, tree.root(40))
    assert again.root(7) == tree.root(7)
    assert again.root(41) is None
    again.close()


def test_threads_get_their_own_receipts_on_the_disk(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "r.sqlite")

    def work(thread: int) -> None:
        for i in range(20):
            shelf.put(entry(f"{thread}-{i}")).result(10)
            assert shelf.get(f"{thread}-{i}", "alice") is not None

    threads = [threading.Thread(target=work, args=(t,)) for t in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert shelf.summary()[0] == 120
    shelf.close()


def test_a_fault_of_the_disk_stores_none_and_changes_no_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = Shelf(tmp_path / "r.sqlite")
    shelf.put(entry("one")).result(10)
    before = shelf.summary()

    class Full:
        """A disk without room."""

        def __init__(self, real: Any) -> None:
            self.real = real

        def __getattr__(self, name: str) -> Any:
            return getattr(self.real, name)

        def execute(self, statement: str, *rest: Any) -> Any:
            if statement == "COMMIT":
                raise sqlite3.OperationalError("database or disk is full")
            return self.real.execute(statement, *rest)

    real = shelf._database
    monkeypatch.setattr(shelf, "_database", Full(real))
    with pytest.raises(RequestError, match="could not be stored"):
        shelf.put(entry("two")).result(10)
    assert shelf.summary() == before
    monkeypatch.setattr(shelf, "_database", real)
    shelf.put(entry("three")).result(10)
    assert shelf.at(1) is not None
    assert shelf.at(1)[0] == "three"  # type: ignore[index]
    shelf.close()


def test_an_opening_is_deleted_when_its_time_is_over(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "r.sqlite")
    secret = b"once upon a secret prompt"
    shelf.put(entry("old", secret, 10)).result(10)
    shelf.put(entry("new", b"kept", 20)).result(10)
    assert any(secret in p.read_bytes() for p in tmp_path.iterdir())
    assert shelf.forget(15) == 1
    assert not any(secret in p.read_bytes() for p in tmp_path.iterdir())
    assert shelf.at(0)[2] is None  # type: ignore[index]
    assert shelf.at(1)[2] == b"kept"  # type: ignore[index]
    assert shelf.forget(15) == 0
    shelf.close()
    assert all(p.stat().st_mode & 0o077 == 0 for p in tmp_path.iterdir())


def test_a_client_that_leaves_meanwhile_stops_no_other(tmp_path: Path) -> None:
    """Its receipt is stored all the same: it was signed."""
    shelf = Shelf(tmp_path / "receipts.sqlite")

    async def leave() -> None:
        with shelf._lock:  # the disk takes its time
            left = asyncio.wrap_future(shelf.put(entry("one")))
            left.cancel()
            with pytest.raises(asyncio.CancelledError):
                await left
            await asyncio.sleep(0.01)  # the store's future hears of it
        await asyncio.wait_for(asyncio.wrap_future(shelf.put(entry("two"))), 60)

    asyncio.run(leave())
    assert shelf.summary()[0] == 2
    shelf.close()
