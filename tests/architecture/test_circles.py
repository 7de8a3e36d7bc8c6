"""No import circle among the Python modules, and a private user loads no importer."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.support.modules import circle

SOURCES = Path(__file__).parents[2] / "src"


def module_name(path: Path) -> str:
    parts = path.relative_to(SOURCES).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def at_import(body: list[ast.stmt]) -> Iterator[ast.Import | ast.ImportFrom]:
    """Imports that run when the module is loaded: neither in functions nor for the type checker."""
    for node in body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from at_import(node.orelse)
        elif isinstance(node, ast.If | ast.Try | ast.With | ast.ClassDef):
            for part in ("body", "orelse", "finalbody"):
                yield from at_import(getattr(node, part, []))
            for handler in getattr(node, "handlers", []):
                yield from at_import(handler.body)


def dependencies(sources: dict[str, str]) -> dict[str, set[str]]:
    """For every module the modules whose code it asks for by name."""
    graph: dict[str, set[str]] = {}
    for name, source in sources.items():
        found = set()
        for node in at_import(ast.parse(source).body):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif node.module:
                inside = {f"{node.module}.{alias.name}" for alias in node.names}
                found |= {n if n in sources else node.module for n in inside}
        graph[name] = (found & sources.keys()) - {name}
    return graph


def test_no_modules_import_each_other() -> None:
    sources = {module_name(p): p.read_text(encoding="utf-8") for p in SOURCES.rglob("*.py")}
    graph = dependencies(sources)
    assert sum(map(len, graph.values())) > len(graph)
    found = circle(graph)
    assert not found, "a circle: " + " -> ".join(found)


def test_what_counts_as_an_import() -> None:
    graph = dependencies(
        {
            "p": "from p.a import f",
            "p.a": "import os\nfrom p import b\ndef f():\n    import p.c",
            "p.b": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import p.c",
            "p.c": "try:\n    from p.a import f\nexcept ImportError:\n    from p.b import g",
        }
    )
    assert graph == {"p": {"p.a"}, "p.a": {"p.b"}, "p.b": set(), "p.c": {"p.a", "p.b"}}
    assert circle(graph) == []
    assert circle({**graph, "p.b": {"p"}}) != []


#: What a user of private inference has no use for: importers, their libraries, the other products.
FOREIGN = ("gguf", "safetensors", "tokenizers", "veracity.frontends", "veracity.proving")


def loaded_by(statement: str) -> set[str]:
    """Modules that a fresh process has loaded after a statement."""
    code = f"import sys\n{statement}\nprint(*sorted(sys.modules), sep='\\n')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_a_private_user_loads_no_importer() -> None:
    loaded = loaded_by("from veracity.private import Client")
    assert {name for name in loaded if name.startswith(FOREIGN)} == set()
    own = {name for name in loaded if name.startswith("veracity.")}
    # Eight of them are the families of tokenizers, which a user runs as the owner does; one makes
    # classes of values.
    assert len(own) <= 140, "count what a user has to trust before it grows"


def test_the_package_itself_loads_no_product() -> None:
    products = ("veracity.proving", "veracity.private", "veracity.frontends", "veracity.cli")
    assert {name for name in loaded_by("import veracity") if name.startswith(products)} == set()
