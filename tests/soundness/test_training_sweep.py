"""Every message of a proof of training is bound; no two proofs share one.

Everyday: one message of each kind. The slow test takes all of them, at three places each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import pytest

from tests.support.pictures import executed_pictures, settled_recipe
from tests.support.training import ENGINE, KEY, Trained, window_proof
from tests.support.training_lies import (
    executed,
    prove_published,
    verify_published,
    verify_window,
)
from veracity.errors import FormatError, VerificationError
from veracity.zk.transcript import ProverTranscript, Span
from veracity.zkml.training import data as forms
from veracity.zkml.training import run as runs
from veracity.zkml.training.data import prove_form, verify_form
from veracity.zkml.training.rounding import rounded_weights

REJECTED = (FormatError, VerificationError)
KINDS = [
    "window",
    pytest.param("window of the square loss", marks=pytest.mark.slow),
    pytest.param("window of pictures", marks=pytest.mark.slow),
    "rounding",
    "form",
]


@dataclass(frozen=True)
class Made:
    """A proof with the place of every message, and its verifier."""

    proof: bytes
    spans: list[Span]
    verify: Callable[[bytes], None]


def spans_of(prove: Callable[[], bytes]) -> tuple[bytes, list[Span]]:
    """The messages of the one transcript that a prover writes."""
    written: list[ProverTranscript] = []

    class Kept(ProverTranscript):
        def __init__(self, protocol: str, statement: bytes) -> None:
            super().__init__(protocol, statement)
            written.append(self)

    with pytest.MonkeyPatch.context() as patch:
        for module in (runs, forms):
            patch.setattr(module, "ProverTranscript", Kept)
        proof = prove()
    (transcript,) = written
    return proof, transcript.spans


def make(kind: str, trained: Trained) -> Made:
    """A proof of one kind about the first window of a run, its end or its data."""
    if kind.startswith("window"):
        proof, spans = spans_of(lambda: window_proof(trained, 0))
        return Made(proof, spans, lambda p: verify_window(trained, 0, p))
    if kind == "rounding":
        published = rounded_weights(trained.run.recipe, trained.states[-1])
        files = []

        def prove() -> bytes:
            found, proof = prove_published(trained, published)
            files.append(found)
            return proof

        proof, spans = spans_of(prove)
        return Made(proof, spans, lambda p: verify_published(trained, files[0][0], p))
    (data,) = trained.run.data
    proof, spans = spans_of(
        lambda: prove_form(ENGINE, KEY, data, trained.examples, trained.seed)[0]
    )
    return Made(proof, spans, lambda p: verify_form(ENGINE, KEY, data, [p]))


@pytest.fixture(scope="module", params=KINDS)
def made(request: pytest.FixtureRequest) -> tuple[str, Trained, Made]:
    loss = "square" if "square" in request.param else "cross_entropy"
    pictures = "pictures" in request.param
    trained = executed_pictures(settled_recipe()) if pictures else executed(loss=loss)
    return request.param, trained, make(request.param, trained)


def refused(made: Made, at: int) -> None:
    """The proof with one bit changed."""
    broken = bytearray(made.proof)
    broken[at] ^= 4
    with pytest.raises(REJECTED):
        made.verify(bytes(broken))
        raise AssertionError(f"byte {at} does not matter")


def test_one_message_of_each_kind(made: tuple[str, Trained, Made]) -> None:
    kind, _, found = made
    found.verify(found.proof)
    assert found.spans[0].start == 0
    assert found.spans[-1].stop == len(found.proof)
    assert all(a.stop == b.start for a, b in pairwise(found.spans))
    chosen = found.spans[::40]
    if kind == "window":
        rows = ("witness", "multiplicity")  # many arrays, read in one way
        kinds = {next((r for r in rows if s.label.startswith(r)), s.label): s for s in found.spans}
        chosen = list(kinds.values())
    for span in chosen:
        refused(found, span.start)
    for bad in (found.proof[:-1], found.proof + b"\0", found.proof[:32], b""):
        with pytest.raises(REJECTED):
            found.verify(bad)


@pytest.mark.slow
def test_every_message(made: tuple[str, Trained, Made]) -> None:
    _, _, found = made
    for span in found.spans:
        for at in {span.start, (span.start + span.stop) // 2, span.stop - 1}:
            refused(found, at)


def test_two_proofs_share_no_message(made: tuple[str, Trained, Made]) -> None:
    kind, trained, one = made
    two = make(kind, trained)
    assert [s.label for s in one.spans] == [s.label for s in two.spans]
    for span in one.spans:
        part = slice(span.start, span.stop)
        assert one.proof[part] != two.proof[part], span.label
