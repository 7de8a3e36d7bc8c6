"""All three parties of private inference on this machine: shown, and measured."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from veracity.cli.display import Bar, clock, flatten, show_table, size
from veracity.cli.inputs import FiniteFloat
from veracity.cli.options import backend_option, json_option, quiet_option
from veracity.cli.output import emit, emit_json
from veracity.cli.printable import printable
from veracity.cli.private_options import FOLDER, MODE

__all__ = ["bench", "demo"]


@click.command()
@click.option("--model", default="stories260k", show_default=True, help="As `veracity import`.")
@click.option("--prompt", help="What to ask.")
@click.option("--mode", type=MODE, multiple=True, help="In which mode [default: both].")
@click.option("--max-new-tokens", default=24, show_default=True, type=click.IntRange(1))
@click.option("--keep", type=FOLDER, help="Folder to leave certificates, caches and logs in.")
@backend_option
@quiet_option
@json_option
def demo(
    model: str,
    prompt: str | None,
    mode: tuple[str, ...],
    max_new_tokens: int,
    keep: Path | None,
    backend: str,
    quiet: bool,
    as_json: bool,
) -> None:
    """Show all of it: three processes on this machine, both modes.

    Makes certificates, starts a dealer and an owner, and asks as a user; the model is one that
    `veracity import` takes, or a calibrated .vprog file.
    """
    from veracity.benchmarks.demo import demo as run
    from veracity.benchmarks.demo import told_by

    begun: set[str] = set()

    def show(current: str, line: dict[str, Any]) -> None:
        if as_json or quiet:
            return
        if current not in begun:
            begun.add(current)
            emit(f"\n{current}: ", newline=False)
        emit(printable(line["text"]), newline=False)
        sys.stdout.flush()

    shares = {"load": 0.1, "observe": 0.5, "scales": 0.2, "accuracy": 0.2}
    with contextlib.ExitStack() as drawn:
        bar = drawn.enter_context(Bar(shares, quiet=quiet or as_json))

        def progress(phase: str, share: float) -> None:
            if phase in shares:
                bar(phase, share)
            else:
                drawn.close()  # from here on the answer is what moves

        found = run(
            model,
            prompt=prompt,
            modes=mode or ("secure", "shuffled"),
            max_new_tokens=max_new_tokens,
            folder=keep,
            backend=backend,
            progress=progress,
            on_token=show,
        )
    if as_json:
        emit_json({one.mode: asdict(one) for one in found})
        return
    emit("")
    for one in found:
        show_table(
            [
                ("prompt", one.prompt),
                ("answer", one.answer.strip()),
                ("time in all", f"{clock(one.total_s)} for {len(one.tokens)} tokens"),
                ("online", f"{clock(one.mean('online_s'))} a token"),
                ("before", f"{clock(one.mean('deal_s', 'fetch_s', 'ready_s'))} a token"),
                ("traffic online", f"{size(one.mean('sent_bytes', 'received_bytes'))} a token"),
                ("by formula", f"{size(one.mean('formula_bytes'))} a token"),
                ("traffic before", f"{size(one.mean('offline_bytes'))} a token"),
                ("round trips", f"{one.mean('round_trips'):g} a token"),
                *((f"memory of the {who}", size(n)) for who, n in one.peak_memory_bytes.items()),
                *told_by(one),
            ],
            title=f"{one.mode}: figures of the tokens after the first one",
        )
        if one.turns:
            show_table(
                [(words.strip(), printable(said).strip()) for words, said in one.turns],
                title=f"{one.mode}: turns of a conversation through `veracity private proxy`",
            )


@click.command()
@click.argument("model")
@click.option("--mode", type=MODE, default="secure", show_default=True)
@click.option(
    "--context",
    default=64,
    show_default=True,
    type=click.IntRange(2),
    help="Tokens before the first token that is measured.",
)
@click.option("--tokens", default=3, show_default=True, type=click.IntRange(1), help="Measured.")
@click.option("--rtt-ms", default=10.0, show_default=True, type=FiniteFloat(0))
@click.option("--mbps", default=1000.0, show_default=True, type=FiniteFloat(0, min_open=True))
@click.option(
    "--cap",
    "cap_mb",
    type=click.IntRange(1),
    help="Deal and use material as in a question, with so many MB at each party at most "
    "[default: all before the first pass].",
)
@click.option("--keep", type=FOLDER, help="Folder to keep model and masked weights in.")
@backend_option
@quiet_option
@json_option
def bench(
    model: str,
    mode: str,
    context: int,
    tokens: int,
    rtt_ms: float,
    mbps: float,
    cap_mb: int | None,
    keep: Path | None,
    backend: str,
    quiet: bool,
    as_json: bool,
) -> None:
    """Measure a token: separate processes, an emulated network between owner and user.

    MODEL is what `veracity import` takes, or a calibrated .vprog file. Material is dealt before the
    first pass; online and offline are told apart. Bytes are payload, both ways. With --cap a whole
    question is measured, too: --context 1000 is what a prompt of 1,000 tokens takes.
    """
    from veracity.benchmarks.private import bench as run

    shares = {"load": 0.02, "observe": 0.1, "scales": 0.02, "accuracy": 0.1, "parties": 1.0}
    with Bar(shares, quiet=quiet or as_json) as bar:
        facts = run(
            model,
            mode=mode,
            context=context,
            tokens=tokens,
            rtt_ms=rtt_ms,
            mbps=mbps,
            cap_mb=cap_mb,
            folder=keep,
            backend=backend,
            progress=bar,
        )
    if as_json:
        emit_json(facts)
        return
    show_table((name.replace("_", " "), value) for name, value in flatten(facts))
