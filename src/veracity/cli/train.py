"""``veracity train``: a recipe, data and a folder in; a proved model out."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from veracity.cli.display import Bar, clock, flatten, show_table, size
from veracity.cli.options import (
    FILE,
    Bytes,
    backend_option,
    force_option,
    jobs_option,
    json_option,
    quiet_option,
    threads_option,
)
from veracity.cli.output import emit_json
from veracity.cli.owners import FOLDER, SOURCES, data_options, load_owners, reopen, sources_of
from veracity.codec import check_target
from veracity.engine import load_engine
from veracity.errors import UsageError
from veracity.formats.commitment import Commitment
from veracity.formats.data import DataFile
from veracity.training.base import load_base, public_base
from veracity.training.curves import check_held_out, read_curves
from veracity.training.data import read_examples
from veracity.training.estimate import estimate_run, fit_window
from veracity.training.finish import finish_run, save_finished
from veracity.training.jobs import train_with_jobs
from veracity.training.plot import plot_run
from veracity.training.recipe import read_plan
from veracity.training.rehearsal import rehearse
from veracity.training.runner import DESCRIPTION, RunFolder, begin_run
from veracity.training.train import run_of, run_on

__all__ = ["train"]

SHARES = {"train": 0.35, "commit": 0.2, "lookups": 0.25, "products": 0.1, "opening": 0.1}
EXAMPLES = click.Path(path_type=Path)
window_memory_option = click.option(
    "--memory", type=Bytes(), help="Most memory of all processes that prove: shortens windows."
)
FINISH = {"commit": 0.6, "lookups": 0.2, "products": 0.1, "opening": 0.1}


class RunsByDefault(click.Group):
    """A group whose first word may be a recipe: then it is the command ``run``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put ``run`` before anything that is no command of the group."""
        if args and args[0] not in self.commands and args[0] not in ("-h", "--help"):
            args = ["run", *args]
        return super().parse_args(ctx, args)


@click.group(cls=RunsByDefault)
def train() -> None:
    """Train a network on committed data, with a proof.

    \b
      veracity train recipe.toml --data d.vdata --data-secret d.vdsec --out run/
      veracity train --resume run/
      veracity train finish run/ --model net.vprog --commitment net.vcom --secret net.vsec \\
          --proof net.vtrain
      veracity verify net.vtrain --commitment net.vcom --data d.vdata
    """  # noqa: D301 (click reads the backspace)


@train.command()
@click.argument("recipe", type=FILE, required=False)
@data_options
@click.option("--init-model", type=FILE, help="Program of the model to start from, .vprog.")
@click.option("--init-secret", type=FILE, help="What opens it, .vsec [default: beside its .vcom].")
@click.option("--held-out", type=EXAMPLES, help="Examples to tell the accuracy on; stay private.")
@click.option("--out", type=FOLDER, help="Folder of the run.")
@click.option("--resume", type=FOLDER, help="Go on with the run in this folder.")
@click.option(
    "--dry-run", is_flag=True, help="Tell cost, and compare one epoch with float32; keep nothing."
)
@window_memory_option
@jobs_option
@threads_option
@backend_option
@quiet_option
@json_option
def run(
    recipe: Path | None,
    sets: tuple[Path, ...],
    secrets: tuple[Path, ...],
    init_model: Path | None,
    init_secret: Path | None,
    held_out: Path | None,
    out: Path | None,
    resume: Path | None,
    dry_run: bool,
    memory: int | None,
    jobs: int,
    threads: int | None,
    backend: str,
    quiet: bool,
    as_json: bool,
) -> None:
    """Train and prove, window after window; can be stopped at any moment and resumed."""
    started, engine = time.perf_counter(), load_engine(backend, threads=threads)
    if (recipe is None) == (resume is None):
        raise UsageError("give a recipe to begin a run, or --resume FOLDER to go on with one")
    if resume is not None:
        folder, owners = reopen(resume, engine, sets, secrets)
    elif recipe is not None:
        owners = load_owners(sets, secrets)
        plan = read_plan(recipe)
        base = load_base(plan.init, init_model, init_secret) if plan.init else None
        apart = None if held_out is None else read_examples(held_out)
        if memory is not None:
            plan = replace(
                plan, window=fit_window(plan, [data for data, _ in owners], memory, jobs)
            )
        planned = run_of(plan, owners, base)
        if apart is not None:  # before anything is written
            check_held_out(apart, planned.recipe)
        if dry_run:
            with Bar({"train": 1.0}, quiet=quiet) as bar:
                found = rehearse(plan, planned, owners, base, apart, bar)
            tell(
                {
                    "recipe": planned.recipe.to_json(),
                    "estimate": estimate_run(planned, engine).to_plain(),
                    "one_epoch": found.to_plain(),
                },
                as_json,
            )
            return
        if out is None:
            raise UsageError("give --out FOLDER for the run")
        notes = {SOURCES: sources_of(sets, secrets, base, held_out)}
        folder = begin_run(out, engine, planned, owners, notes, base)
        folder.held_out = apart
    with Bar(SHARES, quiet=quiet) as bar:
        train_with_jobs(folder, owners, jobs, threads=threads, backend=backend, progress=bar)
    took = time.perf_counter() - started
    tell({**facts_of(folder), "seconds": round(took, 3), "next": finish_hint(folder)}, as_json)


def finish_hint(folder: RunFolder) -> str:
    """The command that comes after training."""
    return (
        f"veracity train finish {folder.path} --model net.vprog --commitment net.vcom "
        "--secret net.vsec --proof net.vtrain"
    )


def facts_of(folder: RunFolder) -> dict[str, Any]:
    """Where a run stands."""
    ranges, done = folder.run.ranges(), folder.done()
    windows = [w for w in map(folder.window, range(done)) if w is not None]
    curves = read_curves(folder.path)
    losses = list(curves.loss.values())[-50:]
    return {
        "folder": str(folder.path),
        "steps": folder.run.recipe.steps,
        "steps_proved": ranges[done - 1][1] if done else 0,
        "windows": len(ranges),
        "windows_proved": done,
        "proof_bytes": sum(len(w.rows) + len(w.proof) for w in windows),
        "loss": round(sum(losses) / len(losses), 4) if losses else None,
        "accuracy": next(reversed(curves.accuracy.values()), None),
    }


def tell(facts: dict[str, Any], as_json: bool) -> None:
    """Facts as JSON, or as a table."""
    if as_json:
        emit_json(facts)
    else:
        show_table(flatten(facts))


@train.command()
@click.argument("recipe", type=FILE)
@click.option("--data", "sets", type=FILE, multiple=True, required=True, help="A data set, .vdata.")
@window_memory_option
@jobs_option
@threads_option
@backend_option
@json_option
def estimate(
    recipe: Path,
    sets: tuple[Path, ...],
    memory: int | None,
    jobs: int,
    threads: int | None,
    backend: str,
    as_json: bool,
) -> None:
    """Tell time, memory and proof size of a run; needs no secret.

    With --memory a window has as many steps as fit, up to the recipe's.
    """
    plan, data = read_plan(recipe), [DataFile.load(path) for path in sets]
    base = public_base(Commitment.load(plan.init)) if plan.init else None
    if memory is not None:
        plan = replace(plan, window=fit_window(plan, data, memory, jobs))
    planned = run_on(plan, [found.commitment for found in data], base)
    cost = estimate_run(planned, load_engine(backend, threads=threads))
    if as_json:
        emit_json(cost.to_plain())
        return
    show_table(
        [
            ("network", f"{cost.parameters:,} parameters"),
            ("windows", f"{cost.windows} of {cost.window} steps, {cost.steps:,} in all"),
            ("lookups", f"{cost.lookups:,}"),
            ("committed values", f"{cost.committed_values:,}"),
            ("time to train", f"about {clock(cost.train_s)}"),
            ("time to prove", f"about {clock(cost.prove_s)}, in one process"),
            ("time to verify", f"about {clock(cost.verify_s)}"),
            ("proof", size(cost.proof_bytes)),
            ("peak memory", f"about {size(cost.peak_memory_bytes)} in a process that proves"),
        ],
        title=f"to train by {recipe.name}",
    )


@train.command()
@click.argument("folder", type=FOLDER)
@data_options
@json_option
def status(folder: Path, sets: tuple[Path, ...], secrets: tuple[Path, ...], as_json: bool) -> None:
    """Tell where a run stands."""
    tell(facts_of(reopen(folder, load_engine("cpu"), sets, secrets)[0]), as_json)


@train.command()
@click.argument("folder", type=FOLDER)
@click.option("--out", type=FILE, required=True, help="Where to draw: .png, .svg or .pdf.")
@force_option
@json_option
def plot(folder: Path, out: Path, force: bool, as_json: bool) -> None:
    """Draw how a run goes: loss, accuracy on examples held out, time. Needs `veracity[plot]`."""
    check_target(out, b"", reads=[folder / DESCRIPTION], force=force)
    curves = plot_run(folder, out)
    facts = {"file": str(out), "steps": max(curves.loss), "windows": len(curves.seconds)}
    tell(facts, as_json)


@train.command()
@click.argument("folder", type=FOLDER)
@data_options
@click.option("--model", type=FILE, required=True, help="The trained network, .vprog; private.")
@click.option("--commitment", type=FILE, required=True, help="What to publish, .vcom.")
@click.option("--secret", type=FILE, required=True, help="What opens it, .vsec; keep it.")
@click.option("--proof", type=FILE, required=True, help="The training proof, .vtrain.")
@click.option("--force", is_flag=True, help="Replace what stands there already.")
@threads_option
@backend_option
@quiet_option
@json_option
def finish(
    folder: Path,
    sets: tuple[Path, ...],
    secrets: tuple[Path, ...],
    model: Path,
    commitment: Path,
    secret: Path,
    proof: Path,
    force: bool,
    threads: int | None,
    backend: str,
    quiet: bool,
    as_json: bool,
) -> None:
    """Round the trained weights, commit to them, and prove that they are the run's."""
    outputs = {secret: b"VSEC", commitment: b"VCOM", proof: b"VTRN", model: b"VPRG"}
    for path, kind in outputs.items():
        check_target(path, kind, reads=[p for p in outputs if p != path], force=force)
    started = time.perf_counter()
    engine = load_engine(backend, threads=threads)
    opened, _ = reopen(folder, engine, sets, secrets)
    with Bar(FINISH, quiet=quiet) as bar:
        finished = finish_run(opened, bar)
        save_finished(finished, model, commitment, secret, proof)
    facts: dict[str, Any] = {
        "model": str(model),
        "commitment": str(commitment),
        "secret": str(secret),
        "proof": str(proof),
        "digest": finished[1].digest,
        "proof_bytes": proof.stat().st_size,
        "finish_s": round(time.perf_counter() - started, 3),
    }
    if as_json:
        emit_json(facts)
        return
    show_table(
        [
            ("public", f"{commitment}, and {proof} ({size(facts['proof_bytes'])}): publish them"),
            ("private", f"{model} and {secret}: keep them"),
            ("digest", finished[1].digest),
            ("time", clock(facts["finish_s"])),
        ]
    )
