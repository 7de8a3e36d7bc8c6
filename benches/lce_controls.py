"""LCE beside two plain networks of equal parameters and of equal cost of proof, over seeds.

    python benches/lce_controls.py train --pictures DIR --runs RUNS [--steps N] [--seeds K]
    python benches/lce_controls.py measure --runs RUNS --set5 DIR --photos FILE.npz --json OUT

``train`` runs ``examples/train_lce.py`` once for each kind and seed, two at a time and a thread
each, and goes on where it was interrupted; a seed has the same patches in all kinds. ``measure``
gives the PSNR of every network, evaluated whole and in floats, and the gain of LCE over each
control: mean and standard error over the seeds, networks of one seed taken together. ``make
bench-lce-controls`` does both, in an environment of its own that has torch.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from benches.lce_quality import SETTINGS, degradations, enlarge, psnr
from examples.train_lce import Network
from veracity.benchmarks.proving import checkout, cpu_name

KINDS = ("lce", "plain", "plain-cost")
TRAINER = Path(__file__).resolve().parent.parent / "examples" / "train_lce.py"


def train(pictures: Path, runs: Path, steps: int, seeds: int) -> None:
    """All runs that have no weights yet."""
    runs.mkdir(parents=True, exist_ok=True)

    def one(job: tuple[str, int]) -> None:
        name = f"{job[0]}-{job[1]}"
        if (runs / f"{name}.npz").exists():
            return
        command = [
            sys.executable, str(TRAINER), "--pictures", str(pictures), "--run", str(runs / name),
            "--steps", str(steps), "--kind", job[0], "--seed", str(job[1]),
            "--out", str(runs / f"{name}.npz"),
        ]  # fmt: skip
        with (runs / f"{name}.log").open("a") as log:
            subprocess.run(
                command, stdout=log, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
            )
        print(f"{name}: done", flush=True)

    jobs = [(kind, seed) for seed in range(seeds) for kind in KINDS]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(one, jobs))


def network(runs: Path, kind: str, seed: int) -> Network:
    """A trained network, weights at half precision as they ship."""
    made = Network(kind)
    with np.load(runs / f"{kind}-{seed}.npz") as found:
        made.load_state_dict({n: torch.from_numpy(found[n]).float() for n in found.files})
    return made.eval()


def measure(runs: Path, set5: Path | None, photos: Path | None) -> dict[str, object]:
    """PSNR by set, setting, kind and seed; the pictures' mean."""
    seeds = [n for n in range(100) if all((runs / f"{k}-{n}.npz").exists() for k in KINDS)]
    networks = {(kind, seed): network(runs, kind, seed) for kind in KINDS for seed in seeds}
    sums: dict[tuple[str, str], list[np.ndarray]] = {}
    for group, _, setting, low, truth, _ in degradations(set5, photos, list(SETTINGS)):
        tile = torch.from_numpy(low).float()[None]
        with torch.no_grad():
            found = [psnr(made(tile)[0][0].double().numpy(), truth) for made in networks.values()]
        sums.setdefault((group, setting), []).append(np.array([psnr(enlarge(low), truth), *found]))
    rows = []
    for (group, setting), values in sums.items():
        means = np.mean(values, axis=0)
        by_kind = zip(KINDS, means[1:].reshape(len(KINDS), -1).tolist(), strict=True)
        rows.append({"set": group, "setting": setting, "bicubic": float(means[0]), **dict(by_kind)})
    parameters = {k: sum(p.numel() for p in networks[k, seeds[0]].parameters()) for k in KINDS}
    steps = torch.load(runs / f"lce-{seeds[0]}" / "checkpoint.pt", weights_only=True)["step"]
    about = {"steps": steps, "seeds": seeds, "parameters": parameters}
    return {**about, "rows": rows, "cpu": cpu_name(), "commit": checkout()}


def main() -> None:
    """Train, or measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("step", choices=("train", "measure"))
    parser.add_argument("--runs", type=Path, required=True, help="folder of the nine runs")
    parser.add_argument("--pictures", type=Path, help="train: as for train_lce.py")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--set5", type=Path)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    if chosen.step == "train":
        if chosen.pictures is None:
            parser.error("train needs --pictures")
        train(chosen.pictures, chosen.runs, chosen.steps, chosen.seeds)
        return
    found = measure(chosen.runs, chosen.set5, chosen.photos)
    text = json.dumps(found, indent=1)
    print(text) if chosen.json is None else chosen.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
