"""Proved accuracy: answers to public examples by way of files; every lie about them is refused."""

from __future__ import annotations

import io
import json
import tracemalloc
import zipfile
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import veracity
from tests.support.network_files import save_network
from tests.support.toy_vision import network
from veracity.cli import main
from veracity.errors import FormatError, MismatchError, UsageError, VerificationError
from veracity.formats import examples
from veracity.formats.accuracy import AccuracyProof
from veracity.formats.examples import Examples, read_examples
from veracity.formats.npy import array_bytes
from veracity.graph import execute
from veracity.proving import verify_accuracy as verifier

SAMPLES = 6


class Tried:
    """A committed network, labelled examples, and a proof of its answers."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.program = folder, save_network(folder)
        self.commitment, self.secret = veracity.commit(self.program)
        self.secret.save_pair(folder / "toy.vsec", folder / "toy.vcom")
        toy = network()
        rng = np.random.default_rng(2)
        self.x = rng.integers(-99, 300, (SAMPLES, 2, 6, 7))
        true = [execute(toy.program, toy.weights, {"x": x}).outputs["class"][0] for x in self.x]
        self.true = np.array(true)
        labels = self.true.copy()
        labels[:2] = (labels[:2] + 1) % 5
        self.examples = Examples({"x": self.x / 256}, labels)
        self.found = veracity.evaluate(
            self.program, self.examples, secret=self.secret, output="scores", context="fair"
        )
        assert self.found.proof is not None
        self.proof = self.found.proof

    def verify(self, proof: AccuracyProof | None = None, **rest: Any) -> veracity.VerifiedAccuracy:
        examples = rest.pop("examples", self.examples)
        return veracity.verify_accuracy(proof or self.proof, self.commitment, examples, **rest)


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> Tried:
    return Tried(tmp_path_factory.mktemp("accuracy"))


def test_right_answers_are_counted_and_proved(tried: Tried) -> None:
    assert (tried.found.correct, tried.found.samples) == (SAMPLES - 2, SAMPLES)
    assert np.array_equal(tried.found.answers, tried.true)
    found = tried.verify(context="fair")
    assert (found.correct, found.samples) == (SAMPLES - 2, SAMPLES)
    right = tried.true == tried.examples.labels
    assert found.right_by_class == {
        c: (int(right[tried.examples.labels == c].sum()), tried.examples.labels.tolist().count(c))
        for c in sorted(set(tried.examples.labels.tolist()))
    }
    assert found.examples_digest == tried.examples.digest
    assert "may look different" in found.to_plain()["not_proved"]
    alone = veracity.evaluate(tried.program, tried.examples, output="class")
    assert alone.proof is None
    assert np.array_equal(alone.answers, tried.true)


@pytest.mark.slow
def test_a_proof_in_links_and_processes(tried: Tried) -> None:
    made = veracity.evaluate(
        tried.program, tried.examples, secret=tried.secret, output="class", jobs=2
    )
    assert made.proof is not None
    assert made.proof.cuts
    assert tried.verify(made.proof).correct == SAMPLES - 2


@pytest.mark.parametrize("checked", [True, False], ids=["refused", "counted without the proof"])
def test_better_answers_than_the_networks(
    tried: Tried, checked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The labels themselves given as answers, everything else in the file fitted to them."""
    lie = replace(tried.proof, answers=tried.examples.labels)
    if checked:
        with pytest.raises(VerificationError, match="does not show"):
            tried.verify(lie)
        return
    monkeypatch.setattr(verifier.zkml, "verify", lambda *_: None)
    assert tried.verify(lie).correct == SAMPLES


@pytest.mark.parametrize("bound", [True, False], ids=["refused", "accepted without"])
def test_other_labels_than_the_proof_was_made_with(
    tried: Tried, bound: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A test set relabelled so that every answer is right: the digest in the context differs."""
    other = replace(tried.examples, labels=tried.true)
    lie = replace(tried.proof, examples_digest=other.digest)
    with pytest.raises(VerificationError, match="other examples"):
        tried.verify(examples=other)
    if not bound:
        honest = verifier.accuracy_context(tried.proof)
        monkeypatch.setattr(verifier, "accuracy_context", lambda _: honest)
        assert tried.verify(lie, examples=other).correct == SAMPLES
        return
    with pytest.raises(VerificationError, match="does not show"):
        tried.verify(lie, examples=other)


def test_other_examples_and_other_orders(tried: Tried) -> None:
    order = np.array([1, 0, *range(2, SAMPLES)])
    swapped = Examples({"x": tried.x[order] / 256}, tried.examples.labels[order])
    for other in (swapped, tried.examples.first(SAMPLES - 1)):
        with pytest.raises(VerificationError, match="other examples"):
            tried.verify(examples=other)
        fitted = replace(
            tried.proof, examples_digest=other.digest, answers=tried.true[: other.count]
        )
        with pytest.raises(VerificationError):
            tried.verify(fitted, examples=other)


def test_a_proof_says_which_output_it_counts(tried: Tried) -> None:
    """Of several outputs whoever proves might take the one that is right more often."""
    assert tried.verify().output == "scores"
    assert tried.verify(output="scores").to_plain()["output"] == "scores"
    with pytest.raises(MismatchError, match="output"):
        tried.verify(output="class")


def test_what_else_is_refused(tried: Tried) -> None:
    other_digest = replace(tried.proof, commitment_digest="ab" * 32)
    for lie in (
        other_digest,
        replace(tried.proof, output="class"),
        replace(tried.proof, output=""),
        replace(tried.proof, output="nothing"),
        replace(tried.proof, context="other"),
        replace(tried.proof, answers=tried.true + 5),
        replace(tried.proof, cuts=(1,)),
        replace(tried.proof, argument=tried.proof.argument[:-1]),
    ):
        with pytest.raises(VerificationError):
            tried.verify(lie)
    with pytest.raises(MismatchError):
        tried.verify(context="other")
    wrong = replace(tried.examples, labels=tried.examples.labels + 5)
    with pytest.raises(UsageError, match="label"):
        veracity.evaluate(tried.program, wrong, output="scores")
    with pytest.raises(UsageError, match="inputs"):
        two = replace(tried.examples, inputs={"a": tried.x, "b": tried.x})
        veracity.evaluate(tried.program, two, output="scores")
    with pytest.raises(VerificationError, match="announced"):
        tried.verify(digest="ab" * 32)


def test_the_command_line(tried: Tried) -> None:
    folder, run = tried.folder, CliRunner()
    test_set, proof = folder / "test.npz", folder / "accuracy.vproof"
    np.savez_compressed(test_set, x=tried.x / 256, y=tried.examples.labels)
    ask = ["evaluate", str(tried.program), "--samples", str(test_set), "--output", "scores", "-q"]
    told = run.invoke(main, ask)
    assert told.exit_code == 0, told.output
    assert "4 of 6" in told.output
    assert "nothing; --prove" in told.output
    assert run.invoke(main, [*ask, "--context", "x"]).exit_code == 2
    made = run.invoke(main, [*ask, "--prove", "--out", str(proof), "--json"])
    assert made.exit_code == 0, made.output
    assert json.loads(made.output)["correct"] == 4
    check = ["verify", str(proof), "--commitment", str(folder / "toy.vcom"), "-q"]
    done = run.invoke(main, [*check, "--samples", str(test_set)])
    assert done.exit_code == 0, done.output
    for word in (
        "ACCEPTED",
        "4 of 6",
        "output scores",
        "may look different",
        tried.examples.digest[:16],
    ):
        assert word in done.output
    assert run.invoke(main, check).exit_code == 2
    named = [*check, "--samples", str(test_set), "--output"]
    assert run.invoke(main, [*named, "scores"]).exit_code == 0
    assert run.invoke(main, [*named, "class"]).exit_code == 1
    np.savez(test_set, x=tried.x / 256, y=tried.true)
    other = run.invoke(main, [*check, "--samples", str(test_set), "--json"])
    assert other.exit_code == 1
    assert "other examples" in other.output
    facts = json.loads(run.invoke(main, ["inspect", str(proof), "--json"]).output)
    assert facts["samples"] == SAMPLES


# ---- files ---------------------------------------------------------------------------------------
def archive(**members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in members.items():
            made.writestr(name.replace("_", "."), data)
    return out.getvalue()


def test_examples_read_back(tmp_path: Path) -> None:
    x, y = np.arange(12.0).reshape(3, 2, 2), np.array([0, 7, 1])
    for save in (np.savez, np.savez_compressed):
        for labels in ("y", "labels"):
            save(tmp_path / "t.npz", a=x, b=x.astype(np.uint8), **{labels: y})
            found = Examples.load(tmp_path / "t.npz")
            assert found.digest == Examples({"a": x, "b": x}, y).digest
            assert np.array_equal(found.labels, y)


def test_digests_tell_examples_apart() -> None:
    x, y = np.arange(12.0).reshape(3, 4), np.array([0, 1, 1])
    others = [
        Examples({"x": x}, y), Examples({"z": x}, y), Examples({"x": x}, y[::-1]),
        Examples({"x": x[::-1]}, y), Examples({"x": x.reshape(3, 2, 2)}, y),
        Examples({"x": x, "z": x}, y), Examples({"x": x + 0.5}, y),
    ]  # fmt: skip
    assert len({e.digest for e in others}) == len(others)


def test_a_digest_takes_little_memory_whatever_an_archive_unpacks_to() -> None:
    count = 1 << 22
    tracemalloc.start()
    try:
        found = Examples({"x": np.zeros((2, count // 2), np.int8)}, np.zeros(2, np.int64)).digest
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * count
    as_floats = Examples({"x": np.zeros((2, count // 2))}, np.zeros(2, np.int64))
    assert found == as_floats.digest


def test_examples_of_too_many_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    data = archive(x_npy=array_bytes(np.ones((3, 2))), y_npy=array_bytes(np.array([0, 1, 2])))
    monkeypatch.setattr(examples, "MAX_ENTRIES", 9)
    assert read_examples(data, "t").count == 3
    monkeypatch.setattr(examples, "MAX_ENTRIES", 8)
    with pytest.raises(FormatError, match="more than 8 numbers"):
        read_examples(data, "t")


def test_files_that_are_no_examples() -> None:
    x, y = array_bytes(np.ones((3, 2))), array_bytes(np.array([0, 1, 2]))
    good = archive(x_npy=x, y_npy=y)
    assert read_examples(good, "t").count == 3
    twice = io.BytesIO()
    with zipfile.ZipFile(twice, "w") as made:
        for data in (x, x, y):
            double = data is x and bool(made.namelist())
            with pytest.warns(UserWarning, match="Duplicate") if double else nullcontext():
                made.writestr("y.npy" if data is y else "x.npy", data)
    other = io.BytesIO()
    with zipfile.ZipFile(other, "w", zipfile.ZIP_BZIP2) as made:
        for name, data in (("x.npy", x), ("y.npy", y)):
            made.writestr(name, data)
    bad = [
        b"", good[:-1], good[:50], b"PK" + bytes(60), archive(x_npy=x), archive(y_npy=y),
        archive(x_npy=x, y_npy=y, labels_npy=y), archive(x_npz=x, y_npy=y),
        archive(x_npy=x, y_npy=array_bytes(np.array([0, 1]))),
        archive(x_npy=x, y_npy=array_bytes(np.array([0, -1, 1]))),
        archive(x_npy=x, y_npy=array_bytes(np.array([0.0, 1, 1]))),
        archive(x_npy=x, y_npy=array_bytes(np.array([[0, 1, 1]]))),
        archive(x_npy=x, y_npy=array_bytes(np.array([0, 1 << 16, 1]))),
        archive(x_npy=x[:-1], y_npy=y), twice.getvalue(), other.getvalue(),
    ]  # fmt: skip
    for data in bad:
        with pytest.raises(FormatError):
            read_examples(data, "t")


def test_proofs_read_back(tried: Tried) -> None:
    data = tried.proof.to_bytes()
    assert AccuracyProof.from_bytes(data).to_bytes() == data
    for at in range(0, 200, 3):
        for broken in (data[:at], data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]):
            try:
                found = AccuracyProof.from_bytes(broken)
            except FormatError:
                continue
            with pytest.raises((VerificationError, FormatError)):
                tried.verify(found)
