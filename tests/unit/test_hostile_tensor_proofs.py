"""What is asked of proofs about tensors and accuracy before their argument is looked at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.support.network_files import network_file
from tests.support.toy_vision import network
from tests.unit.test_formats import COMMITMENT as DECODER
from veracity.errors import FormatError, MismatchError, UsageError, VerificationError
from veracity.formats.accuracy import AccuracyProof
from veracity.formats.commitment import Commitment, Metadata
from veracity.formats.examples import Examples
from veracity.formats.seal import Seal
from veracity.formats.tensor_proof import TensorProof, values_digest
from veracity.proving import verify_accuracy as accurately
from veracity.proving import verify_tensors as verifying
from veracity.text.table import TokenTable
from veracity.zkml import ModelCommitment
from veracity.zkml.committed import CommittedTensor, TensorSpec

TOY = network()
PROGRAM = TOY.program
TABLE = TokenTable((), frozenset())
METADATA = Metadata(
    source=dict(network_file().source),
    parameters=111,
    program_digest=PROGRAM.digest,
    tokenizer_digest=TABLE.digest,
    quantisation={},
    calibration={},
    accuracy={},
    frames={},
    stop_ids=(),
    package_version="0",
)
MODEL = ModelCommitment(12, bytes.fromhex(PROGRAM.digest), bytes(32))
PINNED = Commitment(METADATA, PROGRAM, TABLE, MODEL)
X = TOY.inputs["x"] / 256
SCORES, CLASS = (np.asarray(TOY.trace.outputs[n]) for n in ("scores", "class"))
OUTPUTS = {"scores": np.ldexp(SCORES, -PROGRAM.outputs["scores"].exponent), "class": CLASS}
PROOF = TensorProof(
    PINNED.digest,
    {"x": values_digest(np.asarray(TOY.inputs["x"], dtype=np.int64))},
    {"scores": values_digest(SCORES), "class": values_digest(CLASS)},
    b"argument",
    context="case 7",
)
PORT = PROGRAM.inputs["x"]
SEALED = Seal(
    CommittedTensor(TensorSpec(PORT.dims, PORT.exponent, PORT.low, PORT.high, 12), bytes(32))
)


@pytest.fixture
def accepted(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every argument is taken for proved; what was to be shown of each."""
    calls: list[Any] = []
    for module in (verifying, accurately):
        monkeypatch.setattr(module, "discharge", lambda *given, **_: calls.append(given[2]))
    return calls


def verify(
    proof: TensorProof = PROOF, pinned: Commitment = PINNED, x: Any = X, y: Any = None, **rest: Any
) -> Any:
    y = OUTPUTS if y is None else y
    return verifying.verify_tensors(proof, pinned, x, y, backend="reference", **rest)


def test_a_proof_about_tensors_as_expected(accepted: list[Any]) -> None:
    assert verify(context="case 7", digest=PINNED.digest).rounding == {"x": 0.0}
    hidden = replace(PROOF, inputs={"x": SEALED.tensor.digest}, sealed=frozenset("x"))
    assert verify(hidden, x=SEALED).sealed == {"x"}
    assert [s.committed for s in accepted] == [None, None]
    assert accepted[1].inputs == {"x": SEALED.tensor}


ARGUMENTS = [
    ({"digest": 7}, "'digest' must be str"),
    ({"context": 7}, "'context' must be str"),
    ({"threads": 0}, "'threads' is 0"),
    ({"progress": 7}, "'progress' must be a function"),
    ({"context": "x" * 4097}, "at most 4096 are allowed"),
    ({"digest": "00"}, "the digest is not one"),
]


@pytest.mark.parametrize(("change", "match"), ARGUMENTS)
def test_arguments_that_cannot_be(accepted: list[Any], change: dict[str, Any], match: str) -> None:
    for check in (verify, count):
        with pytest.raises(UsageError, match=match):
            check(**change)
    assert not accepted


def without(name: str) -> TensorProof:
    return replace(PROOF, outputs={n: d for n, d in PROOF.outputs.items() if n != name})


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"proof": replace(PROOF, commitment_digest="00" * 32)}, "made for another commitment"),
        ({"digest": "00" * 32}, "not the one announced"),
        ({"proof": replace(PROOF, inputs={"x": bytes(32)})}, "of another input x"),
        ({"proof": without("class")}, "of another output class"),
        ({"proof": replace(PROOF, inputs={**PROOF.inputs, "z": bytes(32)})}, "of other inputs"),
        ({"proof": replace(PROOF, outputs={**PROOF.outputs, "z": bytes(32)})}, "of other outputs"),
        ({"proof": replace(PROOF, sealed=frozenset("x"))}, "input x is sealed: give its seal"),
        ({"x": SEALED}, "input x is not sealed in this proof"),
        ({"x": X + 1 / 256}, "of another input x"),
        ({"y": OUTPUTS | {"scores": OUTPUTS["scores"] + 2.0**-40}}, "cannot give"),
        ({"y": OUTPUTS | {"scores": OUTPUTS["scores"] * np.inf}}, "cannot give"),
        ({"y": OUTPUTS | {"scores": OUTPUTS["scores"] * np.nan}}, "cannot give"),
        ({"y": OUTPUTS | {"class": CLASS + 2.0**53}}, "cannot give"),
    ],
)
def test_proofs_of_something_else(accepted: list[Any], change: dict[str, Any], match: str) -> None:
    with np.errstate(invalid="ignore"), pytest.raises(VerificationError, match=match):
        verify(**change)
    assert not accepted


@pytest.mark.parametrize("log_columns", [0, 60])
def test_networks_that_cannot_be(accepted: list[Any], log_columns: int) -> None:
    for check in (verify, count):
        short = replace(PINNED, model=replace(MODEL, log_columns=log_columns))
        with pytest.raises(FormatError, match="row length out of bounds"):
            check(pinned=short)
        with pytest.raises(FormatError, match="is a language model"):
            check(pinned=DECODER)
    assert not accepted


def test_true_proofs_of_another_context(accepted: list[Any]) -> None:
    for check in (verify, count):
        assert check(context="case 7").context == "case 7"
        with pytest.raises(MismatchError, match="context"):
            check(context="case 8")
    assert len(accepted) == 4


# --- accuracy

EXAMPLES = Examples({"x": np.stack([X, X])}, np.array([0, 1]))
ANSWERS = AccuracyProof(
    PINNED.digest, EXAMPLES.digest, "class", np.array([1, 1]), b"argument", context="case 7"
)


def count(proof: AccuracyProof = ANSWERS, pinned: Commitment = PINNED, **rest: Any) -> Any:
    rest = {"examples": EXAMPLES, "backend": "reference", **rest}
    return accurately.verify_accuracy(proof, pinned, **rest)


@pytest.mark.parametrize("output", [7, b"class", ["class"]])
def test_outputs_are_named(accepted: list[Any], output: Any) -> None:
    with pytest.raises(UsageError, match="'output' must be str"):
        count(output=output)
    assert not accepted


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_numbers_are_finite(accepted: list[Any], number: float) -> None:
    x = X + 0.0
    x[0] = number
    with pytest.raises(VerificationError, match="x: a number is not finite"):
        verify(x=x)
    assert not accepted


def test_right_answers_are_counted(accepted: list[Any]) -> None:
    found = count()
    assert (found.correct, found.samples) == (1, 2)
    assert accepted[0].committed == PROGRAM


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"proof": replace(ANSWERS, commitment_digest="00" * 32)}, "made for another commitment"),
        ({"digest": "00" * 32}, "not the one announced"),
        ({"proof": replace(ANSWERS, examples_digest="00" * 32)}, "about other examples"),
        ({"proof": replace(ANSWERS, answers=np.array([1]))}, "about other examples"),
        ({"proof": replace(ANSWERS, answers=np.array([1, 65535]))}, "cannot give"),
        ({"proof": replace(ANSWERS, output="nothing")}, "which output has the scores"),
    ],
)
def test_accuracy_of_something_else(
    accepted: list[Any], change: dict[str, Any], match: str
) -> None:
    with pytest.raises(VerificationError, match=match):
        count(**change)
    assert not accepted


def test_readers(accepted: list[Any]) -> None:
    read: Callable[[], object]
    for read in (lambda: verify(proof=b""), lambda: count(proof=b"")):  # type: ignore[arg-type]
        with pytest.raises(FormatError, match="not a Veracity proof"):
            read()
    assert not accepted
