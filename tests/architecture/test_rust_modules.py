"""The modules of the Rust crates depend on each other without circles.

A file depends on the file that defines what it names. A name that a module only hands on
(`mod x; pub use x::Name`) therefore leads past that module, and a parent that does no more than
declare children and hand their names on is in no circle with them.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.modules import circle

RUST = Path(__file__).parents[2] / "rust"
CRATES = ("kernels/src", "bindings/src")

_IGNORED = re.compile(r'//[^\n]*|/\*.*?\*/|b?"(?:\\.|[^"\\])*"', re.DOTALL)
_USE = re.compile(r"\b(?:pub(?:\([^)]*\))?\s+)?use\s+([^;]+);")
_PATH = re.compile(r"(?<![\w:])(?:crate|super|self)(?:::\w+)+")
_INLINE = re.compile(r"(#\[cfg\(test\)\]\s*)?\b(?:pub(?:\([^)]*\))?\s+)?mod\s+\w+\s*\{")
_DECLARED = re.compile(r"\bmod\s+\w+\s*;")


def _flatten(tree: str, prefix: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], str]]:
    """The paths of a use declaration, each with the name it gets here."""
    tree = tree.strip()
    head, brace, rest = tree.partition("{")
    if brace:
        prefix += tuple(part for part in head.strip().split("::") if part)
        found, depth, start = [], 0, 0
        body = rest[: rest.rindex("}")] + ","
        for at, char in enumerate(body):
            depth += (char == "{") - (char == "}")
            if char == "," and not depth:
                if body[start:at].strip():
                    found += _flatten(body[start:at], prefix)
                start = at + 1
        return found
    path, _, alias = tree.partition(" as ")
    parts = prefix + tuple(part.strip() for part in path.split("::"))
    if parts[-1] == "self":
        parts = parts[:-1]
    return [(parts, alias.strip() or parts[-1])]


def _without_inline(code: str) -> tuple[str, list[str]]:
    """A file's own code, and the code of the modules written inside it that are no tests."""
    inner = []
    while match := _INLINE.search(code):
        depth, end = 1, match.end()
        while depth:
            depth += (code[end] == "{") - (code[end] == "}")
            end += 1
        if not match[1]:
            inner.append(code[match.end() : end - 1])
        code = code[: match.start()] + code[end:]
    return code, inner


class Crate:
    """The files of a crate, as modules, and which file depends on which."""

    def __init__(self, sources: dict[tuple[str, ...], str]) -> None:
        self.code: dict[tuple[str, ...], str] = {}
        self.inner: dict[tuple[str, ...], list[str]] = {}
        self.names: dict[tuple[str, ...], dict[str, tuple[str, ...]]] = {}
        for module, source in sources.items():
            self.code[module], self.inner[module] = _without_inline(_IGNORED.sub(" ", source))
        for module, code in self.code.items():
            uses = [use for match in _USE.findall(code) for use in _flatten(match)]
            self.names[module] = {name: path for path, name in uses}

    @classmethod
    def read(cls, root: Path) -> Crate:
        """The crate with its files under a folder."""
        sources = {}
        for path in root.rglob("*.rs"):
            parts = path.relative_to(root).with_suffix("").parts
            module = parts[:-1] if parts[-1] in ("mod", "lib") else parts
            sources[module] = path.read_text(encoding="utf-8")
        return cls(sources)

    def resolve(
        self, module: tuple[str, ...], path: tuple[str, ...], depth: int = 0
    ) -> tuple[str, ...] | None:
        """The module that defines what a path means in a module; none outside the crate."""
        here: tuple[str, ...]
        if path[0] == "crate":
            here, path = (), path[1:]
        elif path[0] in ("super", "self"):
            here = module
            while path and path[0] in ("super", "self"):
                here, path = (here[:-1] if path[0] == "super" else here), path[1:]
        elif (*module, path[0]) in self.code:
            here = module
        else:
            return None
        while path:
            if (*here, path[0]) in self.code:
                here, path = (*here, path[0]), path[1:]
            elif path[0] in self.names[here] and depth < 8:
                handed = self.names[here][path[0]] + path[1:]
                return self.resolve(here, handed, depth + 1) or here
            else:
                break
        return here

    def paths(self, module: tuple[str, ...]) -> list[tuple[str, ...]]:
        """The paths that a module names, except those it only hands on."""
        bodies = [(self.code[module], self.names[module])]
        for inner in self.inner[module]:
            uses = [use for match in _USE.findall(inner) for use in _flatten(match)]
            # In there, `super` is this file, and what is left of the path this file's names.
            names = {name: path[1:] if path[0] == "super" else path for path, name in uses}
            bodies.append((inner, {name: path for name, path in names.items() if path}))
        found = []
        for code, names in bodies:
            handed = [
                name
                for match in re.findall(r"\bpub(?:\([^)]*\))?\s+use\s+([^;]+);", code)
                for _, name in _flatten(match)
            ]
            body = _DECLARED.sub(" ", _USE.sub(" ", code))
            for name, path in names.items():
                if name in handed and not re.search(rf"\b{name}\b", body):
                    continue
                # A module that is used as such counts by what is taken from it.
                taken = re.findall(rf"(?<![\w:]){name}((?:::\w+)+)", body)
                target = self.resolve(module, path)
                if taken and target is not None and target[-1:] == path[-1:]:
                    found += [path + tuple(rest[2:].split("::")) for rest in taken]
                else:
                    found.append(path)
            found += [tuple(match.split("::")) for match in _PATH.findall(body)]
        return found

    def dependencies(self) -> dict[str, set[str]]:
        """For every file the files it depends on, as names of modules."""
        graph = {}
        for module in self.code:
            targets = {self.resolve(module, path) for path in self.paths(module)}
            graph["::".join(module) or "crate"] = {
                "::".join(target) or "crate"
                for target in targets
                if target is not None and target != module
            }
        return graph


@pytest.mark.parametrize("crate", CRATES)
def test_no_modules_depend_on_each_other(crate: str) -> None:
    graph = Crate.read(RUST / crate).dependencies()
    assert sum(map(len, graph.values())) >= len(graph) // 2, "the parser finds the dependencies"
    found = circle(graph)
    assert not found, "a circle: " + " -> ".join(found)


def test_names_that_are_handed_on_lead_to_their_definition() -> None:
    crate = Crate(
        {
            (): "mod a; mod b;",
            ("a",): "mod x; pub use x::{Thing, other as renamed};",
            ("a", "x"): "use crate::b::helper; pub struct Thing; pub fn other() {}",
            ("b",): "use crate::a; fn f(_: a::Thing) {} pub fn helper() {}",
        }
    )
    graph = crate.dependencies()
    assert graph["a"] == set()
    assert graph["b"] == {"a::x"}
    assert circle(graph) in (["b", "a::x", "b"], ["a::x", "b", "a::x"])


def test_a_child_that_takes_from_a_parent_that_uses_it_is_a_circle() -> None:
    crate = Crate(
        {
            (): "mod a;",
            ("a",): "mod x; use x::f; pub struct Shape; fn g() { f() }",
            ("a", "x"): 'use super::Shape; // crate::no\nfn f() { "crate::no"; }',
        }
    )
    assert circle(crate.dependencies())


def test_modules_inside_a_file_belong_to_it() -> None:
    crate = Crate(
        {
            (): "mod a; mod b;",
            ("a",): "pub fn f() {} mod x { use super::f; use crate::b::g; fn h() { f() } }",
            ("b",): "pub fn g() {} #[cfg(test)] mod tests { use crate::a::f; }",
        }
    )
    assert crate.dependencies() == {"crate": set(), "a": {"b"}, "b": set()}
