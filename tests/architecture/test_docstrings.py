"""Public functions with three parameters or more have numpydoc sections, and name each of them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import veracity

ROOT = Path(veracity.__file__).parent
SOURCES = sorted(ROOT.rglob("*.py"))
MANY = 3
#: Backends implement what ``engine.api`` documents: their methods say nothing, or all of it.
BACKENDS = ("engine/cpu/", "engine/reference/")

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(tree: ast.Module) -> Iterator[tuple[str, Function]]:
    """Public functions, and public methods of public classes, with their dotted names."""
    for node in tree.body:
        if isinstance(node, Function) and not node.name.startswith("_"):
            yield node.name, node
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            for member in node.body:
                if isinstance(member, Function) and not member.name.startswith("_"):
                    yield f"{node.name}.{member.name}", member


def parameters(function: Function) -> list[str]:
    given = function.args
    names = [a.arg for a in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    names += [a.arg for a in (given.vararg, given.kwarg) if a is not None]
    return [name for name in names if name not in ("self", "cls")]


def is_command(function: Function) -> bool:
    """A command's docstring is what ``--help`` prints; its options have texts of their own."""
    return any(
        "click" in ast.unparse(d) or "_option" in ast.unparse(d) for d in function.decorator_list
    )


def documented(docstring: str) -> set[str]:
    """Names of the entries of the section "Parameters"."""
    found = re.search(
        r"^Parameters\n-+\n(.*?)(?=^\S[^\n]*\n-+\n|\Z)", docstring, re.DOTALL | re.MULTILINE
    )
    if found is None:
        return set()
    heads = re.findall(r"^(\S[^\n]*?)(?: : [^\n]*)?$", found[1], re.MULTILINE)
    return {name.strip().lstrip("*") for head in heads for name in head.split(",")}


def gaps(path: Path) -> dict[str, set[str]]:
    """Parameters that are missing from the section, by function; and entries too many."""
    out = {}
    for name, function in functions(ast.parse(path.read_text(encoding="utf-8"))):
        wanted = set(parameters(function))
        if len(wanted) < MANY or is_command(function):
            continue
        text = ast.get_docstring(function) or ""
        if not text and path.relative_to(ROOT).as_posix().startswith(BACKENDS):
            continue
        if text.startswith(("See :class:", "See :meth:", "As :")):
            continue
        wrong = wanted ^ documented(text)
        if wrong:
            out[name] = wrong
    return out


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_parameters_are_documented(path: Path) -> None:
    assert gaps(path) == {}


def test_reads_sections_as_they_are_written() -> None:
    text = """Summary.

Parameters
----------
a, b : int
    Two.
*rest : str
    More:

    with a paragraph.

Returns
-------
int
"""
    assert documented(text) == {"a", "b", "rest"}
    assert documented("No sections.") == set()
