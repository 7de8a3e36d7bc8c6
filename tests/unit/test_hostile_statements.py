"""Statements, links and model commitments that say what cannot be, one thing wrong at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.support.toy_programs import mlp
from veracity.engine import load_engine
from veracity.errors import FormatError, UnsupportedModelError, UsageError, VerificationError
from veracity.graph import Port, WeightSpec
from veracity.graph.sampling import Sampling
from veracity.zkml import ModelCommitment, ModelOpening, Statement, chain, commit_model, verify
from veracity.zkml import statement as statements
from veracity.zkml.committed import CommittedTensor
from veracity.zkml.links import Link, links_of
from veracity.zkml.model import weight_arrays, weight_specs
from veracity.zkml.ops.table import find_rule

BITS = 6
ENGINE = load_engine("cpu")
TOY = mlp(samples=3)
PROGRAM = TOY.program
OUTPUTS = TOY.trace.outputs
SPECS = weight_specs(PROGRAM, BITS)


def commitment(program: Any = PROGRAM, rows: int = 0, bits: int = BITS) -> ModelCommitment:
    """Of the right size; nobody looks at its points here."""
    count = rows + sum(s.rows for s in weight_specs(program, bits).values())
    return ModelCommitment(bits, bytes.fromhex(program.digest), bytes(32 * count))


HONEST = Statement(PROGRAM, TOY.inputs, OUTPUTS, commitment=commitment())
X_SPEC = HONEST.port_spec("x")
SEALED = CommittedTensor(X_SPEC, bytes(32 * X_SPEC.rows))


def about(program: Any, **changes: Any) -> Statement:
    """The same of another program, which its commitment belongs to."""
    return replace(HONEST, program=program, commitment=commitment(program), **changes)


UNREAD = replace(PROGRAM, inputs={**PROGRAM.inputs, "u": Port(("N",), 0, 0, 1)})
OTHER = replace(PROGRAM, weights={**PROGRAM.weights, "w1": WeightSpec((6, 8), "int16", 9, 16)})
UNREAD_INPUTS = {**TOY.inputs, "u": np.zeros(3, int)}
UNREAD_SEALED = CommittedTensor(about(UNREAD, inputs=UNREAD_INPUTS).port_spec("u"), bytes(32))
WRONG: list[tuple[str, Statement]] = [
    ("belongs to no value", about(replace(PROGRAM, exponents={"none": 8}))),
    ("needs the inputs", replace(HONEST, inputs={})),
    ("needs the inputs", replace(HONEST, inputs={**TOY.inputs, "z": np.zeros(1, int)})),
    ("needs the outputs", replace(HONEST, outputs={})),
    ("needs the outputs", replace(HONEST, outputs={**OUTPUTS, "z": np.zeros(1, int)})),
    ("how many M there are", about(replace(PROGRAM, limits={"N": 64, "M": 3}))),
    ("a value is not within", replace(HONEST, inputs={"x": TOY.inputs["x"] + (1 << 16)})),
    ("a value is not within", replace(HONEST, outputs={"scores": OUTPUTS["scores"] + (1 << 24)})),
    ("dims, range or layout", replace(HONEST, inputs={
        "x": replace(SEALED, spec=replace(X_SPEC, high=X_SPEC.high + 1))})),
    ("dims, range or layout", replace(HONEST, inputs={
        "x": replace(SEALED, spec=replace(X_SPEC, exponent=7))})),
    ("nothing reads it", about(UNREAD, inputs={**TOY.inputs, "u": UNREAD_SEALED})),
    ("cannot be cut", replace(HONEST, cuts=(2, 1))),
    ("another program", replace(HONEST, commitment=commitment(OTHER))),
    ("the same weights", replace(HONEST, committed=OTHER, commitment=commitment(OTHER))),
]  # fmt: skip


def test_such_statements_are_fine() -> None:
    HONEST.check()
    replace(HONEST, inputs={"x": SEALED}, cuts=(1, 2)).check()
    about(UNREAD, inputs=UNREAD_INPUTS).check()
    renamed = replace(PROGRAM, name="other")
    replace(HONEST, committed=renamed, commitment=commitment(renamed)).check()


@pytest.mark.parametrize(("words", "statement"), WRONG)
def test_statements_that_are_refused(words: str, statement: Statement) -> None:
    with pytest.raises(UsageError, match=words):
        statement.check()
    with pytest.raises(VerificationError, match=words):
        verify(ENGINE, statement, b"")


@pytest.mark.parametrize("rows", [X_SPEC.rows - 1, X_SPEC.rows + 1])
def test_tensors_with_other_rows(rows: int) -> None:
    tensor = CommittedTensor(X_SPEC, bytes(32 * rows))
    sealed = replace(HONEST, inputs={"x": tensor})
    for check in (
        lambda: tensor.check("here"),
        lambda: tensor.points(ENGINE, "here"),
        sealed.check,
    ):
        with pytest.raises(FormatError, match="rows do not match its dims"):
            check()


@pytest.mark.parametrize("cuts", [(2, 1), (1, 1), (0,), (-1,), (1, 6), (7,)])
def test_cuts_that_are_none(cuts: tuple[int, ...]) -> None:
    assert len(PROGRAM.ops) == 6
    assert [link.stop for link in links_of(PROGRAM, (1, 5))] == [1, 5, 6]
    with pytest.raises(UsageError, match="cannot be cut"):
        links_of(PROGRAM, cuts)


def test_a_boundary_that_is_cut_off() -> None:
    cut = replace(HONEST, cuts=(1,))
    rows = 32 * cut.boundary_spec("h").rows
    for size in (0, rows - 32, rows - 1):
        with pytest.raises(FormatError, match=r"boundary.*truncated"):
            chain._read_boundary(cut, bytes(size))
    tensors, at = chain._read_boundary(cut, bytes(rows))
    assert at == rows == len(tensors["h"].data)


# ---- what is hashed ------------------------------------------------------------------------------
DRAWN = Sampling(bytes(32), 1000)


def test_every_part_of_a_statement_is_in_its_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = TOY.inputs["x"], OUTPUTS["scores"]
    others = [
        HONEST,
        replace(HONEST, program=OTHER),
        replace(HONEST, commitment=commitment(OTHER)),
        replace(HONEST, commitment=commitment(rows=1)),
        replace(HONEST, context=b"case 7"),
        replace(HONEST, cuts=(1,)),
        replace(HONEST, inputs={"x": x + 1}),
        replace(HONEST, inputs={"z": x}),
        replace(HONEST, inputs={"x": x, "z": x}),
        replace(HONEST, inputs={"x": SEALED}),
        replace(HONEST, outputs={"scores": y + 1}),
        replace(HONEST, outputs={"z": y}),
        replace(HONEST, sampling=DRAWN),
        replace(HONEST, sampling=Sampling(bytes(31) + b"\1", 1000)),
        replace(HONEST, sampling=Sampling(bytes(32), 999)),
    ]
    found = [s.encode() for s in others]
    monkeypatch.setattr(statements, "GENERATOR_LABEL", "other generators")
    found.append(HONEST.encode())
    assert len(set(found)) == len(found)
    assert len({replace(s).digest for s in others}) == len(others)


def test_every_part_of_a_link_is_absorbed() -> None:
    """What a link's first challenge depends on, each changed alone."""
    link = Link(1, 1, 3, ("h",), ("r",))
    spec = HONEST.boundary_spec("h")
    tensor = CommittedTensor(spec, bytes(32 * spec.rows))
    tensors = {"h": tensor, "r": tensor, "g": tensor}
    other = {
        "data": replace(tensor, data=b"\1" + tensor.data[1:]),
        "spec": replace(tensor, spec=replace(spec, exponent=spec.exponent + 1)),
    }
    found = [
        chain.link_statement(HONEST, link, tensors),
        chain.link_statement(replace(HONEST, context=b"case 7"), link, tensors),
        chain.link_statement(HONEST, replace(link, index=2), tensors),
        chain.link_statement(HONEST, replace(link, start=0), tensors),
        chain.link_statement(HONEST, replace(link, stop=4), tensors),
        chain.link_statement(HONEST, replace(link, receives=("g",)), tensors),
        chain.link_statement(HONEST, replace(link, hands=("g",)), tensors),
        chain.link_statement(HONEST, replace(link, receives=("h", "r"), hands=()), tensors),
        *(
            chain.link_statement(HONEST, link, {**tensors, name: changed})
            for name in ("h", "r")
            for changed in other.values()
        ),
    ]
    assert len(set(found)) == len(found)


# ---- commitments ---------------------------------------------------------------------------------
def test_commitments_that_are_refused() -> None:
    data = HONEST.commitment.to_bytes()
    assert ModelCommitment.from_bytes(data) == HONEST.commitment
    for words, other in (
        ("not a model commitment", b""),
        ("not a model commitment", data[:40]),
        ("not a model commitment", b"X" + data[1:]),
        ("row length out of bounds", data[:4] + b"\0" + data[5:]),
        ("row length out of bounds", data[:4] + b"\xff" + data[5:]),
        ("number of rows", data[:-1]),
        ("number of rows", data + bytes(32)),
    ):
        with pytest.raises(FormatError, match=words):
            ModelCommitment.from_bytes(other)


@pytest.mark.parametrize("rows", [-1, 1])
def test_commitments_with_other_rows(rows: int) -> None:
    assert list(HONEST.commitment.tensors(PROGRAM)) == list(SPECS)
    with pytest.raises(FormatError, match="do not match the program's weights"):
        commitment(rows=rows).tensors(PROGRAM)


def test_commitments_made_of_tensors() -> None:
    tensors = HONEST.commitment.tensors(PROGRAM)
    assert ModelCommitment.of_tensors(PROGRAM, tensors) == HONEST.commitment
    first = next(iter(tensors))
    lacking = {n: t for n, t in tensors.items() if n != first}
    for other in (lacking, {**tensors, "more": tensors[first]}):
        with pytest.raises(UsageError, match="exactly the program's weights"):
            ModelCommitment.of_tensors(PROGRAM, other)
    spec = tensors[first].spec
    for changed in (replace(spec, exponent=1), replace(spec, high=spec.high - 1)):
        with pytest.raises(UsageError, match="dims, range or layout"):
            other = {**tensors, first: replace(tensors[first], spec=changed)}
            ModelCommitment.of_tensors(PROGRAM, other)


@pytest.mark.parametrize(
    "change",
    [
        lambda w: {n: x for n, x in w.items() if n != "w1"},
        lambda w: {**w, "w1": w["w1"].T},
        lambda w: {**w, "w1": w["w1"][:-1]},
    ],
)
def test_weights_that_do_not_fit(change: Callable[[Any], Any]) -> None:
    with pytest.raises(UsageError, match="weight w1 is missing or has another shape"):
        commit_model(ENGINE, PROGRAM, change(TOY.weights), log_columns=BITS)


def test_an_opening_of_another_commitment() -> None:
    other = ModelOpening(bytes(32), bytes(32))
    with pytest.raises(UsageError, match="belongs to another commitment"):
        other.check(HONEST.commitment)
    with pytest.raises(UsageError, match="belongs to another commitment"):
        weight_arrays(ENGINE, PROGRAM, TOY.weights, (HONEST.commitment, other))


def test_ops_without_an_argument() -> None:
    class Unproved:
        name = "op"

    with pytest.raises(UnsupportedModelError, match="Unproved"):
        find_rule(Unproved())  # type: ignore[arg-type]
