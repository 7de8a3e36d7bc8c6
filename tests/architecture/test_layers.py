"""The layer table of ARCHITECTURE.md is a failing test, not a wish."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LAYERS = {
    "engine",
    "errors",
    "formats",
    "frontends",
    "graph",
    "lm",
    "mpc",
    "net",
    "private",
    "proving",
    "text",
    "work",
    "zk",
    "zkml",
}
SOURCES = sorted((ROOT / "src" / "veracity").rglob("*.py"))


def trees() -> list[tuple[Path, ast.Module]]:
    return [(path, ast.parse(path.read_text(encoding="utf-8"))) for path in SOURCES]


def test_import_contract_holds() -> None:
    """In a process of its own: the linter disables the loggers of the one it runs in."""
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    command = [sys.executable, "-c", code, "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def imported(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


def test_nothing_below_the_cli_imports_the_package_root() -> None:
    """The root re-exports the products; importing it from a lower layer would hide a cycle."""
    offenders = [
        str(path)
        for path, tree in trees()
        if "cli" not in path.parts
        for node in ast.walk(tree)
        if (isinstance(node, ast.Import) and "veracity" in {a.name for a in node.names})
        or (
            isinstance(node, ast.ImportFrom)
            and node.module == "veracity"
            and not {a.name for a in node.names} <= LAYERS
        )
    ]
    assert offenders == []


@pytest.mark.parametrize("banned", ["pickle", "dill", "marshal", "shelve"])
def test_no_unsafe_serialisation(banned: str) -> None:
    assert [str(path) for path, tree in trees() if banned in imported(tree)] == []


def test_no_assert_guards_anything() -> None:
    """Asserts vanish under ``python -O``; input must meet a typed error."""
    offenders = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Assert)
    ]
    assert offenders == []


def test_private_inference_is_handed_its_engine() -> None:
    """Whoever builds a session chooses what computes; nothing below it does."""
    offenders = [
        str(path)
        for path, tree in trees()
        if "mpc" in path.parts and "veracity.engine" in imported(tree)
    ]
    assert offenders == []


def test_private_modes_have_the_same_file_names() -> None:
    """Who knows one mode finds the same subject in the other."""
    home = ROOT / "src" / "veracity" / "mpc"
    names = [{p.stem for p in (home / mode).glob("*.py")} for mode in ("secure", "shuffled")]
    page = (ROOT / "docs" / "howto" / "add-a-private-mode.md").read_text(encoding="utf-8")
    both = (names[0] & names[1]) - {"__init__"}
    assert both == {
        "attention", "evaluate", "functions", "head", "linear", "mode", "opening", "ops", "plan",
        "role", "session", "values",
    }  # fmt: skip
    assert [name for name in both if f"`{name}.py`" not in page] == []
