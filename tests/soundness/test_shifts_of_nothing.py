"""Rescales that drop no bits: no remainder is looked up, an identity stands in its place.

As in :mod:`tests.soundness.test_adaptive_ops` every attack runs twice, with the one relation and
without it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.soundness.test_adaptive_ops import ATTENTION, mix, probabilities
from tests.support import forging
from tests.support.forging import answer, both, model, one_relation_stops, without
from tests.support.programs import Example
from tests.support.tensor_lies import Lie, first_plus, program, try_lie
from veracity.engine.api import Ints
from veracity.graph.ops import Clamp, Combine, Contract, Linear, Operand, Product
from veracity.graph.ops.contract import WIDE
from veracity.graph.tables import exp_table
from veracity.lm.text_decoder import answer_of, forward
from veracity.zkml.ops import contract

X = np.array([[3, -4, 5]])
WEIGHT = np.array([[2, 1, -1], [0, 7, 3]], dtype=np.int16)


def plus_one(lie: Lie) -> Lie:
    output = lie.toy.trace.outputs["y"].copy()
    output.reshape(-1)[0] += 1
    return replace(lie, output=output)


def linear() -> Lie:
    op = Linear(name="y", x="x", weight="w", bias=None, shift=0, bits=16)
    toy = program(op, x=X, dims=(1, 2), weights={"w": WEIGHT})
    return Lie(toy, X, ("linear.y", "Public", "w", "1"), {"linear.y": first_plus(1)})


def wide() -> Lie:
    product = Product(spec="nk,mk->nm", a=Operand(x="x"), b=Operand(x="w", of="weight"))
    op = Contract(name="y", products=(product,), addends=(), shift=0, bits=WIDE)
    toy = program(op, x=X, dims=(1, 2), weights={"w": WEIGHT})
    columns = {"contract.wide of y": first_plus(1)}
    return Lie(toy, X, ("contract.wide", "Public", "w", "1"), columns)


def copy() -> Lie:
    """A value made of so much that it is committed once more."""
    op = Combine(name="y", addends=(Operand(x="x", factor=3),))
    toy = program(op, x=X, dims=(1, 3))
    return Lie(toy, X, ("copy", "Public"), {"copy": first_plus(1)})


def shown() -> Lie:
    """Nothing but the output itself is another one."""
    op = Linear(name="y", x="x", weight="w", bias=None, shift=1, bits=16)
    toy = program(op, x=X, dims=(1, 2), weights={"w": WEIGHT})
    return Lie(toy, X, ("linear.y", "Public"))


@both
@pytest.mark.parametrize("lie", [linear, wide, copy, shown])
def test_results_that_are_one_more(
    monkeypatch: pytest.MonkeyPatch, lie: Callable[[], Lie], present: bool
) -> None:
    if lie is copy:
        monkeypatch.setattr(contract, "MOST_TERMS", 0)
    try_lie(monkeypatch, plus_one(lie()), present)


@both
@pytest.mark.parametrize(("x", "bound", "column"), [(5, -9, "above"), (5, 200, "below")])
def test_a_bound_in_place_of_a_value(
    monkeypatch: pytest.MonkeyPatch, x: int, bound: int, column: str, present: bool
) -> None:
    """What lies within the bounds of a clamp is said to lie beyond one of them."""
    entries = np.array([x, -70000, 70000, 99])
    toy = program(Clamp(name="y", x="x", low=-9, high=200, x_bits=24), x=entries, dims=(4,))
    output = toy.trace.outputs["y"].copy()
    output[0] = bound
    columns = {f"clamp.{column} of y": first_plus(abs(x - bound))}
    lie = Lie(toy, output, ("clamp.below", "clamp.above", "Public", "1"), columns)
    try_lie(monkeypatch, lie, present)


# ---- language models -----------------------------------------------------------------------------
def changed(at: str, weights: Mapping[str, Ints], **parameters: int) -> Example:
    """The model with another op, other weights, and the answer that it then gives."""
    e = model()
    ops = tuple(replace(o, **parameters) if o.name == at else o for o in e.program.ops)
    e = replace(e, program=replace(e.program, ops=ops), weights={**e.weights, **weights})
    e.program.validate()
    tokens = e.tokens[: e.prompt_length]
    while len(tokens) < len(e.tokens):
        tokens += answer_of(forward(e.program, e.weights, tokens, len(tokens)))
    return replace(e, tokens=tokens)


def scores() -> forging.Lie:
    """Scores are all zero, and a row's distances are others."""
    query = f"{ATTENTION}.q.weight"
    e, others = changed(ATTENTION, {query: 0 * model().weights[query]}, score_shift=0), [0, 99, 99]

    def step(op: Any, values: Mapping[str, Ints], detail: dict[str, Ints]) -> Ints:
        detail["e"][:, 2, :3] = exp_table(op.exp_k)[others]
        detail["inv"] = (1 << 31) // detail["e"].sum(axis=2)
        return mix(op, probabilities(detail), values, detail)

    def change(d: Ints) -> Ints:
        d = np.array(d)
        d[:, 2, :3] = others
        return d

    tokens, details = answer(e, ATTENTION, step)
    columns = {("softmax.distance", 0): change}
    return forging.Lie(e, tokens, details, columns, harmless=tokens == e.tokens)


def logits() -> forging.Lie:
    """Logits are small whole numbers, and the distances of the answer are those of another."""
    e = changed("head", {"embedding": np.sign(model().weights["embedding"])}, shift=0)
    tokens = [*e.tokens[:-1], (e.tokens[-1] + 3) % len(e.weights["embedding"])]

    def distances(d: Ints) -> Ints:
        d = np.ones_like(d)
        d[np.arange(len(d)), tokens[e.prompt_length :]] = 0
        return d

    return forging.Lie(e, tokens, {}, {("head.distance", 0): distances})


MODELS = {
    scores: ("rope.y Split Permute", "softmax.distance Split", "softmax.max Broadcast Split", "1"),
    logits: ("embedding", "gain.y Slice", "head.distance", "head.max Broadcast", "1"),
}


@both
@pytest.mark.parametrize("lie", MODELS)
def test_models_whose_scores_are_not_shifted(
    monkeypatch: pytest.MonkeyPatch, lie: Callable[[], forging.Lie], present: bool
) -> None:
    one_relation_stops(monkeypatch, (lie, MODELS[lie]), present, without)
