"""The command that foretells what a proof would cost."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from veracity.cli.display import clock, show_columns, show_table, size
from veracity.cli.options import FILE, backend_option, json_option, memory_option, threads_option
from veracity.cli.output import emit_json
from veracity.errors import UsageError
from veracity.frontends.shapes import read_shape
from veracity.lm.shapes import SUPPOSED
from veracity.work.estimate import Estimate, OpRow, estimate_ops
from veracity.work.estimate import estimate as estimate_cost

__all__ = ["cost_rows", "estimate"]


def cost_rows(cost: Estimate) -> list[tuple[str, object]]:
    """An estimate as rows of a table."""
    return [
        *([("segments", cost.segments)] if cost.segments > 1 else []),
        ("lookups", f"{cost.lookups:,}"),
        ("committed values", f"{cost.committed_values:,}"),
        ("time to commit (once)", f"about {clock(cost.commit_s)}"),
        ("time to prove", f"about {clock(cost.prove_s)}"),
        ("time to verify", f"about {clock(cost.verify_s)}"),
        ("proof", f"about {size(cost.proof_bytes)}"),
        ("peak memory", f"about {size(cost.peak_memory_bytes)}"),
    ]


@click.command()
@click.argument("program", type=FILE, required=False)
@click.option(
    "--shape",
    metavar="NAME|FILE",
    help="In place of a program a shape without weights: llama-2-13b, ..., or a config.json.",
)
@click.option(
    "--tokens", type=click.IntRange(2), help="Positions of a language model [default: 32]."
)
@click.option(
    "--samples", default=0, type=click.IntRange(0), help="Samples of a network in one statement."
)
@click.option("--ops", is_flag=True, help="List what each kind of op adds.")
@memory_option
@threads_option
@backend_option
@json_option
def estimate(
    program: Path | None,
    shape: str | None,
    tokens: int | None,
    samples: int,
    ops: bool,
    memory: int | None,
    threads: int | None,
    backend: str,
    as_json: bool,
) -> None:
    """Tell time, memory and proof size before proving.

    With --shape no model is needed: its dimensions are those of a published model, or of a file of
    settings in Hugging Face's format; what calibration would see is supposed.

    --tokens counts prompt (with its template, a quarter of them) and answer. The times come from a
    short measurement of this machine; expect them to be right within a quarter when it is idle.
    """
    positions = tokens or 32
    cost = estimate_cost(
        program,
        positions,
        shape=shape,
        samples=samples,
        memory=memory,
        threads=threads,
        backend=backend,
    )
    if tokens is not None and not cost.tokens:
        raise UsageError("--tokens is for language models; a network has --samples")
    rows = estimate_ops(program, positions, samples, shape) if ops else []
    if as_json:
        emit_json({**cost.to_plain(), **({"ops": [asdict(row) for row in rows]} if ops else {})})
        return
    amount = f"{cost.tokens} tokens" if cost.tokens else f"{samples or 1} run(s)"
    name = program.name if program is not None else shape
    told = cost_rows(cost)
    if shape is not None:
        told += [("note", note) for note in read_shape(shape).notes] + [("supposed", SUPPOSED)]
    show_table(told, title=f"to prove {amount} of {name}")
    if ops:
        show_columns(
            ("op", "ops", "lookups", "for each", "share", "committed", "product entries"),
            [op_cells(row, cost) for row in rows],
            title="by kind of op, over all layers",
        )


def op_cells(row: OpRow, cost: Estimate) -> tuple[str, ...]:
    """A row of the table of ops."""
    return (
        row.op,
        f"{row.count}",
        f"{row.lookups:,}",
        f"{row.lookups / (cost.tokens or cost.samples or 1):,.0f}",
        f"{row.lookups / cost.lookups:.1%}",
        f"{row.committed_values:,}",
        f"{row.product_values:,}",
    )
