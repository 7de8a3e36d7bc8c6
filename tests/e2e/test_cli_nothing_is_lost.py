"""A slip of the keyboard, a full disk or a signal destroys nothing and leaves nothing behind."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.e2e.house import House, done, veracity
from tests.support.network_files import save_network
from veracity.formats.npy import save_array
from veracity.formats.program import save_program_file
from veracity.formats.secret import Secret
from veracity.work.programs import load_network

USAGE, INTERRUPTED = 2, 130


@pytest.fixture
def copy(house: House, tmp_path: Path) -> House:
    """The files of a house of one's own."""
    for path in (house.program, house.commitment, house.secret, house.proof):
        shutil.copy2(path, tmp_path)
    (tmp_path / "diary.txt").write_text("Dear diary, " * 400, encoding="utf-8")
    return House(tmp_path)


def contents(house: House) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in house.folder.iterdir()}


def commands(house: House) -> dict[str, list[object]]:
    """Each writes over something that is not its to replace."""
    prove = ["prove", house.program, "--secret", house.secret, "--prompt", "x", "-q", "--out"]
    commit = ["commit", house.program, "-q"]
    new = house.folder / "new"
    diary = house.folder / "diary.txt"
    return {
        "prove over its program": [*prove, house.program],
        "prove over its secret": [*prove, house.secret],
        "prove over a commitment": [*prove, house.commitment],
        "prove over a text": [*prove, diary],
        "commit over its program": [*commit, "--out", house.program, "--secret", new],
        "commit its secret over its program": [*commit, "--out", new, "--secret", house.program],
        "commit over a secret": [*commit, "--out", house.secret, "--secret", new],
        "commit over a proof": [*commit, "--out", house.proof, "--secret", new],
        "commit over a commitment": [*commit, "--secret", new],
        "commit its secret over a secret": [*commit, "--out", new],
        "commit its secret over a commitment": [
            *commit, "--out", new, "--secret", house.commitment,
        ],
        "commit its secret over a text": [*commit, "--out", new, "--secret", diary],
        "commit both under one name": [*commit, "--out", new, "--secret", new],
        "commit both under two names of one": [
            *commit, "--out", new, "--secret", house.folder / "." / "new",
        ],
        "import over a committed program": ["import", "stories260k", "-q", "--out", house.program],
        "import over a secret": ["import", "stories260k", "-q", "--out", house.secret],
        "import over a proof": ["import", "stories260k", "-q", "--out", house.proof],
        "import over a text": ["import", "stories260k", "-q", "--out", diary],
        "import over itself": ["import", house.program, "-q", "--out", house.program],
        "calibrate a committed program": ["calibrate", house.program, "-q"],
        "calibrate by itself": ["calibrate", house.program, "-q", "--text", house.program],
    }  # fmt: skip


@pytest.mark.parametrize("name", commands(House(Path())))
def test_nothing_is_overwritten(copy: House, name: str) -> None:
    before = contents(copy)
    result = veracity(*commands(copy)[name])
    assert result.exit_code == USAGE, result.output
    assert "Traceback" not in result.output
    assert contents(copy) == before


@pytest.mark.parametrize("name", ["prove over its program", "prove over its secret"])
def test_force_never_overwrites_an_input(copy: House, name: str) -> None:
    before = contents(copy)
    assert veracity(*commands(copy)[name], "--force").exit_code == USAGE
    assert contents(copy) == before


def test_force_replaces_what_it_is_told_to(copy: House) -> None:
    before = contents(copy)
    done("commit", copy.program, "-q", "--force")
    after = contents(copy)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {copy.secret.name, copy.commitment.name}
    done("calibrate", copy.program, "-q", "--force")


def test_a_proof_and_a_program_without_commitment_are_made_anew(copy: House) -> None:
    prove = ("prove", copy.program, "--secret", copy.secret, "--prompt", "x", "-q")
    done(*prove, "--max-new-tokens", 2, "--out", copy.proof)
    copy.secret.unlink()
    copy.commitment.unlink()
    done("import", "stories260k", "-q", "--out", copy.program)


@pytest.mark.parametrize("fails", ["stories.vcom", "stories.vsec"])
def test_commit_writes_both_files_or_none(
    copy: House, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    before = contents(copy)
    honest = os.replace

    def replace(source: Path, target: Path) -> None:
        if Path(target).name == fails and Path(source).name.endswith(".part") and blocked:
            blocked.pop()
            raise OSError(28, "No space left on device")
        honest(source, target)

    blocked = [True]
    monkeypatch.setattr(Path, "replace", lambda self, target: replace(self, target))
    result = veracity("commit", copy.program, "-q", "--force")
    assert result.exit_code == USAGE
    assert "no space left" in result.stderr
    assert contents(copy) == before


def test_a_secret_that_others_can_read_is_refused(copy: House) -> None:
    copy.secret.chmod(0o644)
    prove = ("prove", copy.program, "--secret", copy.secret, "--prompt", "x", "-q")
    result = veracity(*prove, "--out", copy.folder / "x.vproof")
    assert result.exit_code == USAGE
    assert "chmod 600" in result.stderr
    assert "chmod 600" in done("inspect", copy.secret).stdout
    copy.secret.chmod(0o600)
    done(*prove, "--max-new-tokens", 1, "--out", copy.folder / "x.vproof")


def test_both_files_belong_together(copy: House) -> None:
    done("commit", copy.program, "-q", "--force")
    secret = Secret.load(copy.secret)
    assert secret.commitment.to_bytes() == copy.commitment.read_bytes()
    assert copy.secret.stat().st_mode & 0o077 == 0


def test_names_with_dots_are_kept(house: House, tmp_path: Path) -> None:
    for name in ("X-1.1B.vprog", "Y-1.1B"):
        shutil.copy(house.program, tmp_path / name)
        done("commit", tmp_path / name, "-q")
    names = {path.name for path in tmp_path.iterdir()}
    assert {"X-1.1B.vcom", "X-1.1B.vsec", "Y-1.1B.vcom", "Y-1.1B.vsec"} <= names
    proof = tmp_path / "a.vproof"
    done("prove", tmp_path / "X-1.1B.vprog", "--prompt", "x", "--max-new-tokens", 1, "--out", proof)


def test_a_folder_with_dots_gives_a_program_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.unit.test_frontends_huggingface import GPT2, write_folder

    write_folder(tmp_path / "X-1.1B", GPT2)
    monkeypatch.chdir(tmp_path)
    done("import", "X-1.1B", "-q")
    assert (tmp_path / "X-1.1B.vprog").is_file()


# ---- signals -------------------------------------------------------------------------------------
WAITS = """
import signal, sys, time
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # these tests may run in the background
signal.signal(signal.SIGINT, signal.default_int_handler)
from pathlib import Path
from veracity.cli import main
from veracity.codec import output
honest = output._Fresh.complete
def complete(self):
    honest(self)
    Path(sys.argv[1]).touch()
    time.sleep(60)
output._Fresh.complete = complete
main(sys.argv[2:])
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("named", [False, True], ids=["without names", "with temporary names"])
def test_a_signal_leaves_no_half_written_file(
    copy: House, tmp_path_factory: pytest.TempPathFactory, number: signal.Signals, named: bool
) -> None:
    before = contents(copy)
    ready = tmp_path_factory.mktemp("signal") / "ready"
    code = WAITS
    if named:
        code = code.replace("honest =", "output._DESCRIPTORS = Path('/nowhere')\nhonest =")
    command = ["commit", copy.program, "-q", "--out", copy.folder / "n.vcom"]
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(ready), *map(str, command), "--secret",
         str(copy.folder / "n.vsec")],
        stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not ready.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert process.returncode == INTERRUPTED
    assert said.strip() == "interrupted; no half-written file was left"
    assert contents(copy) == before


def test_what_is_ignored_stays_ignored(house: House) -> None:
    """``nohup veracity ...`` goes on when its terminal closes."""
    code = (
        "import os, signal, sys\nsignal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "import veracity.cli.display as display\nfrom veracity.cli import main\n"
        "honest = display.show_table\n"
        "import veracity.cli.verify as verify\n"
        "def show(*a, **k):\n    os.kill(os.getpid(), signal.SIGHUP)\n    honest(*a, **k)\n"
        "verify.show_table = show\nmain(sys.argv[1:])\n"
    )
    done_ = subprocess.run(
        [sys.executable, "-c", code, "inspect", str(house.proof)], capture_output=True, check=False
    )
    assert done_.returncode == 0, done_.stderr


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a committed network, and an input of its."""
    folder = tmp_path_factory.mktemp("network")
    done("commit", save_network(folder), "-q")
    save_array(folder / "x.npy", np.zeros((2, 6, 7)))
    return folder


@pytest.fixture
def own(network: Path, tmp_path: Path) -> Path:
    shutil.copytree(network, tmp_path / "own")
    return tmp_path / "own"


def test_an_input_is_no_output(own: Path) -> None:
    """Outputs are written beside the proof, under its name and theirs."""
    prove = ("prove", own / "toy.vprog", "-q", "--force", "--input")
    (own / "x.npy").rename(own / "a.scores.npy")
    before = (own / "a.scores.npy").read_bytes()
    assert veracity(*prove, own / "a.scores.npy", "--out", own / "a.vproof").exit_code == USAGE
    assert veracity(*prove, own / "a.scores.npy", "--out", own / "a.scores.npy").exit_code == USAGE
    assert (own / "a.scores.npy").read_bytes() == before
    assert not (own / "a.vproof").exists()


def test_a_seal_and_its_key_are_kept(own: Path) -> None:
    prove = ["prove", own / "toy.vprog", "-q", "--input", own / "x.npy", "--seal", "scores"]
    prove += ["--out", own / "a.vproof"]
    done(*prove)
    before = {path.name: path.read_bytes() for path in own.iterdir()}
    assert before.keys() >= {"a.scores.vseal", "a.scores.vskey"}
    result = veracity(*prove)
    assert result.exit_code == USAGE
    assert "a seal" in result.stderr
    assert {path.name: path.read_bytes() for path in own.iterdir()} == before
    done(*prove, "--force")


def test_names_of_ports_are_no_paths(own: Path) -> None:
    content = load_network(own / "toy.vprog")
    outputs = {"/a/../b": content.program.outputs["scores"], "c": content.program.outputs["class"]}
    program = dataclasses.replace(content.program, outputs=outputs)
    save_program_file(own / "odd.vprog", dataclasses.replace(content, program=program))
    done("commit", own / "odd.vprog", "-q")
    done("prove", own / "odd.vprog", "-q", "--input", own / "x.npy", "--out", own / "o.vproof")
    assert {p.name for p in own.glob("o.*npy")} == {"o._a_.._b.npy", "o.c.npy"}


@pytest.mark.parametrize("kind", ["secret", "commitment", "proof", "program", "text", "page"])
def test_a_report_is_written_over_nothing_but_a_report(copy: House, kind: str) -> None:
    (copy.folder / "page.html").write_text("<!doctype html>\n<p>mine", encoding="utf-8")
    own = {"text": copy.folder / "diary.txt", "page": copy.folder / "page.html"}
    target = own.get(kind) or getattr(copy, kind)
    before = contents(copy)
    check = ("verify", copy.proof, "--commitment", copy.commitment, "-q", "--report")
    result = veracity(*check, target)
    assert result.exit_code == USAGE
    assert "ACCEPTED" not in result.output
    assert contents(copy) == before
    for name in ("r.html", "r.json"):
        done(*check, copy.folder / name)
        done(*check, copy.folder / name)
