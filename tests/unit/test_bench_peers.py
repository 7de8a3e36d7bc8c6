"""How a stage of another system ended is told, whatever became of it."""

from __future__ import annotations

import sys

import pytest

pytest.importorskip("onnx")

from benches.vision_peers import measured

ROOM = 1 << 32


def stage(code: str, minutes: float = 5, memory: int = ROOM) -> dict[str, object]:
    return measured([sys.executable, "-c", code], minutes, None, memory)


def test_a_stage_tells_its_own_measures() -> None:
    assert stage("import json; print('noise'); print(json.dumps({'seconds': 1}))") == {"seconds": 1}


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", r"ended by SIGKILL (out"),
        ("import os; os.abort()", "ended by SIGABRT"),
        ("raise SystemExit('no key')", "ended with 1: no key"),
        ("print('no measures')", "ended with 0"),
    ],
)
def test_a_stage_that_fails_says_how(code: str, told: str) -> None:
    found = stage(code)
    assert str(found["failed"]).startswith(told)
    assert found["memory_limit_bytes"] == ROOM
    assert "seconds" in found


def test_more_memory_than_the_limit_is_refused() -> None:
    found = stage("x = bytearray(1 << 31)", memory=1 << 30)
    assert str(found["failed"]).startswith("ended with 1: MemoryError")


def test_a_stage_that_takes_too_long_is_stopped() -> None:
    found = stage("import threading; threading.Event().wait()", minutes=0.02)
    assert found["unfinished"] is True
