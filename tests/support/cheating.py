"""A prover who commits to wrong values: hooks into the circuit's builder, checks switched off."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from veracity.engine.api import Engine, Ints
from veracity.lm.text_decoder import forward, ports_of
from veracity.zk.committed import ArrayId
from veracity.zk.keys import CommitmentKey, key_for
from veracity.zk.projection import limbs_of
from veracity.zk.transcript import ProverTranscript
from veracity.zkml import argument, chain, witness
from veracity.zkml.circuit import build
from veracity.zkml.circuit.builder import Builder
from veracity.zkml.circuit.declared import LookupUse, witness_id
from veracity.zkml.circuit.lookups import LookupPlan, multiplicity_id
from veracity.zkml.circuit.tables import Table
from veracity.zkml.circuit.tensor import Tensor
from veracity.zkml.model import ModelCommitment, ModelOpening, weight_arrays
from veracity.zkml.statement import Statement

Change = Callable[[str, int, np.ndarray], np.ndarray | None]
"""(role, instance, values) -> other values, or None to leave them."""


def _wide(value: Ints) -> Ints:
    """A copy that holds whatever a cheat makes of the integers."""
    return np.array(value, dtype=object if value.dtype == object else np.int64, order="C")


class CheatingBuilder(Builder):
    """Commits to what ``change`` makes of every column and never complains about ranges."""

    def __init__(self, *args: Any, change: Change) -> None:
        super().__init__(*args)
        self._change = change

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
        if value is not None:
            other = self._change(f"{role} of {op}", 0, _wide(value))
            value = value if other is None else other
        super().remainder(op, role, r, value, shift, causal, usual)

    def column(
        self,
        role: str,
        dims: tuple[int, ...],
        value: Ints | None,
        joint: bool = False,
        bounded: bool = False,
        free: bool = False,
    ) -> Tensor:
        name = f"{role}[{'x'.join(map(str, dims))}]"
        found = self.batches.get(witness_id(role, dims))
        instance = 0 if found is None else found.count
        if value is not None:
            other = self._change(name, instance, _wide(value))
            if other is not None and np.array_equal(other, value):
                raise AssertionError(f"the cheat on {name} changes nothing")
            value = value if other is None else other
        return super().column(role, dims, value, joint, bounded, free)

    def lookup(
        self,
        op: str,
        table: Table,
        value: Tensor,
        image: Tensor | None = None,
        causal: bool = False,
    ) -> None:
        unchecked = (replace(t, value=None) if t is not None else None for t in (value, image))
        super().lookup(op, table, *unchecked, causal)  # type: ignore[arg-type]
        self.lookups[-1] = LookupUse(op, table, value, image, causal)

    def limbs(
        self,
        op: str,
        role: str,
        dims: tuple[int, ...],
        value: Ints | None,
        count: int,
        checked: bool = True,
    ) -> Tensor:
        if value is not None:  # keep what fits; whatever does not is the lie
            value = np.asarray(value.astype(object) % (1 << 16 * count))
        return super().limbs(op, role, dims, value, count, checked)


def lenient_multiplicities(_engine: Engine, plan: LookupPlan) -> dict[ArrayId, Ints]:
    """Honest counts for entries that exist; entries that do not are dropped."""
    out = {}
    for table in plan.tables:
        counts = np.zeros(table.size, dtype=np.int64)
        for group in plan.groups:
            for use in group:
                if use.table != table or use.value.value is None:
                    continue
                x = use.value.value
                if use.causal:
                    x = x[..., np.tril(np.ones((x.shape[-1],) * 2, dtype=bool))]
                index = x.reshape(-1).astype(np.int64) - table.low
                index = index[(index >= 0) & (index < table.size)]
                counts += np.bincount(index, minlength=table.size)
        out[multiplicity_id(table)] = counts
    return out


@contextmanager
def cheating(
    monkeypatch: pytest.MonkeyPatch, change: Change, module: Any = build
) -> Iterator[None]:
    """Make whatever builds circuits in ``module`` build a cheater's."""

    def limbs(projection: np.ndarray) -> list[np.ndarray]:
        honest = enumerate(limbs_of(projection))
        changed = [(x, change("projection[128x128]", i, x.astype(np.int64))) for i, x in honest]
        return [x if other is None else other.astype(np.uint16) for x, other in changed]

    with monkeypatch.context() as patch:
        patch.setattr(module, "Builder", lambda *args: CheatingBuilder(*args, change=change))
        patch.setattr(witness, "count_multiplicities", lenient_multiplicities)
        patch.setattr(witness, "limbs_of", limbs)
        yield


def cheat(
    monkeypatch: pytest.MonkeyPatch,
    engine: Engine,
    key: CommitmentKey,
    example: Any,
    files: tuple[ModelCommitment, ModelOpening],
    change: Change,
    tokens: list[int] | None = None,
    details: Callable[[dict[str, dict[str, Ints]]], None] | None = None,
) -> bytes:
    """The proof of a cheating prover for ``tokens`` (by default the true ones)."""
    tokens = example.tokens if tokens is None else tokens
    program, weights, p = example.program, example.weights, example.prompt_length
    trace = forward(program, weights, tokens[:-1], p)
    if details is not None:
        details(trace.details)
    with cheating(monkeypatch, change):
        statement = Statement(program, *ports_of(tokens, p), commitment=files[0])
        (link,) = statement.links
        lie = build.build_circuit(statement, link, weights, trace)
        transcript = ProverTranscript(chain.PROTOCOL, chain.link_statement(statement, link, {}))
        model = weight_arrays(engine, program, weights, files)
        argument.prove_circuit(engine, key_for(engine, lie.row_bits, key), lie, model, transcript)
    return transcript.finish()
