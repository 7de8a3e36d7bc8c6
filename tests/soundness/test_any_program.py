"""Whatever one op computes at the ends of its ranges has a proof, or a reason why it has none."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.one_op_programs import BUILD, Case, program_of, sizes_of
from veracity.engine import load_engine
from veracity.errors import RangeError, UnsupportedModelError, UsageError
from veracity.graph import execute, ops
from veracity.zk.keys import load_key
from veracity.zkml import Statement, commit_model, prove, verify

LOG_COLUMNS = 4
ENGINE = load_engine("cpu")


@pytest.mark.slow
@pytest.mark.parametrize("kind", BUILD, ids=lambda kind: kind.__name__)
@given(st.data())
@settings(deadline=None, max_examples=10)
def test_what_is_computed_is_proved(kind: type[ops.Op], data: st.DataObject) -> None:
    case = Case(data)
    op = BUILD[kind](case)
    weights = {n: case.integers[n] for n in case.weights}
    inputs = {n: case.integers[n] for n in case.inputs}
    try:
        program = program_of(case, op)
        program.validate()
        outputs = execute(program, weights, inputs, sizes_of(program)).outputs
    except (UsageError, RangeError):
        return
    key = load_key(ENGINE, LOG_COLUMNS)
    files = commit_model(ENGINE, program, weights, log_columns=LOG_COLUMNS, key=key)
    statement = Statement(program, inputs, outputs, commitment=files[0])
    try:
        proof = prove(ENGINE, statement, weights, files[1], key=key)
    except (RangeError, UnsupportedModelError):
        return
    verify(ENGINE, statement, proof, key=key)
