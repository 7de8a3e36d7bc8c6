"""The commands of whoever answers with a model: prove, and a nonce for a draw."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from veracity.cli.display import Bar, clock, show_table, size
from veracity.cli.errors import explained
from veracity.cli.inputs import (
    NewFile,
    given_messages,
    given_words,
    message_option,
    prompt_file_option,
    prompts_option,
)
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
from veracity.cli.output import complain, emit_bytes, emit_json
from veracity.cli.prove_answers import prove_several
from veracity.cli.tensors import prove_arrays, refuse_both
from veracity.codec import check_target, sibling
from veracity.errors import UsageError
from veracity.formats.drawing import ServerNonce
from veracity.formats.proof import Proof
from veracity.progress import PHASES
from veracity.proving.prove import prove as prove_answer

__all__ = ["nonce", "prove"]


def require_pipe(as_json: bool) -> None:
    """Raise :class:`UsageError` where a proof cannot go to standard output."""
    if as_json:
        raise UsageError("--out - and --json would share standard output; give --out a file")
    if sys.stdout is not None and sys.stdout.isatty():
        raise UsageError("a proof is no text for a terminal; redirect --out -, or name a file")


@click.command()
@click.argument("program", type=FILE)
@click.option("--secret", type=FILE, help="The model's .vsec file [default: PROGRAM with .vsec].")
@click.option("--prompt", help="What to ask a language model.")
@prompt_file_option
@message_option
@prompts_option
@click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="[NAME=]FILE",
    help="A network's input: numbers (.npy), a picture (.png, .ppm) or what was sealed (.vskey).",
)
@click.option(
    "--seal",
    multiple=True,
    metavar="NAME",
    help="Commit to this input or output of a network instead of showing it.",
)
@click.option("--max-new-tokens", default=32, show_default=True, type=click.IntRange(1))
@click.option("--raw", is_flag=True, help="Do not put the model's chat template around the prompt.")
@click.option("--stop", "stops", multiple=True, metavar="TEXT", help="End the answer at this text.")
@click.option(
    "--temperature",
    metavar="T",
    help="Draw the answer at this temperature, 0.001 to 4 [default: the most likely tokens].",
)
@click.option("--nonce", default="", metavar="HEX", help="The user's part in the seed of a draw.")
@click.option(
    "--server-nonce",
    type=FILE,
    help="The server's part: a file that `veracity nonce` made; for one answer only.",
)
@click.option("--context", default="", help="Bind the proof to this text, such as a nonce.")
@click.option(
    "--explain", is_flag=True, help="Name what left its range; for the owner only, not for users."
)
@click.option(
    "--out",
    default="answer.vproof",
    show_default=True,
    type=FILE,
    help="Where to write; - is standard output.",
)
@force_option
@memory_option
@jobs_option
@ray_option
@threads_option
@backend_option
@quiet_option
@json_option
def prove(
    program: Path,
    secret: Path | None,
    prompt: str | None,
    prompt_file: Path | None,
    messages: tuple[str, ...],
    prompts: Path | None,
    inputs: tuple[str, ...],
    seal: tuple[str, ...],
    max_new_tokens: int,
    raw: bool,
    stops: tuple[str, ...],
    temperature: str | None,
    nonce: str,
    server_nonce: Path | None,
    context: str,
    explain: bool,
    out: Path,
    force: bool,
    memory: int | None,
    jobs: int,
    ray: str | None,
    threads: int | None,
    backend: str,
    quiet: bool,
    as_json: bool,
) -> None:
    """Answer a prompt, or compute a network's output, and prove it.

    The output of a network is written beside the proof, as .npy, or as .png where the input is a
    picture and the output is one. --seal NAME writes PROOF.NAME.vseal, to be published, and
    PROOF.NAME.vskey, which opens it and is the input of a next proof about it. An input with a
    first axis more than the network's holds several samples, proved at once. So are the prompts
    of --prompts: one proof, for whoever may see all of them.
    """
    words = given_words(prompt, prompt_file)
    opening = secret or sibling(program, ".vsec")
    said = given_messages(messages)
    refuse_both(words if prompts is None else str(prompts), inputs, said)
    piped = str(out) == "-"
    if inputs:
        if piped or temperature or nonce or stops or server_nonce:
            raise UsageError("--out -, --stop and what draws answers are for language models only")
        with explained(explain):
            prove_arrays(
                program,
                opening,
                inputs,
                out,
                seal=seal,
                context=context,
                force=force,
                memory=memory,
                jobs=jobs,
                ray=ray,
                threads=threads,
                backend=backend,
                quiet=quiet,
                as_json=as_json,
            )
        return
    if seal:
        raise UsageError("--seal is for networks only")
    if prompts is not None:
        if words is not None or said is not None or temperature or nonce or server_nonce or piped:
            raise UsageError(
                "--prompts stands alone: no other prompt, no drawn answers, and --out is a file"
            )
        with explained(explain):
            prove_several(
                program,
                opening,
                prompts,
                out,
                force=force,
                quiet=quiet,
                as_json=as_json,
                max_new_tokens=max_new_tokens,
                raw=raw,
                stop=stops,
                context=context,
                memory=memory,
                jobs=jobs,
                ray=ray,
                threads=threads,
                backend=backend,
            )
        return
    if piped:
        require_pipe(as_json)
    else:
        check_target(out, b"VPRF", reads=[program, opening], force=force)
    started = time.perf_counter()
    with explained(explain), Bar(PHASES, quiet=quiet) as bar:
        result = prove_answer(
            program,
            opening,
            words,
            messages=said,
            max_new_tokens=max_new_tokens,
            raw=raw,
            stop=stops,
            temperature=temperature,
            nonce=nonce,
            server_nonce=server_nonce,
            context=context,
            memory=memory,
            jobs=jobs,
            ray=ray,
            threads=threads,
            backend=backend,
            progress=bar,
        )
        if not piped:
            result.proof.save(out)
    took = time.perf_counter() - started
    proof_bytes = len(result.proof.to_bytes())
    if piped:
        emit_bytes(result.proof.to_bytes())
        if not quiet:
            complain(f"proof of {size(proof_bytes)} in {clock(took)}")
        return
    facts = {
        "file": str(out),
        "answer": result.answer,
        "prompt_tokens": result.proof.prompt_length,
        "answer_tokens": len(result.proof.answer),
        "segments": len(result.proof.cuts) + 1,
        "proof_bytes": proof_bytes,
        "commitment": result.proof.commitment_digest,
        "context": context,
        **({} if temperature is None else drawn_facts(result.proof)),
        "prove_s": round(took, 3),
    }
    if as_json:
        emit_json(facts)
        return
    show_table(
        [
            *([("prompt", words)] if said is None else said),
            ("answer", result.answer.strip()),
            ("", ""),
            ("proof", f"{out} ({size(proof_bytes)}) in {clock(took)}"),
            ("tokens", f"{facts['prompt_tokens']} prompt, {facts['answer_tokens']} answer"),
            *(drawn_facts(result.proof).items() if temperature is not None else ()),
            ("commitment", result.proof.commitment_digest),
        ]
    )


def drawn_facts(proof: Proof) -> dict[str, str]:
    """How an answer was drawn."""
    drawing = proof.drawing
    if drawing is None:
        return {}
    return {
        "temperature": drawing.shown_temperature,
        "nonce": drawing.user_nonce.hex(),
        "server_nonce": drawing.server_digest,
    }


@click.command()
@click.argument("file", type=NewFile())
@force_option
@json_option
def nonce(file: Path, force: bool, as_json: bool) -> None:
    """Make a server's nonce for one drawn answer, and print its digest.

    Tell the digest to the user before the user tells a nonce; keep FILE to yourself until then and
    prove with --server-nonce FILE. The user verifies with --nonce and --server-nonce, and knows
    that neither side chose among answers.
    """
    check_target(file, b"VNCE", force=force)
    made = ServerNonce.new()
    made.save(file)
    if as_json:
        emit_json({"file": str(file), "digest": made.digest})
        return
    show_table([("secret", f"{file}: for one answer, mode 0600"), ("digest", made.digest)])
