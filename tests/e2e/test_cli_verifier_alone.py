"""A verifier with two files and nothing else: no weights, no formats, no randomness."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.architecture.test_verifier_closure import run_guarded
from tests.e2e.house import House


def test_two_files_are_enough(house: House, tmp_path: Path) -> None:
    for path in (house.commitment, house.proof):
        shutil.copy(path, tmp_path)
    done = run_guarded(
        "import veracity\n"
        "print(veracity.verify(sys.argv[1], sys.argv[2], prompt='Once upon a time').answer)",
        tmp_path / house.proof.name,
        tmp_path / house.commitment.name,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
