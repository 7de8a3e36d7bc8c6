"""Proofs in segments: cut anywhere, same statement; what crosses a cut is bound on both sides."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.support.programs import Example, small_model
from veracity.engine import load_engine
from veracity.errors import FormatError, UsageError, VerificationError
from veracity.graph import execute
from veracity.graph.ops import Add
from veracity.zk.keys import load_key
from veracity.zk.transcript import ProverTranscript
from veracity.zkml import Statement, argument, commit_model, count, cut_places, prove, verify
from veracity.zkml.circuit import build_circuit
from veracity.zkml.model import weight_data

LOG_COLUMNS = 9
ENGINE = load_engine("cpu")
KEY = load_key(ENGINE, LOG_COLUMNS)
REJECTED = (FormatError, VerificationError)


def make(style: str) -> tuple[Example, Statement, object]:
    e = small_model(style, layers=2)
    commitment, opening = commit_model(
        ENGINE, e.program, e.weights, log_columns=LOG_COLUMNS, key=KEY
    )
    statement = Statement(e.program, tuple(e.tokens), e.prompt_length, commitment=commitment)
    return e, statement, opening


def halves(statement: Statement) -> tuple[int, ...]:
    places = sorted(cut_places(statement.program))
    return (places[len(places) // 2],)


@pytest.mark.parametrize("style", ["llama", "gpt2"])
def test_any_cut_proves_the_same_statement(style: str) -> None:
    e, statement, opening = make(style)
    places = sorted(cut_places(statement.program))
    for cuts in ((places[0],), (places[-1],), tuple(places[::3])):
        cut = replace(statement, cuts=cuts)
        proof = prove(ENGINE, cut, e.weights, opening, key=KEY)
        assert len(proof) == count(cut, LOG_COLUMNS).proof_bytes
        verify(ENGINE, cut, proof, key=KEY)
        with pytest.raises(REJECTED):
            verify(ENGINE, statement, proof, key=KEY)
        with pytest.raises(REJECTED):
            verify(ENGINE, replace(cut, cuts=cuts[1:]), proof, key=KEY)


def test_cuts_that_cannot_be_are_refused() -> None:
    e, statement, opening = make("llama")
    proof = prove(ENGINE, replace(statement, cuts=halves(statement)), e.weights, opening, key=KEY)
    places = sorted(cut_places(statement.program))
    inside = next(i for i in range(1, len(e.program.ops)) if i not in places)
    for cuts in ((0,), (inside,), (1 << 30,), (places[0], places[0]), (places[1], places[0])):
        with pytest.raises(VerificationError, match="cut"):
            verify(ENGINE, replace(statement, cuts=cuts), proof, key=KEY)
        with pytest.raises(UsageError, match="cut"):
            prove(ENGINE, replace(statement, cuts=cuts), e.weights, opening, key=KEY)


def test_a_value_crosses_once_where_ops_follow_that_nobody_reads() -> None:
    """Cuts on both sides of such an op would hand over what was just received."""
    e, statement, opening = make("llama")
    place, name = max(cut_places(e.program).items())
    idle = Add(name="idle", a=name, b=name, shift_a=0, shift_b=0)
    ops = (*e.program.ops[:place], idle, *e.program.ops[place:])
    program = replace(e.program, ops=ops)
    program.validate()
    assert place in cut_places(program)
    assert place + 1 not in cut_places(program)
    commitment, opening = commit_model(ENGINE, program, e.weights, log_columns=9, key=KEY)
    statement = replace(statement, program=program, commitment=commitment)
    cut = replace(statement, cuts=(place,))
    verify(ENGINE, cut, prove(ENGINE, cut, e.weights, opening, key=KEY), key=KEY)
    with pytest.raises(VerificationError, match="cut"):
        verify(ENGINE, replace(statement, cuts=(place, place + 1)), b"", key=KEY)


def test_every_message_of_both_segments_is_bound() -> None:
    e, statement, opening = make("llama")
    cut = replace(statement, cuts=halves(statement))
    proof, spans = argument.prove_with_spans(ENGINE, cut, e.weights, opening, key=KEY)
    half = len(proof) // 2
    chosen = {(s.label, s.start > half): s for s in spans}
    assert len({first for _, first in chosen}) == 2
    for span in chosen.values():
        broken = bytearray(proof)
        broken[span.start] ^= 4
        with pytest.raises(REJECTED):
            verify(ENGINE, cut, bytes(broken), key=KEY)
    for bad in (proof[:-1], proof + b"\0", proof[:half]):
        with pytest.raises(REJECTED):
            verify(ENGINE, cut, bad, key=KEY)


@pytest.mark.parametrize("lie", ["receives", "hands over"])
def test_a_value_changed_at_the_cut_is_rejected(lie: str) -> None:
    """The second segment proves a true execution of another value than the first handed over."""
    e, statement, opening = make("llama")
    cut = replace(statement, cuts=halves(statement))
    first, second = cut.segments
    assert first.writes is not None
    inputs, p = list(e.tokens[:-1]), e.prompt_length
    one = execute(e.program, e.weights, inputs, p, (first.start, first.stop))
    value = one.values[first.writes].copy()
    value[0, 0] += 1
    two = execute(
        e.program, e.weights, inputs, p, (second.start, second.stop), {first.writes: value}
    )
    answer = tuple(e.tokens[:p]) + tuple(two.output)
    cut = replace(cut, tokens=answer)
    transcript = ProverTranscript(argument.PROTOCOL, cut.encode())
    model = weight_data(ENGINE, e.program, e.weights, cut.commitment, opening)
    if lie == "hands over":
        one.values[first.writes][:] = value
    circuit = build_circuit(cut, first, None, e.weights, one)
    if lie == "hands over":
        stack = circuit.builder.stacks[circuit.crossing]
        stack.values[0] = np.ascontiguousarray(value, dtype=stack.values[0].dtype)
    columns = argument.prove_circuit(ENGINE, KEY, circuit, model, transcript)
    crossing = {circuit.crossing: columns[circuit.crossing]}
    if lie == "receives":
        data = columns[circuit.crossing]
        other = value.reshape(data.values.shape).astype(data.values.dtype)
        crossing = {circuit.crossing: replace(data, values=other)}
    circuit = build_circuit(cut, second, circuit.handed, e.weights, two)
    argument.prove_circuit(ENGINE, KEY, circuit, model | crossing, transcript)
    with pytest.raises(VerificationError):
        verify(ENGINE, cut, transcript.finish(), key=KEY)


def test_two_proofs_share_no_message() -> None:
    e, statement, opening = make("gpt2")
    cut = replace(statement, cuts=halves(statement))
    (one, spans), (two, _) = (
        argument.prove_with_spans(ENGINE, cut, e.weights, opening, key=KEY) for _ in range(2)
    )
    for span in spans:
        assert one[span.start : span.stop] != two[span.start : span.stop], span.label
