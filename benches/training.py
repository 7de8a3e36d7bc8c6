"""Proofs of training, measured: one JSON line per workload.

    python benches/training.py --data DIR [--workloads fashion-mlp,mlp-10m,fashion-data,...]

Everything is counted and every proof is verified, from its files, in a process of its own. What a
further window costs a verifier is the difference between two runs of the same network, in processor
time; they share what comes once: start weights, rounding, commitment.
``fashion-mlp`` is one epoch of Fashion-MNIST;
``fashion-cnn`` 200 steps of a network like LeNet; ``mlp-10m`` has 8 layers and 9.97 million
parameters, one window of 16 steps; ``fashion-data`` commits to 60,000 pictures;
``fashion-accuracy`` trains 5 epochs three times without a proof, beside float32 with the same start
and order. Only where they are asked for: ``mlp-200m``, 16 layers and 200 million parameters, 12
steps, and ``cnn-accuracy``, the network of ``fashion-cnn`` trained three times without a proof.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.benchmarks.proving import checkout, cpu_name
from veracity.engine import load_engine
from veracity.formats.data import DataFile, DataSecret
from veracity.formats.training import TrainingProof
from veracity.graph.training import (
    Recipe,
    Weights,
    batch_rows,
    predict,
    start_weights,
    train_step,
)
from veracity.threads import let_caller_compute
from veracity.training.data import check_row, commit_examples, read_idx, reveal_row, verify_data
from veracity.training.exclusion import check_exclusion, exclude_input
from veracity.training.finish import finish_run, save_finished
from veracity.training.floats import FloatNetwork
from veracity.training.recipe import Plan
from veracity.training.runner import RunFolder, begin_run
from veracity.training.train import run_of
from veracity.training.verify import verify_training
from veracity.zkml.training.rounding import rounded_weights

WORKLOADS = ("fashion-mlp", "fashion-cnn", "mlp-10m", "fashion-data", "fashion-accuracy")
#: What a check may take.
MOST_S = 3600.0
#: Only where they are asked for.
LONG = ("mlp-200m", "cnn-accuracy")
SMALL = ("dense 128", "relu", "dense 64", "relu", "dense 10")
LENET = (
    "conv 6 5x5", "relu", "avgpool 2", "conv 16 5x5", "relu", "avgpool 2", "flatten",
    "dense 120", "relu", "dense 84", "relu", "dense 10",
)  # fmt: skip


class Pictures:
    """Fashion-MNIST."""

    def __init__(self, folder: Path) -> None:
        def images(name: str) -> NDArray[np.uint8]:
            return read_idx(folder / f"{name}-images-idx3-ubyte.gz").reshape(-1, 784)

        def labels(name: str) -> NDArray[np.int64]:
            return read_idx(folder / f"{name}-labels-idx1-ubyte.gz").astype(np.int64)

        self.train = images("train"), labels("train")
        self.test = images("t10k"), labels("t10k")

    def committed(self, count: int) -> tuple[DataFile, DataSecret]:
        x, y = self.train
        return commit_examples(load_engine("cpu"), (x[:count], y[:count]), 10)


def accuracy(logits: NDArray[Any], labels: NDArray[Any]) -> float:
    """Share of right answers."""
    return round(float((logits.argmax(1) == labels).mean()), 4)


def int16_accuracy(recipe: Recipe, weights: Weights, pictures: Pictures) -> float:
    """Accuracy of the published weights, brought back to the master scale."""
    published = rounded_weights(recipe, weights)
    wide = {}
    for layer in range(recipe.layers):
        for name in (recipe.weight_name(layer), recipe.bias_name(layer)):
            wide[name] = published[name].astype(np.int64) << recipe.rounding_shift(layer)
    return accuracy(predict(recipe, wide, pictures.test[0]), pictures.test[1])


def float_accuracy(
    recipe: Recipe, seed: bytes, order: NDArray[np.int64], pictures: Pictures, lr: NDArray[Any]
) -> float:
    """The same training in float32: same start, same order, unrounded learning rates."""
    floats, (x, y) = FloatNetwork(recipe, start_weights(recipe, seed)), pictures.train
    labels = np.eye(recipe.classes, dtype=np.int16)
    for t, rows in enumerate(order):
        floats.step(np.concatenate([x[rows], labels[y[rows]]], axis=1), float(lr[t]))
    return accuracy(floats.predict(pictures.test[0]), pictures.test[1])


def verified(files: Path) -> dict[str, Any]:
    """What a process with public files takes: the first check; processor time of further ones."""
    source = [sys.executable, __file__, "--verify", str(files)]
    found: dict[str, Any] = json.loads(subprocess.run(source, check=True, stdout=-1).stdout)
    return found


def verify_files(files: Path) -> None:
    """Be that process."""
    public = files / "net.vtrain", files / "net.vcom", [files / "train.vdata"]
    first, spent = verify_training(*public, max_time=MOST_S).seconds, []
    for _ in range(4):
        started = time.process_time()
        verify_training(*public, max_time=MOST_S)
        spent.append(time.process_time() - started)
    # not ru_maxrss, which keeps the peak of the process that this one was forked from
    peak = int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024
    print(json.dumps({"first": first, "again": min(spent), "peak": peak}))


def proved_run(
    name: str,
    plan: Plan,
    owner: tuple[DataFile, DataSecret],
    pictures: Pictures,
    columns: int,
    other: int | None = None,
) -> dict[str, Any]:
    """Train, prove, finish, verify; with ``other``, also a run of so many windows."""
    engine = load_engine("cpu")
    run = replace(run_of(plan, [owner]), log_columns=columns)
    spent: dict[str, float] = {}
    last = [time.perf_counter()]

    def note(phase: str, _done: float) -> None:
        now = time.perf_counter()
        spent[phase] = spent.get(phase, 0.0) + now - last[0]
        last[0] = now

    with tempfile.TemporaryDirectory() as scratch:
        folder = begin_run(Path(scratch) / "run", engine, run, [owner])
        started = last[0] = time.perf_counter()
        folder.train(note)
        took = time.perf_counter() - started
        proof = finished_files(folder, owner[0], Path(scratch) / "files")
        windows = len(run.ranges())
        weights = folder.checkpoint(windows).weights
        order = run.rows(folder.start, 0, run.recipe.steps)
        checked = verified(Path(scratch) / "files")
    verification = {
        "verify_s": round(checked["first"], 3),
        "verify_peak_memory_bytes": checked["peak"],
    }
    if other is not None:
        less = verified_run(replace(plan, epochs=None, steps=other * run.window), owner, columns)
        each = (checked["again"] - less["again"]) / (windows - other)
        verification["verify_cpu_s_per_window"] = round(each, 4)
        verification["verify_cpu_s_once"] = round(checked["again"] - windows * each, 3)
    steps, size = run.recipe.steps, len(proof.to_bytes())
    return {
        "workload": name,
        "parameters": sum(w.size for w in weights.values()),
        "batch": run.recipe.batch,
        "steps": steps,
        "window": run.window,
        "train_s": round(spent["train"], 3),
        "prove_s_per_step": round((took - spent["train"]) / steps, 4),
        "train_and_prove_s": round(took, 2),
        "proof_bytes": size,
        "proof_bytes_per_step": size // steps,
        "window_bytes_per_step": sum(map(len, proof.proof.windows + proof.proof.cuts)) // steps,
        **verification,
        "accuracy_float": float_accuracy(
            run.recipe,
            run.start_seed,
            order,
            pictures,
            np.array([plan.learning_rate(t, steps) for t in range(steps)]),
        ),
        "accuracy_exact": accuracy(
            predict(run.recipe, weights, pictures.test[0]), pictures.test[1]
        ),
        "accuracy_int16": int16_accuracy(run.recipe, weights, pictures),
    }


def finished_files(folder: RunFolder, data: DataFile, files: Path) -> TrainingProof:
    """Finish a run; its files lie in a new folder."""
    finished = finish_run(folder)
    files.mkdir()
    names = (files / f"net.{kind}" for kind in ("vprog", "vcom", "vsec", "vtrain"))
    save_finished(finished, *names)
    (files / "train.vdata").write_bytes(data.to_bytes())
    return finished[3]


def verified_run(plan: Plan, owner: tuple[DataFile, DataSecret], columns: int) -> dict[str, Any]:
    """A run of which nothing is measured but the check."""
    run = replace(run_of(plan, [owner]), log_columns=columns)
    with tempfile.TemporaryDirectory() as scratch:
        folder = begin_run(Path(scratch) / "run", load_engine("cpu"), run, [owner])
        folder.train()
        finished_files(folder, owner[0], Path(scratch) / "files")
        return verified(Path(scratch) / "files")


def fashion_mlp(pictures: Pictures) -> dict[str, Any]:
    """One epoch, 937 steps, all proved."""
    return proved_run(
        "fashion-mlp", Plan(SMALL, epochs=1), pictures.committed(60000), pictures, 14, 2
    )


def fashion_cnn(pictures: Pictures) -> dict[str, Any]:
    """A network like LeNet, 200 steps, all proved."""
    plan = Plan(LENET, lr=0.1, steps=200, input=(28, 28, 1), window=8, weights="rounded")
    return proved_run("fashion-cnn", plan, pictures.committed(12800), pictures, 14, 5)


def mlp_10m(pictures: Pictures) -> dict[str, Any]:
    """8 layers, 9.97 million parameters, one window of 16 steps."""
    plan = Plan((*("dense 1224", "relu") * 7, "dense 10"), lr=0.02, steps=16, window=16)
    return proved_run("mlp-10m", plan, pictures.committed(2048), pictures, 16, 2)


def mlp_200m(pictures: Pictures) -> dict[str, Any]:
    """16 layers, 200 million parameters, two windows of 6 steps; the memory of a large machine."""
    plan = Plan((*("dense 3752", "relu") * 15, "dense 10"), lr=0.01, steps=12, window=6)
    return proved_run("mlp-200m", plan, pictures.committed(768), pictures, 18)


def fashion_data(pictures: Pictures) -> dict[str, Any]:
    """Commit to 60,000 pictures, open one, check it."""
    engine = load_engine("cpu")
    started = time.perf_counter()
    data, secret = pictures.committed(60000)
    commit_s = time.perf_counter() - started
    started = time.perf_counter()
    row = reveal_row(data, secret, 4711)
    reveal_s = time.perf_counter() - started
    started = time.perf_counter()
    check_row(engine, data, row)
    check_s = time.perf_counter() - started
    started = time.perf_counter()
    verify_data(engine, data)
    form_verify_s = time.perf_counter() - started
    started = time.perf_counter()
    absent = exclude_input(engine, [(data, secret)], pictures.test[0][0].tobytes())
    exclude_s = time.perf_counter() - started
    started = time.perf_counter()
    check_exclusion(engine, [data], absent)
    return {
        "workload": "fashion-data",
        "exclude_s": round(exclude_s, 3),
        "exclusion_check_s": round(time.perf_counter() - started, 3),
        "exclusion_bytes": len(absent.to_bytes()),
        "commit_s": round(commit_s, 3),
        "reveal_s": round(reveal_s, 3),
        "check_s": round(check_s, 3),
        "form_verify_s": round(form_verify_s, 3),
        "vdata_bytes": len(data.to_bytes()),
        "form_bytes": sum(map(len, data.form)),
    }


def fashion_accuracy(pictures: Pictures) -> dict[str, Any]:
    """5 epochs, three starts and orders, no proof."""
    return compared("fashion-accuracy", Plan(SMALL, epochs=5), 60000, pictures)


def cnn_accuracy(pictures: Pictures) -> dict[str, Any]:
    """A network like LeNet, 200 steps, three starts and orders, no proof."""
    plan = Plan(LENET, lr=0.1, steps=200, input=(28, 28, 1), weights="rounded")
    return compared("cnn-accuracy", plan, 12800, pictures)


def compared(name: str, plan: Plan, count: int, pictures: Pictures) -> dict[str, Any]:
    """Accuracy of integers and of floats, from the same starts in the same orders."""
    recipe = plan.recipe(count, 784, 10)
    lr = np.array([plan.learning_rate(t, recipe.steps) for t in range(recipe.steps)])
    x, y = (found[:count] for found in pictures.train)
    examples = np.zeros((len(x), recipe.example_size), np.int16)
    examples[:, :784] = x
    examples[np.arange(len(x)), 784 + y] = 1
    rows: dict[str, list[float]] = {"float": [], "exact": [], "int16": []}
    train_s = 0.0
    for i in range(3):
        seed = bytes([i]) * 32
        order = batch_rows(seed, len(x), recipe.batch, 0, recipe.steps)
        weights = start_weights(recipe, seed)
        started = time.perf_counter()
        for t in range(recipe.steps):
            train_step(recipe, t, weights, examples[order[t]])
        train_s += time.perf_counter() - started
        rows["exact"].append(accuracy(predict(recipe, weights, pictures.test[0]), pictures.test[1]))
        rows["int16"].append(int16_accuracy(recipe, weights, pictures))
        rows["float"].append(float_accuracy(recipe, seed, order, pictures, lr))
    means = {f"accuracy_{k}": round(sum(v) / 3, 4) for k, v in rows.items()}
    seconds = round(train_s / (3 * recipe.steps), 5)
    return {"workload": name, **means, "train_s_per_step": seconds, "runs": rows}


def main() -> None:
    """Measure; each workload in a process of its own, so that peaks are its own."""
    let_caller_compute()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--verify", type=Path, help="check the files of a folder, and end")
    parser.add_argument("--workloads", default=",".join(WORKLOADS))
    parser.add_argument("--out", type=Path, help="folder for training-NAME.json")
    chosen = parser.parse_args()
    if chosen.verify is not None:
        verify_files(chosen.verify)
        return
    if chosen.data is None:
        parser.error("give --data, a folder with Fashion-MNIST")
    known = (
        fashion_mlp, fashion_cnn, mlp_10m, fashion_data, fashion_accuracy, mlp_200m, cnn_accuracy,
    )  # fmt: skip
    functions = dict(zip(WORKLOADS + LONG, known, strict=True))
    pictures = Pictures(chosen.data)
    for name in chosen.workloads.split(","):
        child = os.fork()
        if child == 0:
            facts = functions[name](pictures)
            facts["peak_memory_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
            line = json.dumps({**facts, "cpu": cpu_name(), "commit": checkout()})
            print(line, flush=True)
            if chosen.out is not None:
                chosen.out.mkdir(parents=True, exist_ok=True)
                (chosen.out / f"training-{name}.json").write_text(line + "\n")
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            number = os.WTERMSIG(status)
            why = " (most likely it ran out of memory)" if number == signal.SIGKILL else ""
            raise SystemExit(f"{name} was ended by {signal.Signals(number).name}{why}")
        if status:
            raise SystemExit(f"{name} failed")


if __name__ == "__main__":
    main()
