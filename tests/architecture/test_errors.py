"""Errors are the ones of ``veracity.errors``, each documented, each with a hint."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest

from veracity import errors
from veracity.cli.errors import hint

SOURCES = sorted((Path(errors.__file__).parent).rglob("*.py"))

#: Built-in exceptions that may be raised: by the engine on invalid shapes (its interface says so),
#: by Python's own protocols (attributes, mappings), and for states that no input can reach.
BUILTINS = {
    "ArithmeticError",
    "AttributeError",
    "FrozenInstanceError",  # an attribute's, of records as of frozen dataclasses
    "IndexError",
    "KeyError",
    "NotImplementedError",
    "RuntimeError",
    "StopIteration",
    "SystemExit",
    "TypeError",
    "ValueError",
}
#: States that no input can reach, by file.
UNREACHABLE = {"program.py": {"ValueError"}}  # an archive that was closed while it is written
LAYERS_FOR_USERS = ("benchmarks", "cli", "formats", "frontends", "private", "proving", "work")


def raised(tree: ast.Module) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and node.exc is not None:
            call = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            if isinstance(call, ast.Name) and call.id[0].isupper():
                names.add(call.id)
    return names


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: "/".join(path.parts[-2:]))
def test_only_declared_errors_are_raised(path: Path) -> None:
    names = raised(ast.parse(path.read_text(encoding="utf-8")))
    unknown = names - set(errors.__all__) - BUILTINS
    assert unknown == set()
    if path.parent.name in LAYERS_FOR_USERS:
        internal = {"RuntimeError", "TypeError", "ValueError", "KeyError", "IndexError"}
        assert names & internal <= UNREACHABLE.get(path.name, set())


@pytest.mark.parametrize("name", errors.__all__)
def test_every_error_is_documented_and_has_a_hint(name: str) -> None:
    kind = getattr(errors, name)
    assert inspect.getdoc(kind)
    if name in ("VeracityError", "PeerError"):
        return
    arguments = len(inspect.signature(kind.__init__).parameters) - 1
    fault = (
        kind(*(["word"] * min(arguments, 3)))
        if kind.__init__ is not Exception.__init__
        else kind("word")
    )
    assert hint(fault)
    assert "\n" not in str(fault)
