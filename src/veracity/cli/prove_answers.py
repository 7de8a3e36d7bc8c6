"""`prove --prompts`: several prompts with one proof."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from veracity.cli.display import Bar, clock, show_table, size
from veracity.cli.inputs import given_prompts
from veracity.cli.output import emit_json
from veracity.codec import check_target
from veracity.formats.answers import ANSWERS_KIND
from veracity.progress import PHASES

__all__ = ["prove_several"]


def prove_several(
    program: Path,
    secret: Path,
    prompts: Path,
    out: Path,
    *,
    force: bool,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Answer the prompts of a file and prove all answers with one proof.

    Parameters
    ----------
    program, secret : Path
        The model's files.
    prompts : Path
        A line of JSON for each prompt.
    out : Path
        Where the proof goes.
    force, quiet, as_json : bool
        Options of the command.
    options : mapping
        As of :func:`veracity.prove_answers`.
    """
    from veracity.proving.prove_answers import prove_answers

    given = given_prompts(prompts)
    check_target(out, ANSWERS_KIND, reads=[program, secret, prompts], force=force)
    started = time.perf_counter()
    with Bar(PHASES, quiet=quiet) as bar:
        found = prove_answers(program, secret, given, **options, progress=bar)
        found.proof.save(out)
    took, proof = time.perf_counter() - started, found.proof
    proof_bytes = out.stat().st_size
    if as_json:
        emit_json(
            {
                "file": str(out),
                "answers": list(found.answers),
                "segments": len(proof.cuts) + 1,
                "proof_bytes": proof_bytes,
                "commitment": proof.commitment_digest,
                "context": proof.context,
                "seconds": round(took, 3),
            }
        )
        return
    rows: list[tuple[str, object]] = [
        (f"answer {number}", text.strip()) for number, text in enumerate(found.answers, 1)
    ]
    show_table(
        [
            *rows,
            ("proof", f"{out} ({size(proof_bytes)}) in {clock(took)}"),
            ("commitment", proof.commitment_digest),
        ]
    )
