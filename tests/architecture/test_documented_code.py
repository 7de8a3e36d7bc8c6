"""Python in the pages calls what is there, with arguments that it takes."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest

import veracity

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])

_BLOCK = re.compile(r"^```python[^\n]*\n(.*?)^```", re.DOTALL | re.MULTILINE)


def faults(code: str) -> list[str]:
    """Names of ``veracity`` that a program uses and that are not there, and unknown arguments."""
    rows = re.match(r'"\w+": ', code)  # of a table, shown alone
    tree = ast.parse(f"{{{code}}}" if rows else code)
    out = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node).startswith("veracity."):
            if found(ast.unparse(node)) is None:
                out.append(ast.unparse(node))
        elif isinstance(node, ast.Call) and (called := found(ast.unparse(node.func))) is not None:
            known = inspect.signature(called).parameters
            given = {keyword.arg for keyword in node.keywords if keyword.arg}
            out += [f"{ast.unparse(node.func)}({name}=)" for name in sorted(given - set(known))]
    return out


def found(name: str) -> object | None:
    """What a dotted name from ``veracity`` on means, if anything."""
    first, *rest = name.split(".")
    value: object | None = veracity if first == "veracity" else None
    for part in rest:
        value = getattr(value, part, None)
    return value


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_code_uses_what_is_there(page: Path) -> None:
    for code in _BLOCK.findall(page.read_text(encoding="utf-8")):
        assert faults(code) == []


def test_what_is_not_there_is_found() -> None:
    code = "import veracity\nveracity.verify(a, b, promt='x')\nveracity.private.Cleint()\n"
    assert faults(code) == ["veracity.verify(promt=)", "veracity.private.Cleint"]
    assert faults("veracity.verify(a, b, prompt='x')") == []
