"""``veracity data`` and ``veracity train``, from examples to a model that came from them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from veracity.errors import UsageError
from veracity.formats.program import load_any_program
from veracity.formats.training import TrainingProof

VERACITY = (sys.executable, "-c", "from veracity.cli import main; main()")
RECIPE = """
[network]
layers = ["dense 8", "relu", "dense 3"]
[train]
batch = 8
steps = 12
lr = 0.1
window = 3
"""


def call(*words: object, folder: Path, expect: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*VERACITY, *map(str, words)],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == expect, done.stderr + done.stdout
    return done


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with committed data, a recipe and a finished run."""
    folder = tmp_path_factory.mktemp("training")
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 60)
    centres = rng.integers(0, 256, (3, 12))
    x = np.clip(centres[y] + rng.normal(0, 30, (60, 12)), 0, 255).astype(np.uint8)
    np.savez(folder / "toy.npz", x=x, y=y)
    (folder / "recipe.toml").write_text(RECIPE)
    call("data", "commit", "toy.npz", "--label", "toys", "-q", folder=folder)
    call("train", "recipe.toml", "--data", "toy.vdata", "--data-secret", "toy.vdsec",
         "--out", "run", "-q", folder=folder)  # fmt: skip
    call("train", "finish", "run", "--model", "net.vprog", "--commitment", "net.vcom",
         "--secret", "net.vsec", "--proof", "net.vtrain", "-q", folder=folder)  # fmt: skip
    return folder


def test_it_is_verified_by_public_files(house: Path, tmp_path: Path) -> None:
    for name in ("net.vtrain", "net.vcom", "toy.vdata"):
        (tmp_path / name).write_bytes((house / name).read_bytes())
    words = ("verify", "net.vtrain", "--commitment", "net.vcom", "--data", "toy.vdata")
    told = json.loads(call(*words, "--json", folder=tmp_path).stdout)
    assert told["accepted"] is True
    assert told["steps"] == 12
    assert told["labels"] == ["toys"]
    text = call(*words, folder=tmp_path).stdout
    assert text.startswith("ACCEPTED")
    assert "where the data came from" in text
    call(*words, "--digest", told["commitment"], folder=tmp_path)
    assert "--max-time 10" in call(*words, "--max-time", "0.01", folder=tmp_path, expect=2).stderr
    assert call(*words, "--digest", "0" * 64, folder=tmp_path, expect=1).stdout.startswith("REJ")


def test_custody_from_data_to_an_answer(house: Path) -> None:
    """The commitment that training ends with is the one that answers refer to."""
    with np.load(house / "toy.npz") as arrays:
        np.save(house / "x.npy", arrays["x"][:2] / 256)
    call("prove", "net.vprog", "--secret", "net.vsec", "--input", "x.npy", "--out", "y.vproof",
         "-q", folder=house)  # fmt: skip
    words = ("verify", "y.vproof", "--commitment", "net.vcom", "--input", "x.npy",
             "--training", "net.vtrain", "--data", "toy.vdata")  # fmt: skip
    shown = [f"--output={path.name}" for path in house.glob("y*.npy")]
    assert len(shown) == 1
    told = json.loads(call(*words, *shown, "--json", folder=house).stdout)
    assert told["accepted"] is True
    assert told["training"]["labels"] == ["toys"]
    assert "where the model came from, proved" in call(*words, *shown, folder=house).stdout
    other = [w if w != "toy.vdata" else "x.npy" for w in words]
    call(*other, *shown, folder=house, expect=2)


PICTURES = """
[network]
input = [4, 3, 1]
layers = ["conv 4 3x3 same", "relu", "flatten", "dense 3"]
[train]
batch = 8
steps = 4
lr = 0.05
momentum = 0.9
weight_decay = 0.001
settle = 2
window = 2
[integers]
weights = "rounded"
"""


@pytest.mark.slow
def test_custody_of_a_convolutional_network(house: Path, tmp_path: Path) -> None:
    """With momentum, decay and rounded kernels; an answer about a picture."""
    for name in ("toy.vdata", "toy.vdsec", "toy.npz"):
        (tmp_path / name).write_bytes((house / name).read_bytes())
        (tmp_path / name).chmod(0o600)
    (tmp_path / "cnn.toml").write_text(PICTURES)
    call("train", "cnn.toml", "--data", "toy.vdata", "--data-secret", "toy.vdsec", "--out", "run",
         "-q", folder=tmp_path)  # fmt: skip
    call("train", "finish", "run", "--model", "net.vprog", "--commitment", "net.vcom",
         "--secret", "net.vsec", "--proof", "net.vtrain", "-q", folder=tmp_path)  # fmt: skip
    text = call("verify", "net.vtrain", "--commitment", "net.vcom", "--data", "toy.vdata",
                folder=tmp_path).stdout  # fmt: skip
    assert "4 x 3 x 1: conv 4 3x3 pad 1, relu" in text
    assert "16, 14, 13 / 16, rounded every 2 steps" in text
    assert "convolutions read rounded ones" in text
    with np.load(tmp_path / "toy.npz") as arrays:
        np.save(tmp_path / "x.npy", arrays["x"][:1].reshape(1, 4, 3, 1) / 256)
    call("prove", "net.vprog", "--secret", "net.vsec", "--input", "x.npy", "--out", "y.vproof",
         "-q", folder=tmp_path)  # fmt: skip
    (shown,) = tmp_path.glob("y*.npy")
    told = call("verify", "y.vproof", "--commitment", "net.vcom", "--input", "x.npy", "--output",
                shown.name, "--training", "net.vtrain", "--data", "toy.vdata",
                folder=tmp_path)  # fmt: skip
    assert "where the model came from, proved" in told.stdout


@pytest.mark.parametrize("at", [0.02, 0.3, 0.6, 0.99])
def test_a_changed_proof_is_false(house: Path, tmp_path: Path, at: float) -> None:
    data = bytearray((house / "net.vtrain").read_bytes())
    data[int(len(data) * at)] ^= 1
    (tmp_path / "bad.vtrain").write_bytes(data)
    words = [*VERACITY, "verify", str(tmp_path / "bad.vtrain"), "--commitment", "net.vcom"]
    words += ["--data", "toy.vdata"]
    done = subprocess.run(words, cwd=house, capture_output=True, check=False)
    assert done.returncode in (1, 2), done.stderr


def test_other_data_or_none(house: Path) -> None:
    call("data", "commit", "toy.npz", "--out", "b.vdata", "--secret", "b.vdsec", "--force", "-q",
         folder=house)  # fmt: skip
    words = ("verify", "net.vtrain", "--commitment", "net.vcom")
    assert "every .vdata" in call(*words, folder=house, expect=2).stderr
    call(*words, "--data", "b.vdata", folder=house, expect=2)
    call(*words, "--data", "toy.vdata", "--data", "b.vdata", folder=house, expect=2)


def test_a_row_is_opened(house: Path) -> None:
    call("data", "reveal", "toy.vdsec", "--data", "toy.vdata", "--index", 7, "--out", "7.vrow",
         "--force", folder=house)  # fmt: skip
    told = json.loads(
        call("data", "check", "7.vrow", "--data", "toy.vdata", "--json", folder=house).stdout
    )
    with np.load(house / "toy.npz") as arrays:
        assert told["label"] == int(arrays["y"][7])
    assert (house / "7.vrow").stat().st_mode & 0o077 == 0
    for name in ("toy.vdsec", "net.vsec", "net.vprog"):
        assert (house / name).stat().st_mode & 0o077 == 0


def test_a_committed_model_is_tuned(house: Path) -> None:
    tune = RECIPE.replace("steps = 12", 'steps = 4\ninit = "net.vcom"').replace("0.1", "0.02")
    (house / "tune.toml").write_text(tune)
    data = ("--data", "toy.vdata", "--data-secret", "toy.vdsec")
    told = json.loads(call("train", "tune.toml", *data, "--out", "tuned", "--jobs", 2, "-q",
                           "--json", folder=house).stdout)  # fmt: skip
    assert told["windows_proved"] == told["windows"] == 2
    names = ("--model", "t.vprog", "--commitment", "t.vcom", "--secret", "t.vsec")
    call("train", "finish", "tuned", *names, "--proof", "t.vtrain", "-q", folder=house)
    words = ("verify", "t.vtrain", "--commitment", "t.vcom", "--data", "toy.vdata")
    told = json.loads(call(*words, "--init", "net.vcom", "--json", folder=house).stdout)
    assert told["init"] in told["proved"]
    assert "was trained on" in told["not_proved"]
    assert "--init" in call(*words, folder=house, expect=2).stderr
    begin = ("train", "tune.toml", *data, "--out", "again", "--dry-run")
    done = call(*begin, "--init-secret", "elsewhere.vsec", folder=house, expect=2)
    assert "elsewhere.vsec" in done.stderr


def test_an_example_is_not_there(house: Path) -> None:
    with np.load(house / "toy.npz") as arrays:
        there = arrays["x"][7]
    np.save(house / "there.npy", there)
    np.save(house / "other.npy", there ^ 1)
    np.save(house / "real.npy", there / 2)
    made = call("data", "exclude", "--run", "run", "--example", "other.npy", "--out", "a.vexcl",
                "--force", "--json", "-q", folder=house)  # fmt: skip
    assert json.loads(made.stdout)["examples"] == 60
    words = ("data", "check", "a.vexcl", "--data", "toy.vdata", "--example")
    told = json.loads(
        call(*words, "other.npy", "--training", "net.vtrain", "--json", folder=house).stdout
    )
    assert told["whole_run"] is True
    assert "veracity verify" in told["not_checked"]
    assert "another input" in call(*words, "there.npy", folder=house, expect=2).stderr
    sources = ("--data", "toy.vdata", "--data-secret", "toy.vdsec", "--out", "b.vexcl")
    for name, match in (("there.npy", "row 7"), ("real.npy", "uint8")):
        done = call("data", "exclude", *sources, "--example", name, "-q", folder=house, expect=2)
        assert match in done.stderr
    assert not (house / "b.vexcl").exists()
    call("data", "reveal", "toy.vdsec", "--data", "toy.vdata", "--index", 7, "--out", "row.vrow",
         "--force", folder=house)  # fmt: skip
    shown = ("data", "check", "row.vrow", "--data", "toy.vdata", "--example")
    call(*shown, "there.npy", folder=house)
    assert "another example" in call(*shown, "other.npy", folder=house, expect=2).stderr
    assert "exclusion" in call("inspect", "a.vexcl", folder=house).stdout


def kill_at(words: list[str], house: Path, name: str, delay: float) -> None:
    """Begin or resume a run, and kill it some time after it has first written a file."""
    folder = house / name

    def files() -> set[str]:
        return {p.name for p in folder.iterdir()} if folder.exists() else set()

    before = files()
    with subprocess.Popen(words, cwd=house, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None and files() == before:
            time.sleep(0.002)
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)


def survives(house: Path, name: str, delays: list[float]) -> None:
    """Kill a run at these moments; it goes on, and ends with the weights of one left alone."""
    words = [*VERACITY, "train", "recipe.toml", "--data", "toy.vdata",
             "--data-secret", "toy.vdsec", "--out", name, "-q"]  # fmt: skip
    resume = [*VERACITY, "train", "--resume", name, "-q"]
    proved = [0]
    for delay in delays:
        begun = (house / name / "run.json").exists()
        kill_at(resume if begun else words, house, name, delay)
        kept = list((house / name).glob("window-*.vwin"))
        if (house / name / "run.json").exists():
            told = json.loads(call("train", "status", name, "--json", folder=house).stdout)
            proved.append(told["windows_proved"])
            assert len(kept) == proved[-1]
    assert proved == sorted(proved)
    call(*(resume if (house / name / "run.json").exists() else words)[len(VERACITY):],
         folder=house)  # fmt: skip
    files = (f"{name}.vprog", f"{name}.vcom", f"{name}.vsec", f"{name}.vtrain")
    options = zip(("--model", "--commitment", "--secret", "--proof"), files, strict=True)
    call("train", "finish", name, *[w for pair in options for w in pair], "-q", folder=house)
    call("verify", files[3], "--commitment", files[1], "--data", "toy.vdata", folder=house)
    ours, theirs = (load_any_program(house / n).weights for n in ("net.vprog", files[0]))
    assert all(np.array_equal(ours[n], theirs[n]) for n in ours)  # training is exact
    statement = [TrainingProof.load(house / n).description for n in ("net.vtrain", files[3])]
    assert statement[0] == statement[1]


def test_killed_at_any_moment_it_goes_on(house: Path) -> None:
    survives(house, "killed", [0.0, 0.2, 0.5])


@pytest.mark.slow
def test_killed_at_twenty_moments_it_goes_on(house: Path) -> None:
    """Moments are random and short, so that they hit every phase of the few windows."""
    rng = np.random.default_rng()
    survives(house, "often", rng.exponential(0.08, 20).tolist())


def test_a_run_that_is_not_there_or_not_its_own(house: Path) -> None:
    call("train", "--resume", "nowhere", folder=house, expect=2)
    call("train", "status", "nowhere", folder=house, expect=2)
    done = call("train", "recipe.toml", "--data", "toy.vdata", "--data-secret", "toy.vdsec",
                "--out", "run", folder=house, expect=2)  # fmt: skip
    assert "--resume" in done.stderr
    window = house / "run" / "window-00001.vwin"
    kept = window.read_bytes()
    window.write_bytes(kept[:-1])
    try:
        done = call("train", "status", "run", folder=house, expect=2)
        assert "window-00001.vwin" in done.stderr
    finally:
        window.write_bytes(kept)


def test_windows_are_proved_side_by_side(house: Path) -> None:
    call("train", "recipe.toml", "--data", "toy.vdata", "--data-secret", "toy.vdsec",
         "--out", "both", "--jobs", 2, "-q", folder=house)  # fmt: skip
    assert sorted(p.name for p in (house / "both").glob("*.vckpt")) == ["cut-00004.vckpt"]
    call("train", "finish", "both", "--model", "b.vprog", "--commitment", "b.vcom",
         "--secret", "b.vsec", "--proof", "b.vtrain", "-q", folder=house)  # fmt: skip
    call("verify", "b.vtrain", "--commitment", "b.vcom", "--data", "toy.vdata", folder=house)
    (house / "both" / "window-00002.vwin").unlink()  # as a crash of one worker leaves it
    done = call("train", "status", "both", "--json", folder=house)
    assert json.loads(done.stdout)["windows_proved"] == 2
    # Its start went when it was proved; a run that was killed in between still has it.
    (house / "half").mkdir()
    for name in ("run.json", "sources.json", "window-00003.vwin"):
        (house / "half" / name).write_bytes((house / "both" / name).read_bytes())
    call("train", "--resume", "half", "-q", folder=house, expect=2)


def test_a_run_that_leaves_its_ranges_says_where(tmp_path: Path) -> None:
    """Equal examples of different classes: whatever the seed, no step ends the gradient."""
    np.savez(tmp_path / "toy.npz", x=np.full((60, 12), 200, np.uint8), y=np.arange(60) % 3)
    wild = RECIPE.replace("lr = 0.1", "lr = 60.0").replace('"dense 8", "relu", ', "")
    (tmp_path / "wild.toml").write_text(wild)
    call("data", "commit", "toy.npz", "--label", "toys", "-q", folder=tmp_path)
    done = call("train", "wild.toml", "--data", "toy.vdata", "--data-secret", "toy.vdsec",
                "--out", "wild", "-q", folder=tmp_path, expect=2)  # fmt: skip
    assert "layer" in done.stderr
    assert "step" in done.stderr
    assert "lower the learning rate" in done.stderr


def test_from_python(tmp_path: Path) -> None:
    import veracity

    rng = np.random.default_rng(3)
    x, y = rng.integers(0, 256, (20, 2, 3), dtype=np.uint8), rng.integers(0, 2, 20)
    layers, out = ["flatten", "dense 4", "relu", "dense 2"], tmp_path / "run"
    trained = veracity.train(layers, (x, y), out=out, batch=5, steps=2)
    found = veracity.verify_training(trained.proof, trained.commitment, [out / "train.vdata"])
    assert found.recipe.widths == (6, 4, 2)
    with pytest.raises(UsageError, match="another run"):
        veracity.train(layers, (x, y), out=out, batch=4, steps=2)
    with pytest.raises(UsageError, match="other data"):
        veracity.train(layers, (x, 1 - y), out=out, batch=5, steps=2)
