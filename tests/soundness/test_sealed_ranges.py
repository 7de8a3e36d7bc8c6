"""Committed ports keep to their ranges: entries outside are refused by one lookup.

Nobody sees the entries of a committed port, and what a proof hands over another takes as given; so
a proof shows of each that it lies in its port's range.
"""

from __future__ import annotations

import os
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.soundness.test_ports import ENGINE, KEY, LOG_COLUMNS, doubled
from tests.support import cheating
from tests.support.forging import Forger, without, without_lookup
from tests.support.toy_programs import Toy
from veracity.engine.api import Ints
from veracity.errors import RangeError, UsageError, VerificationError
from veracity.graph import Output, Port, Program
from veracity.graph.ops import Function
from veracity.zk.keys import load_key
from veracity.zkml import Execution, Statement, chain, commit_model, count, prove, verify
from veracity.zkml.circuit.tensor import Tensor
from veracity.zkml.statement import PORT_ROW_BITS


class Sealed:
    """A toy's statement with all ports committed."""

    def __init__(self, toy: Toy, outputs: dict[str, Ints], bits: int = LOG_COLUMNS) -> None:
        self.key = KEY if bits == LOG_COLUMNS else load_key(ENGINE, bits)
        self.files = commit_model(ENGINE, toy.program, {}, log_columns=bits, key=self.key)
        plain = Statement(toy.program, toy.inputs, outputs, commitment=self.files[0])
        values = {**toy.inputs, **outputs}
        self.sealed = {
            n: chain.seal(ENGINE, self.key, plain.port_spec(n), x, os.urandom(32), n.encode())
            for n, x in values.items()
        }
        tensors = {n: b.tensor for n, b in self.sealed.items()}
        self.statement = replace(
            plain,
            inputs={n: tensors[n] for n in plain.inputs},
            outputs={n: tensors[n] for n in plain.outputs},
        )

    def prove(self) -> bytes:
        return prove(ENGINE, self.statement, {}, self.files[1], key=self.key, sealed=self.sealed)


def ranged(low: int, high: int) -> Toy:
    """The toy whose output port has this range."""
    toy = doubled()
    port = replace(toy.program.outputs["w"], low=low, high=high)
    return replace(toy, program=replace(toy.program, outputs={"w": port}))


def input_outside(toy: Toy) -> tuple[Toy, dict[str, Ints]]:
    """An entry of 100 where the port ends at 99."""
    x = toy.inputs["x"].copy()
    x[0, 0] = 100
    return replace(toy, inputs={"x": x}), {"w": 2 * x + np.maximum(x, 0)}


def output_outside(toy: Toy) -> tuple[Toy, dict[str, Ints]]:
    """True results of a program whose port promises less."""
    x = toy.inputs["x"]
    return toy, {"w": 2 * x + np.maximum(x, 0)}


def tried(monkeypatch: pytest.MonkeyPatch, sealed: Sealed, dropped: list[Tensor] | None) -> None:
    """Prove a lie: refused, or accepted where a relation is dropped, which was owed before."""
    with cheating.cheating(monkeypatch, lambda *_: None):
        proof = sealed.prove()
    if dropped is not None:
        assert dropped
    with pytest.raises(VerificationError) if dropped is None else nullcontext():
        verify(ENGINE, sealed.statement, proof, key=KEY)


LIES: list[Any] = [
    (input_outside, ranged(-(1 << 15), (1 << 15) - 1), ("x",), True),
    (output_outside, ranged(-50, 296), ("x", "function.y"), True),
    (output_outside, ranged(-(1 << 15) - 150, -151 + (1 << 15)), ("x", "function.y", "1"), False),
    (output_outside, ranged(-(1 << 15), (1 << 15) - 1), ("x", "function.y", "1"), False),
    (output_outside, ranged(-50, -51 + (1 << 16)), ("x", "function.y", "1"), True),
    (output_outside, ranged(-(1 << 20), 200), ("port.below",), True),
    (output_outside, ranged(-100, 1 << 20), ("port.above",), True),
]  # fmt: skip


@pytest.mark.parametrize("present", [True, False], ids=["refused", "accepted without"])
@pytest.mark.parametrize("at", [i for i, lie in enumerate(LIES) if lie[3]])
def test_entries_outside_their_range(
    monkeypatch: pytest.MonkeyPatch, at: int, present: bool
) -> None:
    change, toy, relation, _ = LIES[at]
    toy, outputs = change(toy)
    sealed = Sealed(toy, outputs)
    monkeypatch.setattr(Program, "check_ranges", lambda *_: None)
    with pytest.raises(RangeError):
        sealed.prove()
    dropped = None if present else without_lookup(monkeypatch, *relation)
    monkeypatch.setattr(cheating, "CheatingBuilder", Forger)
    tried(monkeypatch, sealed, dropped)


@pytest.mark.parametrize("present", [True, False], ids=["refused", "accepted without"])
@pytest.mark.parametrize("side", ["above", "below"])
def test_a_distance_that_is_not_its_limbs(
    monkeypatch: pytest.MonkeyPatch, side: str, present: bool
) -> None:
    """Limbs of 32 bits that hold what a negative distance is modulo 2^32."""
    bounds = (-100, 1 << 20) if side == "above" else (-(1 << 20), 200)
    toy, outputs = output_outside(ranged(*bounds))
    sealed = Sealed(toy, outputs)
    monkeypatch.setattr(Program, "check_ranges", lambda *_: None)
    dropped = None if present else without(monkeypatch, f"port.{side}", "1", "x", "function.y")
    tried(monkeypatch, sealed, dropped)


@pytest.mark.parametrize("present", [True, False], ids=["refused", "accepted without"])
def test_another_number_where_there_is_one(monkeypatch: pytest.MonkeyPatch, present: bool) -> None:
    toy, outputs = one(8)
    sealed = Sealed(toy, outputs)
    monkeypatch.setattr(Program, "check_ranges", lambda *_: None)
    tried(monkeypatch, sealed, None if present else without(monkeypatch, "x", "1"))


@pytest.mark.parametrize("at", [i for i, lie in enumerate(LIES) if not lie[3]])
def test_ranges_of_just_16_bits(at: int) -> None:
    change, toy, *_ = LIES[at]
    sealed = Sealed(*change(toy))
    verify(ENGINE, sealed.statement, sealed.prove(), key=KEY)


def one(number: int) -> tuple[Toy, dict[str, Ints]]:
    """A toy whose input is always 7, on another number."""
    ops = (Function(name="w", x="x", fn="relu", k_in=0, k_out=0),)
    program = Program(
        name="one", arch={}, inputs={"x": Port((4,), 0, 7, 7)},
        outputs={"w": Output((4,), 0, 0, 9, "w")}, limits={}, ops=ops, weights={}, exponents={},
    )  # fmt: skip
    program.validate()
    x = np.full(4, number)
    return Toy(program, {}, {"x": x}), {"w": x}


def test_a_range_of_one_number() -> None:
    sealed = Sealed(*one(7))
    verify(ENGINE, sealed.statement, sealed.prove(), key=KEY)


def test_ports_have_rows_of_one_length_whatever_the_model_has() -> None:
    """A seal that a large model made is the same bytes to a small one."""
    toy = doubled()
    large, small = Sealed(toy, toy.trace.outputs, 14), Sealed(toy, toy.trace.outputs, 12)
    for made in (large, small):
        verify(ENGINE, made.statement, made.prove(), key=made.key)
        assert made.sealed["w"].tensor.spec.row_bits == PORT_ROW_BITS
    assert large.sealed["w"].tensor.spec == small.sealed["w"].tensor.spec
    assert isinstance(large.statement, Execution)
    assert len(large.prove()) == count(large.statement).proof_bytes


def test_a_committed_input_that_nothing_reads() -> None:
    """Nothing would show that anybody can open it, or what its range is."""
    toy = doubled()
    more = replace(toy.program, inputs={**toy.program.inputs, "z": Port((2,), 0, 0, 1)})
    unread = replace(toy, program=more, inputs={**toy.inputs, "z": np.array([0, 1])})
    sealed = Sealed(unread, toy.trace.outputs)
    with pytest.raises(UsageError, match="nothing reads"):
        sealed.prove()
    with pytest.raises(VerificationError, match="nothing reads"):
        verify(ENGINE, sealed.statement, b"", key=KEY)
