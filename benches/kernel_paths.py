"""Kernels on one thread with AVX-512, with AVX2 and in plain Rust: `make bench-kernels`.

Runs ``cargo bench`` of ``rust/kernels`` once for each, and keeps the rows that the documentation
shows.

    benches/kernel_paths.py [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
from pathlib import Path

from veracity.benchmarks.proving import checkout, cpu_name

MANIFEST = Path(__file__).parents[1] / "rust" / "Cargo.toml"
#: What ``VERACITY_PORTABLE`` says for each.
PATHS = {"avx512_ns": "", "avx2_ns": "1", "plain_ns": "plain"}
#: Operations, and which lines of which bench tell their times.
ROWS = (
    ("field multiplication", "field", ("mul",)),
    ("sumcheck a*b, per entry, all rounds", "field", ("whole a*b sumcheck, per entry",)),
    (
        "LogUp, tree and all rounds, per lookup",
        "field",
        ("whole fractional sum, numerators 1, per leaf",),
    ),
    (
        "binding int16 weights, W e / e^T W",
        "field",
        ("contract int16, W e, per weight", "contract int16, e W, per weight"),
    ),
    (
        "committing 16-bit values, rows of 4096 / 16384",
        "group",
        ("commit 16-bit uniform, rows of 4096", "commit 16-bit uniform, rows of 16384"),
    ),
    (
        "full-width MSM, 2^12 / 2^16 points",
        "group",
        ("msm, full scalars, 2^12", "msm, full scalars, 2^16"),
    ),
)
_LINE = re.compile(r"^(\S.*?)\s+([0-9.]+) ns\b")


def times(bench: str, portable: str) -> dict[str, float]:
    """Nanoseconds by the name of a line."""
    command = ["cargo", "bench", "--locked", "--manifest-path", str(MANIFEST)]
    env = {k: v for k, v in os.environ.items() if k != "VERACITY_PORTABLE"}
    printed = subprocess.run(
        [*command, "-p", "veracity-kernels", "--bench", bench],
        check=True, capture_output=True, text=True,
        env={**env, **({"VERACITY_PORTABLE": portable} if portable else {})},
    ).stdout  # fmt: skip
    return {m[1]: float(m[2]) for m in map(_LINE.match, printed.splitlines()) if m}


def main() -> None:
    """Measure, print, record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="file to leave everything in")
    given = parser.parse_args()
    found = {
        path: {bench: times(bench, portable) for bench in ("field", "group")}
        for path, portable in PATHS.items()
    }
    operations = [
        {"operation": title, **{p: [found[p][bench][line] for line in lines] for p in PATHS}}
        for title, bench, lines in ROWS
    ]
    for row in operations:
        print(f"{row['operation']:<50}", *(f"{row[path]!s:>20}" for path in PATHS))
    if given.json:
        record = {"cpu": cpu_name(), "commit": checkout(), "operations": operations}
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
