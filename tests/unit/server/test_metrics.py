"""Numbers about a server: true, bounded, without words; and what it forgets in time."""

from __future__ import annotations

import http.client
import os
from pathlib import Path
from typing import Any

import pytest

from veracity.errors import UsageError
from veracity.server.jobs import Queue
from veracity.server.metrics import Metrics, serve_metrics
from veracity.server.proofs import Proofs
from veracity.server.upkeep import Upkeep


def test_what_is_counted() -> None:
    metrics = Metrics([lambda: {'veracity_jobs{state="done"}': 2}])
    for _ in range(3):
        metrics.note("/v1/completions", 200, 0.5, {"tokens": [4, 6]})
    metrics.note("/v1/completions", 400, 0.25, {"code": "prompt_refused"})
    metrics.note(None, 404, 0.0, {"path": "secret words"})
    lines = metrics.text().splitlines()
    for line in (
        'veracity_requests_total{route="/v1/completions",status="200"} 3',
        'veracity_request_seconds_total{route="/v1/completions"} 1.75',
        'veracity_tokens_total{kind="answer"} 18',
        "veracity_refusals_total 1",
        'veracity_requests_total{route="none",status="404"} 1',
        'veracity_jobs{state="done"} 2',
        "# TYPE veracity_jobs gauge",
    ):
        assert line in lines
    assert "secret" not in metrics.text()
    assert sum(line.startswith("# TYPE veracity_requests_total") for line in lines) == 1


def test_they_are_for_this_machine_under_its_own_name() -> None:
    server = serve_metrics(Metrics(), 0)
    port = server.server_address[1]
    try:
        assert server.server_address[0] == "127.0.0.1"

        def get(path: str, host: str) -> int:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            try:
                connection.request("GET", path, headers={"host": host})
                return connection.getresponse().status
            finally:
                connection.close()

        assert get("/metrics", f"127.0.0.1:{port}") == 200
        assert get("/metrics", "localhost") == 200
        assert get("/metrics", "evil.example:80") == 404
        assert get("/other", "localhost") == 404
        with pytest.raises(UsageError, match="cannot listen"):
            serve_metrics(Metrics(), port)
    finally:
        server.shutdown()
        server.server_close()


class Place:
    """Where a queue's files lie."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def proof(self, ident: str) -> Path:
        return self.folder / f"{ident}.vproof"


def test_old_proofs_make_room_and_may_be_ordered_anew(tmp_path: Path) -> None:
    queue = Queue(tmp_path / "jobs.sqlite", 60)
    proofs: Any = Proofs.__new__(Proofs)
    proofs.queue, proofs.place = queue, Place(tmp_path)
    idents = []
    for n in range(4):
        ident = queue.add(f"r{n}", "a", float(n))
        if n < 3:
            claim = queue.claim(10.0)
            assert claim is not None
            queue.finish(claim, "0" * 64)
        path = tmp_path / f"{ident}.vproof"
        path.write_bytes(bytes(100))
        os.utime(path, (1000 + n, 1000 + n))
        idents.append(ident)
    Upkeep(None, proofs).once(5000.0)
    assert len(list(tmp_path.glob("*.vproof"))) == 4
    Upkeep(None, proofs, keep=100.0).once(1101.0)  # made before 1001
    assert queue.find("r0") is None
    assert queue.add("r0", "a", 20.0) != idents[0]
    Upkeep(None, proofs, room=200).once(0.0)
    assert queue.find("r1") is None
    assert queue.find("r2") == idents[2]
    Upkeep(None, proofs, room=1).once(0.0)
    assert queue.find("r2") is None
    assert queue.find("r3") == idents[3]  # a worker's
    assert [p.stem for p in tmp_path.glob("*.vproof")] == [idents[3]]
    assert queue.counts() == {"queued": 2}
    queue.close()
