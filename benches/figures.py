"""Tables of the pages from the measurements in ``docs/figures``: `make figures`.

    benches/figures.py                  rewrite what stands between the pages' markers
    benches/figures.py --record FOLDER  first take over the measurements that FOLDER has

A measurement is a JSON file as a bench prints it, and lies in ``docs/figures`` under the name that
the tables know. A table stands between ``<!-- figures:NAME -->`` and ``<!-- end -->``.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benches.figures_private import (
    private_layer,
    private_long,
    private_peers,
    private_summary,
    private_token,
    private_tokens,
    vision_peers,
)
from benches.figures_vision import lce_controls
from benches.tabling import FIGURES, Measured, Row, load, memory, plain, seconds, short, table

ROOT = Path(__file__).resolve().parent.parent
PAGES = tuple(
    ROOT / name
    for name in ("docs/performance.md", "docs/vision.md", "docs/private.md", "README.md")
)

#: What every bench of a proof reports, whatever the workload.
CORE = (
    "workload", "parameters", "lookups", "committed_values", "commit_s", "prove_s", "verify_s",
    "proof_bytes", "peak_memory_bytes", "threads", "cpu", "commit",
)  # fmt: skip
WORKLOADS = ("stories260k", "gpt2-124m", "smollm2")
LONG = ("smollm2", "smollm2-128", "smollm2-512")


def proving() -> list[str]:
    """The three workloads of `make bench`."""
    runs = [load(name) for name in WORKLOADS]

    def row(title: str, key: str, shown: Callable[[Any], str]) -> Row:
        return [title, *(shown(run[key]) for run in runs)]

    def count(value: int) -> str:
        return f"{value:,}"

    def size(value: int) -> str:
        return f"{value:,} bytes"

    return table(
        ["", *(f"{r['model']}, {r['tokens']} tokens" for r in runs)],
        [
            row("parameters", "parameters", count),
            row("lookups", "lookups", count),
            row("committed values", "committed_values", count),
            row("commit, once", "commit_s", seconds),
            row("evaluate", "evaluate_s", seconds),
            row("**prove**", "prove_s", seconds),
            row("**verify**", "verify_s", seconds),
            row("**proof**", "proof_bytes", size),
            row("commitment", "commitment_bytes", size),
            row("peak memory", "peak_memory_bytes", memory),
            row("at commit", "commit", lambda value: f"`{value}`"),
        ],
    )


def summary() -> list[str]:
    """The same in one line each, for the front page."""
    rows = [
        [f"{r['model']}, {r['tokens']} tokens", seconds(r["prove_s"]), seconds(r["verify_s"]),
         f"{r['proof_bytes'] / 1e3:.0f} kB", f"{r['commitment_bytes'] / 1e3:.0f} kB"]
        for r in map(load, reversed(WORKLOADS))
    ]  # fmt: skip
    return table(["", "prove", "verify", "proof", "commitment"], rows)


def portable() -> list[str]:
    """How much slower it is without AVX-512."""
    ratios = load("portable")["ratios"]
    steps = ("commit", "prove", "verify")
    return table(
        ["without AVX-512, times slower", *steps],
        ([name, *(short(found[step]) for step in steps)] for name, found in ratios.items()),
    )


def floor_kernels() -> list[str]:
    """Nanoseconds of the kernels that floors are made of."""
    found = load("floors")["floors"]
    units = {
        "multiplication_ns": "field multiplication, in the cache",
        "product_ns": "sumcheck a*b, per entry, all rounds",
        "lookup_ns": "LogUp, tree and all rounds, per lookup",
        "addition_ns": "addition of affine points, inverses shared",
        "weight_ns": "int16 weight times field element, summed",
        "page_ns": "first touch of a page of memory",
    }
    head = f"{found['arithmetic']}, {found['threads']} threads at once"
    return table([head, "ns"], ([unit, short(found[key])] for key, unit in units.items()))


def floor_shares() -> list[str]:
    """Shares of the processor time of whole proofs that no kernel takes."""
    return table(
        ["workload", "processor", "Python outside kernels", "system", "page faults", "at least"],
        (
            [f"{name}, {run['tokens']} tokens", f"{run['cpu_s']:.2f} s", f"{run['python']:.0%}",
             f"{run['system']:.0%}", f"{run['faults']:,}", f"{run['faults_s'] / run['cpu_s']:.0%}"]
            for name, run in load("floors")["workloads"].items()
        ),
    )  # fmt: skip


def floors() -> list[str]:
    """Processor time of each phase beside its floor."""
    rows = []
    for name, run in load("floors")["workloads"].items():
        for phase, found in run["phases"].items():
            floor = found.get("floor_s")
            ratio = "" if floor is None else plain(found["cpu_s"] / floor)
            rows.append(
                [f"{name}, {run['tokens']} tokens", phase, found["count"],
                 f"{found['cpu_s']:.2f} s", "" if floor is None else f"{floor:.3f} s", ratio]
            )  # fmt: skip
    return table(["workload", "phase", "count", "processor", "floor", "ratio"], rows)


def kernels() -> list[str]:
    """Nanoseconds per unit."""

    def shown(values: str | Sequence[float]) -> str:
        return values if isinstance(values, str) else " / ".join(short(v) for v in values)

    columns = ("avx512_ns", "avx2_ns", "plain_ns")
    return table(
        ["operation, ns per unit", "AVX-512", "AVX2", "plain Rust"],
        ([o["operation"], *(shown(o[c]) for c in columns)] for o in load("kernels")["operations"]),
    )


def scale_tokens() -> list[str]:
    """SmolLM2 against tokens."""
    return table(
        ["SmolLM2, tokens", "prove", "verify", "proof", "peak memory", "segments"],
        (_scaled(str(run["tokens"]), run) for run in load("scale")["tokens"]["smollm2"]),
    )


def scale_sizes() -> list[str]:
    """Eight tokens against parameters."""
    return table(
        ["8 tokens, model", "parameters", "prove", "verify", "proof", "peak memory", "segments"],
        (
            [run["workload"], f"{run['parameters']:,}", *_scaled("", run)[1:]]
            for run in sorted(load("scale")["sizes"], key=lambda run: run["parameters"])
        ),
    )


def long_contexts() -> list[str]:
    """SmolLM2 with 32, 128 and 512 tokens."""
    runs = [load(name) for name in LONG]

    def phases(run: Measured) -> str:
        return ", ".join(f"{phase['cpu_s']:.1f}" for phase in run["prove_phases"].values())

    return table(
        ["SmolLM2, tokens", "prove", "processor s by phase", "verify", "proof", "peak memory",
         "segments", "at commit"],
        (
            [str(run["tokens"]), seconds(run["prove_s"]), phases(run),
             *_scaled("", run)[2:], f"`{run['commit']}`"]
            for run in runs
        ),
    )  # fmt: skip


def large() -> list[str]:
    """The shape of 7 billion parameters."""
    run = load("large")
    rows = (
        ("parameters", f"{run['parameters']:,}"),
        ("commit, once", seconds(run["commit_s"])),
        ("answer", seconds(run["evaluate_s"])),
        ("**prove**", seconds(run["prove_s"])),
        ("**verify**, first and later", f"{seconds(run['verify_first_s'])}, "
         f"{seconds(run['verify_s'])}"),
        ("**proof**", f"{run['proof_bytes']:,} bytes"),
        ("commitment", memory(run["commitment_bytes"])),
        ("`--memory`", memory(run["memory"])),
        ("peak memory, until committed and after", f"{memory(run['peak_before_proving_bytes'])}, "
         f"{memory(run['peak_memory_bytes'])}"),
        ("segments", str(run["segments"])),
        ("at commit", f"`{run['commit']}`"),
    )  # fmt: skip
    return table(["", f"{run['workload']}, {run['tokens']} tokens"], rows)


def _scaled(title: str, run: Measured) -> Row:
    return [
        title, seconds(run["prove_s"]), seconds(run["verify_s"]),
        f"{run['proof_bytes'] / 1e3:.1f} kB", memory(run["peak_memory_bytes"]),
        str(run["segments"]),
    ]  # fmt: skip


def estimates() -> list[str]:
    """Foretold over measured."""
    measures = ("commit_s", "prove_s", "verify_s", "peak_memory_bytes", "proof_bytes")
    return table(
        ["", "commit", "prove", "verify", "peak memory", "proof"],
        (
            [f"{r['workload']}, {r['tokens']} tokens", *(f"{r[m]:.2f}" for m in measures)]
            for r in load("estimates")["ratios"]
        ),
    )


def decoding() -> list[str]:
    """Answers without proofs."""
    return table(
        ["model, tokens before", "tokens a second", "a token, median", "the prompt"],
        (
            [f"{r['model']}, {r['context']}", plain(r["tokens_per_s"]),
             f"{1000 * r['median_token_s']:.1f} ms", seconds(r["prompt_s"])]
            for r in load("decoding")["runs"]
        ),
    )  # fmt: skip


def accuracy() -> list[str]:
    """The integer program beside the float model."""
    found = load("accuracy")
    return table(
        [f"{found['workload']}, {found['tokens']:,} tokens", "float", "integer"],
        [
            [
                "perplexity",
                f"{found['perplexity_float']:.3f}",
                f"{found['perplexity_integer']:.3f}",
            ],
            ["top-1 agreement", "", f"{found['top1_agreement']:.4f}"],
        ],
    )


def training() -> list[str]:
    """Runs of training that are proved, and the data they are on."""
    names = ("fashion-mlp", "fashion-cnn", "mlp-10m", "mlp-200m")
    runs = [load(f"training-{name}") for name in names]

    def row(title: str, shown: Callable[[Measured], str]) -> Row:
        return [title, *map(shown, runs)]

    return table(
        ["", *(str(r["workload"]) for r in runs)],
        [
            row("parameters", lambda r: f"{r['parameters']:,}"),
            row("steps of 64 examples, per window", lambda r: f"{r['steps']}, {r['window']}"),
            row("train, all steps", lambda r: seconds(r["train_s"])),
            row("**prove, a step**", lambda r: f"{1000 * r['prove_s_per_step']:.0f} ms"),
            row("train and prove, all", lambda r: seconds(r["train_and_prove_s"])),
            row("**proof**, and a step of it", lambda r: (
                f"{r['proof_bytes']:,} and {r['proof_bytes_per_step']:,} bytes")),
            row("**verify**, all windows", lambda r: seconds(r["verify_s"])),
            row("a further window, processor time", lambda r: (
                seconds(r["verify_cpu_s_per_window"]) if "verify_cpu_s_per_window" in r else "")),
            row("peak of the verifier", lambda r: memory(r["verify_peak_memory_bytes"])),
            row("peak memory", lambda r: memory(r["peak_memory_bytes"])),
            row("test accuracy, exact and int16", lambda r: (
                f"{r['accuracy_exact']:.4f}, {r['accuracy_int16']:.4f}")),
            row("at commit", lambda r: f"`{r['commit']}`"),
        ],
    )  # fmt: skip


TABLES: dict[str, Callable[[], list[str]]] = {
    "summary": summary,
    "private-summary": private_summary,
    "proving": proving,
    "portable": portable,
    "accuracy": accuracy,
    "decoding": decoding,
    "floors": floors,
    "floor-kernels": floor_kernels,
    "floor-shares": floor_shares,
    "kernels": kernels,
    "scale-tokens": scale_tokens,
    "scale-sizes": scale_sizes,
    "long-contexts": long_contexts,
    "large": large,
    "estimates": estimates,
    "private-token": private_token,
    "training": training,
    "private-layer": private_layer,
    "private-long": private_long,
    "private-tokens": private_tokens,
    "private-peers": private_peers,
    "vision-peers": vision_peers,
    "lce-controls": lce_controls,
}

_MARKED = re.compile(r"(<!-- figures:([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def rendered(page: str) -> str:
    """The page with every table made anew."""

    def fill(found: re.Match[str]) -> str:
        return found[1] + "\n".join(TABLES[found[2]]()) + "\n" + found[3]

    return _MARKED.sub(fill, page)


def record(folder: Path) -> list[str]:
    """Take over the measurements of a folder whose names the tables know; returns the names."""
    taken = []
    for path in sorted(folder.glob("*.json")):
        if not (FIGURES / path.name).exists():
            continue
        found = json.loads(path.read_text(encoding="utf-8"))
        missing = [key for key in CORE if path.stem in WORKLOADS and key not in found]
        if missing:
            raise SystemExit(f"{path} lacks {', '.join(missing)}: not a bench of a proof")
        (FIGURES / path.name).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        taken.append(path.stem)
    return taken


def main() -> None:
    """Record, then rewrite the pages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--record", type=Path, help="folder with new measurements")
    given = parser.parse_args()
    if given.record is not None:
        taken = record(given.record)
        print(f"recorded: {', '.join(taken) or 'nothing'}", file=sys.stderr)
    for page in PAGES:
        page.write_text(rendered(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
