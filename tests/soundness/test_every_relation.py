"""Every relation of a circuit is checked: off by a public constant, each one alone is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.support.cheating import lenient_multiplicities
from tests.support.programs import claim, sliding, small_model
from tests.support.toy import require
from veracity.engine import load_engine
from veracity.errors import VerificationError
from veracity.lm.text_decoder import forward
from veracity.zk.keys import load_key
from veracity.zk.transcript import ProverTranscript, VerifierTranscript
from veracity.zkml import argument, commit_model, witness
from veracity.zkml.circuit.build import Circuit, build_circuit
from veracity.zkml.circuit.tensor import Tensor
from veracity.zkml.model import weight_arrays
from veracity.zkml.ops import causal_grid

OFFSET = 1 << 20


def moved(tensor: Tensor, by: int) -> Tensor:
    """The tensor plus a constant; for the prover with its integers."""
    out = tensor.bare() + Tensor.constant(by, tensor.dims, proving=False)
    if tensor.value is None:
        return out
    return replace(out, value=np.asarray(tensor.value).astype(np.int64) + by)


def with_lie(circuit: Circuit, kind: str, group: int, index: int) -> Circuit:
    """The circuit with one relation changed; prover and verifier change it alike."""
    if kind == "identity":
        circuit.builder.zeros[index] = moved(circuit.builder.zeros[index], 1)
        return circuit
    uses: Any = circuit.plan.groups[group]
    use = uses[index]
    field = "value" if kind == "value" else "image"
    uses[index] = replace(use, **{field: moved(getattr(use, field), OFFSET)})
    return circuit


def lies_of(circuit: Circuit, every: bool) -> dict[object, tuple[str, int, int]]:
    """All of them, or the last one of each form."""
    lies: dict[object, tuple[str, int, int]] = {}
    for i, zero in enumerate(circuit.builder.zeros):
        forms = {type(source).__name__ for source, _ in zero.terms}
        lies[i if every else (zero.dims, frozenset(forms))] = ("identity", 0, i)
    for g, uses in enumerate(circuit.plan.groups):
        for i, use in enumerate(uses):
            if use.op != "projection":  # its integers come later: tests/soundness/test_projection
                name = (g, i) if every else (use.value.dims, use.causal, use.table.name)
                lies["value", name] = ("value", g, i)
                if use.image is not None:
                    lies["image", name] = ("image", g, i)
    return lies


@pytest.mark.parametrize(
    "style",
    ["llama", "gpt2", "blocks", "sliding", pytest.param("adjusted", marks=pytest.mark.slow)],
)
@pytest.mark.parametrize(
    "every", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["forms", "all"]
)
def test_each_relation_alone(style: str, every: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them in the slow test; here the last one of each form."""
    monkeypatch.setattr(witness, "count_multiplicities", lenient_multiplicities)
    engine = load_engine("cpu")
    if style in ("blocks", "sliding"):  # of five tokens, in stretches of two
        monkeypatch.setattr(causal_grid, "LONG", 2)
        e = sliding(0) if style == "sliding" else small_model("llama", layers=1, prompt=4)
    else:
        e = small_model(style, layers=1)
    key = load_key(engine, 9)
    commitment, secret = commit_model(engine, e.program, e.weights, log_columns=9, key=key)
    statement = claim(e, commitment=commitment)
    (link,) = statement.links
    trace = forward(e.program, e.weights, e.tokens[:-1], e.prompt_length)
    model = weight_arrays(engine, e.program, e.weights, (commitment, secret))
    points = commitment.points(engine, e.program)

    def attempt(*lie: Any) -> None:
        mine = build_circuit(statement, link, e.weights, trace)
        theirs = build_circuit(statement, link)
        if lie:
            mine, theirs = with_lie(mine, *lie), with_lie(theirs, *lie)
        transcript = ProverTranscript("relations", b"")
        argument.prove_circuit(engine, key, mine, model, transcript)
        reader = VerifierTranscript("relations", b"", transcript.finish())
        require(engine, key, argument.verify_circuit(engine, key, theirs, points, reader))

    attempt()
    lies = lies_of(build_circuit(statement, link), every)
    assert len(lies) > (70 if every else 20)
    if style == "blocks" and not every:  # what squares that are not cut have, too, is llama's
        monkeypatch.undo()
        whole = lies_of(build_circuit(statement, link), every)
        monkeypatch.setattr(witness, "count_multiplicities", lenient_multiplicities)
        monkeypatch.setattr(causal_grid, "LONG", 2)
        lies = {form: lie for form, lie in lies.items() if form not in whole}
        assert len(lies) > 5
    for lie in lies.values():
        with pytest.raises(VerificationError):
            attempt(*lie)
