"""The command that measures one workload."""

from __future__ import annotations

from pathlib import Path

import click

from veracity.benchmarks.networks import NETWORKS, bench_network
from veracity.benchmarks.proving import bench as run_bench
from veracity.cli.display import Bar, clock, flatten, show_table, size
from veracity.cli.options import (
    backend_option,
    json_option,
    memory_option,
    quiet_option,
    threads_option,
)
from veracity.cli.output import emit_json
from veracity.progress import PHASES

__all__ = ["bench"]

SHARES = {"observe": 0.1, "scales": 0.02, "accuracy": 0.1, **PHASES, "verify": 0.05}


@click.command()
@click.argument("workload")
@click.option(
    "--tokens",
    default=32,
    show_default=True,
    type=click.IntRange(8),
    help="Positions in all: a quarter prompt, the rest generated.",
)
@click.option(
    "--tile",
    default=64,
    show_default=True,
    type=click.IntRange(16, 4096),
    help="lce: side of the picture in pixels.",
)
@click.option(
    "--weights",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="vdsr: a safetensors file; random weights by default.",
)
@click.option(
    "--keep",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder to leave model.vcom and answer.vproof in.",
)
@memory_option
@backend_option
@threads_option
@quiet_option
@json_option
def bench(
    workload: str,
    tokens: int,
    tile: int,
    weights: Path | None,
    keep: Path | None,
    memory: int | None,
    backend: str,
    threads: int | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Measure one workload from import to verification.

    WORKLOAD is the name of a model, as `veracity import` takes it (gpt2-124m and its like have
    random weights), or a calibrated .vprog file (then import and calibration count as zero). The
    proof is verified in a process of its own. `cifar-lenet` is a CNN of 62,006 random weights,
    `vdsr` one of 664,704 on a patch of 41x41 and `lce` the network of `veracity enhance`; they
    have no tokens.
    """
    with Bar(SHARES, quiet=quiet) as bar:
        if workload in NETWORKS:
            measures = bench_network(
                workload,
                tile=tile,
                weights=weights,
                keep=keep,
                memory=memory,
                backend=backend,
                threads=threads,
                progress=bar,
            )
        else:
            measures = run_bench(
                workload,
                tokens,
                keep=keep,
                memory=memory,
                backend=backend,
                threads=threads,
                progress=bar,
            )
    if as_json:
        emit_json(measures)
        return
    show_table((name.replace("_", " "), shown(name, value)) for name, value in flatten(measures))


def shown(name: str, value: object) -> object:
    """A measure in the unit its name tells."""
    if isinstance(value, int | float) and name.endswith("_s"):
        return clock(value)
    if isinstance(value, int) and name.endswith("_bytes"):
        return size(value)
    return f"{value:,}" if isinstance(value, int) else value
