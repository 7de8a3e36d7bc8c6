"""`commit --exact`: `verify` says what the annex proves of the weights, and checks it once."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

import veracity
from tests.e2e.house import PROMPT, House, done
from veracity.errors import VerificationError
from veracity.work.well_formed import verdict_file


@pytest.fixture(scope="module")
def exact(house: House, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The house's model under a commitment with exact widths, and an answer."""
    folder = tmp_path_factory.mktemp("exact")
    files = ("--secret", folder / "m.vsec")
    done("commit", house.program, "-q", "--exact", "--out", folder / "m.vcom", *files)
    words = ("--raw", "--prompt", PROMPT, "--max-new-tokens", 2, "--out", folder / "a.vproof")
    done("prove", house.program, "-q", *files, *words)
    return folder


def test_verify_says_which(
    house: House, exact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VERACITY_CACHE", str(tmp_path))
    commitment = veracity.Commitment.load(exact / "m.vcom")
    assert 0 < len(commitment.widths) <= 20_000
    plain = replace(commitment, widths=b"")
    false = replace(commitment, widths=commitment.widths[:-1] + b"\0")
    assert commitment.digest == plain.digest == false.digest
    found = veracity.verify(exact / "a.vproof", commitment)
    assert found.widths_checked
    assert "integers within the widths that its program states" in found.proved
    found = veracity.verify(exact / "a.vproof", plain)
    assert not found.widths_checked
    assert "integers below 2^49" in found.proved
    for _ in range(2):
        with pytest.raises(VerificationError, match="weights"):
            veracity.verify(exact / "a.vproof", false)
    assert verdict_file(commitment) != verdict_file(plain)
    assert not verdict_file(false).exists()


def test_the_command_line_says_which(house: House, exact: Path) -> None:
    for proof, commitment, checked in (
        (exact / "a.vproof", exact / "m.vcom", True),
        (house.proof, house.commitment, False),
    ):
        facts = json.loads(done("verify", proof, "--commitment", commitment, "--json").stdout)
        assert facts["widths_checked"] is checked
        stated = "stated widths" if checked else "integers below 2^49"
        assert stated in done("inspect", commitment).stdout


def test_the_annex_is_all_that_differs(house: House, exact: Path) -> None:
    with_widths = veracity.Commitment.load(exact / "m.vcom").to_bytes()
    plain = replace(veracity.Commitment.load(exact / "m.vcom"), widths=b"").to_bytes()
    assert len(with_widths) - len(plain) <= 20_000
    assert veracity.Commitment.from_bytes(with_widths).to_bytes() == with_widths
    assert veracity.Commitment.from_bytes(plain).widths == b""
