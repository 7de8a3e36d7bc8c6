"""The demo, on the small model: every step, every fraud."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

DEMO = Path(__file__).resolve().parents[2] / "examples" / "demo.py"


def demo(folder: Path, *arguments: str) -> str:
    command = [sys.executable, str(DEMO), "--dir", str(folder), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("rejected, as it must be") == 4
    assert {path.name for path in (folder / "verifier").iterdir()} == {
        "answer.vproof",
        "fraud.vproof",
        "model.vcom",
        "other.vcom",
    }
    return done.stdout


def test_demo_on_the_small_model(tmp_path: Path) -> None:
    arguments = ("--model", "stories260k", "--prompt", "Once upon a time", "--tokens", "16")
    shown = demo(tmp_path / "demo", *arguments)
    assert "stories260K, 260,032 parameters" in shown
    assert "16 answer" in shown


@pytest.mark.slow
def test_demo_on_smollm2(tmp_path: Path) -> None:
    shown = demo(tmp_path / "demo", "--tokens", "16")
    assert "prime number is" in shown
