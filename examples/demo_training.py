"""From data to an answer: Fashion-MNIST is committed, a network trained, all of it proved.

Every step is the command line, each in a process of its own; the verifier's process gets a folder
with public files. Run it with ``make demo-training``, which unpacks the data first.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from demo import Steps

from veracity.benchmarks.frauds import FRAUDS, try_fraud
from veracity.engine import load_engine
from veracity.formats.data import DataFile, DataSecret
from veracity.training.data import read_idx
from veracity.training.recipe import read_plan

RECIPE = """\
[network]
input = [28, 28, 1]
layers = ["flatten", "dense 128", "relu", "dense 64", "relu", "dense 10"]

[train]
loss = "cross_entropy"
batch = 64
{length}
lr = 0.1
schedule = "cosine"
"""
CNN = """\
[network]
input = [28, 28, 1]
layers = [
    "conv 6 5x5", "relu", "avgpool 2", "conv 16 5x5", "relu", "avgpool 2", "flatten",
    "dense 120", "relu", "dense 84", "relu", "dense 10",
]

[train]
batch = 64
steps = {steps}
lr = 0.1
window = 8

[integers]
weights = "rounded"
"""
CLASSES = (
    "T-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot",
)  # fmt: skip

#: Pictures of the test set that the accuracy is proved on.
SHOWN = 1000


def train_lenet(steps: Steps, folder: Path, count: int, owner: tuple[Path, Path]) -> Any:
    """Train and prove a few steps of a convolutional network; public files in ``public``."""
    recipe, run, public = folder / "lenet.toml", folder / "lenet", folder / "public"
    recipe.write_text(CNN.format(steps=count))
    public.mkdir()
    trained = steps.must(
        "train and prove a LeNet",
        *("train", recipe, "--data", owner[0], "--data-secret", owner[1], "--out", run),
    )
    steps.must(
        "finish it",
        *("train", "finish", run, "--model", folder / "lenet.vprog"),
        *("--commitment", public / "lenet.vcom", "--secret", folder / "lenet.vsec"),
        *("--proof", public / "lenet.vtrain"),
    )
    return trained


def main() -> None:
    """Run the demo."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dir", type=Path, default=Path("build/demo-training"))
    parser.add_argument("--data", type=Path, required=True, help="folder with the four idx files")
    parser.add_argument("--steps", type=int, help="fewer steps than an epoch has")
    parser.add_argument("--cnn-steps", type=int, default=16, help="steps of the LeNet beside it")
    chosen = parser.parse_args()
    folder = chosen.dir.resolve()
    shutil.rmtree(folder, ignore_errors=True)
    outside = folder / "verifier"
    outside.mkdir(parents=True)
    steps = Steps(folder)
    recipe, run = folder / "recipe.toml", folder / "run"
    length = f"steps = {chosen.steps}" if chosen.steps else "epochs = 1"
    recipe.write_text(RECIPE.format(length=length))
    files = {n: folder / f"net.{n}" for n in ("vprog", "vcom", "vsec", "vtrain")}
    data, opening = folder / "train.vdata", folder / "train.vdsec"

    print("== The owner of the data: commit ==")
    label = "Fashion-MNIST, 60,000 training pictures"
    committed = steps.must(
        "commit to the data",
        *("data", "commit", chosen.data.resolve(), "--out", data, "--secret", opening),
        *("--classes", 10, "--label", label),
    )
    print("\n== The trainer: train and prove, round, commit ==")
    trained = steps.must(
        "train and prove",
        *("train", recipe, "--data", data, "--data-secret", opening, "--out", run),
    )
    finished = steps.must(
        "finish",
        *("train", "finish", run, "--model", files["vprog"], "--commitment", files["vcom"]),
        *("--secret", files["vsec"], "--proof", files["vtrain"]),
    )
    print("\n== An answer of the trained network about a picture of the test set ==")
    pictures = read_idx(chosen.data / "t10k-images-idx3-ubyte.gz").reshape(-1, 784)
    labels = read_idx(chosen.data / "t10k-labels-idx1-ubyte.gz")
    np.save(folder / "picture.npy", pictures[:1] / 256)
    proved = steps.must(
        "prove an answer",
        *("prove", files["vprog"], "--secret", files["vsec"]),
        *("--input", folder / "picture.npy", "--out", folder / "answer.vproof"),
    )
    print(f"\n== How good it is on {SHOWN:,} pictures that it has not seen ==")
    x = pictures[:SHOWN].astype(np.float32) / 256
    np.savez(folder / "test.npz", x=x, y=labels[:SHOWN])
    counted = steps.must(
        f"prove its accuracy on {SHOWN:,} pictures",
        *("evaluate", files["vprog"], "--secret", files["vsec"], "--samples", folder / "test.npz"),
        *("--prove", "--out", folder / "accuracy.vproof"),
    )
    print("\n== Anybody: verify where the model came from, and its answers, with public files ==")
    (logits,) = sorted(folder.glob("answer*.npy"))
    public = [files["vcom"], files["vtrain"], data, folder / "answer.vproof", logits]
    public += [folder / "accuracy.vproof", folder / "test.npz", folder / "picture.npy"]
    for path in public:
        shutil.copy(path, outside / path.name)
    verdict = steps.must("verify the training", "verify", "net.vtrain", "--commitment", "net.vcom",
                         "--data", "train.vdata", cwd=outside)  # fmt: skip
    steps.must(
        "verify the answer and where it came from",
        *("verify", "answer.vproof", "--commitment", "net.vcom", "--training", "net.vtrain"),
        *("--data", "train.vdata", "--input", "picture.npy", "--output", logits.name),
        cwd=outside,
    )
    steps.must(
        "verify its accuracy",
        *("verify", "accuracy.vproof", "--commitment", "net.vcom", "--samples", "test.npz"),
        cwd=outside,
    )
    answer = int(np.load(logits).argmax())
    print(f"the picture shows: {CLASSES[labels[0]]}; proved answer: {CLASSES[answer]}")

    print(f"\n== A convolutional network beside it: {chosen.cnn_steps} steps of a LeNet ==")
    lenet = train_lenet(steps, folder, chosen.cnn_steps, (data, opening))
    shutil.copytree(folder / "public", outside / "lenet")
    steps.must("verify the LeNet's training", "verify", "lenet/lenet.vtrain", "--commitment",
               "lenet/lenet.vcom", "--data", "train.vdata", cwd=outside)  # fmt: skip

    print("\n== Four provers who cheat ==")
    engine, owner = load_engine("cpu"), (DataFile.load(data), DataSecret.load(opening))
    plan = read_plan(recipe).recipe(committed["examples"], 784, 10)
    if try_fraud(engine, plan, owner, None):
        raise SystemExit("demo: an honest run was refused")
    for name in FRAUDS:
        reason = try_fraud(engine, plan, owner, name)
        if not reason:
            raise SystemExit(f"demo: {name} was not refused")
        print(f"{name}: refused ({reason})")

    print("\n== In numbers ==")
    for title, seconds, memory in steps.rows:
        print(f"{title:<44}{seconds:>8.1f} s{memory / 2**20:>10.0f} MiB")
    facts = {
        "steps": trained["steps"],
        "examples": committed["examples"],
        "train_and_prove_s": trained["seconds"],
        "proof_bytes": finished["proof_bytes"],
        "verify_s": verdict["verify_s"],
        "answer_proof_bytes": proved["proof_bytes"],
        "accuracy": counted["correct"] / SHOWN,
        "accuracy_proof_bytes": counted["proof_bytes"],
        "vdata_bytes": committed["vdata_bytes"],
        "data_commit_s": committed["commit_s"],
        "lenet_steps": chosen.cnn_steps,
        "lenet_train_and_prove_s": lenet["seconds"],
    }
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
