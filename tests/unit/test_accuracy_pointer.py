"""A commitment that names the proof of its network's accuracy: what it says, and hostile ones."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from tests.support.hostile import written
from tests.unit.test_accuracy import Tried, tried
from tests.unit.test_formats import COMMITMENT
from veracity.cli import main
from veracity.errors import FormatError, UsageError
from veracity.formats.commitment import Commitment
from veracity.formats.pointer import DOMAIN, ProofPointer
from veracity.proving.accuracy import attach

__all__ = ["tried"]

POINTER = ProofPointer("accuracy.vproof", "ab" * 32)
PLAIN = COMMITMENT.to_bytes()
NAMED = COMMITMENT.naming(POINTER).to_bytes()
MASKED = replace(COMMITMENT, masked_weights=b"m" * 32)


def masked(weights: bytes, digest: str = COMMITMENT.digest) -> bytes:
    """Masked weights with their checksum."""
    body = b"veracity masked weights v1" + bytes.fromhex(digest) + weights
    return weights + hashlib.sha256(body).digest()


def pointer(name: bytes, digest: str = COMMITMENT.digest) -> bytes:
    """A pointer to a proof with its checksum."""
    body = written(name, [bytes.fromhex(POINTER.sha256)])
    return body + hashlib.sha256(DOMAIN + bytes.fromhex(digest) + body).digest()


@pytest.mark.parametrize("base", [COMMITMENT, MASKED])
def test_a_pointer_reads_back_and_leaves_the_digest(base: Commitment) -> None:
    named = base.naming(POINTER)
    found = Commitment.from_bytes(named.to_bytes())
    assert found.accuracy_proof == POINTER
    assert found.masked_weights == base.masked_weights
    assert found.digest == base.digest == Commitment.from_bytes(base.to_bytes()).digest
    assert found.to_bytes() == named.to_bytes()
    assert Commitment.from_bytes(base.to_bytes()).accuracy_proof is None


def test_a_pointer_keeps_the_bytes_that_were_read() -> None:
    """The digest is of the file's bytes, whatever a compressor writes today."""
    found = Commitment.from_bytes(PLAIN)
    found.__dict__["_encoded"] = found._encoded
    assert found.naming(POINTER).__dict__["_encoded"] is found._encoded


def test_every_end_of_the_file_is_refused() -> None:
    for length in range(len(PLAIN), len(NAMED)):
        if length != len(PLAIN):
            with pytest.raises(FormatError):
                Commitment.from_bytes(NAMED[:length])
    with pytest.raises(FormatError):
        Commitment.from_bytes(NAMED + b"\0")


def test_every_altered_byte_is_refused() -> None:
    for at in range(len(PLAIN), len(NAMED)):
        damaged = bytearray(NAMED)
        damaged[at] ^= 1
        with pytest.raises(FormatError):
            Commitment.from_bytes(bytes(damaged))


@pytest.mark.parametrize(
    "name",
    [b"", b"../a.vproof", b"a/b", b".hidden", b"-rf", b"a b", b"a\nb", b"\x1b[2Jx", b"a\\b",
     b"x" * 101, "\u202egoorp".encode(), b"\xff\xfe", b"a.vproof\0", b"a.vproof\n"],
)  # fmt: skip
def test_names_that_could_harm_are_refused(name: bytes) -> None:
    with pytest.raises(FormatError):
        Commitment.from_bytes(PLAIN + masked(bytes(32)) + pointer(name))
    with pytest.raises(UsageError, match="plain name"):
        ProofPointer(name.decode("latin-1"), "ab" * 32)


def test_what_is_of_another_commitment_is_refused() -> None:
    other = "cd" * 32
    with pytest.raises(FormatError, match="of another commitment"):
        Commitment.from_bytes(PLAIN + masked(bytes(32)) + pointer(b"a.vproof", other))
    with pytest.raises(FormatError, match="of another commitment"):
        Commitment.from_bytes(PLAIN + masked(bytes(32), other) + pointer(b"a.vproof"))
    with pytest.raises(FormatError, match="of another commitment"):
        Commitment.from_bytes(PLAIN + masked(b"m" * 32, other))


def test_a_file_has_one_form() -> None:
    with pytest.raises(FormatError, match="nothing follows"):
        Commitment.from_bytes(PLAIN + masked(bytes(32)))
    with pytest.raises(FormatError):
        Commitment.from_bytes(PLAIN + pointer(b"a.vproof"))


def test_the_command_line_names_a_proof(tried: Tried, tmp_path: Path) -> None:
    run, public = CliRunner(), tmp_path / "toy.vcom"
    tried.secret.save_pair(tmp_path / "toy.vsec", public)
    test_set, proof = tmp_path / "test.npz", tmp_path / "accuracy.vproof"
    np.savez_compressed(test_set, x=tried.x / 256, y=tried.examples.labels)
    ask = ["evaluate", str(tried.program), "--samples", str(test_set), "--output", "scores", "-q"]
    assert run.invoke(main, [*ask, "--attach", str(public)]).exit_code == 2
    made = run.invoke(main, [*ask, "--prove", "--secret", str(tmp_path / "toy.vsec"), "--out",
                             str(proof), "--attach", str(public), "--json"])  # fmt: skip
    assert made.exit_code == 0, made.output
    assert json.loads(made.output)["attached"] == str(public)
    digest = hashlib.sha256(proof.read_bytes()).hexdigest()
    facts = json.loads(run.invoke(main, ["inspect", str(public), "--json"]).output)
    assert facts["digest"] == tried.commitment.digest
    assert facts["proof_of_accuracy"] == {
        "file": "accuracy.vproof", "sha256": digest, "says": "nothing until it is verified",
    }  # fmt: skip
    check = ["verify", str(proof), "--commitment", str(public), "--samples", str(test_set), "-q"]
    told = run.invoke(main, check)
    assert told.exit_code == 0, told.output
    assert "named by" in told.output
    assert "its digest does not cover that" in told.output
    facts = json.loads(run.invoke(main, [*check, "--json"]).output)
    assert facts["named_by_publisher"] is True


def test_another_proof_than_the_one_that_is_named(tried: Tried, tmp_path: Path) -> None:
    run, public, proof = CliRunner(), tmp_path / "toy.vcom", tmp_path / "mine.vproof"
    tried.commitment.naming(POINTER).save(public)
    tried.proof.save(proof)
    test_set = tmp_path / "test.npz"
    np.savez_compressed(test_set, x=tried.x / 256, y=tried.examples.labels)
    check = ["verify", str(proof), "--commitment", str(public), "--samples", str(test_set), "-q"]
    told = run.invoke(main, check)
    assert told.exit_code == 0, told.output
    assert "named by" not in told.output
    assert POINTER.sha256 in told.output
    assert "says nothing until it is verified" in " ".join(told.output.split())
    facts = json.loads(run.invoke(main, [*check, "--json"]).output)
    assert facts["named_by_publisher"] is False
    assert facts["accuracy_proof"] == POINTER.to_plain()


def test_a_proof_is_named_where_it_belongs(tried: Tried, tmp_path: Path) -> None:
    public = tmp_path / "other.vcom"
    COMMITMENT.save(public)
    with pytest.raises(UsageError, match="another commitment"):
        attach(public, tried.proof, "accuracy.vproof")
    ask = ["evaluate", str(tried.program), "--samples", "x.npz", "--prove", "--attach", str(public),
           "--secret", str(tried.folder / "toy.vsec"), "-q"]  # fmt: skip
    (tmp_path / "x.npz").write_bytes(b"")
    ask[3] = str(tmp_path / "x.npz")
    told = CliRunner().invoke(main, [*ask, "--out", str(tmp_path / "a.vproof")])
    assert told.exit_code == 2
    assert "opens another commitment" in told.output
    assert public.read_bytes() == PLAIN
