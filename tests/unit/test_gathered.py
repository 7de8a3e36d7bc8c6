"""What verifiers of several proofs absorb, read and hand to the one check at their end.

The argument about a circuit is replaced by one that notes that it was asked for, so that everything
around it can be wrong in one thing only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Any

import pytest

from tests.support.training import small_recipe
from tests.unit.test_hostile_statements import HONEST, PROGRAM, commitment
from veracity.engine import load_engine
from veracity.errors import FormatError, UsageError, VerificationError
from veracity.graph.training.program import program_of
from veracity.zk.keys import load_key
from veracity.zkml import ModelCommitment, chain, exact_widths, well_formed
from veracity.zkml.committed import CommittedTensor
from veracity.zkml.model import choose_log_columns
from veracity.zkml.training import data as forms
from veracity.zkml.training import run as runs
from veracity.zkml.training.data import DataCommitment
from veracity.zkml.training.run import Run, RunProof, verify_run
from veracity.zkml.training.state import state_specs

ENGINE = load_engine("cpu")


@dataclass
class Gathered:
    """What was asked for, in order, and what came to the check at the end."""

    circuits: list[object] = field(default_factory=list)
    absorbed: list[bytes] = field(default_factory=list)
    equations: list[object] = field(default_factory=list)
    states: list[bytes] = field(default_factory=list)
    checked: int = 0


def gather(patch: pytest.MonkeyPatch, module: ModuleType) -> Gathered:
    found = Gathered()

    def verify_circuit(_e: Any, _k: Any, circuit: object, _p: Any, transcript: Any) -> object:
        found.circuits.append(circuit)
        found.absorbed.append(transcript.state())
        return circuit

    def batch_challenge(_premise: bytes, states: list[bytes]) -> int:
        found.states = list(states)
        return 7

    def require_all(_e: Any, _k: Any, equations: list[object], rho: int) -> None:
        found.equations = list(equations)
        found.checked += rho

    patch.setattr(module, "verify_circuit", verify_circuit)
    patch.setattr(module, "batch_challenge", batch_challenge)
    patch.setattr(module, "require_all", require_all)
    return found


RECIPE = small_recipe(steps=5)
ROWS = DataCommitment(8, 3, bytes(32 * 6), "toys")
RUN = Run(RECIPE, (ROWS,), window=2)
KEY = load_key(ENGINE, RUN.log_columns)
TRAINED = program_of(RECIPE)
LENGTH = choose_log_columns(TRAINED)
MODEL = commitment(TRAINED, bits=LENGTH)
CUT = bytes(32 * sum(s.rows for s in state_specs(RECIPE, RECIPE.steps).values()))
PROOF = RunProof([CUT] * 3, [b""] * 3, [b""])


def verify_links(proof: bytes = b"") -> None:
    cut = replace(HONEST, cuts=(1, 3))
    rows = sum(cut.boundary_spec(name).rows for link in cut.links for name in chain.sent(cut, link))
    chain.verify(ENGINE, cut, bytes(32 * rows) + proof)


def verify_widths(proof: bytes = b"") -> None:
    exact_widths.verify_widths(ENGINE, PROGRAM, HONEST.commitment, proof, limit=16)


def verify_well(proof: bytes = b"") -> None:
    well_formed.verify_well_formed(ENGINE, PROGRAM, HONEST.commitment, proof)


def verify_form(proof: bytes = b"") -> None:
    forms.verify_form(ENGINE, load_key(ENGINE, 12), ROWS, [b""] * (len(RANGES) - 1) + [proof])


def verify_windows(proof: bytes = b"") -> None:
    verify_run(ENGINE, KEY, RUN, MODEL, replace(PROOF, windows=[b"", b"", proof]))


def verify_rounding(proof: bytes = b"") -> None:
    verify_run(ENGINE, KEY, RUN, MODEL, replace(PROOF, roundings=[proof]))


RANGES = list(forms.form_ranges(ROWS))
VERIFIERS = [
    (chain, verify_links, 3),
    (exact_widths, verify_widths, len(exact_widths.parts_of(PROGRAM, 16))),
    (well_formed, verify_well, 1),
    (forms, verify_form, len(RANGES)),
    (runs, verify_windows, 4),
    (runs, verify_rounding, 4),
]


@pytest.mark.parametrize(("module", "verify", "count"), VERIFIERS)
def test_every_equation_and_every_transcript_come_to_the_end(
    monkeypatch: pytest.MonkeyPatch, module: ModuleType, verify: Callable[..., None], count: int
) -> None:
    found = gather(monkeypatch, module)
    verify()
    assert len(found.circuits) == count
    assert found.equations == found.circuits
    assert found.states == found.absorbed
    assert len(set(found.states)) == count
    assert found.checked == 7
    with pytest.raises(FormatError, match=r"left over|too many"):
        verify(b"x")
    assert found.checked == 7


# ---- windows of a run ----------------------------------------------------------------------------
def test_runs_whose_parts_do_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    found = gather(monkeypatch, runs)
    other = replace(MODEL, program_digest=bytes(32))
    longer = commitment(TRAINED, bits=LENGTH + 1)
    assert isinstance(longer, ModelCommitment)
    cases: list[tuple[type[Exception], str, Run, ModelCommitment, RunProof]] = [
        (VerificationError, "1 to 256 steps", replace(RUN, window=0), MODEL, PROOF),
        (VerificationError, "another program", RUN, other, PROOF),
        (VerificationError, "another row length", RUN, longer, PROOF),
        (FormatError, "number of windows", RUN, MODEL, replace(PROOF, windows=[b""] * 2)),
        (FormatError, "number of windows", RUN, MODEL, replace(PROOF, cuts=[CUT] * 4)),
        (FormatError, "number of roundings", RUN, MODEL, replace(PROOF, roundings=[])),
        (FormatError, "number of roundings", RUN, MODEL, replace(PROOF, roundings=[b""] * 2)),
        (FormatError, "window 3: its rows", RUN, MODEL, replace(PROOF, cuts=[CUT, CUT, CUT[:-32]])),
        (FormatError, "window 1: its rows", RUN, MODEL, replace(PROOF, cuts=[CUT + CUT, CUT, CUT])),
        (FormatError, "program's weights", RUN, replace(MODEL, rows=MODEL.rows[:-32]), PROOF),
    ]
    for error, words, run, model, proof in cases:
        with pytest.raises(error, match=words):
            verify_run(ENGINE, KEY, run, model, proof)
    assert not found.circuits


Tensors = dict[str, CommittedTensor]


def tensors(specs: Any, byte: int = 0) -> Tensors:
    return {n: CommittedTensor(s, bytes([byte]) * 32 * s.rows) for n, s in specs.items()}


def test_every_part_of_a_window_is_absorbed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Premise, steps, examples, and names, layouts and rows of all weights, each changed alone."""
    start, state = tensors(runs.weight_specs(RECIPE)), tensors(state_specs(RECIPE, 2))
    name = next(iter(state))
    finer = replace(state[name], spec=replace(state[name].spec, exponent=1))
    others = {"rows": {**state, name: tensors(state_specs(RECIPE, 2), 1)[name]}}
    others["layout"] = {**state, name: finer}
    whole = RUN.window_statement(start, (2, 4), state, state)
    found = [
        whole,
        replace(RUN, beacon=b"x").window_statement(start, (2, 4), state, state),
        RUN.window_statement(start, (0, 2), state, state),
        RUN.window_statement(start, (2, 3), state, state),
        *(RUN.window_statement(start, (2, 4), other, state) for other in others.values()),
        *(RUN.window_statement(start, (2, 4), state, other) for other in others.values()),
    ]
    examples = RUN.examples(start, 2, 4)
    for changed in (
        replace(examples, data=b"\1" + examples.data[1:]),
        replace(examples, spec=replace(examples.spec, exponent=1)),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(Run, "examples", lambda *_, changed=changed: changed)
            found.append(RUN.window_statement(start, (2, 4), state, state))
    with monkeypatch.context() as patch:
        patch.setattr(runs, "state_specs", lambda recipe, at: {f"{n}'": 0 for n in state})
        renamed = {f"{n}'": t for n, t in state.items()}
        found.append(RUN.window_statement(start, (2, 4), renamed, renamed))
    assert len(set(found)) == len(found)
    assert RUN.window_statement(start, (2, 4), state, state) == whole


def test_every_part_of_the_rounding_is_absorbed(monkeypatch: pytest.MonkeyPatch) -> None:
    start = tensors(runs.weight_specs(RECIPE))
    name = next(iter(start))
    finer = {**start, name: replace(start[name], spec=replace(start[name].spec, exponent=1))}
    found = [
        RUN.rounding_statement(start, start, MODEL, (0, 4)),
        RUN.rounding_statement(start, start, MODEL, (0, 5)),
        RUN.rounding_statement(start, start, MODEL, (1, 4)),
        replace(RUN, beacon=b"x").rounding_statement(start, start, MODEL, (0, 4)),
        RUN.rounding_statement(start, start, replace(MODEL, rows=b"\1" + MODEL.rows[1:]), (0, 4)),
        RUN.rounding_statement(start, tensors(runs.weight_specs(RECIPE), 1), MODEL, (0, 4)),
        RUN.rounding_statement(start, finer, MODEL, (0, 4)),
    ]
    with monkeypatch.context() as patch:
        patch.setattr(runs, "weight_specs", lambda recipe: {f"{n}'": 0 for n in start})
        renamed = {f"{n}'": t for n, t in start.items()}
        patch.setattr(runs, "_head", lambda *_: [])
        found.append(RUN.rounding_statement(start, renamed, MODEL, (0, 4)))
        patch.setattr(runs, "weight_specs", lambda recipe: dict.fromkeys(start, 0))
        found.append(RUN.rounding_statement(start, start, MODEL, (0, 4)))
    assert len(set(found)) == len(found)


# ---- runs that are none --------------------------------------------------------------------------
def data(**changes: Any) -> tuple[DataCommitment, ...]:
    return (replace(ROWS, **changes),)


MOMENTUM = replace(RECIPE, settle=2, momentum_bits=4, momentum=(16, 8, 4))


class Elsewhere:
    """A model to start from that does not fit."""

    commitment = replace(MODEL, log_columns=4)

    def check(self, recipe: object) -> None:
        raise UsageError("the model to start from has other dims")


@pytest.mark.parametrize(
    ("error", "words", "changes"),
    [
        (UsageError, "1 to 4096 examples", {"recipe": replace(RECIPE, batch=0)}),
        (UsageError, "a run needs data", {"data": ()}),
        (FormatError, "no whole number of rows", {"data": data(rows=bytes(32 * 6 + 1))}),
        (UsageError, "other dims than", {"data": data(inputs=9)}),
        (UsageError, "other dims than", {"data": data(classes=4)}),
        (UsageError, "named twice", {"data": (ROWS, replace(ROWS, label="again"))}),
        (UsageError, "1 to 256 steps", {"window": 0}),
        (UsageError, "1 to 256 steps", {"window": 257}),
        (UsageError, "rows of a window have", {"log_columns": 3}),
        (UsageError, "rows of a window have", {"log_columns": 40}),
        (UsageError, "fewer examples than a batch", {"data": data(rows=bytes(32 * 3))}),
        (UsageError, "has other dims", {"base": Elsewhere()}),
        (UsageError, "whole blocks of 2", {"recipe": MOMENTUM, "window": 3}),
    ],
)  # fmt: skip
def test_runs_that_are_none(error: type[Exception], words: str, changes: dict[str, Any]) -> None:
    RUN.check()
    replace(RUN, recipe=MOMENTUM).check()
    with pytest.raises(error, match=words):
        replace(RUN, **changes).check()


@pytest.mark.parametrize(
    ("words", "changes"),
    [
        ("whole number of rows", {"rows": b""}),
        ("whole number of rows", {"rows": bytes(33)}),
        ("dims of an example", {"inputs": 0}),
        ("dims of an example", {"inputs": (1 << 15) + 1}),
        ("dims of an example", {"classes": 1}),
        ("dims of an example", {"classes": (1 << 15) + 1}),
    ],
)
def test_data_commitments_that_are_none(words: str, changes: dict[str, Any]) -> None:
    replace(ROWS, inputs=1 << 15, classes=1 << 15).check()
    replace(ROWS, inputs=1, classes=2).check()
    with pytest.raises(FormatError, match=words):
        replace(ROWS, **changes).check()


def test_data_commitments_that_are_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forms, "_MOST_ROWS", ROWS.examples)
    ROWS.check()
    with pytest.raises(FormatError, match="whole number of rows"):
        replace(ROWS, rows=ROWS.rows + bytes(32)).check()


# ---- arguments about weights and rows ------------------------------------------------------------
def test_arguments_about_another_program(monkeypatch: pytest.MonkeyPatch) -> None:
    other = replace(HONEST.commitment, program_digest=bytes(32))
    for module, verify in (
        (exact_widths, exact_widths.verify_widths),
        (well_formed, well_formed.verify_well_formed),
    ):
        found = gather(monkeypatch, module)
        with pytest.raises(VerificationError, match="another program"):
            verify(ENGINE, PROGRAM, other, b"")
        assert not found.circuits


@pytest.mark.parametrize("count", [0, 2])
def test_forms_of_another_number_of_links(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    gather(monkeypatch, forms)
    with pytest.raises(FormatError, match="another number of links"):
        forms.verify_form(ENGINE, load_key(ENGINE, 12), ROWS, [b""] * (len(RANGES) - 1 + count))
    with pytest.raises(FormatError, match="dims of an example"):
        forms.verify_form(ENGINE, load_key(ENGINE, 12), replace(ROWS, inputs=0), [b""])
