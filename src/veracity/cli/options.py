"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

__all__ = ["FILE", "json_option", "quiet_option", "threads_option"]

Command = TypeVar("Command", bound=Callable[..., Any])

#: A path; whether it can be read or written is found out, and told, by the api.
FILE = click.Path(path_type=Path, dir_okay=False)


def quiet_option(command: Command) -> Command:
    """``--quiet``: no progress bar."""
    return click.option("-q", "--quiet", is_flag=True, help="No progress bar.")(command)


def json_option(command: Command) -> Command:
    """``--json``: one JSON object on standard output instead of tables."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")(command)


def threads_option(command: Command) -> Command:
    """``--threads``: how many cores to use."""
    return click.option(
        "--threads", type=click.IntRange(1, 1024), help="Threads to use [default: all cores]."
    )(command)
