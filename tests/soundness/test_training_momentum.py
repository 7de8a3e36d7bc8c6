"""Momentum and weight decay: proved, and provers of other momenta and decays refused."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.soundness.test_projection import store
from tests.soundness.test_training_ranges import changes, moved
from tests.support import cheating
from tests.support.cheating import CheatingBuilder
from tests.support.training import (
    ENGINE,
    KEY,
    LOG_COLUMNS,
    Trained,
    execute_windows,
    small_examples,
    small_recipe,
    train_and_prove,
    window_proof,
)
from tests.support.training_lies import Forged, verify_window
from tests.support.wide import WideEngine, wide_limbs, wide_project
from veracity.engine.api import ORDER
from veracity.errors import UsageError, VerificationError
from veracity.graph.training import Recipe, Step, Weights, train_step
from veracity.zk.hidden import LinearForm
from veracity.zk.mle import inverse
from veracity.zk.reduction import LinearClaim
from veracity.zkml import argument, witness
from veracity.zkml.circuit.build import Circuit
from veracity.zkml.circuit.builder import Builder
from veracity.zkml.circuit.relations import Layout
from veracity.zkml.training import run as runs
from veracity.zkml.training import window
from veracity.zkml.training.data import commit_data
from veracity.zkml.training.run import Run
from veracity.zkml.training.state import commit_weights, end_id

Patch = pytest.MonkeyPatch
Change = Callable[[Recipe], Recipe]
build_window = window.build_window


def recipe(steps: int = 4) -> Recipe:
    """Blocks of two steps, momentum of 0.9, a decay that shows."""
    decays = tuple(900 + 100 * i for i in range(-(-steps // 2)))
    return replace(
        small_recipe(steps=steps), settle=2, momentum_bits=4, momentum=(16, 14, 13), decays=decays
    )


def executed(step: Callable[..., Step] = train_step, steps: int = 4) -> Trained:
    """Windows of one block each, on the same rows always."""
    examples, secret = small_examples(), bytes(32)
    data = commit_data(ENGINE, KEY, examples, 3, secret)
    out = Trained(Run(recipe(steps), (data,), 2, LOG_COLUMNS), examples, secret)
    execute_windows(out, step)
    return out


def test_a_run_is_proved() -> None:
    train_and_prove(recipe(5), 4).verify()


def test_windows_have_whole_blocks() -> None:
    run = executed(steps=2).run
    run.check()
    replace(run, window=4).check()
    with pytest.raises(UsageError, match="whole blocks"):
        replace(run, window=3).check()


# ---- another momentum, another decay -------------------------------------------------------------
def by_recipe(change: Change) -> tuple[Callable[..., Step], Callable[[Patch], None]]:
    """Steps of another recipe, and circuits of it."""
    return (
        lambda r, *rest: train_step(change(r), *rest),
        lambda p: p.setattr(runs, "build_window", lambda r, *rest: build_window(change(r), *rest)),
    )


def forgetful(r: Recipe, t: int, weights: Weights, examples: np.ndarray) -> Step:
    """What was gathered before a block is zero."""
    for name in r.shapes() if t == 2 else ():
        weights[r.momentum_name(name)] = np.zeros_like(weights[name])
    return train_step(r, t, weights, examples)


def forgotten(patch: Patch) -> None:
    honest = window.moving_tensors

    def tensors(*args: Any) -> dict[str, Any]:
        return {n: replace(m, gathered=None) for n, m in honest(*args).items()}

    patch.setattr(window, "moving_tensors", tensors)


OTHER_STEPS = {
    "other powers": by_recipe(lambda r: replace(r, momentum=(16, 16, 16))),
    "no decay": by_recipe(lambda r: replace(r, decays=(0, 0))),
    "decays in another order": by_recipe(lambda r: replace(r, decays=r.decays[::-1])),
    "nothing gathered before the window": (forgetful, forgotten),
}


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.slow] * (n == "no decay")) for n in OTHER_STEPS],
)
def test_another_step(monkeypatch: Patch, name: str) -> None:
    step, circuit = OTHER_STEPS[name]
    honest, trained = executed(), executed(step)
    ends = honest.states[2], trained.states[2]
    assert any(not np.array_equal(w, ends[1][n]) for n, w in ends[0].items())
    with monkeypatch.context() as patch:
        circuit(patch)
        proof = window_proof(trained, 1)
        verify_window(trained, 1, proof)
    with pytest.raises(VerificationError):
        verify_window(trained, 1, proof)


# ---- a settle step that rounds in another way ----------------------------------------------------
def without_op(patch: Patch, op: str) -> None:
    """Nothing of this op is looked up."""
    for owner in (Builder, CheatingBuilder):

        def lookup(b: Any, found: str, *rest: Any, honest: Any = owner.lookup, **kw: Any) -> None:
            if found == op:
                b.note_range(*rest[:2], rest[2] if len(rest) > 2 else None)
            else:
                honest(b, found, *rest, **kw)

        patch.setattr(owner, "lookup", lookup)


def ended(trained: Trained, weights: dict[str, Any], engine: Any = ENGINE) -> Trained:
    """The only window, said to end with these weights."""
    after = commit_weights(engine, KEY, trained.run.recipe, weights, os.urandom(32), b"end")
    return replace(trained, boundaries=[trained.boundaries[0], after])


#: What is rounded, its op, and the tensors that it is in at the end of the window.
SETTLED = {
    "momentum": ("momentum 2.weight", 4, "momentum 2.weight"),
    "decay": ("decay of 2.weight", 16, "2.weight"),
}


@pytest.mark.parametrize("present", [True, False], ids=["ours", "without the relation"])
@pytest.mark.parametrize("role", SETTLED)
def test_rounded_up(monkeypatch: Patch, role: str, present: bool) -> None:
    op, shift, name = SETTLED[role]
    trained = executed(steps=2)
    weights = {**trained.states[1], name: moved(1, 1, 2)(trained.states[1][name])}
    false = ended(trained, weights)
    false = replace(false, witnesses=[replace(trained.witnesses[0], end=weights)])
    monkeypatch.setattr(cheating, "CheatingBuilder", Forged)
    if not present:
        without_op(monkeypatch, op)
    columns = {
        (f"{role}.y[5x6]", 0): moved(1, 1, 2),  # that of momentum is what the window hands over
        (f"all of {role}.r of {op}", 0): moved(-(1 << shift), 1, 2),
    }
    if not present:
        columns.popitem()
    with cheating.cheating(monkeypatch, changes(columns), window):
        proof = window_proof(false, 0)
    with pytest.raises(VerificationError) if present else nullcontext():
        verify_window(false, 0, proof)


# ---- a settle step whose quotient is no integer --------------------------------------------------
@contextmanager
def no_integer(patch: Patch, role: str) -> Iterator[None]:
    """``(V_s - r) / 2^s mod p`` with another ``r``, in the column and in what is handed over."""
    op, shift, name = SETTLED[role]

    def build(*args: Any) -> Circuit:
        made = build_window(*args)
        if not made.builder.proving:
            return made
        for batch in made.builder.batches.values():
            if batch.id == end_id(name) or (batch.id.name, batch.dims) == (f"{role}.y", (5, 6)):
                batch.values[0] = wide(batch.values[0], shift)
        for group in made.plan.groups:
            for i, use in enumerate(group):
                if use.op == op:
                    less = moved(-1, 1, 2)(use.value.value.astype(np.int64))
                    assert less.min() >= 0
                    group[i] = replace(use, value=replace(use.value, value=less.astype(np.uint16)))
        return made

    with patch.context() as inner:
        inner.setattr(runs, "build_window", build)
        inner.setattr(Layout, "store", store)
        inner.setattr(witness, "project", wide_project)
        inner.setattr(witness, "limbs_of", wide_limbs)
        yield


def wide(values: np.ndarray, shift: int) -> np.ndarray:
    out = values.astype(object)
    out[1, 2] = (int(out[1, 2]) + inverse(1 << shift)) % ORDER
    return out


@pytest.mark.parametrize("present", [True, False], ids=["ours", "without the projection's claim"])
@pytest.mark.parametrize("role", SETTLED)
def test_unbounded(monkeypatch: Patch, role: str, present: bool) -> None:
    """Only the projection stops a quotient that every other relation accepts."""
    _, shift, name = SETTLED[role]
    trained = executed(steps=2)
    weights = {**trained.states[1], name: wide(trained.states[1][name], shift)}
    false = ended(trained, weights, WideEngine(ENGINE))
    if not present:
        nothing = LinearClaim((), LinearForm(0))
        monkeypatch.setattr(argument, "bound_claim", lambda *_: nothing)
    with no_integer(monkeypatch, role):
        monkeypatch.setattr("tests.support.training.ENGINE", WideEngine(ENGINE))
        proof = window_proof(false, 0)
    with pytest.raises(VerificationError) if present else nullcontext():
        verify_window(false, 0, proof)


def test_every_quotient_of_a_settle_step_is_bounded() -> None:
    names = list(recipe().shapes())
    for last in (2, 4):  # the last block of a window hands its quotients over
        found = {side.id for side in build_window(recipe(), 0, last).bounded()}
        assert {end_id(recipe().momentum_name(n)) for n in names} <= found
        made = {one.name for one in found}
        assert "decay.y" in made
        assert ("momentum.y" in made) == (last == 4)
