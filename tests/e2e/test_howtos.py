"""Commands and code of the how-tos are run word for word, page after page."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from pathlib import Path

import pytest

from tests.e2e.house import veracity
from veracity.formats.commitment import Commitment

PAGES = Path(__file__).resolve().parents[2] / "docs/howto"
PUBLIC = ("stories.vcom", "stories.vcom.sig", "publisher.key.pub", "answer.vproof")

_BLOCK = re.compile(
    r"^```(sh|python|toml)(?: title=\"([\w.]+)\")?\n(.*?)^```", re.DOTALL | re.MULTILINE
)
_CODE = re.compile(r"\s+# exit code (\d)$")


def walk(page: str, folder: Path, digest: str = "") -> list[str]:
    """Do what a page shows, in ``folder``; returns what each command printed."""
    printed = []
    namespace: dict[str, object] = {"DIGEST": digest}
    for language, title, text in _BLOCK.findall((PAGES / page).read_text(encoding="utf-8")):
        if language == "toml":
            (folder / title).write_text(text, encoding="utf-8")
            continue
        if language == "python":
            exec(compile(text, page, "exec", dont_inherit=True), namespace)
            continue
        for line in text.replace("\\\n", " ").splitlines():
            code = _CODE.search(line)
            words = shlex.split(_CODE.sub("", line).replace("$DIGEST", digest))
            assert words[0] == "veracity", line
            result = veracity(*words[1:])
            assert result.exit_code == (int(code[1]) if code else 0), (line, result.output)
            printed.append(result.stdout)
    assert printed, page
    return printed


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an owner who followed the page."""
    folder = tmp_path_factory.mktemp("owner")
    sentences = "Once upon a time a girl lived near a forest. One day a cat came to her. "
    (folder / "words.txt").write_text(sentences * 24)
    before = Path.cwd()
    os.chdir(folder)
    try:
        walk("publish-a-model.md", folder)
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def auditor(published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the owner published, and nothing else."""
    for name in PUBLIC:
        shutil.copy(published / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_an_owner_publishes(published: Path) -> None:
    made = {path.name for path in published.iterdir()}
    assert made == {*PUBLIC, "stories.vprog", "stories.vsec", "publisher.key", "words.txt"}
    for name in ("stories.vsec", "publisher.key"):
        assert (published / name).stat().st_mode & 0o077 == 0


def test_an_auditor_checks(auditor: Path) -> None:
    printed = walk("check-an-answer.md", auditor, Commitment.load(auditor / "stories.vcom").digest)
    verdicts = [text.split("\n", 1)[0] for text in printed[2:5]]
    assert verdicts == ["ACCEPTED", "REJECTED", "ACCEPTED"]
    assert "ACCEPTED" in (auditor / "verdict.html").read_text(encoding="utf-8")


def test_a_program_checks(auditor: Path) -> None:
    digest = Commitment.load(auditor / "stories.vcom").digest
    (printed,) = walk("verify-in-a-program.md", auditor, digest)
    assert '"accepted": true' in printed


def test_an_owner_of_data_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    printed = walk("answer-for-your-data.md", tmp_path)
    assert printed[4].startswith("ACCEPTED")
    assert "row       17" in printed[-1]


def test_a_command_that_fails_is_noticed(auditor: Path) -> None:
    with pytest.raises(AssertionError, match=r"verify answer\.vproof"):
        walk("check-an-answer.md", auditor, "0" * 64)
