"""Options that several commands share."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

__all__ = [
    "FILE",
    "Bytes",
    "backend_option",
    "force_option",
    "jobs_option",
    "json_option",
    "memory_option",
    "quiet_option",
    "ray_option",
    "threads_option",
]

Command = TypeVar("Command", bound=Callable[..., Any])

#: A path; whether it can be read or written is found out, and told, by the api.
FILE = click.Path(path_type=Path, dir_okay=False)


def quiet_option(command: Command) -> Command:
    """``--quiet``: no progress bar."""
    return click.option("-q", "--quiet", is_flag=True, help="No progress bar.")(command)


def json_option(command: Command) -> Command:
    """``--json``: one JSON object on standard output instead of tables."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")(command)


def force_option(command: Command) -> Command:
    """``--force``: replace what stands under an output's name."""
    return click.option(
        "--force",
        is_flag=True,
        help="Replace what stands there already, even if it is of another kind, secret, or "
        "committed to.",
    )(command)


def threads_option(command: Command) -> Command:
    """``--threads``: how many cores to use."""
    return click.option(
        "--threads",
        type=click.IntRange(1, 1024),
        help="Threads to use, at most one a core [default: all cores].",
    )(command)


def jobs_option(command: Command) -> Command:
    """``--jobs``: how many processes prove side by side."""
    return click.option(
        "--jobs",
        default=1,
        show_default=True,
        type=click.IntRange(1, 256),
        help="Processes that prove segments side by side; they share --threads and --memory.",
    )(command)


def ray_option(command: Command) -> Command:
    """``--ray``: prove on the machines of a cluster."""
    return click.option(
        "--ray",
        metavar="HOST:PORT",
        help="Prove on the machines of this Ray cluster, --jobs processes in all; each of them is "
        "trusted with the weights.",
    )(command)


def backend_option(command: Command) -> Command:
    """``--backend``: which engine computes."""
    return click.option(
        "--backend",
        metavar="NAME",
        default="cpu",
        show_default=True,
        help="What computes: cpu, or reference, which is slow and needs nothing compiled.",
    )(command)


class Bytes(click.ParamType[int]):
    """A size such as ``2GiB``, ``800MB`` or a plain number of bytes."""

    name = "size"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """The number of bytes.

        Parameters
        ----------
        value : object
            What stands on the command line, such as ``2GiB``.
        param : click.Parameter or None
            The option, for errors.
        ctx : click.Context or None
            The call, for errors.
        """
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]i?)?b?", str(value).strip().lower())
        if found is None:
            self.fail(f"{value!r} is not a size such as 2GiB or 800MB", param, ctx)
        number, unit = found.groups()
        base = 1024 if unit and unit.endswith("i") else 1000
        return int(float(number) * base ** ("kmgt".index(unit[0]) + 1 if unit else 0))


def memory_option(command: Command) -> Command:
    """``--memory``: a cap for all processes that prove."""
    return click.option(
        "--memory",
        type=Bytes(),
        help="Most memory to occupy, all processes together, such as 2GiB; the proof then has as "
        "many segments as it takes, each some 10 to 30 kB [default: one segment].",
    )(command)
