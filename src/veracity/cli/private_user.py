"""Asking privately: the user's command."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from veracity.cli.display import Bar, clock, size
from veracity.cli.inputs import (
    FiniteFloat,
    given_messages,
    given_words,
    message_option,
    prompt_file_option,
)
from veracity.cli.options import FILE, backend_option, json_option, quiet_option
from veracity.cli.output import complain, emit, emit_json
from veracity.cli.printable import printable
from veracity.cli.private_options import MODE, link_options
from veracity.errors import UsageError

__all__ = ["ask"]


INTERRUPTED = 130


@contextlib.asynccontextmanager
async def going_on(
    answer: AsyncGenerator[Any, None], show_length: bool, begun: Callable[[], bool]
) -> AsyncIterator[None]:
    """Run the answer's passes to their end, also where the terminal is closed or Ctrl-C is pressed.

    Parameters
    ----------
    answer : async generator
        From :meth:`Client.generate`.
    show_length : bool
        End at once instead.
    begun : callable
        Whether a token has come; before, it ends at once, too.

    Raises
    ------
    click.exceptions.Exit
        After such a signal.
    """
    if show_length:
        async with contextlib.aclosing(answer):
            yield
        return
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    came: list[int] = []

    def leave(number: int) -> None:
        if not came and number == signal.SIGINT and begun():
            complain("passes go on, so that nobody learns where you left; Ctrl-C again cuts them")
        if task is not None and (not came or number == signal.SIGINT):
            task.cancel()
        came.append(number)

    before = {n: signal.getsignal(n) for n in (signal.SIGHUP, signal.SIGINT)}
    for number, handler in before.items():
        if handler != signal.SIG_IGN:  # as `nohup` has it
            loop.add_signal_handler(number, leave, number)
    try:
        async with contextlib.aclosing(answer):
            yield
    except asyncio.CancelledError:
        if not came:
            raise
        raise click.exceptions.Exit(INTERRUPTED) from None
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)


@click.command()
@click.argument("prompt", required=False)
@prompt_file_option
@message_option
@click.option("--server", required=True, help="HOST:PORT of the owner.")
@click.option("--dealer", required=True, help="HOST:PORT of the dealer.")
@click.option("--max-new-tokens", default=24, show_default=True, type=click.IntRange(1))
@click.option("--raw", is_flag=True, help="Do not put the model's chat template around the prompt.")
@click.option(
    "--show-length",
    is_flag=True,
    help="Leave when the answer ends: quicker, and owner and dealer learn its length, "
    "which the owner's model chooses.",
)
@click.option(
    "--round-length",
    type=click.IntRange(2),
    help="Leave at the next multiple of so many tokens [default: after --max-new-tokens always].",
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
    help="Draw tokens instead of taking the most likely one; in mode `secure` from 0.001 to 4.",
)
@click.option(
    "--top-k",
    default=0,
    type=click.IntRange(0),
    help="Draw among so many tokens only; not in mode `secure`.",
)
@click.option("--mode", type=MODE, help="Insist on this mode.")
@click.option("--model", help="Insist on the model with this card digest.")
@click.option(
    "--commitment",
    type=FILE,
    help="Insist on the model of this .vcom file, which names its weights (`private bind`).",
)
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
    messages: tuple[str, ...],
    server: str,
    dealer: str,
    max_new_tokens: int,
    raw: bool,
    show_length: bool,
    round_length: int | None,
    resume: int,
    temperature: float | None,
    top_k: int,
    mode: str | None,
    model: str | None,
    commitment: Path | None,
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

    Owner and dealer learn how many tokens the prompt has, and `--max-new-tokens`: so many passes
    are run, wherever the answer ends. The answer goes to standard output as it comes, a line of
    figures for each token to standard error.
    """
    from veracity.private.card import Prompt
    from veracity.private.client import Client, Token
    from veracity.private.parties.report import Estimate
    from veracity.private.sampling import Sampling

    if top_k and temperature is None:
        raise UsageError("--top-k needs --temperature")
    if show_length and round_length is not None:
        raise UsageError("--show-length and --round-length exclude each other; give one")
    words: Prompt | None = given_words(prompt, prompt_file)
    talk = given_messages(messages)
    if words is not None and talk is not None:
        raise UsageError("give a prompt or messages, not both")
    words = talk if words is None else words
    if words is None:
        raise UsageError("nothing is asked; give --prompt-file FILE (- reads standard input)")

    def show(token: Token, number: int) -> None:
        if lines:
            facts = {"token": token.id, "text": token.text, "ended": token.ended}
            emit_json({**facts, **asdict(token.report)}, indent=0)
        if lines or as_json:
            return
        emit(printable(token.text), newline=False)
        sys.stdout.flush()
        if token.ended is not None:
            emit("")
        if not quiet:
            report = token.report
            both = sys.stdout.isatty() and sys.stderr.isatty()
            complain(
                f"{'  ' if both else ''}[{number}] {clock(report.online_s)} online, "
                f"{clock(report.offline_s)} before, {size(report.online_bytes)}, "
                f"{report.round_trips:g} round trips"
            )
            if token.ended == "stop" and not show_length and number < max_new_tokens:
                complain("the answer has ended; passes go on, so that nobody learns its length")

    told: list[Estimate] = []

    async def announce(estimate: Estimate) -> None:
        told.append(estimate)
        if not quiet:
            took = estimate.seconds
            complain(
                f"material for a prompt of {estimate.prompt_tokens} tokens and "
                f"{estimate.max_new_tokens} of an answer: {size(estimate.material_bytes)}, "
                + ("time not known before an answer" if took is None else f"some {clock(took)}")
            )

    async def run(bar: Bar, drawn: contextlib.ExitStack) -> list[Token]:
        client = Client(
            server, dealer, identity=identity, insecure=insecure, cache=cache,
            cap=cap_mb * 10**6, mode=mode, model=model,
            commitment=commitment, on_estimate=announce, timeout=timeout, wait=wait,
            backend=backend, progress=bar,
        )  # fmt: skip
        found: list[Token] = []
        answer = client.generate(
            words,
            max_new_tokens,
            raw=raw,
            round_length=1 if show_length else round_length or 0,
            resume=resume,
            sampling=None if temperature is None else Sampling(temperature, top_k),
        )
        async with going_on(answer, show_length, lambda: bool(found)):
            async for token in answer:
                drawn.close()  # the bar leaves before the answer comes
                found.append(token)
                # A terminal that does not scroll must not slow the passes: it would show.
                await asyncio.to_thread(show, token, len(found))
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
                "ended": tokens[-1].ended,
                "expected": asdict(told[0]),
                "online_s": round(sum(t.report.online_s for t in tokens), 3),
                "offline_s": round(sum(t.report.offline_s for t in tokens), 3),
                "online_bytes": sum(t.report.online_bytes for t in tokens),
                "formula_bytes": sum(t.report.formula_bytes for t in tokens),
                "offline_bytes": sum(t.report.offline_bytes for t in tokens),
                "round_trips": sum(t.report.round_trips for t in tokens),
            }
        )
