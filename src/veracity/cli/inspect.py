"""`inspect`: what a file of this package holds."""

from __future__ import annotations

from pathlib import Path

import click

from veracity.cli.display import flatten, show_table
from veracity.cli.inputs import stream
from veracity.cli.options import FILE, json_option
from veracity.cli.output import emit_json
from veracity.proving.inspect import inspect_file

__all__ = ["inspect"]


@click.command()
@click.argument("file", type=FILE)
@json_option
def inspect(file: Path, as_json: bool) -> None:
    """Tell what a file of this package holds.

    Takes .vprog, .vcom, .vsec and .vproof files, and - for standard input; shows nothing secret.
    """
    facts = inspect_file(stream(file))
    if as_json:
        emit_json(facts)
    else:
        show_table(flatten(facts))
