"""`evaluate`: how many labelled examples a network gets right, with a proof or without."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from veracity.cli.display import Bar, clock, show_table, size
from veracity.cli.errors import explained
from veracity.cli.inputs import NewFile
from veracity.cli.options import (
    FILE,
    backend_option,
    force_option,
    jobs_option,
    json_option,
    memory_option,
    quiet_option,
    ray_option,
    threads_option,
)
from veracity.cli.output import emit_json
from veracity.codec import check_target, sibling
from veracity.formats.accuracy import ACCURACY_KIND
from veracity.progress import PHASES
from veracity.proving.accuracy import attach as name_proof
from veracity.proving.accuracy import evaluate as evaluate_network
from veracity.proving.accuracy import require_pair

__all__ = ["evaluate"]


@click.command()
@click.argument("program", type=FILE)
@click.option(
    "--samples", required=True, type=FILE, help="Inputs and labels `y`, one for one (.npz)."
)
@click.option("--prove", "proving", is_flag=True, help="Prove the answers.")
@click.option("--secret", type=FILE, help="The network's .vsec file [default: PROGRAM with .vsec].")
@click.option("--out", type=NewFile(), help="Where to write the proof [default: accuracy.vproof].")
@click.option("--attach", type=FILE, help="Name the proof in this .vcom file, which is rewritten.")
@click.option("--output", metavar="NAME", help="The output whose largest entry is the answer.")
@click.option("--context", default="", help="Bind the proof to this text, such as a nonce.")
@click.option(
    "--explain", is_flag=True, help="Name what left its range; for the owner only, not for users."
)
@force_option
@memory_option
@jobs_option
@ray_option
@threads_option
@backend_option
@quiet_option
@json_option
def evaluate(
    program: Path,
    samples: Path,
    proving: bool,
    secret: Path | None,
    out: Path | None,
    attach: Path | None,
    output: str | None,
    context: str,
    explain: bool,
    force: bool,
    memory: int | None,
    jobs: int,
    ray: str | None,
    threads: int | None,
    backend: str,
    quiet: bool,
    as_json: bool,
) -> None:
    """Count a network's right answers to labelled examples, and prove them.

    Whoever has the same examples checks the proof with `veracity verify accuracy.vproof
    --commitment NET.vcom --samples FILE`, without the network's weights.
    """
    if not proving and (secret or out or attach or context):
        raise click.UsageError("--secret, --out, --attach and --context go with --prove")
    opening = secret or sibling(program, ".vsec")
    target = out or Path("accuracy.vproof")
    if proving:
        check_target(target, ACCURACY_KIND, reads=[program, opening, samples], force=force)
    if attach is not None:
        require_pair(attach, opening, target.name)
    started = time.perf_counter()
    with explained(explain), Bar(PHASES, quiet=quiet) as bar:
        found = evaluate_network(
            program,
            samples,
            secret=opening if proving else None,
            output=output,
            context=context,
            memory=memory,
            jobs=jobs,
            ray=ray,
            threads=threads,
            backend=backend,
            progress=bar,
        )
        if found.proof is not None:
            found.proof.save(target)
            if attach is not None:
                name_proof(attach, found.proof, target.name)
    took = time.perf_counter() - started
    facts: dict[str, Any] = {
        "correct": found.correct,
        "samples": found.samples,
        "accuracy": round(found.correct / found.samples, 6),
        "examples": found.examples_digest,
        "rounding": found.rounding,
        "seconds": round(took, 3),
    }
    if found.proof is not None:
        facts |= {
            "file": str(target),
            "segments": len(found.proof.cuts) + 1,
            "proof_bytes": target.stat().st_size,
            "commitment": found.proof.commitment_digest,
            "context": context,
            **({} if attach is None else {"attached": str(attach)}),
        }
    if as_json:
        emit_json(facts)
        return
    rows: list[tuple[str, object]] = [
        ("right", f"{found.correct:,} of {found.samples:,} ({100 * facts['accuracy']:.2f} %)"),
        ("examples", f"SHA-256 {found.examples_digest}"),
        *((f"rounding of {name}", f"at most {e:.3g}") for name, e in found.rounding.items()),
    ]
    if found.proof is None:
        rows.append(("proved", "nothing; --prove makes a proof that others can check"))
    else:
        rows += [
            ("proof", f"{target} ({size(facts['proof_bytes'])}) in {clock(took)}"),
            ("commitment", facts["commitment"]),
            *([] if attach is None else [("named in", str(attach))]),
        ]
    show_table(rows)
