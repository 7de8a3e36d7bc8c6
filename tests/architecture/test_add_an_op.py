"""``docs/howto/add-an-op.md`` is true: its code, entered where it says, is an op with a proof.

And its list of files is complete: nobody else in the house knows the names of ops.
"""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import veracity
from tests.support.cheating import cheating
from veracity.engine import load_engine
from veracity.errors import RangeError, VerificationError
from veracity.graph import Output, Port, Program, WeightSpec, execute
from veracity.graph import ops as registry
from veracity.graph.ops import Linear
from veracity.zk.keys import load_key
from veracity.zkml import Statement, commit_model, prove, verify
from veracity.zkml.ops import table

SOURCE = Path(veracity.__file__).parent
PAGE = Path(__file__).parents[2] / "docs" / "howto" / "add-an-op.md"
BLOCK = re.compile(r"```python\n# src/veracity/([\w/]+)\.py\n(.*?)```", re.DOTALL)
#: Where op classes may be named: meaning, argument, importers, private modes.
MAY_NAME_OPS = ("graph/", "zkml/ops/", "lm/", "frontends/", "mpc/")


def rows_of(module: str, code: str) -> dict[Any, Any]:
    """The rows that a block of the page adds to its module's table."""
    names = {**vars(importlib.import_module(module)), "__name__": __name__}
    before = names["RULES"]
    names["RULES"] = dict(before)
    exec(compile(code, module, "exec"), names)  # annotations stay strings, as in this module
    return {k: v for k, v in names["RULES"].items() if k not in before}


@pytest.fixture
def larger(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The page's op, in the tables that it names and in no other."""
    blocks = dict(BLOCK.findall(PAGE.read_text(encoding="utf-8")))
    assert sorted(blocks) == ["graph/ops/pointwise", "zkml/ops/pointwise"]
    ((kind, rule),) = rows_of("veracity.graph.ops.pointwise", blocks["graph/ops/pointwise"]).items()
    monkeypatch.setitem(registry.RULES, kind, rule)
    monkeypatch.setitem(registry.OPS, kind.__name__, kind)
    monkeypatch.setattr(registry, kind.__name__, kind, raising=False)
    argument = rows_of("veracity.zkml.ops.pointwise", blocks["zkml/ops/pointwise"])
    monkeypatch.setitem(table.RULES, kind, argument[kind])
    return kind


def program_with(kind: Any) -> tuple[Program, dict[str, np.ndarray]]:
    spec = WeightSpec((3, 4), "int16", 8, 16)
    ops = tuple(
        Linear(name=n, x="x", weight=f"w{n}", bias=None, shift=4, bits=16) for n in ("p", "q")
    )
    program = Program(
        name="larger",
        arch={},
        inputs={"x": Port(("N", 4), 8, -999, 999)},
        outputs={"y": Output(("N", 3), 8, -(1 << 16), 1 << 16, "y")},
        limits={"N": 8},
        ops=(*ops, kind(name="y", a="p", b="q")),
        weights={"wp": spec, "wq": spec},
        exponents={},
    )
    rng = np.random.default_rng(5)
    weights = {n: rng.integers(-99, 100, (3, 4)).astype(np.int16) for n in program.weights}
    return Program.from_json(program.to_json()), weights


def test_the_page_adds_an_op_with_a_proof(larger: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    program, weights = program_with(larger)
    inputs = {"x": np.random.default_rng(6).integers(-999, 1000, (2, 4))}
    trace = execute(program, weights, inputs)
    values = trace.values
    assert np.array_equal(trace.outputs["y"], np.maximum(values["p"], values["q"]))
    assert not np.array_equal(values["y"], values["p"])
    assert not np.array_equal(values["y"], values["q"])
    engine = load_engine("cpu")
    key = load_key(engine, 6)
    commitment, secret = commit_model(engine, program, weights, log_columns=6, key=key)
    statement = Statement(program, inputs, trace.outputs, commitment=commitment)
    verify(engine, statement, prove(engine, statement, weights, secret, key=key), key=key)

    def change(role: str, _instance: int, array: np.ndarray) -> np.ndarray | None:
        return array.astype(np.int64) + 1 if role.startswith("larger.above") else None

    with cheating(monkeypatch, change):
        lie = prove(engine, statement, weights, secret, key=key)
    with pytest.raises(VerificationError):
        verify(engine, statement, lie, key=key)


def test_the_page_keeps_to_its_range(larger: Any) -> None:
    rule = registry.RULES[larger]
    far = [np.array([[-(1 << 15)]]), np.array([[1 << 15]])]
    with pytest.raises(RangeError):
        rule.evaluate(larger(name="y", a="p", b="q"), None, far)


def imported_ops(path: Path) -> set[str]:
    """Op classes that a module imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("veracity.graph"):
            found |= {a.name for a in node.names}
    return found & set(registry.OPS)


def test_nobody_else_names_an_op() -> None:
    for path in SOURCE.rglob("*.py"):
        name = path.relative_to(SOURCE).as_posix()
        assert name.startswith(MAY_NAME_OPS) or not imported_ops(path), name


def test_each_op_has_one_place_in_each_layer() -> None:
    exported = imported_ops(SOURCE / "graph" / "ops" / "__init__.py")
    assert exported == set(registry.OPS)
    for name, kind in registry.OPS.items():
        homes = [f for f in registry._FAMILIES if kind in f.RULES]
        assert [f.__name__ for f in homes] == [kind.__module__], name
        arguments = [f for f in table._FAMILIES if kind in f.RULES]
        assert len(arguments) == 1, name
