"""The tables of the pages say what the measurements say."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from benches import figures


@pytest.mark.parametrize("path", figures.PAGES, ids=lambda path: path.name)
def test_page_is_what_its_measurements_make(path: Path) -> None:
    page = path.read_text(encoding="utf-8")
    assert figures.rendered(page) == page, "run `make figures`"


def test_every_table_stands_on_a_page_once() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in figures.PAGES)
    found = re.findall(r"<!-- figures:([a-z-]+) -->", text)
    assert sorted(found) == sorted(figures.TABLES)
    assert text.count("<!-- end -->") == len(found)


@pytest.mark.parametrize("name", figures.WORKLOADS)
def test_proofs_report_the_common_core(name: str) -> None:
    found = figures.load(name)
    assert set(figures.CORE) <= found.keys()
    assert found["workload"] == name


def test_every_point_of_the_scale_reports_the_common_core() -> None:
    found = figures.load("scale")
    for run in [*found["sizes"], *(r for runs in found["tokens"].values() for r in runs)]:
        assert set(figures.CORE) <= run.keys()


def test_every_measurement_says_where_it_was_made() -> None:
    for path in figures.FIGURES.glob("*.json"):
        found = json.loads(path.read_text(encoding="utf-8"))
        points = found["sizes"] if path.stem == "scale" else [found]
        assert all(point["commit"] for point in points), path.name


def test_a_new_measurement_is_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, new = tmp_path / "kept", tmp_path / "new"
    kept.mkdir()
    new.mkdir()
    monkeypatch.setattr(figures, "FIGURES", kept)
    run = dict.fromkeys(figures.CORE, 1)
    for name in ("smollm2", "floors"):
        (kept / f"{name}.json").write_text("{}", encoding="utf-8")
    (new / "smollm2.json").write_text(json.dumps(run), encoding="utf-8")
    (new / "other.json").write_text("{}", encoding="utf-8")
    assert figures.record(new) == ["smollm2"]
    assert json.loads((kept / "smollm2.json").read_text(encoding="utf-8")) == run
    assert not (kept / "other.json").exists()

    del run["lookups"]
    (new / "smollm2.json").write_text(json.dumps(run), encoding="utf-8")
    with pytest.raises(SystemExit, match="lookups"):
        figures.record(new)
