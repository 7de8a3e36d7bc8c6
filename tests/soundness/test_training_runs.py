"""Windows out of place, of other runs, on other examples, from other weights; data of no form."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.support import cheating
from tests.support.cheating import CheatingBuilder
from tests.support.forging import without
from tests.support.training import (
    ENGINE,
    KEY,
    LOG_COLUMNS,
    Trained,
    committed_data,
    execute_windows,
    small_examples,
    small_recipe,
    train_and_prove,
    unblinded,
    window_proof,
)
from tests.support.training_lies import executed, prove_published, tensors, verify_window
from veracity.engine.api import ORDER
from veracity.errors import FormatError, UsageError, VerificationError
from veracity.graph.training import Recipe, train_step
from veracity.graph.training.network import dense
from veracity.graph.training.program import program_of
from veracity.zk.committed import CommittedArray
from veracity.zk.transcript import ProverTranscript
from veracity.zkml.argument import prove_circuit
from veracity.zkml.circuit.builder import Builder
from veracity.zkml.model import commit_model
from veracity.zkml.training import data as forms
from veracity.zkml.training import run as runs
from veracity.zkml.training import window
from veracity.zkml.training.data import DataCommitment, data_blinds, verify_form
from veracity.zkml.training.rounding import rounded_weights
from veracity.zkml.training.run import Run, RunProof
from veracity.zkml.training.state import commit_weights
from veracity.zkml.training.window import WindowWitness

Patch = pytest.MonkeyPatch
REJECTED = (FormatError, VerificationError)


@pytest.fixture(scope="module")
def whole() -> Trained:
    """Two windows of two steps, proved."""
    return train_and_prove(small_recipe(steps=4))


def cut(boundary: Any) -> bytes:
    """The rows of weights as a proof has them."""
    return b"".join(boundary[name].tensor.data for name in sorted(boundary))


# ---- windows -------------------------------------------------------------------------------------
def test_windows_out_of_place(whole: Trained) -> None:
    proof = whole.proof
    assert proof is not None
    (one, two), (c1, c2) = proof.windows, proof.cuts
    whole.verify()
    for windows, cuts in (
        ([two, one], [c1, c2]),
        ([one, one], [c1, c2]),
        ([one, two], [c2, c1]),
        ([one, two], [c1, c1]),
        ([one], [c1, c2]),
        ([two], [c2]),
        ([one, two, two], [c1, c2, c2]),
        ([one, two], [c1, c2, c2]),
        ([one + b"\0", two], [c1, c2]),
        ([one, two], [c1 + bytes(32), c2]),
        ([one, two], [c1[:-32], c2]),
        ([], []),
    ):
        with pytest.raises(REJECTED):
            whole.verify(replace(proof, windows=windows, cuts=cuts))


def test_the_next_window_starts_from_other_weights(whole: Trained) -> None:
    """Both windows are true, but the second one does not start where the first one ends."""
    run, recipe = whole.run, whole.run.recipe
    weights = dict(whole.states[1])
    weights["2.weight"] = weights["2.weight"] + 1
    before = commit_weights(ENGINE, KEY, recipe, weights, os.urandom(32), b"before")
    examples, start = whole.witnesses[1].examples, dict(weights)
    steps = [train_step(recipe, t, weights, examples[t - 2]) for t in (2, 3)]
    after = commit_weights(ENGINE, KEY, recipe, weights, os.urandom(32), b"after")
    lie = replace(
        whole,
        boundaries=[whole.boundaries[0], before, after],
        witnesses=[whole.witnesses[0], WindowWitness(examples, start, dict(weights), steps)],
    )
    proof = window_proof(lie, 1)
    verify_window(lie, 1, proof)  # a verifier who reads the rows for each window anew
    assert whole.proof is not None
    windows = [whole.proof.windows[0], proof]
    for first, where in ((whole.boundaries[1], "window 2"), (before, "window 1")):
        with pytest.raises(VerificationError, match=where):
            whole.verify(replace(whole.proof, windows=windows, cuts=[cut(first), cut(after)]))
    assert run.ranges() == [(0, 2), (2, 4)]


def test_a_window_of_another_recipe(monkeypatch: Patch) -> None:
    """Recipes that differ after the window: nothing but the premise tells their windows apart."""
    monkeypatch.setattr(runs, "order_seed", lambda *_: bytes(32))
    monkeypatch.setattr(Run, "start_seed", bytes(32))
    one = executed(steps=4)
    recipe = one.run.recipe
    other = replace(one.run, recipe=replace(recipe, rates=(*recipe.rates[:3], 1)))
    two = replace(one, run=other)
    with pytest.raises(VerificationError):
        verify_window(two, 0, window_proof(one, 0))
    monkeypatch.setattr(runs, "_head", lambda *_: [])
    verify_window(two, 0, window_proof(one, 0))


def test_everything_is_absorbed(whole: Trained) -> None:
    """Whatever a window hangs on is in its statement."""
    run, (b0, b1, b2) = whole.run, map(tensors, whole.boundaries)
    other, _ = committed_data(whole.examples)
    recipe = run.recipe
    found = [
        run.window_statement(b0, (0, 2), b0, b1),
        run.window_statement(b0, (0, 3), b0, b1),
        run.window_statement(b0, (1, 2), b0, b1),
        run.window_statement(b1, (0, 2), b0, b1),
        run.window_statement(b0, (0, 2), b1, b1),
        run.window_statement(b0, (0, 2), b0, b2),
        run.window_statement(b0, (0, 2), b1, b0),
    ]
    for change in (
        {"beacon": b"b"},
        {"window": 3},
        {"log_columns": 13},
        {"data": (other,)},
        {"data": (replace(run.data[0], label="x"),)},
        {"data": (*run.data, other)},
        {"recipe": replace(recipe, rates=(*recipe.rates[:3], 1))},
        {"recipe": replace(recipe, weight_exponent=11)},
    ):
        found.append(replace(run, **change).window_statement(b0, (0, 2), b0, b1))  # type: ignore[arg-type]
    assert len(set(found)) == len(found)


def test_the_order_comes_after_the_data(whole: Trained) -> None:
    """Another row, owner, recipe, start or beacon: another order of the examples."""
    run, (b0, b1, _) = whole.run, map(tensors, whole.boundaries)
    (data,) = run.data
    rows = data.rows
    other = replace(data, rows=rows[32:64] + rows[:32] + rows[64:])
    orders = [
        run.rows(b0, 0, 4),
        run.rows(b1, 0, 4),
        replace(run, data=(other,)).rows(b0, 0, 4),
        replace(run, recipe=replace(run.recipe, weight_exponent=11)).rows(b0, 0, 4),
        replace(run, beacon=b"b").rows(b0, 0, 4),
    ]
    assert len({order.tobytes() for order in orders}) == len(orders)


def test_two_false_windows_do_not_cancel(whole: Trained, monkeypatch: Patch) -> None:
    """Errors ``P`` and ``-P rho^-2``: only weights that come after all messages stop them."""
    honest, known, seen = runs.verify_circuit, 12345, [0]
    point = ENGINE.generators("error", 1)

    def false(*given: Any) -> Any:
        first, *rest = honest(*given)
        factor = {0: 1, 1: -pow(pow(known, 2, ORDER), -1, ORDER)}.get(seen[0], 0)
        seen[0] += 1
        off = ENGINE.scale_points(point, ENGINE.from_ints([factor]))
        return (replace(first, others=(*first.others, (off, ENGINE.from_ints([1])))), *rest)

    monkeypatch.setattr(runs, "verify_circuit", false)
    with pytest.raises(VerificationError, match="link 1"):
        whole.verify()
    seen[0] = 0
    monkeypatch.setattr(runs, "batch_challenge", lambda *_: known)
    whole.verify()


def test_a_short_file_costs_little(whole: Trained, monkeypatch: Patch) -> None:
    """Lengths are compared before anything is computed that costs as much as the weights."""
    assert whole.proof is not None

    def never(*_: Any) -> Any:
        raise AssertionError("the start was computed")

    monkeypatch.setattr(runs, "start_rows", never)
    short = replace(whole.proof, cuts=[whole.proof.cuts[0], b""])
    with pytest.raises(FormatError, match="window 2"):
        whole.verify(short)


def test_recipes_that_no_proof_can_be_about(monkeypatch: Patch, whole: Trained) -> None:
    """Products of what is known to be bounded must stay below the field's size.

    What a recipe may ask for does; so the weights are said to be larger than they can be.
    """
    recipe = Recipe(dense(8, 512, 512, 3), 14, (1 << 20,) * (1 << 18), loss="square")
    run = Run(recipe, whole.run.data, 256, LOG_COLUMNS)
    run.check()
    honest = window.state_limits
    monkeypatch.setattr(
        window, "state_limits", lambda r, t: {n: w << 100 for n, w in honest(r, t).items()}
    )
    with pytest.raises(UsageError, match="no proof of this recipe"):
        run.check()
    with pytest.raises(VerificationError, match="no proof of this recipe"):
        whole.verify(run=run)


# ---- examples ------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["chosen", "the same again"])
def test_batches_by_choice(monkeypatch: Patch, name: str) -> None:
    """The verifier gathers the rows itself; one who lets the prover choose accepts."""
    rule = {"chosen": [[0, 1, 2, 3], [9, 8, 7, 6]], "the same again": [[5, 6, 7, 8]] * 2}[name]
    with monkeypatch.context() as patch:
        patch.setattr(runs, "batch_rows", lambda *_: np.array(rule))
        trained = executed()
        proof = window_proof(trained, 0)
        verify_window(trained, 0, proof)
    with pytest.raises(VerificationError):
        verify_window(trained, 0, proof)


def test_examples_of_nobody(monkeypatch: Patch) -> None:
    """Trained on examples that are in no data set of the run."""
    honest = executed()
    mine = small_examples(seed=7)
    data, seed = committed_data(mine)
    lie = Trained(honest.run, mine, seed)
    execute_windows(lie)
    elsewhere = replace(honest.run, data=(data,))
    start = tensors(lie.boundaries[0])
    rows = honest.run.rows(start, 0, 2)
    points = replace(elsewhere.examples(start, 0, 2), data=data.gathered(rows))
    proof = window_proof(lie, 0)
    with pytest.raises(VerificationError):
        verify_window(lie, 0, proof)
    monkeypatch.setattr(Run, "examples", lambda *_: points)
    verify_window(lie, 0, window_proof(lie, 0))


@pytest.mark.parametrize("label", ["", "mine", "yours"])
def test_the_same_rows_twice(whole: Trained, label: str) -> None:
    (data,) = whole.run.data
    run = replace(whole.run, data=(data, replace(data, label=label)))
    with pytest.raises(VerificationError, match="twice"):
        whole.verify(run=run)


@pytest.mark.parametrize("size", range(3, 10))
def test_one_row_an_example(size: int) -> None:
    """However few entries an example has."""
    examples = np.zeros((5, size), np.int64)
    examples[:, -1] = 1
    data, _ = committed_data(examples, 2)
    assert data.examples == 5
    assert data.gathered(np.array([4, 1])) == data.rows[128:] + data.rows[32:64]


# ---- start, and what is published ----------------------------------------------------------------
def test_a_start_that_is_not_from_the_seed(monkeypatch: Patch) -> None:
    """Weights that somebody has trained elsewhere, passed for the public start."""
    with monkeypatch.context() as patch:
        trained = executed(steps=2)
        elsewhere = trained.states[-1]
        patch.setattr(Run, "start_weights", property(lambda _: dict(elsewhere)))
        given = unblinded(trained.run.recipe, elsewhere)
        patch.setattr(runs, "start_rows", lambda *_: given)
        lie = executed()
        proof = window_proof(lie, 0)
        published = rounded_weights(lie.run.recipe, lie.states[-1])
        lie.files, rounding = prove_published(lie, published)
        lie.proof = RunProof([cut(lie.boundaries[1])], [proof], [rounding])
        lie.verify()
    verify_window(lie, 0, proof)  # a verifier who takes the start from the prover
    with pytest.raises(VerificationError):
        lie.verify()


def test_trained_rows_under_another_program(whole: Trained, monkeypatch: Patch) -> None:
    """The same weights in a network without its activations."""
    recipe, honest = whole.run.recipe, program_of(whole.run.recipe)
    ops = tuple(replace(op, k_out=7) if op.name.startswith("relu") else op for op in honest.ops)
    other = replace(honest, ops=ops)  # type: ignore[arg-type]
    other.validate()
    assert other.digest != honest.digest
    published = rounded_weights(recipe, whole.states[-1])
    files = commit_model(ENGINE, other, published)
    weights = tensors(whole.boundaries[0]), whole.boundaries[-1]
    monkeypatch.setattr(runs, "program_of", lambda _: other)
    roundings = runs.prove_rounding(ENGINE, KEY, whole.run, weights, published, files)
    assert whole.proof is not None
    lie = replace(whole, files=files, proof=replace(whole.proof, roundings=roundings))
    lie.verify()
    monkeypatch.undo()
    with pytest.raises(VerificationError, match="another program"):
        lie.verify()
    renamed = replace(files[0], program_digest=bytes.fromhex(honest.digest))
    with pytest.raises(VerificationError):
        replace(lie, files=(renamed, files[1])).verify()
    wider = replace(whole.files[0], log_columns=13) if whole.files else None
    with pytest.raises(VerificationError, match="row length"):
        replace(whole, files=(wider, files[1])).verify()  # type: ignore[arg-type]


# ---- the form of data ----------------------------------------------------------------------------
FORMS: dict[str, tuple[list[tuple[int, int]], str]] = {
    "pixel of 256": ([(0, 256)], "input"),
    "pixel of 2^40": ([(3, 1 << 40)], "input"),
    "pixel below zero": ([(7, -1)], "input"),
    "label of 2 and -1": ([(8, 2), (9, -1), (10, 0)], "label"),
    "two labels": ([(8, 1), (9, 1), (10, 0)], ""),
    "no label": ([(8, 0), (9, 0), (10, 0)], ""),
}


def form_of(data: DataCommitment, examples: np.ndarray, seed: bytes) -> list[bytes]:
    """A proof of form by a prover who checks nothing."""
    ((first, last),) = forms.form_ranges(data)
    shape = forms.rows_spec(last, data.size).shape(forms.ROWS)
    rows = CommittedArray(shape, examples, data_blinds(ENGINE, seed, np.arange(last)))
    statement = forms._form_statement(data, LOG_COLUMNS, first, last)
    transcript = ProverTranscript(forms.FORM_PROTOCOL, statement)
    circuit = forms._form_circuit(data, last, examples)
    prove_circuit(ENGINE, KEY, circuit, {forms.ROWS: rows}, transcript)
    return [transcript.finish()]


@contextmanager
def without_op(patch: Patch, op: str) -> Iterator[None]:
    """Owe no lookups of an op; where none is named, not the sum of labels."""
    for owner in (Builder, CheatingBuilder):

        def lookup(b: Any, name: str, *rest: Any, honest: Callable[..., Any] = owner.lookup,
                   **kw: Any) -> None:  # fmt: skip
            if name != op:
                honest(b, name, *rest, **kw)

        patch.setattr(owner, "lookup", lookup)
    if not op:
        without(patch, "rows Slice Sum", "1")
    yield


@pytest.mark.parametrize(
    ("name", "present"),
    [
        *[(name, True) for name in FORMS],
        *[pytest.param(name, False, marks=pytest.mark.slow) for name in FORMS],
    ],
)
def test_data_of_no_form(monkeypatch: Patch, name: str, present: bool) -> None:
    entries, op = FORMS[name]
    examples = small_examples().astype(np.int64)
    for place, value in entries:
        examples[5, place] = value
    data, seed = committed_data(examples)
    with (
        cheating.cheating(monkeypatch, lambda *_: None, forms),
        nullcontext() if present else without_op(monkeypatch, op),
    ):
        proof = form_of(data, examples, seed)
    with pytest.raises(VerificationError) if present else nullcontext():
        verify_form(ENGINE, KEY, data, proof)


def test_form_of_other_data() -> None:
    """A proof of form is about these rows, in this order, under this header."""
    examples = small_examples().astype(np.int64)
    data, seed = committed_data(examples)
    proof = form_of(data, examples, seed)
    verify_form(ENGINE, KEY, data, proof)
    again, _ = committed_data(examples)
    rows = data.rows
    for other in (
        again,
        replace(data, rows=rows[32:64] + rows[:32] + rows[64:]),
        replace(data, rows=rows[32:]),
        replace(data, inputs=7, classes=4),
        replace(data, label="another owner's"),
    ):
        with pytest.raises(REJECTED):
            verify_form(ENGINE, KEY, other, proof)
    for bad in ([], [*proof, *proof], [proof[0][:-1]], [proof[0] + b"\0"], [b""]):
        with pytest.raises(REJECTED):
            verify_form(ENGINE, KEY, data, bad)
