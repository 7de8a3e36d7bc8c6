"""The services of private inference: a dealer, and an owner of weights."""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path

import click

from veracity.cli.display import show_table
from veracity.cli.options import FILE, backend_option, json_option
from veracity.cli.output import complain, emit, emit_json
from veracity.cli.printable import printable
from veracity.cli.private_options import DENY, FOLDER, MODE, link_options

__all__ = ["bind", "dealer", "serve"]


def log_to_stderr() -> None:
    """One line for each session, on standard error."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(message)s")


@click.command()
@click.option("--listen", required=True, help="HOST:PORT; port 0 lets the system choose.")
@link_options
@backend_option
@DENY
@click.option("--sessions", default=8, show_default=True, type=click.IntRange(1))
@click.option(
    "--memory",
    "memory_mb",
    default=8192,
    show_default=True,
    type=click.IntRange(1),
    help="Most MB of weights' masks that stay in memory, all models together (8 bytes a weight); "
    "others are made again in each pass, at 0.8 s of a core for 1,000 MB.",
)
def dealer(
    listen: str,
    identity: Path | None,
    insecure: bool,
    cache: Path | None,
    cap_mb: int,
    timeout: float,
    backend: str,
    deny: Path | None,
    sessions: int,
    memory_mb: int,
) -> None:
    """Hand out random material to owners and users, before there is a prompt.

    Run it on a machine of neither: whoever knows what the dealer hands out and listens to both
    parties knows prompt and weights. It never takes part while a question is answered.
    """
    from veracity.private.parties.dealer import DealerLimits
    from veracity.private.services import deal

    log_to_stderr()
    asyncio.run(
        deal(
            listen,
            identity=identity,
            insecure=insecure,
            cache=cache,
            limits=DealerLimits(disk=cap_mb * 10**6, memory=memory_mb * 10**6, sessions=sessions),
            deny=deny,
            timeout=timeout,
            backend=backend,
            on_listen=lambda address: emit(f"listening at {address}"),
        )
    )


@click.command()
@click.argument("program", type=FILE)
@click.option("--listen", required=True, help="HOST:PORT; port 0 lets the system choose.")
@click.option("--dealer", required=True, help="HOST:PORT of the dealer.")
@click.option("--mode", type=MODE, default="secure", show_default=True)
@link_options
@backend_option
@DENY
@click.option("--sessions", default=4, show_default=True, type=click.IntRange(1))
@click.option(
    "--each",
    type=click.IntRange(1),
    help="Sessions at once of one certificate [default: half of --sessions].",
)
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
    backend: str,
    deny: Path | None,
    sessions: int,
    each: int | None,
    ahead: int,
) -> None:
    """Answer users with a calibrated model; sees no prompt and no answer.

    A user gets the program without weights, the tokenizer, and once the weights under masks. In
    mode `secure` it learns nothing else but its answer; in mode `shuffled`, which is faster, it
    sees values of the hidden layers in a random order, from which weights may leak.
    """
    from veracity.private.card import Card
    from veracity.private.connect import Address
    from veracity.private.parties.owner import ServiceLimits
    from veracity.private.services import serve as run

    def told(address: Address, card: Card) -> None:
        emit(f"listening at {address}")
        complain(f"model {printable(card.name)}, card {card.digest}, mode {mode}")

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
            each=each,
            deny=deny,
            timeout=timeout,
            backend=backend,
            on_listen=told,
        )
    )


@click.command()
@click.argument("program", type=FILE)
@click.option("--commitment", required=True, type=FILE, help="Its .vcom file; rewritten.")
@click.option("--secret", required=True, type=FILE, help="The .vsec file that opens it.")
@click.option("--cache", type=FOLDER, help="As for `serve`: the masks' seed is there.")
@backend_option
@json_option
def bind(
    program: Path, commitment: Path, secret: Path, cache: Path | None, backend: str, as_json: bool
) -> None:
    """Name a committed model's masked weights in its commitment.

    Users who say `ask --commitment` are then served these weights or none. The digest of the
    commitment stays the same. Do it again after the cache of the owner was lost: masks are new.
    """
    from veracity.private.committed import bind as run

    card = run(program, commitment, secret, cache=cache, backend=backend)
    if as_json:
        emit_json({"card": card.digest, "weights": card.weights})
        return
    show_table(
        [
            ("written", commitment),
            ("card", card.digest),
            ("masked weights", card.weights),
            ("next", f"veracity private serve {program} ..., and publish the commitment again"),
        ]
    )
