"""The command that lists which models have been tried."""

from __future__ import annotations

import click

from veracity.cli.display import show_table
from veracity.cli.options import json_option
from veracity.cli.output import emit_json
from veracity.frontends.catalogue import tried_models

__all__ = ["models"]


@click.command()
@json_option
def models(as_json: bool) -> None:
    """List the architectures that can be imported.

    Each was imported from a tiny random model, compared with the logits of the original
    implementation, calibrated, proved and verified.
    """
    rows = tried_models()
    if as_json:
        emit_json({"models": rows})
        return
    table = []
    for row in rows:
        also = f" (GGUF: {row['gguf']})" if row["gguf"] else ""
        table.append((row["model_type"], f"{row['models']}{also}"))
    show_table(table, title="model_type of config.json, and models of it")
