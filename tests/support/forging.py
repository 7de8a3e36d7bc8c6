"""A prover who runs another model and fits every column to it, and relations that can be dropped.

Built on :mod:`tests.support.cheating`, which changes columns and leaves the rest as it was; here
what is not committed follows from what is, so that a lie breaks the one relation it is about.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
import pytest

from tests.support import cheating
from tests.support.cheating import CheatingBuilder, cheat
from tests.support.programs import Example, claim, small_model
from veracity.engine import Engine, load_engine
from veracity.engine.api import ORDER, Ints
from veracity.errors import VerificationError
from veracity.lm.text_decoder import answer_of, forward
from veracity.zk.keys import CommitmentKey, load_key
from veracity.zkml import commit_model, verify
from veracity.zkml.circuit.builder import Builder
from veracity.zkml.circuit.tables import Table, unsigned
from veracity.zkml.circuit.tensor import (
    ArraySource,
    Below,
    Chosen,
    One,
    ProductSource,
    Public,
    Tensor,
)

Details = dict[str, dict[str, Ints]]
Step = Callable[[Any, Mapping[str, Ints], dict[str, Ints]], Ints]
"""(op, values so far, the op's details, to be changed) -> another result of the op."""


# ---- the forger: whatever is not committed follows from what is ----------------------------------
def integers(builder: Builder, tensor: Tensor) -> Ints:
    """What a tensor is over the integers, given the columns as they were committed."""
    total = np.zeros(tensor.dims, dtype=np.int64)
    for (source, steps), c in tensor.terms.items():
        if isinstance(source, ArraySource) and source.instance is not None:
            x = builder.batches[source.id].values[source.instance]
        elif isinstance(source, ArraySource):
            x = builder.given[source.id].value
        elif isinstance(source, ProductSource):
            x = np.einsum(source.spec, *[integers(builder, t) for t in (source.a, source.b)])
        elif isinstance(source, Below | Chosen):
            x = source.values()
        elif isinstance(source, Public):
            x = source.values
        else:
            x = np.ones((), dtype=np.int64)
        x = np.asarray(x, dtype=np.int64)
        for step in steps:
            x = step.forward(x)
        total += (c if c < ORDER // 2 else c - ORDER) * x
    return total


class Forger(CheatingBuilder):
    """Looks up whatever remainder fits the columns, and asks ``change`` about whole integers."""

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
        value, before = integers(self, r), len(self.lookups)
        super().remainder(op, role, r, value, shift, causal, usual)
        if shift <= 16 and len(self.lookups) > before:  # hidden entries may be of any size
            use = self.lookups[-1]
            self.lookups[-1] = replace(use, value=replace(use.value, value=value))

    def product(self, spec: str, a: Tensor, b: Tensor, out: Tensor) -> None:
        left, right = (replace(t, value=integers(self, t)) for t in (a, b))
        super().product(spec, left, right, out)

    def limbs(
        self,
        op: str,
        role: str,
        dims: tuple[int, ...],
        value: Ints | None,
        count: int,
        checked: bool = True,
    ) -> Tensor:
        """What does not fit stands in the lowest limb as a whole."""
        other = self._change(f"{role} of {op}", 0, np.array(value))
        wide = np.asarray(value if other is None else other).astype(object)
        fits = (wide >= 0) & (wide < 1 << 16 * count)
        total: Tensor | None = None
        for i in range(count):
            part = np.where(fits, (wide >> 16 * i) & 0xFFFF, 0 if i else wide)
            limb = self.column(f"{role}.{i}", dims, part.astype(np.int64), free=not checked)
            if checked:
                self.lookup(op, unsigned(16), limb)
            shifted = limb.bare() * (1 << 16 * i)
            total = shifted if total is None else total + shifted
        assert total is not None
        return replace(total, value=wide)


@dataclass(frozen=True)
class Lie:
    """A false answer, and what its prover commits to where it is not what execution gives.

    ``harmless``: the answer is the true one, but intermediate results are not.
    """

    example: Example
    tokens: list[int]
    details: Details = field(default_factory=dict)
    columns: dict[tuple[str, int], Callable[[Ints], Ints]] = field(default_factory=dict)
    harmless: bool = False

    def change(self, name: str, instance: int, values: Ints) -> Ints | None:
        """See :data:`tests.support.cheating.Change`."""
        found = self.columns.get((name.split("[")[0], instance))
        return None if found is None else found(values)


@lru_cache(maxsize=1)
def setting() -> tuple[Engine, CommitmentKey]:
    engine = load_engine("cpu")
    return engine, load_key(engine, 9)


@lru_cache
def model(seed: int = 4) -> Example:
    """By default one whose answer most lies change."""
    return small_model(layers=1, seed=seed)


def false_run(e: Example, tokens: list[int], at: str, step: Step) -> tuple[list[int], Details]:
    """Answer and details of an execution in which op ``at`` gives another result."""
    where = next(i for i, op in enumerate(e.program.ops) if op.name == at) + 1
    before = forward(e.program, e.weights, tokens, e.prompt_length, (0, where))
    values, details = dict(before.values), before.details
    values[at] = step(e.program.ops[where - 1], values, details[at])
    span = (where, len(e.program.ops))
    after = forward(e.program, e.weights, tokens, e.prompt_length, span, values)
    return answer_of(after), details | after.details


def answer(e: Example, at: str, step: Step) -> tuple[list[int], Details]:
    """Prompt and answer of the model with another op ``at``, and the details of its execution.

    That op may look at later tokens, so the answer is one that execution gives back.
    """
    tokens = e.tokens
    for _ in range(8):
        output, details = false_run(e, tokens[:-1], at, step)
        before, tokens = tokens, [*e.tokens[: e.prompt_length], *output]
        if tokens == before:
            return tokens, details
    raise AssertionError("choose another lie")


# ---- removing a relation -------------------------------------------------------------------------
def names(tensor: Tensor) -> frozenset[str]:
    """The columns a relation reads, each with the views it is read through; ``1`` for constants."""
    found: set[str] = set()
    for source, steps in tensor.terms:
        views = "".join(f" {type(s).__name__}" for s in steps)
        if isinstance(source, ProductSource):
            found |= names(source.a) | names(source.b)
        elif isinstance(source, ArraySource):
            found.add(source.id.name.rstrip(".0123456789") + views)
        else:
            found.add("1" if isinstance(source, One) else type(source).__name__)
    return frozenset(found)


def without(monkeypatch: pytest.MonkeyPatch, *relation: str) -> list[Tensor]:
    """Owe no longer that the relation between these columns vanishes; returns what is dropped."""
    honest, dropped = Builder.zero, []

    def zero(builder: Builder, tensor: Tensor) -> None:
        if names(tensor) == set(relation):
            dropped.append(tensor)
        else:
            honest(builder, tensor)

    monkeypatch.setattr(Builder, "zero", zero)
    return dropped


def without_lookup(monkeypatch: pytest.MonkeyPatch, *relation: str) -> list[Tensor]:
    """Owe no longer that what is made of these columns stands in its table."""
    dropped: list[Tensor] = []
    for owner in (Builder, CheatingBuilder):

        def lookup(
            builder: Builder,
            op: str,
            table: Table,
            value: Tensor,
            image: Tensor | None = None,
            causal: bool = False,
            honest: Any = owner.lookup,
        ) -> None:
            if names(value) | (names(image) if image else set()) == set(relation):
                dropped.append(value)
                builder.note_range(table, value, image)
            else:
                honest(builder, op, table, value, image, causal)

        monkeypatch.setattr(owner, "lookup", lookup)
    return dropped


# ---- both runs of an attack ----------------------------------------------------------------------
#: Against the argument, and against one that owes everything but the one relation.
both = pytest.mark.parametrize("present", [True, False], ids=["ours", "without the relation"])


def one_relation_stops(
    monkeypatch: pytest.MonkeyPatch,
    case: tuple[Callable[[], Lie], tuple[str, ...]],
    present: bool,
    leave_out: Callable[..., list[Tensor]],
) -> None:
    """A lie against the relation that stops it, which is there to be left out."""
    forge, relation = case
    lie = forge()
    dropped = [] if present else leave_out(monkeypatch, *relation)
    attack(monkeypatch, lie, present)
    assert present or dropped


def attack(monkeypatch: pytest.MonkeyPatch, lie: Lie, present: bool) -> None:
    """Prove the lie; the verifier must refuse where the relation is present, else accept."""
    engine, key = setting()
    e = lie.example
    true = forward(e.program, e.weights, lie.tokens[:-1], e.prompt_length)
    assert (answer_of(true) == lie.tokens[e.prompt_length :]) == lie.harmless
    commitment, secret = commit_model(engine, e.program, e.weights, log_columns=9, key=key)
    monkeypatch.setattr(cheating, "CheatingBuilder", Forger)
    proof = cheat(
        monkeypatch,
        engine,
        key,
        e,
        (commitment, secret),
        lie.change,
        lie.tokens,
        lambda found: found.update(lie.details),
    )
    statement = claim(e, lie.tokens, commitment=commitment)
    with pytest.raises(VerificationError) if present else nullcontext():
        verify(engine, statement, proof, key=key)
