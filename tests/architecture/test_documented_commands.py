"""Commands in the pages exist, with the options that they are shown with."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from veracity.cli import main
from veracity.cli.train import RunsByDefault

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])

_FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.DOTALL | re.MULTILINE)
#: A label of the transcript, such as ``veracity model v3``, is no command.
_INLINE = re.compile(r"`(veracity (?![a-z ]*v\d)[a-z][^`]*)`")
_WORD = re.compile(r"--[a-z][a-z0-9-]*")


def shown(text: str) -> list[str]:
    """Commands in blocks of shell, each on one line, and those in the text."""
    out = []
    for language, block in _FENCE.findall(text):
        if language in ("", "sh"):
            for line in block.replace("\\\n", " ").splitlines():
                out += re.findall(r"(?:^|[ /(;&])(veracity [a-z].*)", line.partition(" # ")[0])
    return out + _INLINE.findall(_FENCE.sub("", text))


def resolve(words: list[str]) -> tuple[click.Command, str]:
    """The command that these words call, and its name."""
    command: click.Command = main
    context = click.Context(main, info_name="veracity", **main.context_settings)
    for word in words[1:]:
        if not isinstance(command, click.Group) or not re.fullmatch(r"[a-z][a-z-]*", word):
            break
        found = command.get_command(context, word)
        if found is None:
            break
        command, context = found, click.Context(found, info_name=word, parent=context)
    if isinstance(command, RunsByDefault):
        command = command.commands["run"]
    return command, context.command_path


def faults(text: str) -> set[str]:
    """Options of a shown command that it lacks; the whole text if there is no such command."""
    try:
        words = shlex.split(text)
    except ValueError:  # an apostrophe of the sentence around it
        words = text.split()
    command, _ = resolve(words)
    if command is main:
        return {text}
    known = {"--help"} | {o for p in command.params for o in (*p.opts, *p.secondary_opts)}
    return {word for word in words if _WORD.fullmatch(word)} - known


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_and_options_exist(page: Path) -> None:
    for text in shown(page.read_text(encoding="utf-8")):
        assert faults(text) == set(), text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_nobody_is_sent_to_a_package_index(page: Path) -> None:
    """This package is in none: whoever registers its name there would be installed."""
    assert not re.search(r"pip install ['\"]?veracity", page.read_text(encoding="utf-8"))


def test_a_command_that_is_not_there_is_found() -> None:
    block = "```sh\nx/bin/veracity prove a \\\n  --nope # veracity b\n```\n"
    page = f"{block}`veracity log x`, `veracity x`"
    prove, log, other = shown(page)
    assert faults(prove) == {"--nope"}
    assert log == "veracity log x"
    assert faults(other) == {"veracity x"}
    assert faults("veracity train a.toml --out b") == set()
    assert resolve(["veracity", "log", "check", "--nope"])[1] == "veracity log check"
