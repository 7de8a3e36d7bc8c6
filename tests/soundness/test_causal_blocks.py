"""Squares of scores that are cut into blocks: what holds a whole square together holds its parts.

As in :mod:`tests.soundness.test_adaptive_ops`, every attack runs twice: against the argument, and
against one that owes everything but the one relation. Squares are cut here from three tokens on,
into stretches of two: of four tokens, row 2 sees a block below the diagonal (sources 0 and 1) and
one on it (source 2; source 3 is hidden).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.soundness.test_adaptive_ops import (
    ATTENTION,
    any_rest,
    exponential,
    mix,
    probabilities,
    reciprocal,
    result,
    shifted,
)
from tests.support.forging import (
    Lie,
    answer,
    attack,
    both,
    model,
    one_relation_stops,
    setting,
    without,
    without_lookup,
)
from tests.support.programs import claim, sliding
from veracity.engine.api import Ints
from veracity.errors import RangeError
from veracity.graph.ops import AdjustedAttention, Op
from veracity.graph.tables import exp_table
from veracity.lm.text_decoder import answer_of, forward
from veracity.zkml import commit_model, prove, verify
from veracity.zkml.circuit.build import build_circuit
from veracity.zkml.ops import attention, causal_grid


@pytest.fixture(autouse=True)
def cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(causal_grid, "LONG", 2)


def put(*entries: tuple[tuple[int, ...], int]) -> Callable[[Ints], Ints]:
    """Set entries (block, target, source) of the first head."""

    def change(x: Ints) -> Ints:
        x = np.array(x).astype(np.int64)
        for at, value in entries:
            x[(0, *at)] = value
        return x

    return change


def probability(source: int) -> Lie:
    """Row 2 gives a source another probability of its own."""
    e = model()

    def step(op: Any, values: Mapping[str, Ints], detail: dict[str, Ints]) -> Ints:
        p = probabilities(detail)
        p[:, 2, source] = -20000
        return mix(op, p, values, detail)

    def change(p: Ints) -> Ints:
        p = np.array(p).astype(np.int64)
        p[:, -1, 0, source % 2] = -20000
        return p

    part = "below" if source < 2 else "diagonal"
    return Lie(e, *answer(e, ATTENTION, step), {(f"softmax.p.{part}", 0): change})


def hidden_exponential() -> Lie:
    lie = exponential(3)
    return replace(lie, columns={("softmax.p.diagonal", 0): np.tril})


def distances() -> Lie:
    """The distances of a block below the diagonal are not those of its scores."""
    e, others = model(), [0, 99]

    def step(op: Any, values: Mapping[str, Ints], detail: dict[str, Ints]) -> Ints:
        detail["e"][:, 2, :2] = exp_table(op.exp_k)[others]
        detail["inv"] = (1 << 31) // detail["e"].sum(axis=2)
        return mix(op, probabilities(detail), values, detail)

    def change(d: Ints) -> Ints:
        d = np.array(d)
        d[:, 0, 0] = others
        return d

    return Lie(e, *answer(e, ATTENTION, step), {("softmax.distance.below", 0): change})


def pick(**parts: Callable[[Ints], Ints]) -> Lie:
    """A maximum above all scores of row 2; its one-hot, on the diagonal where nothing else is."""
    columns = {(f"softmax.pick.{part}", 0): change for part, change in parts.items()}
    return replace(shifted(lambda x: x), columns=columns)


def half(**limbs: Callable[[Ints, Ints], Ints]) -> Lie:
    """Half of a row's reciprocal."""
    lie = reciprocal(model(), 0.5, **limbs)
    columns = {
        at: lambda x, made=made: made(x).reshape(np.shape(x)) for at, made in lie.columns.items()
    }
    return replace(lie, columns=columns)


SUMS = ("softmax.exp.below Sum Fold", "softmax.exp.diagonal Sum")
IDENTITIES: dict[str, tuple[Callable[[], Lie], tuple[str, ...]]] = {
    "probabilities obey the mask": (lambda: probability(3), ("softmax.p.diagonal Causal",)),
    "exponentials obey the mask": (hidden_exponential, ("softmax.exp.diagonal Causal",)),
    "a row has a maximum in one of its blocks": (
        lambda: pick(diagonal=put(((1, 0, 0), 0))),
        ("softmax.pick.below Sum Fold", "softmax.pick.diagonal Sum", "1"),
    ),
    "a maximum below the diagonal is a score": (
        lambda: pick(below=put(((0, 0, 1), 1)), diagonal=put(((1, 0, 0), 0))),
        ("softmax.pick.below", "softmax.distance.below", "1"),
    ),
    "a maximum on the diagonal is a score": (
        pick,
        ("softmax.pick.diagonal", "softmax.distance.diagonal", "1"),
    ),
    "I S = 2^31 - w, S over all blocks": (
        lambda: half(rest=any_rest, gap=lambda s, w: s - 1 - any_rest(s, w)),
        ("softmax.inverse", *SUMS, "softmax.rest", "1"),
    ),
    "gap = S - 1 - w": (
        lambda: half(gap=lambda s, _: s - 1),
        ("softmax.gap", "softmax.rest", *SUMS, "1"),
    ),
}
LOOKUPS: dict[str, tuple[Callable[[], Lie], tuple[str, ...]]] = {
    "distances below the diagonal are those of the scores": (
        distances,
        (
            "rope.y Split Permute Blocks",
            "softmax.distance.below Split",
            "softmax.max Gather Broadcast Split",
            "1",
        ),
    ),
    "the exponential's table below the diagonal": (
        lambda: exponential(0),
        ("softmax.distance.below", "softmax.exp.below"),
    ),
    "the exponential's table on the diagonal": (
        lambda: exponential(2),
        ("softmax.distance.diagonal", "softmax.exp.diagonal"),
    ),
    "p = rescale(e I) below the diagonal": (
        lambda: probability(1),
        ("softmax.exp.below", "softmax.inverse Gather", "softmax.p.below", "1"),
    ),
    "p = rescale(e I) on the diagonal": (
        lambda: probability(2),
        ("softmax.exp.diagonal", "softmax.inverse", "softmax.p.diagonal", "1"),
    ),
    "y = rescale(sum p v) over all blocks": (
        lambda: result(ATTENTION, "mix.y", 0, lambda y: np.negative(y)),
        (
            "softmax.p.below Split",
            "softmax.p.diagonal Split",
            "linear.y Split Permute Blocks",
            "mix.y Split Permute Split",
            "1",
        ),
    ),
}


def other_window() -> Lie:
    """The run of a model that sees everything, as if it were that of one with a window."""
    for seed in range(40):
        with suppress(RangeError):
            e = sliding(seed, prompt=5)  # no row beyond the last
            far = replace(e.program, ops=tuple(widest(op) for op in e.program.ops))
            tokens = e.tokens[: e.prompt_length]
            while len(tokens) < len(e.tokens):
                tokens = [*tokens, *answer_of(forward(far, e.weights, tokens, len(tokens)))]
            run = forward(far, e.weights, tokens[:-1], e.prompt_length)
            true = forward(e.program, e.weights, tokens[:-1], e.prompt_length)
            if answer_of(true) != tokens[e.prompt_length :]:
                return Lie(e, tokens, run.details)
    raise AssertionError("no model shows the difference")


def widest(op: Op) -> Op:
    return replace(op, window=0) if isinstance(op, AdjustedAttention) else op


@both
@pytest.mark.parametrize("name", IDENTITIES)
def test_one_identity_stops_it(monkeypatch: pytest.MonkeyPatch, name: str, present: bool) -> None:
    one_relation_stops(monkeypatch, IDENTITIES[name], present, without)


@both
@pytest.mark.parametrize("name", LOOKUPS)
def test_one_lookup_stops_it(monkeypatch: pytest.MonkeyPatch, name: str, present: bool) -> None:
    one_relation_stops(monkeypatch, LOOKUPS[name], present, without_lookup)


@both
def test_windows_are_kept(monkeypatch: pytest.MonkeyPatch, present: bool) -> None:
    lie = other_window()
    if not present:
        monkeypatch.setattr(attention, "_beyond", lambda b, _op, part: b.constant(0, part.dims))
    attack(monkeypatch, lie, present)


def test_capped_scores_and_windows_are_proved_in_blocks() -> None:
    engine, key = setting()
    e = sliding(1)
    commitment, secret = commit_model(engine, e.program, e.weights, log_columns=9, key=key)
    statement = claim(e, commitment=commitment)
    proof = prove(engine, statement, e.weights, secret, key=key)
    verify(engine, statement, proof, key=key)
    roles = {b.name for b in build_circuit(statement, statement.links[0]).builder.batches}
    assert {"softmax.score.below", "softmax.capped.diagonal"} <= roles
