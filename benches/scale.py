"""How proving grows with tokens and with the size of the model: `make bench-scale`.

Every point is one run of ``veracity bench`` in a process of its own: a true execution, everything
counted, the proof verified by another process. Writes ``scale.json`` and ``scale.png``
in ``docs/figures``.

    benches/scale.py [--sizes NAME ...] [--memory SIZE] [--work FOLDER] [--plot-only]
    benches/scale.py --only NAME [--tokens N] [--json FILE]     one point; no figure is written
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
FIGURES = HERE.parent / "docs" / "figures"
TOKENS = (8, 16, 32, 64, 128, 256)
SIZES = (
    *("stories260k", "llama-15m", "llama-42m", "gpt2-124m", "smollm2"),
    *("gpt2-355m", "gpt2-774m", "llama-1100m"),
)
#: Positions of the sweep over models.
FEW = 8
#: Enough to see every range of a synthetic model; more text than this changes no scale.
TEXT = "The quick brown fox jumps over the lazy dog, and then it rests in the shade. " * 40


def veracity(*arguments: object) -> str:
    """Run a command of this package; returns what it prints."""
    command = [sys.executable, "-m", "veracity.cli", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def program(name: str, work: Path) -> Path:
    """A calibrated program file, made once."""
    path = work / f"{name}.vprog"
    if not path.exists():
        print(f"{name}: import and calibrate", flush=True)
        text = work / "text.txt"
        text.write_text(TEXT, encoding="utf-8")
        made = work / f"{name}.making.vprog"
        veracity("import", name, "--out", made, "-q")
        real = name in ("stories260k", "smollm2")
        veracity("calibrate", made, "-q", *(() if real else ("--text", text)))
        made.rename(path)
    return path


def measure(name: str, tokens: int, memory: str, work: Path) -> dict[str, Any]:
    """One point."""
    printed = veracity(
        *("bench", program(name, work), "--tokens", tokens, "--memory", memory, "--json", "-q")
    )
    point: dict[str, Any] = json.loads(printed)
    print(
        f"{name}, {tokens} tokens: prove {point['prove_s']} s, verify {point['verify_s']} s, "
        f"{point['proof_bytes']:,} bytes, {point['peak_memory_bytes'] / 1e9:.2f} GB, "
        f"{point['segments']} segments",
        flush=True,
    )
    return point


def plot(found: dict[str, Any], target: Path) -> None:
    """Time, memory and proof size, against tokens and against parameters."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import FuncFormatter, LogLocator

    figure, axes = plt.subplots(2, 3, figsize=(13, 8), constrained_layout=True)
    measures = (
        ("prove_s", 1.0, "prove, seconds"),
        ("peak_memory_bytes", 1e9, "peak memory, GB"),
        ("proof_bytes", 1e3, "proof, kB"),
    )
    plain = FuncFormatter(lambda value, _: f"{value:g}")
    for column, (key, unit, label) in enumerate(measures):
        above, below = axes[0][column], axes[1][column]
        for name, points in found["tokens"].items():
            x = [p["tokens"] for p in points]
            y = [p[key] / unit for p in points]
            above.plot(x, y, marker="o", label=name)
            for p, at, height in zip(points, x, y, strict=True):
                if p["segments"] > 1:
                    above.annotate(
                        f"{p['segments']} segments", (at, height), fontsize=8,
                        textcoords="offset points", xytext=(-7, 2), ha="right",
                    )  # fmt: skip
        above.set(xscale="log", yscale="log", xlabel="tokens", ylabel=label)
        above.set_xticks(TOKENS, [str(t) for t in TOKENS])
        above.xaxis.minorticks_off()
        for p in found["sizes"]:
            at, height = p["parameters"] / 1e6, p[key] / unit
            other = p["model"].startswith("gpt2")
            below.plot([at], [height], marker="s" if other else "o", color="tab:blue")
            below.annotate(
                p["model"], (at, height), fontsize=8, textcoords="offset points",
                xytext=(-7 if other else 7, -3), ha="right" if other else "left",
            )  # fmt: skip
        below.set(xscale="log", yscale="log", xlabel="million parameters", ylabel=label)
        below.set_xlim(0.1, 1e5)
        below.xaxis.set_major_formatter(plain)
        for ax in (above, below):
            ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            ax.yaxis.set_major_formatter(plain)
            ax.yaxis.minorticks_off()
            ax.margins(y=0.1)
            ax.grid(visible=True, axis="y", alpha=0.25)
    axes[0][0].legend(fontsize=9)
    figure.suptitle(
        f"{found['cpu']}, cap {found['memory']}; above: by tokens; below: {FEW} tokens, by model",
        fontsize=11,
    )
    figure.savefig(target, dpi=100)


def main() -> None:
    """Measure, write, plot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="*", default=SIZES)
    parser.add_argument("--memory", default="4GiB")
    parser.add_argument("--work", type=Path, default=HERE.parent / "build" / "scale")
    parser.add_argument("--plot-only", action="store_true")
    parser.add_argument("--only", metavar="NAME", help="measure this model, nothing else")
    parser.add_argument("--tokens", type=int, default=FEW, help="positions, with --only")
    parser.add_argument("--json", type=Path, help="with --only: file to leave all measures in")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    if given.only is not None:
        point = measure(given.only, given.tokens, given.memory, given.work)
        if given.json is not None:
            given.json.write_text(json.dumps(point, indent=1) + "\n", encoding="utf-8")
        return
    target = FIGURES / "scale.json"
    if not given.plot_only:
        tokens = {
            name: [measure(name, t, given.memory, given.work) for t in TOKENS]
            for name in ("stories260k", "smollm2")
        }
        sizes = [measure(name, FEW, given.memory, given.work) for name in given.sizes]
        found = {
            "cpu": sizes[0]["cpu"],
            "threads": sizes[0]["threads"],
            "memory": given.memory,
            "tokens": tokens,
            "sizes": sizes,
        }
        target.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    plot(json.loads(target.read_text(encoding="utf-8")), FIGURES / "scale.png")


if __name__ == "__main__":
    main()
