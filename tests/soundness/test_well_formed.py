"""A publisher whose weights are no integers: refused, and with what it could do otherwise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import veracity
from tests.support.programs import Example, small_model
from tests.support.wide import WideEngine, wide_limbs, wide_project
from veracity.engine import load_engine
from veracity.engine.api import ORDER
from veracity.errors import FormatError, UsageError, VerificationError
from veracity.work.well_formed import verdict_file
from veracity.zk.hidden import LinearForm
from veracity.zk.keys import load_key
from veracity.zk.mle import inverse
from veracity.zk.reduction import LinearClaim
from veracity.zkml import argument, commit_model, prove_well_formed, verify_well_formed, witness
from veracity.zkml.circuit import build
from veracity.zkml.circuit.builder import Builder
from veracity.zkml.circuit.declared import Given, weight_id
from veracity.zkml.committed import TensorSpec
from veracity.zkml.model import weight_specs

LOG_COLUMNS = 6
ENGINE = load_engine("cpu")
KEY = load_key(ENGINE, LOG_COLUMNS)
REJECTED = (FormatError, VerificationError)


def committed(e: Example, engine: Any = ENGINE) -> Any:
    return commit_model(engine, e.program, e.weights, log_columns=LOG_COLUMNS, key=KEY)


@pytest.fixture(scope="module")
def honest() -> tuple[Example, Any, bytes]:
    e = small_model("gpt2", layers=1)
    files = committed(e)
    return e, files, prove_well_formed(ENGINE, e.program, e.weights, files, key=KEY)


def test_integers_are_proved(honest: Any) -> None:
    e, files, proof = honest
    verify_well_formed(ENGINE, e.program, files[0], proof, KEY)


def test_the_proof_is_about_these_rows_and_this_program(honest: Any) -> None:
    e, files, proof = honest
    other = committed(e)
    with pytest.raises(REJECTED):
        verify_well_formed(ENGINE, e.program, other[0], proof, KEY)
    renamed = replace(e.program, name="another")
    with pytest.raises(REJECTED):
        verify_well_formed(ENGINE, renamed, files[0], proof, KEY)
    moved = replace(files[0], program_digest=bytes.fromhex(renamed.digest))
    with pytest.raises(REJECTED):
        verify_well_formed(ENGINE, renamed, moved, proof, KEY)
    for at in range(0, len(proof), max(1, len(proof) // 60)):
        broken = bytearray(proof)
        broken[at] ^= 2
        with pytest.raises(REJECTED):
            verify_well_formed(ENGINE, e.program, files[0], bytes(broken), KEY)
    for bad in (b"", proof[:-1], proof + b"\0"):
        with pytest.raises(REJECTED):
            verify_well_formed(ENGINE, e.program, files[0], bad, KEY)


@pytest.mark.parametrize("entry", [inverse(3), ORDER // 2, 1 << 60], ids=["third", "half", "wide"])
@pytest.mark.parametrize("present", [True, False], ids=["ours", "without the projection's claim"])
def test_a_weight_that_is_no_small_integer(
    monkeypatch: pytest.MonkeyPatch, entry: int, present: bool
) -> None:
    """The publisher fits the projection as far as it goes: only its claim stops the lie."""
    e, engine = small_model("gpt2", layers=1), WideEngine(ENGINE)
    name = "layers.0.mlp.up.weight"
    wide = e.weights[name].astype(object)
    wide[1, 2] = entry % ORDER
    forged = replace(e, weights={**e.weights, name: wide})
    files = committed(forged, engine)
    monkeypatch.setattr(witness, "project", wide_project)
    monkeypatch.setattr(witness, "limbs_of", wide_limbs)
    if not present:
        nothing = LinearClaim((), LinearForm(0))
        monkeypatch.setattr(argument, "bound_claim", lambda *_: nothing)
    proof = prove_well_formed(engine, e.program, forged.weights, files, key=KEY)  # type: ignore[arg-type]
    if present:
        with pytest.raises(VerificationError):
            verify_well_formed(ENGINE, e.program, files[0], proof, KEY)
    else:
        verify_well_formed(ENGINE, e.program, files[0], proof, KEY)


def test_given_arrays_are_bounded_only_where_asked() -> None:
    spec = TensorSpec((2, 3), 0, -1, 1, 4)
    assert not Given(spec).bounded


# ---- through the public interface ----------------------------------------------------------------
@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("published")
    model = folder / "stories.vprog"
    veracity.import_model("stories260k", model)
    veracity.calibrate(model)
    commitment, secret = veracity.commit(model)
    proof = veracity.prove(model, secret, "Once", max_new_tokens=2, raw=True).proof
    return commitment, proof


def test_verify_needs_the_annex_and_remembers_its_verdict(
    published: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commitment, proof = published
    monkeypatch.setenv("VERACITY_CACHE", str(tmp_path))
    for annex in (b"", bytes(64), commitment.well_formed[:-1], commitment.well_formed[::-1]):
        other = replace(commitment, well_formed=annex)
        assert other.digest == commitment.digest  # the annex is outside the model's identity
        with pytest.raises(VerificationError, match="integers"):
            veracity.verify(proof, other)
        assert not verdict_file(other).exists()
    veracity.verify(proof, commitment)
    assert verdict_file(commitment).exists()
    calls: list[int] = []
    monkeypatch.setattr("veracity.zkml.verify_well_formed", lambda *_: calls.append(1))
    veracity.verify(proof, commitment)
    assert calls == []
    verdict_file(commitment).unlink()
    veracity.verify(proof, commitment)
    assert calls == [1]


def test_a_cache_that_cannot_be_written_costs_time_only(
    published: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commitment, proof = published
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    monkeypatch.setattr("veracity.work.well_formed.cache_root", lambda: blocked)
    veracity.verify(proof, commitment)


def test_projected_weights_are_those_of_the_commitment(honest: Any) -> None:
    """Another array under the same names does not pass for the committed one."""
    e, files, _ = honest
    other = {n: np.array(w) for n, w in e.weights.items()}
    other["embedding"][0, 0] += 1
    proof = prove_well_formed(ENGINE, e.program, other, files, key=KEY)
    with pytest.raises(VerificationError):
        verify_well_formed(ENGINE, e.program, files[0], proof, KEY)


def test_long_arrays_are_refused_before_anything_is_drawn(
    honest: tuple[Example, Any, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row of 32 bytes may stand for 2^18 entries, each of which takes 128 bytes to bound."""
    e, (commitment, _), proof = honest
    given = {
        weight_id(name): Given(spec, bounded=True)
        for name, spec in weight_specs(e.program, LOG_COLUMNS).items()
    }
    sides = build.finish_circuit(Builder(given, False)).sides
    monkeypatch.setattr(build, "MOST_SIDES", sides)
    verify_well_formed(ENGINE, e.program, commitment, proof, KEY)
    monkeypatch.setattr(build, "MOST_SIDES", sides - 1)
    monkeypatch.setattr(witness, "draw_directions", lambda *_: pytest.fail("drawn"))
    with pytest.raises(UsageError, match="arrays are too long"):
        verify_well_formed(ENGINE, e.program, commitment, proof, KEY)
