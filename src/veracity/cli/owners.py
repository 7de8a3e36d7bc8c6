"""Data sets on the command line, with what opens them, and those that a run began with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from veracity.cli.options import FILE
from veracity.errors import UsageError
from veracity.formats.data import DataFile, DataSecret

__all__ = ["FOLDER", "SOURCES", "data_options", "load_owners", "owners_of"]

FOLDER = click.Path(path_type=Path, file_okay=False)
#: Where a run's folder remembers the paths of its data; private, like the folder.
SOURCES = "sources.json"


def data_options(command: Any) -> Any:
    """``--data`` and ``--data-secret``, as often as there are owners."""
    secret = click.option(
        "--data-secret", "secrets", type=FILE, multiple=True, help="What opens it, .vdsec."
    )
    public = click.option("--data", "sets", type=FILE, multiple=True, help="A data set, .vdata.")
    return public(secret(command))


def load_owners(
    sets: tuple[Path, ...], secrets: tuple[Path, ...]
) -> list[tuple[DataFile, DataSecret]]:
    """Data sets with what opens them, in the order they are given."""
    if not sets or len(sets) != len(secrets):
        raise UsageError("give --data and --data-secret once for every data set, in one order")
    return [(DataFile.load(a), DataSecret.load(b)) for a, b in zip(sets, secrets, strict=True)]


def owners_of(
    folder: Path, sets: tuple[Path, ...], secrets: tuple[Path, ...]
) -> list[tuple[DataFile, DataSecret]]:
    """The data of a run: those given, or those it began with.

    Parameters
    ----------
    folder : Path
        The run's folder.
    sets, secrets : tuple of Path
        What stands on the command line.
    """
    if sets or secrets:
        return load_owners(sets, secrets)
    try:
        paths = json.loads((folder / SOURCES).read_text(encoding="utf-8"))
        known = tuple(map(Path, paths["data"])), tuple(map(Path, paths["secrets"]))
    except (OSError, ValueError, KeyError, TypeError):
        raise UsageError(
            f"{folder.name!r} does not say where its data are; give --data and --data-secret"
        ) from None
    return load_owners(*known)
