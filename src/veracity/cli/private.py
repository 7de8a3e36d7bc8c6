"""The commands of private inference: an owner of weights, a user with a prompt, a dealer."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import click

from veracity.cli.display import Bar, clock, emit_json, flatten, printable, show_table, size
from veracity.cli.options import FILE, json_option, quiet_option
from veracity.errors import UsageError

__all__ = ["private"]

Command = TypeVar("Command", bound=Callable[..., Any])
MODE = click.Choice(["secure", "shuffled", "shuffled-bfv"])
FOLDER = click.Path(path_type=Path, file_okay=False)


def link_options(command: Command) -> Command:
    """What all three parties say about their connections and their disk."""
    for option in reversed(
        (
            click.option(
                "--identity",
                type=FOLDER,
                envvar="VERACITY_IDENTITY",
                help="Folder with this party's certificates, from `veracity private certificates`.",
            ),
            click.option(
                "--insecure", is_flag=True, help="Plain TCP: for measurements on one machine."
            ),
            click.option(
                "--cache", type=FOLDER, help="Where to keep things [default: your cache folder]."
            ),
            click.option(
                "--cap",
                "cap_mb",
                default=8192,
                show_default=True,
                type=click.IntRange(1),
                help="Most MB of material that wait on disk, for each session.",
            ),
            click.option(
                "--timeout",
                default=120.0,
                show_default=True,
                type=click.FloatRange(0.1),
                help="Seconds without a sign of life after which a party counts as gone.",
            ),
        )
    ):
        command = option(command)
    return command


def log_to_stderr() -> None:
    """One line for each session, on standard error."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(message)s")


@click.group()
def private() -> None:
    """Ask a model without showing the prompt; answer without showing the weights.

    Three parties take part: the owner of the weights, the user with the prompt, and a dealer who
    sees neither and hands out random material beforehand.

    \b
      veracity private certificates parties
      veracity private dealer --listen HOST:PORT --identity parties/dealer
      veracity private serve smollm2.vprog --listen HOST:PORT --dealer HOST:PORT \\
          --identity parties/owner
      veracity private ask "What is a prime number?" --server HOST:PORT --dealer HOST:PORT \\
          --identity parties/user

    `veracity private demo` shows all of it on this machine.
    """  # noqa: D301 (click reads the backspace)


@private.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--days",
    default=365,
    show_default=True,
    type=click.IntRange(1, 3650),
    help="How long the certificates hold.",
)
@json_option
def certificates(folder: Path, days: int, as_json: bool) -> None:
    """Make the certificates under which the three parties talk.

    FOLDER must not exist yet. It gets a folder for each party; give each party its own and nobody
    else's. No further certificates can be made for this set: for another user, or after a loss,
    make a new set.
    """
    from veracity.mpc.transport.certificates import make_certificates

    made = make_certificates(folder, days=days)
    if as_json:
        emit_json({**{role: str(home) for role, home in made.items()}, "days": days})
        return
    show_table(
        [
            *((f"for the {role}", home) for role, home in made.items()),
            ("valid", f"{days} days"),
            ("next", "bring each folder to its party over a way that you trust"),
        ]
    )


@private.command()
@click.option("--listen", required=True, help="HOST:PORT; port 0 lets the system choose.")
@link_options
@click.option("--sessions", default=4, show_default=True, type=click.IntRange(1))
@click.option(
    "--memory",
    "memory_mb",
    default=8192,
    show_default=True,
    type=click.IntRange(1),
    help="Most MB of weights' masks, all models together (8 bytes a weight).",
)
def dealer(
    listen: str,
    identity: Path | None,
    insecure: bool,
    cache: Path | None,
    cap_mb: int,
    timeout: float,
    sessions: int,
    memory_mb: int,
) -> None:
    """Hand out random material to owners and users, before there is a prompt.

    Run it on a machine of neither: whoever knows what the dealer hands out and listens to both
    parties knows prompt and weights. It never takes part while a question is answered.
    """
    from veracity.api.private.host import deal
    from veracity.mpc.service.dealer import DealerLimits

    log_to_stderr()
    asyncio.run(
        deal(
            listen,
            identity=identity,
            insecure=insecure,
            cache=cache,
            limits=DealerLimits(disk=cap_mb * 10**6, memory=memory_mb * 10**6),
            sessions=sessions,
            timeout=timeout,
            on_listen=lambda address: click.echo(f"listening at {address}"),
        )
    )


@private.command()
@click.argument("program", type=FILE)
@click.option("--listen", required=True, help="HOST:PORT; port 0 lets the system choose.")
@click.option("--dealer", required=True, help="HOST:PORT of the dealer.")
@click.option("--mode", type=MODE, default="secure", show_default=True)
@link_options
@click.option("--sessions", default=4, show_default=True, type=click.IntRange(1))
@click.option(
    "--ahead",
    default=8,
    show_default=True,
    type=click.IntRange(1),
    help="Passes whose material is fetched before they begin.",
)
def serve(
    program: Path,
    listen: str,
    dealer: str,
    mode: str,
    identity: Path | None,
    insecure: bool,
    cache: Path | None,
    cap_mb: int,
    timeout: float,
    sessions: int,
    ahead: int,
) -> None:
    """Answer users with a calibrated model; sees no prompt and no answer.

    A user gets the program without weights, the tokenizer, and once the weights under masks. In
    mode `secure` it learns nothing else but its answer; in mode `shuffled`, which is faster, it
    sees values of the hidden layers in a random order, from which weights may leak.
    """
    from veracity.api.private.card import Card
    from veracity.api.private.host import serve as run
    from veracity.api.private.places import Address
    from veracity.mpc.service.owner import ServiceLimits

    def told(address: Address, card: Card) -> None:
        click.echo(f"listening at {address}")
        click.echo(f"model {printable(card.name)}, card {card.digest}, mode {mode}", err=True)

    log_to_stderr()
    asyncio.run(
        run(
            program,
            listen,
            dealer,
            mode=mode,
            identity=identity,
            insecure=insecure,
            cache=cache,
            limits=ServiceLimits(disk=cap_mb * 10**6, ahead=ahead),
            sessions=sessions,
            timeout=timeout,
            on_listen=told,
        )
    )


@private.command()
@click.argument("prompt")
@click.option("--server", required=True, help="HOST:PORT of the owner.")
@click.option("--dealer", required=True, help="HOST:PORT of the dealer.")
@click.option("--max-new-tokens", default=24, show_default=True, type=click.IntRange(1))
@click.option("--raw", is_flag=True, help="Do not put the model's chat template around the prompt.")
@click.option(
    "--hide-length", is_flag=True, help="Run all passes: nobody learns where the answer ends."
)
@click.option(
    "--temperature",
    type=click.FloatRange(0, 100, min_open=True),
    help="Draw tokens instead of taking the most likely one; not in mode `secure`.",
)
@click.option("--top-k", default=0, type=click.IntRange(0), help="Draw among so many tokens only.")
@click.option("--mode", type=MODE, help="Insist on this mode.")
@click.option("--model", help="Insist on the model with this card digest.")
@link_options
@click.option("--wait", default=5.0, show_default=True, help="Seconds to try to reach a party.")
@click.option("--lines", is_flag=True, help="Print one JSON object for each token as it comes.")
@quiet_option
@json_option
def ask(
    prompt: str,
    server: str,
    dealer: str,
    max_new_tokens: int,
    raw: bool,
    hide_length: bool,
    temperature: float | None,
    top_k: int,
    mode: str | None,
    model: str | None,
    identity: Path | None,
    insecure: bool,
    cache: Path | None,
    cap_mb: int,
    timeout: float,
    wait: float,
    lines: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Ask a served model; nobody else learns the prompt or the answer.

    Owner and dealer learn how many tokens prompt and answer have. The answer goes to standard
    output as it comes, a line of figures for each token to standard error.
    """
    from veracity.api.private.client import Client, Token
    from veracity.api.private.sampling import Sampling

    if top_k and temperature is None:
        raise UsageError("--top-k needs --temperature")

    def show(token: Token, number: int) -> None:
        if lines:
            click.echo(json.dumps({"token": token.id, "text": token.text, **asdict(token.report)}))
        if lines or as_json:
            return
        click.echo(printable(token.text), nl=False)
        sys.stdout.flush()
        if not quiet:
            report = token.report
            both = sys.stdout.isatty() and sys.stderr.isatty()
            click.echo(
                f"{'  ' if both else ''}[{number}] {clock(report.online_s)} online, "
                f"{clock(report.offline_s)} before, {size(report.online_bytes)}, "
                f"{report.round_trips:g} round trips",
                err=True,
            )

    async def run(bar: Bar, drawn: contextlib.ExitStack) -> list[Token]:
        client = Client(
            server, dealer, identity=identity, insecure=insecure, cache=cache,
            cap=cap_mb * 10**6, mode=mode, model=model, timeout=timeout, wait=wait,
            progress=bar,
        )  # fmt: skip
        found: list[Token] = []
        answer = client.generate(
            prompt,
            max_new_tokens,
            raw=raw,
            hide_length=hide_length,
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
                "tokens": [token.id for token in tokens],
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
        click.echo()


@private.command()
@click.option("--model", default="stories260k", show_default=True, help="As `veracity import`.")
@click.option("--prompt", help="What to ask.")
@click.option("--mode", type=MODE, multiple=True, help="In which mode [default: both].")
@click.option("--max-new-tokens", default=24, show_default=True, type=click.IntRange(1))
@click.option("--keep", type=FOLDER, help="Folder to leave certificates, caches and logs in.")
@quiet_option
@json_option
def demo(
    model: str,
    prompt: str | None,
    mode: tuple[str, ...],
    max_new_tokens: int,
    keep: Path | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Show all of it: three processes on this machine, both modes.

    Makes certificates, starts a dealer and an owner, and asks as a user; the model is one that
    `veracity import` takes, or a calibrated .vprog file.
    """
    from veracity.api.private.showing import demo as run
    from veracity.api.private.showing import told_by

    begun: set[str] = set()

    def show(current: str, line: dict[str, Any]) -> None:
        if as_json or quiet:
            return
        if current not in begun:
            begun.add(current)
            click.echo(f"\n{current}: ", nl=False)
        click.echo(printable(line["text"]), nl=False)
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
            progress=progress,
            on_token=show,
        )
    if as_json:
        emit_json({one.mode: asdict(one) for one in found})
        return
    click.echo()
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


@private.command()
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
@click.option("--rtt-ms", default=10.0, show_default=True, type=click.FloatRange(0))
@click.option("--mbps", default=1000.0, show_default=True, type=click.FloatRange(0, min_open=True))
@click.option("--keep", type=FOLDER, help="Folder to keep model and masked weights in.")
@quiet_option
@json_option
def bench(
    model: str,
    mode: str,
    context: int,
    tokens: int,
    rtt_ms: float,
    mbps: float,
    keep: Path | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Measure a token: separate processes, an emulated network between owner and user.

    MODEL is what `veracity import` takes, or a calibrated .vprog file. Material is dealt before the
    first pass; online and offline are told apart. Bytes are payload, both ways.
    """
    from veracity.api.private.measuring import bench as run

    shares = {"load": 0.02, "observe": 0.1, "scales": 0.02, "accuracy": 0.1, "parties": 1.0}
    with Bar(shares, quiet=quiet or as_json) as bar:
        facts = run(
            model,
            mode=mode,
            context=context,
            tokens=tokens,
            rtt_ms=rtt_ms,
            mbps=mbps,
            folder=keep,
            progress=bar,
        )
    if as_json:
        emit_json(facts)
        return
    show_table((name.replace("_", " "), value) for name, value in flatten(facts))
