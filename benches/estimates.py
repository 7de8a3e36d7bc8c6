"""What `veracity estimate` foretells beside what is measured: `make bench-estimate`.

Prints the ratio of both for time, memory and proof size, and fails where one is off by more than a
quarter; a cap that a proof exceeds fails, too. Times on a machine that does other work are worth
nothing.

    benches/estimates.py --fit FILE     constants for `work/estimate.py` and `work/memory.py` out of
                                        what such a run has left in FILE (--json)
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from scale import program, veracity

from veracity import zkml
from veracity.engine import load_engine
from veracity.lm.text_decoder import ports_of
from veracity.threads import let_caller_compute
from veracity.work import estimate, memory
from veracity.work.programs import integer_program, load_program

#: A model, tokens, and GiB that the proof may occupy.
WORKLOADS = (
    *(("stories260k", tokens, None) for tokens in (64, 128, 256)),
    *(("gpt2-124m", tokens, None) for tokens in (8, 32)),
    *(("smollm2", tokens, None) for tokens in (8, 32, 64, 128)),
    ("smollm2", 512, 8),
)
MEASURES = ("commit_s", "prove_s", "verify_s", "peak_memory_bytes", "proof_bytes")
ALLOWED = 1.25
#: Runs of a workload, unless proving took so many seconds already.
RUNS, ENOUGH_S = 3, 5.0
#: How little a fit may move constants that measurements do not tell apart.
RIDGE = 1e-3


def counts(path: Path, tokens: int, cap: int | None) -> list[dict[str, int]]:
    """What a proof's links count."""
    integers = integer_program(load_program(path))
    execution = zkml.Execution(integers, *ports_of((0,) * tokens, max(1, tokens // 4)))
    if cap is not None:
        execution = replace(execution, cuts=memory.plan_links(execution, cap << 30).cuts)
    return [asdict(part) for part in zkml.count_links(execution)]


def compare(path: Path, tokens: int, cap: int | None) -> dict[str, Any]:
    """Foretold and measured, and their ratio."""
    options = ["--tokens", tokens, "--json", *([] if cap is None else ["--memory", f"{cap}GiB"])]
    foretold: dict[str, Any] = json.loads(veracity("estimate", path, *options))
    runs: list[dict[str, Any]] = []
    while len(runs) < RUNS and sum(run["prove_s"] for run in runs) < ENOUGH_S:
        runs.append(json.loads(veracity("bench", path, "-q", *options)))
    # The fastest, as others' work only ever adds to time.
    measured = {**runs[-1], **{name: min(run[name] for run in runs) for name in MEASURES}}
    return {
        **{name: foretold[name] / measured[name] for name in MEASURES},
        "foretold": {name: foretold[name] for name in MEASURES},
        "measured": {name: measured[name] for name in (*MEASURES, "cpu", "commit")},
        "links": counts(path, tokens, cap),
    }


def is_off(point: dict[str, Any]) -> bool:
    """Whether a measure is off by too much, or a cap was exceeded."""
    # What takes less than a second is mostly fixed cost and noise: not counted in time.
    wrong = any(
        not 1 / ALLOWED <= point[name] <= ALLOWED for name in MEASURES if name != "commit_s"
    )
    cap = point["memory"]
    return wrong or (cap is not None and point["measured"]["peak_memory_bytes"] > cap << 30)


def _nearest(rows: list[list[float]], wanted: list[float], now: list[float]) -> list[float]:
    """Factors whose sums are nearest to what is wanted, relatively; those of now break ties."""
    scaled = np.array(rows) * now / np.array(wanted)[:, None]
    system = np.vstack([scaled, RIDGE**0.5 * np.eye(len(now))])
    target = np.r_[np.ones(len(wanted)), np.full(len(now), RIDGE**0.5)]
    return [float(f * c) for f, c in zip(np.linalg.lstsq(system, target)[0], now, strict=True)]


def fit(points: list[dict[str, Any]]) -> None:
    """Print the constants that fit measurements best."""
    speed = estimate.measure_speed(load_engine("cpu"))
    units = {
        "lookups": speed.multiplication,
        "weights": speed.multiplication,
        "committed_values": speed.committed_value,
    }
    fixed = {
        "weights": memory.WEIGHT_BYTES,
        "lookups": memory.LOOKUP_BYTES,
        "received_values": memory.RECEIVED_BYTES,
    }
    times, seconds, spaces, left = [], [], [], []
    for point in points:
        links, measured = point["links"], point["measured"]
        sums = {name: sum(link[name] for link in links) for name in units}
        times.append([len(links), *(sums[name] * unit for name, unit in units.items())])
        seconds.append(measured["prove_s"])
        largest = max(links, key=lambda link: memory.link_memory(zkml.Costs(**link)))
        known = sum(largest[name] * each for name, each in fixed.items())
        spaces.append([1.0, largest["committed_values"]])
        left.append(measured["peak_memory_bytes"] - known)
    for module, names, rows, wanted in (
        (estimate, ("SEGMENT_S", "PER_LOOKUP", "PER_WEIGHT", "PER_VALUE"), times, seconds),
        (memory, ("BASE_BYTES", "VALUE_BYTES"), spaces, left),
    ):
        now = [float(getattr(module, name)) for name in names]
        best = _nearest(rows, wanted, now)
        for name, old, new in zip(names, now, best, strict=True):
            print(f"{name}: {old:g} now, {new:.3g} fits best")
        for point, row, value in zip(points, rows, wanted, strict=True):
            ratio = float(np.dot(row, best)) / value
            print(
                f"  {point['workload']}, {point['tokens']} tokens: {ratio:.2f} of what is measured"
            )


def main() -> None:
    """Compare all workloads."""
    let_caller_compute()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("build") / "scale")
    parser.add_argument("--json", type=Path, help="file to leave all of it in")
    parser.add_argument("--fit", type=Path, help="only fit constants to such a file")
    given = parser.parse_args()
    if given.fit is not None:
        fit(json.loads(given.fit.read_text(encoding="utf-8"))["ratios"])
        return
    given.work.mkdir(parents=True, exist_ok=True)
    found = []
    for name, tokens, cap in WORKLOADS:
        point = compare(program(name, given.work), tokens, cap)
        found.append({"workload": name, "tokens": tokens, "memory": cap, **point})
        shown = "  ".join(f"{n.removesuffix('_s')} {point[n]:.2f}" for n in MEASURES)
        print(f"{name:<12} {tokens:>4} tokens  foretold/measured: {shown}", flush=True)
    if given.json is not None:
        where = {name: found[-1]["measured"][name] for name in ("cpu", "commit")}
        facts = json.dumps({**where, "ratios": found}, indent=1)
        given.json.write_text(facts + "\n", encoding="utf-8")
    sys.exit(1 if any(map(is_off, found)) else 0)


if __name__ == "__main__":
    main()
