"""Networks with convolutions and averages against loops over unbounded integers, and floats.

The reference shares no wiring with the code: a convolution is a loop over places and taps, its
gradient the transposed loop.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.test_training_meaning import head, rounded
from veracity.errors import RangeError, UsageError
from veracity.graph import execute
from veracity.graph.training import Recipe, predict, start_weights, train_step
from veracity.graph.training.layers import canonical
from veracity.graph.training.network import Network, dense
from veracity.graph.training.program import program_of
from veracity.zkml.training.rounding import rounded_weights

Object = Any  # an array of Python's integers, or of floats


# ---- the reference ------------------------------------------------------------------------------
def geometry(text: str) -> tuple[int, int]:
    """Stride and padding of a convolution in canonical form."""
    words = text.split()
    found = dict(zip(words[3::2], words[4::2], strict=True))
    return int(found.get("stride", 1)), int(found.get("pad", 0))


def convolved(text: str, x: Object, w: Object) -> Object:
    stride, pad = geometry(text)
    n, _, height, width = x.shape
    sides = w.shape[2:]
    out_h, out_w = (
        (s + 2 * pad - k) // stride + 1 for s, k in zip((height, width), sides, strict=True)
    )
    out = np.zeros((n, len(w), out_h, out_w), dtype=x.dtype)
    for y, v, p, q in np.ndindex(out_h, out_w, *sides):
        i, j = y * stride + p - pad, v * stride + q - pad
        if 0 <= i < height and 0 <= j < width:
            out[:, :, y, v] += x[:, :, i, j].dot(w[:, :, p, q].T)
    return out


def transposed(text: str, g: Object, x: Object, w: Object) -> tuple[Object, Object]:
    """Gradients of a convolution's input and of its kernel."""
    stride, pad = geometry(text)
    back, moved = np.zeros(x.shape, dtype=x.dtype), np.zeros(w.shape, dtype=x.dtype)
    for y, v, p, q in np.ndindex(*g.shape[2:], *w.shape[2:]):
        i, j = y * stride + p - pad, v * stride + q - pad
        if 0 <= i < x.shape[2] and 0 <= j < x.shape[3]:
            back[:, :, i, j] += g[:, :, y, v].dot(w[:, :, p, q])
            moved[:, :, p, q] += g[:, :, y, v].T.dot(x[:, :, i, j])
    return back, moved


def sums(x: Object, k: int) -> Object:
    n, c, height, width = x.shape
    return x.reshape(n, c, height // k, k, width // k, k).sum(5).sum(3)


def spread(g: Object, k: int) -> Object:
    return g.repeat(k, axis=2).repeat(k, axis=3)


def reference(r: Recipe, weights: dict[str, Object], examples: Object) -> dict[str, Any]:
    """One step: gradients and weights after it, layer by layer."""
    height, width, channels = r.network.input
    bits, exponent = r.gradient_bits + r.rate_bits, 8
    a = examples[:, : r.inputs].reshape(-1, height, width, channels).transpose(0, 3, 1, 2)
    tape, count = list[Any](), 0
    for place, text in enumerate(r.network.layers):
        kind = text.split()[0]
        if kind == "avgpool":
            k = int(text.split()[1])
            tape.append((kind, k, None))
            a, exponent = sums(a, k), exponent + 2 * (k.bit_length() - 1)
        elif kind == "flatten":
            tape.append((kind, a.shape, None))
            a = a.reshape(len(a), -1)
        elif kind == "relu":
            tape.append((kind, a > 0, None))
            a = a * (a > 0)
        else:
            w, b = weights[f"{place}.weight"], weights[f"{place}.bias"]
            wide = exponent + bits
            if r.rounded and kind == "conv" and r.stages[count].rule.positions > 1:
                read = 16 + r.activation_bits - exponent
                w, b, wide = rounded(w, wide - read), rounded(b, wide - read), read
            count += 1
            w = w.reshape(len(w), -1) if kind == "dense" else w
            acc = a.dot(w.T) if kind == "dense" else convolved(text, a, w)
            acc = acc + b.reshape(1, -1, *[1] * (acc.ndim - 2))
            tape.append((kind, (text, place, a, w, wide), exponent))
            a = rounded(acc, exponent + wide - r.activation_bits)
            if any(not -(2**15) <= v < 2**15 for v in a.reshape(-1)):
                raise OverflowError("an activation")
            exponent = r.activation_bits
    g, back, drop = head(r, a, examples[:, r.inputs :]), None, 0
    found: dict[str, Any] = {"gradients": [g], "after": {}}
    m = r.rates[0]
    for kind, what, at in reversed(tape):
        if kind == "avgpool":
            back, drop = spread(back, what), drop + 2 * (what.bit_length() - 1)
        elif kind == "flatten":
            back = back.reshape(what)
        elif kind == "relu":
            g = rounded(back * what, drop)
            found["gradients"].insert(0, g)
        else:
            text, place, x, w, wide = what
            if kind == "dense":
                back, moved = g.dot(w), g.T.dot(x)
            else:
                back, moved = transposed(text, g, x, w)
            drop, name = wide, f"{place}.weight"
            found["after"][name] = weights[name] - m * moved.reshape(weights[name].shape)
            total = g.sum(tuple(i for i in range(g.ndim) if i != 1))
            found["after"][f"{place}.bias"] = weights[f"{place}.bias"] - m * 4**at * total
    return found


@st.composite
def networks(draw: st.DrawFn) -> Network:
    """Pictures through convolutions of any kernel, stride and padding, averages, dense layers."""
    shape = [draw(st.integers(1, 8)), draw(st.integers(1, 8)), draw(st.integers(1, 2))]
    size, layers = tuple(shape), list[str]()

    def pool() -> None:
        if draw(st.booleans()) and shape[0] % 2 == shape[1] % 2 == 0:
            layers.append("avgpool 2")
            shape[:2] = shape[0] // 2, shape[1] // 2

    pool()
    for _ in range(draw(st.integers(0, 2))):
        stride, sides = draw(st.integers(1, 3)), [draw(st.integers(1, 3)) for _ in range(2)]
        pad = draw(st.integers(0, min(sides) - 1))
        if any(s + 2 * pad < k for s, k in zip(shape[:2], sides, strict=True)):
            continue
        text = f"conv {draw(st.integers(1, 3))} {sides[0]}x{sides[1]} stride {stride} pad {pad}"
        layers += [canonical(text), "relu"]
        shape[:2] = [(s + 2 * pad - k) // stride + 1 for s, k in zip(shape[:2], sides, strict=True)]
        pool()
    layers.append("flatten")
    for _ in range(draw(st.integers(0, 1))):
        layers += [f"dense {draw(st.integers(1, 4))}", "relu"]
    return Network(size, (*layers, f"dense {draw(st.integers(2, 3))}"))


@st.composite
def situations(draw: st.DrawFn) -> tuple[Recipe, dict[str, np.ndarray], np.ndarray]:
    loss = draw(st.sampled_from(["cross_entropy", "square"]))
    recipe = Recipe(
        draw(networks()),
        draw(st.integers(1, 3)),
        (draw(st.integers(-50, 50)),),
        6,
        8,
        10,
        loss=loss,
    )
    recipe = replace(recipe, rounded=draw(st.booleans()))
    recipe.validate()
    rng = np.random.default_rng(draw(st.integers(0, 1 << 30)))
    weights = {}
    for layer in range(recipe.layers):
        for name, bias in ((recipe.weight_name(layer), False), (recipe.bias_name(layer), True)):
            most = 1 << (recipe.exponent(layer, bias) + draw(st.integers(-5, 1)))
            weights[name] = rng.integers(-most, most, recipe.shapes()[name], endpoint=True)
    examples = np.zeros((recipe.batch, recipe.example_size), np.int64)
    examples[:, : recipe.inputs] = rng.integers(0, 256, (recipe.batch, recipe.inputs))
    labels = rng.integers(0, recipe.classes, recipe.batch)
    examples[np.arange(recipe.batch), recipe.inputs + labels] = 1
    return recipe, weights, examples


@settings(deadline=None, max_examples=120)
@given(situations())
def test_a_step_is_what_the_loops_say(situation: Any) -> None:
    recipe, weights, examples = situation
    wide = {n: w.astype(object) for n, w in weights.items()}
    try:
        expected = reference(recipe, wide, examples.astype(object))
    except OverflowError:
        with pytest.raises(RangeError):
            train_step(recipe, 0, weights, examples)
        return
    step = train_step(recipe, 0, weights, examples)
    for found, layer in zip(step.gradients, expected["gradients"], strict=True):
        assert np.array_equal(found, layer)
    for name, after in expected["after"].items():
        assert np.array_equal(weights[name], after)


# ---- beside floats ------------------------------------------------------------------------------
LENET = (
    "conv 4 3x3 pad 1",
    "relu",
    "avgpool 2",
    "conv 5 3x3 stride 2",
    "relu",
    "flatten",
    "dense 3",
)


def float_loss(network: Network, w: dict[str, Any], pictures: Any, labels: Any) -> float:
    a = pictures
    for place, text in enumerate(network.layers):
        kind = text.split()[0]
        if kind == "avgpool":
            a = sums(a, int(text.split()[1])) / int(text.split()[1]) ** 2
        elif kind == "relu":
            a = np.maximum(a, 0)
        elif kind == "flatten":
            a = a.reshape(len(a), -1)
        else:
            k, b = w[f"{place}.weight"], w[f"{place}.bias"]
            a = a @ k.reshape(len(k), -1).T if kind == "dense" else convolved(text, a, k)
            a = a + b.reshape(1, -1, *[1] * (a.ndim - 2))
    a = a - a.max(1, keepdims=True)
    return float((np.log(np.exp(a).sum(1)) - (a * labels).sum(1)).mean())


def test_what_moves_the_weights_is_the_gradient_of_the_loss() -> None:
    """Differences of the loss in floats, entry by entry, against the integers' update."""
    recipe = Recipe(Network((8, 8, 2), LENET), 6, (64,), 10, 14, 8)
    rng = np.random.default_rng(4)
    weights = start_weights(recipe, bytes(32))
    examples = np.zeros((6, 131), np.int64)
    examples[:, :128] = rng.integers(0, 256, (6, 128))
    examples[np.arange(6), 128 + rng.integers(0, 3, 6)] = 1
    scale = {
        name: 2.0 ** recipe.exponent(i, bias)
        for i in range(recipe.layers)
        for name, bias in ((recipe.weight_name(i), False), (recipe.bias_name(i), True))
    }
    before = {n: w / scale[n] for n, w in weights.items()}
    train_step(recipe, 0, weights, examples)
    pictures = examples[:, :128].reshape(6, 8, 8, 2).transpose(0, 3, 1, 2) / 256
    rate, worst = 64 * recipe.batch * 2.0**-recipe.rate_bits, 0.0
    for name, w in before.items():
        moved = (w - weights[name] / scale[name]) / rate
        for index in rng.choice(w.size, min(w.size, 8), replace=False):
            ends = []
            for sign in (1, -1):
                other = w.copy()
                other.flat[index] += sign * 1e-5
                ends.append(
                    float_loss(recipe.network, {**before, name: other}, pictures, examples[:, 128:])
                )
            worst = max(worst, abs((ends[0] - ends[1]) / 2e-5 - moved.flat[index]))
    assert worst < 0.004  # of gradients up to 0.5: activations of 10 bits


# ---- the published program ----------------------------------------------------------------------
@pytest.mark.parametrize("rounded", [False, True])
def test_the_program_computes_what_was_trained(rounded: bool) -> None:
    recipe = Recipe(Network((8, 8, 2), LENET), 6, (30, 20, 10), 8, 8, 12, 12, rounded=rounded)
    rng = np.random.default_rng(5)
    weights = start_weights(recipe, bytes(32))
    for t in range(3):
        examples = np.zeros((6, 131), np.int64)
        examples[:, :128] = rng.integers(0, 256, (6, 128))
        examples[np.arange(6), 128 + rng.integers(0, 3, 6)] = 1
        train_step(recipe, t, weights, examples)
    published = rounded_weights(recipe, weights)
    x = rng.integers(0, 256, (5, 8, 8, 2))
    found = execute(program_of(recipe), published, {"x": x}).outputs["logits"]
    wide = {}
    for layer in range(recipe.layers):
        for name in (recipe.weight_name(layer), recipe.bias_name(layer)):
            wide[name] = published[name].astype(np.int64) << recipe.rounding_shift(layer)
    assert np.array_equal(found, predict(recipe, wide, x.reshape(5, -1)))


# ---- texts of layers ----------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("conv 16  3x3", "conv 16 3x3"),
        ("conv 16 3x3 stride 1 pad 0", "conv 16 3x3"),
        ("conv 16 3x3 stride 2 same", "conv 16 3x3 stride 2 pad 1"),
        ("conv 016 5x5 same", "conv 16 5x5 pad 2"),
        (" relu ", "relu"),
    ],
)
def test_a_layer_has_one_canonical_text(text: str, same: str) -> None:
    assert canonical(text) == same
    assert canonical(same) == same


@pytest.mark.parametrize(
    ("size", "layers", "match"),
    [
        ((8, 8, 1), ["conv 2 3x3", "relu", "dense 2"], "'flatten' stands between"),
        ((64,), ["conv 2 3x3", "relu", "flatten", "dense 2"], "state input"),
        ((64,), ["avgpool 2", "dense 2"], "state input"),
        ((8, 8, 1), ["flatten", "conv 2 3x3", "relu", "dense 2"], "reads pictures"),
        ((8, 8, 1), ["conv 2 9x9", "relu", "flatten", "dense 2"], "larger than its picture"),
        ((8, 8, 1), ["conv 2 3x3 pad 3", "relu", "flatten", "dense 2"], "narrower"),
        ((8, 8, 1), ["conv 2 2x2 same", "relu", "flatten", "dense 2"], "odd sides"),
        ((8, 8, 1), ["conv 2 3x5 same", "relu", "flatten", "dense 2"], "odd sides"),
        ((8, 8, 1), ["conv 2 0x3", "relu", "flatten", "dense 2"], "narrower"),
        ((2048, 1, 1), ["conv 2 1025x1", "relu", "flatten", "dense 2"], "sides are 1 to 1024"),
        ((8, 8, 1), ["flatten", "avgpool 2", "dense 2"], "state input"),
        ((8, 6, 1), ["avgpool 4", "flatten", "dense 2"], "no whole number"),
        ((8, 8, 1), ["conv 2 3x3 stride 0", "relu", "flatten", "dense 2"], "stride is 1"),
        ((8, 8, 1), ["conv 2 3", "relu", "flatten", "dense 2"], "is written as"),
        ((8, 8, 1), ["conv 2 3x3", "avgpool 2", "relu", "flatten", "dense 2"], "a relu stands"),
        ((8, 8, 1), ["relu", "flatten", "dense 2"], "a relu stands"),
        ((9, 8, 1), ["avgpool 2", "flatten", "dense 2"], "no whole number"),
        ((8, 8, 1), ["avgpool 3", "flatten", "dense 2"], "sides of squares"),
        ((8, 8, 1), ["maxpool 2", "flatten", "dense 2"], "known: conv, dense"),
        ((8, 8, 1), ["flatten", "dense 2", "relu"], "last layer"),
        ((8, 8), ["flatten", "dense 2"], "an input is"),
        ((256, 256, 1), ["flatten", "dense 2"], "32768 entries"),
        ((128, 128, 1), ["conv 100 1x1", "relu", "flatten", "dense 2"], "2\\^20 results"),
    ],
)
def test_layers_that_are_no_network(size: tuple[int, ...], layers: list[str], match: str) -> None:
    with pytest.raises(UsageError, match=match):
        Network(size, tuple(layers)).validate()


def test_a_layer_that_is_not_canonical_is_no_recipe() -> None:
    """Else two digests would mean the same."""
    good = Recipe(Network((8, 8, 1), ("conv 2 3x3", "relu", "flatten", "dense 2")), 1, (1,))
    good.validate()
    for text in ("conv 2 3x3 stride 1", "conv 2  3x3", "conv 02 3x3"):
        layers = (text, *good.network.layers[1:])
        with pytest.raises(UsageError, match="canonical"):
            replace(good, network=Network((8, 8, 1), layers)).validate()
    with pytest.raises(UsageError, match="canonical"):
        Network((3,), ("dense 02",)).validate()


def test_rounded_weights_are_finer_while_training() -> None:
    good = Recipe(Network((8, 8, 2), LENET), 1, (1,), 12, 8, 8, 8, rounded=True)
    good.validate()
    with pytest.raises(UsageError, match="raise q"):
        replace(good, activation_bits=12, gradient_bits=4, rate_bits=4).validate()


def test_positions_count_as_examples() -> None:
    """A step moves a kernel by a sum over all of its positions."""
    network = Network((32, 32, 1), ("conv 2 3x3", "relu", "flatten", "dense 2"))
    rates = (1 << 20,) * (1 << 14)
    Recipe(dense(1024, 2), 1 << 12, rates).validate()
    with pytest.raises(UsageError, match="positions"):
        Recipe(network, 1 << 12, rates).validate()
    assert prod(network.stages[0].rule.out[1:]) == 900


def test_no_layers_are_no_network() -> None:
    with pytest.raises(UsageError, match="last layer of a network is dense"):
        _ = Network((8,), ()).stages
