"""Provers of training whose integers are out of range or out of line, each by one relation.

Everything else follows from the lie, so that a prover and a verifier who drop the relation agree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.support import cheating, training_lies
from tests.support.forging import names, without, without_lookup
from tests.support.training import ENGINE, KEY, small_recipe, window_proof
from tests.support.training_lies import (
    Forged,
    Lie,
    executed,
    prove_published,
    verify_published,
    verify_window,
    with_end,
)
from tests.support.wide import WideEngine, wide_limbs, wide_project
from veracity.engine.api import ORDER, Ints
from veracity.errors import VerificationError
from veracity.graph.training import step as meaning
from veracity.graph.training.program import program_of
from veracity.zk.batch import batch_challenge, require_all
from veracity.zk.hidden import LinearForm
from veracity.zk.mle import inverse
from veracity.zk.projection import ENTRY_BITS
from veracity.zk.reduction import LinearClaim
from veracity.zk.transcript import ProverTranscript, VerifierTranscript
from veracity.zkml import argument, prove_well_formed, verify_well_formed, witness
from veracity.zkml.circuit import tables
from veracity.zkml.circuit.build import Circuit, finish_circuit
from veracity.zkml.circuit.builder import Builder
from veracity.zkml.training import head, rounding, window
from veracity.zkml.training.rounding import rounded_weights

Patch = pytest.MonkeyPatch
Columns = Mapping[tuple[str, int], Callable[[Ints], Ints]]


def moved(by: int, *at: int) -> Callable[[Ints], Ints]:
    """Adds to one entry."""

    def change(values: Ints) -> Ints:
        out = np.array(values, dtype=np.int64)
        out[at] += by
        return out

    return change


def at_step(t: int, layer: int, change: Callable[[Ints], Ints]) -> Callable[..., Ints]:
    """A hook of :class:`Lie` that acts at one layer of one step."""
    return lambda found, at, values: change(values) if (found, at) == (t, layer) else values


@dataclass(frozen=True)
class Case:
    """A lie about a step, what its prover commits to instead, and the relation that stops it."""

    lie: Lie
    drop: Callable[[Patch], Any]
    columns: Columns = field(default_factory=dict)
    setting: Callable[[Patch], None] = lambda _: None


def false_softmax(**by: int) -> Callable[[Patch], None]:
    """Maximum, distances and reciprocals off by a constant; what follows from them follows.

    ``least`` moves the distance of every example's least likely class only.
    """

    def softmax(recipe: Any, z: Ints) -> dict[str, Ints]:
        found = meaning.softmax(recipe, z)
        d, m = found["d"] + by.get("max", 0), found["m"] + by.get("max", 0)
        d[np.arange(len(d)), d.argmax(1)] += by.get("least", 0)
        e = tables.exp_table(recipe.activation_bits)[d]
        inverse = (1 << 31) // e.sum(1) + by.get("inverse", 0)
        p = meaning.rhu(e * inverse[:, None], 31 - recipe.gradient_bits)
        return {"m": m, "d": d, "e": e, "inverse": inverse, "p": p}

    def apply(patch: Patch) -> None:
        patch.setattr(head, "softmax", softmax)
        patch.setattr(training_lies, "softmax", softmax)

    return apply


def by_operands(patch: Patch) -> None:
    """Masked gradients follow from the mask as it is committed."""
    honest = window.Builder.rescaled

    def rescaled(b: Any, op: str, role: str, acc: Any, value: Any, *rest: Any, **kw: Any) -> Any:
        if role == "gradient" and value is not None:
            ((source, _),) = acc.terms
            value = source.a.value.astype(np.int64) * source.b.value
        return honest(b, op, role, acc, value, *rest, **kw)

    patch.setattr(window.Builder, "rescaled", rescaled)


def least_likely(step: int) -> Callable[[Ints], Ints]:
    """The high digit of the remainder of every example's least likely class takes one unit."""

    def change(values: Ints) -> Ints:
        with pytest.MonkeyPatch.context() as patch:
            false_softmax(least=1)(patch)
            z = executed(Lie()).witnesses[0].steps[step].z[-1]
        out = np.array(values, dtype=np.int64)
        out[np.arange(len(z)), z.argmin(1)] += ONE
        return out

    return change


ONE = 1 << 12  # one unit of a quotient of 28 bits, in high digits
CASES = {
    "accumulator rounded up": Case(
        Lie(acc=at_step(0, 0, moved(1 << 28, 1, 2))),
        lambda p: without_lookup(p, "z.r.high"),
        {("z.r.high[4x6]", 0): moved(-ONE, 1, 2)},
    ),
    "gradient rounded up": Case(
        Lie(gradient=at_step(1, 0, moved(1, 1, 2))),
        lambda p: without_lookup(p, "gradient.r.high", "1"),
        {
            ("gradient.y[4x6]", 1): moved(1, 1, 2),
            ("gradient.r.high[4x6]", 1): moved(-ONE, 1, 2),
        },
    ),
    "probability rounded up": Case(
        Lie(head=lambda t, g, _: moved(1, 1, 2)(g) if t == 0 else g),
        lambda p: without_lookup(p, "loss.p.r.high"),
        {
            ("loss.p.y[4x3]", 0): moved(1, 1, 2),
            ("loss.p.r.high[4x3]", 0): moved(-(1 << 7), 1, 2),
        },
    ),
    "maximum that is none": Case(
        Lie(),
        lambda p: without(p, "loss.pick", "loss.distance", "1"),
        setting=false_softmax(max=1),
    ),
    "maximum that no class has": Case(
        Lie(),
        lambda p: without(p, "loss.pick Sum", "1"),
        {("loss.pick[4x3]", step): np.zeros_like for step in range(2)},
        setting=false_softmax(max=1),
    ),
    "distances of other logits": Case(
        Lie(),
        lambda p: without_lookup(p, "loss.r.high"),
        {("loss.r.high[4x3]", step): least_likely(step) for step in range(2)},
        setting=false_softmax(least=1),
    ),
    "reciprocal that is too small": Case(
        Lie(),
        lambda p: without_lookup(p, "loss.gap"),
        setting=false_softmax(inverse=-40),
    ),
}


def changes(columns: Columns) -> cheating.Change:
    """See :data:`tests.support.cheating.Change`."""

    def change(name: str, instance: int, values: Ints) -> Ints | None:
        found = columns.get((name, instance))
        return None if found is None else found(values)

    return change


def both_runs(names: Iterable[str], everyday: str) -> list[Any]:
    """Every lie with the relation; without it one everyday, the others in the slow tests."""
    out = [pytest.param(name, True, id=f"{name}, ours") for name in names]
    for name in names:
        marks = () if name == everyday else (pytest.mark.slow,)
        out.append(pytest.param(name, False, id=f"{name}, without the relation", marks=marks))
    return out


@pytest.mark.parametrize(("name", "present"), both_runs(CASES, "accumulator rounded up"))
def test_out_of_range(monkeypatch: Patch, name: str, present: bool) -> None:
    case = CASES[name]
    monkeypatch.setattr(cheating, "CheatingBuilder", Forged)
    case.setting(monkeypatch)
    if not present:
        case.drop(monkeypatch)
    trained = executed(case.lie)
    with cheating.cheating(monkeypatch, changes(case.columns), window):
        proof = window_proof(trained, 0)
    with pytest.raises(VerificationError) if present else nullcontext():
        verify_window(trained, 0, proof)


# ---- a dead neuron, opened ----------------------------------------------------------------------
def test_packing_forgery(monkeypatch: Patch) -> None:
    """With the base 2^16, a closed neuron is opened as ``(A, M) = (-2^16, 1)``."""
    dead = (2, 4)
    lie = Lie(
        mask=at_step(1, 0, moved(1, *dead)),
        activation=at_step(1, 0, moved(-SMALL, *dead)),
    )
    trained = executed(lie, owner=21)  # whose weights behind that neuron are small
    step = trained.witnesses[0].steps[1]
    assert max(np.abs(z).max() for z in step.z) < 1 << 15
    assert step.z[0][dead] < 0
    assert step.gradients[0][dead] != 0
    columns = {("relu.mask[4x6]", 1): moved(1, *dead), ("relu.a[4x6]", 1): moved(-SMALL, *dead)}
    by_operands(monkeypatch)
    with small_base(monkeypatch), cheating.cheating(monkeypatch, changes(columns), window):
        proof = window_proof(trained, 0)
        verify_window(trained, 0, proof)
    with cheating.cheating(monkeypatch, changes(columns), window):
        again = window_proof(trained, 0)
    for made in (proof, again):
        with pytest.raises(VerificationError):
            verify_window(trained, 0, made)


#: Greater than any activation, far less than what the projection allows.
SMALL = 1 << 16


@contextmanager
def small_base(monkeypatch: Patch) -> Iterator[None]:
    """Prover and verifier pack an activation and its mask with a small base."""
    with monkeypatch.context() as patch:
        patch.setattr(window, "OPEN", SMALL)
        patch.setattr(tables, "OPEN", SMALL)
        tables._digest.cache_clear()
        yield
    tables._digest.cache_clear()


def test_the_base_leaves_one_way_to_pack() -> None:
    """Two bounded pairs of one image differ by less than the base, hence not at all."""
    most = (1 << ENTRY_BITS) - 1
    assert 2 * most < tables.OPEN
    images = tables.relu().images()
    assert images is not None
    opened = images // tables.OPEN
    assert np.array_equal(images - opened * tables.OPEN, np.maximum(tables.relu().values(), 0))
    assert np.array_equal(opened, tables.relu().values() > 0)  # closed at zero


def relu_circuit(proving: bool, values: tuple[int, int, int] = (-5, 0, 0)) -> Circuit:
    """``z``, ``a`` and ``M`` of two neurons, the first one as given."""
    b = Builder({}, proving)
    z, a, mask = (np.array([v, w]) for v, w in zip(values, (7, 7, 1), strict=True))
    tensors = [
        b.column("z", (2,), z, bounded=True),
        b.column("a", (2,), a, bounded=True),
        b.column("mask", (2,), mask, bounded=True),
    ]
    b.lookup("relu", tables.relu(), tensors[0], tensors[1] + tensors[2] * tables.OPEN)
    return finish_circuit(b)


@pytest.mark.parametrize("present", [True, False], ids=["ours", "without the projection's claim"])
def test_the_packing_forgery_at_our_base(monkeypatch: Patch, present: bool) -> None:
    """``A = -2^50`` fits the table; that it is no bounded integer is what stops it."""

    def attempt(values: tuple[int, int, int]) -> None:
        transcript = ProverTranscript("relu", b"")
        argument.prove_circuit(ENGINE, KEY, relu_circuit(True, values), {}, transcript)
        reader = VerifierTranscript("relu", b"", transcript.finish())
        circuit = relu_circuit(False)
        owed = argument.verify_circuit(ENGINE, KEY, circuit, {}, reader)
        require_all(ENGINE, KEY, [owed], batch_challenge(b"", [reader.state()]))

    if present:
        attempt((-5, 0, 0))
    monkeypatch.setattr(witness, "project", wide_project)
    monkeypatch.setattr(witness, "limbs_of", wide_limbs)
    if not present:
        nothing = LinearClaim((), LinearForm(0))
        monkeypatch.setattr(argument, "bound_claim", lambda *_: nothing)
    with pytest.raises(VerificationError) if present else nullcontext():
        attempt((-5, -tables.OPEN, 1))


def square_circuit(proving: bool, logits: tuple[int, int, int]) -> Circuit:
    """The gradient of the square loss at logits that a column holds."""
    recipe = small_recipe("square")
    acc_value = np.array([logits]) << recipe.forward_shift(recipe.layers - 1)
    kind = Forged if proving else Builder
    b = kind({}, proving, change=lambda *_: None) if proving else kind({}, proving)
    acc = b.column("acc", (1, 3), acc_value, free=True)
    labels = b.constant(0, (1, 3))
    step: Any = SimpleNamespace(forward=[acc_value], gradients=[acc_value])
    head.head_gradient(b, recipe, acc, labels, step if proving else None)
    return finish_circuit(b)


@pytest.mark.parametrize("present", [True, False], ids=["ours", "without the relation"])
@pytest.mark.parametrize("logit", [1 << 15, -(1 << 15) - 1])
def test_logits_of_the_square_loss_have_16_bits(
    monkeypatch: Patch, logit: int, present: bool
) -> None:
    """A run whose logits leave their range has no meaning; execution ends there."""
    monkeypatch.setattr(witness, "count_multiplicities", cheating.lenient_multiplicities)

    def attempt(logits: tuple[int, int, int]) -> None:
        transcript = ProverTranscript("square", b"")
        argument.prove_circuit(ENGINE, KEY, square_circuit(True, logits), {}, transcript)
        reader = VerifierTranscript("square", b"", transcript.finish())
        circuit = square_circuit(False, logits)
        owed = argument.verify_circuit(ENGINE, KEY, circuit, {}, reader)
        require_all(ENGINE, KEY, [owed], batch_challenge(b"", [reader.state()]))

    attempt((5, (1 << 15) - 1, -(1 << 15)))
    if not present:
        assert without_lookup(monkeypatch, "logits.y") == []
    with pytest.raises(VerificationError) if present else nullcontext():
        attempt((5, logit, 7))


def test_every_quotient_of_a_window_is_bounded() -> None:
    """Else ``(V - r) / 2^s mod p`` passes for a rounding (tests/soundness/test_projection.py)."""
    rounded = {"z.y", "relu.a", "relu.mask", "gradient.y"}
    for loss, more in (("cross_entropy", "loss.p.y"), ("square", "logits.y")):
        circuit = window.build_window(small_recipe(loss), 0, 2)
        assert {side.id.name for side in circuit.bounded()} == rounded | {more}


# ---- the end of a window ------------------------------------------------------------------------
@pytest.mark.parametrize(("name", "present"), both_runs(["2.weight", "0.bias"], "2.weight"))
def test_end_off_by_one(monkeypatch: Patch, name: str, present: bool) -> None:
    trained = executed()
    weights = dict(trained.states[1])
    weights[name] = moved(1, 2)(weights[name])
    false = with_end(trained, weights)
    if not present:
        honest = window.Builder.zero

        def zero(builder: Any, tensor: Any) -> None:
            if f"end {name}" not in names(tensor):
                honest(builder, tensor)

        monkeypatch.setattr(window.Builder, "zero", zero)
    proof = window_proof(false, 0)
    with pytest.raises(VerificationError) if present else nullcontext():
        verify_window(false, 0, proof)


# ---- what is published --------------------------------------------------------------------------
@pytest.mark.parametrize(("name", "present"), both_runs(["2.weight", "4.bias"], "4.bias"))
def test_published_weight_off_by_one(monkeypatch: Patch, name: str, present: bool) -> None:
    trained = executed()
    published = rounded_weights(trained.run.recipe, trained.states[-1])
    published[name] = moved(1, -1)(published[name])
    monkeypatch.setattr(cheating, "CheatingBuilder", Forged)
    if not present:
        without_lookup(monkeypatch, f"end {name}", name, "1")
    columns = {(f"all of rounding of rounding {name}", 0): moved(-(1 << 16), -1)}
    with cheating.cheating(monkeypatch, changes(columns), rounding):
        files, proof = prove_published(trained, published)
    with pytest.raises(VerificationError) if present else nullcontext():
        verify_published(trained, files[0], proof)


def test_published_weight_that_is_no_integer(monkeypatch: Patch) -> None:
    """``(W - r) / 2^s mod p`` with another ``r``: only the proof of well-formedness refuses it."""
    trained, name = executed(), "2.weight"
    recipe = trained.run.recipe
    program, weights = program_of(recipe), rounded_weights(recipe, trained.states[-1])
    weights[name] = weights[name].astype(object)
    weights[name][0, 0] = (weights[name][0, 0] - inverse(1 << 16)) % ORDER
    monkeypatch.setattr(cheating, "CheatingBuilder", Forged)
    columns = {(f"all of rounding of rounding {name}", 0): moved(1, 0, 0)}
    with cheating.cheating(monkeypatch, changes(columns), rounding):
        files, proof = prove_published(trained, weights, WideEngine(ENGINE))
    verify_published(trained, files[0], proof)
    monkeypatch.setattr(witness, "project", wide_project)
    monkeypatch.setattr(witness, "limbs_of", wide_limbs)
    annex = prove_well_formed(WideEngine(ENGINE), program, weights, files, key=KEY)  # type: ignore[arg-type]
    with pytest.raises(VerificationError):
        verify_well_formed(ENGINE, program, files[0], annex, KEY)
