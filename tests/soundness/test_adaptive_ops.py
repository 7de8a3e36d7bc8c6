"""Provers who run another model and fit every column to it: one relation of one op stops each.

As in :mod:`tests.soundness.test_adaptive`, every attack runs twice: against the argument, where the
verifier must refuse, and against an argument that owes everything but the one relation, where the
verifier must accept. A relation that an op ceases to owe fails both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import isqrt
from typing import Any

import numpy as np
import pytest

from tests.support.forging import (
    Lie,
    answer,
    attack,
    both,
    model,
    one_relation_stops,
    without,
    without_lookup,
)
from tests.support.programs import Example
from veracity.engine.api import Ints
from veracity.graph.exact import rhu
from veracity.graph.tables import exp_table
from veracity.lm.text_decoder import answer_of, forward, vocabulary_of
from veracity.zkml.circuit.tensor import Tensor


# ---- the answer ----------------------------------------------------------------------------------
def wrong_token() -> Lie:
    """A wrong answer, and nothing to hide it."""
    e = model()
    return Lie(e, [*e.tokens[:-1], (e.tokens[-1] + 3) % vocabulary_of(e.program)])


def other_distances() -> Lie:
    """Distances that make a wrong answer the best one, whatever the scores are."""
    lie = wrong_token()

    def distances(d: Ints) -> Ints:
        d = np.ones_like(d)
        d[np.arange(len(d)), lie.tokens[lie.example.prompt_length :]] = 0
        return d

    return replace(lie, columns={("head.distance", 0): distances})


def any_answer() -> Lie:
    """Maxima above every score: all distances are in range, whatever the answer is said to be."""
    lie = wrong_token()
    e, tokens = lie.example, lie.tokens
    acc = forward(e.program, e.weights, tokens[:-1], e.prompt_length).details["head"]["acc"]
    z = rhu(acc, e.program.ops[-1].shift)
    m = z.max(axis=1) + 1
    columns = {("head.max", 0): lambda _: m, ("head.distance", 0): lambda _: m[:, None] - z}
    return replace(lie, columns=columns)


def higher_of_two() -> Lie:
    """Pairs of tokens with equal scores, and the second one given as the answer."""
    e = model()
    table = np.array(e.weights["embedding"])
    table[1::2] = table[:-1:2]
    e = replace(e, weights=e.weights | {"embedding": table})
    tokens = e.tokens[: e.prompt_length]
    while len(tokens) < len(e.tokens):
        tokens += answer_of(forward(e.program, e.weights, tokens, len(tokens)))
    return Lie(replace(e, tokens=tokens), [*tokens[:-1], tokens[-1] + 1])


# ---- the embedding -------------------------------------------------------------------------------
def other_prompt() -> Lie:
    """The answer to a prompt with another second token, as if it were to this one."""
    e = model()

    def swap(rows: Ints) -> Ints:
        rows = np.array(rows)
        rows[1] = e.weights["embedding"][9]
        return rows

    tokens, details = answer(e, "embed", lambda _op, values, _: swap(values["embed"]))
    return Lie(e, tokens, details, {("table.y", 0): swap})


# ---- attention -----------------------------------------------------------------------------------
ATTENTION = "layers.0.attn"


def mix(op: Any, p: Ints, values: Mapping[str, Ints], detail: dict[str, Ints]) -> Ints:
    """The result of attention with probabilities ``p``, (heads, T, T)."""
    tokens = p.shape[-1]
    v = values[op.v].reshape(tokens, op.kv_heads, op.head_dim)
    split = p.reshape(op.kv_heads, op.group, tokens, tokens)
    detail["acc_y"] = np.einsum("kgts,skc->tkgc", split, v).reshape(tokens, -1)
    return rhu(detail["acc_y"], op.mix_shift)


def probabilities(detail: Mapping[str, Ints]) -> Ints:
    """What visible exponentials and reciprocals give."""
    return np.tril(rhu(detail["e"] * detail["inv"][:, :, None], 16))


def probability(source: int) -> Lie:
    """The row that gives the first answer token (source 3) has another probability of its own."""
    e = model()

    def other(p: Ints) -> Ints:
        p = np.array(p)
        p[:, 2, source] = -20000
        return p

    def step(op: Any, values: Mapping[str, Ints], detail: dict[str, Ints]) -> Ints:
        return mix(op, other(probabilities(detail)), values, detail)

    return Lie(e, *answer(e, ATTENTION, step), {("softmax.p", 0): other})


def exponential(source: int) -> Lie:
    """A token takes a larger share of a row's sum than its score gives it; source 3 is hidden."""
    e = model()

    def step(op: Any, values: Mapping[str, Ints], detail: dict[str, Ints]) -> Ints:
        detail["e"][:, 2, source] = 1 << 17
        detail["inv"] = (1 << 31) // detail["e"].sum(axis=2)
        return mix(op, probabilities(detail), values, detail)

    columns = {("softmax.p", 0): np.tril} if source > 2 else {}
    return Lie(e, *answer(e, ATTENTION, step), columns)


def distances() -> Lie:
    """A row's distances are not those of its scores."""
    e, others = model(), [0, 99, 99]

    def step(op: Any, values: Mapping[str, Ints], detail: dict[str, Ints]) -> Ints:
        detail["e"][:, 2, :3] = exp_table(op.exp_k)[others]
        detail["inv"] = (1 << 31) // detail["e"].sum(axis=2)
        return mix(op, probabilities(detail), values, detail)

    def change(d: Ints) -> Ints:
        d = np.array(d)
        d[:, 2, :3] = others
        return d

    return Lie(e, *answer(e, ATTENTION, step), {("softmax.distance", 0): change})


def shifted(pick: Callable[[Ints], Ints], d: Callable[[Ints], Ints] | None = None) -> Lie:
    """A row's maximum stands above all of its scores; ``pick`` says where it is.

    Shifted exponentials have the same quotients: this moves roundings and not the answer.
    """
    e = model(0)

    def step(op: Any, values: Mapping[str, Ints], detail: dict[str, Ints]) -> Ints:
        detail["m"][0, 2] += 25
        z = rhu(detail["acc_z"][0, 2, :3], op.score_shift)
        detail["e"][0, 2, :3] = exp_table(op.exp_k)[detail["m"][0, 2] - z]
        detail["inv"] = (1 << 31) // detail["e"].sum(axis=2)
        return mix(op, probabilities(detail), values, detail)

    columns = {("softmax.pick", 0): pick} | ({} if d is None else {("softmax.distance", 0): d})
    lie = Lie(e, *answer(e, ATTENTION, step), columns, harmless=True)
    true = forward(e.program, e.weights, e.tokens[:-1], e.prompt_length).details[ATTENTION]
    assert np.any(lie.details[ATTENTION]["acc_y"] != true["acc_y"])
    return lie


def put(*entries: tuple[int, int]) -> Callable[[Ints], Ints]:
    """Set entries (source, value) of the first head's third row."""

    def change(x: Ints) -> Ints:
        x = np.array(x)
        for source, value in entries:
            x[0, 2, source] = value
        return x

    return change


def reciprocal(e: Example, times: float, **limbs: Callable[[Ints, Ints], Ints]) -> Lie:
    """One row's reciprocal ``times`` too large; ``limbs`` are functions of ``S`` and ``w``."""

    def step(op: Any, values: Mapping[str, Ints], detail: dict[str, Ints]) -> Ints:
        detail["inv"][:, 2] = (detail["inv"][:, 2] * times).astype(np.int64)
        return mix(op, probabilities(detail), values, detail)

    tokens, details = answer(e, ATTENTION, step)
    s, inverse = details[ATTENTION]["e"].sum(axis=2), details[ATTENTION]["inv"]
    w = (1 << 31) - inverse * s
    columns = {
        (f"softmax.{name} of {ATTENTION}", 0): lambda _, made=made: made(s, w)
        for name, made in limbs.items()
    }
    return Lie(e, tokens, details, columns)


def any_rest(s: Ints, w: Ints) -> Ints:
    """A rest in range that is not the rest."""
    return np.where(w < s, w, 0)


# ---- norms ---------------------------------------------------------------------------------------
NORM = "layers.0.attn_norm"
#: Its K is large enough for limbs that hold u and v of a rho far off.
WIDE_NORM = "layers.0.mlp_norm"


def bracket(row: Callable[[int, int], tuple[int, int, int, int]], at: str = NORM) -> Lie:
    """A norm whose ``rho, g, u, v`` are ``row(K, M)``."""
    e = model()

    def step(op: Any, values: Mapping[str, Ints], detail: dict[str, Ints]) -> Ints:
        x = values[op.x]
        rows = [row(op.constant, int(m) + op.eps) for m in (x * x).sum(axis=1)]
        columns = zip(("rho", "g", "u", "v"), np.array(rows, dtype=object).T, strict=True)
        detail |= dict(columns)
        return rhu(x * detail["rho"].astype(np.int64)[:, None], op.shift)

    tokens, details = answer(e, at, step)
    made = details[at]
    columns = {(f"norm.{k} of {at}", 0): lambda _, k=k: made[k] for k in "guv"}
    return Lie(e, tokens, details, columns)


def scaled(times: float) -> Callable[[int, int], tuple[int, int, int, int]]:
    """``g, u, v`` as they are for a ``rho`` that many times too large."""

    def row(k: int, m: int) -> tuple[int, int, int, int]:
        rho = int(isqrt(k // m) * times)
        return rho, rho * m, k - rho * rho * m, (rho + 1) ** 2 * m - k - 1

    return row


def four_times_the_squares(k: int, m: int) -> tuple[int, int, int, int]:
    m *= 4
    rho = isqrt(k // m)
    return rho, rho * m, k - rho * rho * m, 2 * rho * m + m - (k - rho * rho * m) - 1


def another_g(k: int, m: int) -> tuple[int, int, int, int]:
    rho = isqrt(k // m) // 2
    g = k // rho
    return rho, g, k - rho * g, 2 * g + m - (k - rho * g) - 1


def another_u(k: int, m: int) -> tuple[int, int, int, int]:
    rho = isqrt(k // m) // 2
    return rho, rho * m, 0, 2 * rho * m + m - 1


# ---- results -------------------------------------------------------------------------------------
def result(op: str, column: str, instance: int, change: Callable[[Ints], Ints]) -> Lie:
    """Another result of an op."""
    e = model()
    found = answer(e, op, lambda _op, values, _: change(values[op]))
    return Lie(e, *found, {(column, instance): change})


# ---- all of them ---------------------------------------------------------------------------------
BRACKET = ("norm.g", "norm.u", "norm.v")
SUM = "softmax.exp Sum"
IDENTITIES: dict[str, tuple[Callable[[], Lie], tuple[str, ...]]] = {
    "the answer's distance is 0": (any_answer, ("head.distance Slice Slice",)),
    "rows are the table's": (other_prompt, ("table.y", "embedding Gather")),
    "probabilities obey the mask": (lambda: probability(3), ("softmax.p Causal",)),
    "exponentials obey the mask": (lambda: exponential(3), ("softmax.exp Causal",)),
    "the maximum obeys the mask": (
        lambda: shifted(put((0, 0), (3, 1)), put((3, 0))),
        ("softmax.pick Causal",),
    ),
    "a row has a maximum": (lambda: shifted(put((0, 0))), ("softmax.pick Sum", "1")),
    "the maximum is a score": (
        lambda: shifted(put((0, 0), (1, 1))),
        ("softmax.pick", "softmax.distance", "1"),
    ),
    "I S = 2^31 - w": (
        lambda: reciprocal(model(), 0.5, rest=any_rest, gap=lambda s, w: s - 1 - any_rest(s, w)),
        ("softmax.inverse", SUM, "softmax.rest", "1"),
    ),
    "gap = S - 1 - w": (
        lambda: reciprocal(model(), 0.5, gap=lambda s, _: s - 1),
        ("softmax.gap", "softmax.rest", SUM, "1"),
    ),
    "M = sum c^2 + eps": (
        lambda: bracket(four_times_the_squares),
        ("table.y", *BRACKET, "1"),
    ),
    "g = rho M": (lambda: bracket(another_g), ("norm.rho", *BRACKET, "1")),
    "u = K - rho g": (lambda: bracket(another_u), ("norm.rho", "norm.g", "norm.u", "1")),
}
LOOKUPS: dict[str, tuple[Callable[[], Lie], tuple[str, ...]]] = {
    "nothing beats the answer": (wrong_token, ("head.distance", "Below")),
    "distances are those of the logits": (
        other_distances,
        ("embedding", "gain.y Slice", "head.distance", "head.max Broadcast", "1"),
    ),
    "distances are those of the scores": (
        distances,
        (
            "rope.y Split Permute",
            "softmax.distance Split",
            "softmax.max Broadcast Split",
            "1",
        ),
    ),
    "the exponential's table": (lambda: exponential(0), ("softmax.distance", "softmax.exp")),
    "p = rescale(e I)": (
        lambda: probability(2),
        ("softmax.exp", "softmax.inverse", "softmax.p", "1"),
    ),
    "w < S": (lambda: reciprocal(model(), 0.5), ("softmax.gap",)),
    "0 <= w": (lambda: reciprocal(model(22), 1.3), ("softmax.rest",)),
    "rho^2 M <= K": (lambda: bracket(scaled(1.3), WIDE_NORM), ("norm.u",)),
    "(rho + 1)^2 M > K": (lambda: bracket(scaled(0.5), WIDE_NORM), ("norm.v",)),
    "the remainder's high digit": (
        lambda: result(WIDE_NORM, "norm.y", 1, np.negative),
        ("norm.r.high",),
    ),
    "the function's table": (
        lambda: result("layers.0.mlp.act", "function.y", 0, np.negative),
        ("linear.y", "function.y"),
    ),
}


@both
@pytest.mark.parametrize("name", IDENTITIES)
def test_one_identity_stops_it(monkeypatch: pytest.MonkeyPatch, name: str, present: bool) -> None:
    one_relation_stops(monkeypatch, IDENTITIES[name], present, without)


@both
@pytest.mark.parametrize("name", LOOKUPS)
def test_one_lookup_stops_it(monkeypatch: pytest.MonkeyPatch, name: str, present: bool) -> None:
    one_relation_stops(monkeypatch, LOOKUPS[name], present, without_lookup)


@both
def test_ties_go_to_the_lowest_index(monkeypatch: pytest.MonkeyPatch, present: bool) -> None:
    """The range of ``d`` less the bits of lower tokens; without those bits any maximum will do."""
    lie = higher_of_two()
    if not present:
        honest = Tensor.below
        monkeypatch.setattr(
            Tensor, "below", staticmethod(lambda limits, *rest: honest((0,) * len(limits), *rest))
        )
    attack(monkeypatch, lie, present)
