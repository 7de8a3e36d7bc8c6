"""Every place where the verifier decides, and the source without that decision.

Kinds of mutants
----------------
refusal
    ``if CONDITION: raise ERROR``: the condition is evaluated, nothing follows from it.
part
    One alternative of such a condition is never true, or one bound of it never violated.
call
    A statement that requires, checks, looks up, absorbs: it is left out.
limit
    A bound on a length that is read is lifted.
entry
    An obligation is not collected, or a part of what is hashed is left out.
"""

from __future__ import annotations

import ast
import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Mutant", "find_mutants"]

ERRORS = {"VerificationError", "FormatError", "UsageError", "UnsupportedModelError"}
#: Methods and functions that raise for their caller.
FAILS = {"fail"}
#: Calls that state something, where nothing is made of their result.
CALLS = {"absorb", "lookup", "product", "remainder", "update", "zero"}
PREFIXES = ("check", "finish", "require", "validate", "verify")
#: Lists of what is still to be shown, and of what is hashed.
OBLIGATIONS = {"claims", "equations", "lookups", "products", "states", "zeros"}
HASHED = {"parts"}
#: Reading functions, and the number of arguments before the limit. A blob is not among them: it
#: is never longer than the file that holds it, so that without its limit no more is read.
READERS = {"u32": 1, "deflated": 1}
UNLIMITED = "(1 << 32) - 1"
_LONGEST = 150


@dataclass(frozen=True)
class Edit:
    """Bytes ``start .. stop-1`` of a file become ``new``."""

    start: int
    stop: int
    new: str


@dataclass(frozen=True)
class Mutant:
    """One deletion.

    Attributes
    ----------
    path : Path
        The file, relative to the root.
    module : str
        Its name.
    function : str
        The function around it.
    kind : str
        See the module text.
    text : str
        What is deleted.
    line : int
        Where it stands.
    lines : tuple of int
        First and last line of the function.
    source : str
        Digest of the function, without what documents it.
    edit : Edit
        The change.
    number : int
        Counts those of one file that read the same.
    """

    path: Path
    module: str
    function: str
    kind: str
    text: str
    line: int
    lines: tuple[int, int]
    source: str
    edit: Edit
    number: int = 0

    @property
    def key(self) -> str:
        """Its name, which does not change where lines are added elsewhere."""
        text = self.text
        if len(text) > _LONGEST:
            text = f"{text[:_LONGEST]}... {hashlib.sha256(text.encode()).hexdigest()[:8]}"
        again = f" ({self.number + 1})" if self.number else ""
        return f"{self.module}.{self.function}: {self.kind}: {text}{again}"

    def applied(self, source: bytes) -> bytes:
        """The file without the decision."""
        return source[: self.edit.start] + self.edit.new.encode() + source[self.edit.stop :]


def find_mutants(root: Path, modules: Iterable[tuple[str, Path]]) -> list[Mutant]:
    """All mutants of some modules, in order of file and line.

    Parameters
    ----------
    root : path
        What paths are relative to.
    modules : iterable of (str, Path)
        Names and files.
    """
    out: list[Mutant] = []
    for module, path in modules:
        source = path.read_bytes()
        seen: Counter[tuple[str, str, str]] = Counter()
        for (function, lines, digest), kind, node, text, edit in _places(source):
            name = (function, kind, text)
            found = Mutant(
                path.relative_to(root), module, function, kind, text, node.lineno, lines, digest,
                edit, seen[name],
            )  # fmt: skip
            seen[name] += 1
            if found.applied(source) != source:
                out.append(found)
    return out


Place = tuple[tuple[str, tuple[int, int], str], str, ast.stmt | ast.expr, str, Edit]


def _places(source: bytes) -> Iterator[Place]:
    starts = [0]
    for line in source.split(b"\n"):
        starts.append(starts[-1] + len(line) + 1)

    def span(first: ast.stmt | ast.expr, last: ast.stmt | ast.expr) -> tuple[int, int]:
        if last.end_lineno is None or last.end_col_offset is None:
            raise ValueError("parsed source has positions")
        start = starts[first.lineno - 1] + first.col_offset
        return start, starts[last.end_lineno - 1] + last.end_col_offset

    for function, node in _functions(ast.parse(source), ""):
        start, stop = span(node, node)
        body = source[start:stop]
        if ast.get_docstring(node, clean=False) is not None:
            first, last = span(node.body[0], node.body[0])
            body = source[start:first] + source[last:stop]
        digest = hashlib.sha256(body).hexdigest()[:12]
        where = (function, (node.lineno, node.end_lineno or node.lineno), digest)
        for inner in _statements(node):
            if isinstance(inner, ast.If) and _refuses(inner.body[-1]):
                condition = ast.unparse(inner.test)
                edit = Edit(*span(inner.body[0], inner.body[-1]), "pass")
                yield where, "refusal", inner, f"if {condition}", edit
                for part, new in _parts(inner.test, negated=False):
                    text = f"{ast.unparse(part)} in if {condition}"
                    yield where, "part", part, text, Edit(*span(part, part), new)
            elif isinstance(inner, ast.Expr) and _states(inner.value):
                edit = Edit(*span(inner, inner), "pass")
                yield where, "call", inner, ast.unparse(inner), edit
            elif isinstance(inner, ast.Expr) and _collects(inner.value):
                edit = Edit(*span(inner, inner), "pass")
                yield where, "entry", inner, ast.unparse(inner), edit
            for entry in _hashed(inner):
                text = f"{ast.unparse(entry)} in {ast.unparse(inner)}"
                yield where, "entry", entry, text, Edit(*span(entry, entry), "*[]")
        for call, limit in _limits(node):
            edit = Edit(*span(limit, limit), UNLIMITED)
            yield where, "limit", call, ast.unparse(call), edit


def _functions(
    tree: ast.AST, before: str
) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{before}{node.name}", node
            yield from _functions(node, f"{before}{node.name}.")
        elif isinstance(node, ast.ClassDef):
            yield from _functions(node, f"{before}{node.name}.")
        else:
            yield from _functions(node, before)


def _own(node: ast.AST) -> Iterator[ast.AST]:
    """Everything within a function, but not within functions in it."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        yield child
        yield from _own(child)


def _statements(node: ast.AST) -> Iterator[ast.stmt]:
    return (n for n in _own(node) if isinstance(n, ast.stmt))


def _name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _refuses(last: ast.stmt) -> bool:
    if isinstance(last, ast.Raise):
        error = last.exc.func if isinstance(last.exc, ast.Call) else last.exc
        return error is not None and _name(error) in ERRORS
    called = last.value if isinstance(last, ast.Expr) else None
    return isinstance(called, ast.Call) and _name(called.func) in FAILS


def _states(value: ast.expr) -> bool:
    if not isinstance(value, ast.Call):
        return False
    name = _name(value.func).lstrip("_")
    return name in CALLS or name.startswith(PREFIXES)


def _collects(value: ast.expr) -> bool:
    return (
        isinstance(value, ast.Call)
        and isinstance(value.func, ast.Attribute)
        and value.func.attr in ("append", "extend")
        and _name(value.func.value).lstrip("_") in OBLIGATIONS
    )


def _hashed(node: ast.stmt) -> list[ast.expr]:
    if isinstance(node, ast.Assign):
        target = node.targets[0]
    elif isinstance(node, ast.AugAssign):
        target = node.target
    else:
        return []
    found = _name(target) in HASHED and isinstance(node.value, ast.List)
    return node.value.elts if found and isinstance(node.value, ast.List) else []


def _parts(node: ast.expr, negated: bool) -> Iterator[tuple[ast.expr, str]]:
    """Expressions within a condition of refusal, and what makes each of them harmless."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield from _parts(node.operand, not negated)
    elif isinstance(node, ast.BoolOp) and isinstance(node.op, ast.And if negated else ast.Or):
        for value in node.values:
            yield value, str(negated)
            yield from _parts(value, negated)
    elif negated and isinstance(node, ast.Compare) and len(node.ops) > 1:
        operands = [node.left, *node.comparators]
        for i in range(len(node.ops)):
            kept = [
                ast.Compare(a, [op], [b])
                for j, (a, op, b) in enumerate(zip(operands, node.ops, operands[1:], strict=False))
                if j != i
            ]
            yield node, f"({' and '.join(ast.unparse(k) for k in kept)})"


def _limits(node: ast.AST) -> Iterator[tuple[ast.Call, ast.expr]]:
    for call in _own(node):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
            place = READERS.get(call.func.attr)
            if place is not None and len(call.args) > place:
                yield call, call.args[place]
