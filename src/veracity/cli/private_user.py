"""Asking privately: the user's command."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from dataclasses import asdict
from pathlib import Path

import click

from veracity.cli.display import Bar, clock, size
from veracity.cli.inputs import FiniteFloat, given_words, prompt_file_option
from veracity.cli.options import backend_option, json_option, quiet_option
from veracity.cli.output import complain, emit, emit_json
from veracity.cli.printable import printable
from veracity.cli.private_options import MODE, link_options
from veracity.errors import UsageError

__all__ = ["ask"]


@click.command()
@click.argument("prompt", required=False)
@prompt_file_option
@click.option("--server", required=True, help="HOST:PORT of the owner.")
@click.option("--dealer", required=True, help="HOST:PORT of the dealer.")
@click.option("--max-new-tokens", default=24, show_default=True, type=click.IntRange(1))
@click.option("--raw", is_flag=True, help="Do not put the model's chat template around the prompt.")
@click.option(
    "--hide-length", is_flag=True, help="Run all passes: nobody learns where the answer ends."
)
@click.option(
    "--resume",
    default=1,
    show_default=True,
    type=click.IntRange(0),
    help="How often an answer that breaks off is taken up in a new session.",
)
@click.option(
    "--temperature",
    type=FiniteFloat(0, 100, min_open=True),
    help="Draw tokens instead of taking the most likely one; not in mode `secure`.",
)
@click.option("--top-k", default=0, type=click.IntRange(0), help="Draw among so many tokens only.")
@click.option("--mode", type=MODE, help="Insist on this mode.")
@click.option("--model", help="Insist on the model with this card digest.")
@link_options
@backend_option
@click.option(
    "--wait",
    default=5.0,
    show_default=True,
    type=FiniteFloat(0),
    help="Seconds to try to reach a party.",
)
@click.option("--lines", is_flag=True, help="Print one JSON object for each token as it comes.")
@quiet_option
@json_option
def ask(
    prompt: str | None,
    prompt_file: Path | None,
    server: str,
    dealer: str,
    max_new_tokens: int,
    raw: bool,
    hide_length: bool,
    resume: int,
    temperature: float | None,
    top_k: int,
    mode: str | None,
    model: str | None,
    identity: Path | None,
    insecure: bool,
    cache: Path | None,
    cap_mb: int,
    timeout: float,
    backend: str,
    wait: float,
    lines: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Ask a served model; nobody else learns the prompt or the answer.

    Owner and dealer learn how many tokens prompt and answer have. The answer goes to standard
    output as it comes, a line of figures for each token to standard error.
    """
    from veracity.private.client import Client, Token
    from veracity.private.sampling import Sampling

    if top_k and temperature is None:
        raise UsageError("--top-k needs --temperature")
    words = given_words(prompt, prompt_file)
    if words is None:
        raise UsageError("nothing is asked; give the prompt, or --prompt-file FILE")

    def show(token: Token, number: int) -> None:
        if lines:
            emit_json({"token": token.id, "text": token.text, **asdict(token.report)}, indent=0)
        if lines or as_json:
            return
        emit(printable(token.text), newline=False)
        sys.stdout.flush()
        if not quiet:
            report = token.report
            both = sys.stdout.isatty() and sys.stderr.isatty()
            complain(
                f"{'  ' if both else ''}[{number}] {clock(report.online_s)} online, "
                f"{clock(report.offline_s)} before, {size(report.online_bytes)}, "
                f"{report.round_trips:g} round trips"
            )

    async def run(bar: Bar, drawn: contextlib.ExitStack) -> list[Token]:
        client = Client(
            server, dealer, identity=identity, insecure=insecure, cache=cache,
            cap=cap_mb * 10**6, mode=mode, model=model, timeout=timeout, wait=wait, backend=backend,
            progress=bar,
        )  # fmt: skip
        found: list[Token] = []
        answer = client.generate(
            words,
            max_new_tokens,
            raw=raw,
            hide_length=hide_length,
            resume=resume,
            sampling=None if temperature is None else Sampling(temperature, top_k),
        )
        async for token in answer:
            drawn.close()  # the bar leaves before the answer comes
            found.append(token)
            show(token, len(found))
        return found

    with contextlib.ExitStack() as drawn:
        bar = drawn.enter_context(Bar({"weights": 1.0}, quiet=quiet or as_json or lines))
        tokens = asyncio.run(run(bar, drawn))
    answer = "".join(token.text for token in tokens)
    if as_json:
        emit_json(
            {
                "answer": answer,
                "token_ids": [token.id for token in tokens],
                "online_s": round(sum(t.report.online_s for t in tokens), 3),
                "offline_s": round(sum(t.report.offline_s for t in tokens), 3),
                "online_bytes": sum(t.report.online_bytes for t in tokens),
                "formula_bytes": sum(t.report.formula_bytes for t in tokens),
                "offline_bytes": sum(t.report.offline_bytes for t in tokens),
                "round_trips": sum(t.report.round_trips for t in tokens),
            }
        )
        return
    if not lines:
        emit("")
