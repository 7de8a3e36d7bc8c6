"""Options that several commands of private inference share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from veracity.cli.inputs import FiniteFloat

__all__ = ["DENY", "FOLDER", "MODE", "link_options"]

Command = TypeVar("Command", bound=Callable[..., Any])
MODE = click.Choice(["secure", "shuffled", "shuffled-bfv"])
DENY = click.option(
    "--deny",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File with serial numbers of certificates that are refused, one in a line; read again "
    "at every connection.",
)
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
                default=2048,
                show_default=True,
                type=click.IntRange(1),
                help="Most MB of material that wait on disk, for each session.",
            ),
            click.option(
                "--timeout",
                default=120.0,
                show_default=True,
                type=FiniteFloat(0.1),
                help="Seconds without a sign of life after which a party counts as gone.",
            ),
        )
    ):
        command = option(command)
    return command
