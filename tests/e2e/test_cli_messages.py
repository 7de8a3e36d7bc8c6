"""Odd names and folders, verdicts on numbers, completion: one line each, with what to do next."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.house import PROMPT, House, done, veracity
from tests.e2e.test_cli_faults import USAGE, expect
from veracity.errors import UsageError
from veracity.formats.program import load_program_file, save_program_file
from veracity.private.client import Client
from veracity.private.services import deal, serve
from veracity.proving.models import judged, require_agreement

LONG = "n" * 300


def test_names_that_no_file_can_have(house: House, tmp_path: Path) -> None:
    prove = ("prove", house.program, "--secret", house.secret, "--prompt", PROMPT)
    for arguments in (
        ("inspect", LONG),
        ("verify", LONG, "--commitment", house.commitment),
        ("verify", house.proof, "--commitment", LONG),
        ("calibrate", LONG),
        ("calibrate", house.program, "--text", LONG, "--force"),
        ("commit", house.program, "--out", LONG, "--secret", tmp_path / "x.vsec"),
        ("commit", house.program, "--out", tmp_path / "x.vcom", "--secret", LONG),
        ("estimate", LONG),
        ("import", LONG),
        ("import", LONG, "--out", tmp_path / "x.vprog"),
        ("import", "stories260k", "--out", tmp_path / LONG),
        ("bench", f"{LONG}.vprog"),
        (*prove, "--out", tmp_path / LONG),
        (*prove, "--out", tmp_path / "x.vproof", "--prompt-file", "x"),
        ("prove", house.program, "--secret", LONG, "--prompt", "x", "--out", tmp_path / "x.vproof"),
        ("prove", LONG, "--prompt", "x", "--out", tmp_path / "x.vproof"),
    ):
        line = expect(USAGE, *arguments, says="")
        assert len(line) < 400, arguments
    assert list(tmp_path.iterdir()) == []


def test_names_that_lead_nowhere(house: House, tmp_path: Path) -> None:
    """A link to itself, and nothing: a variable of a shell that is not set."""
    circle = tmp_path / "circle"
    circle.symlink_to(circle)
    prove = ("prove", house.program, "--prompt", "x")
    for arguments in (
        ("import", circle),
        ("calibrate", house.program, "--text", circle),
        ("commit", circle),
        (*prove, "--secret", circle),
        (*prove, "--secret", house.secret, "--out", house.secret, "--force"),
        ("commit", ""),
        ("evaluate", "", "--samples", house.proof),
        ("data", "commit", ""),
        ("enhance", "-i", tmp_path, "-o", circle),
    ):
        expect(USAGE, *arguments, says="")
    assert list(tmp_path.iterdir()) == [circle]


def test_folders_that_are_none(house: House, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x", encoding="utf-8")
    for odd in (file / "folder", tmp_path / LONG, Path("/proc/none")):
        run = ("bench", house.program, "--tokens", 8, "-q", "--keep", odd)
        assert veracity(*run).exit_code == USAGE, odd
        certificates = veracity("private", "certificates", odd)
        assert certificates.exit_code == USAGE, odd
        assert "internal" not in certificates.output


def test_hints_name_the_subcommand(house: House) -> None:
    ask = ("private", "ask", "x", "--server", "nowhere", "--dealer", "h:1", "--insecure")
    result = veracity(*ask)
    assert result.exit_code == USAGE
    assert "`veracity private ask -h`" in result.stderr
    assert "`veracity verify -h`" in veracity("verify", "x", "--commitment", "gone").stderr


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), -1.0, "2", None, True])
def test_times_that_never_come_are_refused(house: House, tmp_path: Path, odd: Any) -> None:
    with pytest.raises(UsageError, match="'timeout'"):
        Client("h:1", "h:2", insecure=True, cache=tmp_path, timeout=odd)
    with pytest.raises(UsageError, match="'wait'"):
        Client("h:1", "h:2", insecure=True, cache=tmp_path, wait=odd)
    with pytest.raises(UsageError, match="'timeout'"):
        asyncio.run(deal("127.0.0.1:0", insecure=True, cache=tmp_path, timeout=odd))
    with pytest.raises(UsageError, match="'timeout'"):
        asyncio.run(serve(house.program, "h:1", "h:2", insecure=True, cache=tmp_path, timeout=odd))


# ---- what calibration found ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("agreement", "begins", "refuses"),
    [
        (1.0, "good", False),
        (0.98, "good", False),
        (0.9799, "WARNING", False),
        (0.89, "WARNING", True),
    ],
)
def test_a_verdict_on_the_numbers(agreement: float, begins: str, refuses: bool) -> None:
    said = judged({"top1_agreement": agreement})
    assert said.startswith(begins)
    assert ("--force" in said) is refuses
    assert judged({}) == ""


def test_a_poor_likeness_is_not_committed_by_mistake(house: House, tmp_path: Path) -> None:
    content = load_program_file(house.program)
    report = dict(content.report)
    report["accuracy"] = {**report["accuracy"], "top1_agreement": 0.5}
    poor = tmp_path / "poor.vprog"
    save_program_file(poor, replace(content, report=report))
    expect(USAGE, "commit", poor, says="50.0 % of tokens")
    assert list(tmp_path.iterdir()) == [poor]
    done("commit", poor, "--force", "-q")
    random = tmp_path / "random.vprog"
    save_program_file(
        random, replace(content, report=report, source={**content.source, "kind": "synthetic"})
    )
    require_agreement(random)


def test_calibrate_ends_with_it(house: House, tmp_path: Path) -> None:
    path = tmp_path / "again.vprog"
    path.write_bytes(house.program.read_bytes())
    shown = done("calibrate", path, "-q").stdout.splitlines()
    assert shown[-1].startswith("verdict   good: ")


# ---- completion ---------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str) -> None:
    script = done("completion", shell).stdout
    assert "_VERACITY_COMPLETE" in script
    environment = {
        **os.environ,
        "_VERACITY_COMPLETE": f"{shell}_complete",
        "COMP_WORDS": "veracity ver",
        "COMP_CWORD": "ver" if shell == "fish" else "1",
    }
    program = "import sys; sys.argv[0] = 'veracity'; from veracity.cli import main; main()"
    asked = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "verify" in asked.stdout, asked.stderr
