"""The meaning of a training step against unbounded integers; order, start, recipes, ranges.

The reference below is written from the formulas alone: Python's integers in object arrays, floor
division for every rounding, an exponential by ``decimal``.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import fields, replace
from decimal import Decimal
from functools import lru_cache
from itertools import pairwise
from math import isqrt
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from veracity.errors import RangeError, UsageError
from veracity.graph.training import Recipe, batch_rows, order_seed, start_weights, train_step
from veracity.graph.training import start as starts
from veracity.graph.training.network import dense
from veracity.graph.training.order import epoch_order

Object = Any  # an array of Python's integers

quick = settings(deadline=None, max_examples=60)


# ---- the reference ------------------------------------------------------------------------------
def rounded(x: Object, shift: int) -> Object:
    """Round half up, by floor division."""
    return (x + 2 ** (shift - 1)) // 2**shift


@lru_cache(maxsize=1 << 12)
def exponential(d: int, a: int) -> int:
    """``exp(-d 2^-a)`` at ``2^-15``."""
    return int((Decimal(-d) / 2**a).exp() * 2**15 + Decimal("0.5"))


def head(r: Recipe, z: Object, y: Object) -> Object:
    """The gradient of the loss at the logits."""
    g = r.gradient_bits
    if r.loss == "square":
        return z * 2 ** (g - r.activation_bits) - y * 2**g
    out = []
    for row in z.tolist():
        e = [exponential(max(row) - v, r.activation_bits) for v in row]
        out.append([rounded(v * (2**31 // sum(e)), 31 - g) for v in e])
    return np.array(out, dtype=object) - y * 2**g


def reference(
    r: Recipe, t: int, weights: dict[str, Object], examples: Object
) -> tuple[dict[str, list[Object]], dict[str, Object]]:
    """One step: everything in between, and the weights after it."""
    n = len(r.widths) - 1
    a_in = [8] + [r.activation_bits] * (n - 1)
    w_bits = [a + r.gradient_bits + r.rate_bits for a in a_in]
    w = [weights[f"{2 * i}.weight"] for i in range(n)]
    b = [weights[f"{2 * i}.bias"] for i in range(n)]
    a, z = [examples[:, : r.widths[0]]], []
    for i in range(n):
        acc = a[i].dot(w[i].T) + b[i]
        z.append(rounded(acc, a_in[i] + w_bits[i] - r.activation_bits))
        if any(not -(2**15) <= v < 2**15 for v in z[i].reshape(-1)):
            raise OverflowError("an activation")
        a.append(z[i] * (z[i] > 0))
    g = [head(r, z[-1], examples[:, r.widths[0] :])]
    for i in range(n - 1, 0, -1):
        g.insert(0, rounded((z[i - 1] > 0) * g[0].dot(w[i]), w_bits[i]))
    m, after = r.rates[t], {}
    for i in range(n):
        after[f"{2 * i}.weight"] = w[i] - m * g[i].T.dot(a[i])
        after[f"{2 * i}.bias"] = b[i] - m * 2 ** (2 * a_in[i]) * g[i].sum(0)
    return {"z": z, "gradients": g, "activations": a[:-1]}, after


@st.composite
def situations(draw: st.DrawFn) -> tuple[Recipe, dict[str, np.ndarray], np.ndarray]:
    """A recipe of one step, weights and a batch; integers of every size that fits most of them."""
    inner = draw(st.lists(st.integers(1, 5), min_size=1, max_size=3))
    widths = [*inner, draw(st.integers(2, 4))]
    loss, a = draw(st.sampled_from(["cross_entropy", "square"])), draw(st.integers(4, 12))
    recipe = Recipe(
        dense(*widths),
        batch=draw(st.integers(1, 4)),
        rates=(draw(st.integers(-(1 << 20), 1 << 20) | st.integers(-9, 9)),),
        activation_bits=a,
        gradient_bits=draw(st.integers(a if loss == "square" else 4, 15)),
        rate_bits=draw(st.integers(4, 20)),
        weight_exponent=draw(st.integers(8, 12)),
        loss=loss,
    )
    try:
        recipe.validate()
    except UsageError:
        recipe = replace(recipe, gradient_bits=12, activation_bits=8, rate_bits=12)
    rng = np.random.default_rng(draw(st.integers(0, 1 << 30)))
    weights = {}
    for layer in range(recipe.layers):
        for name, bias in ((recipe.weight_name(layer), False), (recipe.bias_name(layer), True)):
            most = 1 << (recipe.exponent(layer, bias) + draw(st.integers(-6, 3)))
            weights[name] = rng.integers(-most, most, recipe.shapes()[name], endpoint=True)
    examples = np.zeros((recipe.batch, recipe.example_size), np.int64)
    examples[:, : widths[0]] = rng.integers(0, draw(st.sampled_from([1, 2, 256])), (1, widths[0]))
    labels = rng.integers(0, recipe.classes, recipe.batch)
    examples[np.arange(recipe.batch), widths[0] + labels] = 1
    return recipe, weights, examples


@settings(deadline=None, max_examples=300)
@given(situations())
def test_a_step_is_what_the_formulas_say(situation: Any) -> None:
    recipe, weights, examples = situation
    wide = {n: w.astype(object) for n, w in weights.items()}
    try:
        between, after = reference(recipe, 0, wide, examples.astype(object))
    except OverflowError:
        with pytest.raises(RangeError) as caught:
            train_step(recipe, 0, weights, examples)
        assert re.fullmatch(r"layer \d+ at step 0", caught.value.op)
        return
    try:
        step = train_step(recipe, 0, weights, examples)
    except RangeError:  # only where a weight or an update is beyond its bound
        assert max(int(abs(w).max()) for w in after.values()) >= 1 << 45
        return
    for name, expected in between.items():
        for found, layer in zip(getattr(step, name), expected, strict=True):
            assert np.array_equal(found, layer)
    for name, expected in after.items():
        assert np.array_equal(weights[name], expected)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 1 << 30), st.sampled_from(["cross_entropy", "square"]))
def test_many_steps_are_exact(seed: int, loss: str) -> None:
    recipe = Recipe(dense(3, 4, 2), 3, (9, -2, 5, 7, 0), loss=loss)
    rng = np.random.default_rng(seed)
    weights = start_weights(recipe, bytes(32))
    wide = {n: w.astype(object) for n, w in weights.items()}
    for t in range(recipe.steps):
        examples = np.zeros((3, 5), np.int64)
        examples[:, :3] = rng.integers(0, 256, (3, 3))
        examples[np.arange(3), 3 + rng.integers(0, 2, 3)] = 1
        _, wide = reference(recipe, t, wide, examples.astype(object))
        train_step(recipe, t, weights, examples)
    assert all(np.array_equal(weights[n], w) for n, w in wide.items())


def test_a_neuron_at_zero_is_closed() -> None:
    """Nothing flows back through ``z = 0``, though ``max(z, 0)`` would not tell."""
    recipe = Recipe(dense(1, 1, 2), 1, (1,))
    weights = {n: np.zeros(s, np.int64) for n, s in recipe.shapes().items()}
    weights["2.weight"][:] = [[1 << 28], [-(1 << 28)]]
    step = train_step(recipe, 0, weights, np.array([[255, 1, 0]]))
    assert step.z[0].item() == 0
    assert step.gradients[0].item() == 0
    assert step.backward[0].item() != 0


# ---- ranges -------------------------------------------------------------------------------------
def layer_two(bias: int, weight: int) -> dict[str, np.ndarray]:
    """Weights whose first layer gives nothing."""
    out = {n: np.zeros(s, np.int64) for n, s in Recipe(dense(2, 2, 2), 1, (1,)).shapes().items()}
    out["2.bias"][:] = bias
    out["2.weight"][:] = weight
    return out


@pytest.mark.parametrize(
    ("changes", "weights", "where", "what"),
    [
        ({}, (1 << 51, 0), "layer 2 at step 1", "16 bits"),
        ({}, (-(1 << 52), 0), "layer 2 at step 1", "16 bits"),
        ({}, (0, 1 << 45), "layer 2 at step 1", "45 bits"),
        ({"gradient_bits": 15, "rate_bits": 4, "rates": (0, 1 << 20), "batch": 4096},
         (1 << 41, 0), "layer 2 at step 1", "61 bits"),
    ],
)  # fmt: skip
def test_what_leaves_its_range_is_named(
    changes: dict[str, Any], weights: tuple[int, int], where: str, what: str
) -> None:
    """Layer, step and remedy; never an integer that wraps around."""
    recipe = replace(Recipe(dense(2, 2, 2), 1, (1, 1), loss="square"), **changes)
    recipe.validate()
    examples = np.tile(np.array([[255, 255, 1, 0]]), (recipe.batch, 1))
    with pytest.raises(RangeError) as caught:
        train_step(recipe, 1, layer_two(*weights), examples)
    assert caught.value.op == where
    assert what in caught.value.remedy
    assert "lower the learning rate" in caught.value.remedy


# ---- order --------------------------------------------------------------------------------------
def test_the_order_is_the_rule() -> None:
    """Keys of 64 bits from the seed and the epoch, ties by index."""
    for epoch, examples in ((0, 1), (3, 40), (1 << 40, 7)):
        head = b"veracity epoch v3" + b"s" * 32 + epoch.to_bytes(8, "little")
        stream = hashlib.shake_128(head).digest(8 * examples)
        keys = [int.from_bytes(stream[8 * i : 8 * i + 8], "little") for i in range(examples)]
        expected = sorted(range(examples), key=lambda i: (keys[i], i))
        assert epoch_order(b"s" * 32, epoch, examples).tolist() == expected


@quick
@given(
    st.binary(min_size=32, max_size=32),
    st.integers(1, 50),
    st.data(),
)
def test_batches_do_not_depend_on_how_a_run_is_cut(
    seed: bytes, examples: int, data: st.DataObject
) -> None:
    batch = data.draw(st.integers(1, examples))
    last = data.draw(st.integers(1, 30))
    cuts = sorted(data.draw(st.sets(st.integers(1, last - 1)))) if last > 1 else []
    whole = batch_rows(seed, examples, batch, 0, last)
    assert whole.shape == (last, batch)
    ends = zip([0, *cuts], [*cuts, last], strict=True)
    parts = [batch_rows(seed, examples, batch, *pair) for pair in ends]
    assert np.array_equal(np.concatenate(parts), whole)
    per_epoch = examples // batch
    for epoch in range(0, last, per_epoch):  # no example twice, and those of no other set
        seen = whole[epoch : epoch + per_epoch].reshape(-1)
        assert len(set(seen.tolist())) == len(seen)
        assert seen.min() >= 0
        assert seen.max() < examples


def test_an_epoch_takes_every_example_in_another_order() -> None:
    seed = order_seed(b"premise", b"")
    rows = batch_rows(seed, 60, 6, 0, 30).reshape(3, 60)
    assert all(sorted(r) == list(range(60)) for r in rows.tolist())
    assert len({tuple(r) for r in rows.tolist()}) == 3
    with pytest.raises(UsageError, match="a batch of 61"):
        batch_rows(seed, 60, 61, 0, 1)


def test_the_seed_of_the_order_hangs_on_premise_and_beacon() -> None:
    pairs = [(b"ab", b"c"), (b"a", b"bc"), (b"abc", b""), (b"", b"abc")]
    assert len({order_seed(*p) for p in pairs}) == len(pairs)


# ---- start --------------------------------------------------------------------------------------
def test_the_start_is_the_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    """Uniform in ``[-L, L]`` by rejection, at the weights' own scale; biases zero."""
    monkeypatch.setattr(starts, "BLOCK", 8)
    recipe, seed = Recipe(dense(7, 5, 3), 1, (1,)), b"x" * 32
    weights = start_weights(recipe, seed)
    for layer, name in enumerate(("0.weight", "2.weight")):
        shape, drawn = recipe.shapes()[name], list[int]()
        limit, count = isqrt(6 * 4**14 // shape[1]), shape[0] * shape[1]
        for block in range(-(-count // 8)):
            numbers = layer.to_bytes(8, "little") + block.to_bytes(8, "little")
            stream = hashlib.shake_128(b"veracity start v3" + seed + numbers).digest(1 << 10)
            words = [int.from_bytes(stream[i : i + 4], "little") for i in range(0, 1 << 10, 4)]
            size = 2 * limit + 1
            kept = [w % size - limit for w in words if w < 2**32 // size * size]
            drawn += kept[: min(8, count - len(drawn))]
        # five of eight come before seven of eight, and before three of four
        expected = np.array(drawn)
        expected = expected.reshape(shape) if layer == 0 else expected.reshape(5, 3).T
        assert np.array_equal(weights[name], expected * 2 ** (recipe.weight_bits(layer) - 14))
    assert not weights["0.bias"].any()
    assert not weights["2.bias"].any()


def test_words_that_would_favour_some_weights_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stream goes on where too many words fall away."""
    streams: list[int] = []

    class Sponge:
        """Every other word is the greatest one."""

        def digest(self, size: int) -> bytes:
            streams.append(size)
            return (b"\xff\xff\xff\xff" + bytes(4)) * (size // 8)

    monkeypatch.setattr(starts.hashlib, "shake_128", lambda _: Sponge())
    recipe = Recipe(dense(30, 20), 1, (1,))
    limit = isqrt(6 * 4**14 // 30) << (recipe.weight_bits(0) - 14)
    assert (start_weights(recipe, bytes(32))["0.weight"] == -limit).all()
    assert len(streams) > 1


@quick
@given(st.lists(st.integers(1, 40), min_size=1, max_size=4), st.binary(min_size=32, max_size=32))
def test_the_start_is_bounded_and_a_function_of_its_seed(widths: list[int], seed: bytes) -> None:
    recipe = Recipe(dense(*widths, 2), 1, (1,))
    one, two = start_weights(recipe, seed), start_weights(recipe, seed)
    for layer in range(recipe.layers):
        name = recipe.weight_name(layer)
        assert np.array_equal(one[name], two[name])
        scale = 1 << (recipe.weight_bits(layer) - 14)
        assert np.abs(one[name]).max() <= isqrt(6 * 4**14 // one[name].shape[1]) * scale
        assert not (one[name] % scale).any()


def test_layers_and_seeds_start_apart() -> None:
    recipe = Recipe(dense(30, 30, 30, 30), 1, (1,))
    found = [start_weights(recipe, bytes([s]) * 32) for s in range(2)]
    names = [recipe.weight_name(i) for i in range(3)]
    flat = np.stack([w[n].reshape(-1) / 2.0**28 for w in found for n in names])
    assert np.abs(np.corrcoef(flat) - np.eye(6)).max() < 0.15
    assert np.allclose(flat.std(1), (2 / 30) ** 0.5, rtol=0.1)  # He's


# ---- recipes ------------------------------------------------------------------------------------
GOOD = Recipe(dense(4, 3, 2), 2, (3, 1))
WIDE = {
    "activation_bits": 12, "gradient_bits": 15, "rate_bits": 20, "settle": 1, "momentum_bits": 8,
    "momentum": (256, 0),
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"network": dense(4)}, "1 to 64 layers"),
        ({"network": dense(*(2,) * 66)}, "1 to 64 layers"),
        ({"network": dense(0, 2)}, "32768 entries"),
        ({"network": dense((1 << 15) + 1, 2)}, "32768 entries"),
        ({"network": dense(2, 0, 2)}, "neurons"),
        ({"network": dense(2, (1 << 15) + 1, 2)}, "neurons"),
        ({"network": dense(4, 1)}, "at least 2"),
        ({"batch": 0}, "a batch has"),
        ({"batch": 4097}, "a batch has"),
        ({"rates": ()}, "a run has"),
        ({"rates": (1,) * ((1 << 20) + 1)}, "a run has"),
        ({"rates": ((1 << 20) + 1,)}, "learning rate"),
        ({"rates": (-(1 << 20) - 1,)}, "learning rate"),
        ({"rates": (1 << 20,) * (1 << 19), "batch": 4096}, "2\\^50"),
        ({"loss": "hinge"}, "known: cross_entropy, square"),
        ({"loss": "square", "gradient_bits": 7}, "square loss"),
        ({"activation_bits": 3}, "integer widths"),
        ({"activation_bits": 13}, "integer widths"),
        ({"gradient_bits": 3}, "integer widths"),
        ({"gradient_bits": 16}, "integer widths"),
        ({"rate_bits": 3}, "integer widths"),
        ({"rate_bits": 21}, "integer widths"),
        (WIDE, "1 to 48 bits"),
        ({"weight_exponent": 28}, "1 to 48 bits"),
        ({"weight_exponent": -1}, "at least 0 bits"),
    ],
)
def test_recipes_without_meaning_are_refused(changes: dict[str, Any], match: str) -> None:
    GOOD.validate()
    with pytest.raises(UsageError, match=match):
        replace(GOOD, **changes).validate()


def test_every_field_of_a_recipe_is_in_its_digest() -> None:
    others: dict[str, list[Any]] = {
        "network": [dense(4, 3, 3), dense(4, 2), dense(3, 3, 2)],
        "batch": [3],
        "rates": [(3,), (3, 1, 1), (1, 3), (3, -1)],
        "loss": ["square"],
        "momentum": [(1,), (1, 2)],
        "decays": [(1,), (1, 2)],
        "rounded": [True],
    }
    for field in fields(Recipe):
        if field.name not in others:
            others[field.name] = [getattr(GOOD, field.name) + 1]
    changed = [replace(GOOD, **{name: v}) for name, values in others.items() for v in values]
    assert len({GOOD.digest, *[r.digest for r in changed]}) == 1 + len(changed) == 21


@quick
@given(st.lists(st.integers(-3, 3), min_size=1, max_size=20))
def test_a_recipe_as_json_says_all_rates(rates: list[int]) -> None:
    shown = replace(GOOD, rates=tuple(rates)).to_json()
    runs: Any = shown["rates"]
    assert [m for m, count in runs for _ in range(count)] == rates
    assert all(one[0] != two[0] for one, two in pairwise(runs))
