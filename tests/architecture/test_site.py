"""The site of the documentation holds every page, every public name and every command.

`make docs` builds it, in an environment of its own; what can be told without it is told here.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import click

import veracity
from tools.site.commands import commands, page
from veracity.cli import main

ROOT = Path(__file__).parents[2]
CONFIG = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
HOOKS = (ROOT / "tools/site/hooks.py").read_text(encoding="utf-8")


def test_every_page_is_in_the_navigation_once() -> None:
    listed = re.findall(r"([\w./-]+\.md)$", CONFIG.partition("\nnav:\n")[2], re.MULTILINE)
    docs = ROOT / "docs"
    pages = {path.relative_to(docs).as_posix() for path in docs.rglob("*.md")}
    notebooks = docs.rglob("*.ipynb")
    pages |= {path.relative_to(docs).with_suffix(".md").as_posix() for path in notebooks}
    root = {path.name.replace("README", "readme") for path in ROOT.glob("*.md")}
    assert sorted(listed) == sorted(pages | root | {"commands.md"})


def test_pages_of_the_root_are_those_that_the_hooks_add() -> None:
    added = re.search(r"^ROOT_PAGES = \((.*?)\)$", HOOKS, re.MULTILINE)
    assert added is not None
    assert set(re.findall(r'"([^"]+)"', added[1])) == {path.name for path in ROOT.glob("*.md")}


def test_every_public_name_has_its_place_among_the_pages_of_python() -> None:
    text = "\n".join(p.read_text(encoding="utf-8") for p in (ROOT / "docs/api").glob("*.md"))
    told = re.findall(r"^::: veracity\.([\w.]+)$", text, re.MULTILINE)
    private = {f"private.{name}" for name in veracity.private.__all__}
    assert sorted(told) == sorted({*veracity.__all__, *private})


def test_every_command_is_on_the_page_of_commands() -> None:
    text = page()
    contexts = list(commands(main))
    assert len(contexts) > len(main.list_commands(click.Context(main)))
    for context in contexts:
        assert f"# {context.command_path}\n" in text
        for parameter in context.command.get_params(context):
            if isinstance(parameter, click.Option) and not parameter.hidden:
                assert parameter.opts[0] in text


def test_what_makes_the_site_is_pinned() -> None:
    lines = (ROOT / "requirements/docs.txt").read_text(encoding="utf-8").split()
    pins = dict(line.split("==") for line in lines)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [*project["optional-dependencies"]["docs"], *project["dependencies"]]
    for requirement in asked:
        found = re.match(r"([\w-]+)(?:\[\w+\])?>=([\d.]+)", requirement)
        assert found is not None, requirement
        assert numbers(pins[found[1]]) >= numbers(found[2]), requirement


def numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]
