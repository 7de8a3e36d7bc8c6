"""ReLU in both modes against the integer program: a function with a corner, exact in either."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.support import secure_parties, shuffled_parties
from tests.support.programs import Example, small_model
from veracity.graph.ops import Function
from veracity.lm.text_decoder import forward


def with_relu(style: str) -> Example:
    """A decoder whose feed-forward layers have ReLU."""
    example = small_model(style, shape=(32, 2, 2, 16, 96, 200), prompt=24)
    ops = tuple(
        replace(op, fn="relu") if isinstance(op, Function) else op for op in example.program.ops
    )
    return replace(example, program=replace(example.program, ops=ops))


@pytest.mark.parametrize("style", ["llama", "gpt2"])
def test_secure(style: str, monkeypatch: pytest.MonkeyPatch) -> None:
    example = with_relu(style)
    parties = secure_parties.Parties(example.program, example.weights)
    secure_parties.watched(monkeypatch, parties)
    _, (done,) = secure_parties.told(parties, example.tokens[:24], ())
    assert done.declared == done.measured
    trace = forward(example.program, example.weights, example.tokens[:24], 24)
    for op in example.program.ops:
        if isinstance(op, Function):
            # Of its argument as the parties have it, to the last of the bits they keep.
            assert np.array_equal(done.value(op.name), np.maximum(done.value(op.x), 0))
            off = done.value(op.name) - trace.values[op.name]
            size = 1 + np.abs(trace.values[op.name]).mean()
            assert np.sqrt((off**2).mean()) < 0.05 * size


@pytest.mark.parametrize("style", ["llama", "gpt2"])
def test_shuffled(style: str) -> None:
    example = with_relu(style)
    parties = shuffled_parties.Parties(example.program, example.weights)
    _, (done,) = shuffled_parties.told(parties, example.tokens[:24], ())
    assert done.declared == done.measured
    trace = forward(example.program, example.weights, example.tokens[:24], 24)
    group = parties.group_of("layers.0.mlp.act")
    op = next(o for o in group.ops if isinstance(o, Function))
    # What the user sees is permuted, and so is what it computes: a function entry by entry.
    seen = done.clear(group)[op.x]
    off = np.sort(np.maximum(seen, 0).reshape(-1)) - np.sort(trace.values[op.name].reshape(-1))
    assert np.abs(off).max() < 0.05 * np.abs(trace.values[op.name]).max()


@pytest.mark.parametrize("style", ["llama", "gpt2"])
@pytest.mark.parametrize("mode", [secure_parties, shuffled_parties])
def test_tokens_are_the_programs(mode: Any, style: str) -> None:
    example = with_relu(style)
    prompt = example.tokens[:8]
    want = shuffled_parties.expected(example.program, example.weights, prompt, 4)
    got, _ = mode.told(mode.Parties(example.program, example.weights), prompt, want[:-1])
    assert got == want
