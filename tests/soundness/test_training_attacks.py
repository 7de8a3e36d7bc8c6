"""Provers of training who cheat: refused, and accepted by a verifier without the one check.

Where a relation of the circuit says what a step is, the liar proves another circuit, and only a
verifier with that other circuit accepts. Where a range or a tie is what stops a lie, prover and
verifier drop it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.support.training import (
    ENGINE,
    KEY,
    LOG_COLUMNS,
    Trained,
    execute_windows,
    small_examples,
    small_recipe,
    window_proof,
)
from tests.support.training_lies import Lie, executed, verify_window
from veracity.engine.api import ORDER
from veracity.errors import FormatError, VerificationError
from veracity.graph.training import Recipe
from veracity.zk import committed, opening
from veracity.zk.committed import ArrayId, ArrayShape, RowLayout, commit_array
from veracity.zk.mle import inverse
from veracity.zkml.circuit.linear_maps import Gather, Permute
from veracity.zkml.circuit.tensor import Tensor, UpdatedSource
from veracity.zkml.training import run as runs
from veracity.zkml.training import window
from veracity.zkml.training.data import DataCommitment, data_blinds
from veracity.zkml.training.run import Run
from veracity.zkml.training.window import EXAMPLES

Patch = pytest.MonkeyPatch
build_window = window.build_window


# ---- a step that is another step ----------------------------------------------------------------
def by_recipe(patch: Patch, change: Callable[[Recipe], Recipe]) -> None:
    patch.setattr(runs, "build_window", lambda r, *rest: build_window(change(r), *rest))


def rates(*found: int) -> Callable[[Recipe], Recipe]:
    return lambda r: replace(r, rates=found)


def repeated(patch: Patch) -> None:
    """Both steps read the first batch."""
    honest = window.Builder.instance
    patch.setattr(window.Builder, "instance", lambda b, name, _: honest(b, name, 0))


def flipped(patch: Patch) -> None:
    """Labels 0 and 1 change places."""
    honest = window.head_gradient

    def head(b: Any, recipe: Recipe, acc: Tensor, labels: Tensor, step: Any) -> Tensor:
        turned = labels.view(Permute((1, 0)), Gather((1, 0, 2), 3), Permute((1, 0)))
        return honest(b, recipe, acc, turned, step)

    patch.setattr(window, "head_gradient", head)


def half_labels(patch: Patch) -> None:
    """A loss whose gradient is ``P - Y / 2``."""
    honest = window.head_gradient

    def head(b: Any, recipe: Recipe, acc: Tensor, labels: Tensor, step: Any) -> Tensor:
        found = honest(b, recipe, acc, labels, step)
        return replace(found + labels.bare() * (1 << 7), value=found.value)

    patch.setattr(window, "head_gradient", head)


def product(
    patch: Patch, spec: str, change: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
) -> None:
    """Every product of this form has other operands."""
    honest = Tensor.product

    def made(found: str, a: Tensor, b: Tensor) -> Tensor:
        return honest(found, *(change(a, b) if found == spec else (a, b)))

    patch.setattr(Tensor, "product", staticmethod(made))


def with_start(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """The matrix as it was before the window."""
    ((source, _),) = b.terms
    return a, source.updates.base if isinstance(source, UpdatedSource) else b


def other_mask(patch: Patch) -> None:
    """The mask of the example beside; its prover's integers follow from the operands."""
    honest = window.Builder.rescaled

    def rescaled(b: Any, op: str, role: str, acc: Tensor, value: Any, *rest: Any, **kw: Any) -> Any:
        if role == "gradient" and value is not None:
            ((source, _),) = acc.terms
            value = source.a.value.astype(np.int64) * source.b.value
        return honest(b, op, role, acc, value, *rest, **kw)

    patch.setattr(window.Builder, "rescaled", rescaled)
    product(patch, "bi,bi->bi", lambda a, b: (a.view(Gather((1, 0, 3, 2), 4)), b))


def first_seen() -> Callable[..., np.ndarray]:
    """Whatever came with the same key first: a batch, or a layer's matrix before the window."""
    kept: dict[Any, np.ndarray] = {}
    return lambda *args: kept.setdefault(args[1:-1], args[-1])


FLIP = [*range(8), 9, 8, 10]
OTHER_STEPS: dict[str, tuple[Lie, Callable[[Patch], None]]] = {
    "wrong rate in one step": (
        Lie(recipe=rates(30, 27)), lambda p: by_recipe(p, rates(30, 27))),
    "another schedule": (
        Lie(recipe=rates(26, 30)), lambda p: by_recipe(p, rates(26, 30))),
    "step skipped": (
        Lie(recipe=rates(30, 0)), lambda p: by_recipe(p, rates(30, 0))),
    "step repeated": (
        Lie(examples=first_seen()), repeated),
    "label flipped": (
        Lie(examples=lambda _, x: x[:, FLIP]), flipped),
    "gradient of another loss": (
        Lie(head=lambda _, g, y: g + (y << 7)), half_labels),
    "weights of an earlier step forward": (
        Lie(forward=first_seen()), lambda p: product(p, "bi,oi->bo", with_start)),
    "weights of an earlier step backward": (
        Lie(backward=first_seen()), lambda p: product(p, "bo,oi->bi", with_start)),
    "another mask backward": (
        Lie(mask=lambda _t, _l, m: m[[1, 0, 3, 2]]), other_mask),
}  # fmt: skip


def same_end(one: Trained, two: Trained) -> bool:
    """Whether two runs have the same weights after their first windows."""
    return all(np.array_equal(one.states[1][n], w) for n, w in two.states[1].items())


@pytest.fixture(scope="module")
def honest() -> Trained:
    return executed()


def test_the_honest_step(honest: Trained) -> None:
    verify_window(honest, 0, window_proof(honest, 0))


#: Their like is in the everyday tests.
SLOW = ("another schedule", "weights of an earlier step forward")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n in SLOW)) for n in OTHER_STEPS]
)
def test_another_step(monkeypatch: Patch, honest: Trained, name: str) -> None:
    lie, circuit = OTHER_STEPS[name]
    trained = executed(lie)
    assert not same_end(trained, honest)
    with monkeypatch.context() as patch:
        circuit(patch)
        proof = window_proof(trained, 0)
        verify_window(trained, 0, proof)
    # Another circuit may have messages in other places: what is read there need be no number.
    with pytest.raises((VerificationError, FormatError)):
        verify_window(trained, 0, proof)


# ---- rows that say more than an example ---------------------------------------------------------
def divided(layout: RowLayout, point: Sequence[int]) -> int:
    """What takes the gap's place where row variables follow right behind those of the entries."""
    out = 1
    for r in point[layout.entry_bits : layout.key_bits]:
        out = out * (1 - r) % ORDER
    return inverse(out)


@pytest.mark.parametrize("present", [True, False], ids=["ours", "without the gap"])
def test_a_row_smuggles_into_its_neighbour(monkeypatch: Patch, present: bool) -> None:
    """What an owner writes behind an example changes the one that the order puts next to it."""
    if not present:
        # layouts are kept, with what they have worked out
        monkeypatch.setattr(committed, "_layout", RowLayout)
        monkeypatch.setattr(RowLayout, "gap", property(lambda self: range(self.entry_bits)[:0]))
        monkeypatch.setattr(RowLayout, "gap_factor", divided)
    secret, examples, rows = (
        bytes(32),
        small_examples().astype(np.int64),
        np.arange(8).reshape(2, 4),
    )
    monkeypatch.setattr(runs, "batch_rows", lambda *_: rows)
    wide = np.zeros((14, 32), np.int64)
    wide[:, :11] = examples
    wide[0, 16 + 5] = 1  # speaks for pixel 5 of the second example
    shape = ArrayShape(ArrayId("data", "rows"), wide.shape, 5)
    points = commit_array(ENGINE, KEY, shape, wide, data_blinds(ENGINE, secret, np.arange(14)))
    data = DataCommitment(8, 3, ENGINE.compress(points))
    claimed = examples.copy()
    claimed[1, 5] += 1
    lie = Trained(Run(small_recipe(steps=2), (data,), 2, LOG_COLUMNS), claimed, secret)
    execute_windows(lie)
    honest = opening._combined_row

    def combined(channel: Any, arrays: Any, equation: Any) -> Any:
        true = replace(arrays[EXAMPLES], values=examples[rows])
        row, blind = honest(channel, {**arrays, EXAMPLES: true}, equation)
        layout = true.shape.layout(LOG_COLUMNS)
        weight = ENGINE.to_ints(layout.row_weights(ENGINE, equation.point))[0]
        more = [0] * len(row)
        more[16 + 5] = weight * equation.coefficients[EXAMPLES] % ORDER
        return ENGINE.add(row, ENGINE.from_ints(more)), blind

    monkeypatch.setattr(opening, "_combined_row", combined)
    proof = window_proof(lie, 0)
    with pytest.raises(VerificationError) if present else nullcontext():
        verify_window(lie, 0, proof)
