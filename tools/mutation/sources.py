"""Which modules decide: read from import statements alone."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

__all__ = ["closure", "imported"]

PACKAGE = "veracity"


@lru_cache(maxsize=1024)
def imported(path: Path) -> frozenset[str]:
    """Names of everything that a file imports, with the members of ``from`` imports.

    What is imported for annotations only is left out.
    """
    found: set[str] = set()
    for node in _run(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(found)


def _run(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from _run(child)


def _file(root: Path, name: str) -> Path | None:
    base = root.joinpath(*name.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None


def closure(root: Path, entries: Iterable[str]) -> dict[str, Path]:
    """Modules of the package that some of its modules reach, themselves included.

    Parameters
    ----------
    root : path
        Folder that holds the package.
    entries : iterable of str
        Names of modules to begin with.

    Returns
    -------
    dict
        Files by module name, sorted.
    """
    found: dict[str, Path] = {}
    waiting = list(entries)
    while waiting:
        name = waiting.pop()
        path = _file(root, name)
        if name in found or path is None or name.partition(".")[0] != PACKAGE:
            continue
        found[name] = path
        waiting += [*imported(path), *([name.rpartition(".")[0]] if "." in name else [])]
    return dict(sorted(found.items()))
