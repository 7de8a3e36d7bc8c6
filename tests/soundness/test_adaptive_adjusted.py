"""Provers who leave out what adjusts scores: slopes, caps, windows, the bias of the head.

As in :mod:`tests.soundness.test_adaptive_ops`, every attack runs twice: the verifier must refuse,
and one that forgets the same thing must accept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from tests.soundness.test_adaptive_ops import mix, probabilities
from tests.support.forging import Lie, answer, attack, both, without_lookup
from tests.support.programs import Example, small_model
from veracity.engine.api import Ints
from veracity.errors import RangeError
from veracity.graph.ops import AdjustedAttention, Head, HeadWithBias, Op
from veracity.graph.tables import exp_table
from veracity.lm.text_decoder import answer_of, forward
from veracity.zkml.circuit.builder import Builder
from veracity.zkml.circuit.tensor import Tensor
from veracity.zkml.ops import attention, head
from veracity.zkml.ops.causal_grid import Part

AT = "layers.0.attn"


def model(seed: int) -> Example:
    return small_model("adjusted", layers=1, seed=seed)


def run_of(seed: int, change: Callable[[Op], Op]) -> Lie | None:
    """The run of one model with one op changed, where that shows."""
    e = model(seed)
    other = replace(e.program, ops=tuple(change(op) for op in e.program.ops))
    tokens = e.tokens[: e.prompt_length]
    while len(tokens) < len(e.tokens):
        tokens += answer_of(forward(other, e.weights, tokens, len(tokens)))
    found = forward(other, e.weights, tokens[:-1], e.prompt_length)
    honest = answer_of(forward(e.program, e.weights, tokens[:-1], e.prompt_length))
    return None if honest == tokens[e.prompt_length :] else Lie(e, tokens, found.details)


def simpler(change: Callable[[Op], Op]) -> Lie:
    """A run of the program with one op changed, for the first model where that shows."""
    for seed in range(40):
        try:
            lie = run_of(seed, change)
        except RangeError:
            continue
        if lie is not None:
            return lie
    raise AssertionError("no model shows the difference")


def adjusting(**changes: Any) -> Callable[[Op], Op]:
    return lambda op: replace(op, **changes) if isinstance(op, AdjustedAttention) else op


def unbiased(op: Op) -> Op:
    if not isinstance(op, HeadWithBias):
        return op
    return Head(name=op.name, x=op.x, weight=op.weight, shift=op.shift)


def nothing(b: Builder, _op: Op, part: Part) -> Tensor:
    return b.constant(0, part.dims)


@both
def test_windows_are_kept(monkeypatch: pytest.MonkeyPatch, present: bool) -> None:
    lie = simpler(adjusting(window=0))
    if not present:
        monkeypatch.setattr(attention, "_beyond", nothing)
    attack(monkeypatch, lie, present)


@both
def test_slopes_are_taken(monkeypatch: pytest.MonkeyPatch, present: bool) -> None:
    lie = simpler(adjusting(slopes=()))
    if not present:
        flat = attention._slanted
        monkeypatch.setattr(
            attention,
            "_slanted",
            lambda op, tokens: flat(replace(op, slopes=(0,) * len(op.slopes)), tokens),
        )
    attack(monkeypatch, lie, present)


@both
def test_the_bias_of_the_head_is_added(monkeypatch: pytest.MonkeyPatch, present: bool) -> None:
    lie = simpler(unbiased)
    if not present:
        monkeypatch.setattr(head, "HeadWithBias", type("Nothing", (), {}))
    attack(monkeypatch, lie, present)


@dataclass
class Lowered:
    """Images of scores below the greatest, far below what the cap gives."""

    where: Ints

    def __call__(self, capped: Ints) -> Ints:
        return np.where(self.where, capped - 2000, capped)


def uncapped(seed: int) -> Lie:
    e = model(seed)
    op = next(o for o in e.program.ops if o.name == AT)
    assert isinstance(op, AdjustedAttention)
    rows = (op.kv_heads * op.group, len(e.tokens) - 1, len(e.tokens) - 1)
    lowered = Lowered(np.zeros(rows, dtype=bool))

    def step(op: Any, values: Mapping[str, Ints], detail: dict[str, Ints]) -> Ints:
        top = detail["e"][:, 2, :].max(axis=1, keepdims=True)
        lowered.where[:, 2, :] = (detail["e"][:, 2, :] < top) & (detail["e"][:, 2, :] > 0)
        detail["e"] = np.where(lowered.where, exp_table(op.exp_k)[2000], detail["e"])
        detail["inv"] = (1 << 31) // detail["e"].sum(axis=2)
        return mix(op, probabilities(detail), values, detail)

    return Lie(e, *answer(e, AT, step), {("softmax.capped", 0): lowered})


@both
def test_scores_go_through_the_cap(monkeypatch: pytest.MonkeyPatch, present: bool) -> None:
    lie = next(filter(None, map(changed, range(400))))
    dropped = []
    if not present:
        dropped = without_lookup(monkeypatch, "softmax.score", "softmax.capped")
    attack(monkeypatch, lie, present)
    assert present or dropped


def changed(seed: int) -> Lie | None:
    """The lie about this model, where it changes the answer."""
    try:
        lie = uncapped(seed)
    except (AssertionError, RangeError):
        return None
    e = lie.example
    true = answer_of(forward(e.program, e.weights, lie.tokens[:-1], e.prompt_length))
    return None if true == lie.tokens[e.prompt_length :] else lie
