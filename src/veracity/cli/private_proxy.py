"""OpenAI's protocol on the user's machine, answered by private inference."""

from __future__ import annotations

from pathlib import Path

import click

from veracity.cli.inputs import FiniteFloat
from veracity.cli.options import FILE, backend_option
from veracity.cli.output import complain, emit
from veracity.cli.private_options import MODE, link_options
from veracity.cli.private_services import log_to_stderr
from veracity.errors import UsageError

__all__ = ["proxy"]


@click.command()
@click.option("--server", required=True, help="HOST:PORT of the owner.")
@click.option("--dealer", required=True, help="HOST:PORT of the dealer.")
@click.option(
    "--listen",
    default="127.0.0.1:8080",
    show_default=True,
    help="Address of this machine; port 0 lets the system choose.",
)
@click.option(
    "--keys", type=FILE, help="Keys file of local clients (`veracity api-key`) [default: anybody]."
)
@click.option(
    "--max-new-tokens",
    default=64,
    show_default=True,
    type=click.IntRange(1),
    help="Most tokens of an answer, and of one whose request names no number.",
)
@click.option("--show-length", is_flag=True, help="As for `ask`.")
@click.option("--round-length", type=click.IntRange(2), help="As for `ask`.")
@click.option("--mode", type=MODE, help="Insist on this mode.")
@click.option("--model", help="Insist on the model with this card digest.")
@click.option("--commitment", type=FILE, help="Insist on the model of this .vcom file.")
@link_options
@backend_option
@click.option(
    "--wait", default=5.0, show_default=True, type=FiniteFloat(0), help="Seconds to try a party."
)
def proxy(
    server: str,
    dealer: str,
    listen: str,
    keys: Path | None,
    max_new_tokens: int,
    show_length: bool,
    round_length: int | None,
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
) -> None:
    """Let local programs that speak OpenAI's protocol ask in private.

    Runs on the user's machine: prompts arrive in clear and leave in shares. A client that hangs up,
    a stop text and the end of the process do not show the length of an answer.
    """
    from veracity.private.client import Client
    from veracity.private.connect import Address
    from veracity.server.request import Limits
    from veracity.server.serve import Listen, Settings, serve_private

    if show_length and round_length is not None:
        raise UsageError("--show-length and --round-length exclude each other; give one")
    address = Address.parse(listen)
    client = Client(
        server, dealer, identity=identity, insecure=insecure, cache=cache, cap=cap_mb * 10**6,
        mode=mode, model=model, commitment=commitment, timeout=timeout, wait=wait, backend=backend,
    )  # fmt: skip
    log_to_stderr()

    def told(url: str) -> None:
        emit(f"listening at {url}")
        complain(f"base URL for clients: {url}/v1")

    serve_private(
        Listen(host=address.host, port=address.port, keys=keys),
        Settings(limits=Limits(tokens=max_new_tokens), waiting=16),
        client,
        told,
        round_length=1 if show_length else round_length or 0,
    )
