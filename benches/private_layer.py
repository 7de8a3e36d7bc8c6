"""One layer of ChatGLM-6B's dimensions in private, and what its 28 layers would take.

Run ``.venv/bin/python benches/private_layer.py [--mode shuffled|secure]``.
Three processes, mutual TLS, an emulated network between owner and user: `veracity private bench`
on a decoder of random weights with one layer and on one with none; the difference is the layer.
The time of a layer is apart what the network takes by its figures (round trips and bytes) and the
rest: what both parties compute, and what the sockets and the emulation themselves cost.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from synthetic import Dimensions, program_file

from veracity.benchmarks.private import bench

LAYERS = 28
#: PermLLM (arXiv 2405.18744) on ChatGLM-6B at 10 ms and 1 Gbps, seconds per token.
PUBLISHED = 3.0
MEASURES = ("online_s", "offline_s", "online_bytes", "offline_bytes", "round_trips")


def measured(size: Dimensions, arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The bench's own figures for a decoder of this size."""
    path = folder / f"{size.layers}.vprog"
    program_file(path, size)
    try:
        return bench(
            path,
            mode=arguments.mode,
            context=arguments.context,
            tokens=arguments.tokens,
            rtt_ms=arguments.rtt_ms,
            mbps=arguments.mbps,
            folder=folder / f"layers{size.layers}",
        )
    finally:
        path.unlink()


def of_one_layer(arguments: argparse.Namespace) -> dict[str, Any]:
    """A layer's figures: with one layer, less with none."""
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        one, none = (
            measured(Dimensions(arguments.width, arguments.heads, layers), arguments, Path(folder))
            for layers in (1, 0)
        )
    layer = {name: one[f"{name}_per_token"] - none[f"{name}_per_token"] for name in MEASURES}
    layer["latency_s"] = layer["round_trips"] * arguments.rtt_ms / 1000
    layer["transfer_s"] = layer["online_bytes"] * 8 / (arguments.mbps * 1e6)
    layer["compute_s"] = layer["online_s"] - layer["latency_s"] - layer["transfer_s"]
    whole = {name: LAYERS * value for name, value in layer.items()}
    ends = {name: none[f"{name}_per_token"] for name in MEASURES}
    return {
        "mode": arguments.mode,
        "width": arguments.width,
        "heads": arguments.heads,
        "context": arguments.context,
        "layer": layer,
        "layers": LAYERS,
        "whole": whole,
        "embedding_and_head": ends,
        "peak_memory_bytes": one["peak_memory_bytes"],
        "formula_met": one["online_bytes_per_token"] == one["formula_bytes_per_token"],
        "cpu": one["cpu"],
        "commit": one["commit"],
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mode", choices=("shuffled", "secure"), default="shuffled")
    parser.add_argument("--width", type=int, default=4096)
    parser.add_argument("--heads", type=int, default=32)
    parser.add_argument("--context", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=4)
    parser.add_argument("--rtt-ms", type=float, default=10.0)
    parser.add_argument("--mbps", type=float, default=1000.0)
    parser.add_argument("--folder", type=Path, help="where there is room for masked weights")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    facts = of_one_layer(arguments)
    if arguments.json:
        print(json.dumps(facts, indent=2))
        return
    layer, whole = facts["layer"], facts["whole"]
    print(
        f"{arguments.mode}: d {arguments.width}, {arguments.heads} heads, MLP 4 d, "
        f"int16 weights, context {arguments.context}, "
        f"{arguments.rtt_ms:g} ms, {arguments.mbps:g} Mbps"
    )
    print(f"{'':<34}{'one layer':>14}{f'times {LAYERS}':>14}")
    rows = (
        ("online, s per token", "online_s", 1.0),
        ("  round trips x RTT, s", "latency_s", 1.0),
        ("  bytes / rate, s", "transfer_s", 1.0),
        ("  compute and the rest, s", "compute_s", 1.0),
        ("round trips", "round_trips", 1.0),
        ("online, MB", "online_bytes", 1e-6),
        ("offline, s per token", "offline_s", 1.0),
        ("offline, MB", "offline_bytes", 1e-6),
    )
    for title, name, scale in rows:
        print(f"{title:<34}{layer[name] * scale:>14.3f}{whole[name] * scale:>14.3f}")
    print(f"{'PermLLM as published, s per token':<34}{'':>14}{PUBLISHED:>14.3f}")


if __name__ == "__main__":
    main()
