"""Steps of training that are not the recipe's, proofs of them, and a verifier of one window."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tests.support.cheating import CheatingBuilder
from tests.support.forging import Forger
from tests.support.training import (
    ENGINE,
    KEY,
    LOG_COLUMNS,
    Trained,
    execute_windows,
    small_examples,
    small_recipe,
)
from veracity.engine.api import Ints, Points
from veracity.graph.exact import rhu
from veracity.graph.training import Recipe, Step, Weights
from veracity.graph.training.program import program_of
from veracity.graph.training.step import softmax
from veracity.zk.batch import batch_challenge, require_all
from veracity.zk.committed import ArrayId
from veracity.zk.transcript import VerifierTranscript
from veracity.zkml.argument import verify_circuit
from veracity.zkml.circuit.build import Circuit
from veracity.zkml.circuit.tensor import Tensor
from veracity.zkml.committed import CommittedTensor
from veracity.zkml.model import ModelCommitment, commit_model
from veracity.zkml.training import run as runs
from veracity.zkml.training.data import commit_data
from veracity.zkml.training.rounding import rounding_ranges
from veracity.zkml.training.run import Run
from veracity.zkml.training.state import commit_weights, end_id, start_id
from veracity.zkml.training.window import EXAMPLES

Array = np.ndarray


@dataclass(frozen=True)
class Lie:
    """What a false step does differently; each hook gets the step and the honest value.

    Attributes
    ----------
    recipe : callable
        The recipe that the step really follows.
    examples : callable
        The batch with its labels, (batch, inputs + classes).
    head : callable
        The gradient at the logits; it gets the one-hot labels as third argument.
    forward, backward : callable
        The matrix that a layer multiplies with; they get step, layer and matrix.
    mask : callable
        Which neurons are open, (batch, width).
    acc : callable
        Accumulators, whose quotients are what is committed.
    activation : callable
        What a layer hands on, (batch, width).
    gradient : callable
        Gradients of hidden layers, (batch, width).
    """

    recipe: Callable[[Recipe], Recipe] = lambda r: r
    examples: Callable[[int, Array], Array] = lambda _, x: x
    head: Callable[[int, Array, Array], Array] = lambda _t, g, _y: g
    forward: Callable[[int, int, Array], Array] = lambda _t, _l, w: w
    backward: Callable[[int, int, Array], Array] = lambda _t, _l, w: w
    mask: Callable[[int, int, Array], Array] = lambda _t, _l, m: m
    acc: Callable[[int, int, Array], Array] = lambda _t, _l, x: x
    activation: Callable[[int, int, Array], Array] = lambda _t, _l, a: a
    gradient: Callable[[int, int, Array], Array] = lambda _t, _l, g: g

    def __call__(self, recipe: Recipe, t: int, weights: Weights, examples: Array) -> Step:
        """The false step; new arrays take the places of the old ones in ``weights``."""
        r = self.recipe(recipe)
        step, inputs = Step(t), r.widths[0]
        examples = self.examples(t, examples.astype(np.int64))
        step.labels, a, opened = examples[:, inputs:], examples[:, :inputs], []
        for i in range(r.layers):
            step.activations.append(a)
            w = self.forward(t, i, weights[r.weight_name(i)])
            acc = self.acc(t, i, a @ w.T + weights[r.bias_name(i)])
            z = rhu(acc, r.forward_shift(i))
            step.forward.append(acc)
            step.z.append(z)
            opened.append(self.mask(t, i, (z > 0).astype(np.int64)))
            a = self.activation(t, i, np.maximum(z, 0))
        g, g_bits = step.z[-1] << (r.gradient_bits - r.activation_bits), r.gradient_bits
        if r.loss == "cross_entropy":
            g = softmax(r, step.z[-1])["p"]
        step.gradients = [self.head(t, g - (step.labels << g_bits), step.labels)]
        for i in range(r.layers - 1, 0, -1):
            w = self.backward(t, i, weights[r.weight_name(i)])
            step.backward.insert(0, step.gradients[0] @ w)
            masked = step.backward[0] * opened[i - 1]
            step.gradients.insert(0, self.gradient(t, i - 1, rhu(masked, r.backward_shift(i))))
        for i, (g, a) in enumerate(zip(step.gradients, step.activations, strict=True)):
            m, w, b = r.rates[t], r.weight_name(i), r.bias_name(i)
            weights[w] = weights[w] - m * (g.T @ a)
            weights[b] = weights[b] - m * (g.sum(0) << 2 * r.input_exponent(i))
        return step


class Forged(CheatingBuilder):
    """Whatever does not fit its range stands in the lowest limb, or in the remainder, as it is."""

    limbs = Forger.limbs

    def remainder(
        self,
        op: str,
        role: str,
        r: Tensor,
        value: Ints | None,
        shift: int,
        causal: bool = False,
        usual: int = 0,
    ) -> None:
        before = len(self.lookups)
        super().remainder(op, role, r, value, shift, causal, usual)
        if value is not None and shift <= 16 and len(self.lookups) > before:
            whole = self._change(f"all of {role} of {op}", 0, np.array(value))
            if whole is not None:
                use = self.lookups[-1]
                self.lookups[-1] = replace(use, value=replace(use.value, value=whole))


def executed(
    lie: Lie | None = None, loss: str = "cross_entropy", steps: int = 2, owner: int = 0
) -> Trained:
    """A run of the honest recipe whose steps are the lie's, committed but not proved.

    The blinds of its data are known, so that an owner's start and order are always the same.
    """
    examples, secret = small_examples(), bytes([owner]) * 32
    data = commit_data(ENGINE, KEY, examples, 3, secret)
    run = Run(small_recipe(loss, steps), (data,), 2, LOG_COLUMNS)
    out = Trained(run, examples, secret)
    execute_windows(out, lie or Lie())
    return out


def tensors(boundary: Mapping[str, runs.Boundary]) -> dict[str, CommittedTensor]:
    """What everybody sees of committed weights."""
    return {name: b.tensor for name, b in boundary.items()}


def with_end(trained: Trained, weights: Weights) -> Trained:
    """The same first window, said to end with other weights."""
    (witness,) = trained.witnesses
    after = commit_weights(ENGINE, KEY, trained.run.recipe, weights, os.urandom(32), b"end")
    return replace(
        trained,
        boundaries=[trained.boundaries[0], after],
        witnesses=[replace(witness, end=weights)],
        states=[trained.states[0], weights],
    )


def prove_published(
    trained: Trained, published: Mapping[str, Ints], engine: Any = ENGINE
) -> tuple[Any, bytes]:
    """Files of a model that is said to be the end of a run, and the proof of its rounding."""
    files = commit_model(engine, program_of(trained.run.recipe), published)
    weights = tensors(trained.boundaries[0]), trained.boundaries[-1]
    (proof,) = runs.prove_rounding(engine, KEY, trained.run, weights, published, files)
    return files, proof


def verify_published(trained: Trained, commitment: ModelCommitment, proof: bytes) -> None:
    """Check a rounding alone, by what :func:`verify_run` does."""
    run, start, end = trained.run, *(tensors(trained.boundaries[i]) for i in (0, -1))
    points = commitment.points(ENGINE, program_of(run.recipe))
    points |= {end_id(name): t.points(ENGINE, name) for name, t in end.items()}
    (ends,) = rounding_ranges(run.recipe)
    statement = run.rounding_statement(start, end, commitment, ends)
    transcript = VerifierTranscript(runs.ROUNDING_PROTOCOL, statement, proof)
    circuit = runs.build_rounding(run.recipe, ends)
    owed = verify_circuit(ENGINE, KEY, circuit, points, transcript)
    transcript.finish()
    require_all(ENGINE, KEY, [owed], batch_challenge(bytes(32), [transcript.state()]))


def window_of(trained: Trained, index: int) -> tuple[bytes, Circuit, dict[ArrayId, Points]]:
    """What a verifier has of one window: its statement, its circuit, all rows.

    The start of the run and the weights around the window are taken as they are given.
    """
    run, ends = trained.run, trained.run.ranges()[index]
    start, before, after = (tensors(trained.boundaries[i]) for i in (0, index, index + 1))
    points = {EXAMPLES: run.examples(start, *ends).points(ENGINE, "examples")}
    for name in before:
        points[start_id(name)] = before[name].points(ENGINE, name)
    for name in after:
        points[end_id(name)] = after[name].points(ENGINE, name)
    statement = run.window_statement(start, ends, before, after)
    return statement, runs.build_window(run.recipe, *ends), points


def verify_window(
    trained: Trained,
    index: int,
    proof: bytes,
    reader: type[VerifierTranscript] = VerifierTranscript,
) -> None:
    """Check one window alone, by what :func:`verify_run` does for each."""
    statement, circuit, points = window_of(trained, index)
    transcript = reader(runs.PROTOCOL, statement, proof)
    owed = verify_circuit(ENGINE, KEY, circuit, points, transcript)
    transcript.finish()
    require_all(ENGINE, KEY, [owed], batch_challenge(bytes(32), [transcript.state()]))
