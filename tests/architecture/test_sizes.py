"""Files hold one idea: about 150 lines, and none beyond 450."""

from __future__ import annotations

from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).parents[2]
LONGEST = 450
#: The median of the sources; short files (an ``__init__``, a row of a registry) are not an aim.
MEDIAN = range(100, 201)
SKIPPED = {"target", "__pycache__"}


def files(folder: str, *endings: str) -> dict[str, int]:
    """Lines of each file, by its path in the repository."""
    return {
        path.relative_to(ROOT).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for path in sorted((ROOT / folder).rglob("*"))
        if path.suffix in endings and not SKIPPED & set(path.relative_to(ROOT).parts)
    }


@pytest.mark.parametrize(
    ("folder", "endings"),
    [("src", (".py", ".pyi")), ("rust", (".rs",)), ("tests", (".py",)), ("benches", (".py",))],
)
def test_no_file_is_too_long(folder: str, endings: tuple[str, ...]) -> None:
    sizes = files(folder, *endings)
    assert sizes
    long = {path: lines for path, lines in sizes.items() if lines > LONGEST}
    assert long == {}, "split it by subject"


def test_the_median_source_holds_one_idea() -> None:
    sizes = [n for path, n in files("src", ".py").items() if not path.endswith("__init__.py")]
    assert int(median(sizes)) in MEDIAN
