"""Training of convolutional networks: proved, served, and provers with other convolutions refused.

A liar trains with another rule of a layer and proves the circuit of that rule; a verifier with the
same other rule accepts, ours refuses. Where a range stops a lie, prover and verifier drop it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest

from tests.soundness.test_training_momentum import without_op
from tests.soundness.test_training_ranges import both_runs, changes, moved
from tests.support import cheating
from tests.support.forging import without_lookup
from tests.support.pictures import (
    executed_pictures,
    picture_examples,
    picture_recipe,
    settled_recipe,
)
from tests.support.training import ENGINE, Trained, train_and_prove, window_proof
from tests.support.training_lies import Forged, verify_window
from veracity.errors import FormatError, VerificationError
from veracity.graph import execute
from veracity.graph.training import Recipe, layers
from veracity.graph.training import step as meaning
from veracity.graph.training.layers import Rule
from veracity.graph.training.network import Stage
from veracity.graph.training.program import program_of
from veracity.graph.wires import Step, apply_wire
from veracity.zkml import Statement, prove, verify
from veracity.zkml.training import window
from veracity.zkml.training.rounding import rounded_weights

Patch = pytest.MonkeyPatch


@pytest.fixture(scope="module")
def whole() -> Trained:
    """Three steps in two windows: rounded kernels, momentum, decay."""
    return train_and_prove(settled_recipe(3), 2, picture_examples())


def test_a_run_is_proved(whole: Trained) -> None:
    whole.verify()


def test_the_trained_network_answers(whole: Trained) -> None:
    """The commitment that a run ends with is the one that answers refer to."""
    recipe = whole.run.recipe
    assert whole.files is not None
    program, weights = program_of(recipe), rounded_weights(recipe, whole.states[-1])
    x = picture_examples(seed=8)[:2, :128].reshape(2, 8, 8, 2).astype(np.int64)
    y = execute(program, weights, {"x": x}).outputs
    commitment, opening = whole.files
    statement = Statement(program, {"x": x}, y, commitment=commitment)
    proof = prove(ENGINE, statement, weights, opening)
    verify(ENGINE, statement, proof)
    false = {"logits": y["logits"] + np.eye(2, 3, dtype=np.int64)}
    with pytest.raises(VerificationError):
        verify(ENGINE, replace(statement, outputs=false), proof)


def test_cuts_of_a_run_cannot_be_exchanged(whole: Trained) -> None:
    assert whole.proof is not None
    cuts = whole.proof.cuts
    with pytest.raises((VerificationError, FormatError)):
        whole.verify(replace(whole.proof, cuts=[cuts[0], cuts[0]]))


# ---- rounded weights -----------------------------------------------------------------------------
def test_rounded_weights_are_proved() -> None:
    recipe = replace(picture_recipe(), rounded=True)
    trained = executed_pictures(recipe)
    proof = window_proof(trained, 0)
    verify_window(trained, 0, proof)
    # Another recipe, whatever the weights: messages may be in other places, and be no numbers.
    with pytest.raises((VerificationError, FormatError)):
        verify_window(replace(trained, run=replace(trained.run, recipe=picture_recipe())), 0, proof)
    bounded = {side.id.name for side in window.build_window(recipe, 0, 2).bounded()}
    assert "kernel.y" in bounded


@pytest.mark.parametrize("present", [True, False], ids=["ours", "without the relation"])
def test_a_weight_rounded_up(monkeypatch: Patch, present: bool) -> None:
    """One entry of one kernel, in forward and backward pass alike."""
    recipe, at = replace(picture_recipe(), rounded=True), (1, 2, 0, 1)
    monkeypatch.setattr(cheating, "CheatingBuilder", Forged)
    op = "kernel 3.weight"
    if not present:
        without_op(monkeypatch, op)
    with monkeypatch.context() as patch:
        bent(4, *at)(patch)  # kernel and bias and results of the first layer, then this kernel
        trained = executed_pictures(recipe)
    columns = {("kernel.y[4x3x3x3]", 0): moved(1, *at)}
    if present:
        shift = recipe.weight_bits(1) - recipe.read_bits(1)
        columns[f"all of kernel.r of {op}", 0] = moved(-(1 << shift), *at)
    with cheating.cheating(monkeypatch, changes(columns), window):
        proof = window_proof(trained, 0)
    with pytest.raises(VerificationError) if present else nullcontext():
        verify_window(trained, 0, proof)


# ---- other layers --------------------------------------------------------------------------------
def ruled(change: Callable[[Rule], Rule]) -> Callable[[Patch], None]:
    """Convolutions with another rule."""
    honest = layers.WEIGHTED["conv"]

    def apply(patch: Patch) -> None:
        found = {**layers.WEIGHTED, "conv": lambda text, shape: change(honest(text, shape))}
        patch.setattr(layers, "WEIGHTED", found)
        patch.setattr(meaning, "_returned", by_rule)

    return apply


def by_rule(recipe: Recipe, layer: int, g: np.ndarray, w: np.ndarray, index: int) -> np.ndarray:
    """What flows back by the rule's own product, as proofs have it."""
    rule = recipe.stages[layer].rule
    return meaning._product(rule.backward, apply_wire(rule.returns, g), w, layer, index)


def corners(patch: Patch) -> None:
    """Of every square only the first entry is read."""
    honest = Stage.pooled.fget  # type: ignore[attr-defined]

    def read(stage: Stage) -> tuple[Step, ...]:
        first = (Step("slice", s.axis, (0, 1, 1)) for s in honest(stage) if s.kind == "sum")
        return tuple(
            t for s in honest(stage) for t in ([s] if s.kind == "split" else [next(first), s])
        )

    patch.setattr(Stage, "pooled", property(read))


def without_flip(rule: Rule) -> Rule:
    return replace(rule, returns=tuple(s for s in rule.returns if s.kind != "flip"))


def edges(rule: Rule) -> Rule:
    """What lies outside a picture is its border, not zero."""
    wire: list[Step] = []
    for step in rule.reads:
        *sides, low, high = step.numbers
        wire += [Step("pad", step.axis, (1, low, high)), replace(step, numbers=(*sides, 0, 0))]
    return replace(rule, reads=tuple(wire))


OTHER_LAYERS = {
    "kernel not turned on the way back": ruled(without_flip),
    "update of the turned kernel": ruled(lambda r: replace(r, update="boyx,bcyqxp->ocpq")),
    "padded with its border": ruled(edges),
    "one corner for an average": corners,
}

#: Their like is in the everyday tests.
SLOW = ("update of the turned kernel", "padded with its border")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n in SLOW)) for n in OTHER_LAYERS]
)
def test_another_layer(monkeypatch: Patch, name: str) -> None:
    honest = executed_pictures()
    with monkeypatch.context() as patch:
        OTHER_LAYERS[name](patch)
        trained = executed_pictures()
        ends = (honest.states[1], trained.states[1])
        assert any(not np.array_equal(w, ends[1][n]) for n, w in ends[0].items())
        proof = window_proof(trained, 0)
        verify_window(trained, 0, proof)
    again = replace(trained, run=replace(trained.run, recipe=picture_recipe()))
    with pytest.raises(VerificationError):
        verify_window(again, 0, proof)


# ---- ranges --------------------------------------------------------------------------------------
def bent(call: int, *at: int) -> Callable[[Patch], None]:
    """One rounding of the first step gives one more."""
    honest, calls = meaning.rhu, [0]

    def rounded(x: np.ndarray, shift: int) -> np.ndarray:
        calls[0] += 1
        return moved(1, *at)(honest(x, shift)) if calls[0] == call else honest(x, shift)

    return lambda patch: patch.setattr(meaning, "rhu", rounded)


#: Where a first step rounds: three layers, probabilities, two gradients.
RANGES = {
    "result of a convolution rounded up": (
        1, (1, 2, 3, 4), "z.y[4x3x8x8]", "z.r.high[4x3x8x8]", 28, ("z.r.high",)),
    "gradient behind an average rounded up": (
        6, (1, 2, 3, 4), "gradient.y[4x3x8x8]", "gradient.r.high[4x3x4x2x4x2]", 32,
        ("gradient.r.high", "1")),
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "present"), both_runs(RANGES, "gradient behind an average rounded up")
)
def test_out_of_range(monkeypatch: Patch, name: str, present: bool) -> None:
    call, at, column, high, shift, relation = RANGES[name]
    monkeypatch.setattr(cheating, "CheatingBuilder", Forged)
    if not present:
        without_lookup(monkeypatch, *relation)
    with monkeypatch.context() as patch:
        bent(call, *at)(patch)
        trained = executed_pictures()
    split = (at[0], at[1], at[2] // 2, at[2] % 2, at[3] // 2, at[3] % 2)
    place = at if high.count("x") == 3 else split
    columns = {
        (column, 0): moved(1, *at),
        (high, 0): moved(-(1 << shift - 16), *place),
    }
    with cheating.cheating(monkeypatch, changes(columns), window):
        proof = window_proof(trained, 0)
    with pytest.raises(VerificationError) if present else nullcontext():
        verify_window(trained, 0, proof)


def test_every_quotient_of_a_window_is_bounded() -> None:
    circuit = window.build_window(picture_recipe(), 0, 2)
    found = {side.id.name for side in circuit.bounded()}
    assert found == {"z.y", "relu.a", "relu.mask", "gradient.y", "loss.p.y"}
