"""Momentum and weight decay: against sums over unbounded integers, and against floats."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.test_training_meaning import reference, rounded
from veracity.errors import UsageError
from veracity.formats.training import Checkpoint
from veracity.graph.training import Recipe, start_weights, train_step
from veracity.graph.training.network import dense
from veracity.training.recipe import parse_plan


def example_batches(rng: np.random.Generator, steps: int) -> np.ndarray:
    """(steps, 3, 3 + 2)."""
    out = np.zeros((steps, 3, 5), np.int64)
    out[..., :3] = rng.integers(0, 256, (steps, 3, 3))
    labels = rng.integers(0, 2, (steps, 3))
    out[..., 3:] = np.eye(2, dtype=np.int64)[labels]
    return out


def run_of_integers(r: Recipe, weights: dict[str, Any], batches: Any) -> dict[str, Any]:
    """All steps by the formulas: what moves a weight is summed anew at every step."""
    state = {n: w.astype(object) for n, w in weights.items()}
    gathered = dict.fromkeys(weights, 0)
    block: list[dict[str, Any]] = []
    once = replace(r, settle=0, momentum=(), decays=(), momentum_bits=0, rates=(1,))
    once = replace(once, rate_bits=r.rate_bits + r.momentum_bits)  # weights as fine as the run's
    for t, batch in enumerate(batches):
        _, after = reference(once, 0, state, batch.astype(object))
        block.append({n: state[n] - after[n] for n in state})  # biases at 2^(2 a)
        for n in state:
            total = block[-1][n]
            if r.momentum:
                parts = [r.momentum[len(block) - 1 - u] * m[n] for u, m in enumerate(block)]
                bias = 4 ** (8 if n.startswith("0") else r.activation_bits) if "bias" in n else 1
                total = sum(parts) + r.momentum[len(block)] * gathered[n] * bias
            state[n] = state[n] - r.rates[t] * total
            if r.settles(t) and r.momentum:
                gathered[n] = rounded(total // bias, r.momentum_bits)
            if r.settles(t) and r.decays:
                lost = r.decays[t // r.settle]
                state[n] = rounded((2**16 - lost) * state[n], 16)
        if r.settles(t):
            block = []
    return state


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    steps, settle = draw(st.integers(1, 9)), draw(st.integers(1, 4))
    loss = draw(st.sampled_from(["cross_entropy", "square"]))
    rates = tuple(draw(st.integers(-6, 6)) for _ in range(steps))
    out = Recipe(dense(3, 4, 2), 3, rates, 8, 8, 10, loss=loss, settle=settle)
    which = draw(st.sampled_from(["momentum", "decay", "both"]))
    if which != "decay":
        f = draw(st.integers(1, 5))
        powers = [1 << f, *[draw(st.integers(0, 1 << f)) for _ in range(settle)]]
        out = replace(out, momentum_bits=f, momentum=tuple(powers))
    if which != "momentum":
        decays = tuple(draw(st.integers(0, 9000)) for _ in range(-(-steps // settle)))
        out = replace(out, decays=decays)
    return out


@settings(deadline=None, max_examples=60)
@given(recipes(), st.integers(0, 1 << 30))
def test_a_run_is_what_the_formulas_say(recipe: Recipe, seed: int) -> None:
    recipe.validate()
    weights = start_weights(recipe, bytes(32))
    batches = example_batches(np.random.default_rng(seed), recipe.steps)
    expected = run_of_integers(recipe, weights, batches)
    for t, batch in enumerate(batches):
        train_step(recipe, t, weights, batch)
    assert set(weights) == set(recipe.state(recipe.steps))
    for name, after in expected.items():
        assert np.array_equal(weights[name], after)


def test_it_is_torch_s_momentum() -> None:
    """``v = mu v + g, w -= lr v`` in floats, on the integers' own gradients."""
    mu, lr, steps = 0.9, 0.05, 24
    plan = parse_plan(
        f"[network]\nlayers = ['dense 4', 'relu', 'dense 2']\n[train]\nbatch = 3\nlr = {lr}\n"
        f"schedule = 'constant'\nmomentum = {mu}\nsettle = 8\nsteps = {steps}\n"
        "weight_decay = 0.02\n[integers]\na = 8\ng = 8\nf = 7"
    )
    recipe = plan.recipe(30, 3, 2)
    weights = start_weights(recipe, bytes(32))
    scale = {n: 2.0 ** recipe.exponent(i, "bias" in n) for i in range(2)
             for n in (recipe.weight_name(i), recipe.bias_name(i))}  # fmt: skip
    floats = {n: w / scale[n] for n, w in weights.items()}
    velocity = {n: np.zeros(w.shape) for n, w in floats.items()}
    for t, batch in enumerate(example_batches(np.random.default_rng(1), steps)):
        step = train_step(recipe, t, weights, batch)
        for i, (g, a) in enumerate(zip(step.gradients, step.activations, strict=True)):
            found = {recipe.weight_name(i): g.T @ a, recipe.bias_name(i): g.sum(0)}
            for n, moved in found.items():
                bits = 8 + (recipe.input_exponent(i) if "weight" in n else 0)
                velocity[n] = mu * velocity[n] + moved * 2.0**-bits / 3
                floats[n] = floats[n] - lr * velocity[n]
                if recipe.settles(t):
                    floats[n] = floats[n] * (1 - lr * 0.02 * 8)
    for n, w in floats.items():
        assert np.abs(weights[n] / scale[n] - w).max() < 0.02 * max(1, np.abs(w).max())


def test_decays_add_up() -> None:
    """Rounded block by block, they stay within one of what they are in all."""
    text = (
        "[network]\nlayers = ['dense 2']\n[train]\nbatch = 1\nlr = 0.3\nsteps = 100\n"
        "weight_decay = 5e-4\nsettle = 7"
    )
    recipe = parse_plan(text).recipe(10, 3, 2)
    exact = sum(0.3 * 0.5 * (1 + np.cos(np.pi * t / 100)) for t in range(100)) * 5e-4 * 2**16
    assert len(recipe.decays) == 15
    assert abs(sum(recipe.decays) - exact) <= 0.5
    assert not recipe.momentum


GOOD = Recipe(
    dense(4, 3, 2), 2, (3, 1, 2), settle=2, momentum_bits=4, momentum=(16, 14, 13), decays=(5, 6)
)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"settle": 0}, "settle"),
        ({"settle": 65}, "settle"),
        ({"settle": -1}, "settle"),
        ({"momentum": (), "decays": ()}, "settle"),
        ({"momentum": (16, 14)}, "a power for each step"),
        ({"momentum": (15, 14, 13)}, "a power for each step"),
        ({"momentum": (16, 14, 17)}, "between 0 and 1"),
        ({"momentum": (16, -1, 0)}, "between 0 and 1"),
        ({"momentum_bits": 0, "momentum": (1, 1, 1)}, "a power for each step"),
        ({"momentum_bits": 9, "momentum": (512, 1, 1)}, "a power for each step"),
        ({"momentum": ()}, "without momentum"),
        ({"decays": (5,)}, "for each block"),
        ({"decays": (5, 1 << 16)}, "less than all"),
        ({"decays": (5, -1)}, "less than all"),
    ],
)
def test_recipes_without_meaning_are_refused(changes: dict[str, Any], match: str) -> None:
    GOOD.validate()
    with pytest.raises(UsageError, match=match):
        replace(GOOD, **changes).validate()


@pytest.mark.parametrize(
    ("line", "match"),
    [
        ("momentum = 1.0", "between 0 and 1"),
        ("momentum = -0.1", "between 0 and 1"),
        ("weight_decay = 1.0", "between 0 and 1"),
        ("momentum = 0.9\nsettle = 0", "number of steps"),
        ("momentum = 0.9\nsettle = 100", "settle"),
    ],
)
def test_plans_without_meaning_are_refused(line: str, match: str) -> None:
    text = f"[network]\nlayers = ['dense 2']\n[train]\nbatch = 1\nsteps = 9\n{line}"
    with pytest.raises(UsageError, match=match):
        parse_plan(text).recipe(10, 3, 2)


def test_a_checkpoint_holds_what_was_gathered(tmp_path: Path) -> None:
    """All of the state between blocks, and none before the first one."""
    weights = start_weights(GOOD, bytes(32))
    first = Checkpoint(bytes(32), 0, bytes(32), dict(weights))
    batches = np.tile(np.array([9, 0, 200, 31, 1, 0]), (2, 2, 1))
    for t in range(2):
        train_step(GOOD, t, weights, batches[t])
    later = Checkpoint(bytes(32), 1, bytes(32), weights)
    for found, names in ((first, GOOD.shapes()), (later, GOOD.state(2))):
        path = tmp_path / f"cut-{found.index}.vckpt"
        path.write_bytes(found.to_bytes())
        path.chmod(0o600)
        read = Checkpoint.load(path, GOOD)
        assert set(read.weights) == set(names)
        assert all(np.array_equal(found.weights[n], w) for n, w in read.weights.items())
    assert any("momentum" in name for name in later.weights)
