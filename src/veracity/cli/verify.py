"""The command of those who trust nobody: verify.

What a kind of proof needs is loaded when one of that kind is met.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from veracity.cli.display import Bar
from veracity.cli.errors import EXIT_FALSE, error_facts, hint
from veracity.cli.inputs import (
    given_messages,
    given_prompts,
    given_words,
    message_option,
    prompt_file_option,
    prompts_option,
    stream,
)
from veracity.cli.options import FILE, backend_option, json_option, quiet_option, threads_option
from veracity.cli.output import emit_json
from veracity.cli.printable import quoted
from veracity.cli.report import report_option
from veracity.cli.verdict import REJECTED
from veracity.cli.verify_answer import tell_accepted, tell_answers
from veracity.cli.verify_more import check_promise, check_signer, require_used, verify_many
from veracity.cli.verify_training import check_training, tell_trained
from veracity.errors import MismatchError, UsageError, VerificationError
from veracity.formats.commitment import Commitment
from veracity.proving.proofs import load_proof
from veracity.proving.verify import read_digest
from veracity.proving.verify import verify as verify_answer
from veracity.work.effort import MAX_TIME

if TYPE_CHECKING:
    from veracity.training.verify import VerifiedTraining

__all__ = ["verify"]

#: How much of two texts is shown from where they differ (characters).
EXCERPT = 40


@click.command()
@click.argument("proofs", metavar="PROOF...", type=FILE, nargs=-1, required=True)
@click.option(
    "--commitment",
    required=True,
    type=FILE,
    help="The model you trust to be the right one (.vcom).",
)
@click.option("--digest", metavar="HEX", help="The commitment's digest, as its publisher says.")
@click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="[NAME=]FILE",
    help="A network's input: numbers (.npy), a picture (.png, .ppm) or a seal (.vseal).",
)
@click.option(
    "--output",
    "outputs",
    multiple=True,
    metavar="[NAME=]FILE",
    help="A network's output, likewise; of a proof about accuracy the NAME of the scores.",
)
@click.option("--samples", type=FILE, help="The examples of a proof about accuracy (.npz).")
@click.option("--prompt", help="Words you expect to have been asked; every character counts.")
@prompt_file_option
@message_option
@prompts_option
@click.option("--temperature", metavar="T", help="Expect a draw at this temperature; 0 for none.")
@click.option("--nonce", metavar="HEX", help="Your own nonce: the prover chose no other.")
@click.option(
    "--server-nonce", metavar="HEX", help="The digest that the server told before you told yours."
)
@click.option("--answer", help="Words you expect to be the answer.")
@click.option("--raw", is_flag=True, help="Expect the prompt without the model's chat template.")
@click.option("--context", help="What you expect the proof to be bound to, such as your nonce.")
@click.option("--training", type=FILE, help="Also check where the model came from (.vtrain).")
@click.option("--data", type=FILE, multiple=True, help="Every data set it was trained on (.vdata).")
@click.option(
    "--max-time",
    type=float,
    default=MAX_TIME,
    show_default=True,
    metavar="SECONDS",
    help="Refuse to begin a check that may take longer.",
)
@click.option("--init", type=FILE, help="The model that training started from (.vcom), if any.")
@click.option("--receipt", type=FILE, help="A server's receipt that the proof has to keep.")
@click.option("--publisher", type=FILE, help="Its publisher's public key (PEM).")
@click.option("--signer", type=FILE, help="Public key that has to have signed the commitment.")
@click.option("--signature", type=FILE, help="Its signature [default: COMMITMENT.sig].")
@report_option
@threads_option
@backend_option
@quiet_option
@json_option
def verify(
    proofs: tuple[Path, ...],
    commitment: Path,
    digest: str | None,
    inputs: tuple[str, ...],
    outputs: tuple[str, ...],
    samples: Path | None,
    prompt: str | None,
    prompt_file: Path | None,
    messages: tuple[str, ...],
    prompts: Path | None,
    temperature: str | None,
    nonce: str | None,
    server_nonce: str | None,
    answer: str | None,
    raw: bool,
    context: str | None,
    training: Path | None,
    data: tuple[Path, ...],
    max_time: float,
    init: Path | None,
    receipt: Path | None,
    publisher: Path | None,
    signer: Path | None,
    signature: Path | None,
    threads: int | None,
    backend: str,
    quiet: bool,
    as_json: bool,
) -> None:
    """Check a proved answer, a network's output or accuracy, or training; print what is proved.

    The first line is ACCEPTED or REJECTED. The prompt and the answer are decoded from the proved
    token ids with the tokenizer that the commitment pins; the prompt's ids must be the ones that
    its text has. Exit code 0: proved; 1: false, or not what was expected; 2: undecidable, such as
    a file that is missing, incomplete, of another version or of the wrong kind. PROOF may be -,
    standard input. Several proofs of answers make a table and one exit code.
    """
    proof = proofs[0]
    if [*map(str, proofs), str(commitment), str(prompt_file)].count("-") > 1:
        raise UsageError("standard input holds one file only; name the others")
    expected = given_words(prompt, prompt_file)
    digest = None if digest is None else read_digest(digest)
    pinned = Commitment.load(stream(commitment))
    common: dict[str, Any] = {"digest": digest, "threads": threads, "backend": backend}
    chain = {**common, "init": init, "max_time": max_time, "quiet": quiet}
    given = load_proof(stream(proof)) if len(proofs) == 1 else None
    kind = "several" if given is None else given.kind
    require_used(kind, click.get_current_context().params)
    checking: dict[str, Any] = {**common, "context": context, "max_time": max_time}
    trained: VerifiedTraining | None = None
    with judging(as_json):
        if signer is not None:
            check_signer(signer, signature, commitment, pinned)
        if given is None:
            verify_many(proofs, pinned, as_json=as_json, **checking)
            return
        if given.kind == "training":
            tell_trained(check_training(given, pinned, data, **chain), as_json)
            return
        if training is not None:
            trained = check_training(training, pinned, data, **chain)
    phases = {"load": 0.1, "verify": 0.9}
    if given.kind == "answer":
        with judging(as_json), Bar(phases, quiet=quiet) as bar:
            result = verify_answer(
                given,
                pinned,
                prompt=expected,
                messages=given_messages(messages),
                temperature=temperature,
                nonce=nonce,
                server_nonce=server_nonce,
                answer=answer,
                raw=raw,
                **checking,
                progress=bar,
            )
            if receipt is not None:
                check_promise(receipt, publisher, given, pinned, max_time)
        tell_accepted(result, as_json, trained)
        return
    if given.kind == "answers":
        from veracity.proving.verify_answers import verify_answers

        wanted = None if prompts is None else given_prompts(prompts)
        with judging(as_json), Bar(phases, quiet=quiet) as bar:
            several = verify_answers(
                given, pinned, prompts=wanted, raw=raw, **checking, progress=bar
            )
        tell_answers(several, as_json, trained)
        return
    if given.kind == "accuracy":
        from veracity.cli.verify_accuracy import tell_accuracy
        from veracity.proving.verify_accuracy import verify_accuracy

        if samples is None or len(outputs) > 1:
            raise UsageError(
                "a proof about accuracy needs --samples, which it does not hold; "
                "--output takes the name of the scores"
            )
        scores = outputs[0] if outputs else None
        with judging(as_json), Bar(phases, quiet=quiet) as bar:
            found = verify_accuracy(given, pinned, samples, output=scores, **checking, progress=bar)
        tell_accuracy(found, as_json, trained)
        return
    from veracity.cli.tensors import read_ports
    from veracity.cli.verify_tensors import tell_tensors
    from veracity.proving.verify_tensors import verify_tensors

    arrays = read_ports(inputs, outputs)
    with judging(as_json), Bar(phases, quiet=quiet) as bar:
        verified = verify_tensors(given, pinned, *arrays, **checking, progress=bar)
    tell_tensors(verified, as_json, trained)


@contextmanager
def judging(as_json: bool) -> Iterator[None]:
    """Ends the command with a verdict where what is within finds a proof false."""
    try:
        yield
    except VerificationError as error:
        tell_rejected(error, as_json)
        raise click.exceptions.Exit(EXIT_FALSE) from None


def tell_rejected(error: VerificationError, as_json: bool) -> None:
    """Why a proof is not accepted: in plain words, then the place that found it."""
    differ = mismatch(error) if isinstance(error, MismatchError) else {}
    if as_json:
        facts = error_facts(error, EXIT_FALSE, "verify")
        found = {"mismatch": differ} if differ else {}
        emit_json({"accepted": False, **facts, **found}, verdict=EXIT_FALSE)
        return
    rows: list[tuple[str, object]] = [("reason", error.reason)]
    if isinstance(error, MismatchError):
        rows += difference(error)
    else:
        rows.append(("found by", error.where))
    REJECTED.begin()
    REJECTED.show([*rows, ("next", hint(error, "verify"))])


def mismatch(error: MismatchError) -> dict[str, Any]:
    """What was expected and what is proved, as plain data."""
    return {
        "what": error.what,
        "expected": error.expected,
        "proved": error.proved,
        "first_difference": error.first_difference,
    }


def difference(error: MismatchError) -> list[tuple[str, object]]:
    """Both texts, and where they part, as rows of a table."""
    at = error.first_difference
    start = max(0, at - EXCERPT // 2)
    rows: list[tuple[str, object]] = [
        ("expected", quoted(error.expected)),
        ("proved", quoted(error.proved)),
        ("", ""),
        ("they differ", f"from character {at + 1} on, after {quoted(error.proved[start:at])}:"),
    ]
    for name, text in (("expected", error.expected), ("proved", error.proved)):
        rest = text[at : at + EXCERPT]
        rows.append((f"  {name}", f">>> {quoted(rest)}" if rest else ">>> nothing more"))
    return rows
