"""Tensors that both sides know are weighed without being made."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

from tests.support.programs import small_model
from veracity.engine import load_engine
from veracity.zkml import Execution
from veracity.zkml.circuit.build import build_circuit
from veracity.zkml.circuit.tensor import Below


def test_bits_below_limits_weigh_like_the_array() -> None:
    engine = load_engine("reference")
    source = Below((0, 3, 7, 5), 7)
    rows, entries = engine.random(4), engine.random(7)
    expected = engine.dot(engine.outer(rows, entries), engine.from_small(source.values()))
    assert source.evaluate(engine, ((1, rows), (1, entries))) == expected


def test_a_verifier_allocates_little_before_it_reads_a_proof() -> None:
    """A short file can claim a long answer; what that costs must not grow with the vocabulary."""
    program = small_model("llama").program
    head = program.ops[-1].weight
    spec = program.weights[head]
    wide = replace(spec, shape=(1 << 17, spec.shape[1]))
    program = replace(
        program, context=1 << 12, vocab=1 << 17, weights={**program.weights, head: wide}
    )
    execution = Execution(program, (1,) * 2000, 1)
    tracemalloc.start()
    build_circuit(execution, execution.links[0])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 64 << 20
