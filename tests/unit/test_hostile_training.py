"""Files of a training run that say what cannot be: a typed error that names the field."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.hostile import Field, sealed, written
from tests.support.training import small_recipe
from tests.unit.test_formats import COMMITMENT as PINNED
from veracity.cli.verify_training import training_rows
from veracity.codec import canonical_json
from veracity.errors import FormatError, UsageError, VerificationError
from veracity.formats import training as files
from veracity.formats.data import DataFile
from veracity.formats.training import Checkpoint, RunDescription, TrainingProof, WindowFile
from veracity.training import verify as verifying
from veracity.training.verify import VerifiedTraining
from veracity.zkml.training.data import DataCommitment
from veracity.zkml.training.run import RunProof

RECIPE = small_recipe()
RUN = RunDescription(RECIPE, (bytes(32),), 2, 12, b"\xab")
PLAIN = {
    "recipe": RECIPE.to_json(), "data": ["00" * 32], "window": 2, "log_columns": 12,
    "beacon": "ab", "init": "",
}  # fmt: skip


def stated(**changes: object) -> bytes:
    return canonical_json(PLAIN | changes)


def recipe(**changes: object) -> bytes:
    return stated(recipe=RECIPE.to_json() | changes)


def test_a_description_is_read() -> None:
    assert RunDescription.parse(stated(), "run") == RUN


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"[]", "exactly the fields"),
        (canonical_json(list(PLAIN)), "exactly the fields"),
        (stated(more=1), "exactly the fields"),
        (canonical_json({k: v for k, v in PLAIN.items() if k != "init"}), "exactly the fields"),
        (stated(window=True), "of another type"),
        (stated(window="2"), "of another type"),
        (stated(data={"00": 1}), "of another type"),
        (stated(recipe=[]), "of another type"),
        (stated(data=["0"]), "describes no run"),
        (stated(data=[7]), "describes no run"),
        (stated(beacon="xy"), "describes no run"),
        (recipe(batch=0), "describes no run"),
        (recipe(batch=4.0), "describes no run"),
        (recipe(batch=True), "describes no run"),
        (recipe(more=1), "describes no run"),
        (recipe(layers=["dense 6", 7, "dense 3"]), "describes no run"),
        (recipe(weights="other"), "describes no run"),
        (recipe(rates=[[30, 5], [30, -2]]), "describes no run"),
        (recipe(rates=[[30, 3], [29, 0]]), "describes no run"),
        (recipe(rates=[[30, 1 << 40], [29, 5 - (1 << 40)]]), "describes no run"),
        (recipe(rates=[[30, 1], [30, 2]]), "not in canonical form"),
        (stated(data=["00" * 31]), "not in canonical form"),
        (stated(init="00" * 33), "not in canonical form"),
        (stated(beacon="AB"), "not in canonical form"),
        (stated(beacon="a b"), "describes no run"),
        (stated(beacon="ab "), "not in canonical form"),
        (stated(log_columns=3), "row length out of bounds"),
        (stated(log_columns=-1), "row length out of bounds"),
        (stated(log_columns=19), "row length out of bounds"),
        (stated(log_columns=10**12), "row length out of bounds"),
    ],
)
def test_descriptions_that_cannot_be(content: bytes, match: str) -> None:
    with pytest.raises(FormatError, match=match):
        RunDescription.parse(content, "run")


def test_steps_are_counted_before_they_are_written_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_STEPS", RECIPE.steps)
    assert RunDescription.parse(stated(), "run") == RUN
    monkeypatch.setattr(files, "MAX_STEPS", RECIPE.steps - 1)
    with pytest.raises(FormatError, match="describes no run"):
        RunDescription.parse(stated(), "run")


def test_a_run_is_on_exactly_its_data_sets() -> None:
    ours, other = (DataCommitment(8, 3, bytes(32), label) for label in ("ours", "other"))
    run = RunDescription(RECIPE, (ours.digest,), 2, 12, b"")
    assert run.run([ours]).data == (ours,)
    with pytest.raises(UsageError, match="not on all of the data sets"):
        run.run([ours, other])
    with pytest.raises(UsageError, match="not among those given"):
        run.run([other])
    with pytest.raises(UsageError, match="started from a committed model"):
        RunDescription(RECIPE, (ours.digest,), 2, 12, b"", bytes(32)).run([ours])


def window(index: int = 1, *more: Field) -> bytes:
    return sealed(written([bytes(32)], index, b"rows", b"proof", *more, kind=b"VWIN"))


def checkpoint(index: int = 1, *more: Field) -> bytes:
    body = Checkpoint(RUN.digest, 1, bytes(32), {}).to_bytes()[:-32]
    at = body.index(RUN.digest) + 32
    states = [np.zeros(shape, "<i8").tobytes() for shape in RECIPE.state(1).values()]
    return sealed(body[:at] + written(index, [bytes(32), *states], *more))


def put(folder: Path, content: bytes, mode: int = 0o600) -> Path:
    path = folder / "it"
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_windows_and_checkpoints_are_read(tmp_path: Path) -> None:
    assert WindowFile.load(put(tmp_path, window(1 << 20))).index == 1 << 20
    found = Checkpoint.load(put(tmp_path, checkpoint()), RECIPE)
    assert found.to_bytes() == checkpoint()


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (window((1 << 20) + 1), "index: 1048577 is over the limit"),
        (window(1, b""), "4 bytes too many"),
        (window()[:-1] + b"\0", "checksum"),
        (checkpoint((1 << 20) + 1), "index: 1048577 is over the limit"),
        (checkpoint(1, b""), "4 bytes too many"),
        (checkpoint()[:-1] + b"\0", "checksum"),
    ],
)
def test_windows_and_checkpoints_that_cannot_be(tmp_path: Path, content: bytes, match: str) -> None:
    path = put(tmp_path, content)
    with pytest.raises(FormatError, match=match):
        Checkpoint.load(path, RECIPE) if b"VCUT" in content else WindowFile.load(path)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_checkpoint_is_its_owners_alone(tmp_path: Path, mode: int) -> None:
    with pytest.raises(UsageError, match="others than you can read the secret"):
        Checkpoint.load(put(tmp_path, checkpoint(), mode), RECIPE)


def proof(windows: int, *fields: Field) -> bytes:
    return written(RUN.encoded, [bytes(32)], windows, *fields, kind=b"VTRN", version=2)


def test_a_training_proof_has_at_most_2_to_the_20_windows() -> None:
    whole = proof(1, b"rows", b"window", 2, b"first", b"second")
    assert TrainingProof.from_bytes(whole).proof.windows == [b"window"]
    assert TrainingProof.from_bytes(whole).proof.roundings == [b"first", b"second"]
    with pytest.raises(FormatError, match="windows: 1048577 is over the limit"):
        TrainingProof.from_bytes(proof((1 << 20) + 1, b""))
    with pytest.raises(FormatError, match="4 bytes too many"):
        TrainingProof.from_bytes(proof(1, b"rows", b"window", 1, b"", b""))
    with pytest.raises(FormatError, match="roundings: 1025 is over the limit"):
        TrainingProof.from_bytes(proof(1, b"rows", b"window", 1025))


# --- what is asked of a run before its windows are looked at

DATA = DataFile(DataCommitment(8, 3, bytes(32 * 4), "toys"), (b"form",))
OTHER = DataCommitment(8, 3, bytes(32), "others")
STATED = RunDescription(RECIPE, (DATA.commitment.digest,), 2, 12, b"")


def described(**changes: Any) -> TrainingProof:
    return TrainingProof(replace(STATED, **changes), PINNED.digest, RunProof([], [], []))


PROVED = described()


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Notes which arguments are checked; all hold."""
    calls: list[str] = []
    for name in ("verify_data", "require_well_formed", "verify_run"):
        monkeypatch.setattr(verifying, name, lambda *_, name=name: calls.append(name))
    monkeypatch.setattr(verifying, "cache_root", lambda: tmp_path)
    return calls


def verify(found: TrainingProof = PROVED, **rest: Any) -> VerifiedTraining:
    rest = {"commitment": PINNED, "data": [DATA], "backend": "reference", **rest}
    return verifying.verify_training(found, **rest)


def test_all_arguments_of_a_run_are_checked(checked: list[str]) -> None:
    assert verify(digest=f" {PINNED.digest.upper()}\n").examples == 4
    assert checked == ["verify_data", "require_well_formed", "verify_run"]
    verify()  # the data's verdict is remembered
    assert checked[3:] == ["require_well_formed", "verify_run"]
    changed = replace(DATA, form=(b"other",))
    verify(data=[changed])
    assert checked[5:] == ["verify_data", "require_well_formed", "verify_run"]


class Base:
    """A model to start from that fits any recipe."""

    commitment = replace(PINNED.model, log_columns=4)

    def check(self, recipe: object) -> None:
        pass


def test_the_model_to_start_from_is_checked_too(
    checked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its weights are integers by its own proof; else a first weight might be anything."""
    monkeypatch.setattr(verifying, "public_base", lambda _: Base())
    init = replace(PINNED, well_formed=b"base")
    weighed: list[object] = []
    monkeypatch.setattr(verifying, "require_well_formed", lambda *given: weighed.append(given[1]))
    found = verify(described(init=Base.commitment.digest), init=init)
    assert found.init == init.digest
    assert weighed == [PINNED, init]
    with pytest.raises(UsageError, match="started from a committed model"):
        verify(described(init=Base.commitment.digest))
    with pytest.raises(UsageError, match="from a public seed"):
        verify(init=init)
    with pytest.raises(UsageError, match="from another model"):
        verify(described(init=bytes(32)), init=init)


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"digest": "00" * 32}, VerificationError, "not the one with the digest given"),
        ({"digest": ""}, VerificationError, "not the one with the digest given"),
        ({"found": replace(PROVED, commitment_digest="00" * 32)}, VerificationError, "another com"),
        ({"data": []}, UsageError, "not among those given"),
        ({"data": [DATA, replace(DATA, commitment=OTHER)]}, UsageError, "not on all of the data"),
        ({"max_time": 1e-9}, UsageError, "may take about"),
        ({"found": described(window=0)}, UsageError, "a window has 1 to"),
        ({"found": described(log_columns=1)}, UsageError, "rows of a window have"),
        ({"found": described(data=())}, UsageError, "not on all of the data"),
    ],
)
def test_runs_that_are_not_checked_at_all(
    checked: list[str], change: dict[str, Any], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        verify(**change)
    assert not checked


def test_what_is_said_of_weights_counts_for_the_time(
    checked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verifying, "annex_seconds", lambda model: 61.0)
    with pytest.raises(UsageError, match="--max-time"):
        verify()
    assert not checked
    allowed: list[object] = []
    monkeypatch.setattr(verifying, "require_well_formed", lambda *given: allowed.append(given[-1]))
    verify(max_time=100.0)
    assert allowed == [100.0]


def test_what_strangers_call_their_data_is_told_from_what_is_proved() -> None:
    label, beacon = f"mine); {'f' * 64} (yours", b"none\nproved   all"
    found = VerifiedTraining(
        RECIPE, ("0" * 64,), (label,), 14, "1" * 64, "", beacon, 1000, 0.1,
    )  # fmt: skip
    rows = dict(training_rows(found))
    assert rows["data"] == f'{"0" * 64} "{label}"'
    assert rows["beacon"] == '"none\\nproved   all"'
    assert dict(training_rows(replace(found, beacon=b"", labels=("",))))["beacon"] == "none"
