"""The errors in ``docs/protocols/composition.md`` against the challenges that a verifier draws."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from math import ceil, log2
from pathlib import Path
from typing import Any, cast

import pytest

from tests.support.programs import small_model
from tests.support.toy_programs import toys
from veracity.engine.api import ORDER, Engine
from veracity.lm.text_decoder import ports_of
from veracity.zk import opening, reduction
from veracity.zk.counting import CountingTranscript, Shape, ShapeEngine, shape_key
from veracity.zkml.argument import verify_circuit
from veracity.zkml.circuit import products
from veracity.zkml.circuit.build import build_circuit
from veracity.zkml.statement import Execution

PAGE = Path(__file__).parents[2] / "docs" / "protocols" / "composition.md"
SMOLLM2 = (576, 3, 3, 64, 1536, 49152)


class Labels(CountingTranscript):
    """Counts challenges by label."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()

    def challenge(self, label: str) -> int:
        self.found[label] += 1
        return super().challenge(label)

    def challenge_bytes(self, label: str, size: int) -> bytes:
        self.found["projection of" if label.startswith("projection of ") else label] += 1
        return super().challenge_bytes(label, size)


def run(
    execution: Execution, monkeypatch: pytest.MonkeyPatch
) -> tuple[Counter[str], dict[str, Any]]:
    """Challenges by label, and the quantities of the page, of a statement in one link."""
    (link,) = execution.links
    circuit, key = build_circuit(execution, link), shape_key(execution.log_columns)
    earlier = {
        name: Shape(layout.shape.layout(key.log_columns).rows)
        for name, layout in circuit.layouts.items()
        if name not in circuit.own
    }
    seen: dict[str, Any] = {
        "N": circuit.plan.count(),
        "L": sum(t.size for t in circuit.plan.tables),
        "nu": circuit.plan.placement().variables,
        "bounded": sum(s.outer * s.inner for s in circuit.bounded()),
    }
    system, claims, product_claims = opening._system, reduction._batch, products._batch

    def note_system(channel: Any, *rest: Any) -> Any:
        seen["M"] = max(channel.constraints.message_of)
        seen["E"], seen["G"] = len(channel.constraints.zeros) + 1, len(rest[-1])
        return system(channel, *rest)

    def note_claims(channel: Any, found: Sequence[Any]) -> Any:
        seen["c"] = len(found)
        return claims(channel, found)

    def note_products(channel: Any, engine: Any, found: Sequence[Any]) -> Any:
        seen["c'"] = len([c for c in found if c.products])
        return product_claims(channel, engine, found)

    transcript = Labels()
    with monkeypatch.context() as patch:
        patch.setattr(opening, "_system", note_system)
        patch.setattr(reduction, "_batch", note_claims)
        patch.setattr(products, "_batch", note_products)
        verify_circuit(cast(Engine, ShapeEngine()), key, circuit, earlier, transcript)
    return transcript.found, seen


def numerators(labels: Counter[str], q: dict[str, Any]) -> dict[str, int]:
    """The table's third column, times how often the challenge is drawn; the projection's apart."""
    each = {
        "projection point": 1, "lookup alpha": q["N"] + q["L"], "lookup beta": 2 * q["L"],
        "lookup batch": 1, "lookup round": 2, "lookup child": 1, "identity instances": 1,
        "identity point": 1, "product batch": q["c'"] - 1, "products": 2,
        "claim batch": q["c"] - 1, "evaluation": 2, "opening delta": 2 * q["M"],
        "opening gamma": max(q["E"], q["G"]) - 1, "opening e": 2, "opening square": 2,
        "opening inner": 1, "inner product": 3,
    }  # fmt: skip
    out = {label: n * labels[label] for label, n in each.items()}
    return out | {"opening join": 1, "batch": 1}


def page_labels() -> set[str]:
    text = PAGE.read_text(encoding="utf-8").partition("### The reckoning")[2]
    return set(re.findall(r"^\|[^|]+\| `([^`]+)` \|", text, re.MULTILINE))


def page_numbers(quantity: str) -> list[int]:
    """The integers in the row of a quantity."""
    (row,) = [
        line
        for line in PAGE.read_text(encoding="utf-8").splitlines()
        if line.startswith(f"| {quantity}")
    ]
    cells = row.split("|")[-2]
    return [int(n.replace(",", "")) for n in re.findall(r"\d[\d,]*\d|\d", cells)]


def test_every_challenge_has_its_row(monkeypatch: pytest.MonkeyPatch) -> None:
    every: set[str] = set()
    for style in ("llama", "gpt2", "adjusted"):
        e = small_model(style)
        found, seen = run(Execution(e.program, *ports_of(e.tokens, e.prompt_length)), monkeypatch)
        every |= set(found)
        assert set(numerators(found, seen)) - {"batch"} == set(found) - {"projection of"}
    for toy in toys():
        every |= set(run(Execution(toy.program, toy.inputs, toy.trace.outputs), monkeypatch)[0])
    assert every == page_labels()


def test_the_numbers_of_the_example(monkeypatch: pytest.MonkeyPatch) -> None:
    program = small_model("llama", layers=30, answer=0, shape=SMOLLM2).program
    labels, q = run(Execution(program, *ports_of([1] * 33, 25)), monkeypatch)
    assert page_numbers("$N$, $L$") == [q["N"], q["L"]]
    assert page_numbers(r"$\nu$; variables") == [q["nu"], labels["lookup round"]]
    assert labels["lookup round"] == q["nu"] * (q["nu"] - 1) // 2
    coordinates = labels["identity instances"] + labels["identity point"]
    assert page_numbers("coordinates of identities") == [coordinates]
    assert page_numbers("$c'$, $c$") == [q["c'"], q["c"]]
    sumchecks = ("products", "evaluation", "opening square", "inner product")
    assert page_numbers("rounds of products") == [labels[n] for n in sumchecks]
    assert page_numbers("$M$, $E$, $G$") == [q["M"], q["E"], q["G"]]
    counted = numerators(labels, q)
    tuples = counted["lookup alpha"] + counted["lookup beta"]
    assert page_numbers("largest numerators") == [tuples]
    assert page_numbers("sum of all others") == [sum(counted.values()) - tuples]
    assert max(v for k, v in counted.items() if not k.startswith("lookup ")) < tuples
    assert log2(sum(counted.values())) - log2(ORDER) < -230
    assert f"{q['bounded']:,}" in PAGE.read_text(encoding="utf-8")
    assert ceil(10 * (log2(q["bounded"]) + 23)) / 10 <= 46.2
