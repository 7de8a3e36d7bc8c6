"""Committed "weights" that are no integers: a layer solved over the field for chosen answers.

With k prompts of independent embeddings there is always a matrix over the field that maps them to k
chosen results. It is committed like any other; each proof is then true of it, and no model of
integers answers so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from tests.support.publisher import LOG_COLUMNS, checked, claimed, decoder, published, setting
from tests.support.wide import WideEngine, wide_limbs, wide_project
from veracity.engine.api import ORDER
from veracity.errors import VerificationError
from veracity.formats.commitment import Commitment
from veracity.formats.proof import Proof, statement_context
from veracity.graph import Program, Trace
from veracity.graph.ops import Gain, Linear
from veracity.lm.text_decoder import answer_of, forward, ports_of
from veracity.proving.verify import verify
from veracity.zk.keys import key_for
from veracity.zk.transcript import ProverTranscript
from veracity.zkml import (
    ModelOpening,
    Statement,
    argument,
    chain,
    commit_model,
    prove_well_formed,
    witness,
)
from veracity.zkml.circuit import build, products
from veracity.zkml.model import weight_arrays

VOCAB, WIDTH = 8, 4
RNG = np.random.default_rng(7)
TABLE = RNG.integers(-50, 51, (VOCAB, WIDTH)).astype(np.int16)
ANSWERS = RNG.integers(-50, 51, (VOCAB, WIDTH)).astype(np.int16)
Weights = Mapping[str, np.ndarray]


def solved(rows: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The matrix W over the field with ``rows @ W.T == targets``; rows are square."""
    n = len(rows)
    both = [
        [int(v) % ORDER for v in [*row, *target]] for row, target in zip(rows, targets, strict=True)
    ]
    for c in range(n):
        pivot = next(r for r in range(c, n) if both[r][c])
        both[c], both[pivot] = both[pivot], both[c]
        scale = pow(both[c][c], -1, ORDER)
        both[c] = [v * scale % ORDER for v in both[c]]
        for r in range(n):
            if r != c and (k := both[r][c]):
                both[r] = [(v - k * w) % ORDER for v, w in zip(both[r], both[c], strict=True)]
    return np.array([row[n:] for row in both], dtype=object).T


def bind_wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the prover multiply by field elements."""
    honest = products._bind

    def bind_one(engine: Any, values: Any, letters: str, group: Any) -> Any:
        bound = [c for c in letters if c not in group.kept]
        if values.dtype != object or not bound:
            return honest(engine, [values], letters, group)
        parts = [
            honest(engine, [np.ascontiguousarray(limb)], letters, group)
            for limb in engine._limbs(values)
        ]
        return engine.lincomb(parts, [1 << 48 * i for i in range(6)])

    def bind(engine: Any, arrays: Any, letters: str, group: Any, _known: Any = None) -> Any:
        return engine.concat([bind_one(engine, values, letters, group) for values in arrays])

    monkeypatch.setattr(products, "_bind", bind)


def proved(
    monkeypatch: pytest.MonkeyPatch,
    commitment: Commitment,
    opening: ModelOpening,
    weights: Weights,
    tokens: list[int],
    details: dict[str, dict[str, np.ndarray]],
) -> Proof:
    """What the publisher sends for these tokens."""
    real, key = setting()
    engine: Any = WideEngine(real)
    program = commitment.program
    context = statement_context(commitment.digest, "raw")
    statement = Statement(
        program, *ports_of(tokens, 1), commitment=commitment.model, context=context
    )
    (link,) = statement.links
    trace = Trace({}, details, {"answer": np.asarray(tokens[1:])})
    with monkeypatch.context() as patch:
        bind_wide(patch)
        circuit = build.build_circuit(statement, link, weights, trace)
        transcript = ProverTranscript(chain.PROTOCOL, chain.link_statement(statement, link, {}))
        arrays = weight_arrays(engine, program, weights, (commitment.model, opening))
        own = key_for(engine, circuit.row_bits, key)
        argument.prove_circuit(engine, own, circuit, arrays, transcript)
    return claimed(commitment, tokens, 1, transcript.finish())


def committed(program: Program, weights: Weights) -> tuple[Commitment, ModelOpening]:
    real, key = setting()
    engine: Any = WideEngine(real)
    model, opening = commit_model(engine, program, weights, log_columns=LOG_COLUMNS, key=key)
    with pytest.MonkeyPatch.context() as patch:
        if any(w.dtype == object for w in weights.values()):
            patch.setattr(witness, "project", wide_project)
            patch.setattr(witness, "limbs_of", wide_limbs)
        annex = prove_well_formed(engine, program, weights, (model, opening), key=key)
    return published(program, model, well_formed=annex), opening


def program_of(kind: str) -> Program:
    middle = {
        "head": (),
        "linear": (Linear(name="y", x="x", weight="w", bias=None, shift=0, bits=16),),
        "gain": (Gain(name="y", x="x", weight="w", bias=None, shift=0, bits=16),),
    }[kind]
    shapes: dict[str, tuple[int, ...]] = {"t": (VOCAB, WIDTH), "a": (VOCAB, WIDTH)}
    if middle:
        shapes["w"] = (WIDTH, WIDTH) if kind == "linear" else (WIDTH,)
    return checked(
        decoder(
            *middle,
            shapes=shapes,
            last="y" if middle else "x",
            vocab=VOCAB,
            width=WIDTH,
            projection="a",
        )
    )


@pytest.mark.parametrize("kind", ["head", "linear", "gain"])
def test_integers_are_accepted(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """The same prover with honest weights: the refusals below are about the weights."""
    program = program_of(kind)
    weights = {"t": TABLE, "a": ANSWERS}
    if kind != "head":
        weights["w"] = np.ones(program.weights["w"].shape, dtype=np.int16)
    commitment, opening = committed(program, weights)
    run = forward(program, weights, [2], 1)
    proof = proved(monkeypatch, commitment, opening, weights, [2, *answer_of(run)], run.details)
    assert verify(proof, commitment).prompt == " 2"


def chosen(kind: str) -> tuple[Weights, dict[int, dict[str, np.ndarray]]]:
    """Weights, and for each prompt what the layer is to give."""
    if kind == "gain":  # one prompt: any result at all
        result = np.array([[7, -9, 11, 2]])
        row = TABLE[2].astype(object)
        gain = np.array(
            [
                int(v) * pow(int(x) % ORDER, -1, ORDER) % ORDER
                for v, x in zip(result[0], row, strict=True)
            ],
            dtype=object,
        )
        return {"t": TABLE, "a": ANSWERS, "w": gain}, {2: {"y": result}}
    prompts = list(range(WIDTH))
    if kind == "linear":
        results = RNG.integers(-90, 91, (WIDTH, WIDTH))
        w = solved(TABLE[prompts], results)
        return {"t": TABLE, "a": ANSWERS, "w": w}, {
            p: {"y": results[[i]]} for i, p in enumerate(prompts)
        }
    logits = np.zeros((WIDTH, VOCAB), dtype=np.int64)
    for i, answer in enumerate([5, 2, 7, 2]):
        logits[i, answer] = 100 + i
    return {"t": TABLE, "a": solved(TABLE[prompts], logits)}, {
        p: {"head": logits[[i]]} for i, p in enumerate(prompts)
    }


@pytest.mark.parametrize("kind", ["head", "linear", "gain"])
def test_chosen_answers(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    program = program_of(kind)
    weights, results = chosen(kind)
    commitment, opening = committed(program, weights)
    refused = 0
    for prompt, acc in results.items():
        logits = acc["head"] if "head" in acc else acc["y"] @ ANSWERS.T.astype(np.int64)
        tokens = [prompt, int(logits[0].argmax())]
        details = {n: {"acc": v} for n, v in {**acc, "head": logits}.items()}
        proof = proved(monkeypatch, commitment, opening, weights, tokens, details)
        try:
            verify(proof, commitment)
        except VerificationError:
            refused += 1
    assert refused == len(results)
