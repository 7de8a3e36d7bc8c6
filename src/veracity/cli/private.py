"""The commands of private inference: an owner of weights, a user with a prompt, a dealer."""

from __future__ import annotations

from pathlib import Path

import click

from veracity.cli.display import show_table
from veracity.cli.options import json_option
from veracity.cli.output import emit_json
from veracity.cli.private_cluster import bench, demo
from veracity.cli.private_services import bind, dealer, serve
from veracity.cli.private_user import ask

__all__ = ["private"]


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
    from veracity.private.certificates import make_certificates

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


for command in (bind, dealer, serve, ask, demo, bench):
    private.add_command(command)
