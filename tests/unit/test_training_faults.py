"""What stands in a run's way is told in one line, and nothing is lost by it."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from tests.support.training import ENGINE
from veracity.cli import main
from veracity.codec import output
from veracity.training.data import commit_examples

RECIPE = """
[network]
layers = ["dense 4", "relu", "dense 3"]
[train]
batch = 4
steps = 4
window = 2
"""
Patch = pytest.MonkeyPatch


def call(*words: object) -> Result:
    return CliRunner().invoke(main, [*map(str, words)])


def refused(done: Result, *parts: str) -> None:
    """Exit code 2, one line that says what is wrong, one that says what to do."""
    assert done.exit_code == 2, done.output
    lines = done.stderr.strip().splitlines()
    assert len(lines) <= 2
    assert lines[0].startswith("error: ")
    assert all(part in lines[0] for part in parts), lines[0]


def data_set(folder: Path, name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 256, (20, 6), dtype=np.uint8), rng.integers(0, 3, 20)
    public, secret = commit_examples(ENGINE, (x, y.astype(np.int64)), 3)
    (folder / f"{name}.vdata").write_bytes(public.to_bytes())
    (folder / f"{name}.vdsec").write_bytes(secret.to_bytes())
    (folder / f"{name}.vdsec").chmod(0o600)


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose second window did not fit on the disk."""
    tmp_path = tmp_path_factory.mktemp("run")
    data_set(tmp_path, "mine", 1)
    (tmp_path / "recipe.toml").write_text(RECIPE)
    with pytest.MonkeyPatch.context() as patch:
        full_for("window-00001.vwin", patch)
        done = call(
            "train", tmp_path / "recipe.toml", "--data", tmp_path / "mine.vdata",
            "--data-secret", tmp_path / "mine.vdsec", "--out", tmp_path / "run", "-q",
        )  # fmt: skip
    refused(done, "window-00001.vwin", "no space left")
    return tmp_path


def full_for(name: str, patch: Patch) -> None:
    """The disk is full whenever a file of this name is to be completed."""
    honest: Callable[..., Any] = output._Fresh.complete

    def complete(file: Any) -> None:
        if file.target.name == name:
            raise OSError(errno.ENOSPC, "No space left on device")
        honest(file)

    patch.setattr(output._Fresh, "complete", complete)


def status(folder: Path) -> dict[str, Any]:
    done = call("train", "status", folder / "run", "--json")
    assert done.exit_code == 0, done.output
    return dict(json.loads(done.output))


def test_what_a_run_needs_is_missing_or_changed(begun: Path) -> None:
    resume = ("train", "--resume", begun / "run", "-q")
    secret = begun / "mine.vdsec"
    kept = secret.read_bytes()
    secret.unlink()
    refused(call(*resume), "mine.vdsec")
    secret.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
    secret.chmod(0o600)
    refused(call(*resume), "mine.vdsec")
    data_set(begun, "other", 2)
    given = ("--data", begun / "other.vdata", "--data-secret", begun / "other.vdsec")
    refused(call(*resume, *given), "a data set", "not among those given")
    secret.write_bytes(kept)
    mixed = ("--data", begun / "mine.vdata", *given[2:])
    refused(call(*resume, *mixed), "another data set")
    secret.chmod(0o644)
    refused(call(*resume), "read")
    secret.chmod(0o600)
    description = begun / "run" / "run.json"
    honest = description.read_bytes()
    description.write_bytes(honest.replace(b'"window":2', b'"window":1'))
    refused(call(*resume), "belongs to another run")
    description.write_bytes(honest.replace(b'"window":2', b'"window":"2"'))
    refused(call(*resume), "run.json")
    description.write_bytes(honest)
    (begun / "run" / "cut-00001.vckpt").rename(begun / "away")
    refused(call(*resume), "cut-00001.vckpt")
    (begun / "away").rename(begun / "run" / "cut-00001.vckpt")


def test_a_full_disk(begun: Path) -> None:
    """What was proved stays, nothing half-written does, and the run goes on, after all that."""
    names = {p.name for p in (begun / "run").iterdir()}
    assert "window-00000.vwin" in names
    assert not any(n.startswith("window-00001") or n.endswith((".part", ".tmp")) for n in names)
    assert status(begun)["windows_proved"] == 1
    assert call("train", "--resume", begun / "run", "-q").exit_code == 0
    assert status(begun)["windows_proved"] == 2
