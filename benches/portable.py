"""How much longer proofs take without AVX-512: `make bench-portable`.

Runs ``veracity bench`` with each model twice as often as asked for, with the fast kernels and with
the portable ones by turns, each in a process of its own; the fastest run of each counts.

    benches/portable.py [NAME:TOKENS ...] [--runs N] [--work FOLDER] [--json FILE]

A name is one of ``benches/scale.py``'s, or the path of a calibrated program.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from scale import program

from veracity.benchmarks.proving import checkout, cpu_name

WORKLOADS = ("stories260k:64", "gpt2-124m:32", "smollm2:32")
STEPS = ("commit", "prove", "verify")


def seconds(path: Path, tokens: str, portable: bool) -> dict[str, float]:
    """One run of the bench: seconds by step."""
    command = [sys.executable, "-m", "veracity.cli", "bench", str(path), "--tokens", tokens]
    kernels = {"VERACITY_PORTABLE": "1"} if portable else {}
    printed = subprocess.run(
        [*command, "--json", "-q"],
        check=True, capture_output=True, text=True, env={**os.environ, **kernels},
    ).stdout  # fmt: skip
    found = json.loads(printed)
    return {step: found[f"{step}_s"] for step in STEPS}


def compare(path: Path, tokens: str, runs: int) -> dict[str, float]:
    """The portable kernels' seconds over those of the fast ones, by step."""
    found: dict[bool, list[dict[str, float]]] = {False: [], True: []}
    for _ in range(runs):
        for portable, one in found.items():
            one.append(seconds(path, tokens, portable))
    least = {p: {s: min(run[s] for run in one) for s in STEPS} for p, one in found.items()}
    return {step: round(least[True][step] / least[False][step], 2) for step in STEPS}


def main() -> None:
    """Measure, print, record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workloads", nargs="*", default=WORKLOADS, metavar="NAME:TOKENS")
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--work", type=Path, default=Path("build") / "scale")
    parser.add_argument("--json", type=Path, help="file to leave everything in")
    given = parser.parse_args()
    if "VERACITY_PORTABLE" in os.environ:
        raise SystemExit("unset VERACITY_PORTABLE first: both kinds of kernels are to be timed")
    given.work.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = {"cpu": cpu_name(), "commit": checkout(), "ratios": {}}
    for workload in given.workloads:
        name, _, tokens = workload.rpartition(":")
        path = Path(name) if name.endswith(".vprog") else program(name, given.work)
        ratios = compare(path, tokens, given.runs)
        found["ratios"][path.stem] = ratios
        told = ", ".join(f"{step} {ratio:.2f} x" for step, ratio in ratios.items())
        print(f"{path.stem}, {tokens} tokens, without AVX-512: {told}", flush=True)
    if given.json is not None:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
