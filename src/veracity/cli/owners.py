"""Data sets on the command line, with what opens them, and those that a run began with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from veracity.cli.options import FILE
from veracity.engine.api import Engine
from veracity.errors import UsageError
from veracity.formats.data import DataFile, DataSecret
from veracity.training.base import Base, open_base
from veracity.training.curves import check_held_out
from veracity.training.data import read_examples
from veracity.training.runner import RunFolder, open_run

__all__ = ["FOLDER", "SOURCES", "Owner", "data_options", "load_owners", "reopen", "sources_of"]

Owner = tuple[DataFile, DataSecret]

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


def load_owners(sets: tuple[Path, ...], secrets: tuple[Path, ...]) -> list[Owner]:
    """Data sets with what opens them, in the order they are given."""
    if not sets or len(sets) != len(secrets):
        raise UsageError("give --data and --data-secret once for every data set, in one order")
    return [(DataFile.load(a), DataSecret.load(b)) for a, b in zip(sets, secrets, strict=True)]


def sources_of(
    sets: tuple[Path, ...], secrets: tuple[Path, ...], base: Base | None, held_out: Path | None
) -> bytes:
    """What a run's folder remembers of where its data are.

    Parameters
    ----------
    sets, secrets : tuple of Path
        What stands on the command line.
    base : Base or None
        The model that the run starts from.
    held_out : Path or None
        Examples that are not trained on.
    """
    paths = {"data": [str(p.resolve()) for p in sets]}
    paths["secrets"] = [str(p.resolve()) for p in secrets]
    if base is not None:
        paths["init"] = [str(base.model), str(base.secret)]
    if held_out is not None:
        paths["held_out"] = [str(held_out.resolve())]
    return json.dumps(paths).encode()


def reopen(
    folder: Path, engine: Engine, sets: tuple[Path, ...] = (), secrets: tuple[Path, ...] = ()
) -> tuple[RunFolder, list[Owner]]:
    """A run that was begun before, on the data given, or on those it began with.

    Parameters
    ----------
    folder : Path
        The run's folder.
    engine : Engine
        Backend.
    sets, secrets : tuple of Path
        What stands on the command line.
    """
    try:
        paths = json.loads((folder / SOURCES).read_text(encoding="utf-8"))
        known = tuple(map(Path, paths["data"])), tuple(map(Path, paths["secrets"]))
        init, held_out = ([Path(p) for p in paths.get(n, [])] for n in ("init", "held_out"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        if not (sets or secrets):
            raise UsageError(
                f"{folder.name!r} does not say where its data are; give --data and --data-secret"
            ) from None
        known, init, held_out = (sets, secrets), [], []
    owners = load_owners(*((sets, secrets) if sets or secrets else known))
    base = open_base(*init) if len(init) == 2 else None
    opened = open_run(folder, engine, owners, base)
    if held_out:
        opened.held_out = check_held_out(read_examples(held_out[0]), opened.run.recipe)
    return opened, owners
