"""Count, processor time, floor and ratio of each phase of a proof, from `veracity bench --json`.

    veracity bench MODEL.vprog --tokens N --json > run.json
    benches/floors.py MODEL.vprog run.json [--json floors.json]

Floors are nanoseconds of one core per unit, from C++ prototypes on a 2.9 GHz AVX-512 IFMA Xeon
(docs/performance.md): what the same counts would cost if nothing but the kernels took time.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from veracity import zkml
from veracity.work.programs import integer_program, load_program

#: Nanoseconds: a 16-bit value in rows of 4096 and more; a lookup; an entry of a sumcheck of
#: products; a 16-bit weight or value bound on both sides; a point of a multi-scalar product.
COMMIT, LOOKUP, PRODUCT, BIND, POINT = 90.0, 53.0, 17.0, 0.90, 1430.0


Rows = list[tuple[str, str, float | None]]


def add(path: Path, run: dict[str, Any], rows: Rows) -> None:
    """Add one workload to a file of measurements."""
    found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"workloads": {}}
    phases = {}
    for phase, count, floor in rows:
        phases[phase] = {"count": count, "cpu_s": run["prove_phases"][phase]["cpu_s"]}
        if floor is not None:
            phases[phase]["floor_s"] = round(floor / 1e9, 3)
    found |= {"cpu": run["cpu"], "commit": run["commit"]}
    found["workloads"][run["workload"]] = {"tokens": run["tokens"], "phases": phases}
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--json", type=Path, help="file that this workload is added to")
    given = parser.parse_args()
    run = json.loads(given.run.read_text(encoding="utf-8"))
    program = integer_program(load_program(given.program))
    tokens = run["tokens"]
    costs = zkml.count(zkml.Execution(program, (0,) * tokens, max(1, tokens // 4)))
    row = 1 << (12 if costs.weights < 1 << 22 else 14)
    rows: Rows = [
        ("evaluate", f"{costs.weights:,} weights", None),
        ("commit", f"{costs.committed_values:,} values", COMMIT * costs.committed_values),
        ("lookups", f"{costs.lookups:,} lookups", LOOKUP * costs.lookups),
        (
            "products",
            f"{costs.product_values:,} entries, weights and values bound",
            PRODUCT * costs.product_values + BIND * (costs.weights + costs.committed_values),
        ),
        ("opening", f"{row:,} entries, {costs.hidden_values:,} slots",
         2 * POINT * (row + costs.hidden_values)),
    ]  # fmt: skip
    if given.json is not None:
        add(given.json, run, rows)
    print("| phase | count | wall | processor | floor | ratio |\n|---|---|---|---|---|---|")
    for phase, count, floor in rows:
        took = run["prove_phases"][phase]
        least = "" if floor is None else f"{floor / 1e9:.2f} s"
        ratio = "" if floor is None else f"{took['cpu_s'] / (floor / 1e9):.1f}"
        print(
            f"| {phase} | {count} | {took['wall_s']:.2f} s | {took['cpu_s']:.2f} s "
            f"| {least} | {ratio} |"
        )


if __name__ == "__main__":
    main()
