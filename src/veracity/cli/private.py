"""The commands of private inference: an owner of weights, a user with a prompt, a dealer."""

from __future__ import annotations

from pathlib import Path

import click

from veracity.cli.display import show_table
from veracity.cli.options import json_option
from veracity.cli.output import emit_json
from veracity.cli.private_cluster import bench, demo
from veracity.cli.private_proxy import proxy
from veracity.cli.private_services import bind, dealer, serve
from veracity.cli.private_user import ask
from veracity.errors import UsageError

__all__ = ["private"]

ROLES = ("owner", "user", "dealer")


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
@click.option(
    "--user", "users", multiple=True, metavar="NAME", help="A person who asks; one for each."
)
@click.option(
    "--keep-authority", is_flag=True, help="Keep the key that signs, so that users can be added."
)
@click.option("--add", is_flag=True, help="Add the users to a set whose authority was kept.")
@json_option
def certificates(
    folder: Path, days: int, users: tuple[str, ...], keep_authority: bool, add: bool, as_json: bool
) -> None:
    """Make the certificates under which the three parties talk.

    FOLDER must not exist yet. It gets a folder for each party; give each party its own and nobody
    else's. With --user each person has a certificate, by whose name and serial number owner and
    dealer log sessions, limit them, and may deny them (`serve --deny`).

    Nobody can be added to a set later unless the authority's key is kept: whoever has that can
    make any party. Bring its folder to a place of its own.
    """
    from veracity.private.certificates import add_users, make_certificates, serial_of

    if add and keep_authority:
        raise UsageError("--add and --keep-authority exclude each other; give one")
    if add:
        made = add_users(folder, users, days=days)
    else:
        made = make_certificates(folder, days=days, users=users, keep_authority=keep_authority)
    if as_json:
        emit_json({**{name: str(home) for name, home in made.items()}, "days": days})
        return
    show_table(
        [
            *((f"for the {n}" if n in ROLES else f"for {n}", home) for n, home in made.items()),
            *((f"serial of {name}", serial_of(made[name])) for name in users),
            ("valid", f"{days} days"),
            *([("authority", folder / "authority")] if keep_authority else []),
            ("next", "bring each folder to its party over a way that you trust"),
        ]
    )


for command in (bind, dealer, serve, ask, proxy, demo, bench):
    private.add_command(command)
