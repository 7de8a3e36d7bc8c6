"""The README's quick start is run word for word."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).resolve().parents[2] / "README.md"


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert found, f"README has no {language} block"
    return found.group(1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("quickstart")


def run(folder: Path, *command: str) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_quick_start(folder: Path) -> None:
    shell = block("sh")
    assert len(shell.strip().splitlines()) <= 20
    output = run(folder, "bash", "-euo", "pipefail", "-c", shell)
    assert "ACCEPTED" in output
    assert "Once upon a time" in output

    assert run(folder, sys.executable, "-c", block("python")).strip()
    assert sorted(path.name for path in folder.iterdir()) == [
        "answer.vproof",
        "cat.vproof",
        "stories.vcom",
        "stories.vprog",
        "stories.vsec",
    ]
