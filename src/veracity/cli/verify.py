"""The commands of those who trust nobody: verify and inspect."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from veracity.cli.display import Bar, clock, emit_json, flatten, show_table, size
from veracity.cli.errors import EXIT_FALSE, fail
from veracity.cli.options import FILE, backend_option, json_option, quiet_option, threads_option
from veracity.errors import FormatError, VerificationError
from veracity.formats.commitment import Commitment
from veracity.proving.inspect import inspect_file
from veracity.proving.verify import verify as verify_answer

__all__ = ["inspect", "verify"]


@click.command()
@click.argument("proof", type=FILE)
@click.option(
    "--commitment",
    required=True,
    type=FILE,
    help="The model you trust to be the right one (.vcom).",
)
@click.option("--prompt", help="Words you expect to have been asked; every character counts.")
@click.option("--answer", help="Words you expect to be the answer.")
@click.option("--raw", is_flag=True, help="Expect the prompt without the model's chat template.")
@threads_option
@backend_option
@quiet_option
@json_option
def verify(
    proof: Path,
    commitment: Path,
    prompt: str | None,
    answer: str | None,
    raw: bool,
    threads: int | None,
    backend: str,
    quiet: bool,
    as_json: bool,
) -> None:
    """Check a proved answer and print what it says.

    The prompt and the answer are decoded from the proved token ids with the tokenizer that the
    commitment pins; the prompt's ids must be the ones that its text has. Exit code 0: proved; 1:
    false; 2: a file is missing or of the wrong kind.
    """
    pinned = Commitment.load(commitment)
    try:
        with Bar({"load": 0.1, "verify": 0.9}, quiet=quiet) as bar:
            result = verify_answer(
                proof,
                pinned,
                prompt=prompt,
                answer=answer,
                raw=raw,
                threads=threads,
                backend=backend,
                progress=bar,
            )
    except (VerificationError, FormatError) as error:
        if as_json:
            emit_json({"accepted": False, "kind": type(error).__name__, "error": str(error)})
        fail(error, EXIT_FALSE, "verify")
    if as_json:
        emit_json(result.to_plain())
        return
    model = result.metadata
    ending = "ended by the model" if result.complete else "cut there, not ended by the model"
    show_table(
        [
            ("prompt", exact(result.prompt)),
            ("answer", result.answer.strip()),
            ("", ""),
            ("result", f"ACCEPTED in {clock(result.seconds)}, proof of {size(result.proof_bytes)}"),
            (
                "tokens",
                f"{result.prompt_tokens} prompt ({result.frame}), "
                f"{result.answer_tokens} answer, {ending}",
            ),
            ("commitment", result.commitment_digest),
            ("program", model.program_digest),
            ("proved", f"that {result.proved}"),
            ("not proved", result.not_proved),
        ]
    )
    stated = {
        "model": f"{model.source.get('name', '?')}, {model.parameters:,} parameters",
        "weights file": model.source.get("sha256", "?"),
        "quantisation": one_line(model.quantisation),
        "calibration": one_line(model.calibration),
        "accuracy": one_line(model.accuracy),
    }
    show_table(stated.items(), title="stated by the publisher, not proved")


def exact(text: str) -> str:
    """A prompt for people: quoted where white space at its ends would go unseen."""
    plain = text and text == text.strip() and not text.startswith('"')
    return text if plain else json.dumps(text, ensure_ascii=False)


def one_line(facts: Mapping[str, Any]) -> str:
    """Nested facts on one line."""
    return "; ".join(f"{name} {value}" for name, value in flatten(facts))


@click.command()
@click.argument("file", type=FILE)
@json_option
def inspect(file: Path, as_json: bool) -> None:
    """Tell what a file of this package holds.

    Takes .vprog, .vcom, .vsec and .vproof files; shows nothing secret.
    """
    facts = inspect_file(file)
    if as_json:
        emit_json(facts)
    else:
        show_table(flatten(facts))
