"""Programs of one op with ranks, lengths and parameters that do not fit: typed errors, no others.

What validation lets pass, the circuit takes or refuses; an empty proof is never worth more.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.mutations import EXAMPLES, fuzz
from tests.support.one_op_programs import BUILD, Case
from veracity.engine import load_engine
from veracity.errors import FormatError, UsageError, VerificationError
from veracity.graph import Output, Port, Program, WeightSpec, ops
from veracity.zk.keys import load_key
from veracity.zkml import ModelCommitment, Statement, verify
from veracity.zkml.model import weight_specs

LOG_COLUMNS = 4
ENGINE = load_engine("cpu")
KEY = load_key(ENGINE, LOG_COLUMNS)
POINT = ENGINE.compress(KEY.blinder)


class Misshapen(Case):
    """A case whose values and weights have any ranks and lengths."""

    def shape(self, honest: tuple[int, ...]) -> tuple[int, ...]:
        if self.one(True, False):
            return honest
        return tuple(self.number(1, 4) for _ in range(self.number(1, 4)))

    def values(self, shape: tuple[int, ...], low: int, high: int) -> np.ndarray:
        return np.full(shape, max(low, min(high, 1)), dtype=np.int64)

    def value(self, name: str, *shape: int, most: int = 61) -> str:
        return super().value(name, *self.shape(shape), most=min(most, 20))

    def weight(self, name: str, *shape: int) -> str:
        found = self.shape(shape)
        self.weights[name] = WeightSpec(found, self.one("int8", "int16"), 0, 8)
        self.integers[name] = np.zeros(found, dtype=np.int8)
        return name


def claimed(case: Case, op: ops.Op) -> Statement:
    """A statement about a program of this op; FormatError or UsageError where there is none."""
    every = {"T": 4, "A": 1}
    dims = case.draw(st.sampled_from([("T", 3), (2, 3), (2, 2), ("A",), (2,), (3, 2), (2, 2, 3)]))
    try:
        facts = Program("o", {}, case.inputs, {}, every, (op,), case.weights, {}).facts
        dims = ops.RULES[type(op)].shape(op, facts, [case.inputs[n].dims for n in op.inputs()])
    except (UsageError, KeyError):
        pass  # the program is hostile: it states an output all the same
    most = (1 << 61) - 1
    shown = {"out": Output(dims, 0, -most, most, "o")}
    named = {d for port in (*case.inputs.values(), *shown.values()) for d in port.dims}
    limits = {s: n for s, n in every.items() if s in named}
    program = Program("o", {}, case.inputs, shown, limits, (op,), case.weights, {})
    program = Program.from_json(program.to_json())
    rows = sum(s.rows for s in weight_specs(program, LOG_COLUMNS).values())
    commitment = ModelCommitment(LOG_COLUMNS, bytes.fromhex(program.digest), POINT * rows)
    size = {"T": 2, "A": 1}
    output = np.zeros([size.get(d, d) if isinstance(d, str) else d for d in dims], dtype=np.int64)
    inputs = {n: case.integers[n] for n in case.inputs}
    return Statement(program, inputs, {"out": output}, commitment=commitment)


@pytest.mark.parametrize("kind", BUILD, ids=lambda kind: kind.__name__)
@given(st.data())
@settings(fuzz, max_examples=1 + EXAMPLES // 4)
def test_one_misshapen_op(kind: type[ops.Op], data: st.DataObject) -> None:
    case = Misshapen(data)
    op = BUILD[kind](case)
    case.inputs.setdefault("x", Port((2,), 0, 0, 4))
    case.integers.setdefault("x", np.zeros(2, dtype=np.int64))
    try:
        statement = claimed(case, op)
    except (FormatError, UsageError):
        return
    with pytest.raises((FormatError, VerificationError)):
        verify(ENGINE, statement, bytes(64), key=KEY)
