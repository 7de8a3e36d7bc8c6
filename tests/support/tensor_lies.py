"""Lies about programs of a few ops over one tensor, each stopped by one relation."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from tests.support import cheating
from tests.support.forging import Forger, without, without_lookup
from tests.support.toy_programs import S16, Toy
from veracity.engine import load_engine
from veracity.engine.api import Ints
from veracity.errors import VerificationError
from veracity.graph import Output, Port, Program, WeightSpec
from veracity.graph.ops import Op
from veracity.zk.keys import key_for, load_key
from veracity.zk.transcript import ProverTranscript
from veracity.zkml import Statement, argument, chain, commit_model, verify
from veracity.zkml.circuit import build
from veracity.zkml.model import weight_arrays

LOG_COLUMNS = 6
ENGINE = load_engine("cpu")
KEY = load_key(ENGINE, LOG_COLUMNS)


def program(
    *ops: Op,
    x: np.ndarray,
    dims: tuple[int, ...],
    weights: dict[str, np.ndarray] | None = None,
    high: int = S16 - 1,
) -> Toy:
    """A program whose last op is its output."""
    held = {} if weights is None else weights
    made = Program(
        name="op",
        arch={},
        inputs={"x": Port(x.shape, 0, -(1 << 23), 1 << 23)},
        outputs={"y": Output(dims, 0, -S16, high, ops[-1].name)},
        limits={},
        ops=ops,
        weights={n: WeightSpec(w.shape, "int16", 0, 16) for n, w in held.items()},
        exponents={},
    )
    made.validate()
    return Toy(made, held, {"x": x})


@dataclass
class Lie:
    """A false output, what is committed instead of true columns, and the relation in its way."""

    toy: Toy
    output: np.ndarray
    relation: tuple[str, ...]
    columns: dict[str, Callable[[Ints], Ints]] = field(default_factory=dict)
    looked_up: bool = False
    details: Callable[[dict[str, Any]], None] = lambda _: None

    def change(self, name: str, instance: int, values: Ints) -> Ints | None:
        role = name.split("[")[0]
        found = self.columns.get(f"{role} {instance}" if instance else role)
        return None if found is None else found(values)


def first_plus(k: int) -> Callable[[Ints], Ints]:
    """The first entry is another one."""

    def change(values: Ints) -> Ints:
        out = values.astype(np.int64)
        out.reshape(-1)[0] += k
        return out

    return change


def try_lie(monkeypatch: pytest.MonkeyPatch, lie: Lie, present: bool) -> None:
    """Prove a lie; the verifier must refuse where the relation is present, else accept."""
    toy = lie.toy
    assert not np.array_equal(lie.output, toy.trace.outputs["y"])
    files = commit_model(ENGINE, toy.program, toy.weights, log_columns=LOG_COLUMNS, key=KEY)
    statement = Statement(toy.program, toy.inputs, {"y": lie.output}, commitment=files[0])
    (link,) = statement.links
    monkeypatch.setattr(cheating, "CheatingBuilder", Forger)
    if not present:
        drop = without_lookup if lie.looked_up else without
        dropped = drop(monkeypatch, *lie.relation)
    trace = toy.trace
    lie.details(trace.details["y"])
    with cheating.cheating(monkeypatch, lie.change):
        circuit = build.build_circuit(statement, link, toy.weights, trace)
        transcript = ProverTranscript(chain.PROTOCOL, chain.link_statement(statement, link, {}))
        model = weight_arrays(ENGINE, toy.program, toy.weights, files)
        key = key_for(ENGINE, circuit.row_bits, KEY)
        argument.prove_circuit(ENGINE, key, circuit, model, transcript)
    if not present:
        assert dropped
    with pytest.raises(VerificationError) if present else nullcontext():
        verify(ENGINE, statement, transcript.finish(), key=KEY)
