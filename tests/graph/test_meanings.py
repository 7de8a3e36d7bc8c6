"""Every op against unbounded integers: its meaning, its ranges, its magnitudes.

Widths of operands and weights, shifts and parameters are drawn up to where 62 bits end, and values
mostly from the ends of their ranges. A program is refused, or evaluation gives what the formula
gives over unbounded integers; and nothing on the way exceeds what the magnitude rule says.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.meanings import MEANINGS, wide
from tests.support.one_op_programs import BUILD, Case, program_of, sizes_of
from veracity.errors import RangeError, UsageError
from veracity.graph import Output, Port, Program, execute, ops
from veracity.graph.ops.base import LARGEST

quick = settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.filter_too_much]
)


def largest(x: Any) -> int:
    return max((abs(int(v)) for v in np.asarray(x, dtype=object).reshape(-1)), default=0)


def test_every_op_has_its_case() -> None:
    assert set(BUILD) == set(MEANINGS) == set(ops.OPS.values())


@pytest.mark.parametrize("kind", BUILD, ids=lambda kind: kind.__name__)
@given(st.data())
@quick
def test_meaning_ranges_and_magnitudes(kind: type[ops.Op], data: st.DataObject) -> None:
    case = Case(data)
    op = BUILD[kind](case)
    try:
        program = program_of(case, op)
        program.validate()
    except UsageError:
        return  # refused before anything runs
    operands = [wide(case.integers[n]) for n in op.inputs()]
    meant = MEANINGS[kind](op, operands, {n: wide(case.integers[n]) for n in case.weights})
    bounds = [max(-case.inputs[n].low, case.inputs[n].high) for n in op.inputs()]
    dims = [program.inputs[n].dims for n in op.inputs()]
    bound, held = ops.RULES[kind].magnitude(op, program.facts, bounds, dims)
    assert max(bound, held) < LARGEST
    if kind is ops.Positions:
        meant.value = meant.value[:2]
    if meant.fits:
        assert max(map(largest, meant.held), default=0) <= held
        assert largest(meant.value) <= bound
    weights = {n: case.integers[n] for n in case.weights}
    inputs = {n: case.integers[n] for n in case.inputs}
    sizes = sizes_of(program)
    if not meant.fits:
        with pytest.raises(RangeError):
            execute(program, weights, inputs, sizes)
        return
    found = execute(program, weights, inputs, sizes).outputs["out"]
    assert found.dtype == np.int64
    assert found.tolist() == meant.value.tolist()


def test_factors_of_what_is_always_zero() -> None:
    """Nothing bounds them but themselves."""
    zero = ops.Operand(x="x", factor=1 << 40)
    op = ops.Contract(
        name="o",
        products=(ops.Product(spec="t,t->t", a=zero, b=zero),),
        addends=(),
        shift=0,
        bits=16,
    )
    shown = {"out": Output((2,), 0, -9, 9, "o")}
    program = Program("o", {}, {"x": Port((2,), 0, 0, 0)}, shown, {}, (op,), {}, {})
    with pytest.raises(UsageError, match="62 bits"):
        program.validate()
