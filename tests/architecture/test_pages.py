"""Pages name what is there: links resolve, and so do paths of files in the text."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])

_MATHEMATICS = re.compile(r"\$\$.*?\$\$|\$[^$\n]*\$", re.DOTALL)
_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
_PATH = re.compile(r"`((?:src|tests|rust|benches|examples|docs)/[\w./-]+)`")
#: In the tables of ``docs/protocols/README.md`` code is named from the package on.
_CODE = re.compile(r"`((?:zk|zkml|net|mpc|private)/[\w./-]*)`")

#: A name of code in the text: with an underscore, or dots between names, or called.
_NAME = re.compile(r"`([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)(?:\([^`]*\))?`")
_SOURCES = {"src": ("py", "pyi"), "tests": ("py",), "rust": ("rs", "toml"), "benches": ("py",)}
_SOURCES |= {"examples": ("py",), "tools": ("py",)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_and_paths_resolve(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = {link for link in _LINK.findall(_MATHEMATICS.sub("", text)) if "://" not in link}
    assert {link for link in links if not (page.parent / link).exists()} == set()
    paths = {path for path in _PATH.findall(text) if "NAME" not in path}
    assert {path for path in paths if not (ROOT / path).exists()} == set()


def test_every_protocol_is_listed_with_its_code() -> None:
    index = ROOT / "docs" / "protocols" / "README.md"
    text = index.read_text(encoding="utf-8")
    listed = set(_LINK.findall(text))
    assert {p.name for p in index.parent.glob("*.md")} - {"README.md"} <= listed
    assert {
        name for name in _CODE.findall(text) if not (ROOT / "src/veracity" / name).exists()
    } == set()


def test_formulas_are_closed() -> None:
    """A dollar sign that opens a formula and has no partner turns the rest of a page into one."""
    for page in PAGES:
        text = re.sub(r"```.*?```|`[^`]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        for paragraph in text.split("\n\n"):
            assert paragraph.count("$") % 2 == 0, (page.name, paragraph[:80])


def test_every_target_that_is_named_has_a_rule() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    rules = set(re.findall(r"^([a-z-]+):(?!=)", makefile, re.MULTILINE))
    phony = re.search(r"^\.PHONY:((?:[^\\\n]|\\\n)*)", makefile, re.MULTILINE)
    assert phony is not None
    assert set(phony[1].replace("\\\n", " ").split()) <= rules
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        fenced = "\n".join(re.findall(r"^```.*?^```", text, re.DOTALL | re.MULTILINE))
        named = set(re.findall(r"`make ([a-z][a-z-]*)", text))
        named |= set(re.findall(r"^make ([a-z][a-z-]*)", fenced, re.MULTILINE))
        assert named <= rules, page.name


def words() -> set[str]:
    """Every name in the sources, and of their files."""
    out = set(re.findall(r"\w+", (ROOT / "pyproject.toml").read_text(encoding="utf-8")))
    for folder, endings in _SOURCES.items():
        for ending in endings:
            for path in (ROOT / folder).rglob(f"*.{ending}"):
                if "target" not in path.parts:
                    out |= {path.stem, ending}
                    out |= set(re.findall(r"[^\W\d]\w*", path.read_text(encoding="utf-8")))
    return out


def test_names_of_code_are_in_the_code() -> None:
    """A function that was renamed leaves no page behind that has its old name."""
    known = words()
    for page in PAGES:
        if page.name == "CHANGELOG.md":  # which tells what was
            continue
        text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        named = {part for name in _NAME.findall(text) if "_" in name for part in name.split(".")}
        assert named - known - {"NAME_input", "png"} == set(), page.name
