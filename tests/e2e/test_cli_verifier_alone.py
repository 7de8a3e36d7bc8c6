"""A verifier with two files and nothing else: no weights, no formats, no randomness."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.architecture.test_verifier_closure import PURE_GUARD, run_guarded
from tests.e2e.house import House, veracity


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


def test_nothing_compiled_is_needed(house: House, tmp_path: Path) -> None:
    """Python integers alone reach the same verdict; the fast engine is never missed in silence."""
    verify = "import veracity\nveracity.verify(sys.argv[1], sys.argv[2], backend=sys.argv[3])\n"
    files = house.proof, house.commitment
    done = run_guarded(verify, *files, "reference", guard=PURE_GUARD)
    assert done.returncode == 0, done.stderr
    done = run_guarded(verify, *files, "cpu", guard=PURE_GUARD)
    assert done.returncode == 1
    assert "BackendUnavailable" in done.stderr
    damaged = bytearray(house.proof.read_bytes())
    damaged[-40] ^= 1
    false = tmp_path / "false.vproof"
    false.write_bytes(damaged)
    done = run_guarded(verify, false, house.commitment, "reference", guard=PURE_GUARD)
    assert done.returncode == 1
    assert "VerificationError" in done.stderr or "FormatError" in done.stderr


def test_the_command_line_chooses_the_backend(house: House) -> None:
    verify = ("verify", house.proof, "--commitment", house.commitment, "--quiet", "--backend")
    assert veracity(*verify, "reference").exit_code == 0
    wrong = veracity(*verify, "abacus")
    assert wrong.exit_code == 2
    assert "choose from cpu, reference" in wrong.output + wrong.stderr
