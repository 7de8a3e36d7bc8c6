"""What a question takes is told from the plan and from the last answer."""

from __future__ import annotations

import json
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.private_services import model
from veracity.engine import load_engine
from veracity.private.parties.passes import passes_of, price_of
from veracity.private.parties.report import MOST, Paces, PassReport

ENGINE = load_engine("cpu")
REPORT = PassReport(0, 1, 1, 0.0, 0.0, 0.0, 0.0, 0.0, 0, 0, 0, 0, 0.0)


def took(passes: int, size: int, seconds: float) -> PassReport:
    return replace(REPORT, attempts=passes, offline_bytes=size, wall_s=seconds)


def test_bytes_are_the_plans(tmp_path: Path) -> None:
    program = model().program
    found = Paces(tmp_path / "paces").estimate("a", ENGINE, program, "secure", 5, 3)
    price = price_of(ENGINE, program, "secure")
    assert found.material_bytes == sum(price(*one) for one in passes_of(5, 3, price))
    assert (found.prompt_tokens, found.max_new_tokens, found.passes) == (5, 3, 3)
    assert found.seconds is None


def test_seconds_are_those_of_the_last_answer(tmp_path: Path) -> None:
    """Prompt and tokens give the seconds of a pass and of a byte, which hold for other lengths."""
    program, each, byte = model().program, 2.5, 3e-6
    reports = [took(3, 4_000_000, 3 * each + 4_000_000 * byte)]
    reports += [took(1, 100_000, each + 100_000 * byte)] * 4
    Paces(tmp_path / "paces").note("a", reports)
    assert stat.S_IMODE((tmp_path / "paces").stat().st_mode) == 0o600
    paces = Paces(tmp_path / "paces")
    for rows, count in ((5, 3), (2, 9), (30, 1)):
        found = paces.estimate("a", ENGINE, program, "secure", rows, count)
        expected = found.passes * each + found.material_bytes * byte
        assert found.seconds == pytest.approx(expected)
    assert paces.estimate("b", ENGINE, program, "secure", 2, 2).seconds is None


@pytest.mark.parametrize("tokens", [[], [took(2, 600, 1.0)], [took(1, 1, 90.0)], [took(9, 1, 0.0)]])
def test_equations_that_do_not_go_together(tokens: list[PassReport], tmp_path: Path) -> None:
    """An answer of one token, or times that another load has bent: seconds in all for each byte."""
    paces, program = Paces(tmp_path / "paces"), model().program
    paces.note("a", [took(1, 300, 3.0), *tokens])
    found = paces.estimate("a", ENGINE, program, "secure", 4, 2)
    whole = [took(1, 300, 3.0), *tokens]
    rate = sum(r.wall_s for r in whole) / sum(r.offline_bytes for r in whole)
    assert found.seconds == pytest.approx(found.material_bytes * rate)


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{", b"null", b'{"a": [1, 2]}', b'{"a": 5}', b'{"a": [1, 1, "x", 1, 1, 1]}',
     b'{"a": [1, 1, -1, 1, 1, 1]}', b'{"a": [1, 1, NaN, 1, 1, 1]}'],
)  # fmt: skip
def test_a_damaged_file_is_none(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "paces").write_bytes(data)
    paces = Paces(tmp_path / "paces")
    assert paces.estimate("a", ENGINE, model().program, "secure", 2, 2).seconds is None
    paces.note("a", [took(1, 10, 1.0)])
    paces.note("a", [])
    assert Paces(tmp_path / "paces")._kept["a"] == (1, 10, 1.0, 0, 0, 0)


def test_owners_are_forgotten_in_order(tmp_path: Path) -> None:
    paces = Paces(tmp_path / "paces")
    for i in range(MOST + 3):
        paces.note(str(i), [took(1, 10, 1.0)])
    assert list(json.loads((tmp_path / "paces").read_text())) == [
        str(i) for i in range(3, MOST + 3)
    ]
