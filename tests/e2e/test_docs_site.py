"""`make docs` makes a site, and whatever is wrong with a page ends it.

It installs MkDocs into ``build/docs`` first: ``pytest -m slow tests/e2e/test_docs_site.py``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
PARTS = ("docs", "src", "tools", "mkdocs.yml", "pyproject.toml")


@pytest.fixture(scope="module")
def mkdocs() -> Path:
    """MkDocs, in the environment that the Makefile makes for it."""
    subprocess.run(["make", "build/docs/.installed"], cwd=ROOT, check=True)
    return ROOT / "build/docs/bin/mkdocs"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What a site is made of, to be damaged."""
    for name in (*PARTS, *(page.name for page in ROOT.glob("*.md"))):
        place = ROOT / name
        if place.is_dir():
            left = shutil.ignore_patterns("__pycache__", "*.so")
            shutil.copytree(place, tmp_path / name, ignore=left)
        else:
            shutil.copy(place, tmp_path / name)
    return tmp_path


def build(mkdocs: Path, checkout: Path) -> subprocess.CompletedProcess[str]:
    command = [mkdocs, "build", "--strict"]
    told = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, cwd=checkout, env=told, capture_output=True, text=True)


def test_a_site_is_made(mkdocs: Path, checkout: Path) -> None:
    done = build(mkdocs, checkout)
    assert done.returncode == 0, done.stdout + done.stderr
    site = checkout / "build/site"
    pages = {path.relative_to(site).as_posix() for path in site.rglob("*.html")}
    assert {"index.html", "SECURITY.html", "commands.html", "notebooks/first-proof.html"} <= pages
    assert "<math" in (site / "protocols/sumcheck.html").read_text(encoding="utf-8")
    text = (site / "api/verifying.html").read_text(encoding="utf-8")
    assert 'id="veracity.verify"' in text
    assert ":class:" not in text
    assert "<code>veracity sign key|server</code>" in (site / "readme.html").read_text("utf-8")
    assert (site / "site/STIXTwoMath-Regular.ttf").stat().st_size > 1e5


@pytest.mark.parametrize(
    ("added", "complaint"),
    [
        ("[nowhere](nowhere.md)", "nowhere.md"),
        ("[no such heading](onnx.md#nowhere)", "nowhere"),
        ("[a file](../Makefile)", "is no page of the site"),
        ("$\\nonsense{x}$", "nonsense"),
        ('<img src="https://example.org/x.png">', "from elsewhere"),
        ("::: veracity.nothing", "veracity.nothing"),
    ],
)
def test_a_faulty_page_ends_it(mkdocs: Path, checkout: Path, added: str, complaint: str) -> None:
    page = checkout / "docs/comparison.md"
    page.write_text(f"{page.read_text(encoding='utf-8')}\n{added}\n", encoding="utf-8")
    done = build(mkdocs, checkout)
    assert done.returncode != 0
    assert complaint in done.stdout + done.stderr
