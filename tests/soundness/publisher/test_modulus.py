"""Programs that say one thing modulo 2^64 and another in the field.

A chain of sums with public powers of two multiplies by any constant K. With the remainder theorem a
publisher picks K so that the evaluator, which holds 64 bits, runs an honest model while the proof,
which holds field elements, is about another one. Such a program has to be refused, or what it
proves has to be what it evaluates to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np
import pytest

from tests.support import cheating
from tests.support.forging import Forger, integers
from tests.support.publisher import LOG_COLUMNS, Model, checked, decoder, setting
from veracity.engine.api import ORDER
from veracity.errors import FormatError, VerificationError
from veracity.graph import Program
from veracity.graph.ops import Add, Gain, Linear, Op, Rescale
from veracity.lm.text_decoder import answer_of, forward, ports_of
from veracity.zkml import Statement, commit_model, verify
from veracity.zkml.circuit.tensor import Tensor

WORD = 1 << 64
VOCAB, WIDTH = 8, 4
RNG = np.random.default_rng(1)
TABLE = RNG.integers(-50, 51, (VOCAB, WIDTH)).astype(np.int16)
EYE = np.eye(WIDTH, dtype=np.int16)
ONE = np.ones(WIDTH, dtype=np.int16)
PROMPT = 3


def multiplier(word: int, field: int) -> int:
    """The K with these remainders modulo 2^64 and modulo the field's order."""
    return word + WORD * ((field - word) * pow(WORD, -1, ORDER) % ORDER)


def double_and_add(k: int) -> Iterator[Op]:
    """``k x`` from its highest bit down; the result is the last op's."""
    names, current, run = count(), "x", 0
    for bit in bin(k)[3:]:
        run += 1
        if bit == "1":
            op = Add(name=f"a{next(names)}", a=current, b="x", shift_a=run, shift_b=0)
        elif run == 32:
            op = Add(name=f"a{next(names)}", a=current, b=current, shift_a=31, shift_b=31)
        else:
            continue
        yield op
        current, run = op.name, 0
    if run:
        yield Add(name=f"a{next(names)}", a=current, b=current, shift_a=run - 1, shift_b=run - 1)


def sum_of_powers(k: int) -> Iterator[Op]:
    """``k x`` from its lowest byte up: powers ``256^i x`` beside a running sum."""
    power, total, names = "x", "", count()
    while k:
        for bit in range(8):
            if not k >> bit & 1:
                continue
            if not total and not bit:
                total = power
                continue
            name = f"s{next(names)}"
            if total:
                yield Add(name=name, a=total, b=power, shift_a=0, shift_b=bit)
            else:
                yield Add(name=name, a=power, b=power, shift_a=bit - 1, shift_b=bit - 1)
            total = name
        k >>= 8
        if k:
            name = f"p{next(names)}"
            yield Add(name=name, a=power, b=power, shift_a=7, shift_b=7)
            power = name


CHAINS: dict[str, Callable[[int], Iterator[Op]]] = {
    "double and add": double_and_add,
    "powers and a sum": sum_of_powers,
}
READERS: dict[str, Callable[[str], Op]] = {
    "rescale": lambda x: Rescale(name="y", x=x, shift=0, bits=16),
    "linear": lambda x: Linear(name="y", x=x, weight="eye", bias=None, shift=0, bits=16),
    "gain": lambda x: Gain(name="y", x=x, weight="one", bias=None, shift=0, bits=16),
}


def fit_products(monkeypatch: pytest.MonkeyPatch) -> None:
    """Operands of products become what they are in the field, not modulo 2^64."""
    builders: list[Forger] = []

    class Recorded(Forger):
        def __init__(self, *args: Any, change: cheating.Change) -> None:
            super().__init__(*args, change=change)
            builders.append(self)

    honest = Tensor.product

    def product(spec: str, a: Tensor, b: Tensor) -> Tensor:
        a, b = (replace(t, value=integers(builders[-1], t)) for t in (a, b))
        return honest(spec, a, b)

    monkeypatch.setattr(cheating, "CheatingBuilder", Recorded)
    monkeypatch.setattr(Tensor, "product", staticmethod(product))


def attack(monkeypatch: pytest.MonkeyPatch, chain: str, reader: str, word: int, field: int) -> None:
    """The verifier must refuse the program, or the answer that only the field gives."""
    sums = list(CHAINS[chain](multiplier(word, field)))
    weights = {"t": TABLE}
    if reader == "linear":
        weights["eye"] = EYE
    if reader == "gain":
        weights["one"] = ONE
    middle = [] if reader == "head" else [READERS[reader](sums[-1].name)]
    program: Program = decoder(
        *sums,
        *middle,
        shapes={n: w.shape for n, w in weights.items()},
        last=sums[-1].name if reader == "head" else "y",
        vocab=VOCAB,
        width=WIDTH,
        context=16,
    )
    try:
        program = checked(program)
    except FormatError:
        return
    engine, key = setting()
    signed = field if field < ORDER // 2 else field - ORDER
    lie = signed * TABLE[[PROMPT]].astype(np.int64)
    logits = lie @ TABLE.T.astype(np.int64)
    tokens = [PROMPT, int(logits[0].argmax())]
    true = forward(program, weights, tokens[:-1], 1)
    assert answer_of(true) != tokens[1:], "choose another prompt"
    files = commit_model(engine, program, weights, log_columns=LOG_COLUMNS, key=key)

    def change(name: str, _: int, values: np.ndarray) -> np.ndarray | None:
        return lie if name.startswith(f"{reader}.y") else None

    def details(found: dict[str, dict[str, np.ndarray]]) -> None:
        found["head"]["acc"] = logits

    model = Model(program, weights, tokens, 1)
    with monkeypatch.context() as patch:
        fit_products(patch)
        proof = cheating.cheat(patch, engine, key, model, files, change, tokens, details)
    statement = Statement(program, *ports_of(tokens, 1), commitment=files[0])
    with pytest.raises(VerificationError):
        verify(engine, statement, proof, key)


@pytest.mark.parametrize("reader", [*READERS, "head"])
@pytest.mark.parametrize(
    ("word", "field"),
    [(1, ORDER - 1), (0, ORDER - 1), (1, 0), (2, ORDER - 3)],
    ids=["1 and -1", "0 and -1", "1 and 0", "2 and -3"],
)
def test_a_multiplier_of_two_meanings(
    monkeypatch: pytest.MonkeyPatch, reader: str, word: int, field: int
) -> None:
    attack(monkeypatch, "double and add", reader, word, field)


@pytest.mark.parametrize(("word", "field"), [(2, ORDER - 1), (0, 2)], ids=["2 and -1", "0 and 2"])
def test_another_chain(monkeypatch: pytest.MonkeyPatch, word: int, field: int) -> None:
    attack(monkeypatch, "powers and a sum", "rescale", word, field)
