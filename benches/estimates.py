"""What `veracity estimate` foretells beside what is measured: `make bench-estimate`.

Prints the ratio of both for time, memory and proof size, and fails where one is off by more than a
quarter. Times on a machine that does other work are worth nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from scale import program, veracity

WORKLOADS = (
    *(("stories260k", tokens) for tokens in (64, 128, 256)),
    *(("gpt2-124m", tokens) for tokens in (8, 32)),
    *(("smollm2", tokens) for tokens in (8, 32, 64)),
)
ALLOWED = 1.25


def compare(path: Path, tokens: int) -> tuple[dict[str, float], dict[str, Any]]:
    """Foretold over measured, by measure; and where it was measured."""
    foretold: dict[str, Any] = json.loads(veracity("estimate", path, "--tokens", tokens, "--json"))
    measured: dict[str, Any] = json.loads(
        veracity("bench", path, "--tokens", tokens, "--json", "-q")
    )
    names = ("commit_s", "prove_s", "verify_s", "peak_memory_bytes", "proof_bytes")
    ratios = {name: foretold[name] / measured[name] for name in names}
    return ratios, {name: measured[name] for name in ("cpu", "commit")}


def main() -> None:
    """Compare all workloads."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("build") / "scale")
    parser.add_argument("--json", type=Path, help="file to leave the ratios in")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    found, off = [], 0
    where: dict[str, Any] = {}
    for name, tokens in WORKLOADS:
        ratios, where = compare(program(name, given.work), tokens)
        found.append({"workload": name, "tokens": tokens, **ratios})
        shown = "  ".join(f"{n.removesuffix('_s')} {r:.2f}" for n, r in ratios.items())
        print(f"{name:<12} {tokens:>4} tokens  foretold/measured: {shown}", flush=True)
        # What takes less than a second is mostly fixed cost and noise: not counted in time.
        off += sum(not 1 / ALLOWED <= ratios[n] <= ALLOWED for n in ratios if n != "commit_s")
    if given.json is not None:
        facts = json.dumps({**where, "ratios": found}, indent=1)
        given.json.write_text(facts + "\n", encoding="utf-8")
    sys.exit(1 if off else 0)


if __name__ == "__main__":
    main()
