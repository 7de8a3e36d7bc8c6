"""``veracity export``: weights for other tools."""

from __future__ import annotations

from pathlib import Path

import click

from veracity.cli.display import show_table, size
from veracity.cli.options import FILE, force_option, json_option
from veracity.cli.output import emit_json
from veracity.codec import check_target
from veracity.work.export import export_network

__all__ = ["export"]


@click.command()
@click.argument("program", type=FILE)
@click.option("--safetensors", "out", type=FILE, required=True, help="Where to write the weights.")
@force_option
@json_option
def export(program: Path, out: Path, force: bool, as_json: bool) -> None:
    """Write a network's weights as floats, exactly: each is an integer times a power of two.

    Names are those of the network's source, such as 0.weight and 0.bias: what
    torch.nn.Sequential calls them, so that load_state_dict takes them as they are.
    """
    check_target(out, b"", reads=[program], force=force)
    kinds = export_network(program, out)
    written = out.stat().st_size
    if as_json:
        emit_json({"file": str(out), "tensors": kinds, "bytes": written})
        return
    show_table(
        [
            ("written", f"{out} ({size(written)}, mode 0600: it holds the weights)"),
            *((name, kind) for name, kind in kinds.items()),
        ]
    )
